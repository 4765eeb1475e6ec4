package cv

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// blocks is a mask of 40×30 pixels: background, two classes that touch, void.
func blocks() Mask {
	m := Mask{W: 40, H: 30, Pix: make([]uint8, 40*30), Background: true}
	for y := range m.H {
		for x := range m.W {
			switch p := image.Pt(x, y); {
			case p.In(image.Rect(4, 4, 18, 20)):
				m.Pix[y*m.W+x] = 1
			case p.In(image.Rect(18, 4, 30, 20)):
				m.Pix[y*m.W+x] = 7
			case p.In(image.Rect(30, 0, 40, 30)):
				m.Pix[y*m.W+x] = Void
			}
		}
	}
	return m
}

// Every pixel is what the definition says: untouched, mixed, or edge.
func TestDrawMask(t *testing.T) {
	m := blocks()
	for _, background := range []bool{true, false} {
		m.Background = background
		im := smooth(40, 30)
		was := im.Clone()
		if err := DrawMask(im, m); err != nil {
			t.Fatal(err)
		}
		for y := range m.H {
			for x := range m.W {
				class := m.Pix[y*m.W+x]
				edge := false
				for _, d := range []image.Point{{X: 1}, {X: -1}, {Y: 1}, {Y: -1}} {
					if p := image.Pt(x, y).Add(d); p.In(image.Rect(0, 0, 40, 30)) {
						edge = edge || m.Pix[p.Y*m.W+p.X] != class
					}
				}
				c := ClassColor(int(class))
				r, g, b := im.At(x, y)
				r0, g0, b0 := was.At(x, y)
				for k, v := range [3][3]uint8{{r, r0, c.R}, {g, g0, c.G}, {b, b0, c.B}} {
					want := float64(v[1])
					switch {
					case class == Void || class == 0 && background:
					case edge:
						want = float64(v[2])
					default:
						want += (float64(v[2]) - want) * opacity / 255
					}
					if d := float64(v[0]) - want; d < -.51 || d > .51 {
						t.Fatalf("background %v, pixel %d,%d of class %d: channel %d is %d, want %.1f", background, x, y, class, k, v[0], want)
					}
				}
			}
		}
	}
	if got := m.Classes(); !slices.Equal(got, []int{0, 1, 7}) {
		t.Errorf("classes %v", got)
	}
	if m.Background = true; !slices.Equal(m.Classes(), []int{1, 7}) {
		t.Errorf("classes %v without the background", m.Classes())
	}
}

// An object's run lengths are painted as the same pixels of a class mask.
func TestDrawInstance(t *testing.T) {
	m := blocks()
	for i, c := range m.Pix {
		if c != 7 {
			m.Pix[i] = 0
		}
	}
	r, err := mask.Encode(m.Pix, m.H, m.W, mask.Rows)
	if err != nil {
		t.Fatal(err)
	}
	a, b := smooth(40, 30), smooth(40, 30)
	if err := DrawMask(a, m); err != nil {
		t.Fatal(err)
	}
	if err := DrawInstance(b, r, ClassColor(7)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Pix, b.Pix) {
		t.Error("the pictures differ")
	}
	if err := DrawInstance(b, vision.RLE{W: 40, H: 30, Counts: []uint32{1200}}, ClassColor(7)); err != nil || !slices.Equal(a.Pix, b.Pix) {
		t.Errorf("an empty mask: %v", err)
	}
	c := smooth(40, 30)
	if err := DrawBoxes(c, []Box{{Box: vision.XYWH(100, 100, 1, 1), Class: 7, Mask: &r}}); err != nil || !slices.Equal(a.Pix, c.Pix) {
		t.Errorf("a box's mask: %v", err)
	}
}

func TestDrawLegend(t *testing.T) {
	im := smooth(200, 50)
	names := []string{"red blood cell", "weiße Blutzelle mit einem sehr langen Namen, der nicht passt", "x"}
	out, err := DrawLegend(im, []int{0, 1, 2, 9}, names, 14)
	if err != nil {
		t.Fatal(err)
	}
	if out.W != 200 || out.H < 50+3*14 || !slices.Equal(out.Pix[:len(im.Pix)], im.Pix) {
		t.Fatalf("%d×%d pixels", out.W, out.H)
	}
	for _, class := range []int{0, 1, 2, 9} {
		c, n := ClassColor(class), 0
		for i := len(im.Pix); i < len(out.Pix); i += 3 {
			if (color.RGBA{out.Pix[i], out.Pix[i+1], out.Pix[i+2], 255}) == c {
				n++
			}
		}
		if n < 100 {
			t.Errorf("class %d: %d pixels of its colour", class, n)
		}
	}
	for y := 50; y < out.H; y++ { // nothing is cut off at the right
		if r, g, b := out.At(199, y); r&g&b != 255 {
			t.Fatalf("ink at the edge in row %d", y)
		}
	}
	if same, err := DrawLegend(im, nil, names, 0); err != nil || same.H != 50 {
		t.Errorf("without classes: %v", err)
	}
	if _, err := DrawLegend(vision.NewImage(5, 5), []int{0}, names, 0); err != nil {
		t.Error(err)
	}
	show(t, "legend.png", out)
}

// A real mask, for people to look at.
func TestDrawRealMask(t *testing.T) {
	dir := testdata.Real(t, "wbc_segment", "val")
	name := firstPNG(t, dir+"/images")
	im, err := DecodeFile(dir + "/images/" + name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir + "/masks/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	m := Mask{W: im.W, H: im.H, Pix: got.(*image.Paletted).Pix, Background: true}
	big := vision.NewImage(3*im.W, 3*im.H)
	if err := Warp(big, im, Affine{1. / 3, 0, 0, 0, 1. / 3, 0}, true, Reflect, 0); err != nil {
		t.Fatal(err)
	}
	large := Mask{W: big.W, H: big.H, Pix: make([]uint8, big.W*big.H), Background: true}
	for i := range large.Pix {
		large.Pix[i] = m.Pix[i/big.W/3*m.W+i%big.W/3]
	}
	if err := DrawMask(big, large); err != nil {
		t.Fatal(err)
	}
	out, err := DrawLegend(big, large.Classes(), []string{"background", "cytoplasm", "nucleus"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	show(t, "wbc.png", out)
}

func firstPNG(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("no file in %s: %v", dir, err)
	}
	return files[0].Name()
}
