package kernels

import "github.com/vislora/vislora/internal/buffer"

// tap is one position of the kernel: where it reads relative to the grid, and
// its index kh·KW + kw in the weights.
type tap struct{ h, w, index int }

// line is taps side by side that read cells side by side, and so one run of
// memory: the first tap's place, and how many elements they are.
type line struct{ h, w, n int }

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
	lines        []line
	byColumn     bool // pack columns as vectors along the grid (backward weights)
}

// follow sets the lines, of several taps where the channels are all that a cell
// has.
func (g *gather[T]) follow(ts []tap) *gather[T] {
	for i, t := range ts {
		if i > 0 && g.pitch == g.chans && t.h == ts[i-1].h && t.w == ts[i-1].w+1 {
			g.lines[len(g.lines)-1].n += g.chans
			continue
		}
		g.lines = append(g.lines, line{t.h, t.w, g.chans})
	}
	return g
}

// find gives the line of element k of a row, and its place in that.
func (g *gather[T]) find(k int) (l, e int) {
	for l < len(g.lines) && k >= g.lines[l].n {
		k -= g.lines[l].n
		l++
	}
	return l, k
}

// fill writes elements e … of line l and of those after it: a piece of a cell's row.
func (g *gather[T]) fill(dst []T, l, e int, c cell) {
	for len(dst) > 0 {
		at := g.lines[l]
		n := min(at.n-e, len(dst))
		piece := dst[:n]
		dst = dst[n:]
		h, w := c.y*g.mulH+at.h, c.x*g.mulW+at.w
		// Inside the map are elements lo … hi−1 of the line.
		lo, hi := max(0, -w)*g.chans, min(at.n, (g.w-w)*g.chans)
		if uint(h) >= uint(g.h) || hi <= lo {
			lo, hi = at.n, at.n
		}
		if lo > e || hi < e+n {
			clear(piece)
		}
		if lo, hi = max(lo, e), min(hi, e+n); lo < hi {
			from := ((c.pic*g.h+h)*g.w+w)*g.pitch + g.chan0
			copy(piece[lo-e:], g.data[from+lo:from+hi])
		}
		l, e = l+1, 0
	}
}

// cell is a place on the grid.
type cell struct{ pic, y, x int }

func (g *gather[T]) cell(i int) cell { return cell{i / (g.gw * g.gh), i / g.gw % g.gh, i % g.gw} }

func (g *gather[T]) next(c *cell) {
	if c.x++; c.x == g.gw {
		c.x = 0
		if c.y++; c.y == g.gh {
			c.y, c.pic = 0, c.pic+1
		}
	}
}

func (g *gather[T]) pack(dst []T, i0, n, k0, kn, w int) {
	if g.byColumn {
		g.packColumns(dst, i0, n, k0, kn, w)
		return
	}
	at := g.cell(i0)
	l, e := g.find(k0)
	if w == 1 {
		for i := range n {
			g.fill(dst[i*kn:(i+1)*kn], l, e, at)
			g.next(&at)
		}
		return
	}
	var row [kc]T
	for i := range (n + w - 1) / w * w {
		if i < n {
			g.fill(row[:kn], l, e, at)
			g.next(&at)
		} else {
			clear(row[:kn])
		}
		panel := dst[i/w*w*kn+i%w:]
		for k, v := range row[:kn] {
			panel[k*w] = v
		}
	}
}

// packColumns packs (tap, channel) pairs as vectors whose elements run along
// the grid.
func (g *gather[T]) packColumns(dst []T, i0, n, k0, kn, w int) {
	for i := 0; i < n; i += w {
		panel, wide := dst[i*kn:(i+w)*kn], min(w, n-i)
		at := g.cell(k0)
		l, e := g.find(i0 + i)
		for k := range kn {
			g.fill(panel[k*w:k*w+wide], l, e, at)
			clear(panel[k*w+wide : (k+1)*w])
			g.next(&at)
		}
	}
}

// filter packs weights: vector i, element k = (tap, channel) at
// base + i·is + c·cs + tap.index·ts.
type filter[T buffer.Float] struct {
	data       []T
	base       int
	is, cs, ts int
	chans      int
	taps       []tap
}

func (f *filter[T]) pack(dst []T, i0, n, k0, kn, w int) {
	for i := 0; i < n; i += w {
		panel := dst[:kn*w]
		dst = dst[kn*w:]
		wide := min(w, n-i)
		if wide < w {
			clear(panel)
		}
		for k := 0; k < kn; {
			t, c := (k0+k)/f.chans, (k0+k)%f.chans
			run := min(f.chans-c, kn-k)
			packPanel(panel[k*w:], f.data[f.base+(i0+i)*f.is+c*f.cs+f.taps[t].index*f.ts:], f.is, f.cs, wide, run, w)
			k += run
		}
	}
}

// byTap gives weights (O, I, taps) as (taps, O, I), so that what is packed
// together lies together.
func (ws *workspace[T]) byTap(w []T, taps int) []T {
	if taps == 1 {
		return w
	}
	if len(ws.weights) < len(w) {
		ws.weights = make([]T, len(w))
	}
	n := len(w) / taps
	for at := 0; at < n; at += 256 { // a piece that stays in the first cache
		for t := range taps {
			to := ws.weights[t*n+at : t*n+min(at+256, n)]
			for i := range to {
				to[i] = w[(at+i)*taps+t]
			}
		}
	}
	return ws.weights[:len(w)]
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
	g := &gather[T]{
		data: buffer.Floats[T](p.X), h: s.h, w: s.w, pitch: s.xp, chans: s.cg, gh: s.oh, gw: s.ow,
		mulH: p.Stride[0], mulW: p.Stride[1],
	}
	return g.follow(taps(p, s))
}

func convForward[T buffer.Float](p Conv) Run {
	s := shapeOf(p)
	if s.depthwise() {
		return depthwise[T](p, s)
	}
	x, wd := columns[T](p, s), buffer.Floats[T](p.W)
	w := &filter[T]{is: s.cg, cs: 1, ts: s.cout * s.cg, chans: s.cg, taps: taps(p, s)}
	g := &gemm[T]{m: s.n * s.oh * s.ow, n: s.og, factors: factors[T]{k: s.kk * s.cg, a: x.pack, b: w.pack}, rs: s.yp, cs: 1, alpha: 1, acc: p.Accumulate}
	if t := p.Thin; t != nil {
		g.thin = matrices(t.H.Cols(), &strided[T]{buffer.Floats[T](t.H), t.H.Pitch, 1}, &strided[T]{buffer.Floats[T](t.C), t.C.Pitch, 1})
	}
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
		w.data = ws.byTap(wd, s.kk)
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
			col := &gather[T]{data: y, h: s.oh, w: s.ow, pitch: s.yp, chans: s.og, gh: f.gh, gw: f.gw, mulH: 1, mulW: 1}
			wt := &filter[T]{is: 1, cs: s.cg, ts: s.cout * s.cg, chans: s.og, taps: ts}
			g := &gemm[T]{m: s.n * f.gh * f.gw, n: s.cg, factors: factors[T]{k: len(ts) * s.og, a: col.follow(ts).pack, b: wt.pack}, rows: f, cs: 1, alpha: 1, acc: p.Accumulate}
			if t := p.Thin; t != nil {
				r := t.H.Cols()
				h, c := *col, &filter[T]{data: buffer.Floats[T](t.C), is: s.kk, cs: s.cg * s.kk, ts: 1, chans: r, taps: ts}
				h.data, h.pitch, h.chans, h.lines = buffer.Floats[T](t.H), t.H.Pitch, r, nil
				g.thin = factors[T]{k: len(ts) * r, a: h.follow(ts).pack, b: c.pack}
			}
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
		byTap := ws.byTap(wd, s.kk)
		for i := range s.groups {
			for _, q := range parts {
				q.wt.data, q.col.chan0, q.wt.base, q.g.c = byTap, i*s.og, i*s.og*s.cg, x[i*s.cg:]
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
	if run := convWeightsInPlace(p, s); run != nil {
		return func() { run(); bias() }
	}
	dy := &strided[T]{is: 1, ks: s.yp}
	g := &gemm[T]{m: s.og, n: s.kk * s.cg, factors: factors[T]{k: s.n * s.oh * s.ow, a: dy.pack, b: x.pack, am: dy}, rs: s.cg * s.kk, alpha: 1, acc: p.Accumulate}
	g.cols = make([]int, g.n)
	ts := taps(p, s)
	for i := range g.cols {
		g.cols[i] = i%s.cg*s.kk + ts[i/s.cg].index
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
