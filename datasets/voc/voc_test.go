package voc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// tree writes files below a folder: different pictures of 20×10.
type tree struct {
	t    *testing.T
	root string
	n    int
}

func newTree(t *testing.T) *tree { return &tree{t: t, root: t.TempDir()} }

func (tr *tree) write(name, contents string) {
	tr.t.Helper()
	p := filepath.Join(tr.root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(contents), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) images(names ...string) {
	tr.t.Helper()
	for _, name := range names {
		tr.n++
		im := vision.NewImage(20, 10)
		im.Fill(uint8(tr.n), uint8(tr.n>>8), 9)
		b, err := cv.EncodePNG(im)
		if err != nil {
			tr.t.Fatal(err)
		}
		tr.write(name, string(b))
	}
}

// object is one <object>.
func object(name string, box ...any) string {
	return fmt.Sprintf("<object><name>%s</name><difficult>1</difficult><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"+
		"<bndbox><xmin>%v</xmin><ymin>%v</ymin><xmax>%v</xmax><ymax>%v</ymax></bndbox></object>", append([]any{name}, box...)...)
}

func document(file, objects string) string {
	return "<annotation><filename>" + file + "</filename><size><width>20</width><height>10</height><depth>3</depth></size>" + objects + "</annotation>"
}

func open(t *testing.T, path string, opt datasets.Options) *datasets.Dataset {
	t.Helper()
	if !Detects(path) {
		t.Errorf("%s is not detected", path)
	}
	d, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return d
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

func TestObjects(t *testing.T) {
	good := object("dog", 1, 1, 20, 10)
	for name, c := range map[string]struct {
		text, warn string
		objects    int
		check      func(o vision.Object) bool // of the last
	}{
		"whole image": {text: document("a.png", good), objects: 1, check: func(o vision.Object) bool {
			return o.Box == vision.Box{X2: 20, Y2: 10} && o.Area == 200 && !o.Crowd && o.ID == 1 && o.Class == 1
		}},
		"one pixel":  {text: document("a.png", object("cat", 3, 5, 3, 5)), objects: 1, check: func(o vision.Object) bool { return o.Box == vision.Box{X1: 2, Y1: 4, X2: 3, Y2: 5} && o.Class == 0 }},
		"real":       {text: document("a.png", object("cat", " 3.5 ", 5, 7.25, 6)), objects: 1, check: func(o vision.Object) bool { return o.Box == vision.Box{X1: 2.5, Y1: 4, X2: 7.25, Y2: 6} }},
		"turned":     {text: document("a.png", good+object("cat", 9, 5, 3, 6)), objects: 1, warn: "boxes left out, without width or height: 1: Annotations/a.xml: object 2: width -5 is not positive"},
		"0-based":    {text: document("a.png", good+object("cat", 0, 0, 3, 6)), objects: 2, warn: "boxes cut at the border of their image: 1: Annotations/a.xml: object 2: (-1, -1)–(3, 6)"},
		"outside":    {text: document("a.png", good+object("cat", 30, 0, 33, 6)), objects: 1, warn: "boxes left out, outside their image"},
		"word":       {text: document("a.png", good+object("cat", "", 0, 33, 6)), objects: 1, warn: `objects left out: 1: Annotations/a.xml: object 2: "" is not a number`},
		"NaN":        {text: document("a.png", good+object("cat", "NaN", 1, 3, 6)), objects: 1, warn: "boxes left out, not possible"},
		"huge":       {text: document("a.png", good+object("cat", 1, 1, "1e300", 6)), objects: 1, warn: "boxes left out, not possible"},
		"no name":    {text: document("a.png", good+object("", 1, 1, 3, 6)), objects: 1, warn: "object 2: it has no name"},
		"no box":     {text: document("a.png", good+"<object><name>cat</name></object>"), objects: 1, warn: "object 2: it has no bndbox"},
		"background": {text: document("a.png", ""), objects: 0},
		"no size":    {text: "<annotation>" + good + "</annotation>", objects: 1},
		"size 0":     {text: "<annotation><size><width>0</width><height>0</height></size>" + good + "</annotation>", objects: 1},
		"charset":    {text: `<?xml version="1.0" encoding="GB2312"?>` + document("a.png", good), objects: 1},
		"truncated":  {text: document("a.png", good)[:80], objects: -1, warn: "not used: 1 of 2 files: Annotations/a.xml (byte 80: XML syntax error on line 1: unexpected EOF)"},
		"empty":      {text: "", objects: -1, warn: "Annotations/a.xml (byte 0: the file is empty)"},
		"other root": {text: "<html></html>", objects: -1, warn: "expected element type <annotation> but have <html>"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.images("JPEGImages/a.png", "JPEGImages/b.png")
			tr.write("Annotations/a.xml", c.text)
			tr.write("Annotations/b.xml", document("b.png", object("dog", 1, 1, 9, 9)+object("cat", 1, 1, 9, 9)))
			d := open(t, tr.root, datasets.Options{Val: -1})
			if c.warn != "" {
				warned(t, d, c.warn)
			} else {
				warned(t, d)
			}
			if !slices.Equal(d.Classes, []string{"cat", "dog"}) || !slices.Equal(d.CategoryIDs, []int64{1, 2}) {
				t.Errorf("%v %v", d.Classes, d.CategoryIDs)
			}
			if c.objects < 0 {
				if len(d.Samples) != 1 {
					t.Errorf("%d samples", len(d.Samples))
				}
				return
			}
			list := d.Samples[0].Objects
			if len(list) != c.objects {
				t.Fatalf("%+v", list)
			}
			if c.check != nil && !c.check(list[len(list)-1]) {
				t.Errorf("%+v", list[len(list)-1])
			}
		})
	}
}

func TestLayouts(t *testing.T) {
	dog := object("dog", 1, 1, 5, 5)
	for name, c := range map[string]struct {
		files  map[string]string
		images []string
		want   string
		warn   []string
	}{
		"image sets": {
			files: map[string]string{
				"VOCdevkit/VOC2012/Annotations/1.xml": document("1.jpg", dog), "VOCdevkit/VOC2012/Annotations/2.xml": document("2.jpg", dog), "VOCdevkit/VOC2012/Annotations/3.xml": document("3.jpg", dog),
				"VOCdevkit/VOC2012/ImageSets/Main/train.txt": "1\n9\n", "VOCdevkit/VOC2012/ImageSets/Main/val.txt": "2\r\n", "VOCdevkit/VOC2012/ImageSets/Main/dog_train.txt": "1  1\n"},
			images: []string{"VOCdevkit/VOC2012/JPEGImages/1.png", "VOCdevkit/VOC2012/JPEGImages/2.png", "VOCdevkit/VOC2012/JPEGImages/3.png"},
			want:   "VOCdevkit/VOC2012/JPEGImages/1.png@train#1, VOCdevkit/VOC2012/JPEGImages/2.png@val#2",
			warn: []string{"annotations not used, they are in no image set: 1: VOCdevkit/VOC2012/Annotations/3.xml",
				"lines of image sets without an annotation, left out: 1: train.txt: 9"}},
		"in two sets": {
			files:  map[string]string{"Annotations/1.xml": document("1.jpg", dog), "Annotations/2.xml": document("1.jpg", dog), "ImageSets/Main/train.txt": "1\n2\n", "ImageSets/Main/val.txt": "1"},
			images: []string{"JPEGImages/1.png", "JPEGImages/2.png"}, want: "JPEGImages/1.png@train#1, JPEGImages/2.png@train#3, JPEGImages/1.png@val#2",
			warn: []string{"leakage: 1 image in two splits"}},
		"Roboflow": {
			files:  map[string]string{"train/1.xml": document("1.png", dog), "valid/2.xml": document("2.png", dog)},
			images: []string{"train/1.png", "valid/2.png"}, want: "train/1.png@train#1, valid/2.png@val#2"},
		"labelImg": {
			files:  map[string]string{"1.xml": document("one.png", dog), "2.xml": document(`C:\x\2.jpg`, dog), "3.xml": document("none.png", dog)},
			images: []string{"one.png", "2.png"}, want: "2.png@train#1, one.png@train#2", warn: []string{"not used: 1 of 3 files: 3.xml (there is no image for it)"}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.images(c.images...)
			for n, text := range c.files {
				tr.write(n, text)
			}
			opt := datasets.Options{}
			if name == "labelImg" {
				opt.Val = -1
			}
			d := open(t, tr.root, opt)
			var got []string
			for _, s := range d.Samples {
				got = append(got, fmt.Sprintf("%s@%s#%d", s.Name, s.Split, s.ImageID))
			}
			if g := strings.Join(got, ", "); g != c.want {
				t.Errorf("%s\nwant %s", g, c.want)
			}
			warned(t, d, c.warn...)
		})
	}
	tr := newTree(t)
	tr.images("a.png")
	if Detects(tr.root) || Detects(filepath.Join(tr.root, "a.png")) {
		t.Error("an image is taken for VOC's")
	}
	if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), "there is no Annotations folder with .xml files") {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(document("a.png", object("dog", 1, 2, 3, 4))))
	f.Add([]byte(`<?xml version="1.0" encoding="x"?><annotation><object/></annotation>`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		a, err := decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		r := &reader{draft: &datasets.Draft{}, number: map[string]int{}}
		r.objects(a, "x.xml", "x.jpg")
	})
}
