package kernels

// The product of float32 on vectors. A tile is a few rows of A, whose elements
// are spread over a vector each, by one or two vectors of B, so A need not be
// packed where it is a matrix: the tile takes any two strides. It writes rows of
// C itself; what is narrower than a panel, or scattered, goes through a copy.

// widest is the most columns that a tile has.
const widest = 32

// fewRows is up to how many rows of A packing B costs more than it saves.
const fewRows = 24

// tileArgs is a panel of C, m rows by one or two vectors of columns:
//
//	C[rows[i] + j] = α·Σ_pairs Σ_k a[i·is + k·ks]·b[k·bs + j] + bias[j]    (+ C if acc)
//
// Strides of pairs are in bytes, rows in elements. bias has two vectors.
type tileArgs struct {
	pairs [2]pair
	c     *float32
	rows  *int
	bias  *float32
	m     int
	half  int // 1: one vector of columns
	acc   int
	alpha float32
}

type pair struct {
	a, b          *float32
	k, is, ks, bs int
}

// columns is the width of a tile.
func (s isa) columns() int {
	if s == avx512 {
		return 32
	}
	return 16
}

func (p *tileArgs) run() {
	if simd == avx512 {
		tile512(p)
	} else {
		tile256(p)
	}
}

// rows takes rows ic … of A, terms pc …: where they lie, or packed row by row.
func (p *pair) rows(f *factors[float32], dst []float32, ic, in, pc, pn int) {
	p.k = pn
	if pn == 0 {
		return
	}
	if s := f.am; s != nil {
		at := ic*s.is + pc*s.ks
		_ = s.data[at+(in-1)*s.is+(pn-1)*s.ks]
		p.a, p.is, p.ks = &s.data[at], 4*s.is, 4*s.ks
		return
	}
	f.a(dst, ic, in, pc, pn, 1)
	p.a, p.is, p.ks = &dst[0], 4*pn, 4
}

func runWide(g *gemm[float32], ws *workspace[float32]) {
	w := simd.columns()
	if g.n <= w/2 && g.n < g.m && transposable(g) {
		// A few columns, as the gradient of an adapter's second factor has: those of
		// Cᵀ are many, and A is read along its rows.
		t := *g
		t.m, t.n, t.rs, t.cs = g.n, g.m, g.cs, g.rs
		t.a, t.b, t.am, t.bm = g.b, g.a, g.bm, g.am
		g = &t
	}
	p := tileArgs{alpha: g.alpha}
	for jc := 0; jc < g.n; jc += nc {
		jn := min(nc, g.n-jc)
		for pc := 0; pc == 0 || pc < g.k; pc += kc {
			pn := min(kc, g.k-pc)
			direct := 0 // panels of B that are read where they lie
			if g.m <= fewRows && g.bm != nil && g.bm.is == 1 && pn > 0 {
				direct = jn / w * w
			}
			g.b(ws.b[:], jc+direct, jn-direct, pc, pn, w)
			thin := 0
			if pc+pn == g.k && g.thin.k > 0 {
				thin = g.thin.k
				g.thin.b(ws.thinB[:], jc, jn, 0, thin, w)
			}
			for ic := 0; ic < g.m; ic += mc {
				in := min(mc, g.m-ic)
				p.pairs[0].rows(&g.factors, ws.a[:], ic, in, pc, pn)
				p.pairs[1].rows(&g.thin, ws.thinA[:], ic, in, 0, thin)
				rows := g.place(ws, ic, in)
				for j := 0; j < jn; j += w {
					if j < direct {
						at := jc + j + pc*g.bm.ks
						_ = g.bm.data[at+(pn-1)*g.bm.ks+w-1]
						p.pairs[0].b, p.pairs[0].bs = &g.bm.data[at], 4*g.bm.ks
					} else {
						p.pairs[0].b, p.pairs[0].bs = &ws.b[(j-direct)*pn], 4*w
					}
					p.pairs[1].b, p.pairs[1].bs = &ws.thinB[j*thin], 4*w
					panel(g, ws, &p, rows, jc+j, min(w, jn-j), w, pc == 0)
				}
			}
		}
	}
}

// transposable reports whether Cᵀ = Bᵀ·Aᵀ is better: A lies transposed.
func transposable(g *gemm[float32]) bool {
	return g.am != nil && g.bm != nil && g.am.is == 1 && g.am.ks != 1 && g.thin.k == 0 && g.bias == nil && g.rows == nil && g.cols == nil
}

// panel writes columns j … j+wide−1 of the given rows; w is a panel's width.
func panel(g *gemm[float32], ws *workspace[float32], p *tileArgs, rows []int, j, wide, w int, first bool) {
	acc := !first || g.acc
	bias := ws.bias[:w]
	clear(bias)
	if first && g.bias != nil {
		copy(bias, g.bias[j:j+wide])
	}
	p.m, p.bias, p.half, p.acc = len(rows), &bias[0], 0, 0
	if wide <= w/2 {
		p.half = 1
		w /= 2
	}
	if wide == w && g.cs == 1 && g.cols == nil {
		if acc {
			p.acc = 1
		}
		_ = g.c[rows[len(rows)-1]+j+w-1]
		p.c, p.rows = &g.c[j], &rows[0]
		p.run()
		return
	}
	for i := range rows {
		ws.lines[i] = i * w
	}
	p.c, p.rows = &ws.c[0], &ws.lines[0]
	p.run()
	for i, at := range rows {
		from := ws.c[i*w : i*w+wide]
		if g.cs == 1 && g.cols == nil {
			to := g.c[at+j : at+j+wide]
			if acc {
				for c, v := range from {
					to[c] += v
				}
			} else {
				copy(to, from)
			}
			continue
		}
		for c, v := range from {
			q := at + (j+c)*g.cs
			if g.cols != nil {
				q = at + g.cols[j+c]
			}
			if acc {
				v += g.c[q]
			}
			g.c[q] = v
		}
	}
}
