package eval_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// nonsense draws numbers that break careless code.
func nonsense(r *rand.Rand) int64 {
	switch r.IntN(12) {
	case 0:
		return math.MaxInt64
	case 1:
		return math.MinInt64
	case 2:
		return 1 << 40
	case 3:
		return -1 << 31
	}
	return int64(r.IntN(8)) - 3
}

var fuzzDTypes = []ir.DType{ir.Float, ir.Float, ir.Float, ir.Int64, ir.Int64, ir.Int32, ir.Bool, ir.Uint8, ir.Int8, ir.Float16, ir.Uint64, ir.BFloat16, ir.Double}

func randomTensor(r *rand.Rand, name string) *ir.Tensor {
	t := &ir.Tensor{Name: name, DType: fuzzDTypes[r.IntN(len(fuzzDTypes))], Dims: make([]int, r.IntN(5))}
	if r.IntN(3) == 0 {
		t.DType, t.Dims = ir.Int64, make([]int, r.IntN(2)) // a list of numbers
	}
	for i := range t.Dims {
		t.Dims[i] = r.IntN(5)
	}
	if t.DType == ir.Int64 {
		v := make([]int64, t.Len())
		for i := range v {
			v[i] = nonsense(r)
		}
		t.Raw = ir.FromInt64s("", v).Raw
		if len(v) == 0 {
			t.Raw = nil
		}
	} else {
		t.Raw = make([]byte, t.Len()*t.DType.Size())
		for i := range t.Raw {
			t.Raw[i] = byte(r.IntN(256))
			if t.DType == ir.Bool {
				t.Raw[i] &= 1
			}
		}
	}
	if len(t.Raw) > 0 && r.IntN(20) == 0 {
		t.Raw = t.Raw[1:] // truncated
	}
	return t
}

var fuzzAttrs = []string{"axis", "axes", "pads", "strides", "dilations", "group", "kernel_shape", "perm", "keepdims", "k",
	"to", "allowzero", "blocksize", "mode", "auto_pad", "output_padding", "output_shape", "size", "num_groups", "num_outputs",
	"split", "starts", "ends", "batch_dims", "equation", "coordinate_transformation_mode", "nearest_mode", "scales", "ceil_mode",
	"largest", "value", "block_size", "offset_group", "sampling_ratio", "output_height", "output_width", "time_axis", "batch_axis",
	"transA", "transB", "dtype", "reduction", "ignore_index", "antialias", "direction", "count_include_pad", "storage_order",
	"keep_aspect_ratio_policy", "noop_with_empty_axes", "exclusive", "upper", "training_mode", "center_point_box", "p", "padding_mode",
	"start", "end", "fmod", "epsilon", "alpha"}

var fuzzStrings = []string{"", "SAME_UPPER", "VALID", "linear", "cubic", "nearest", "reflect", "wrap", "edge", "constant", "ij,jk->ik",
	"...i,...i", "ii->i", "i,j", "align_corners", "tf_crop_and_resize", "sum", "none", "add", "LEFT", "not_larger", "border", "reflection", "CRD", "max"}

func randomNode(r *rand.Rand, op string, inputs, outputs []string) *ir.Node {
	n := &ir.Node{Op: op, Name: "/fuzz", Inputs: inputs, Outputs: outputs, Attrs: ir.Attrs{}}
	for range r.IntN(6) {
		name := fuzzAttrs[r.IntN(len(fuzzAttrs))]
		switch r.IntN(5) {
		case 0, 1:
			n.Attrs[name] = nonsense(r)
		case 2:
			v := make([]int64, r.IntN(6))
			for i := range v {
				v[i] = nonsense(r)
			}
			n.Attrs[name] = v
		case 3:
			n.Attrs[name] = fuzzStrings[r.IntN(len(fuzzStrings))]
		default:
			n.Attrs[name] = randomTensor(r, "")
		}
	}
	return n
}

// fuzzOne builds one graph of nonsense around each of a few operators, plans it
// and evaluates it. Any outcome is fine but a panic, or the error that says that
// one was caught.
func fuzzOne(t *testing.T, seed uint64, op string) {
	r := rand.New(rand.NewPCG(seed, 1))
	g := &ir.Graph{Opset: 7 + r.IntN(15), Tensors: map[string]*ir.Tensor{}}
	in := map[string]*ir.Tensor{}
	var names []string
	for i := range 1 + r.IntN(5) {
		x := randomTensor(r, fmt.Sprint("t", i))
		names = append(names, x.Name)
		if len(x.Raw) != x.Len()*x.DType.Size() && r.IntN(4) > 0 {
			x = &ir.Tensor{Name: x.Name, DType: ir.Int64, Dims: []int{}, Raw: make([]byte, 8)}
		}
		if r.IntN(2) == 0 || slices.Contains(x.Dims, 0) || len(x.Raw) != x.Len()*x.DType.Size() {
			g.Tensors[x.Name] = x
			continue
		}
		in[x.Name] = x
		g.Inputs = append(g.Inputs, ir.Value{Name: x.Name, Type: x.Type()})
	}
	ops := eval.Operators()
	for i := range 1 + r.IntN(3) {
		if i > 0 {
			op = ops[r.IntN(len(ops))]
		}
		var inputs, outputs []string
		for range r.IntN(6) {
			if r.IntN(8) == 0 {
				inputs = append(inputs, "")
			} else {
				inputs = append(inputs, names[r.IntN(len(names))])
			}
		}
		for j := range 1 + r.IntN(3)/2 {
			outputs = append(outputs, fmt.Sprintf("y%d_%d", i, j))
		}
		g.Nodes = append(g.Nodes, randomNode(r, op, inputs, outputs))
		names = append(names, outputs...)
		g.Outputs = append(g.Outputs, ir.Value{Name: outputs[0]})
	}
	check := func(what string, err error) {
		if err != nil && strings.Contains(err.Error(), "malformed") {
			t.Errorf("seed %d: %s: %v\n%+v", seed, what, err, *g.Nodes[0])
		}
	}
	values := maps.Clone(in)
	maps.Copy(values, g.Tensors)
	for _, n := range g.Nodes {
		var args []*ir.Tensor
		for _, name := range n.Inputs {
			args = append(args, values[name])
		}
		out, err := eval.EvalBounded(n, g.Opset, args, 1<<16, 1<<20)
		check("eval", err)
		for i, x := range out {
			values[n.Outputs[i]] = x
		}
	}
	o := eval.Options{MaxElements: 1 << 16}
	if r.IntN(2) == 0 {
		o.Batch = 1 + r.IntN(4)
	}
	planned := eval.Clone(g)
	if err := eval.Infer(planned, o); err != nil {
		check("infer", err)
		return
	}
	for _, n := range planned.Nodes {
		for _, name := range n.Outputs {
			if typ := planned.Types[name]; typ.Static() && slices.Min(append(slices.Clone(typ.Dims), 0)) < 0 {
				t.Errorf("seed %d: %s has shape %v", seed, name, typ.Dims)
			}
		}
	}
}

// TestNonsense sends every operator through a few hundred nonsensical nodes.
func TestNonsense(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 60
	}
	for i, op := range eval.Operators() {
		for k := range rounds {
			fuzzOne(t, uint64(i*100000+k), op)
			if t.Failed() {
				return
			}
		}
	}
}

func FuzzInfer(f *testing.F) {
	ops := eval.Operators()
	for i := range ops {
		f.Add(uint64(i), uint16(i))
	}
	f.Fuzz(func(t *testing.T, seed uint64, op uint16) { fuzzOne(t, seed, ops[int(op)%len(ops)]) })
}

// TestNonsenseMutations breaks ONNX's own tests in one or two places: they reach
// further into each operator than nonsense alone.
func TestNonsenseMutations(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	for _, c := range conformanceCases(t) {
		if c.scope() != "" {
			continue
		}
		m, in, _, err := c.load()
		if err != nil || len(m.Graph.Nodes) != 1 {
			continue
		}
		for range rounds {
			g := eval.Clone(m.Graph)
			n := g.Nodes[0]
			args := make([]*ir.Tensor, len(n.Inputs))
			for i, name := range n.Inputs {
				if args[i] = in[name]; args[i] == nil {
					args[i] = g.Tensors[name]
				}
			}
			for range 1 + r.IntN(2) {
				mutate(r, n, args)
			}
			if _, err := eval.EvalBounded(n, g.Opset, args, 1<<16, 1<<22); err != nil && strings.Contains(err.Error(), "malformed") {
				t.Errorf("%s: eval: %v\n%+v", c.name, err, *n)
			}
			g.Inputs = nil
			for i := range n.Inputs {
				n.Inputs[i] = ""
				if x := args[i]; x != nil {
					n.Inputs[i] = fmt.Sprint("a", i)
					if len(x.Dims) < 2 || slices.Contains(x.Dims, 0) || r.IntN(4) == 0 {
						g.Tensors[n.Inputs[i]] = x
					} else {
						g.Inputs = append(g.Inputs, ir.Value{Name: n.Inputs[i], Type: x.Type()})
					}
				}
			}
			if err := eval.Infer(g, eval.Options{MaxElements: 1 << 16, Batch: r.IntN(3)}); err != nil && strings.Contains(err.Error(), "malformed") {
				t.Errorf("%s: infer: %v\n%+v", c.name, err, *n)
			}
		}
	}
}

// mutate changes one attribute or one input of a node.
func mutate(r *rand.Rand, n *ir.Node, args []*ir.Tensor) {
	if len(n.Attrs) > 0 && r.IntN(2) == 0 {
		name := slices.Sorted(maps.Keys(n.Attrs))[r.IntN(len(n.Attrs))]
		switch v := n.Attrs[name].(type) {
		case int64:
			n.Attrs[name] = nonsense(r)
		case []int64:
			w := slices.Clone(v)
			if len(w) > 0 && r.IntN(3) > 0 {
				w[r.IntN(len(w))] = nonsense(r)
			} else {
				w = append(w, nonsense(r))
			}
			n.Attrs[name] = w
		case string:
			n.Attrs[name] = fuzzStrings[r.IntN(len(fuzzStrings))]
		case float32:
			n.Attrs[name] = []float32{0, -1, float32(math.NaN()), float32(math.Inf(1))}[r.IntN(4)]
		}
		return
	}
	if len(args) == 0 {
		return
	}
	i := r.IntN(len(args))
	x := args[i]
	switch {
	case x == nil || r.IntN(8) == 0:
		args[i] = randomTensor(r, "")
		if x := args[i]; len(x.Raw) != x.Len()*x.DType.Size() {
			args[i] = nil
		}
	case x.DType == ir.Int64 && x.Len() > 0 && r.IntN(2) == 0:
		v := x.Int64s()
		v[r.IntN(len(v))] = nonsense(r)
		args[i] = ir.FromInt64s("", v, x.Dims...)
	case len(x.Dims) > 0:
		dims := slices.Clone(x.Dims)
		switch r.IntN(4) {
		case 0:
			dims[r.IntN(len(dims))] = r.IntN(4)
		case 1:
			dims = append(dims, 1)
		case 2:
			dims = dims[1:]
		default:
			dims[r.IntN(len(dims))]++
		}
		y := &ir.Tensor{DType: x.DType, Dims: dims}
		y.Raw = make([]byte, y.Len()*y.DType.Size())
		copy(y.Raw, x.Raw)
		args[i] = y
	}
}
