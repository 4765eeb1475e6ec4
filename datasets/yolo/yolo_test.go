package yolo

import (
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

// tree writes files below a folder: different pictures of 20×10 for names that
// end in .png.
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

// listing is "name@split#id objects" of every sample.
func listing(d *datasets.Dataset) string {
	var out []string
	for _, s := range d.Samples {
		out = append(out, fmt.Sprintf("%s@%s#%d %d", s.Name, s.Split, s.ImageID, len(s.Objects)))
	}
	return strings.Join(out, ", ")
}

func TestLabels(t *testing.T) {
	const good = "1 0.5 0.5 0.2 0.4\n"
	for name, c := range map[string]struct {
		text, warn string
		objects    int
		check      func(o vision.Object) bool // of the last
	}{
		"box": {text: good, objects: 1, check: func(o vision.Object) bool {
			return o.Box == vision.Box{X1: 8, Y1: 3, X2: 12, Y2: 7} && o.Area == 16 && o.Class == 1 && o.ID == 1 && o.Polygons == nil
		}},
		"Windows": {text: "\ufeff0.0 0.5 0.5 0.2 0.4\r\n\r\n1\t0.5 0.5 0.2 0.4", objects: 2, check: func(o vision.Object) bool { return o.ID == 3 }},
		"outline": {text: "0 0.1 0.1 0.5 0.1 0.5 0.5\n", objects: 1, check: func(o vision.Object) bool {
			return o.Box == vision.Box{X1: 2, Y1: 1, X2: 10, Y2: 5} && o.Area == 16 && len(o.Polygons[0]) == 6
		}},
		"two points":    {text: good + "0 0.1 0.1 0.5 0.1 0.5", objects: 1, warn: "lines left out: 1: labels/a.txt: line 2: it has 6 numbers: a box has 5, an outline 7, 9, 11, …"},
		"half a line":   {text: good + "0 0.1", objects: 1, warn: "it has 2 numbers"},
		"word":          {text: good + "dog 0.1 0.1 0.1 0.1", objects: 1, warn: `line 2: "dog" is not a number`},
		"NaN":           {text: good + "0 nan 0.1 0.1 0.1", objects: 1, warn: `"nan" is not a number`},
		"class":         {text: good + "2 0.1 0.1 0.1 0.1", objects: 1, warn: "the class is 2: there are 2, from 0"},
		"half a class":  {text: good + "0.5 0.1 0.1 0.1 0.1", objects: 1, warn: "the class is 0.5"},
		"minus class":   {text: good + "-1 0.1 0.1 0.1 0.1", objects: 1, warn: "the class is -1"},
		"pixels":        {text: good + "0 10 5 4 4", objects: 1, warn: "10 is not a share of the image: divide pixels by its width and height"},
		"no width":      {text: good + "0 0.5 0.5 0 0.1", objects: 1, warn: "boxes left out, without width or height: 1: labels/a.txt: line 2: width 0 is not positive"},
		"minus height":  {text: good + "0 0.5 0.5 0.1 -0.1", objects: 1, warn: "height -0.1 is not positive"},
		"over the edge": {text: good + "0 0.9 0.5 0.4 0.2", objects: 2, warn: "boxes cut at the border of their image: 1: labels/a.txt: line 2", check: func(o vision.Object) bool { return o.Box.X2 == 20 }},
		"outside":       {text: good + "0 1.5 0.5 0.4 0.2", objects: 1, warn: "boxes left out, outside their image"},
		"twice":         {text: good + good, objects: 1, warn: "lines left out, they are there twice: 1: labels/a.txt: line 2"},
		"empty":         {text: "", objects: 0},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.images("images/a.png", "images/b.png")
			tr.write("labels/a.txt", c.text)
			tr.write("labels/b.txt", "0 0.2 0.2 0.2 0.2\n1 0.2 0.2 0.2 0.2\n")
			tr.write("classes.txt", "dog\ncat\n")
			d := open(t, tr.root, datasets.Options{Val: -1})
			if c.warn != "" {
				warned(t, d, c.warn)
			} else {
				warned(t, d)
			}
			list := d.Samples[0].Objects
			if len(list) != c.objects {
				t.Fatalf("%+v", list)
			}
			if c.check != nil && !c.check(list[len(list)-1]) {
				t.Errorf("%+v", list[len(list)-1])
			}
			if !slices.Equal(d.Classes, []string{"dog", "cat"}) || !slices.Equal(d.CategoryIDs, []int64{0, 1}) {
				t.Errorf("%v %v", d.Classes, d.CategoryIDs)
			}
		})
	}
}

func TestLayouts(t *testing.T) {
	const box = "0 0.5 0.5 0.2 0.4\n"
	for name, c := range map[string]struct {
		files   map[string]string
		images  []string
		open    string
		want    string
		classes string
		warn    []string
	}{
		"Ultralytics": {
			files:  map[string]string{"data.yaml": "path: .\ntrain: images/train\nval: images/val\ntest:\nnames:\n  0: dog\n", "labels/train/1.txt": box, "labels/val/2.txt": box},
			images: []string{"images/train/1.png", "images/val/2.png"}, want: "images/train/1.png@train#1 1, images/val/2.png@val#2 1", classes: "dog"},
		"path of another machine": {
			files:  map[string]string{"x.yaml": "path: /datasets/coco8\ntrain: [images/train]\nval: images/val\nnames: [dog]\nnc: 1\n", "labels/train/1.txt": box, "labels/val/2.txt": box},
			images: []string{"images/train/1.png", "images/val/2.png"}, open: "x.yaml", want: "images/train/1.png@train#1 1, images/val/2.png@val#2 1", classes: "dog"},
		"Roboflow": {
			files:  map[string]string{"data.yaml": "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\nnames: ['dog']\n", "train/labels/1.txt": box, "valid/labels/2.txt": box},
			images: []string{"train/images/1.png", "valid/images/2.png"}, want: "train/images/1.png@train#1 1, valid/images/2.png@val#2 1", classes: "dog", warn: []string{"not used: read data set"}},
		"lists": {
			files:  map[string]string{"data.yaml": "train: train.txt\nval: val.txt\nnames: [dog]", "train.txt": "./images/1.png\n./images/none.png\n", "val.txt": "images/2.png\r\n", "labels/1.txt": box, "labels/2.txt": box},
			images: []string{"images/1.png", "images/2.png"}, want: "images/1.png@train#1 1, images/2.png@val#2 1", classes: "dog", warn: []string{"not used: 1 of 3 files: ./images/none.png (train.txt: line 2: there is no such file)"}},
		"the same for both": {
			files:  map[string]string{"data.yaml": "train: images\nval: images\nnames: [dog]", "labels/1.txt": box, "labels/2.txt": box},
			images: []string{"images/1.png", "images/2.png"}, want: "images/1.png@train#1 1, images/2.png@train#2 1", classes: "dog", warn: []string{"data.yaml names the same images for train and val: val is set aside", "there is no val split: 0 of 2"}},
		"beside the images": {
			files:  map[string]string{"data.yaml": "train: a\nval: b\nnames: [dog]", "a/1.txt": box, "b/2.txt": box},
			images: []string{"a/1.png", "b/2.png"}, want: "a/1.png@train#1 1, b/2.png@val#2 1", classes: "dog"},
		"no yaml": {
			files:  map[string]string{"labels/train/1.txt": box, "labels/val/2.txt": box},
			images: []string{"images/train/1.png", "images/val/2.png"}, want: "images/train/1.png@train#1 1, images/val/2.png@val#2 1", classes: "0", warn: []string{"no file names the classes"}},
		"no yaml, split folders": {
			files:  map[string]string{"train/labels/1.txt": box, "valid/labels/2.txt": box, "obj.names": "dog\n"},
			images: []string{"train/images/1.png", "valid/images/2.png"}, want: "train/images/1.png@train#1 1, valid/images/2.png@val#2 1", classes: "dog"},
		"background": {
			files:  map[string]string{"data.yaml": "train: images/train\nval: images/val\nnames: {0: dog, 2: owl}", "labels/train/1.txt": box, "labels/val/2.txt": "2 .5 .5 .5 .5"},
			images: []string{"images/train/1.png", "images/train/3.png", "images/val/2.png"}, want: "images/train/1.png@train#1 1, images/train/3.png@train#2 0, images/val/2.png@val#3 1", classes: "dog 1 owl",
			warn: []string{"images without a label file, taken as background: 1: images/train/3.png", "classes without an object: 1 of 3: 1", "val has no image of dog", "owl (1)"}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.images(c.images...)
			for n, text := range c.files {
				tr.write(n, text)
			}
			d := open(t, filepath.Join(tr.root, c.open), datasets.Options{})
			if got := listing(d); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if got := strings.Join(d.Classes, " "); got != c.classes {
				t.Errorf("classes %s, want %s", got, c.classes)
			}
			warned(t, d, c.warn...)
		})
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"nc":         {"train: images\nval: images\nnc: 2\nnames: [a]", "nc is 2, but there are 1 names"},
		"twice":      {"train: images\nnames: [a, a]", `classes 0 and 1 are both called "a"`},
		"number":     {"train: images\nnames: {a: 1}", `"a" is no number of a class`},
		"absent":     {"train: pictures\nnames: [a]", "there is no pictures in"},
		"shape":      {"train: {a: b}\nnames: [a]", "line 1: train has to be a folder, a file, or a list of these"},
		"no YAML":    {"train: [", "read data set"},
		"no labels":  {"train: images\nnames: [a]", "none of the 1 images has a label file: for images/1.png it would be labels/1.txt"},
		"many names": {"train: images\nnames: {999999999: a}", "is no number of a class"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.images("images/1.png")
			tr.write("data.yaml", c.yaml)
			if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	tr := newTree(t)
	tr.images("a/1.png")
	if Detects(tr.root) || Detects(filepath.Join(tr.root, "a", "1.png")) || Detects(filepath.Join(tr.root, "none")) {
		t.Error("a folder of images is taken for YOLO's")
	}
	if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), "neither a data.yaml nor a labels folder") {
		t.Error(err)
	}
	tr.write("data.yaml", "train: x.json\nval: y.json\n")
	if Detects(tr.root) {
		t.Error("a data.yaml for COCO files is taken for YOLO's")
	}
}
