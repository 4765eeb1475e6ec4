package engine

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// embedCase is a model that gives its input back, and a preprocessing.
type embedCase struct {
	opset, ir    int
	pre          vision.Preprocess
	channelsLast bool
	channels     int
	half         bool
	batch        int
	name         string // of the float input
}

func (c embedCase) dims(batch int) []int {
	d := []int{batch, c.channels, c.pre.Size[0], c.pre.Size[1]}
	if c.channelsLast {
		d = []int{batch, c.pre.Size[0], c.pre.Size[1], c.channels}
	}
	return d
}

// write embeds and returns the file's path.
func (c embedCase) write(t testing.TB) (string, *EmbeddedPreprocess, error) {
	t.Helper()
	dt := ir.Float
	if c.half {
		dt = ir.Float16
	}
	b := onnxtest.New(c.opset).Input(c.name, dt, c.dims(c.batch)...)
	b.Node("Abs", nil, []string{c.name}, []string{"a"}).Node("Neg", nil, []string{c.name}, []string{"b"})
	b.Node("Neg", nil, []string{"b"}, []string{"y"}).Node("Sub", nil, []string{"y", "a"}, []string{"z"})
	b.Output("y", dt, c.dims(c.batch)...).Output("z", dt, c.dims(c.batch)...)
	v := int64(c.ir)
	b.Proto().IrVersion = &v
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	pic, err := m.Picture()
	if err != nil {
		t.Fatal(err)
	}
	e, err := onnx.Edit(m)
	if err != nil {
		t.Fatal(err)
	}
	n := &Network{Model: m, Picture: pic}
	p, err := n.embedPreprocess(e, n.pictureValue(), c.pre)
	if err != nil {
		return "", nil, err
	}
	path := filepath.Join(t.TempDir(), "embedded.onnx")
	return path, p, e.Write(path)
}

// scene is a picture with edges, gradients and noise: every rounding counts.
func scene(w, h, seed int) *vision.Image {
	im := noise(seed, h, w)
	src := im.Pix
	im.Reset(w, h)
	for y := range h {
		for x := range w {
			for c := range 3 {
				v := (x*7*(c+1) + y*(11-3*c) + seed*29) & 255
				switch {
				case (x/5+y/7)%3 == 0:
					v = int(src[(3*(y*w+x)+c)%len(src)])
				case (x/9)%4 == 1:
					v = 255 * (y & 1)
				}
				im.Pix[3*(y*w+x)+c] = uint8(v)
			}
		}
	}
	return im
}

// expected is the pipeline's input of a picture in the model's layout.
func (c embedCase) expected(t testing.TB, im *vision.Image) []float32 {
	t.Helper()
	pipe, err := transform.Eval(c.pre)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, pipe.Len())
	if err := pipe.NewWorker().Apply(x, im, transform.Key{}); err != nil {
		t.Fatal(err)
	}
	n := &Network{Picture: onnx.Picture{Channels: c.channels}}
	var scratch []float32
	x = n.toInput(x, c.pre, &scratch)
	if c.channelsLast {
		return x
	}
	area := c.pre.Size[0] * c.pre.Size[1]
	out := make([]float32, len(x))
	for p := range area {
		for k := range c.channels {
			out[k*area+p] = x[p*c.channels+k]
		}
	}
	return out
}

// openORT opens a file in ONNX Runtime or skips the test.
func openORT(t testing.TB, path string) *ort.Session {
	t.Helper()
	s, err := ort.Open(path)
	if errors.Is(err, ort.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// check runs pictures of one size as one batch and compares.
func (c embedCase) check(t testing.TB, s *ort.Session, input string, tol float64, ims ...*vision.Image) {
	t.Helper()
	w, h := ims[0].W, ims[0].H
	feed := &ir.Tensor{Name: input, DType: ir.Uint8, Dims: []int{len(ims), h, w, 3}}
	var want []float32
	for _, im := range ims {
		feed.Raw = append(feed.Raw, im.Pix...)
		want = append(want, c.expected(t, im)...)
	}
	out, err := s.Run(map[string]*ir.Tensor{input: feed})
	if err != nil {
		t.Fatalf("%d×%d: %v", w, h, err)
	}
	got := out["y"].Float32s()
	if len(got) != len(want) {
		t.Fatalf("%d×%d: %d values, want %d", w, h, len(got), len(want))
	}
	worst, off := 0.0, 0
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if !(d <= tol) {
			off++
		}
		worst = math.Max(worst, d)
	}
	if off > 0 {
		t.Errorf("%d×%d: %d of %d values differ by more than %g, by up to %g", w, h, off, len(want), tol, worst)
	}
}

var imagenet = vision.Preprocess{Mean: [3]float64{.485, .456, .406}, Std: [3]float64{.229, .224, .225}, Range: 1, Channels: vision.RGB}

// placements are all ways to bring a picture to a size.
func placements() map[string]vision.Preprocess {
	with := func(resize, rounding, align string, h, w, to int, pad uint8) vision.Preprocess {
		p := imagenet
		p.Resize, p.Rounding, p.Align, p.Size, p.ResizeTo, p.Pad = resize, rounding, align, [2]int{h, w}, to, pad
		return p
	}
	return map[string]vision.Preprocess{
		"shorter-torchvision": with(vision.ResizeShorter, vision.RoundTorchvision, "", 32, 32, 37, 0),
		"shorter-nearest":     with(vision.ResizeShorter, vision.RoundNearest, "", 30, 36, 37, 0),
		"shorter-no-crop":     with(vision.ResizeShorter, "", "", 33, 33, 33, 0),
		"stretch":             with(vision.ResizeStretch, "", "", 29, 41, 0, 0),
		"letterbox-center":    with(vision.ResizeLetterbox, "", vision.AlignCenter, 32, 47, 0, 114),
		"letterbox-topleft":   with(vision.ResizeLetterbox, vision.RoundNearest, vision.AlignTopLeft, 40, 33, 0, 7),
	}
}

// pictureSizes are smaller and larger than the inputs, odd, upright, lying, of
// the same size, and one pixel wide.
var pictureSizes = [][2]int{{64, 48}, {97, 131}, {41, 29}, {17, 11}, {11, 200}, {301, 40}, {1, 5}, {32, 32}, {37, 55}, {560, 333}}

// TestEmbeddedPreprocessing compares the nodes in ONNX Runtime with package
// transform, which equals Pillow to the byte: no value may differ.
func TestEmbeddedPreprocessing(t *testing.T) {
	for name, pre := range placements() {
		for _, interpolation := range []string{vision.Bilinear, vision.Bicubic, vision.BoxFilter, vision.Nearest} {
			opsets := []int{17}
			if name == "shorter-torchvision" || name == "letterbox-center" {
				opsets = []int{7, 9, 11, 13, 17, 18, 21}
			}
			for _, opset := range opsets {
				if interpolation == vision.Nearest && opset < cumSumOpset {
					continue
				}
				c := embedCase{opset: opset, ir: 8, pre: pre, channels: 3, batch: -1, name: "x"}
				c.pre.Interpolation = interpolation
				if opset < 9 {
					c.ir = 3
				}
				t.Run(fmt.Sprintf("%s/%s/%d", name, interpolation, opset), func(t *testing.T) {
					path, p, err := c.write(t)
					if err != nil {
						t.Fatal(err)
					}
					if p.Input != "image" || p.Feeds != "x" {
						t.Errorf("input %q, feeds %q", p.Input, p.Feeds)
					}
					s := openORT(t, path)
					if in := s.Inputs(); len(in) != 1 || in[0].DType != ir.Uint8 || fmt.Sprint(in[0].Dims) != "[-1 -1 -1 3]" {
						t.Errorf("inputs %+v", in)
					}
					for k, size := range pictureSizes {
						c.check(t, s, p.Input, 0, scene(size[0], size[1], k))
					}
				})
			}
		}
	}
}

// TestEmbeddedLayouts varies what lies around the resize.
func TestEmbeddedLayouts(t *testing.T) {
	base := embedCase{opset: 13, ir: 8, pre: placements()["letterbox-center"], channels: 3, batch: -1, name: "x"}
	base.pre.Interpolation = vision.Bilinear
	cases := map[string]func(c *embedCase){
		"bgr 255": func(c *embedCase) {
			c.pre.Channels, c.pre.Range = vision.BGR, 255
			c.pre.Mean, c.pre.Std = [3]float64{103.939, 116.779, 123.68}, [3]float64{57.1, 58.2, 59.3}
		},
		"channels last":     func(c *embedCase) { c.channelsLast = true },
		"grey":              func(c *embedCase) { c.channels = 1 },
		"grey bgr last":     func(c *embedCase) { c.channels, c.channelsLast, c.pre.Channels = 1, true, vision.BGR },
		"grey opset 12":     func(c *embedCase) { c.channels, c.opset = 1, 12 },
		"half":              func(c *embedCase) { c.half = true },
		"half opset 7":      func(c *embedCase) { c.half, c.opset, c.ir = true, 7, 3 },
		"the name is taken": func(c *embedCase) { c.name = "image" },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			c := base
			change(&c)
			path, p, err := c.write(t)
			if err != nil {
				t.Fatal(err)
			}
			if c.name == "image" && p.Input != "image_2" {
				t.Errorf("the input is called %q", p.Input)
			}
			tol := 0.0
			switch {
			case c.half:
				tol = 3. / 1024 // half a unit of values below 4, and more
			case c.channels == 1:
				tol = 1e-6 // a sum in another order
			}
			s := openORT(t, path)
			c.check(t, s, p.Input, tol, scene(64, 48, 0), scene(64, 48, 1), scene(64, 48, 2))
			c.check(t, s, p.Input, tol, scene(23, 71, 3))
		})
	}
}

// TestEmbeddedFixedBatch keeps a batch that the file fixes.
func TestEmbeddedFixedBatch(t *testing.T) {
	c := embedCase{opset: 17, ir: 8, pre: placements()["stretch"], channels: 3, batch: 2, name: "x"}
	c.pre.Interpolation = vision.Bicubic
	path, p, err := c.write(t)
	if err != nil {
		t.Fatal(err)
	}
	s := openORT(t, path)
	if d := s.Inputs()[0].Dims; d[0] != 2 {
		t.Errorf("input %v: the file fixes the batch at 2", d)
	}
	c.check(t, s, p.Input, 0, scene(90, 50, 0), scene(90, 50, 1))
}

// TestEmbeddedOptimised runs files as most people do, with all of ONNX Runtime's
// rewriting of the graph.
func TestEmbeddedOptimised(t *testing.T) {
	for _, opset := range []int{7, 11, 17} {
		c := embedCase{opset: opset, ir: 8, pre: placements()["letterbox-center"], channels: 3, batch: -1, name: "x"}
		c.pre.Interpolation = vision.Bicubic
		path, p, err := c.write(t)
		if err != nil {
			t.Fatal(err)
		}
		openORT(t, path)
		s, err := ort.OpenWith(path, ort.Options{Level: ort.All})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for k, size := range pictureSizes {
			c.check(t, s, p.Input, 0, scene(size[0], size[1], k))
		}
	}
}

func TestEmbedRefusals(t *testing.T) {
	good := embedCase{opset: 13, ir: 8, pre: placements()["stretch"], channels: 3, batch: -1, name: "x"}
	good.pre.Interpolation = vision.Bilinear
	for want, change := range map[string]func(c *embedCase){
		"opset is 6":                           func(c *embedCase) { c.opset = 6 },
		"CumSum, which opset 10 does not have": func(c *embedCase) { c.opset, c.pre.Interpolation = 10, vision.Nearest },
		`interpolation is "lanczos"`:           func(c *embedCase) { c.pre.Interpolation = "lanczos" },
		"takes 4 channels":                     func(c *embedCase) { c.channels = 4 },
	} {
		c := good
		change(&c)
		if _, _, err := c.write(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got: %v", want, err)
		}
	}
	m, err := onnx.Parse(onnxtest.New(13).Input("x", ir.Float, 1, 3, 8, 8).Node("Neg", nil, []string{"x"}, []string{"y"}).
		Output("y", ir.Float, 1, 3, 8, 8).Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e, err := onnx.Edit(m)
	if err != nil {
		t.Fatal(err)
	}
	n := &Network{Model: m, Picture: onnx.Picture{Name: "x", Channels: 3, Height: 8, Width: 8}}
	if _, err := n.embedPreprocess(e, n.pictureValue(), good.pre); err == nil || !strings.Contains(err.Error(), "8×8, the preprocessing makes 29×41") {
		t.Errorf("another size: %v", err)
	}
}

// TestPeel reads a file with embedded preprocessing back, and files whose
// metadata lies.
func TestPeel(t *testing.T) {
	good := `{"embedded":true,"input":"image","feeds":"x","feeds_type":"float32","feeds_shape":[-1,3,8,8]}`
	build := func(meta, node string) *onnx.Model {
		b := onnxtest.New(13).Input("image", ir.Uint8, -1, -1, -1, 3).Metadata(MetaPreprocess, meta)
		b.NodeNamed(embedPrefix+"Cast_0", "", "Cast", ir.Attrs{"to": int64(ir.Float)}, []string{"image"}, []string{embedPrefix + "Cast_0"})
		b.NodeNamed(node, "", "Neg", nil, []string{embedPrefix + "Cast_0"}, []string{"x"})
		b.Node("Neg", nil, []string{"x"}, []string{"y"}).Output("y", ir.Float, -1, 3, 8, 8)
		m, err := onnx.Parse(b.Bytes(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	m := build(good, embedPrefix+"Neg_1")
	if err := peel(m); err != nil {
		t.Fatal(err)
	}
	if pic, err := m.Picture(); err != nil || pic.Name != "x" || pic.Channels != 3 || pic.Height != 8 || len(m.Graph.Nodes) != 1 {
		t.Errorf("%+v, %d nodes, %v", pic, len(m.Graph.Nodes), err)
	}
	for want, bad := range map[string]*onnx.Model{
		`no uint8 input "im"`:         build(strings.Replace(good, `"image"`, `"im"`, 1), embedPrefix+"Neg_1"),
		`feeds_type is "int8"`:        build(strings.Replace(good, "float32", "int8", 1), embedPrefix+"Neg_1"),
		"feeds_shape is [-1 3]":       build(strings.Replace(good, ",8,8", "", 1), embedPrefix+"Neg_1"),
		"feeds_shape is [-2 3 8 8]":   build(strings.Replace(good, "-1", "-2", 1), embedPrefix+"Neg_1"),
		`no embedded node makes "y"`:  build(strings.Replace(good, `"x"`, `"y"`, 1), embedPrefix+"Neg_1"),
		`no embedded node makes "x"`:  build(good, "mine"),
		"metadata vislora.preprocess": build("{", embedPrefix+"Neg_1"),
	} {
		if err := peel(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got: %v", want, err)
		}
	}
}

// TestExportEmbedded exports trained models, feeds ONNX Runtime decoded
// photographs, and predicts with the exported files here.
func TestExportEmbedded(t *testing.T) {
	data := testdata.Real(t, "grocery_classify")
	for _, c := range []struct {
		path []string
		pre  PreprocessOptions
	}{
		{[]string{"vit_tiny_timmstyle", "vit_tiny_p16_224_tinyimagenet_timmstyle_op17.onnx"}, PreprocessOptions{Preset: "inception", Interpolation: "bicubic"}},
		{[]string{"squeezenet1.1", "squeezenet1.1_fp32.onnx"}, PreprocessOptions{Preset: "caffe"}},
		{[]string{"squeezenet1.1", "squeezenet_fp16.onnx"}, PreprocessOptions{Preset: "caffe"}},
	} {
		t.Run(c.path[1], func(t *testing.T) {
			l, err := OpenWeights(WeightsOptions{Weights: testdata.Real(t, c.path...), Preprocess: c.pre})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			out := filepath.Join(t.TempDir(), "embedded.onnx")
			cfg := ExportConfig{Out: out, EmbedPreprocessing: true, Verify: 20, Data: data, Split: "test"}
			x := exported(t, l, cfg)
			if v := x.Verify; v.Images != 20 || v.SameTop1 == nil || *v.SameTop1 != 20 || !(v.Relative <= CoarseTolerance) || !(v.Range > 0) {
				t.Errorf("%+v", v)
			}
			// What the file says is what it does: it can be opened, verified and
			// exported again.
			back, err := OpenWeights(WeightsOptions{Weights: out})
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			if back.Pre != l.Pre || back.Picture != l.Picture {
				t.Errorf("read back: %+v %+v, written: %+v %+v", back.Pre, back.Picture, l.Pre, l.Picture)
			}
			cfg.Out, cfg.EmbedPreprocessing, cfg.Data, cfg.Verify = filepath.Join(t.TempDir(), "again.onnx"), false, "", 2
			again, err := back.exportONNX(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if again.Preprocess == nil || again.Verify.Images != 2 {
				t.Errorf("exported again: %+v", again)
			}
			back.Pre.Mean[0]++
			if _, err := back.exportONNX(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "another preprocessing embedded") {
				t.Errorf("with another mean: %v", err)
			}
		})
	}
}
