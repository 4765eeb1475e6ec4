package kernels

import "github.com/vislora/vislora/internal/buffer"

// tap is one position of the kernel: where it reads relative to the grid, and
// its index kh·KW + kw in the weights.
type tap struct{ h, w, index int }

// gather is the column matrix of a convolution that nobody stores. Row i is the
// cell (n, gh, gw) of a grid, column k the pair (tap, channel); the element is
//
//	data[((n·H + gh·mulH + tap.h)·W + gw·mulW + tap.w)·pitch + chan + c], 0 outside the map
type gather[T buffer.Float] struct {
	data         []T
	h, w, pitch  int
	chan0, chans int
	gh, gw       int // the grid
	mulH, mulW   int
	taps         []tap
	byColumn     bool // pack columns as vectors along the grid (backward weights)
}

// row is the offset of cell i under tap t, or −1 outside the map.
func (g *gather[T]) row(n, y, x int, t tap) int {
	h, w := y*g.mulH+t.h, x*g.mulW+t.w
	if uint(h) >= uint(g.h) || uint(w) >= uint(g.w) {
		return -1
	}
	return ((n*g.h+h)*g.w+w)*g.pitch + g.chan0
}

func (g *gather[T]) pack(dst []T, i0, n, k0, kn, w int) {
	if g.byColumn {
		g.packColumns(dst, i0, n, k0, kn, w)
		return
	}
	for i := 0; i < n; i += w {
		panel := dst[:kn*w]
		dst = dst[kn*w:]
		for r := range w {
			if i+r >= n {
				for k := range kn {
					panel[k*w+r] = 0
				}
				continue
			}
			cell := i0 + i + r
			x, y, pic := cell%g.gw, cell/g.gw%g.gh, cell/(g.gw*g.gh)
			for k := 0; k < kn; {
				t, c := (k0+k)/g.chans, (k0+k)%g.chans
				run := min(g.chans-c, kn-k)
				if at := g.row(pic, y, x, g.taps[t]); at < 0 {
					for j := range run {
						panel[(k+j)*w+r] = 0
					}
				} else {
					for j, v := range g.data[at+c : at+c+run] {
						panel[(k+j)*w+r] = v
					}
				}
				k += run
			}
		}
	}
}

// packColumns packs (tap, channel) pairs as vectors whose elements run along
// the grid.
func (g *gather[T]) packColumns(dst []T, i0, n, k0, kn, w int) {
	for i := 0; i < n; i += w {
		panel := dst[:kn*w]
		dst = dst[kn*w:]
		for r := range w {
			if i+r >= n {
				for k := range kn {
					panel[k*w+r] = 0
				}
				continue
			}
			t, c := g.taps[(i0+i+r)/g.chans], (i0+i+r)%g.chans
			x, y, pic := k0%g.gw, k0/g.gw%g.gh, k0/(g.gw*g.gh)
			for k := range kn {
				var v T
				if at := g.row(pic, y, x, t); at >= 0 {
					v = g.data[at+c]
				}
				panel[k*w+r] = v
				if x++; x == g.gw {
					x = 0
					if y++; y == g.gh {
						y, pic = 0, pic+1
					}
				}
			}
		}
	}
}

// filter packs OIHW weights: vector i, element k = (tap, channel) at
// base + i·is + c·cs + tap.index.
type filter[T buffer.Float] struct {
	data   []T
	base   int
	is, cs int
	chans  int
	taps   []tap
}

func (f *filter[T]) pack(dst []T, i0, n, k0, kn, w int) {
	for i := 0; i < n; i += w {
		panel := dst[:kn*w]
		dst = dst[kn*w:]
		for r := range w {
			at := f.base + (i0+i+r)*f.is
			t, c := k0/f.chans, k0%f.chans
			for k := range kn {
				var v T
				if i+r < n {
					v = f.data[at+c*f.cs+f.taps[t].index]
				}
				panel[k*w+r] = v
				if c++; c == f.chans {
					c, t = 0, t+1
				}
			}
		}
	}
}

// convShape names the sizes of a convolution.
type convShape struct {
	n, h, w, cin, oh, ow, cout, kh, kw int
	groups, cg, og, kk                 int // channels per group in and out, kernel area
	xp, yp                             int
}

func shapeOf(p Conv) convShape {
	x, w, y := p.X.Shape, p.W.Shape, p.Y.Shape
	return convShape{
		n: x[0], h: x[1], w: x[2], cin: x[3], oh: y[1], ow: y[2], cout: y[3], kh: w[2], kw: w[3],
		groups: p.Groups, cg: x[3] / p.Groups, og: y[3] / p.Groups, kk: w[2] * w[3],
		xp: p.X.Pitch, yp: p.Y.Pitch,
	}
}

func (s convShape) depthwise() bool { return s.groups > 1 && s.cg == 1 && s.og == 1 }

// taps lists where the kernel reads the input, relative to (oh·stride, ow·stride).
func taps(p Conv, s convShape) []tap {
	ts := make([]tap, 0, s.kk)
	for kh := range s.kh {
		for kw := range s.kw {
			ts = append(ts, tap{kh*p.Dilation[0] - p.Pads[0], kw*p.Dilation[1] - p.Pads[1], kh*s.kw + kw})
		}
	}
	return ts
}

// columns is the column matrix of the input of group 0.
func columns[T buffer.Float](p Conv, s convShape) *gather[T] {
	return &gather[T]{
		data: buffer.Floats[T](p.X), h: s.h, w: s.w, pitch: s.xp, chans: s.cg, gh: s.oh, gw: s.ow,
		mulH: p.Stride[0], mulW: p.Stride[1], taps: taps(p, s),
	}
}

func convForward[T buffer.Float](p Conv) Run {
	s := shapeOf(p)
	if s.depthwise() {
		return depthwise[T](p, s)
	}
	x := columns[T](p, s)
	w := &filter[T]{data: buffer.Floats[T](p.W), is: s.cg * s.kk, cs: s.kk, chans: s.cg, taps: x.taps}
	g := &gemm[T]{m: s.n * s.oh * s.ow, n: s.og, k: s.kk * s.cg, a: x.pack, b: w.pack, rs: s.yp, cs: 1, alpha: 1, acc: p.Accumulate}
	y := buffer.Floats[T](p.Y)
	var bias []T
	if p.Bias != nil {
		bias = buffer.Floats[T](p.Bias)
	}
	free := pooled[T]()
	free.put(free.get())
	return func() {
		if g.m == 0 {
			return
		}
		ws := free.get()
		for i := range s.groups {
			x.chan0, w.base, g.c = i*s.cg, i*s.og*w.is, y[i*s.og:]
			if bias != nil {
				g.bias = bias[i*s.og:]
			}
			g.run(ws)
		}
		free.put(ws)
	}
}

// phase is the part of the input whose rows are a (mod stride): all its pixels
// are reached by the same taps, so its gradient is one dense product.
type phase struct {
	offset       int // of the first pixel
	gh, gw       int // pixels of this phase in a picture
	stepH, stepW int // elements between neighbours of the phase
	picture      int // elements between pictures
}

// place implements placer.
func (f *phase) place(dst []int, i0 int) {
	x, y, pic := i0%f.gw, i0/f.gw%f.gh, i0/(f.gw*f.gh)
	for i := range dst {
		dst[i] = f.offset + pic*f.picture + y*f.stepH + x*f.stepW
		if x++; x == f.gw {
			x = 0
			if y++; y == f.gh {
				y, pic = 0, pic+1
			}
		}
	}
}

func convBackwardData[T buffer.Float](p Conv) Run {
	s := shapeOf(p)
	if s.depthwise() {
		return depthwiseBackwardData[T](p, s)
	}
	x, y, wd := buffer.Floats[T](p.X), buffer.Floats[T](p.Y), buffer.Floats[T](p.W)
	type part struct {
		g   *gemm[T]
		col *gather[T]
		wt  *filter[T]
	}
	var parts []part
	sh, sw := p.Stride[0], p.Stride[1]
	for a := range min(sh, s.h) {
		for b := range min(sw, s.w) {
			var ts []tap
			for _, t := range taps(p, s) {
				// Input row h = a + sh·i is read by tap t of output row (h − t.h)/sh.
				if (a-t.h)%sh == 0 && (b-t.w)%sw == 0 {
					ts = append(ts, tap{(a - t.h) / sh, (b - t.w) / sw, t.index})
				}
			}
			f := &phase{offset: (a*s.w + b) * s.xp, gh: (s.h - a + sh - 1) / sh, gw: (s.w - b + sw - 1) / sw,
				stepH: sh * s.w * s.xp, stepW: sw * s.xp, picture: s.h * s.w * s.xp}
			col := &gather[T]{data: y, h: s.oh, w: s.ow, pitch: s.yp, chans: s.og, gh: f.gh, gw: f.gw, mulH: 1, mulW: 1, taps: ts}
			wt := &filter[T]{data: wd, is: s.kk, cs: s.cg * s.kk, chans: s.og, taps: ts}
			g := &gemm[T]{m: s.n * f.gh * f.gw, n: s.cg, k: len(ts) * s.og, a: col.pack, b: wt.pack, rows: f, cs: 1, alpha: 1, acc: p.Accumulate}
			parts = append(parts, part{g, col, wt})
		}
	}
	free := pooled[T]()
	free.put(free.get())
	return func() {
		if len(x) == 0 {
			return
		}
		ws := free.get()
		for i := range s.groups {
			for _, q := range parts {
				q.col.chan0, q.wt.base, q.g.c = i*s.og, i*s.og*s.cg*s.kk, x[i*s.cg:]
				q.g.run(ws)
			}
		}
		free.put(ws)
	}
}

func convBackwardWeights[T buffer.Float](p Conv) Run {
	s := shapeOf(p)
	bias := func() {}
	if p.Bias != nil {
		bias = columnSum[T](ColumnSum{X: p.Y, Y: p.Bias, Accumulate: p.Accumulate})
	}
	if s.depthwise() {
		run := depthwiseBackwardWeights[T](p, s)
		return func() { run(); bias() }
	}
	x := columns[T](p, s)
	x.byColumn = true
	y, w := buffer.Floats[T](p.Y), buffer.Floats[T](p.W)
	dy := &strided[T]{is: 1, ks: s.yp}
	g := &gemm[T]{m: s.og, n: s.kk * s.cg, k: s.n * s.oh * s.ow, a: dy.pack, b: x.pack, am: dy, rs: s.cg * s.kk, alpha: 1, acc: p.Accumulate}
	g.cols = make([]int, g.n)
	for i := range g.cols {
		g.cols[i] = i%s.cg*s.kk + x.taps[i/s.cg].index
	}
	free := pooled[T]()
	free.put(free.get())
	return func() {
		ws := free.get()
		for i := range s.groups {
			x.chan0, dy.data, g.c = i*s.cg, from(y, i*s.og), w[i*s.og*s.cg*s.kk:]
			g.run(ws)
		}
		free.put(ws)
		bias()
	}
}
