package ops

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// GridMode is how [Graph.GridSample] interpolates.
type GridMode uint8

// The interpolations.
const (
	GridLinear GridMode = iota
	GridNearest
	GridCubic // Keys' kernel with a = −0.75
)

// GridPadding is what [Graph.GridSample] reads outside the picture.
type GridPadding uint8

// The paddings.
const (
	GridZeros GridPadding = iota
	GridBorder
	GridReflection
)

// GridAttr are the attributes of a grid sampling.
type GridAttr struct {
	Mode         GridMode
	Padding      GridPadding
	AlignCorners bool // −1 and 1 are the centres of the outer pixels, not their edges
}

// GridSample reads a map at given places: spatial transformers, deformable
// attention.
//
//	x (N, H, W, C)   grid (N, H′, W′, 2): x then y, −1 … 1   y (N, H′, W′, C)
//
// Source: Jaderberg et al. 2015, arXiv:1506.02025; ONNX operator GridSample.
func (g *Graph) GridSample(x, grid *Node, a GridAttr) *Node {
	xs, gs := Shape(x), Shape(grid)
	if len(xs) != 4 || len(gs) != 4 || gs[0] != xs[0] || gs[3] != 2 {
		Fail("ops: grid sample: input %v (N, H, W, C) and grid %v (N, H, W, 2) do not fit", xs, gs)
	}
	out := []int{xs[0], gs[1], gs[2], xs[3]}
	return g.Apply(Spec{
		Name: "grid_sample", In: []*Node{x, grid}, Out: out, Diff: []bool{true, a.Mode != GridNearest},
		Bind: func(e *Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return gridRun[float64](e, a, xs, gridForward), nil
			}
			return gridRun[float32](e, a, xs, gridForward), nil
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			grads := make([]*Node, 2)
			part := func(name string, shape []int, pass gridPass) *Node {
				return g.Apply(Spec{Name: "grid_sample." + name, In: []*Node{in[0], in[1], dy}, Out: slices.Clone(shape), Accumulates: true,
					Bind: func(e *Env) (kernels.Run, error) {
						if e.Out.Storage == buffer.F64 {
							return gridRun[float64](e, a, xs, pass), nil
						}
						return gridRun[float32](e, a, xs, pass), nil
					}})
			}
			if g.Needs(in[0]) {
				grads[0] = part("dx", xs, gridInput)
			}
			if g.Needs(in[1]) && a.Mode != GridNearest {
				grads[1] = part("dgrid", gs, gridPlaces)
			}
			return grads
		},
	})
}

// gridTap is one of the places along an axis that a coordinate reads, its
// weight, and the weight's derivative by the normalised coordinate. at < 0 is
// outside and reads 0.
type gridTap struct {
	at    int
	w, dw float64
}

// axis fills taps for the normalised coordinate v on an axis of n pixels.
func (a GridAttr) axis(taps *[4]gridTap, v float64, n int) []gridTap {
	x, dx := ((v+1)*float64(n)-1)/2, float64(n)/2
	lo, hi := -0.5, float64(n)-0.5
	if a.AlignCorners {
		x, dx = (v+1)/2*float64(n-1), float64(n-1)/2
		lo, hi = 0, float64(n-1)
	}
	if math.IsNaN(x) {
		x = -1
	}
	if a.Mode != GridCubic { // the cubic kernel pads each of its four places
		switch a.Padding {
		case GridReflection:
			var s float64
			x, s = reflect(x, lo, hi)
			dx *= s
			fallthrough
		case GridBorder:
			if x < 0 || x > float64(n-1) {
				x, dx = min(max(x, 0), float64(n-1)), 0
			}
		}
	}
	x = min(max(x, -1e9), 1e9)
	k := int(math.Floor(x))
	f := x - math.Floor(x)
	switch a.Mode {
	case GridNearest:
		taps[0] = gridTap{a.inside(int(math.RoundToEven(x)), n, lo, hi), 1, 0}
		return taps[:1]
	case GridLinear:
		taps[0] = gridTap{a.inside(k, n, lo, hi), 1 - f, -dx}
		taps[1] = gridTap{a.inside(k+1, n, lo, hi), f, dx}
		return taps[:2]
	}
	for i := range 4 {
		w, dw := keys(f - float64(i-1))
		taps[i] = gridTap{a.inside(k+i-1, n, lo, hi), w, dw * dx}
	}
	return taps[:4]
}

// inside pads an index: −1 where the picture reads 0.
func (a GridAttr) inside(i, n int, lo, hi float64) int {
	if i >= 0 && i < n {
		return i
	}
	switch a.Padding {
	case GridBorder:
		return min(max(i, 0), n-1)
	case GridReflection:
		v, _ := reflect(float64(i), lo, hi)
		return min(max(int(math.RoundToEven(v)), 0), n-1)
	}
	return -1
}

// reflect folds x into [lo, hi] and gives the fold's slope, 1 or −1.
func reflect(x, lo, hi float64) (v, slope float64) {
	span := hi - lo
	if span <= 0 {
		return lo, 0
	}
	t := math.Mod(x-lo, 2*span)
	slope = 1
	if t < 0 {
		t += 2 * span
	}
	if t > span {
		t, slope = 2*span-t, -1
	}
	return lo + t, slope
}

// keys is the cubic convolution kernel with a = −0.75 and its derivative.
// Source: Keys 1981, "Cubic convolution interpolation for digital image processing".
func keys(d float64) (w, dw float64) {
	const a = -0.75
	s := 1.0
	if d < 0 {
		d, s = -d, -1
	}
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1, s * (3*(a+2)*d - 2*(a+3)) * d
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a, s * ((3*a*d-10*a)*d + 8*a)
	}
	return 0, 0
}

type gridPass uint8

const (
	gridForward gridPass = iota
	gridInput            // the gradient of x
	gridPlaces           // the gradient of the grid
)

func gridRun[T buffer.Float](e *Env, a GridAttr, xs []int, pass gridPass) kernels.Run {
	n, h, w, c := xs[0], xs[1], xs[2], xs[3]
	x, grid, out := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.In[1]), buffer.Floats[T](e.Out)
	var dy []T
	if pass != gridForward {
		dy = buffer.Floats[T](e.In[2])
	}
	per := len(grid) / 2 / n
	accumulate := e.Accumulate && pass != gridForward
	var tx, ty [4]gridTap
	return func() {
		if !accumulate {
			clear(out)
		}
		for p := range n * per {
			b := p / per * h * w * c
			xt, yt := a.axis(&tx, float64(grid[2*p]), w), a.axis(&ty, float64(grid[2*p+1]), h)
			var gx, gy float64
			for _, u := range yt {
				for _, v := range xt {
					if u.at < 0 || v.at < 0 {
						continue
					}
					at := b + (u.at*w+v.at)*c
					switch pass {
					case gridForward:
						k := T(u.w * v.w)
						for i, s := range x[at : at+c] {
							out[p*c+i] += k * s
						}
					case gridInput:
						k := T(u.w * v.w)
						for i, s := range dy[p*c : p*c+c] {
							out[at+i] += k * s
						}
					case gridPlaces:
						var s float64
						for i, d := range dy[p*c : p*c+c] {
							s += float64(d) * float64(x[at+i])
						}
						gx += s * u.w * v.dw
						gy += s * u.dw * v.w
					}
				}
			}
			if pass == gridPlaces {
				out[2*p] += T(gx)
				out[2*p+1] += T(gy)
			}
		}
	}
}
