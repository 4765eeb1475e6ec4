package engine

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// grapher appends nodes to a model in the form that its opset has, from 7 on.
// Every method returns the name of the value it makes. The first error stays;
// later calls do nothing.
//
// Opset 7 has neither Where nor Round nor Max with broadcasting, and several
// operators took their parameters from attributes to inputs since. What is
// written here uses few operators, and the same ones at every opset where that
// costs nothing.
type grapher struct {
	e      *onnx.Editor
	opset  int
	prefix string
	count  int
	shared map[string]string // constants by their contents
	err    error
}

func newGrapher(e *onnx.Editor, opset int, prefix string) *grapher {
	return &grapher{e: e, opset: opset, prefix: prefix, shared: map[string]string{}}
}

// named appends a node with given outputs and returns the last of them.
func (g *grapher) named(out []string, op string, attrs ir.Attrs, in ...string) string {
	if g.err == nil {
		name := fmt.Sprintf("%s%s_%d", g.prefix, op, g.count)
		g.err = g.e.AppendNode(&ir.Node{Op: op, Name: name, Inputs: in, Outputs: out, Attrs: attrs})
	}
	g.count++
	return out[len(out)-1]
}

// fresh is a name for a value that an operator makes. The file may have some of
// this kind: from an export before.
func (g *grapher) fresh(op string) string {
	for {
		name := fmt.Sprintf("%s%s_%d", g.prefix, op, g.count)
		if g.err != nil || !g.e.HasValue(name) {
			return name
		}
		g.count++
	}
}

func (g *grapher) node(op string, attrs ir.Attrs, in ...string) string {
	return g.named([]string{g.fresh(op)}, op, attrs, in...)
}

func (g *grapher) op(op string, in ...string) string { return g.node(op, nil, in...) }

// constant is a Constant node where the opset allows (before 9, Constant makes
// floats only): before IR version 4 initializers are inputs of the graph too.
func (g *grapher) constant(t *ir.Tensor) string {
	key := fmt.Sprintf("%v %v %x", t.DType, t.Dims, t.Raw)
	switch {
	case g.shared[key] != "":
	case g.opset < 9 && t.DType == ir.Int64:
		c := *t
		c.Name = g.fresh("constant")
		g.count++
		if g.err == nil {
			g.err = g.e.AppendInitializer(&c)
		}
		g.shared[key] = c.Name
	default:
		g.shared[key] = g.node("Constant", ir.Attrs{"value": t})
	}
	return g.shared[key]
}

// ints is a constant vector of int64.
func (g *grapher) ints(v ...int64) string { return g.constant(ir.FromInt64s("", v, len(v))) }

// doubles is a constant of float64.
func (g *grapher) doubles(dims []int, v ...float64) string {
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
	}
	return g.constant(&ir.Tensor{DType: ir.Double, Dims: dims, Raw: raw})
}

// double is a scalar.
func (g *grapher) double(v float64) string { return g.doubles([]int{}, v) }

// floats is a constant of float32.
func (g *grapher) floats(dims []int, v ...float32) string {
	return g.constant(ir.FromFloat32s("", v, dims...))
}

func (g *grapher) float(v float32) string { return g.floats([]int{}, v) }

func (g *grapher) cast(x string, to ir.DType) string {
	return g.node("Cast", ir.Attrs{"to": int64(to)}, x)
}

func (g *grapher) reshape(x string, dims ...int64) string {
	return g.op("Reshape", x, g.ints(dims...))
}

func (g *grapher) transpose(x string, perm ...int64) string {
	return g.node("Transpose", ir.Attrs{"perm": perm}, x)
}

func (g *grapher) gather(x, index string, axis int) string {
	return g.node("Gather", ir.Attrs{"axis": int64(axis)}, x, index)
}

// reduce is ReduceSum, ReduceMean or ReduceMax along one axis, which stays with
// length 1.
func (g *grapher) reduce(op string, x string, axis int64) string {
	since := 18 // that axes are an input
	if op == "ReduceSum" {
		since = 13
	}
	if g.opset >= since {
		return g.node(op, ir.Attrs{"keepdims": int64(1)}, x, g.ints(axis))
	}
	return g.node(op, ir.Attrs{"keepdims": int64(1), "axes": []int64{axis}}, x)
}

// sum adds along one axis, which stays with length 1.
func (g *grapher) sum(x string, axis int64) string { return g.reduce("ReduceSum", x, axis) }

func (g *grapher) concat(axis int, in ...string) string {
	return g.node("Concat", ir.Attrs{"axis": int64(axis)}, in...)
}

// slice is x[from:to] along an axis.
func (g *grapher) slice(x string, axis, from, to int) string {
	if g.opset >= 10 {
		return g.op("Slice", x, g.ints(int64(from)), g.ints(int64(to)), g.ints(int64(axis)))
	}
	return g.node("Slice", ir.Attrs{"axes": []int64{int64(axis)}, "starts": []int64{int64(from)}, "ends": []int64{int64(to)}}, x)
}

// clip limits float32 values.
func (g *grapher) clip(x string, lo, hi float32) string {
	if g.opset >= 11 {
		return g.op("Clip", x, g.float(lo), g.float(hi))
	}
	return g.node("Clip", ir.Attrs{"min": lo, "max": hi}, x)
}

// less is 1 where a < b and 0 elsewhere, in float64 like a and b.
func (g *grapher) less(a, b string) string { return g.cast(g.op("Less", a, b), ir.Double) }

// positive is max(x, 0) of float64, exactly: (x + |x|)/2.
func (g *grapher) positive(x string) string {
	return g.op("Mul", g.op("Add", x, g.op("Abs", x)), g.double(.5))
}

// most and least are max(a, b) and min(a, b) of whole numbers in float64.
func (g *grapher) most(a, b string) string {
	return g.op("Add", b, g.positive(g.op("Sub", a, b)))
}

func (g *grapher) least(a, b string) string {
	return g.op("Sub", a, g.positive(g.op("Sub", a, b)))
}

// choose is a where mask is 1 and b where it is 0, all float64 and finite.
func (g *grapher) choose(mask, a, b string) string {
	other := g.op("Sub", g.double(1), mask)
	return g.op("Add", g.op("Mul", mask, a), g.op("Mul", other, b))
}

// half is ⌊x/2⌋ of float64.
func (g *grapher) half(x string) string { return g.op("Floor", g.op("Mul", x, g.double(.5))) }

// roundHalfEven rounds float64 values of at least 0. (Round exists from opset
// 11 only.)
func (g *grapher) roundHalfEven(x string) string {
	floor := g.op("Floor", x)
	rest := g.op("Sub", x, floor)
	above := g.less(g.double(.5), rest)
	tie := g.op("Sub", g.op("Sub", g.double(1), g.less(rest, g.double(.5))), above)
	odd := g.op("Sub", floor, g.op("Mul", g.half(floor), g.double(2)))
	return g.op("Add", floor, g.op("Add", above, g.op("Mul", tie, odd)))
}

// counting is 0, 1, … n−1 as a float64 vector; n is an int64 scalar.
//
// Before opset 11 there is no Range. There, a vector of n ones is summed up by
// three convolutions of 64 ones each, with steps of 1, 64 and 4096, padded on
// the left: the sum of all that stands before. That is exact up to 64³.
func (g *grapher) counting(n string) string {
	if g.opset >= 11 {
		return g.cast(g.op("Range", g.scalar(0), n, g.scalar(1)), ir.Double)
	}
	const taps = 64
	ones := make([]float32, taps)
	for i := range ones {
		ones[i] = 1
	}
	kernel := g.floats([]int{1, 1, taps}, ones...)
	repeats := g.concat(0, g.ints(1, 1), g.reshape(n, 1))
	x := g.op("Tile", g.floats([]int{1, 1, 1}, 1), repeats)
	for _, step := range []int64{1, taps, taps * taps} {
		x = g.node("Conv", ir.Attrs{"kernel_shape": []int64{taps}, "dilations": []int64{step},
			"pads": []int64{(taps - 1) * step, 0}, "strides": []int64{1}, "group": int64(1)}, x, kernel)
	}
	return g.op("Sub", g.cast(g.reshape(x, -1), ir.Double), g.double(1))
}

// scalar is a constant int64.
func (g *grapher) scalar(v int64) string { return g.constant(ir.FromInt64s("", []int64{v})) }
