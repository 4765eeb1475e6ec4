package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/internal/testdata"
)

func floats(t testing.TB, path string) []float32 {
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

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// channelsLast turns (N, C, H, W) into (N, H, W, C).
func channelsLast(x []float32, n, c, h, w int) []float32 {
	out := make([]float32, len(x))
	for i := range n {
		for k := range c {
			for p := range h * w {
				out[(i*h*w+p)*c+k] = x[(i*c+k)*h*w+p]
			}
		}
	}
	return out
}

// infer runs a network on channels-last pictures.
func infer(t testing.TB, s *session, n *Network, x []float32, batch int) []float32 {
	t.Helper()
	r := newRunner(s.team, s.kernels, n.predictor())
	defer r.close()
	set, err := r.prepare(batch)
	if err != nil {
		t.Fatal(err)
	}
	load(set, x, n.picture)
	if _, err := r.step(set); err != nil {
		t.Fatal(err)
	}
	return set.output(0, nil)
}

// runORT runs an ONNX file in ONNX Runtime; without it the comparison is
// skipped (nil).
func runORT(t testing.TB, path, input string, x []float32, dims ...int) []float32 {
	t.Helper()
	s, err := ort.Open(path)
	if errors.Is(err, ort.ErrUnavailable) {
		t.Logf("not run in ONNX Runtime: %v", err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(map[string]*ir.Tensor{input: ir.FromFloat32s(input, x, dims...)})
	if err != nil {
		t.Fatal(err)
	}
	return out[s.Outputs()[0].Name].Float32s()
}

// TestPEFTGoldens loads every adapter that PEFT wrote, runs it, merges it, and
// runs the merged file here and in ONNX Runtime. (That the files are written
// back byte for byte is tested in package lora.)
func TestPEFTGoldens(t *testing.T) {
	s, err := openSession(2, DTypeF32)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	seen := 0
	for _, name := range []string{"vit_micro", "resnet10n_bn", "resnet10n_folded"} {
		dir := testdata.Peers(t, "peft_golden", name)
		raw, err := os.ReadFile(filepath.Join(dir, "net.json"))
		if err != nil {
			t.Fatal(err)
		}
		var spec struct{ Input struct{ Dims []int } }
		if err := json.Unmarshal(raw, &spec); err != nil {
			t.Fatal(err)
		}
		d := spec.Input.Dims
		nchw := floats(t, filepath.Join(dir, "x.f32"))
		x := channelsLast(nchw, d[0], d[1], d[2], d[3])
		base := wide(floats(t, filepath.Join(dir, "logits_base.f32")))
		variants, err := filepath.Glob(filepath.Join(dir, "*", "adapter_config.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range variants {
			v = filepath.Dir(v)
			seen++
			t.Run(name+"/"+filepath.Base(v), func(t *testing.T) {
				model := filepath.Join(dir, "model.onnx")
				n, err := OpenNetwork(model, NetworkOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer n.Close()
				if _, err := n.LoadAdapter(v, false); err != nil {
					t.Fatal(err)
				}
				want := wide(floats(t, filepath.Join(v, "logits.f32")))
				adapted := wide(infer(t, s, n, x, d[0]))
				if e := gradcheck.RangeError(adapted, want); e > 1e-4 {
					t.Errorf("with the adapter: off by %.2g of the range", e)
				}
				if e := gradcheck.RangeError(want, base); e < 1e-3 {
					t.Errorf("the adapter changes the logits by %.2g of the range only: nothing is tested", e)
				}
				out := filepath.Join(t.TempDir(), "merged.onnx")
				if _, err := n.WriteMerged(out, nil); err != nil {
					t.Fatal(err)
				}
				merged, err := OpenNetwork(out, NetworkOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer merged.Close()
				got := wide(infer(t, s, merged, x, d[0]))
				if e := gradcheck.RangeError(got, want); e > 1e-4 {
					t.Errorf("merged: off by %.2g of the range", e)
				}
				if y := runORT(t, out, "input", nchw, d...); y != nil {
					if e := gradcheck.RangeError(wide(y), want); e > 1e-4 {
						t.Errorf("merged, in ONNX Runtime: off by %.2g of the range", e)
					}
				}
			})
		}
	}
	if seen != 21 {
		t.Errorf("%d adapters found, want 21", seen)
	}
}
