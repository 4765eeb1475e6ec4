//go:build cgo && gocv_specific_modules && libjpeg

package cv

import (
	"bytes"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/vislora/vislora/vision"
)

// jpegs are the sound pictures among the test files.
func jpegs(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*/*.jp*g")
	if err != nil || len(files) == 0 {
		t.Fatal("no JPEGs", err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[f] = data
	}
	// Large enough that blocks are left out beside and above a region.
	im := &vision.Image{}
	im.Reset(333, 221)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range im.Pix {
		im.Pix[i] = uint8(i/7 + rng.IntN(90))
	}
	if out["made"], err = EncodeJPEG(im, 90); err != nil {
		t.Fatal(err)
	}
	return out
}

// libjpeg called directly gives OpenCV's pixels, and a region those of the whole
// picture.
func TestJPEGEqualsOpenCV(t *testing.T) {
	var r jpegReader
	var n nativeDecoder
	defer r.close()
	defer n.close()
	rng := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for name, data := range jpegs(t) {
		h, err := ReadHeader(data)
		if err != nil {
			continue
		}
		var want, got, part vision.Image
		whole := r.read(&got, data, h, image.Rect(0, 0, h.W, h.H), 1)
		if err := n.decode(&want, data, h); err != nil || !whole {
			t.Logf("%s: left to OpenCV (%v)", name, err)
			continue
		}
		plain++
		if !bytes.Equal(got.Pix, want.Pix) {
			mean, most := difference(t, got.Pix, want.Pix)
			t.Errorf("%s: differs from OpenCV by %.3f, at most %d", name, mean, most)
		}
		for range 100 {
			x, y := rng.IntN(h.W), rng.IntN(h.H)
			rect := image.Rect(x, y, x+1+rng.IntN(h.W-x), y+1+rng.IntN(h.H-y))
			if !r.read(&got, data, h, rect, 1) {
				t.Fatalf("%s: %v is not read", name, rect)
			}
			if cut(&part, &want, rect); !bytes.Equal(got.Pix, part.Pix) {
				mean, most := difference(t, got.Pix, part.Pix)
				t.Fatalf("%s: %v of %d×%d differs by %.3f, at most %d", name, rect, h.W, h.H, mean, most)
			}
		}
		for _, scale := range []int{2, 4, 8} {
			w, hh := (h.W+scale-1)/scale, (h.H+scale-1)/scale
			if !r.read(&want, data, h, image.Rect(0, 0, w, hh), scale) {
				t.Fatalf("%s: not read at 1/%d", name, scale)
			}
			for range 20 {
				x, y := rng.IntN(w), rng.IntN(hh)
				rect := image.Rect(x, y, x+1+rng.IntN(w-x), y+1+rng.IntN(hh-y))
				r.read(&got, data, h, rect, scale)
				if cut(&part, &want, rect); !bytes.Equal(got.Pix, part.Pix) {
					t.Fatalf("%s at 1/%d: %v differs", name, scale, rect)
				}
			}
		}
	}
	if plain < 3 {
		t.Errorf("only %d pictures were read", plain)
	}
}

// libjpeg called directly writes OpenCV's bytes.
func TestJPEGWrittenEqualsOpenCV(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, size := range []image.Point{{1, 1}, {1, 40}, {17, 3}, {64, 64}, {333, 221}} {
		im := vision.NewImage(size.X, size.Y)
		for i := range im.Pix {
			im.Pix[i] = uint8(i/7 + rng.IntN(90))
		}
		for _, quality := range []int{1, 50, 92, 100} {
			want, err := encodeJPEG(im, quality)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := writeJPEG(im, quality)
			if !ok || !bytes.Equal(got, want) {
				t.Errorf("%v at quality %d: %d bytes (%v), OpenCV writes %d", size, quality, len(got), ok, len(want))
			}
		}
	}
	// What libjpeg does not take is an error of the encoder.
	if _, ok := writeJPEG(vision.NewImage(65536, 1), 90); ok {
		t.Error("65536 columns are written")
	}
	if _, ok := writeJPEG(&vision.Image{}, 90); ok {
		t.Error("an empty picture is written")
	}
}

// Bytes changed at random never break the process.
func TestJPEGDamaged(t *testing.T) {
	var r jpegReader
	defer r.close()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, data := range jpegs(t) {
		h, err := ReadHeader(data)
		if err != nil {
			continue
		}
		var im vision.Image
		for range 50 {
			bad := bytes.Clone(data)
			for range 1 + rng.IntN(8) {
				bad[2+rng.IntN(len(bad)-2)] = byte(rng.IntN(256))
			}
			r.read(&im, bad, h, image.Rect(0, 0, max(1, h.W/2), max(1, h.H/2)), 1<<rng.IntN(4))
		}
	}
}
