//go:build !purego

#include "go_asm.h"
#include "textflag.h"

// AVX-512: a tile of 12 rows by 32 columns.
#define C0 Z0
#define C1 Z1
#define C2 Z2
#define C3 Z3
#define C4 Z4
#define C5 Z5
#define C6 Z6
#define C7 Z7
#define B0 Z24
#define B1 Z25
#define T Z26
#define VB 64
#define TOP 12
#define TOP2 FOUR2(SI, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7); FOUR2(R8, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15); FOUR2(R9, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23)
#define TOP1 FOUR1(SI, Z0, Z2, Z4, Z6); FOUR1(R8, Z8, Z10, Z12, Z14); FOUR1(R9, Z16, Z18, Z20, Z22)
#define EACH(DO) EACH4(DO); DO(4, Z8, Z9); DO(5, Z10, Z11); DO(6, Z12, Z13); DO(7, Z14, Z15); DO(8, Z16, Z17); DO(9, Z18, Z19); DO(10, Z20, Z21); DO(11, Z22, Z23)

#include "tile_amd64.h"

// func tile512(p *tileArgs)
TEXT ·tile512(SB), NOSPLIT, $0-8
	TILES
