package kernels

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
)

func reduce[T buffer.Float](p Reduce) Run {
	x, y := buffer.Floats[T](p.X), buffer.Floats[T](p.Y)
	n := len(p.X.Shape)
	walk := newNest(p.X.Shape, Strides(p.X, n), Strides(p.Y, n))
	length, xs, ys, _ := walk.inner()
	// Every output is summed in float64, in the order in which X lies.
	acc := make([]float64, len(y))
	start := map[Reduction]float64{ReduceMax: math.Inf(-1), ReduceMin: math.Inf(1)}[p.Func]
	scale := 1.0
	if p.Func == ReduceMean {
		scale = float64(p.Y.Len()) / float64(p.X.Len())
	}
	return func() {
		for i := range acc {
			acc[i] = start
		}
		var at [3]int
		for more := !walk.empty; more; more = walk.next(&at) {
			switch p.Func {
			case ReduceMax:
				for i := range length {
					a := &acc[at[1]+i*ys]
					*a = max(*a, float64(x[at[0]+i*xs]))
				}
			case ReduceMin:
				for i := range length {
					a := &acc[at[1]+i*ys]
					*a = min(*a, float64(x[at[0]+i*xs]))
				}
			default:
				if ys == 0 {
					sum := 0.0
					for i := range length {
						sum += float64(x[at[0]+i*xs])
					}
					acc[at[1]] += sum
					continue
				}
				for i := range length {
					acc[at[1]+i*ys] += float64(x[at[0]+i*xs])
				}
			}
		}
		for i, v := range acc {
			y[i] = T(v * scale)
		}
	}
}
