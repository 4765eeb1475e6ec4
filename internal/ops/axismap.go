package ops

import (
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// Tap is one weighted place that an output place of [Graph.AxisMap] reads.
type Tap struct {
	At     int
	Weight float64
}

// AxisMap multiplies one axis by a sparse matrix, given row by row:
//
//	y[…, i, …] = Σ w·x[…, at, …]     over the taps (at, w) of output place i
//
// A place without taps is 0. Interpolation, padding by reflection, windows along
// channels are this; the gradient is the same with the transposed matrix.
func (g *Graph) AxisMap(name string, x *Node, axis int, taps [][]Tap) *Node {
	xs := Shape(x)
	n := xs[axis]
	for i, row := range taps {
		for _, t := range row {
			if t.At < 0 || t.At >= n {
				Fail("ops: %s: place %d reads %d of an axis of length %d", name, i, t.At, n)
			}
		}
	}
	if isIdentity(taps, n) {
		return x
	}
	out := slices.Clone(xs)
	out[axis] = len(taps)
	count := 0
	for _, row := range taps {
		count += len(row)
	}
	inner := size(xs[axis+1:])
	return g.Apply(Spec{
		Name: name, In: []*Node{x}, Out: out, Diff: []bool{true}, Accumulates: true,
		Flops: 2 * float64(count) * float64(size(xs)/n),
		Bind: func(e *Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return axisMapRun[float64](e, taps, n, inner), nil
			}
			return axisMapRun[float32](e, taps, n, inner), nil
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return []*Node{g.AxisMap(name+".dx", dy, axis, transposeTaps(taps, n))}
		},
	})
}

func isIdentity(taps [][]Tap, n int) bool {
	if len(taps) != n {
		return false
	}
	for i, row := range taps {
		if len(row) != 1 || row[0] != (Tap{i, 1}) {
			return false
		}
	}
	return true
}

// transposeTaps is the matrix with rows and columns exchanged; taps of one row
// on one place are summed.
func transposeTaps(taps [][]Tap, n int) [][]Tap {
	out := make([][]Tap, n)
	for i, row := range taps {
		for _, t := range row {
			if k := len(out[t.At]); k > 0 && out[t.At][k-1].At == i {
				out[t.At][k-1].Weight += t.Weight
				continue
			}
			out[t.At] = append(out[t.At], Tap{i, t.Weight})
		}
	}
	return out
}

func axisMapRun[T buffer.Float](e *Env, taps [][]Tap, n, inner int) kernels.Run {
	x, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.Out)
	type tap struct {
		at int
		w  T
	}
	rows := make([][]tap, len(taps))
	for i, row := range taps {
		for _, t := range row {
			rows[i] = append(rows[i], tap{t.At * inner, T(t.Weight)})
		}
	}
	outer := len(x) / (n * inner)
	accumulate := e.Accumulate
	return func() {
		for o := range outer {
			src, dst := x[o*n*inner:(o+1)*n*inner], y[o*len(rows)*inner:(o+1)*len(rows)*inner]
			if inner == 1 {
				for i, row := range rows {
					var s T
					for _, t := range row {
						s += t.w * src[t.at]
					}
					if accumulate {
						s += dst[i]
					}
					dst[i] = s
				}
				continue
			}
			for i, row := range rows {
				d := dst[i*inner : (i+1)*inner]
				if !accumulate {
					switch {
					case len(row) == 0:
						clear(d)
						continue
					case row[0].w == 1:
						copy(d, src[row[0].at:row[0].at+inner])
					default:
						w, s := row[0].w, src[row[0].at:row[0].at+inner]
						for k, v := range s {
							d[k] = w * v
						}
					}
					row = row[1:]
				}
				for _, t := range row {
					w, s := t.w, src[t.at:t.at+inner]
					d := d[:len(s)]
					for k, v := range s {
						d[k] += w * v
					}
				}
			}
		}
	}
}

// CumSum sums along an axis from its start, or from its end when reverse is
// set; exclusive leaves the element itself out (ONNX operator CumSum).
func (g *Graph) CumSum(x *Node, axis int, exclusive, reverse bool) *Node {
	xs := Shape(x)
	n, inner := xs[axis], size(xs[axis+1:])
	return g.Apply(Spec{
		Name: "cumsum", In: []*Node{x}, Out: xs, Diff: []bool{true},
		Bind: func(e *Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return cumSumRun[float64](e, n, inner, exclusive, reverse), nil
			}
			return cumSumRun[float32](e, n, inner, exclusive, reverse), nil
		},
		Grad: func(in []*Node, _, dy *Node) []*Node {
			return []*Node{g.CumSum(dy, axis, exclusive, !reverse)}
		},
	})
}

func cumSumRun[T buffer.Float](e *Env, n, inner int, exclusive, reverse bool) kernels.Run {
	x, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.Out)
	outer := len(x) / (n * inner)
	return func() {
		for o := range outer {
			for k := range inner {
				var s float64
				for j := range n {
					i := (o*n+j)*inner + k
					if reverse {
						i = (o*n+n-1-j)*inner + k
					}
					if exclusive {
						y[i] = T(s)
					}
					s += float64(x[i])
					if !exclusive {
						y[i] = T(s)
					}
				}
			}
		}
	}
}
