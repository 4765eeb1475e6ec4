package transform

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"math"
	"os"
	"testing"

	"github.com/vislora/vislora/vision"
)

// picture is the image of testdata/gen_pillow.py.
func picture(w, h int) *vision.Image {
	im := vision.NewImage(w, h)
	for y := range h {
		for x := range w {
			v := [3]int{x*7 + y*3 + (x*y)%29*5, 255 - (x*2+y*5)%256 + (x*31+y*17)%23, (x*x + y*y*3) / 7}
			if y >= h/4 && y < h/2 && x >= w/3 && x < w/2 {
				v = [3]int{250, 20, 30}
			}
			if y >= h/2 && x < w/5 {
				v = [3]int{77, 77, 77}
			}
			for c := range 3 {
				im.Pix[3*(y*w+x)+c] = uint8(v[c])
			}
		}
	}
	return im
}

type golden struct {
	Resize []struct {
		Filter   string
		From, To [2]int
		CRC      uint32
	}
	Region []struct {
		Filter string
		Box    [4]int
		To     [2]int
		CRC    uint32
	}
	Eval []struct {
		Preset string
		Size   int
		From   [2]int
		CRC    uint32
	}
	Color []struct {
		Op    string
		Value float64
		CRC   uint32
	}
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	b, err := os.ReadFile("testdata/pillow.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestResizeEqualsPillow(t *testing.T) {
	g := readGolden(t)
	var r Resizer
	var got vision.Image
	if len(g.Resize) < 40 || len(g.Region) < 12 {
		t.Fatalf("%d and %d cases", len(g.Resize), len(g.Region))
	}
	for _, c := range g.Resize {
		src := picture(c.From[0], c.From[1])
		if err := r.Resize(&got, src, c.To[0], c.To[1], c.Filter); err != nil {
			t.Fatal(err)
		}
		if s := crc32.ChecksumIEEE(got.Pix); s != c.CRC || got.W != c.To[0] {
			t.Errorf("%s %v to %v differs from Pillow", c.Filter, c.From, c.To)
		}
	}
	src := picture(97, 61)
	for _, c := range g.Region {
		box := image.Rect(c.Box[0], c.Box[1], c.Box[2], c.Box[3])
		whole := image.Rect(0, 0, c.To[0], c.To[1])
		if err := r.ResizeRegion(&got, src, box, c.To[0], c.To[1], whole, c.Filter); err != nil {
			t.Fatal(err)
		}
		if s := crc32.ChecksumIEEE(got.Pix); s != c.CRC {
			t.Errorf("%s %v to %v differs from Pillow", c.Filter, c.Box, c.To)
		}
		// A window is the same pixels, cut out.
		w := image.Rect(7, 5, c.To[0]-11, c.To[1]-3)
		var part vision.Image
		if err := r.ResizeRegion(&part, src, box, c.To[0], c.To[1], w, c.Filter); err != nil {
			t.Fatal(err)
		}
		for y := range part.H {
			for x := range part.W {
				a, b, d := part.At(x, y)
				e, f, g := got.At(x+7, y+5)
				if a != e || b != f || d != g {
					t.Fatalf("%s %v: window differs at %d,%d", c.Filter, c.Box, x, y)
				}
			}
		}
	}
}

// Resize, centre crop and normalisation against torchvision, to the bit.
func TestEvalEqualsTorchvision(t *testing.T) {
	g := readGolden(t)
	if len(g.Eval) < 15 {
		t.Fatalf("%d cases", len(g.Eval))
	}
	for _, c := range g.Eval {
		pre, err := vision.Preset(c.Preset)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Eval(pre.Normalised(c.Size, c.Size))
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, p.Len())
		if err := p.NewWorker().Apply(x, picture(c.From[0], c.From[1]), Key{}); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 0, 4*len(x))
		for _, v := range x {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		if crc32.ChecksumIEEE(b) != c.CRC {
			t.Errorf("%s %d, image %v: differs from torchvision", c.Preset, c.Size, c.From)
		}
	}
}

func TestColorEqualsPillow(t *testing.T) {
	var scratch vision.Image
	for _, c := range readGolden(t).Color {
		im := picture(97, 61)
		switch c.Op {
		case "brightness":
			Brightness(im, c.Value)
		case "contrast":
			Contrast(im, c.Value)
		case "saturation":
			Saturation(im, c.Value)
		case "sharpness":
			Sharpness(im, c.Value, &scratch)
		case "hue":
			Hue(im, c.Value)
		case "posterize":
			Posterize(im, int(c.Value))
		case "solarize":
			Solarize(im, c.Value)
		case "autocontrast", "equalize":
			for i, v := range im.Pix {
				im.Pix[i] = v/3 + 60
			}
			if c.Op == "equalize" {
				Equalize(im)
			} else {
				AutoContrast(im)
			}
		default:
			t.Fatal(c.Op)
		}
		if crc32.ChecksumIEEE(im.Pix) != c.CRC {
			t.Errorf("%s %v differs from Pillow", c.Op, c.Value)
		}
	}
}

func TestResizeRefusesWhatIsOutside(t *testing.T) {
	var r Resizer
	var got vision.Image
	src := picture(10, 10)
	for _, c := range []struct {
		region, window image.Rectangle
		filter         string
	}{
		{image.Rect(0, 0, 11, 10), image.Rect(0, 0, 5, 5), vision.Bilinear},
		{image.Rect(3, 3, 3, 5), image.Rect(0, 0, 5, 5), vision.Bilinear},
		{image.Rect(0, 0, 10, 10), image.Rect(0, 0, 6, 5), vision.Bilinear},
		{image.Rect(0, 0, 10, 10), image.Rect(0, 0, 5, 5), "sinc"},
	} {
		if err := r.ResizeRegion(&got, src, c.region, 5, 5, c.window, c.filter); err == nil {
			t.Errorf("%v %v %s: no error", c.region, c.window, c.filter)
		}
	}
}

func BenchmarkResize(b *testing.B) {
	src := picture(640, 480)
	var r Resizer
	var dst vision.Image
	for _, f := range []string{vision.Bilinear, vision.Bicubic} {
		b.Run(f, func(b *testing.B) {
			for b.Loop() {
				if err := r.Resize(&dst, src, 224, 224, f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
