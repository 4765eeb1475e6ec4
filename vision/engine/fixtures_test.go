package engine

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/kernels/onednn"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/transform"
)

// The tests of this package train small models on small drawn pictures, so
// that each takes a second.

// weights draws a weight tensor whose rows have about unit length.
type weights struct{ rng *rand.Rand }

func newWeights(seed uint64) weights { return weights{rand.New(rand.NewPCG(seed, 7))} }

func (w weights) normal(scale float64, dims ...int) []float32 {
	n := 1
	for _, d := range dims {
		n *= d
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(scale * w.rng.NormFloat64())
	}
	return out
}

// between draws from [lo, hi).
func (w weights) between(lo, hi float64, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(lo + (hi-lo)*w.rng.Float64())
	}
	return out
}

func (w weights) fan(dims ...int) []float32 {
	in := 1
	for _, d := range dims[1:] {
		in *= d
	}
	return w.normal(math.Sqrt(2/float64(in)), dims...)
}

// tinyCNN is a residual network for size×size pictures: strided stem,
// convolution with batch normalisation, a residual block, a depthwise and a
// pointwise convolution, average pooling, a classifier.
func tinyCNN(classes, size int) *onnxtest.Builder {
	w := newWeights(1)
	b := onnxtest.New(13).Input("image", ir.Float, -1, 3, size, size)
	conv := func(name, x string, out, in, k, stride, group int) string {
		p := k / 2
		b.Init(name+".weight", []int{out, in / group, k, k}, w.fan(out, in/group, k, k)).Init(name+".bias", []int{out}, w.normal(.1, out))
		b.NodeNamed("/"+name+"/Conv", "", "Conv", ir.Attrs{"kernel_shape": []int{k, k}, "strides": []int{stride, stride}, "pads": []int{p, p, p, p}, "group": group},
			[]string{x, name + ".weight", name + ".bias"}, []string{name + "_y"})
		return name + "_y"
	}
	relu := func(x string) string {
		b.Node("Relu", nil, []string{x}, []string{x + "_relu"})
		return x + "_relu"
	}
	x := relu(conv("stem", "image", 12, 3, 3, 2, 1))
	y := conv("conv1", x, 12, 12, 3, 1, 1)
	b.Init("bn.weight", []int{12}, w.between(.5, 1.5, 12)).Init("bn.bias", []int{12}, w.normal(.2, 12)).
		Init("bn.running_mean", []int{12}, w.normal(.2, 12)).Init("bn.running_var", []int{12}, w.between(.5, 2, 12))
	b.Node("BatchNormalization", ir.Attrs{"epsilon": float32(1e-5)}, []string{y, "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"}, []string{"bn_y"})
	b.Node("Add", nil, []string{"bn_y", x}, []string{"sum"})
	x = relu(conv("dw", relu("sum"), 12, 12, 3, 2, 12))
	x = relu(conv("pw", x, 20, 12, 1, 1, 1))
	b.Node("GlobalAveragePool", nil, []string{x}, []string{"pool"})
	b.Node("Flatten", nil, []string{"pool"}, []string{"flat"})
	b.Init("fc.weight", []int{classes, 20}, w.fan(classes, 20)).Init("fc.bias", []int{classes}, w.normal(.1, classes))
	b.NodeNamed("/fc/Gemm", "", "Gemm", ir.Attrs{"transB": 1}, []string{"flat", "fc.weight", "fc.bias"}, []string{"logits"})
	return b.Output("logits", ir.Float, -1, classes)
}

// tinyViT is a vision transformer for 32×32 pictures: 16 patches, two blocks
// of width 24 with three heads, mean pooling.
func tinyViT(classes int) *onnxtest.Builder {
	const dim, heads, tokens = 24, 3, 16
	w := newWeights(2)
	b := onnxtest.New(17).Input("pixel_values", ir.Float, -1, 3, 32, 32)
	next := 0
	node := func(op string, attrs ir.Attrs, in ...string) string {
		next++
		out := fmt.Sprintf("v%d", next)
		b.Node(op, attrs, in, []string{out})
		return out
	}
	linear := func(name, x string, in, out int) string {
		anon := fmt.Sprintf("onnx::MatMul_%d", 100+next)
		b.Init(anon, []int{in, out}, w.normal(1/math.Sqrt(float64(in)), in, out)).Init(name+".bias", []int{out}, w.normal(.05, out))
		m := node("MatMul", nil, x, anon)
		return node("Add", nil, name+".bias", m)
	}
	norm := func(name, x string) string {
		b.Init(name+".weight", []int{dim}, w.between(.8, 1.2, dim)).Init(name+".bias", []int{dim}, w.normal(.05, dim))
		return node("LayerNormalization", ir.Attrs{"axis": -1, "epsilon": float32(1e-6)}, x, name+".weight", name+".bias")
	}
	b.Init("patch_embed.proj.weight", []int{dim, 3, 8, 8}, w.fan(dim, 3, 8, 8)).Init("patch_embed.proj.bias", []int{dim}, w.normal(.05, dim))
	x := node("Conv", ir.Attrs{"kernel_shape": []int{8, 8}, "strides": []int{8, 8}}, "pixel_values", "patch_embed.proj.weight", "patch_embed.proj.bias")
	b.InitInts("to_tokens", []int{3}, []int64{0, dim, -1}).InitInts("to_heads", []int{4}, []int64{0, tokens, heads, dim / heads}).InitInts("from_heads", []int{3}, []int64{0, tokens, dim})
	b.InitInts("thirds", []int{3}, []int64{dim, dim, dim})
	b.Init("scale", nil, []float32{float32(1 / math.Sqrt(dim/heads))}).Init("sqrt2", nil, []float32{math.Sqrt2}).Init("one", nil, []float32{1}).Init("half", nil, []float32{.5})
	x = node("Transpose", ir.Attrs{"perm": []int{0, 2, 1}}, node("Reshape", nil, x, "to_tokens"))
	b.Init("pos_embed", []int{1, tokens, dim}, w.normal(.1, 1, tokens, dim))
	x = node("Add", nil, x, "pos_embed")
	for i := range 2 {
		p := fmt.Sprintf("blocks.%d.", i)
		qkv := linear(p+"attn.qkv", norm(p+"norm1", x), dim, 3*dim)
		next++
		parts := []string{fmt.Sprintf("q%d", next), fmt.Sprintf("k%d", next), fmt.Sprintf("v_%d", next)}
		b.Node("Split", ir.Attrs{"axis": -1}, []string{qkv, "thirds"}, parts)
		head := func(v string, perm ...int) string {
			return node("Transpose", ir.Attrs{"perm": perm}, node("Reshape", nil, v, "to_heads"))
		}
		a := node("MatMul", nil, node("Mul", nil, head(parts[0], 0, 2, 1, 3), "scale"), head(parts[1], 0, 2, 3, 1))
		a = node("MatMul", nil, node("Softmax", ir.Attrs{"axis": -1}, a), head(parts[2], 0, 2, 1, 3))
		a = node("Reshape", nil, node("Transpose", ir.Attrs{"perm": []int{0, 2, 1, 3}}, a), "from_heads")
		x = node("Add", nil, x, linear(p+"attn.proj", a, dim, dim))
		h := linear(p+"mlp.fc1", norm(p+"norm2", x), dim, 4*dim)
		erf := node("Add", nil, node("Erf", nil, node("Div", nil, h, "sqrt2")), "one")
		h = node("Mul", nil, node("Mul", nil, h, erf), "half")
		x = node("Add", nil, x, linear(p+"mlp.fc2", h, 4*dim, dim))
	}
	x = node("ReduceMean", ir.Attrs{"axes": []int{1}, "keepdims": 0}, norm("norm", x))
	b.Init("head.weight", []int{classes, dim}, w.fan(classes, dim)).Init("head.bias", []int{classes}, w.normal(.1, classes))
	b.Node("Gemm", ir.Attrs{"transB": 1}, []string{x, "head.weight", "head.bias"}, []string{"logits"})
	return b.Output("logits", ir.Float, -1, classes)
}

var shapeNames = []string{"ring", "bars", "disc", "cross"}

// draw paints a shape of a class at a place, in a colour and on noise that the
// seed decides.
func draw(class int, seed uint64) *image.RGBA {
	rng := rand.New(rand.NewPCG(seed, uint64(class)))
	im := image.NewRGBA(image.Rect(0, 0, 64, 64))
	cx, cy, r := 24+16*rng.Float64(), 24+16*rng.Float64(), 12+6*rng.Float64()
	ink := color.RGBA{uint8(150 + rng.IntN(100)), uint8(rng.IntN(120)), uint8(rng.IntN(250)), 255}
	for y := range 64 {
		for x := range 64 {
			n := uint8(rng.IntN(90))
			dx, dy := float64(x)-cx, float64(y)-cy
			d := math.Hypot(dx, dy)
			on := false
			switch class {
			case 0:
				on = math.Abs(d-r) < 3
			case 1:
				on = d < r && (x/4)%2 == 0
			case 2:
				on = d < r
			default:
				on = d < r && (math.Abs(dx) < 3 || math.Abs(dy) < 3)
			}
			if im.SetRGBA(x, y, color.RGBA{n, n, n, 255}); on {
				im.SetRGBA(x, y, ink)
			}
		}
	}
	return im
}

// writePicture writes a picture as its extension says.
func writePicture(t testing.TB, path string, im image.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if filepath.Ext(path) == ".png" {
		err = png.Encode(f, im)
	} else {
		err = jpeg.Encode(f, im, &jpeg.Options{Quality: 92})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pictureFolder writes split/class/nn.{png,jpg}.
func pictureFolder(t testing.TB, classes, train, val int) string {
	t.Helper()
	root := t.TempDir()
	for c := range classes {
		for i := range train + val {
			split, ext := "train", ".png"
			if i >= train {
				split = "val"
			}
			if i%2 == 1 {
				ext = ".jpg"
			}
			writePicture(t, filepath.Join(root, split, shapeNames[c], fmt.Sprintf("%02d%s", i, ext)), draw(c, uint64(i)))
		}
	}
	return root
}

// memoryDir is a temporary folder, in memory where there is such a disk:
// checkpoints are flushed, and on a busy machine a flush takes long.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "vislora-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// quick are settings for a short run; change adjusts them.
func quick(t testing.TB, model, data string, change ...func(*TrainConfig)) TrainConfig {
	c := DefaultTrainConfig()
	c.Model, c.Data, c.Project = model, data, memoryDir(t)
	c.Epochs, c.Batch, c.Seed, c.Threads, c.Workers = 3, 5, 3, 2, 2
	c.LoRA.R, c.LoRA.LoraAlpha = 2, 4
	c.Aug = transform.Augment{Scale: [2]float64{.6, 1}, Ratio: [2]float64{.8, 1.25}, HFlip: .5}
	c.Preprocess = PreprocessOptions{Preset: "inception"}
	c.plain = true
	for _, f := range change {
		f(&c)
	}
	return c
}

func targets(s string) func(*TrainConfig) {
	return func(c *TrainConfig) { c.LoRA.TargetModules = lora.ParseModules(s) }
}

func mustTrain(t testing.TB, c TrainConfig) *Result {
	t.Helper()
	res, err := Train(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// says checks that an error has all the words that a person needs.
func says(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; wanted one that says %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
}

// exported writes a verified ONNX file, and skips where ONNX Runtime is absent.
func exported(t testing.TB, l *Loaded, c ExportConfig) *Exported {
	t.Helper()
	x, err := l.exportONNX(t.Context(), c)
	if errors.Is(err, ort.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v", x)
	return x
}

// learning skips a test of what is learnt where that takes a minute: the paths
// are those of shorter tests.
func learning(t testing.TB) {
	t.Helper()
	if slowBuild() {
		t.Skip("a minute on portable kernels: without -short")
	}
}

// slowBuild reports whether a short run is one with portable kernels, which
// leaves out what would only repeat the native build's long tests.
func slowBuild() bool { return testing.Short() && !onednn.Available() }
