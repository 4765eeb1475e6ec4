// Products of bfloat16 in cells: squares of 32 × 32 numbers, which AMX's tiles
// take as they lie, and the vector instruction of AVX-512 too. cells.c packs and
// multiplies them.
#ifndef VL_CELLS_H
#define VL_CELLS_H
#include "product.h"

// A cell is dense. One of a first factor holds 32 rows of 32 terms. One of a
// second factor holds 32 terms of 32 columns, in two tiles of 16 columns, each 16
// rows of pairs: terms 2p and 2p+1 of a column lie side by side.
enum { CELL = 32, CELL_SIZE = CELL * CELL };

// Whether this processor multiplies cells, and the system lets it.
int vl_has_cells(void);
// Whether it does so in tiles, so much faster that sums of bf16 in the place of
// float32 pay.
int vl_has_tiles(void);
// Tests run what processors without tiles do. Not while kernels run.
void vl_cells_without_tiles(int yes);

// Between the two the calling thread may multiply.
void vl_cells_begin(void);
void vl_cells_end(void);

// Steps of a second factor, one cell after the other; panel: from its 32 columns
// to the next 32. Unless at is NULL the first factor's cells lie in a map: that of
// step i begins at[i] after from, and its rows are ld apart. Else they follow those
// of the run before, skip cells further on. parts: numbers are sums of so many (0 is
// 1), the further ones a_part and b_part behind each other. Of their products those
// are made that are not less than the last part alone. passing: b, of one part,
// passes by cells of a that stay in the nearest cache, and leaves it to them. terms: of
// the last step, or of every one, so many are not zeros (0 is all). Unless next is NULL
// rows from … to of those that are a's next are asked for meanwhile; they begin there,
// ld apart.
typedef struct {
	const uint16_t *b;
	vl_n steps, panel;
	const uint16_t *from;
	const vl_n *at;
	vl_n ld, skip, parts, a_part, b_part;
	int passing, terms, every;
	const uint16_t *next;
	vl_n next_from, next_to;
} vl_cell_run;

// Sums that go to rows of y, as elements from byte at on: bf16 or float32, added to
// what is there or not, with a bias or NULL. s is 32 wide. past: past the caches,
// for a y that they do not hold anyway, which then need not be fetched. A row of y
// that is NULL is left out. finish: NULL, or what happens to them before.
typedef struct {
	const float *s, *bias;
	vl_n rows, n, at;
	int acc, y16, past;
	void *const *y;
	const vl_finish *finish;
} vl_cell_put;

// c (32, 32) = Σ a·b over the steps of all runs, at panel j; a's cells follow each
// other where they are not in a map. The first rows and columns are made, and what comes
// along with them of 16, or of 8 rows. Sums are float32. Unless put is NULL they are put
// where it says, and c need not hold them: vectors put them at once, tiles while they
// make the next ones; until then they are before, and c holds them.
void vl_cells_multiply(vl_n rows, vl_n cols, const uint16_t *a, const vl_cell_run *runs, vl_n n, vl_n j, float *c, const vl_cell_put *put, vl_cell_put *before);
void vl_cells_put(const vl_cell_put *put);

// Turns a cell of float32: rows become columns.
void vl_cells_turn(float *c);

// How many cells k numbers take in a row.
static inline vl_n vl_cells(vl_n k) { return (k + CELL - 1) / CELL; }

// Of a number in memory.
static inline vl_n vl_bytes(int x16) { return x16 ? 2 : 4; }

// The packing of up to 32 rows of a first factor, or columns of a second one, of k
// terms. x is bf16 or float32, its rows are xp apart. What is missing of 32 is zero.
//
//	a         row i of x is row i, i < n
//	a_turned  column i of x is row i, i < n
//	b         column i of x is column i, i < n
//	b_turned  row i of x is column i, i < n
//
// _rows: x's rows lie wherever they are, NULL is a row of zeros; at is the first
// column. parts: of float32 so many are packed, apart from each other in out: rounded
// to bf16, what that leaves, and what that leaves, in turn rounded. A number is the
// sum of two to 2^-17 of itself, and the sum of three. vl_cells_b_parts is b or
// b_turned.
void vl_cells_a(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out);
void vl_cells_a_rows(const void *const *row, int x16, vl_n k, vl_n parts, vl_n apart, uint16_t *out);
void vl_cells_a_turned(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out);
void vl_cells_b(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out);
void vl_cells_b_rows(const void *const *row, int x16, vl_n at, vl_n n, vl_n k, uint16_t *out);
void vl_cells_b_turned(const void *x, int x16, vl_n xp, vl_n n, vl_n k, uint16_t *out);
void vl_cells_b_parts(const float *x, int turned, vl_n xp, vl_n n, vl_n k, vl_n parts, vl_n apart, uint16_t *out);

// A cell of a second factor whose terms are the columns of this one.
void vl_cells_b_turn(const uint16_t *cell, uint16_t *out);
#endif
