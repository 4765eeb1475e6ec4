//go:build !purego

#include "textflag.h"

// Two neighbours of a 4×4 block's transposition: rows a, b, c, d in each half of
// a register, columns 0 to 3 back in them.
#define TURN4(a, b, c, d, s, t, u, v) \
	VUNPCKLPS b, a, s \
	VUNPCKHPS b, a, t \
	VUNPCKLPS d, c, u \
	VUNPCKHPS d, c, v \
	VUNPCKLPD u, s, a \
	VUNPCKHPD u, s, b \
	VUNPCKLPD v, t, c \
	VUNPCKHPD v, t, d

// Rows r and r + 4 of 8 floats as one register of their left halves, one of
// their right ones.
#define HALVES(p, l, r) \
	VMOVUPS (p), X12 \
	VMOVUPS 16(p), X13 \
	VINSERTF128 $1, (p)(R10*4), Y12, l \
	VINSERTF128 $1, 16(p)(R10*4), Y13, r

// func turn8(dst *float32, width int, src *float32, stride, n int)
TEXT ·turn8(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ width+8(FP), R8
	MOVQ src+16(FP), SI
	MOVQ stride+24(FP), R10
	MOVQ n+32(FP), CX
	LEAQ (SI)(R10*2), DX
loop:
	HALVES(SI, Y0, Y4)
	LEAQ (SI)(R10*1), AX
	HALVES(AX, Y1, Y5)
	HALVES(DX, Y2, Y6)
	LEAQ (DX)(R10*1), AX
	HALVES(AX, Y3, Y7)
	TURN4(Y0, Y1, Y2, Y3, Y8, Y9, Y10, Y11)
	TURN4(Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11)
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, (DI)(R8*1)
	LEAQ (DI)(R8*2), DI
	VMOVUPS Y2, (DI)
	VMOVUPS Y3, (DI)(R8*1)
	LEAQ (DI)(R8*2), DI
	VMOVUPS Y4, (DI)
	VMOVUPS Y5, (DI)(R8*1)
	LEAQ (DI)(R8*2), DI
	VMOVUPS Y6, (DI)
	VMOVUPS Y7, (DI)(R8*1)
	LEAQ (DI)(R8*2), DI
	ADDQ $32, SI
	ADDQ $32, DX
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
