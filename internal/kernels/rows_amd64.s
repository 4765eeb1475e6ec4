//go:build !purego

#include "textflag.h"

// Rows that are bound by memory, 8 numbers at a time (AVX2).

#define THREE(loop, body) \
	MOVQ y+0(FP), DI \
	MOVQ x+8(FP), SI \
	MOVQ z+16(FP), DX \
	MOVQ n+24(FP), CX \
	XORQ AX, AX \
loop: \
	VMOVUPS (SI)(AX*4), Y0 \
	body \
	VMOVUPS Y0, (DI)(AX*4) \
	ADDQ $8, AX \
	CMPQ AX, CX \
	JLT loop \
	VZEROUPPER \
	RET

#define PLUS VADDPS (DX)(AX*4), Y0, Y0
#define MINUS VSUBPS (DX)(AX*4), Y0, Y0
#define TIMES VMULPS (DX)(AX*4), Y0, Y0
#define TIMESPLUS TIMES; VADDPS (DI)(AX*4), Y0, Y0

#define TWO(loop, body) \
	MOVQ y+0(FP), DI \
	MOVQ x+8(FP), SI \
	MOVQ n+16(FP), CX \
	VBROADCASTSS lo+24(FP), Y14 \
	VBROADCASTSS hi+28(FP), Y15 \
	XORQ AX, AX \
loop: \
	VMOVUPS (SI)(AX*4), Y0 \
	body \
	VMOVUPS Y0, (DI)(AX*4) \
	ADDQ $8, AX \
	CMPQ AX, CX \
	JLT loop \
	VZEROUPPER \
	RET

// NaN stays NaN: VMAXPS and VMINPS give their first operand here where one is.
#define CLIP \
	VMAXPS Y0, Y14, Y0 \
	VMINPS Y0, Y15, Y0

// 1 where x > lo and not x ≥ hi.
#define BETWEEN \
	VCMPPS $30, Y14, Y0, Y1 \
	VCMPPS $25, Y15, Y0, Y2 \
	VANDPS Y1, Y2, Y1 \
	VANDPS unit<>(SB), Y1, Y0

DATA unit<>+0(SB)/8, $0x3f8000003f800000
DATA unit<>+8(SB)/8, $0x3f8000003f800000
DATA unit<>+16(SB)/8, $0x3f8000003f800000
DATA unit<>+24(SB)/8, $0x3f8000003f800000
GLOBL unit<>(SB), RODATA|NOPTR, $32

// func add8(y, x, z *float32, n int)
TEXT ·add8(SB), NOSPLIT, $0-32
	THREE(loop, PLUS)

// func sub8(y, x, z *float32, n int)
TEXT ·sub8(SB), NOSPLIT, $0-32
	THREE(loop, MINUS)

// func mul8(y, x, z *float32, n int)
TEXT ·mul8(SB), NOSPLIT, $0-32
	THREE(loop, TIMES)

// func mulAdd8(y, x, z *float32, n int)
TEXT ·mulAdd8(SB), NOSPLIT, $0-32
	THREE(loop, TIMESPLUS)

// func scale8(y, x *float32, n int, by float32)
TEXT ·scale8(SB), NOSPLIT, $0-28
	MOVQ y+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS by+24(FP), Y15
	XORQ AX, AX
loop:
	VMULPS (SI)(AX*4), Y15, Y0
	VMOVUPS Y0, (DI)(AX*4)
	ADDQ $8, AX
	CMPQ AX, CX
	JLT loop
	VZEROUPPER
	RET

// func clip8(y, x *float32, n int, lo, hi float32)
TEXT ·clip8(SB), NOSPLIT, $0-32
	TWO(loop, CLIP)

// func between8(y, x *float32, n int, lo, hi float32)
TEXT ·between8(SB), NOSPLIT, $0-32
	TWO(loop, BETWEEN)

// func dot8(x, z *float32, n int) (sum float64)
TEXT ·dot8(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ z+8(FP), DX
	MOVQ n+16(FP), CX
	XORQ AX, AX
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
loop:
	VCVTPS2PD (SI)(AX*4), Y0
	VCVTPS2PD 16(SI)(AX*4), Y1
	VCVTPS2PD (DX)(AX*4), Y2
	VCVTPS2PD 16(DX)(AX*4), Y3
	VFMADD231PD Y0, Y2, Y4
	VFMADD231PD Y1, Y3, Y5
	ADDQ $8, AX
	CMPQ AX, CX
	JLT loop
	VADDPD Y5, Y4, Y4
	VEXTRACTF128 $1, Y4, X5
	VADDPD X5, X4, X4
	VHADDPD X4, X4, X4
	VMOVSD X4, sum+24(FP)
	VZEROUPPER
	RET

// func centre8(y, p, z *float32, n int, mean float32)
TEXT ·centre8(SB), NOSPLIT, $0-36
	MOVQ y+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ z+16(FP), DX
	MOVQ n+24(FP), CX
	VBROADCASTSS mean+32(FP), Y15
	XORQ AX, AX
loop:
	VMOVUPS (DX)(AX*4), Y0
	VSUBPS Y15, Y0, Y0
	VMULPS (SI)(AX*4), Y0, Y0
	VMOVUPS Y0, (DI)(AX*4)
	ADDQ $8, AX
	CMPQ AX, CX
	JLT loop
	VZEROUPPER
	RET

// func larger8(top *float32, best *uint8, x *float32, n int, place uint8)
TEXT ·larger8(SB), NOSPLIT, $0-33
	MOVQ top+0(FP), DI
	MOVQ best+8(FP), DX
	MOVQ x+16(FP), SI
	MOVQ n+24(FP), CX
	VPBROADCASTB place+32(FP), X15
	XORQ AX, AX
loop:
	VMOVUPS (SI)(AX*4), Y0
	VMOVUPS (DI)(AX*4), Y1
	VCMPPS $30, Y1, Y0, Y2
	VCMPPS $3, Y0, Y0, Y3
	VORPS Y3, Y2, Y2
	VBLENDVPS Y2, Y0, Y1, Y1
	VMOVUPS Y1, (DI)(AX*4)
	VEXTRACTF128 $1, Y2, X3
	VPACKSSDW X3, X2, X2
	VPACKSSWB X2, X2, X2
	VMOVQ (DX)(AX*1), X4
	VPBLENDVB X2, X15, X4, X4
	VMOVQ X4, (DX)(AX*1)
	ADDQ $8, AX
	CMPQ AX, CX
	JLT loop
	VZEROUPPER
	RET

// func max8(x *float32, n int) (top float32)
TEXT ·max8(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	XORQ AX, AX
	VMOVUPS (SI), Y0
loop:
	VMAXPS (SI)(AX*4), Y0, Y0
	ADDQ $8, AX
	CMPQ AX, CX
	JLT loop
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VMOVHLPS X0, X0, X1
	VMAXPS X1, X0, X0
	VMOVSHDUP X0, X1
	VMAXSS X1, X0, X0
	VMOVSS X0, top+16(FP)
	VZEROUPPER
	RET
