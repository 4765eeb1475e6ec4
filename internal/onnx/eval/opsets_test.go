package eval_test

import (
	"math"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
)

func floats(v []float32, dims ...int) *ir.Tensor { return ir.FromFloat32s("", v, dims...) }
func longs(v []int64, dims ...int) *ir.Tensor    { return ir.FromInt64s("", v, dims...) }

// TestOldForms checks the forms of older opsets, which ONNX's tests of today no
// longer hold.
func TestOldForms(t *testing.T) {
	six := floats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	for _, c := range []struct {
		name  string
		opset int
		node  ir.Node
		in    []*ir.Tensor
		want  []*ir.Tensor
	}{
		{"clip", 7, ir.Node{Op: "Clip", Attrs: ir.Attrs{"min": float32(2), "max": float32(4)}}, []*ir.Tensor{six}, []*ir.Tensor{floats([]float32{2, 2, 3, 4, 4, 4}, 2, 3)}},
		{"slice", 9, ir.Node{Op: "Slice", Attrs: ir.Attrs{"starts": []int64{-2}, "ends": []int64{1000}, "axes": []int64{1}}}, []*ir.Tensor{six}, []*ir.Tensor{floats([]float32{2, 3, 5, 6}, 2, 2)}},
		{"slice backwards", 10, ir.Node{Op: "Slice"}, []*ir.Tensor{six, longs([]int64{-1}, 1), longs([]int64{math.MinInt64}, 1), longs([]int64{1}, 1), longs([]int64{-2}, 1)}, []*ir.Tensor{floats([]float32{3, 1, 6, 4}, 2, 2)}},
		{"slice by too large a step", 10, ir.Node{Op: "Slice"}, []*ir.Tensor{six, longs([]int64{2}, 1), longs([]int64{math.MinInt64}, 1), longs([]int64{1}, 1), longs([]int64{math.MinInt64}, 1)}, []*ir.Tensor{floats([]float32{3, 6}, 2, 1)}},
		{"split", 11, ir.Node{Op: "Split", Outputs: []string{"a", "b"}, Attrs: ir.Attrs{"axis": int64(-1), "split": []int64{1, 2}}}, []*ir.Tensor{six}, []*ir.Tensor{floats([]float32{1, 4}, 2, 1), floats([]float32{2, 3, 5, 6}, 2, 2)}},
		{"squeeze", 11, ir.Node{Op: "Squeeze", Attrs: ir.Attrs{"axes": []int64{-2}}}, []*ir.Tensor{floats([]float32{1, 2}, 1, 1, 2)}, []*ir.Tensor{floats([]float32{1, 2}, 1, 2)}},
		{"unsqueeze", 11, ir.Node{Op: "Unsqueeze", Attrs: ir.Attrs{"axes": []int64{3, 0}}}, []*ir.Tensor{six}, []*ir.Tensor{floats(six.Float32s(), 1, 2, 3, 1)}},
		{"pad", 7, ir.Node{Op: "Pad", Attrs: ir.Attrs{"pads": []int64{0, 1, 0, -1}, "value": float32(9)}}, []*ir.Tensor{six}, []*ir.Tensor{floats([]float32{9, 1, 2, 9, 4, 5}, 2, 3)}},
		{"reduce", 11, ir.Node{Op: "ReduceSum", Attrs: ir.Attrs{"axes": []int64{-1}, "keepdims": int64(0)}}, []*ir.Tensor{six}, []*ir.Tensor{floats([]float32{6, 15}, 2)}},
		{"reduce mean by attribute", 17, ir.Node{Op: "ReduceMean", Attrs: ir.Attrs{"axes": []int64{0}}}, []*ir.Tensor{six}, []*ir.Tensor{floats([]float32{2.5, 3.5, 4.5}, 1, 3)}},
		{"top k", 9, ir.Node{Op: "TopK", Outputs: []string{"v", "i"}, Attrs: ir.Attrs{"k": int64(2)}}, []*ir.Tensor{six}, []*ir.Tensor{floats([]float32{3, 2, 6, 5}, 2, 2), longs([]int64{2, 1, 2, 1}, 2, 2)}},
		{"top k smallest of equals", 11, ir.Node{Op: "TopK", Outputs: []string{"", "i"}, Attrs: ir.Attrs{"largest": int64(0), "axis": int64(0)}}, []*ir.Tensor{floats([]float32{2, 1, 1, 1}, 4), longs([]int64{2}, 1)}, []*ir.Tensor{nil, longs([]int64{1, 2}, 2)}},
		{"upsample", 7, ir.Node{Op: "Upsample", Attrs: ir.Attrs{"scales": []float32{1, 2}}}, []*ir.Tensor{six}, []*ir.Tensor{floats([]float32{1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6}, 2, 6)}},
		{"upsample linear", 9, ir.Node{Op: "Upsample", Attrs: ir.Attrs{"mode": "linear"}}, []*ir.Tensor{floats([]float32{1, 3}, 1, 2), floats([]float32{1, 2}, 2)}, []*ir.Tensor{floats([]float32{1, 2, 3, 3}, 1, 4)}},
		{"resize 10", 10, ir.Node{Op: "Resize"}, []*ir.Tensor{floats([]float32{1, 2, 3, 4}, 1, 4), floats([]float32{1, 0.5}, 2)}, []*ir.Tensor{floats([]float32{1, 3}, 1, 2)}},
		{"softmax flattens", 11, ir.Node{Op: "Softmax", Attrs: ir.Attrs{"axis": int64(0)}}, []*ir.Tensor{floats([]float32{0, 0, 0, 0}, 2, 2)}, []*ir.Tensor{floats([]float32{.25, .25, .25, .25}, 2, 2)}},
		{"softmax does not", 13, ir.Node{Op: "Softmax", Attrs: ir.Attrs{"axis": int64(0)}}, []*ir.Tensor{floats([]float32{0, 0, 0, 0}, 2, 2)}, []*ir.Tensor{floats([]float32{.5, .5, .5, .5}, 2, 2)}},
		{"dropout's mask was a number", 7, ir.Node{Op: "Dropout", Outputs: []string{"y", "m"}}, []*ir.Tensor{floats([]float32{3}, 1)}, []*ir.Tensor{floats([]float32{3}, 1), floats([]float32{1}, 1)}},
		{"scatter", 10, ir.Node{Op: "Scatter", Attrs: ir.Attrs{"axis": int64(1)}}, []*ir.Tensor{six, longs([]int64{-1}, 1, 1), floats([]float32{8}, 1, 1)}, []*ir.Tensor{floats([]float32{1, 2, 8, 4, 5, 6}, 2, 3)}},
		{"reshape copies 0", 13, ir.Node{Op: "Reshape"}, []*ir.Tensor{six, longs([]int64{0, 3, -1}, 3)}, []*ir.Tensor{floats(six.Float32s(), 2, 3, 1)}},
		{"pool in ceil mode counts no void", 10, ir.Node{Op: "AveragePool", Attrs: ir.Attrs{"kernel_shape": []int64{2}, "strides": []int64{2}, "ceil_mode": int64(1), "count_include_pad": int64(1)}}, []*ir.Tensor{floats([]float32{1, 2, 3}, 1, 1, 3)}, []*ir.Tensor{floats([]float32{1.5, 3}, 1, 1, 2)}},
		{"uint64 keeps its bits", 13, ir.Node{Op: "Max"}, []*ir.Tensor{unsigned(math.MaxUint64, 5), unsigned(1, 6)}, []*ir.Tensor{unsigned(math.MaxUint64, 6)}},
		{"int8 wraps", 14, ir.Node{Op: "Mul"}, []*ir.Tensor{{DType: ir.Int8, Dims: []int{1}, Raw: []byte{100}}, {DType: ir.Int8, Dims: []int{1}, Raw: []byte{3}}}, []*ir.Tensor{{DType: ir.Int8, Dims: []int{1}, Raw: []byte{44}}}},
		{"int64 pow is exact", 13, ir.Node{Op: "Pow"}, []*ir.Tensor{longs([]int64{3}, 1), longs([]int64{39}, 1)}, []*ir.Tensor{longs([]int64{4052555153018976267}, 1)}},
		{"mixed floats", 13, ir.Node{Op: "Add"}, []*ir.Tensor{floats([]float32{0.1}, 1), {DType: ir.Float16, Dims: []int{1}, Raw: []byte{0, 0x3c}}}, []*ir.Tensor{floats([]float32{1.1}, 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.node.Outputs == nil {
				c.node.Outputs = []string{"y"}
			}
			got, err := eval.Eval(&c.node, c.opset, c.in)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if want == nil {
					if got[i] != nil {
						t.Errorf("output %d is not wanted", i)
					}
					continue
				}
				if err := compare(got[i], want, 1e-6, 0); err != nil {
					t.Errorf("output %d %v: %v", i, err, got[i].Float32s())
				}
			}
		})
	}
}

func unsigned(v ...uint64) *ir.Tensor {
	w := make([]int64, len(v))
	for i, x := range v {
		w[i] = int64(x)
	}
	t := ir.FromInt64s("", w, len(w))
	t.DType = ir.Uint64
	return t
}

// TestHalfRounding compares every rounding to 16 bits with the nearest of all
// the values that 16 bits can say, ties to the even one.
func TestHalfRounding(t *testing.T) {
	for _, to := range []ir.DType{ir.Float16, ir.BFloat16} {
		type entry struct {
			v    float64
			bits uint16
		}
		var all []entry
		for b := range 1 << 15 {
			x := &ir.Tensor{DType: to, Dims: []int{1}, Raw: []byte{byte(b), byte(b >> 8)}}
			if v := x.Float(0); !math.IsNaN(v) && !math.IsInf(v, 0) {
				all = append(all, entry{v, uint16(b)})
			}
		}
		slices.SortFunc(all, func(a, b entry) int { return int(a.bits) - int(b.bits) })
		var in []float64
		var want []float64
		for i := 0; i+1 < len(all); i += 7 {
			a, b := all[i], all[i+1]
			mid := a.v + (b.v-a.v)/2
			even := a.v
			if b.bits&1 == 0 {
				even = b.v
			}
			// Just beside the middle by less than float32 can say.
			below, above := math.Nextafter(mid, 0), math.Nextafter(mid, math.Inf(1))
			in = append(in, a.v, mid, below, above, -above)
			want = append(want, a.v, even, a.v, b.v, -b.v)
		}
		raw := make([]byte, 8*len(in))
		x := &ir.Tensor{DType: ir.Double, Dims: []int{len(in)}, Raw: raw}
		for i, v := range in {
			for k := range 8 {
				raw[8*i+k] = byte(math.Float64bits(v) >> (8 * k))
			}
		}
		out, err := eval.Eval(&ir.Node{Op: "Cast", Outputs: []string{"y"}, Attrs: ir.Attrs{"to": int64(to)}}, 13, []*ir.Tensor{x})
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want {
			if got := out[0].Float(i); got != w {
				t.Fatalf("%v: %v is %v, want %v", to, in[i], got, w)
			}
		}
	}
}
