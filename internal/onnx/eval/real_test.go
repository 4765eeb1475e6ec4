package eval_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/testdata"
)

// reference is one recorded run of a real model by ONNX Runtime.
type reference struct {
	Model           string
	Inputs, Outputs []struct {
		Name, Type, File string
		Dims             []int
		Stride           int
	}
	dir string
}

var realModels = []struct {
	dir        string
	slow, pair bool // pair: is also run on two images
}{
	{"mobilenetv3_ppocr_cls", false, true},
	{"yunet_n", false, false},
	{"vit_cifar_ibp", false, false},
	{"squeezenet1.1", false, false},
	{"nanodet_m_320", false, true}, // the file fixes the batch to 1
	{"deimv2_atto", true, true},
	{"yolox_nano", true, true},
	{"deeplabv3_mnv2_257", true, false},
	{"vit_tiny_timmstyle", true, true},
}

// references lists the runs of a model folder, one per model file.
func references(t *testing.T, dir string) []reference {
	file := testdata.Real(t, dir, "ref", "ref.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all, out []reference
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if !slices.ContainsFunc(out, func(o reference) bool { return o.Model == r.Model }) {
			r.dir = filepath.Dir(file)
			out = append(out, r)
		}
	}
	return out
}

func (r reference) tensor(t *testing.T, name, typ, file string, dims []int) *ir.Tensor {
	raw, err := os.ReadFile(filepath.Join(r.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	d := map[string]ir.DType{"float32": ir.Float, "float16": ir.Float16, "int64": ir.Int64}[typ]
	return &ir.Tensor{Name: name, DType: d, Dims: dims, Raw: raw}
}

func (r reference) open(t *testing.T) *onnx.Model {
	m, err := onnx.Open(filepath.Join(r.dir, "..", r.Model))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// inferred plans the model's graph for n images of the recorded size.
func (r reference) inferred(t *testing.T, m *onnx.Model, n int) *ir.Graph {
	o := eval.Options{Inputs: map[string][]int{}}
	for _, in := range r.Inputs {
		dims := slices.Clone(in.Dims)
		dims[0] = n
		o.Inputs[in.Name] = dims
	}
	g := eval.Clone(m.Graph)
	if err := eval.Infer(g, o); err != nil {
		t.Fatal(err)
	}
	return g
}

// checkPlanned checks what Infer promises of every graph.
func checkPlanned(t *testing.T, g *ir.Graph) {
	t.Helper()
	for _, n := range g.Nodes {
		constant := n.Op != "Expand" && n.Op != "Tile" // those of a parameter stay
		for _, name := range n.Inputs {
			if name != "" && g.Tensors[name] == nil {
				constant = false
			}
			if typ, ok := g.Types[name]; name != "" && (!ok || !typ.Static()) {
				t.Errorf("%s %s: input %q has type %+v", n.Op, n.Name, name, typ)
			}
		}
		if constant || n.Op == "Shape" || n.Op == "Constant" || n.Op == "Identity" || n.Op == "Dropout" {
			t.Errorf("%s %s is left in the graph", n.Op, n.Name)
		}
		for _, name := range n.Outputs {
			if typ := g.Types[name]; name != "" && !typ.Static() {
				t.Errorf("%s %s: output %q has type %+v", n.Op, n.Name, name, typ)
			}
		}
	}
}

// TestRealModelsInfer plans every real model for one image and for two, also
// those whose file fixes the batch to one.
func TestRealModelsInfer(t *testing.T) {
	for _, model := range realModels {
		t.Run(model.dir, func(t *testing.T) {
			for _, r := range references(t, model.dir) {
				m := r.open(t)
				for _, n := range []int{1, 2} {
					g := r.inferred(t, m, n)
					checkPlanned(t, g)
					for _, out := range r.Outputs {
						want := slices.Clone(out.Dims)
						want[0] = want[0] / r.Inputs[0].Dims[0] * n
						if typ := g.Types[out.Name]; !slices.Equal(typ.Dims, want) {
							t.Errorf("%s, batch %d: %s is %v, want %v", r.Model, n, out.Name, typ.Dims, want)
						}
					}
				}
			}
		})
	}
}

// TestRealModelsRun evaluates every node of the planned graphs on a recorded
// image. With a second, mirrored image beside it the first one's result must not
// change, and neither must the second's if it comes first.
func TestRealModelsRun(t *testing.T) {
	for _, model := range realModels {
		t.Run(model.dir, func(t *testing.T) {
			if model.slow && testing.Short() {
				t.Skip("slow")
			}
			for _, r := range references(t, model.dir) {
				m := r.open(t)
				in := map[string]*ir.Tensor{}
				for _, i := range r.Inputs {
					in[i.Name] = r.tensor(t, i.Name, i.Type, i.File, i.Dims)
				}
				n := r.Inputs[0].Dims[0]
				got, err := eval.Run(r.inferred(t, m, n), in)
				if err != nil {
					t.Fatal(err)
				}
				for _, out := range r.Outputs {
					dims := out.Dims
					if out.Stride > 1 {
						dims = []int{(got[out.Name].Len() + out.Stride - 1) / out.Stride}
					}
					want := r.tensor(t, out.Name, out.Type, out.File, dims)
					if err := near(got[out.Name], want, out.Stride); err != nil {
						t.Errorf("%s: %s %v", r.Model, out.Name, err)
					}
				}
				if !model.pair || testing.Short() {
					continue
				}
				two, swapped := map[string]*ir.Tensor{}, map[string]*ir.Tensor{}
				for name, x := range in {
					y := mirrored(x)
					dims := append([]int{2}, x.Dims[1:]...)
					two[name] = &ir.Tensor{DType: x.DType, Dims: dims, Raw: slices.Concat(x.Raw, y.Raw)}
					swapped[name] = &ir.Tensor{DType: x.DType, Dims: dims, Raw: slices.Concat(y.Raw, x.Raw)}
				}
				g := r.inferred(t, m, 2)
				a, err := eval.Run(g, two)
				if err != nil {
					t.Fatal(err)
				}
				b, err := eval.Run(g, swapped)
				if err != nil {
					t.Fatal(err)
				}
				for _, out := range r.Outputs {
					half := len(a[out.Name].Raw) / 2
					if !slices.Equal(a[out.Name].Raw[:half], got[out.Name].Raw) || !slices.Equal(b[out.Name].Raw[half:], got[out.Name].Raw) ||
						!slices.Equal(b[out.Name].Raw[:half], a[out.Name].Raw[half:]) {
						t.Errorf("%s: %s mixes the images of a batch", r.Model, out.Name)
					}
				}
			}
		})
	}
}

// mirrored reverses the elements of an image.
func mirrored(x *ir.Tensor) *ir.Tensor {
	raw, size := slices.Clone(x.Raw), x.DType.Size()
	for i := range x.Len() {
		copy(raw[i*size:][:size], x.Raw[(x.Len()-1-i)*size:])
	}
	return &ir.Tensor{DType: x.DType, Dims: x.Dims, Raw: raw}
}

// near compares every stride-th element, relative to the largest.
func near(got, want *ir.Tensor, stride int) error {
	if stride == 1 && !slices.Equal(got.Dims, want.Dims) {
		return fmt.Errorf("has shape %v, want %v", got.Dims, want.Dims)
	}
	largest, worst, at := 0.0, 0.0, 0
	for i := range want.Len() {
		w := want.Float(i)
		largest = math.Max(largest, math.Abs(w))
		if d := math.Abs(got.Float(i*stride) - w); !(d <= worst) {
			worst, at = d, i
		}
	}
	limit := 1e-4
	if want.DType == ir.Float16 {
		limit = 2e-2 // recorded with every value rounded to half precision, logits to 1/64
	}
	if !(worst <= limit*largest) {
		return fmt.Errorf("element %d is %v, want %v (largest %v)", at*stride, got.Float(at*stride), want.Float(at), largest)
	}
	return nil
}
