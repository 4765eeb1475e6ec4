package kernels

import (
	"sync"

	"github.com/vislora/vislora/internal/buffer"
)

// The portable product follows Goto & van de Geijn (doi:10.1145/1356052.1356053):
// blocks of B and A are packed into panels that fit the caches, and a register
// tile of mr×nr runs down the panels. What is multiplied is behind [packer], so
// a convolution packs straight from the picture and no column matrix exists.
// float32 has a wider tile where the processor has one: see go_gemm_wide.go.
const (
	mr = 4 // rows of a register tile
	nr = 2 // columns; 8 sums, 4 + 2 operands fit the 15 scalar registers of amd64
	mc = 96
	kc = 256
	nc = 512

	thinTerms = 128 // of a thin pair at most, to be summed with the product
)

// packer writes vectors i0 … i0+n−1, elements k0 … k0+kn−1, as panels of w
// vectors: panel p, element k, vector r at dst[(p·kn + k)·w + r]. The last panel
// is padded with zeros.
type packer[T buffer.Float] func(dst []T, i0, n, k0, kn, w int)

// strided is a matrix: vector i, element k at i·is + k·ks.
type strided[T buffer.Float] struct {
	data   []T
	is, ks int
}

func (s *strided[T]) pack(dst []T, i0, n, k0, kn, w int) {
	if kn == 0 {
		return
	}
	for i := 0; i < n; i += w {
		wide := min(w, n-i)
		panel := dst[:kn*w]
		dst = dst[kn*w:]
		if wide < w {
			clear(panel)
		}
		packPanel(panel, s.data[(i0+i)*s.is+k0*s.ks:], s.is, s.ks, wide, kn, w)
	}
}

// packPanel writes the first wide vectors of a panel: element k of vector r is
// src[r·is + k·ks].
func packPanel[T buffer.Float](panel, src []T, is, ks, wide, kn, w int) {
	if is == 1 {
		for k := range kn {
			copy(panel[k*w:k*w+wide], src[k*ks:])
		}
		return
	}
	r := 0
	if ks == 1 {
		r = turn(panel, w, src, is, wide, kn)
	}
	for ; r < wide; r++ {
		at := r * is
		if ks == 1 {
			for k, v := range src[at : at+kn] {
				panel[k*w+r] = v
			}
			continue
		}
		for k := range kn {
			panel[k*w+r] = src[at+k*ks]
		}
	}
}

// placer gives the offsets of output rows i0 … i0+len(dst)−1, which grow.
type placer interface {
	place(dst []int, i0 int)
}

// factors are the two of a product with k terms.
type factors[T buffer.Float] struct {
	k      int
	a, b   packer[T]
	am, bm *strided[T] // what a and b pack, where that is a matrix
}

// matrices is a product of two matrices.
func matrices[T buffer.Float](k int, a, b *strided[T]) factors[T] {
	return factors[T]{k: k, a: a.pack, b: b.pack, am: a, bm: b}
}

// gemm is C = α·(A·B + thin) + bias, or C += …, over packed operands.
type gemm[T buffer.Float] struct {
	m, n int
	factors[T]
	thin   factors[T] // with no terms: none
	c      []T
	rs, cs int    // element (i, j) of C at i·rs + j·cs, unless
	rows   placer // … gives the rows' offsets
	cols   []int  // … gives the columns' offsets
	bias   []T
	alpha  T
	acc    bool
}

// workspace holds the packed blocks of one product in flight, and a panel of C
// that lies elsewhere than in rows.
type workspace[T buffer.Float] struct {
	a [mc * kc]T
	b [kc * nc]T
	// those of the thin factors
	thinA [mc * thinTerms]T
	thinB [thinTerms * nc]T
	c     [mc * widest]T
	bias  [widest]T
	// offsets of rows in C, and in c
	rows, lines [mc]int
	weights     []T // of a convolution, taps outermost
	next        *workspace[T]
}

// workspaces keeps as many workspaces as products ever ran at once; they are
// never given back, so that a Run allocates nothing once it has run.
type workspaces[T buffer.Float] struct {
	mu   sync.Mutex
	free *workspace[T]
}

var (
	workspaces32 workspaces[float32]
	workspaces64 workspaces[float64]
)

func pooled[T buffer.Float]() *workspaces[T] {
	var p any = &workspaces32
	if q, ok := p.(*workspaces[T]); ok {
		return q
	}
	p = &workspaces64
	return p.(*workspaces[T])
}

func (p *workspaces[T]) get() *workspace[T] {
	p.mu.Lock()
	ws := p.free
	if ws != nil {
		p.free = ws.next
	}
	p.mu.Unlock()
	if ws == nil {
		ws = new(workspace[T])
	}
	return ws
}

func (p *workspaces[T]) put(ws *workspace[T]) {
	p.mu.Lock()
	ws.next, p.free = p.free, ws
	p.mu.Unlock()
}

// run computes the product with the given workspace.
func (g *gemm[T]) run(ws *workspace[T]) {
	if g.m == 0 || g.n == 0 {
		return
	}
	w, ok := any(g).(*gemm[float32])
	wide := ok && simd != noSIMD
	if g.thin.k > 0 && (!wide || g.thin.k > thinTerms) {
		base, thin := *g, *g
		base.thin, thin.thin = factors[T]{}, factors[T]{}
		thin.factors, thin.bias, thin.acc = g.thin, nil, true
		base.run(ws)
		thin.run(ws)
		return
	}
	if wide {
		runWide(w, any(ws).(*workspace[float32]))
		return
	}
	for jc := 0; jc < g.n; jc += nc {
		jn := min(nc, g.n-jc)
		// An empty sum still writes the bias, so the loop runs at least once.
		for pc := 0; pc == 0 || pc < g.k; pc += kc {
			pn := min(kc, g.k-pc)
			g.b(ws.b[:], jc, jn, pc, pn, nr)
			for ic := 0; ic < g.m; ic += mc {
				in := min(mc, g.m-ic)
				g.a(ws.a[:], ic, in, pc, pn, mr)
				g.block(ws, g.place(ws, ic, in), jc, jn, pn, pc == 0)
			}
		}
	}
}

// place gives the offsets in C of n rows from i0 on.
func (g *gemm[T]) place(ws *workspace[T], i0, n int) []int {
	rows := ws.rows[:n]
	if g.rows != nil {
		g.rows.place(rows, i0)
		return rows
	}
	for i := range rows {
		rows[i] = (i0 + i) * g.rs
	}
	return rows
}

// block multiplies the packed blocks and writes the tile of C.
func (g *gemm[T]) block(ws *workspace[T], rows []int, jc, jn, pn int, first bool) {
	for j := 0; j < jn; j += nr {
		b := ws.b[j*pn : (j+nr)*pn]
		wide := min(nr, jn-j)
		var col [nr]int
		var bias [nr]T
		for c := range wide {
			if g.cols != nil {
				col[c] = g.cols[jc+j+c]
			} else {
				col[c] = (jc + j + c) * g.cs
			}
			if first && g.bias != nil {
				bias[c] = g.bias[jc+j+c]
			}
		}
		for i := 0; i < len(rows); i += mr {
			var t [mr * nr]T
			t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7] = tile(ws.a[i*pn:(i+mr)*pn], b)
			for r := range min(mr, len(rows)-i) {
				at := rows[i+r]
				for c := range wide {
					v := g.alpha*t[r*nr+c] + bias[c]
					p := &g.c[at+col[c]]
					if first && !g.acc {
						*p = v
					} else {
						*p += v
					}
				}
			}
		}
	}
}

// tile is the register tile: 4 rows by 2 columns.
func tile[T buffer.Float](a, b []T) (c00, c01, c10, c11, c20, c21, c30, c31 T) {
	for len(a) >= 8 && len(b) >= 4 {
		b0, b1 := b[0], b[1]
		a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
		c00 += a0 * b0
		c01 += a0 * b1
		c10 += a1 * b0
		c11 += a1 * b1
		c20 += a2 * b0
		c21 += a2 * b1
		c30 += a3 * b0
		c31 += a3 * b1
		b0, b1 = b[2], b[3]
		a0, a1, a2, a3 = a[4], a[5], a[6], a[7]
		c00 += a0 * b0
		c01 += a0 * b1
		c10 += a1 * b0
		c11 += a1 * b1
		c20 += a2 * b0
		c21 += a2 * b1
		c30 += a3 * b0
		c31 += a3 * b1
		a, b = a[8:], b[4:]
	}
	if len(a) >= 4 && len(b) >= 2 {
		b0, b1 := b[0], b[1]
		c00 += a[0] * b0
		c01 += a[0] * b1
		c10 += a[1] * b0
		c11 += a[1] * b1
		c20 += a[2] * b0
		c21 += a[2] * b1
		c30 += a[3] * b0
		c31 += a[3] * b1
	}
	return
}
