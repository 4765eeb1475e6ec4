package cv

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vislora/vislora/vision"
)

// difference is the mean and the largest absolute difference of two byte slices.
func difference(t *testing.T, a, b []uint8) (mean float64, most int) {
	t.Helper()
	if len(a) != len(b) || len(a) == 0 {
		t.Fatalf("%d bytes, want %d", len(a), len(b))
	}
	sum := 0
	for i := range a {
		d := int(a[i]) - int(b[i])
		if d < 0 {
			d = -d
		}
		sum, most = sum+d, max(most, d)
	}
	return float64(sum) / float64(len(a)), most
}

func portable() bool { return DecoderName() == "go" }

// Every format and pixel type against what Pillow decodes.
func TestDecodeEqualsPillow(t *testing.T) {
	var files map[string][2]int
	b, err := os.ReadFile("testdata/formats/formats.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &files); err != nil {
		t.Fatal(err)
	}
	d := NewDecoder()
	defer d.Close()
	var im vision.Image
	for name, size := range files {
		path := filepath.Join("testdata/formats", name)
		data, _ := os.ReadFile(path)
		h, err := ReadHeader(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if h.W != size[0] || h.H != size[1] {
			t.Errorf("%s: the header says %d×%d, want %v", name, h.W, h.H, size)
		}
		if err := d.DecodeFile(&im, path); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, _ := os.ReadFile(path + ".rgb")
		if im.W != size[0] || im.H != size[1] {
			t.Errorf("%s: %d×%d, want %v", name, im.W, im.H, size)
			continue
		}
		meanMost, most := 0.0, 0
		switch {
		case name == "cmyk.jpg":
			meanMost, most = 1.1, 3
		case name == "420.jpg" && portable():
			meanMost, most = 8, 60 // chroma is not interpolated: hard edges, noise
		case strings.HasSuffix(name, ".jpg") && portable():
			meanMost, most = .6, 3 // another inverse DCT
		case name == "lossy.webp" && portable():
			meanMost, most = 12, 60
		}
		if mean, m := difference(t, im.Pix, want); mean > meanMost || m > most {
			t.Errorf("%s: differs from Pillow by %.3f in the mean, at most %d; allowed %.2f, %d", name, mean, m, meanMost, most)
		}
	}
}

func pngWithHeader(w, h uint32, rest ...byte) []byte {
	var b bytes.Buffer
	b.WriteString(pngSignature)
	body := binary.BigEndian.AppendUint32([]byte("IHDR"), w)
	body = append(binary.BigEndian.AppendUint32(body, h), 8, 2, 0, 0, 0)
	binary.Write(&b, binary.BigEndian, uint32(13))
	b.Write(body)
	binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body))
	b.Write(rest)
	return b.Bytes()
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/formats", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBadFilesAreNamed(t *testing.T) {
	jpg, png := read(t, "444.jpg"), read(t, "rgb.png")
	var g bytes.Buffer
	gif.Encode(&g, image.NewPaletted(image.Rect(0, 0, 2, 2), color.Palette{color.White, color.Black}), nil)
	damaged := bytes.Clone(png)
	copy(damaged[60:], "garbage garbage garbage garbage")
	withThumbnail := append([]byte("\xff\xd8\xff\xe1\x00\x0cExif\x00\x00\xff\xd8\xff\xd9"), jpg[2:len(jpg)-40]...)
	cases := []struct {
		name string
		data []byte
		want string
	}{
		{"empty.jpg", nil, "empty (0 bytes)"},
		{"text.png", []byte("file,label\na.png,cat\n"), "this is text, not an image"},
		{"anim.gif", g.Bytes(), "a GIF, not an image"},
		{"half.jpg", jpg[:len(jpg)/2], "truncated"},
		{"no_end.jpg", jpg[:len(jpg)-2], "truncated"},
		{"thumbnail.jpg", withThumbnail, "truncated"},
		{"start.jpg", jpg[:3], "truncated"},
		{"headers_only.jpg", append(bytes.Clone(jpg[:20]), 0xff, 0xd9), "no image in it"},
		{"half.png", png[:len(png)/2], "truncated"},
		{"damaged.png", damaged, "decode png"},
		{"bomb.png", pngWithHeader(50000, 50000), "50000×50000"},
		{"bomb_idat.png", append(pngWithHeader(50000, 50000), png[33:]...), "50000×50000"},
		{"zero.png", append(pngWithHeader(0, 5), png[33:]...), "0×5"},
		{"huge.png", append(pngWithHeader(1<<31, 5), png[33:]...), "impossible size"},
		{"short.bmp", read(t, "rgb.bmp")[:400], "truncated"},
		{"short.tif", read(t, "rgb.tif")[:400], "truncated"},
		{"short.webp", read(t, "lossless.webp")[:100], "truncated"},
		{"tiny.tif", []byte("II*\x00\x08\x00"), "truncated"},
	}
	dir := t.TempDir()
	d := NewDecoder()
	defer d.Close()
	var im vision.Image
	for _, c := range cases {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, c.data, 0o644); err != nil {
			t.Fatal(err)
		}
		err := d.DecodeFile(&im, path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: %v; want %q and the file's name", c.name, err, c.want)
		}
	}
	if err := d.DecodeFile(&im, filepath.Join(dir, "absent.jpg")); err == nil || !strings.Contains(err.Error(), "absent.jpg") {
		t.Error(err)
	}
	if err := d.DecodeFile(&im, dir); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Error(err)
	}
	// The decoder still works after all that.
	if err := d.Decode(&im, jpg); err != nil || im.W != 26 {
		t.Errorf("%v, width %d", err, im.W)
	}
}

// No prefix and no flipped byte of any file may panic or abort the process.
func TestHostileBytes(t *testing.T) {
	d := NewDecoder()
	defer d.Close()
	var im vision.Image
	for _, name := range []string{"420.jpg", "rgb.png", "palette.bmp", "lzw.tif", "lossy.webp", "orientation6.png"} {
		whole := read(t, name)
		for n := 0; n < len(whole); n += 1 + len(whole)/60 {
			_ = d.Decode(&im, whole[:n])
		}
		for i := 0; i < len(whole); i += 1 + len(whole)/150 {
			b := bytes.Clone(whole)
			b[i] ^= 0x5a
			if h, err := ReadHeader(b); err == nil && h.W*h.H > 1<<22 {
				continue // legal, only slow
			}
			_ = d.Decode(&im, b)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	files, _ := filepath.Glob("testdata/formats/*")
	for _, p := range files {
		if b, err := os.ReadFile(p); err == nil && !strings.HasSuffix(p, ".rgb") {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHeader(b)
		if err == nil && (h.W <= 0 || h.H <= 0 || int64(h.W)*int64(h.H) > MaxPixels) {
			t.Errorf("%+v was let through", h)
		}
	})
}

// Bad files on one goroutine must not be blamed on good ones of another.
func TestDecodersDoNotShareErrors(t *testing.T) {
	good, bad := read(t, "444.jpg"), bytes.Clone(read(t, "rgb.png"))
	copy(bad[60:], "garbage garbage garbage garbage")
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for w := range 4 {
		wg.Go(func() {
			d := NewDecoder()
			defer d.Close()
			var im vision.Image
			for range 60 {
				data := good
				if w%2 == 1 {
					data = bad
				}
				if err := d.Decode(&im, data); (err != nil) != (w%2 == 1) {
					errs <- fmt.Errorf("worker %d: %v", w, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}
