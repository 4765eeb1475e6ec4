package masks

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// The pictures of the tests have 6×4 pixels.
const (
	testW = 6
	testH = 4
)

// tree writes files below a folder.
type tree struct {
	t    *testing.T
	root string
	n    int
}

func newTree(t *testing.T) *tree {
	t.Helper()
	return &tree{t: t, root: t.TempDir()}
}

func (tr *tree) path(name string) string { return filepath.Join(tr.root, filepath.FromSlash(name)) }

func (tr *tree) write(name, contents string) *tree {
	tr.t.Helper()
	if err := os.MkdirAll(filepath.Dir(tr.path(name)), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.WriteFile(tr.path(name), []byte(contents), 0o644); err != nil {
		tr.t.Fatal(err)
	}
	return tr
}

func (tr *tree) read(name string) string {
	tr.t.Helper()
	b, err := os.ReadFile(tr.path(name))
	if err != nil {
		tr.t.Fatal(err)
	}
	return string(b)
}

// image writes pictures, each another one.
func (tr *tree) image(names ...string) *tree {
	tr.t.Helper()
	for _, name := range names {
		tr.n++
		im := vision.NewImage(testW, testH)
		im.Fill(uint8(37*tr.n), uint8(101*tr.n), uint8(11*tr.n))
		b, err := cv.EncodePNG(im)
		if strings.HasSuffix(name, ".jpg") {
			b, err = cv.EncodeJPEG(im, 95)
		}
		if err != nil {
			tr.t.Fatal(err)
		}
		tr.write(name, string(b))
	}
	return tr
}

func (tr *tree) png(name string, im image.Image) *tree {
	tr.t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, im); err != nil {
		tr.t.Fatal(err)
	}
	return tr.write(name, b.String())
}

// grey writes masks whose pixels are these values in turn.
func (tr *tree) grey(name string, values ...uint8) *tree {
	tr.t.Helper()
	return tr.png(name, greyImage(testW, testH, values...))
}

func greyImage(w, h int, values ...uint8) *image.Gray {
	im := image.NewGray(image.Rect(0, 0, w, h))
	for i := range im.Pix {
		im.Pix[i] = values[i%len(values)]
	}
	return im
}

// colours writes a mask of these colours in turn.
func (tr *tree) colours(name string, list ...color.NRGBA) *tree {
	tr.t.Helper()
	im := image.NewNRGBA(image.Rect(0, 0, testW, testH))
	for i := range testW * testH {
		im.SetNRGBA(i%testW, i/testW, list[i%len(list)])
	}
	return tr.png(name, im)
}

// pal writes a palette mask with these indices in turn.
func (tr *tree) pal(name string, palette color.Palette, indices ...uint8) *tree {
	tr.t.Helper()
	im := image.NewPaletted(image.Rect(0, 0, testW, testH), palette)
	for i := range im.Pix {
		im.Pix[i] = indices[i%len(indices)]
	}
	return tr.png(name, im)
}

// pairs writes images/<name>.jpg with masks/<name>.png of the values.
func (tr *tree) pairs(values map[string][]uint8) *tree {
	tr.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		tr.image("images/"+name+".jpg").grey("masks/"+name+".png", values[name]...)
	}
	return tr
}

// open opens the folder, or a file in it, undivided unless opt says otherwise.
func (tr *tree) open(opt datasets.Options, file ...string) *Set {
	tr.t.Helper()
	path := tr.path(strings.Join(file, "/"))
	if !Detects(path) {
		tr.t.Errorf("%s is not detected", path)
	}
	if opt.Val == 0 {
		opt.Val = -1
	}
	s, err := Open(path, opt)
	if err != nil {
		tr.t.Fatal(err)
	}
	return s
}

// first are the first n classes of a sample's mask.
func first(t *testing.T, s *Set, name string, n int) []uint8 {
	t.Helper()
	for _, sample := range s.Samples {
		if sample.Name == name || strings.HasSuffix(sample.Name, "/"+name) {
			m, err := s.ReadMask(sample)
			if err != nil {
				t.Fatal(err)
			}
			if len(m) != sample.W*sample.H {
				t.Fatalf("%d pixels", len(m))
			}
			return m[:n]
		}
	}
	t.Fatalf("there is no %s", name)
	return nil
}

// warned checks that the warnings are those that are wanted, one each.
func warned(t *testing.T, d *datasets.Dataset, want ...string) {
	t.Helper()
	left := slices.Clone(d.Warnings)
	for _, w := range want {
		i := slices.IndexFunc(left, func(s string) bool { return strings.Contains(s, w) })
		if i < 0 {
			t.Errorf("no warning says %q: %q", w, d.Warnings)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		t.Errorf("unexpected warnings: %q", left)
	}
}
