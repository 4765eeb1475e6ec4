package cv

import (
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/vision"
)

// smooth is a picture without hard edges, so that interpolation errors show
// as what they are.
func smooth(w, h int) *vision.Image {
	im := vision.NewImage(w, h)
	for y := range h {
		for x := range w {
			p := im.Pix[3*(y*w+x):]
			p[0] = uint8(128 + 100*math.Sin(float64(x)/7))
			p[1] = uint8(128 + 100*math.Cos(float64(y)/5))
			p[2] = uint8((x*3 + y*2) % 200)
			if p[2] > 100 {
				p[2] = 200 - p[2]
			}
		}
	}
	return im
}

// naiveWarp is the definition in float64.
func naiveWarp(dst, src *vision.Image, m Affine, bilinear bool, border Border, fill uint8) {
	get := func(x, y, c int) float64 {
		if x < 0 || y < 0 || x >= src.W || y >= src.H {
			if border == Constant {
				return float64(fill)
			}
			for x < 0 || x >= src.W {
				if x < 0 {
					x = -x
				} else {
					x = 2*(src.W-1) - x
				}
			}
			for y < 0 || y >= src.H {
				if y < 0 {
					y = -y
				} else {
					y = 2*(src.H-1) - y
				}
			}
		}
		return float64(src.Pix[3*(y*src.W+x)+c])
	}
	for y := range dst.H {
		for x := range dst.W {
			fx := m[0]*(float64(x)+.5) + m[1]*(float64(y)+.5) + m[2] - .5
			fy := m[3]*(float64(x)+.5) + m[4]*(float64(y)+.5) + m[5] - .5
			x0, y0 := int(math.Floor(fx)), int(math.Floor(fy))
			wx, wy := fx-float64(x0), fy-float64(y0)
			for c := range 3 {
				v := get(int(math.Floor(fx+.5)), int(math.Floor(fy+.5)), c)
				if bilinear {
					v = (1-wy)*((1-wx)*get(x0, y0, c)+wx*get(x0+1, y0, c)) + wy*((1-wx)*get(x0, y0+1, c)+wx*get(x0+1, y0+1, c))
				}
				dst.Pix[3*(y*dst.W+x)+c] = uint8(v + .5)
			}
		}
	}
}

func TestWarp(t *testing.T) {
	src := smooth(61, 47)
	rotate := func(deg float64) Affine {
		s, c := math.Sincos(deg * math.Pi / 180)
		cx, cy := 61/2., 47/2.
		return Affine{c, s, cx - c*cx - s*cy, -s, c, cy + s*cx - c*cy}
	}
	for _, c := range []struct {
		name     string
		m        Affine
		bilinear bool
		mean     float64
		most     int
	}{
		{"identity", Affine{1, 0, 0, 0, 1, 0}, true, 0, 0},
		{"identity nearest", Affine{1, 0, 0, 0, 1, 0}, false, 0, 0},
		{"whole pixels", Affine{1, 0, -5, 0, 1, 7}, true, 0, 0},
		{"half a pixel", Affine{1, 0, .5, 0, 1, 0}, true, .6, 2},
		{"rotation", rotate(30), true, .8, 8},
		{"rotation nearest", rotate(30), false, .4, 40},
		{"shear", Affine{1, .3, 0, 0, 1, 0}, true, .8, 8},
		{"far outside", Affine{1, 0, 500, 0, 1, 0}, true, 0, 0},
	} {
		for _, border := range []Border{Constant, Reflect} {
			got, want := vision.NewImage(61, 47), vision.NewImage(61, 47)
			if err := Warp(got, src, c.m, c.bilinear, border, 90); err != nil {
				t.Fatal(err)
			}
			naiveWarp(want, src, c.m, c.bilinear, border, 90)
			if mean, most := difference(t, got.Pix, want.Pix); mean > c.mean || most > c.most {
				t.Errorf("%s, border %d: differs by %.3f in the mean, at most %d", c.name, border, mean, most)
			}
		}
	}
	if err := Warp(&vision.Image{}, src, Affine{}, true, Constant, 0); err == nil {
		t.Error("an empty image should be an error")
	}
}

func TestRectangle(t *testing.T) {
	red := color.RGBA{200, 10, 20, 255}
	for _, c := range []struct {
		r         image.Rectangle
		thickness int
		want      func(p image.Point) bool
	}{
		{image.Rect(3, 4, 13, 12), 2, func(p image.Point) bool {
			return p.In(image.Rect(3, 4, 13, 12)) && !p.In(image.Rect(5, 6, 11, 10))
		}},
		{image.Rect(-5, -5, 6, 7), 0, func(p image.Point) bool { return p.X < 6 && p.Y < 7 }},
		{image.Rect(50, 50, 60, 60), 1, func(image.Point) bool { return false }},
	} {
		im := vision.NewImage(20, 16)
		if err := Rectangle(im, c.r, red, c.thickness); err != nil {
			t.Fatal(err)
		}
		for y := range im.H {
			for x := range im.W {
				r, g, b := im.At(x, y)
				if on := r == 200 && g == 10 && b == 20; on != c.want(image.Pt(x, y)) {
					t.Fatalf("%v, thickness %d: pixel %d,%d is %d %d %d", c.r, c.thickness, x, y, r, g, b)
				}
			}
		}
	}
}

func TestLabelStaysInItsBox(t *testing.T) {
	for _, s := range []string{"cat 97.3%", "Äpfel 97 %", "猫"} {
		im := vision.NewImage(240, 80)
		im.Fill(7, 7, 7)
		box, err := Label(im, 10, 12, 24, s, color.RGBA{255, 255, 255, 255}, color.RGBA{0, 0, 120, 255})
		if err != nil {
			t.Fatal(err)
		}
		ink := 0
		for y := range im.H {
			for x := range im.W {
				r, g, b := im.At(x, y)
				inside := image.Pt(x, y).In(box)
				if !inside && (r != 7 || g != 7 || b != 7) {
					t.Fatalf("%q: pixel %d,%d outside %v was drawn on", s, x, y, box)
				}
				if inside && r > 200 {
					ink++
				}
			}
		}
		if ink < 30 {
			t.Errorf("%q: %d pixels of ink", s, ink)
		}
	}
	small := vision.NewImage(9, 9)
	if err := Annotate(small, []string{"a very long line on a very small image"}); err != nil {
		t.Error(err)
	}
	if err := Annotate(small, []string{"", "two"}); err != nil {
		t.Error(err)
	}
}

func TestEncode(t *testing.T) {
	im := smooth(50, 40)
	dir := t.TempDir()
	for _, name := range []string{"a.png", "b.jpg", "c.JPEG"} {
		path := filepath.Join(dir, name)
		if err := WriteFile(path, im); err != nil {
			t.Fatal(err)
		}
		got, err := DecodeFile(path)
		if err != nil {
			t.Fatal(err)
		}
		mean, most := difference(t, got.Pix, im.Pix)
		if name == "a.png" && most > 0 || mean > 4 {
			t.Errorf("%s: differs by %.2f, at most %d", name, mean, most)
		}
	}
	if err := WriteFile(filepath.Join(dir, "x.gif"), im); err == nil || !strings.Contains(err.Error(), "x.gif") {
		t.Error(err)
	}
	if err := WriteFile(filepath.Join(dir, "no", "x.png"), im); err == nil {
		t.Error("a folder that is not there should be an error")
	}
	if left, _ := os.ReadDir(dir); len(left) != 3 {
		t.Errorf("%d files were left, want 3", len(left))
	}
}

func TestMontage(t *testing.T) {
	red, wide := vision.NewImage(10, 10), vision.NewImage(300, 100)
	red.Fill(255, 0, 0)
	wide.Fill(0, 0, 255)
	m, err := Montage([]Tile{{Image: red, Caption: []string{"red"}}, {Image: wide, Frame: color.RGBA{0, 255, 0, 255}}, {Image: red}}, 2, 60)
	if err != nil {
		t.Fatal(err)
	}
	if m.W != 2*66+6 || m.H != 2*(66+captionHeight)+6 {
		t.Fatalf("%d×%d", m.W, m.H)
	}
	for _, c := range []struct {
		x, y int
		want [3]uint8
	}{{36, 36, [3]uint8{255, 0, 0}}, {66 + 36, 36, [3]uint8{0, 0, 255}}, {66 + 36, 12, [3]uint8{255, 255, 255}}, {66 + 7, 7, [3]uint8{0, 255, 0}}, {36, 84 + 36, [3]uint8{255, 0, 0}}} {
		if r, g, b := m.At(c.x, c.y); [3]uint8{r, g, b} != c.want {
			t.Errorf("pixel %d,%d is %d %d %d, want %v", c.x, c.y, r, g, b, c.want)
		}
	}
	if _, err := Montage(nil, 2, 60); err == nil {
		t.Error("an empty montage should be an error")
	}
	if s := shorten("a caption that is much too long", 60, 13); !strings.HasSuffix(s, "…") {
		t.Errorf("%q is not shortened", s)
	}
}
