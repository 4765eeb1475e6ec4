package cv

import (
	"bytes"
	"image"
	"path/filepath"
	"testing"

	"github.com/vislora/vislora/vision"
)

// A region has the pixels of the whole picture, or is smaller where it is much
// larger than needed, but never smaller than that.
func TestDecodeRegion(t *testing.T) {
	im := &vision.Image{}
	im.Reset(640, 480)
	for i := range im.Pix {
		x, y := i/3%640, i/3/640
		im.Pix[i] = uint8(x/5 + y/8 + 20*(i%3))
	}
	d := NewDecoder()
	defer d.Close()
	for _, name := range []string{"a.jpg", "a.png"} {
		path := filepath.Join(t.TempDir(), name)
		if err := WriteFile(path, im); err != nil {
			t.Fatal(err)
		}
		whole, err := DecodeFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got, want vision.Image
		for _, size := range []int{400, 200, 100, 50, 10} {
			region := image.Rect(33, 7, 33+500, 7+401)
			err := d.DecodeRegion(&got, path, func(w, h int) (image.Rectangle, image.Point) {
				if w != im.W || h != im.H {
					t.Fatalf("%s is %d×%d, want %d×%d", name, w, h, im.W, im.H)
				}
				return region, image.Pt(size, size)
			})
			if err != nil {
				t.Fatal(err)
			}
			if got.W < size || got.H < size {
				t.Errorf("%s: %d×%d pixels for %d", name, got.W, got.H, size)
			}
			if got.W == region.Dx() {
				if cut(&want, whole, region); got.H != want.H || !bytes.Equal(got.Pix, want.Pix) {
					t.Errorf("%s: the region differs from the whole picture", name)
				}
				continue
			}
			// A smooth picture made smaller looks the same.
			scale := (region.Dx() + got.W - 1) / got.W
			for _, p := range []image.Point{{1, 1}, {got.W / 2, got.H / 3}, {got.W - 2, got.H - 2}} {
				r, _, b := got.At(p.X, p.Y)
				wr, _, wb := whole.At(region.Min.X+p.X*scale+scale/2, region.Min.Y+p.Y*scale+scale/2)
				if max(int(r)-int(wr), int(wr)-int(r), int(b)-int(wb), int(wb)-int(b)) > 6 {
					t.Errorf("%s at 1/%d, %v: %d %d, want about %d %d", name, scale, p, r, b, wr, wb)
				}
			}
		}
	}
	if err := d.DecodeRegion(im, "missing.jpg", nil); err == nil {
		t.Error("a missing file was read")
	}
}
