package lora

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision/build"
)

// goldens calls f for every adapter that PEFT wrote, with the sites of its
// network.
func goldens(t *testing.T, f func(t *testing.T, dir string, sites []build.Site, classifier string)) {
	root := testdata.Peers(t, "peft_golden")
	dirs, err := filepath.Glob(filepath.Join(root, "*", "*", ConfigFile))
	if err != nil || len(dirs) != 21 {
		t.Fatalf("found %d golden adapters, wanted 21 (%v)", len(dirs), err)
	}
	for _, c := range dirs {
		dir := filepath.Dir(c)
		net := filepath.Dir(dir)
		t.Run(filepath.Base(net)+"/"+filepath.Base(dir), func(t *testing.T) {
			classifier := "fc"
			if filepath.Base(net) == "vit_micro" {
				classifier = "head"
			}
			f(t, dir, sitesOf(t, filepath.Join(net, "map.json")), classifier)
		})
	}
}

// sitesOf makes the sites that a recogniser would find out of map.json.
func sitesOf(t *testing.T, path string) []build.Site {
	t.Helper()
	members, err := parseObject(mustRead(t, path))
	if err != nil {
		t.Fatal(err)
	}
	var sites []build.Site
	for _, m := range members {
		var e struct {
			Op     string `json:"op"`
			Shape  []int  `json:"torch_shape"`
			Groups int    `json:"groups"`
		}
		if err := json.Unmarshal(m.value, &e); err != nil {
			t.Fatal(err)
		}
		switch e.Op {
		case "Conv":
			sites = append(sites, convSite(m.key, e.Shape[1]*e.Groups, e.Shape[0], e.Shape[2], e.Shape[3], e.Groups))
		case "MatMul", "Gemm":
			sites = append(sites, linearSite(m.key, e.Shape[1], e.Shape[0]))
		}
	}
	return sites
}

func linearSite(path string, in, out int) build.Site {
	return build.Site{Path: path, Kind: build.KindLinear, In: in, Out: out, Groups: 1}
}

func convSite(path string, in, out, kh, kw, groups int) build.Site {
	return build.Site{Path: path, Kind: build.KindConv, In: in, Out: out, Kernel: [2]int{kh, kw},
		Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: groups}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readPlainly reads a safetensors file in the ten lines that its format takes,
// independently of the package under test.
func readPlainly(t *testing.T, path string) map[string][]float64 {
	t.Helper()
	b := mustRead(t, path)
	n := binary.LittleEndian.Uint64(b)
	var header map[string]struct {
		DType   string `json:"dtype"`
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(bytes.Replace(b[8:8+n], []byte(`"__metadata__":{"format":"pt"},`), nil, 1), &header); err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]float64)
	for k, e := range header {
		raw := b[8+int(n)+e.Offsets[0] : 8+int(n)+e.Offsets[1]]
		switch e.DType {
		case "F32":
			for ; len(raw) > 0; raw = raw[4:] {
				out[k] = append(out[k], float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
			}
		case "BF16":
			for ; len(raw) > 0; raw = raw[2:] {
				out[k] = append(out[k], float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw))<<16)))
			}
		default:
			t.Fatalf("%s is %s", k, e.DType)
		}
	}
	return out
}

// TestGoldenWriteBack holds that what PEFT wrote is written back byte for
// byte, both files.
func TestGoldenWriteBack(t *testing.T) {
	goldens(t, func(t *testing.T, dir string, sites []build.Site, _ string) {
		a, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "new", "folder")
		if err := a.Save(out); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{ConfigFile, WeightsFile} {
			if got, want := mustRead(t, filepath.Join(out, name)), mustRead(t, filepath.Join(dir, name)); !bytes.Equal(got, want) {
				t.Errorf("%s differs from PEFT's:\n%.400q\n%.400q", name, got, want)
			}
		}
	})
}

// TestGoldenPlan holds that our planning and our reading both arrive at the
// layers, ranks, alphas and scalings that PEFT had.
func TestGoldenPlan(t *testing.T) {
	goldens(t, func(t *testing.T, dir string, sites []build.Site, classifier string) {
		var want struct {
			Modules map[string]struct {
				R       int
				Alpha   float64
				Scaling float64
				Dora    bool
			}
			Trainable int `json:"trainable_params"`
		}
		if err := json.Unmarshal(mustRead(t, filepath.Join(dir, "expected.json")), &want); err != nil {
			t.Fatal(err)
		}
		a, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		planned, err := NewPlan(a.Config, sites, classifier)
		if err != nil {
			t.Fatal(err)
		}
		bound, err := a.Bind(sites)
		if err != nil {
			t.Fatal(err)
		}
		for what, p := range map[string]*Plan{"planned": planned, "bound": bound} {
			if len(p.Sites) != len(want.Modules) {
				t.Errorf("%s: %d layers, PEFT has %d:\n%s", what, len(p.Sites), len(want.Modules), p.Table())
			}
			for _, sp := range p.Sites {
				w, ok := want.Modules[sp.Site.Path]
				if !ok || sp.Rank != w.R || sp.Alpha != w.Alpha || math.Abs(sp.Scaling-w.Scaling) > 1e-12 {
					t.Errorf("%s %s: r %d alpha %g scaling %g, PEFT %+v (%t)", what, sp.Site.Path, sp.Rank, sp.Alpha, sp.Scaling, w, ok)
				}
				l := a.Layers[sp.Site.Path]
				if l == nil || !slices.Equal(l.A.Shape, sp.A) || !slices.Equal(l.B.Shape, sp.B) {
					t.Errorf("%s %s: shapes %v, %v do not equal the file's", what, sp.Site.Path, sp.A, sp.B)
				}
				if (sp.Magnitude != nil) != (l.Magnitude != nil) || (sp.BiasB != nil) != (l.BiasB != nil) || len(sp.NotPEFT) != 0 {
					t.Errorf("%s %s: magnitude %v, bias %v, not PEFT %v", what, sp.Site.Path, sp.Magnitude, sp.BiasB, sp.NotPEFT)
				}
			}
		}
		if planned.Params() != bound.Params() {
			t.Errorf("planned %d parameters, the file's layers have %d", planned.Params(), bound.Params())
		}
		// lora_only trains biases that PEFT does not save.
		if a.Config.Bias != "lora_only" && a.Params() != want.Trainable {
			t.Errorf("%d parameters in the file, PEFT trained %d", a.Params(), want.Trainable)
		}
		if !planned.Config.TargetModules.Equal(a.Config.TargetModules) {
			t.Errorf("target_modules %v became %v", a.Config.TargetModules, planned.Config.TargetModules)
		}
	})
}

// TestGoldenMerge compares merging with the arithmetic of PEFT written as
// plain loops over tensors read plainly.
func TestGoldenMerge(t *testing.T) {
	goldens(t, func(t *testing.T, dir string, sites []build.Site, _ string) {
		a, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		file := readPlainly(t, filepath.Join(dir, WeightsFile))
		rng := rand.New(rand.NewPCG(1, 2))
		for _, s := range sites {
			l := a.Layers[s.Path]
			if l == nil {
				continue
			}
			w, bias := random(rng, size(WeightShape(s)), .1), random(rng, s.Out, 1)
			m, err := Merge(s, l, w, bias)
			if err != nil {
				t.Fatal(err)
			}
			A, B := file[prefix+s.Path+keyA], file[prefix+s.Path+keyB]
			mag, bb := file[prefix+s.Path+keyMagnitude], file[prefix+s.Path+keyBiasB]
			r, width := len(B)/s.Out, len(w)/s.Out
			for o := range s.Out {
				row, norm := make([]float64, width), 0.0
				for i := range row {
					row[i] = float64(w[o*width+i])
					for k := range r {
						row[i] += l.Scaling * B[o*r+k] * A[k*width+i]
					}
					norm += row[i] * row[i]
				}
				for i := range row {
					if mag != nil {
						row[i] *= mag[o] / math.Sqrt(norm)
					}
					if d := math.Abs(float64(m.W[o*width+i]) - row[i]); d > 1e-7 {
						t.Fatalf("%s: W'[%d,%d] = %g, wanted %g", s.Path, o, i, m.W[o*width+i], row[i])
					}
				}
				wantBias := float64(bias[o])
				if bb != nil {
					wantBias += l.Scaling * bb[o]
				}
				if math.Abs(float64(m.Bias[o])-wantBias) > 1e-6 {
					t.Fatalf("%s: b'[%d] = %g, wanted %g", s.Path, o, m.Bias[o], wantBias)
				}
			}
			if slices.Equal(m.W, w) {
				t.Errorf("%s: merging changed nothing", s.Path)
			}
			if uw, ub := m.Unmerge(); !slices.Equal(uw, w) || !slices.Equal(ub, bias) {
				t.Errorf("%s: unmerge does not restore the layer", s.Path)
			}
		}
	})
}

// TestGoldenSaved checks the names under which other parameters are found.
func TestGoldenSaved(t *testing.T) {
	for variant, names := range map[string][]string{
		"vit_micro/modules_to_save_head":     {"head.bias", "head.weight"},
		"vit_micro/bias_lora_only":           nil,
		"resnet10n_bn/modules_to_save_fc":    {"fc.bias", "fc.weight"},
		"vit_micro/bias_all":                 {"blocks.0.attn.qkv.bias", "blocks.0.mlp.fc1.bias", "blocks.0.norm1.bias", "norm.bias", "head.bias"},
		"resnet10n_folded/plain_r8_convs":    nil,
		"resnet10n_bn/rank_alpha_pattern":    nil,
		"vit_micro/dora_with_patch_conv":     nil,
		"resnet10n_folded/dora_convs_and_fc": nil,
	} {
		a, err := Load(testdata.Peers(t, "peft_golden", variant))
		if err != nil {
			t.Fatal(err)
		}
		if names == nil && len(a.Saved) != 0 {
			t.Errorf("%s: saved %d parameters, wanted none", variant, len(a.Saved))
		}
		for _, n := range names {
			if a.Saved[n] == nil {
				t.Errorf("%s: %s is missing", variant, n)
			}
		}
	}
	a, err := Load(testdata.Peers(t, "peft_golden", "vit_micro", "modules_to_save_head"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"head": true, "blocks.0.attn.qkv": false, "aux_head": true, "head.fc": false} {
		if a.Config.SavesModule(path) != want {
			t.Errorf("SavesModule(%q) = %t", path, !want)
		}
	}
}

func random(rng *rand.Rand, n int, scale float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64() * scale)
	}
	return v
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, wanted one with %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not contain %q", err, p)
		}
	}
}
