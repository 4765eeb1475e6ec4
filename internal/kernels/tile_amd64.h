// The register tile of the packed product, written once for both instruction
// sets. The including file defines
//
//	C0 … C23     registers of sums: rows in twos, C(2r) the left half of row r
//	B0, B1, T    two vectors of B, one of A
//	VB           bytes of a vector
//	TOP          rows of the tall tile, with TOP2, TOP1 and EACH: its products
//	             with two vectors and with one, and what is done with each row
//
// Register use, from the first row of a tile on:
//
//	AX  arguments     DX  row of C, counted up      CX  rows left
//	R14 pair          DI  terms left                R10 … R13  is, 3·is, ks, bs
//	SI, R8, R9        rows 0, 4 and 8 of A          BX  B

// Row r of A by B's vectors: two, or the left one.
#define ROW2(at, l, r) VBROADCASTSS at, T; VFMADD231PS B0, T, l; VFMADD231PS B1, T, r
#define ROW1(at, l) VBROADCASTSS at, T; VFMADD231PS B0, T, l
#define FOUR2(p, c0, c1, c2, c3, c4, c5, c6, c7) ROW2((p), c0, c1); ROW2((p)(R10*1), c2, c3); ROW2((p)(R10*2), c4, c5); ROW2((p)(R11*1), c6, c7)
#define FOUR1(p, c0, c2, c4, c6) ROW1((p), c0); ROW1((p)(R10*1), c2); ROW1((p)(R10*2), c4); ROW1((p)(R11*1), c6)

#define EACH1(DO) DO(0, C0, C1)
#define EACH4(DO) EACH1(DO); DO(1, C2, C3); DO(2, C4, C5); DO(3, C6, C7)

#define ZERO2(i, l, r) VXORPS l, l, l; VXORPS r, r, r
#define SCALE2(i, l, r) VFMADD213PS B0, T, l; VFMADD213PS B1, T, r
#define SCALE1(i, l, r) VFMADD213PS B0, T, l
#define AT(i) MOVQ (8*i)(SI), R8; LEAQ (DI)(R8*4), R8
#define ADD2(i, l, r) AT(i); VADDPS (R8), l, l; VADDPS VB(R8), r, r
#define ADD1(i, l, r) AT(i); VADDPS (R8), l, l
#define PUT2(i, l, r) AT(i); VMOVUPS l, (R8); VMOVUPS r, VB(R8)
#define PUT1(i, l, r) AT(i); VMOVUPS l, (R8)

// A pair of factors: skipped where it has no terms.
#define PAIR(next) \
	MOVQ pair_k(R14), DI \
	TESTQ DI, DI \
	JZ next \
	MOVQ pair_is(R14), R10 \
	LEAQ (R10)(R10*2), R11 \
	MOVQ pair_ks(R14), R12 \
	MOVQ pair_bs(R14), R13 \
	MOVQ pair_b(R14), BX \
	MOVQ DX, SI \
	IMULQ R10, SI \
	ADDQ pair_a(R14), SI \
	LEAQ (SI)(R10*4), R8 \
	LEAQ (R8)(R10*4), R9

// One step along k.
#define STEP(loop) \
	ADDQ R12, SI \
	ADDQ R12, R8 \
	ADDQ R12, R9 \
	ADDQ R13, BX \
	DECQ DI \
	JNZ loop

#define NEXT_PAIR(again) \
	ADDQ $pair__size, R14 \
	LEAQ (2*pair__size)(AX), DI \
	CMPQ R14, DI \
	JNE again

// α·sums + bias; and whether C's own value is added.
#define SCALED \
	MOVQ tileArgs_bias(AX), R8 \
	VMOVUPS (R8), B0 \
	VMOVUPS VB(R8), B1 \
	VBROADCASTSS tileArgs_alpha(AX), T
#define PLACED \
	MOVQ tileArgs_rows(AX), SI \
	LEAQ (SI)(DX*8), SI \
	MOVQ tileArgs_c(AX), DI \
	CMPQ tileArgs_acc(AX), $0

#define TILE(rows, each, load, products, zero, scale, add, put, begin, again, loop, next, set, end) \
begin: \
	CMPQ CX, $rows \
	JLT end \
	each(zero) \
	MOVQ AX, R14 \
again: \
	PAIR(next) \
loop: \
	load \
	products \
	STEP(loop) \
next: \
	NEXT_PAIR(again) \
	SCALED \
	each(scale) \
	PLACED \
	JE set \
	each(add) \
set: \
	each(put) \
	ADDQ $rows, DX \
	SUBQ $rows, CX \
	JMP begin \
end:

#define LOAD2 VMOVUPS (BX), B0; VMOVUPS VB(BX), B1
#define LOAD1 VMOVUPS (BX), B0

#define TILES \
	MOVQ p+0(FP), AX \
	MOVQ tileArgs_m(AX), CX \
	XORQ DX, DX \
	CMPQ tileArgs_half(AX), $0 \
	JNE half \
	TILE(TOP, EACH, LOAD2, TOP2, ZERO2, SCALE2, ADD2, PUT2, top, topPair, topLoop, topNext, topSet, four) \
	TILE(4, EACH4, LOAD2, FOUR2(SI, C0, C1, C2, C3, C4, C5, C6, C7), ZERO2, SCALE2, ADD2, PUT2, fourBegin, fourPair, fourLoop, fourNext, fourSet, one) \
	TILE(1, EACH1, LOAD2, ROW2((SI), C0, C1), ZERO2, SCALE2, ADD2, PUT2, oneBegin, onePair, oneLoop, oneNext, oneSet, done) \
	VZEROUPPER \
	RET \
half: \
	TILE(TOP, EACH, LOAD1, TOP1, ZERO2, SCALE1, ADD1, PUT1, halfTop, halfTopPair, halfTopLoop, halfTopNext, halfTopSet, halfFour) \
	TILE(4, EACH4, LOAD1, FOUR1(SI, C0, C2, C4, C6), ZERO2, SCALE1, ADD1, PUT1, halfFourBegin, halfFourPair, halfFourLoop, halfFourNext, halfFourSet, halfOne) \
	TILE(1, EACH1, LOAD1, ROW1((SI), C0), ZERO2, SCALE1, ADD1, PUT1, halfOneBegin, halfOnePair, halfOneLoop, halfOneNext, halfOneSet, halfDone) \
	VZEROUPPER \
	RET
