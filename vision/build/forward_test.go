package build_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/build"
)

// reference is a ref.json: tensors that ONNX Runtime computed.
type reference struct {
	Model           string
	Inputs, Outputs []struct {
		Name, Type, File string
		Dims             []int
		Stride           int
	}
}

func readFloats(t testing.TB, path string) []float32 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// forward runs a model on a picture given as the file wants it (NCHW or NHWC)
// and returns its outputs.
func forward(t testing.TB, model string, k kernels.Kernels, batch int, inputs map[string][]float32, dims map[string][]int) map[string][]float64 {
	t.Helper()
	m, err := onnx.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	net := build.NewNet(func(n int) (*ir.Graph, error) {
		return m.Plan(onnx.PlanOptions{Batch: n, Shapes: dims})
	})
	g, err := net.Build(build.Options{Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	var roots []*ops.Node
	for _, o := range g.IR.Outputs {
		v, err := g.Value(o.Name)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, v)
	}
	p, err := vm.Compile(g.Graph, roots...)
	if err != nil {
		t.Fatal(err)
	}
	for name, leaf := range g.Inputs {
		shape := ops.Shape(leaf)
		mem := buffer.New(g.Kind(leaf), shape...)
		src := inputs[name]
		d := dims[name]
		switch {
		case g.Kind(leaf) == buffer.I64:
			for i, v := range src {
				mem.I64()[i] = int64(v)
			}
		case len(d) == 4 && d[3] != shape[3]: // the file is NCHW
			toChannelsLast(mem.F32(), src, d)
		default:
			copy(mem.F32(), src)
		}
		g.Memory[leaf] = mem
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e, err := vm.NewExecutor(p, vm.Binding{Kernels: k, Inputs: g.Memory})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.RunAll(); err != nil {
		t.Fatal(err)
	}
	out := map[string][]float64{}
	for i, o := range g.IR.Outputs {
		b := e.Value(roots[i])
		if b.Storage == buffer.I64 {
			for _, v := range b.I64() {
				out[o.Name] = append(out[o.Name], float64(v))
			}
			continue
		}
		out[o.Name] = gradcheck.Read(b)
	}
	return out
}

func toChannelsLast(dst, src []float32, d []int) {
	for n := range d[0] {
		for c := range d[1] {
			for y := range d[2] {
				for x := range d[3] {
					dst[((n*d[2]+y)*d[3]+x)*d[1]+c] = src[((n*d[1]+c)*d[2]+y)*d[3]+x]
				}
			}
		}
	}
}

// TestForwardParity compares real trained models with what ONNX Runtime made
// of the same inputs, on every kernel set of this build.
func TestForwardParity(t *testing.T) {
	for _, c := range []struct {
		folder    string
		tolerance float64
	}{
		{"vit_tiny_timmstyle", 1e-4},
		{"vit_cifar_ibp", 1e-4},
		{"squeezenet1.1", 1e-4},
		{"mobilenetv3_ppocr_cls", 1e-4},
		{"deeplabv3_mnv2_257", 1e-4},
		{"nanodet_m_320", 1e-4},
		{"yolox_nano", 1e-4},
		{"yunet_n", 1e-4},
	} {
		t.Run(c.folder, func(t *testing.T) {
			dir := testdata.Real(t, c.folder, "ref")
			refs := references(t, dir)
			for _, k := range kernelSets(t) {
				for _, r := range refs {
					tol := c.tolerance
					if filepath.Base(r.Model) == "squeezenet_fp16.onnx" {
						tol = 1e-2
					}
					got := r.run(t, dir, k)
					for _, o := range r.Outputs {
						var want, have []float64
						for _, v := range readTyped(t, filepath.Join(dir, o.File), o.Type) {
							want = append(want, float64(v))
						}
						for i := 0; i < len(got[o.Name]); i += max(o.Stride, 1) {
							have = append(have, got[o.Name][i])
						}
						d := gradcheck.RangeError(have, want)
						t.Logf("%s %s %s: %.2g of the range", k.Name(), r.Model, o.Name, d)
						if d > tol {
							t.Errorf("%s: %s output %s is off by %.2g of the range, more than %.2g", k.Name(), r.Model, o.Name, d, tol)
						}
					}
				}
			}
		})
	}
}

// TestDetectorParity compares a detector that sorts its own predictions: the
// last bits of two nearly equal scores may change their order, so predictions
// are matched by score, label and box.
func TestDetectorParity(t *testing.T) {
	dir := testdata.Real(t, "deimv2_atto", "ref")
	for _, r := range references(t, dir) {
		want := map[string][]float32{}
		for _, o := range r.Outputs {
			want[o.Name] = readTyped(t, filepath.Join(dir, o.File), o.Type)
		}
		for _, k := range kernelSets(t) {
			got := r.run(t, dir, k)
			scores := want["scores"]
			low, large := float64(scores[len(scores)-1]), 0.0
			for _, b := range want["boxes"] {
				large = max(large, math.Abs(float64(b)))
			}
			missed := 0
			for i, s := range scores {
				found := false
				for j := range got["scores"] {
					same := got["labels"][j] == float64(want["labels"][i]) && math.Abs(got["scores"][j]-float64(s)) <= 1e-4
					for c := range 4 {
						same = same && math.Abs(got["boxes"][4*j+c]-float64(want["boxes"][4*i+c])) <= 1e-4*large
					}
					found = found || same
				}
				if !found && float64(s) > low+1e-5 { // at the cut one may replace another
					missed++
					t.Errorf("%s: no prediction like the reference's number %d: label %v, score %v", k.Name(), i, want["labels"][i], s)
				}
			}
			t.Logf("%s: %d of %d predictions found", k.Name(), len(scores)-missed, len(scores))
		}
	}
}

// references reads a model's ref.json.
func references(t *testing.T, dir string) []reference {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "ref.json"))
	if err != nil {
		t.Fatal(err)
	}
	var refs []reference
	if err := json.Unmarshal(raw, &refs); err != nil {
		t.Fatal(err)
	}
	return refs
}

// run runs the model on the reference's inputs.
func (r reference) run(t *testing.T, dir string, k kernels.Kernels) map[string][]float64 {
	t.Helper()
	inputs, dims := map[string][]float32{}, map[string][]int{}
	for _, in := range r.Inputs {
		dims[in.Name] = in.Dims
		inputs[in.Name] = readTyped(t, filepath.Join(dir, in.File), in.Type)
	}
	return forward(t, filepath.Join(dir, "..", r.Model), k, r.Inputs[0].Dims[0], inputs, dims)
}

func readTyped(t testing.TB, path, typ string) []float32 {
	switch typ {
	case "float32":
		return readFloats(t, path)
	case "int64":
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, len(b)/8)
		for i := range out {
			out[i] = float32(int64(binary.LittleEndian.Uint64(b[8*i:])))
		}
		return out
	case "float16":
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, len(b)/2)
		for i := range out {
			out[i] = ir.HalfToFloat(binary.LittleEndian.Uint16(b[2*i:]))
		}
		return out
	}
	t.Fatalf("%s: unknown type %q", path, typ)
	return nil
}
