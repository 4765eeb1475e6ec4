package masks

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
)

var (
	black = color.NRGBA{0, 0, 0, 255}
	red   = color.NRGBA{255, 0, 0, 255}
	green = color.NRGBA{0, 128, 0, 255}
	blue  = color.NRGBA{0, 0, 200, 255}
)

// listing is "name@split" of every sample.
func listing(d *datasets.Dataset) string {
	var out []string
	for _, s := range d.Samples {
		out = append(out, s.Name+"@"+s.Split)
	}
	return strings.Join(out, " ")
}

func TestLayouts(t *testing.T) {
	const names = "background\ncell\n"
	for name, c := range map[string]struct {
		make  func(tr *tree)
		want  string
		warns []string
	}{
		"images and masks in splits": {func(tr *tree) {
			for _, s := range []string{"train", "valid", "test"} {
				tr.image(s+"/images/a.jpg", s+"/images/sub/b.png").grey(s+"/masks/a.png", 0, 1).grey(s+"/masks/sub/b.png", 1, 0)
			}
		}, "train/images/a.jpg@train train/images/sub/b.png@train valid/images/a.jpg@val valid/images/sub/b.png@val test/images/a.jpg@test test/images/sub/b.png@test", nil},
		"splits in images and masks": {func(tr *tree) {
			tr.image("Images/train/a.jpg", "Images/val/b.jpg").grey("Labels/train/a.png", 0, 1).grey("Labels/val/b.png", 0, 1)
		}, "Images/train/a.jpg@train Images/val/b.jpg@val", nil},
		"beside, in splits": {func(tr *tree) {
			tr.image("train/a.jpg", "train/b.jpg", "valid/c.jpg").grey("train/a_mask.png", 0, 1).grey("train/b.png", 0, 1).grey("valid/c_mask.png", 0, 1)
		}, "train/a.jpg@train train/b.jpg@train valid/c.jpg@val", nil},
		"beside, in one folder": {func(tr *tree) {
			tr.image("x/a.png", "x/b.jpg", "c.png").grey("x/a_mask.png", 0, 1).grey("x/b-label.png", 0, 1).grey("c_SEG.png", 0, 1)
		}, "c.png@train x/a.png@train x/b.jpg@train", nil},
		"masks with a suffix in their folder": {func(tr *tree) {
			tr.image("images/a.jpg", "images/b.jpg").grey("masks/a_mask.png", 0, 1).grey("masks/b.png", 0, 1).grey("masks/b_mask.png", 1).grey("masks/z.png", 1)
		}, "images/a.jpg@train images/b.jpg@train", []string{"masks without an image: 2: masks/b_mask.png, masks/z.png"}},
		"other folders of a split": {func(tr *tree) {
			tr.image("train/images/a.jpg", "test/b.jpg").grey("train/masks/a.png", 0, 1).grey("train/gt/a.png", 0, 1)
		}, "train/images/a.jpg@train", []string{"there are no masks: test", "train/gt: the masks are those in train/masks"}},
		"one split has no masks": {func(tr *tree) {
			tr.image("images/train/a.jpg", "images/val/b.jpg").grey("masks/train/a.png", 0, 1).grey("masks/test/c.png", 0, 1)
		}, "images/train/a.jpg@train", []string{"there are no masks: images/val", "there are no images: masks/test"}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t).write("classes.txt", names)
			c.make(tr)
			if !Detects(tr.root) {
				t.Error("not detected")
			}
			s, err := Open(tr.root, datasets.Options{Val: -1})
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(s.Dataset); got != c.want {
				t.Errorf("got\n%s, want\n%s", got, c.want)
			}
			warned(t, s.Dataset, c.warns...)
			for _, sample := range s.Samples {
				if !datasets.IsFile(sample.Mask) || sample.Label != -1 || sample.W != testW || sample.H != testH {
					t.Errorf("%+v", sample)
				}
				if m, err := s.ReadMask(sample); err != nil || len(m) != testW*testH || bytes.Count(m, []byte{1}) != testW*testH/2 {
					t.Errorf("%v %v", m, err)
				}
			}
		})
	}
}

func TestNoMasks(t *testing.T) {
	tr := newTree(t).image("train/a/1.jpg", "train/b/2.png").write("note.txt", "x")
	if Detects(tr.root) || Detects(tr.path("note.txt")) || Detects(tr.path("absent")) {
		t.Error("detected")
	}
	for path, want := range map[string]string{
		"":         "there are no masks: put images/",
		"note.txt": "neither a folder nor a .yaml",
		"absent":   "no such file",
	} {
		if _, err := Open(tr.path(path), datasets.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", path, err)
		}
	}
	tr = newTree(t).image("train/images/a.jpg", "training/images/b.jpg").grey("train/masks/a.png", 0).grey("training/masks/b.png", 0)
	if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), "both the train split") {
		t.Error(err)
	}
	if _, err := Open(tr.root, datasets.Options{Val: .7, Test: .5}); err == nil || !strings.Contains(err.Error(), "leave nothing") {
		t.Error(err)
	}
}

// The values of a mask are what the file says, whatever it is saved as.
func TestKindsOfPNG(t *testing.T) {
	tr := newTree(t).write("classes.txt", "a\nb\nc\n")
	palette := color.Palette{red, green, blue, black}
	tr.image("images/palette.jpg").pal("masks/palette.png", palette, 0, 1, 2)
	big := color.Palette{}
	for i := range 256 {
		big = append(big, color.NRGBA{uint8(7 * i), uint8(i), 3, 255})
	}
	tr.image("images/palette256.jpg").pal("masks/palette256.png", big, 0, 2, 255)
	tr.image("images/clear.jpg").pal("masks/clear.png", color.Palette{color.NRGBA{}, red, color.NRGBA{1, 2, 3, 9}}, 0, 1, 2)
	tr.image("images/grey.jpg").grey("masks/grey.png", 0, 1, 2, 255)
	wide := image.NewGray16(image.Rect(0, 0, testW, testH))
	for i, v := range []uint16{0, 1, 2, 255, 65535} {
		wide.SetGray16(i, 0, color.Gray16{Y: v})
	}
	tr.image("images/wide.jpg").png("masks/wide.png", wide)
	rgb := color.NRGBA{2, 2, 2, 255}
	tr.image("images/rgb.jpg").colours("masks/rgb.png", color.NRGBA{0, 0, 0, 255}, rgb, color.NRGBA{255, 255, 255, 255})
	tr.image("images/alpha.jpg").write("masks/alpha.png", rawPNG(8, 4, func(x, _ int) []byte { return []byte{byte(x % 3), 255} }))
	tr.image("images/alpha16.jpg").write("masks/alpha16.png", rawPNG(16, 4, func(x, _ int) []byte { return []byte{0, byte(x % 3), 255, 255} }))
	// Two bits for each pixel: 0, 1, 2, 3 are the values, not 0, 85, 170, 255.
	tr.image("images/bits.jpg").write("masks/bits.png", rawPNG(2, 0, func(x, _ int) []byte {
		if x%4 != 0 {
			return nil
		}
		return []byte{0b00_01_10_00}
	}))
	s := tr.open(datasets.Options{})
	for name, want := range map[string][]uint8{
		"palette.jpg":    {0, 1, 2, 0, 1, 2},
		"palette256.jpg": {0, 2, 255, 0},
		"clear.jpg":      {0, 1, 2, 0},
		"grey.jpg":       {0, 1, 2, 255, 0},
		"wide.jpg":       {0, 1, 2, 255, 255, 0},
		"rgb.jpg":        {0, 2, 255, 0},
		"alpha.jpg":      {0, 1, 2, 0},
		"alpha16.jpg":    {0, 1, 2, 0},
		"bits.jpg":       {0, 1, 2, 0, 0, 1},
	} {
		if got := first(t, s, name, len(want)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	warned(t, s.Dataset, "colours that are all grey, taken as values: 1: masks/rgb.png")
	if !slices.Equal(s.CategoryIDs, []int64{0, 1, 2}) || len(s.Samples) != 9 {
		t.Error(s.CategoryIDs, len(s.Samples))
	}
}

// rawPNG is a PNG of a kind that the encoder does not write; bytes gives those
// of a pixel.
func rawPNG(bits, kind byte, pixel func(x, y int) []byte) string {
	var raw []byte
	for y := range testH {
		raw = append(raw, 0) // no filter
		for x := range testW {
			raw = append(raw, pixel(x, y)...)
		}
	}
	// One stored block.
	z := []byte{0x78, 0x01, 1, byte(len(raw)), byte(len(raw) >> 8), ^byte(len(raw)), ^byte(len(raw) >> 8)}
	a, b := uint32(1), uint32(0)
	for _, v := range raw {
		a = (a + uint32(v)) % 65521
		b = (b + a) % 65521
	}
	z = binary.BigEndian.AppendUint32(append(z, raw...), b<<16|a)
	out := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(name string, body []byte) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
		at := len(out)
		out = append(append(out, name...), body...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[at:]))
	}
	chunk("IHDR", []byte{0, 0, 0, testW, 0, 0, 0, testH, bits, kind, 0, 0, 0})
	chunk("IDAT", z)
	chunk("IEND", nil)
	return string(out)
}

// turned adds an eXIf chunk behind IHDR.
func turned(data string, orientation byte) string {
	body := []byte{'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0}
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	chunk = append(append(chunk, "eXIf"...), body...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	return data[:33] + string(chunk) + data[33:]
}

// An image that EXIF turns has an upright mask, or none.
func TestTurnedImages(t *testing.T) {
	tr := newTree(t).write("classes.txt", "background\ncell\n").image("images/a.png", "images/b.png", "images/c.png")
	tr.write("images/a.png", turned(tr.read("images/a.png"), 3)).grey("masks/a.png", 0, 1)
	tr.write("images/b.png", turned(tr.read("images/b.png"), 6)).grey("masks/b.png", 0, 1)
	tr.write("images/c.png", turned(tr.read("images/c.png"), 6)).png("masks/c.png", greyImage(testH, testW, 0, 1))
	s := tr.open(datasets.Options{})
	if got := listing(s.Dataset); got != "images/a.png@train images/c.png@train" {
		t.Error(got)
	}
	warned(t, s.Dataset, "taken to be upright: 2: images/a.png, images/c.png", "it has 6×4 pixels, the image 4×6: make both from the same picture (EXIF turns the image, orientation 6")
}

// Every mask that cannot be used is named with the reason, and the others are
// read.
func TestBadMasks(t *testing.T) {
	good := greyImage(testW, testH, 0, 1)
	for name, c := range map[string]struct {
		make func(tr *tree)
		want string
	}{
		"no mask":       {func(*tree) {}, "it has no mask"},
		"another size":  {func(tr *tree) { tr.png("masks/x.png", greyImage(testH, testW, 0)) }, "its mask masks/x.png: it has 4×6 pixels, the image 6×4"},
		"another value": {func(tr *tree) { tr.grey("masks/x.png", 0, 0, 1, 2) }, "its mask masks/x.png: the value 2 at (3, 0) is no class: there are 2, from 0"},
		"an empty file": {func(tr *tree) { tr.write("masks/x.png", "") }, "masks/x.png: the file is empty"},
		"text":          {func(tr *tree) { tr.write("masks/x.png", "hello") }, "this is text"},
		"cut":           {func(tr *tree) { tr.png("masks/x.png", good); tr.write("masks/x.png", tr.read("masks/x.png")[:50]) }, "truncated"},
		"damaged": {func(tr *tree) {
			tr.png("masks/x.png", good)
			b := []byte(tr.read("masks/x.png"))
			b[45] ^= 0xff
			tr.write("masks/x.png", string(b))
		}, "png: invalid format"},
		"a bomb": {func(tr *tree) {
			tr.png("masks/x.png", good)
			b := []byte(tr.read("masks/x.png"))
			copy(b[16:], []byte{0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff})
			tr.write("masks/x.png", string(b))
		}, "the limit is"},
		"a JPEG called PNG": {func(tr *tree) { tr.image("y.jpg").write("masks/x.png", tr.read("y.jpg")) }, "it is a jpeg, not a PNG"},
		"a JPEG beside":     {func(tr *tree) { tr.image("images/x_mask.jpg") }, "it has no mask"},
		"a JPEG":            {func(tr *tree) { tr.image("masks/x.jpg") }, "its mask masks/x.jpg is no PNG"},
		"two masks":         {func(tr *tree) { tr.grey("masks/x_mask.png", 0).grey("masks/x_label.png", 1) }, "2 files may be its mask"},
		"one mask for two":  {func(tr *tree) { tr.grey("masks/x.png", 0, 1).image("images/x.bmp.png", "images/x.png") }, "is that of images/x.jpg already"},
		"colours":           {func(tr *tree) { tr.colours("masks/x.png", black, black, red) }, "it has colours, 255,0,0 at (2, 0), and no file tells their classes"},
		"transparent":       {func(tr *tree) { tr.colours("masks/x.png", color.NRGBA{1, 1, 1, 9}) }, "transparent pixels"},
		"transparent grey": {func(tr *tree) {
			tr.write("masks/x.png", rawPNG(8, 4, func(x, _ int) []byte { return []byte{0, byte(x)} }))
		}, "transparent pixels"},
		"transparent grey 16": {func(tr *tree) {
			tr.write("masks/x.png", rawPNG(16, 4, func(x, _ int) []byte { return []byte{0, 1, byte(x), 0} }))
		}, "transparent pixels"},
		"16 bits for each colour": {func(tr *tree) {
			tr.write("masks/x.png", rawPNG(16, 2, func(_, _ int) []byte { return make([]byte, 6) }))
		}, "16 bits for each colour"},
		"a picture": {func(tr *tree) {
			im := image.NewNRGBA(image.Rect(0, 0, 60, 60))
			for i := range 3600 {
				im.SetNRGBA(i%60, i/60, color.NRGBA{uint8(i), uint8(i >> 8), 1, 255})
			}
			tr.png("images/x.png", im).png("masks/x.png", im)
			if err := os.Remove(tr.path("images/x.jpg")); err != nil {
				t.Fatal(err)
			}
		}, "this is a picture, not a mask"},
		"turned": {func(tr *tree) {
			tr.png("masks/x.png", good)
			tr.write("masks/x.png", turned(tr.read("masks/x.png"), 6))
		}, "EXIF orientation 6"},
		"the image is broken": {func(tr *tree) { tr.grey("masks/x.png", 0).write("images/x.jpg", "text") }, "this is text"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t).write("classes.txt", "background\ncell\n")
			tr.image("images/a.jpg", "images/x.jpg").png("masks/a.png", good)
			c.make(tr)
			s := tr.open(datasets.Options{})
			at := slices.IndexFunc(s.Skipped, func(k datasets.Skipped) bool {
				return strings.HasPrefix(k.Name, "images/x.") && strings.Contains(k.Reason, c.want)
			})
			if at < 0 {
				t.Errorf("%v", s.Skipped)
			}
			if s.Samples[0].Name != "images/a.jpg" {
				t.Errorf("left %s", listing(s.Dataset))
			}
			if !slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.HasPrefix(w, "not used: ") && strings.Contains(w, c.want) }) {
				t.Errorf("no warning: %q", s.Warnings)
			}
			// Nothing else to read: the reason is the error.
			for _, f := range []string{"images/a.jpg", "masks/a.png"} {
				if err := os.Remove(tr.path(f)); err != nil {
					t.Fatal(err)
				}
			}
			if len(s.Samples) > 1 {
				return
			}
			if !Detects(tr.root) {
				return // no mask is left
			}
			if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "can be used: images/x") {
				t.Errorf("alone: %v", err)
			}
		})
	}
}

// What changes behind the reader's back is an error that names the file.
func TestReadMaskOfChangedFiles(t *testing.T) {
	tr := newTree(t).write("classes.txt", "background\ncell\n").pairs(map[string][]uint8{"a": {0, 1}})
	s := tr.open(datasets.Options{})
	for want, change := range map[string]func(){
		"the value 7":  func() { tr.grey("masks/a.png", 0, 7) },
		"6×7 pixels":   func() { tr.png("masks/a.png", greyImage(6, 7, 0)) },
		"no such file": func() { os.Remove(tr.path("masks/a.png")) },
	} {
		change()
		_, err := s.ReadMask(s.Samples[0])
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), filepath.Join("masks", "a.png")) == 0 {
			t.Errorf("%s: %v", want, err)
		}
		tr.grey("masks/a.png", 0, 1)
	}
	if _, err := s.ReadMask(datasets.Sample{Path: "x.jpg", W: 1, H: 1}); err == nil {
		t.Error("a sample without a mask")
	}
}

func TestMasksBesideThatAreNoPNG(t *testing.T) {
	tr := newTree(t).write("classes.txt", "background\ncell\n").image("a.jpg", "a_mask.jpg", "b.jpg").grey("b_mask.png", 0, 1)
	warned(t, tr.open(datasets.Options{}).Dataset, "a.jpg (its mask a_mask.jpg is no PNG")
}

func TestSplitsAreMadeOfTheClasses(t *testing.T) {
	tr := newTree(t).write("classes.txt", "background\nrare\ncommon\n")
	pairs := map[string][]uint8{}
	for i := range 40 {
		v := []uint8{0, 2}
		if i%8 == 0 {
			v = []uint8{0, 1}
		}
		pairs[fmt.Sprintf("%02d", i)] = v
	}
	s := tr.pairs(pairs).open(datasets.Options{Val: .4})
	if c := s.Counts(datasets.Val); c[0] < 14 || c[1] == 0 || c[2] == 0 {
		t.Errorf("val %v", c)
	}
	if c := s.Counts(datasets.Train); c[0]+len(s.Split(datasets.Val)) != 40 || c[1] == 0 {
		t.Errorf("train %v", c)
	}
	half := tr.open(datasets.Options{Val: .4, Fraction: .5})
	if n := len(half.Split(datasets.Train)); n != 12 {
		t.Errorf("%d are left", n)
	}
	for i, s := range s.Samples {
		if s.Index != i {
			t.Fatal("not numbered")
		}
	}
}

// Copies, splits without a class, and masks of nothing are said.
func TestDoubts(t *testing.T) {
	tr := newTree(t).write("classes.txt", "background\ncell\nrare")
	tr.image("train/images/a.jpg").grey("train/masks/a.png", 0, 1)
	tr.write("val/images/b.jpg", tr.read("train/images/a.jpg")).grey("val/masks/b.png", 0, 2)
	tr.image("val/images/c.jpg").grey("val/masks/c.png", 255)
	s := tr.open(datasets.Options{})
	warned(t, s.Dataset, "every pixel is ignored: 1: val/masks/c.png", "leakage: 1 image", "val has no image of cell", "train has none of")
	if !slices.Equal(s.Samples[2].Labels, []int{}) || !slices.Equal(s.Samples[1].Labels, []int{0, 2}) {
		t.Errorf("%+v", s.Samples)
	}
}

// Whatever a mask file holds, it is read or refused.
func FuzzMask(f *testing.F) {
	tr := &tree{t: &testing.T{}, root: f.TempDir()}
	tr.grey("a.png", 0, 1).pal("b.png", color.Palette{red, green}, 0, 1).colours("c.png", black, red)
	for _, n := range []string{"a.png", "b.png", "c.png"} {
		f.Add([]byte(tr.read(n)))
	}
	f.Add([]byte(rawPNG(0, 0, func(_, _ int) []byte { return nil }))) // no bits
	f.Add([]byte(rawPNG(16, 4, func(x, _ int) []byte { return []byte{0, byte(x), 255, 255} })))
	table, err := newTable([]class{{name: "x", value: -1, colour: 0}, {name: "y", value: -1, colour: 0xff0000}})
	if err != nil {
		f.Fatal(err)
	}
	file := tr.path("m.png")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		set := &Set{Dataset: &datasets.Dataset{Classes: table.names}, table: table}
		m, err := set.ReadMask(datasets.Sample{Mask: file, W: testW, H: testH})
		if err != nil {
			return
		}
		for _, c := range m {
			if c != Ignore && c > 1 || len(m) != testW*testH {
				t.Fatalf("class %d, %d pixels", c, len(m))
			}
		}
	})
}
