//go:build !purego

#include "textflag.h"

// One cell of a depthwise convolution: 32 channels at a time, then 8 (AVX2, FMA).
// The taps' offsets lie in pairs: into x and into w.

// func taps8(y, x, w *float32, at *[2]int, taps, n int)
TEXT ·taps8(SB), NOSPLIT, $0-48
	MOVQ y+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ w+16(FP), DX
	MOVQ at+24(FP), R8
	MOVQ taps+32(FP), R9
	MOVQ n+40(FP), CX
	SHLQ $4, R9
	ADDQ R8, R9
wide:
	CMPQ CX, $32
	JLT  narrow
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VMOVUPS 64(DI), Y2
	VMOVUPS 96(DI), Y3
	MOVQ R8, BX
wideTap:
	MOVQ (BX), R10
	MOVQ 8(BX), R11
	VMOVUPS (SI)(R10*4), Y4
	VMOVUPS 32(SI)(R10*4), Y5
	VMOVUPS 64(SI)(R10*4), Y6
	VMOVUPS 96(SI)(R10*4), Y7
	VFMADD231PS (DX)(R11*4), Y4, Y0
	VFMADD231PS 32(DX)(R11*4), Y5, Y1
	VFMADD231PS 64(DX)(R11*4), Y6, Y2
	VFMADD231PS 96(DX)(R11*4), Y7, Y3
	ADDQ $16, BX
	CMPQ BX, R9
	JNE  wideTap
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	ADDQ $128, DI
	ADDQ $128, SI
	ADDQ $128, DX
	SUBQ $32, CX
	JMP  wide
narrow:
	CMPQ CX, $8
	JLT  done
	VMOVUPS (DI), Y0
	MOVQ R8, BX
narrowTap:
	MOVQ (BX), R10
	MOVQ 8(BX), R11
	VMOVUPS (SI)(R10*4), Y4
	VFMADD231PS (DX)(R11*4), Y4, Y0
	ADDQ $16, BX
	CMPQ BX, R9
	JNE  narrowTap
	VMOVUPS Y0, (DI)
	ADDQ $32, DI
	ADDQ $32, SI
	ADDQ $32, DX
	SUBQ $8, CX
	JMP  narrow
done:
	VZEROUPPER
	RET
