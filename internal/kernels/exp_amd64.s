//go:build !purego

#include "textflag.h"

// exp and what is made of it, 8 numbers at a time (AVX2, FMA). NaN stays NaN:
// VMAXPS and VMINPS give their first operand here where one is NaN.

#define CONST(name, v) \
	DATA name<>+0(SB)/4, $v \
	DATA name<>+4(SB)/4, $v \
	DATA name<>+8(SB)/4, $v \
	DATA name<>+12(SB)/4, $v \
	DATA name<>+16(SB)/4, $v \
	DATA name<>+20(SB)/4, $v \
	DATA name<>+24(SB)/4, $v \
	DATA name<>+28(SB)/4, $v \
	GLOBL name<>(SB), RODATA|NOPTR, $32

CONST(lowest, (-87.4))
CONST(highest, (89.0))
CONST(log2e, (1.44269504))
CONST(magic, (12582912.0))
CONST(ln2Hi, (0.693145752))
CONST(ln2Lo, (1.42860677e-6))
CONST(exp0, (2.0))
CONST(exp2, (0.999999702))
CONST(exp3, (0.33332944))
CONST(exp4, (0.0833390728))
CONST(exp5, (0.01674624904))
CONST(exp6, (0.00275611878))
CONST(exponent, 0x3f000000)
CONST(sign, 0x80000000)
CONST(one, (1.0))
CONST(finite, (88.0))

// e^x into p, by 2ⁿ·e^r with |r| ≤ ln2/2 and a polynomial of degree 6: within
// 2e-7 of the result. Below e^−87 it is 0, above the largest number ∞. The
// polynomial's coefficients are doubled and the power of two is halved, so that
// one factor reaches 2¹²⁸. x and n are spent; Y14 and Y15 hold the limits.
#define EXP(x, n, p) \
	VMAXPS x, Y14, x \
	VMINPS x, Y15, x \
	VMOVUPS magic<>(SB), n \
	VFMADD231PS log2e<>(SB), x, n \
	VSUBPS magic<>(SB), n, p \
	VFNMADD231PS ln2Hi<>(SB), p, x \
	VFNMADD231PS ln2Lo<>(SB), p, x \
	VMOVUPS exp6<>(SB), p \
	VFMADD213PS exp5<>(SB), x, p \
	VFMADD213PS exp4<>(SB), x, p \
	VFMADD213PS exp3<>(SB), x, p \
	VFMADD213PS exp2<>(SB), x, p \
	VFMADD213PS exp0<>(SB), x, p \
	VFMADD213PS exp0<>(SB), x, p \
	VPSLLD $23, n, n \
	VPADDD exponent<>(SB), n, n \
	VMULPS n, p, p

#define LIMITS \
	VMOVUPS lowest<>(SB), Y14 \
	VMOVUPS highest<>(SB), Y15

// A function of x in Y0 with its value in Y1 and its derivative in Y2, whose
// memory may be missing.
#define FUNCTION(loop, skip, body) \
	MOVQ y+0(FP), DI \
	MOVQ d+8(FP), DX \
	MOVQ x+16(FP), SI \
	MOVQ n+24(FP), CX \
	LIMITS \
	VMOVUPS one<>(SB), Y13 \
loop: \
	VMOVUPS (SI), Y0 \
	body \
	VMOVUPS Y1, (DI) \
	TESTQ DX, DX \
	JZ skip \
	VMOVUPS Y2, (DX) \
	ADDQ $32, DX \
skip: \
	ADDQ $32, SI \
	ADDQ $32, DI \
	SUBQ $8, CX \
	JNZ loop \
	VZEROUPPER \
	RET

// func expRow(dst, src *float32, n int, sub, scale float32) (sum float64)
TEXT ·expRow(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS sub+24(FP), Y12
	VBROADCASTSS scale+28(FP), Y13
	LIMITS
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
expLoop:
	VMOVUPS (SI), Y0
	VSUBPS Y12, Y0, Y0
	EXP(Y0, Y1, Y2)
	VMULPS Y13, Y2, Y2
	VMOVUPS Y2, (DI)
	VCVTPS2PD X2, Y3
	VEXTRACTF128 $1, Y2, X4
	VCVTPS2PD X4, Y4
	VADDPD Y3, Y10, Y10
	VADDPD Y4, Y11, Y11
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ expLoop
	VADDPD Y11, Y10, Y10
	VEXTRACTF128 $1, Y10, X11
	VADDPD X11, X10, X10
	VHADDPD X10, X10, X10
	VMOVSD X10, sum+32(FP)
	VZEROUPPER
	RET

#define EXP8 \
	EXP(Y0, Y2, Y1) \
	VMOVAPS Y1, Y2

// func exp8(y, d, x *float32, n int)
TEXT ·exp8(SB), NOSPLIT, $0-32
	FUNCTION(expLoop, expSkip, EXP8)

// s = 1/(1 + e^−u) of u in Y3 into Y1, and 1 − s = e^−u·s into Y2: a difference
// would lose it where s is near 1. e^88 is finite, and 1 − s is 1 there.
#define SIGMOID \
	VMOVUPS finite<>(SB), Y15 \
	VXORPS sign<>(SB), Y3, Y3 \
	EXP(Y3, Y4, Y5) \
	VADDPS Y13, Y5, Y1 \
	VDIVPS Y1, Y13, Y1 \
	VMULPS Y1, Y5, Y2

// s·(1 − s)
#define SIGMOID8 \
	VMOVAPS Y0, Y3 \
	SIGMOID \
	VMULPS Y1, Y2, Y2

// func sigmoid8(y, d, x *float32, n int)
TEXT ·sigmoid8(SB), NOSPLIT, $0-32
	FUNCTION(sigmoidLoop, sigmoidSkip, SIGMOID8)

// s·(1 + x·(1 − s))
#define SILU8 \
	VMOVAPS Y0, Y3 \
	SIGMOID \
	VFMADD213PS Y13, Y0, Y2 \
	VMULPS Y1, Y2, Y2 \
	VMULPS Y0, Y1, Y1

// func silu8(y, d, x *float32, n int)
TEXT ·silu8(SB), NOSPLIT, $0-32
	FUNCTION(siluLoop, siluSkip, SILU8)

// 2√(2/π), and that times 0.044715 and three times so; beyond ±20 all is said.
CONST(tanh1, (1.5957691216))
CONST(tanh3, (0.071354816))
CONST(tanhSlope, (0.214064448))
CONST(twenty, (20.0))
CONST(minusTwenty, (-20.0))

// x·(1 + tanh(u/2))/2 = x·s(u) with u = x·(tanh1 + tanh3·x²), and
// s + x·s·(1 − s)·u′
#define GELUTANH8 \
	VMOVUPS twenty<>(SB), Y6 \
	VMINPS Y0, Y6, Y6 \
	VMOVUPS minusTwenty<>(SB), Y7 \
	VMAXPS Y6, Y7, Y6 \
	VMULPS Y6, Y6, Y7 \
	VMOVUPS tanh1<>(SB), Y3 \
	VMOVAPS Y3, Y8 \
	VFMADD231PS tanh3<>(SB), Y7, Y3 \
	VFMADD231PS tanhSlope<>(SB), Y7, Y8 \
	VMULPS Y6, Y3, Y3 \
	SIGMOID \
	VMULPS Y1, Y2, Y2 \
	VMULPS Y6, Y2, Y2 \
	VFMADD213PS Y1, Y8, Y2 \
	VMULPS Y0, Y1, Y1

// func geluTanh8(y, d, x *float32, n int)
TEXT ·geluTanh8(SB), NOSPLIT, $0-32
	FUNCTION(tanhLoop, tanhSkip, GELUTANH8)

CONST(abs, 0x7fffffff)
CONST(fourteen, (14.0))
CONST(steep, (0.3))
CONST(density, (0.39894228))
CONST(minusHalf, (-0.5))
CONST(mills0, (6.6875317653e-6))
CONST(mills1, (0.11949586156))
CONST(mills2, (0.12186221808))
CONST(mills3, (0.09491009235))
CONST(mills4, (0.14200486607))
CONST(mills5, (-0.07573977545))
CONST(mills6, (0.22799094875))
CONST(mills7, (-0.16884272858))
CONST(mills8, (0.03831185824))

// With a = |x| and e = e^(−a²/2): Φ(−a) = e·m(a), so x·Φ(x) = max(x, 0) − a·e·m.
// The derivative Φ(x) + x·e/√2π of −a is w = e·(m − a/√2π), that of a is 1 − w.
// m, Mills' ratio over √2π, is a polynomial of degree 8 in 1/(1 + 0.3·a), fitted
// to 6e-8 of m up to a = 13.3, where e ends.
#define GELU8 \
	VANDPS abs<>(SB), Y0, Y6 \
	VMOVUPS fourteen<>(SB), Y1 \
	VMINPS Y6, Y1, Y6 \
	VMULPS Y6, Y6, Y3 \
	VMULPS minusHalf<>(SB), Y3, Y3 \
	EXP(Y3, Y4, Y5) \
	VMOVAPS Y13, Y1 \
	VFMADD231PS steep<>(SB), Y6, Y1 \
	VDIVPS Y1, Y13, Y1 \
	VMOVUPS mills8<>(SB), Y2 \
	VFMADD213PS mills7<>(SB), Y1, Y2 \
	VFMADD213PS mills6<>(SB), Y1, Y2 \
	VFMADD213PS mills5<>(SB), Y1, Y2 \
	VFMADD213PS mills4<>(SB), Y1, Y2 \
	VFMADD213PS mills3<>(SB), Y1, Y2 \
	VFMADD213PS mills2<>(SB), Y1, Y2 \
	VFMADD213PS mills1<>(SB), Y1, Y2 \
	VFMADD213PS mills0<>(SB), Y1, Y2 \
	VXORPS Y7, Y7, Y7 \
	VMAXPS Y0, Y7, Y1 \
	VMULPS Y2, Y5, Y3 \
	VFNMADD231PS Y3, Y6, Y1 \
	VFNMADD231PS density<>(SB), Y6, Y2 \
	VMULPS Y5, Y2, Y2 \
	VSUBPS Y2, Y13, Y3 \
	VCMPPS $30, Y7, Y0, Y4 \
	VBLENDVPS Y4, Y3, Y2, Y2


// func gelu8(y, d, x *float32, n int)
TEXT ·gelu8(SB), NOSPLIT, $0-32
	FUNCTION(geluLoop, geluSkip, GELU8)
