package ops

import "github.com/vislora/vislora/internal/kernels"

// PoolAttr are the attributes of max and average pooling.
type PoolAttr struct {
	Max                      bool
	Kernel, Stride, Dilation [2]int // h, w
	Pads                     [4]int // top, left, bottom, right
	CeilMode                 bool
	CountIncludePad          bool
}

// OutSize follows ONNX: ⌊·⌋ or ⌈·⌉ of (size + pads − d(k−1) − 1)/stride, plus 1;
// in ceil mode a last window that would start in the closing padding is dropped.
func (a PoolAttr) OutSize(axis, size int) int {
	span := size + a.Pads[axis] + a.Pads[axis+2] - a.Dilation[axis]*(a.Kernel[axis]-1) - 1
	if !a.CeilMode {
		return span/a.Stride[axis] + 1
	}
	n := (span+a.Stride[axis]-1)/a.Stride[axis] + 1
	if (n-1)*a.Stride[axis] >= size+a.Pads[axis] {
		n--
	}
	return n
}

// Pool is max or average pooling over channels-last maps.
//
//	x (N, H, W, C)   y (N, H′, W′, C)
func (g *Graph) Pool(x *Node, a PoolAttr) *Node {
	xs := Shape(x)
	if len(xs) != 4 {
		Fail("ops: pool: input %v: want (N, H, W, C)", xs)
	}
	out := []int{xs[0], a.OutSize(0, xs[1]), a.OutSize(1, xs[2]), xs[3]}
	if out[1] < 1 || out[2] < 1 {
		Fail("ops: pool: window %v is larger than the padded input of %d×%d pixels", a.Kernel, xs[1], xs[2])
	}
	name := "avg_pool"
	var slots []Slot
	if a.Max {
		name = "max_pool"
	}
	kernel := kernels.Pool{Max: a.Max, Kernel: a.Kernel, Stride: a.Stride, Pads: a.Pads, Dilation: a.Dilation, CountIncludePad: a.CountIncludePad}
	if a.Max {
		slots = []Slot{{Shape: out, Kind: kernel.IndexStorage()}}
	}
	return g.Apply(Spec{
		Name: name, In: []*Node{x}, Out: out, Diff: []bool{true}, Slots: slots, Narrow: Narrow{In: []int{0}, Out: true},
		Bind: func(e *Env) (kernels.Run, error) {
			k := kernel
			k.X, k.Y = e.In[0], e.Out
			if a.Max {
				k.Index = e.Slots[0]
			}
			return e.K.Pool(k)
		},
		Grad: func(in []*Node, y, dy *Node) []*Node {
			d := Spec{Name: name + ".dx", In: []*Node{dy}, Out: xs, Accumulates: true, Narrow: Narrow{In: []int{0}, Out: true}}
			if a.Max {
				d.Reads = []Read{{y, 0}}
			}
			d.Bind = func(e *Env) (kernels.Run, error) {
				k := kernel
				k.DY, k.DX, k.Accumulate = e.In[0], e.Out, e.Accumulate
				if a.Max {
					k.Index = e.Reads[0]
				}
				return e.K.PoolBackward(k)
			}
			return []*Node{g.Apply(d)}
		},
	})
}
