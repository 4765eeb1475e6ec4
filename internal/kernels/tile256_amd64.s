//go:build !purego

#include "go_asm.h"
#include "textflag.h"

// AVX2 and FMA: a tile of 6 rows by 16 columns.
#define C0 Y0
#define C1 Y1
#define C2 Y2
#define C3 Y3
#define C4 Y4
#define C5 Y5
#define C6 Y6
#define C7 Y7
#define B0 Y12
#define B1 Y13
#define T Y14
#define VB 32
#define TOP 6
#define TOP2 FOUR2(SI, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7); ROW2((R8), Y8, Y9); ROW2((R8)(R10*1), Y10, Y11)
#define TOP1 FOUR1(SI, Y0, Y2, Y4, Y6); ROW1((R8), Y8); ROW1((R8)(R10*1), Y10)
#define EACH(DO) EACH4(DO); DO(4, Y8, Y9); DO(5, Y10, Y11)

#include "tile_amd64.h"

// func tile256(p *tileArgs)
TEXT ·tile256(SB), NOSPLIT, $0-8
	TILES
