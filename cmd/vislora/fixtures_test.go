package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
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

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
)

// asProgram makes the test binary the program itself, for tests that kill it.
const asProgram = "VISLORA_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// result is what one call of the program did.
type result struct {
	code     int
	out, err string
}

// vislora calls the program; a panic is the test's error.
func vislora(t testing.TB, args ...string) (r result) {
	t.Helper()
	var out, errs bytes.Buffer
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("vislora %s: panic: %v", strings.Join(args, " "), p)
			r.code = -1
		}
	}()
	code := run(args, &out, &errs)
	return result{code, out.String(), errs.String()}
}

// must calls the program and wants it to succeed.
func must(t testing.TB, args ...string) result {
	t.Helper()
	r := vislora(t, args...)
	if r.code != 0 {
		t.Fatalf("vislora %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.err)
	}
	return r
}

// says checks the exit code and that people are told all these words.
func (r result) says(t testing.TB, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s", r.code, code, r.err)
	}
	for _, w := range words {
		if !strings.Contains(r.err+r.out, w) {
			t.Errorf("nothing says %q:\n%s%s", w, r.err, r.out)
		}
	}
	if strings.Contains(r.err, "goroutine ") || strings.Contains(r.err, "runtime error") {
		t.Errorf("a panic reached the user:\n%s", r.err)
	}
}

// backbone is a small CNN for 32×32 pictures.
func backbone(classes int) *onnxtest.Builder {
	rng := rand.New(rand.NewPCG(4, 4))
	b := onnxtest.New(13).Input("image", ir.Float, -1, 3, 32, 32)
	weight := func(name string, dims ...int) {
		n, in := 1, 1
		for i, d := range dims {
			n *= d
			if i > 0 {
				in *= d
			}
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64() * math.Sqrt(2/float64(in)))
		}
		b.Init(name, dims, v)
	}
	x := "image"
	for i, c := range [][2]int{{3, 8}, {8, 12}, {12, 16}} {
		name := fmt.Sprintf("conv%d", i)
		weight(name+".weight", c[1], c[0], 3, 3)
		b.NodeNamed("/"+name+"/Conv", "", "Conv", ir.Attrs{"kernel_shape": []int{3, 3}, "strides": []int{2, 2}, "pads": []int{1, 1, 1, 1}}, []string{x, name + ".weight"}, []string{name + "_y"})
		b.Node("Relu", nil, []string{name + "_y"}, []string{name + "_r"})
		x = name + "_r"
	}
	weight("fc.weight", classes, 16)
	b.Init("fc.bias", []int{classes}, make([]float32, classes))
	b.Node("GlobalAveragePool", nil, []string{x}, []string{"pool"}).Node("Flatten", nil, []string{"pool"}, []string{"flat"})
	b.NodeNamed("/fc/Gemm", "", "Gemm", ir.Attrs{"transB": 1}, []string{"flat", "fc.weight", "fc.bias"}, []string{"logits"})
	return b.Output("logits", ir.Float, -1, classes)
}

// picture is noise in the colour of a class.
func picture(class, n int) image.Image {
	rng := rand.New(rand.NewPCG(uint64(class), uint64(n)))
	im := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range 64 * 64 {
		v := [3]uint8{uint8(rng.IntN(140)), uint8(rng.IntN(140)), uint8(rng.IntN(140))}
		v[class%3] += 80
		im.SetRGBA(i%64, i/64, color.RGBA{v[0], v[1], v[2], 255})
	}
	return im
}

func encoded(t testing.TB, im image.Image, ext string) []byte {
	t.Helper()
	var b bytes.Buffer
	err := png.Encode(&b, im)
	if ext != ".png" {
		b.Reset()
		err = jpeg.Encode(&b, im, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// photos writes split/class/n.png with 5 train and 2 val images of two classes.
func photos(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for c, class := range []string{"green", "red"} {
		for i := range 7 {
			split := "train"
			if i >= 5 {
				split = "val"
			}
			write(t, filepath.Join(root, split, class, fmt.Sprintf("%d.png", i)), encoded(t, picture(1-c, i), ".png"))
		}
	}
	return root
}

// hugePNG has a header of 50 000 × 50 000 pixels and next to no data.
func hugePNG() []byte {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(data)))
		body := append([]byte(kind), data...)
		b.Write(body)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 50000), 50000)
	chunk("IHDR", append(header, 8, 2, 0, 0, 0))
	chunk("IDAT", []byte{0x78, 0x9c, 3, 0, 0, 0, 0, 1})
	chunk("IEND", nil)
	return b.Bytes()
}

// trained is a finished short run.
type trained struct{ model, data, project, dir string }

func trainOnce(t testing.TB, flags ...string) trained {
	t.Helper()
	r := trained{model: backbone(6).File(t), data: photos(t), project: t.TempDir()}
	must(t, append([]string{"train", "--model", r.model, "--data", r.data, "--project", r.project, "--epochs", "1", "--batch", "4", "--threads", "1", "--lora-r", "2"}, flags...)...)
	r.dir = filepath.Join(r.project, "train")
	return r
}

// leftovers lists what is under a folder.
func leftovers(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && path != dir {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
