//go:build !purego

#include "textflag.h"

// Rows of LayerNorm, computed in float64 as in pure Go, 8 numbers at a time (AVX2).

// x̂ = (x − μ)·r of 8 numbers into Y0 and Y1; μ and r in Y14 and Y15.
#define HAT \
	VCVTPS2PD (SI)(AX*4), Y0 \
	VCVTPS2PD 16(SI)(AX*4), Y1 \
	VSUBPD Y14, Y0, Y0 \
	VSUBPD Y14, Y1, Y1 \
	VMULPD Y15, Y0, Y0 \
	VMULPD Y15, Y1, Y1

// dy∘γ of 8 numbers into Y2 and Y3.
#define SCALED \
	VCVTPS2PD (DX)(AX*4), Y2 \
	VCVTPS2PD 16(DX)(AX*4), Y3 \
	VCVTPS2PD (R8)(AX*4), Y4 \
	VCVTPS2PD 16(R8)(AX*4), Y5 \
	VMULPD Y4, Y2, Y2 \
	VMULPD Y5, Y3, Y3

#define NARROW \
	VCVTPD2PSY Y0, X0 \
	VCVTPD2PSY Y1, X1 \
	VINSERTF128 $1, X1, Y0, Y0

#define NEXT(loop) \
	ADDQ $8, AX \
	CMPQ AX, CX \
	JLT loop

// The sum of vectors a and b into x; x and y are their first halves.
#define TOTAL(a, b, x, y) \
	VADDPD b, a, a \
	VEXTRACTF128 $1, a, y \
	VADDPD y, x, x \
	VHADDPD x, x, x

// func moments8(x *float32, n int, mu float64) (sum, squares float64)
TEXT ·moments8(SB), NOSPLIT, $0-40
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSD mu+16(FP), Y14
	VXORPD Y6, Y6, Y6
	VXORPD Y7, Y7, Y7
	VXORPD Y8, Y8, Y8
	VXORPD Y9, Y9, Y9
	XORQ AX, AX
loop:
	VCVTPS2PD (SI)(AX*4), Y0
	VCVTPS2PD 16(SI)(AX*4), Y1
	VSUBPD Y14, Y0, Y0
	VSUBPD Y14, Y1, Y1
	VADDPD Y0, Y6, Y6
	VADDPD Y1, Y7, Y7
	VFMADD231PD Y0, Y0, Y8
	VFMADD231PD Y1, Y1, Y9
	NEXT(loop)
	TOTAL(Y6, Y7, X6, X7)
	TOTAL(Y8, Y9, X8, X9)
	VMOVSD X6, sum+24(FP)
	VMOVSD X8, squares+32(FP)
	VZEROUPPER
	RET

// func normal8(y, x, gamma, beta *float32, n int, mu, r float64)
TEXT ·normal8(SB), NOSPLIT, $0-56
	MOVQ y+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ gamma+16(FP), R8
	MOVQ beta+24(FP), DX
	MOVQ n+32(FP), CX
	VBROADCASTSD mu+40(FP), Y14
	VBROADCASTSD r+48(FP), Y15
	XORQ AX, AX
loop:
	HAT
	NARROW
	VMULPS (R8)(AX*4), Y0, Y0
	VADDPS (DX)(AX*4), Y0, Y0
	VMOVUPS Y0, (DI)(AX*4)
	NEXT(loop)
	VZEROUPPER
	RET

// func normalSums8(dy, x, gamma *float32, n int, mu, r float64) (sum, dot float64)
TEXT ·normalSums8(SB), NOSPLIT, $0-64
	MOVQ dy+0(FP), DX
	MOVQ x+8(FP), SI
	MOVQ gamma+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTSD mu+32(FP), Y14
	VBROADCASTSD r+40(FP), Y15
	VXORPD Y6, Y6, Y6
	VXORPD Y7, Y7, Y7
	VXORPD Y8, Y8, Y8
	VXORPD Y9, Y9, Y9
	XORQ AX, AX
loop:
	HAT
	SCALED
	VADDPD Y2, Y6, Y6
	VADDPD Y3, Y7, Y7
	VFMADD231PD Y0, Y2, Y8
	VFMADD231PD Y1, Y3, Y9
	NEXT(loop)
	TOTAL(Y6, Y7, X6, X7)
	TOTAL(Y8, Y9, X8, X9)
	VMOVSD X6, sum+48(FP)
	VMOVSD X8, dot+56(FP)
	VZEROUPPER
	RET

// func normalBack8(dx, dy, x, gamma *float32, n int, mu, r, mean, dot float64, acc bool)
TEXT ·normalBack8(SB), NOSPLIT, $0-73
	MOVQ dx+0(FP), DI
	MOVQ dy+8(FP), DX
	MOVQ x+16(FP), SI
	MOVQ gamma+24(FP), R8
	MOVQ n+32(FP), CX
	VBROADCASTSD mu+40(FP), Y14
	VBROADCASTSD r+48(FP), Y15
	VBROADCASTSD mean+56(FP), Y12
	VBROADCASTSD dot+64(FP), Y13
	MOVBLZX acc+72(FP), BX
	XORQ AX, AX
loop:
	HAT
	SCALED
	VSUBPD Y12, Y2, Y2
	VSUBPD Y12, Y3, Y3
	VFNMADD213PD Y2, Y13, Y0
	VFNMADD213PD Y3, Y13, Y1
	VMULPD Y15, Y0, Y0
	VMULPD Y15, Y1, Y1
	NARROW
	TESTL BX, BX
	JZ put
	VADDPS (DI)(AX*4), Y0, Y0
put:
	VMOVUPS Y0, (DI)(AX*4)
	NEXT(loop)
	VZEROUPPER
	RET
