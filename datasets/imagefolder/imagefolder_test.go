package imagefolder

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
)

// tree writes files: an image for each name that looks like one, unless
// contents are given.
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

// images writes different pictures.
func (tr *tree) images(names ...string) {
	tr.t.Helper()
	for _, name := range names {
		tr.n++
		im := vision.NewImage(6, 4)
		im.Fill(uint8(tr.n), uint8(tr.n>>8), 9)
		b, err := cv.EncodePNG(im)
		if err != nil {
			tr.t.Fatal(err)
		}
		tr.write(name, string(b))
	}
}

func (tr *tree) many(pattern string, n int) {
	tr.t.Helper()
	for i := range n {
		tr.images(strings.ReplaceAll(pattern, "#", string(rune('a'+i/26))+string(rune('a'+i%26))))
	}
}

func open(t *testing.T, root string, opt Options) *datasets.Dataset {
	t.Helper()
	d, err := Open(root, opt)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range d.Samples {
		if s.Index != i {
			t.Fatalf("sample %d has index %d", i, s.Index)
		}
	}
	return d
}

func counts(d *datasets.Dataset) string {
	var out []string
	for _, s := range d.Splits() {
		var n []string
		for _, c := range d.Counts(s) {
			n = append(n, string(rune('0'+c/10))+string(rune('0'+c%10)))
		}
		out = append(out, s+" "+strings.Join(n, ","))
	}
	return strings.Join(out, "; ")
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

func TestSplitFolders(t *testing.T) {
	tr := newTree(t)
	tr.many("train/cat/#.png", 3)
	tr.many("train/dog/deeper/#.PNG", 2)
	tr.many("valid/cat/#.png", 1)
	tr.many("valid/dog/#.png", 1)
	tr.many("test/dog/#.png", 2)
	tr.images("train/.hidden/x.png", "train/cat/.DS_Store.png")
	d := open(t, tr.root, Options{})
	if !slices.Equal(d.Classes, []string{"cat", "dog"}) || counts(d) != "train 03,02; val 01,01; test 00,02" {
		t.Errorf("%v %s", d.Classes, counts(d))
	}
	warned(t, d, "test has no image of cat")
	if s := d.Split("train")[4]; s.Name != "train/dog/deeper/ab.PNG" || s.Label != 1 || s.W != 6 || s.H != 4 {
		t.Errorf("%+v", s)
	}
}

func TestDoubtfulFolders(t *testing.T) {
	tr := newTree(t)
	tr.many("train/a/#.png", 4)
	tr.many("train/b/#.png", 4)
	tr.many("val/a/#.png", 1)
	tr.many("val/z/#.png", 2)
	tr.images("train/loose.png", "other/x.png")
	tr.write("train/a/notes.txt", "x")
	tr.write("train/b/broken.png", "not an image")
	tr.write("train/b/empty.jpg", "")
	if err := os.MkdirAll(filepath.Join(tr.root, "train", "nothing"), 0o755); err != nil {
		t.Fatal(err)
	}
	copied, err := os.ReadFile(filepath.Join(tr.root, "train/a/aa.png"))
	if err != nil {
		t.Fatal(err)
	}
	tr.write("val/a/copy.png", string(copied))
	tr.write("train/b/relabelled.png", string(copied))
	d := open(t, tr.root, Options{})
	if !slices.Equal(d.Classes, []string{"a", "b", "z"}) || counts(d) != "train 04,05,00; val 02,00,02" {
		t.Errorf("%v %s", d.Classes, counts(d))
	}
	warned(t, d,
		"not used: 1 image in train outside every class folder: loose.png",
		"not used: 1 folder beside the splits: other",
		"the class folder train/nothing has no images",
		"not used: 1 file of other kinds: train/a/notes.txt",
		"not used: 2 of 15 files: train/b/broken.png (this is text, not an image",
		"leakage: 1 image in two splits: train/a/aa.png = val/a/copy.png",
		"1 image twice, with different classes: train/a/aa.png = train/b/relabelled.png",
		"val has no image of b",
		"val has images of classes that train has none of, so they cannot be learnt: z (2)")
	if len(d.Skipped) != 2 || d.Skipped[1].Name != "train/b/empty.jpg" || d.Skipped[1].Reason != "the file is empty (0 bytes)" {
		t.Errorf("skipped %+v", d.Skipped)
	}
}

func TestAutomaticSplit(t *testing.T) {
	tr := newTree(t)
	tr.many("cat/#.png", 50)
	tr.many("dog/#.png", 20)
	tr.many("rare/#.png", 2)
	d := open(t, tr.root, Options{Seed: 1})
	if counts(d) != "train 40,16,01; val 10,04,01" {
		t.Error(counts(d))
	}
	warned(t, d)
	if e := open(t, tr.root, Options{Seed: 1}); !slices.EqualFunc(d.Samples, e.Samples, func(a, b datasets.Sample) bool { return a.Name == b.Name && a.Split == b.Split }) {
		t.Error("the same seed splits otherwise")
	}
	if e := open(t, tr.root, Options{Seed: 1, Test: .1, Fraction: .5}); counts(e) != "train 18,07,01; val 10,04,01; test 05,02,00" {
		t.Error(counts(e))
	}
	// Copies of one picture stay on one side, whatever the seed.
	same, _ := os.ReadFile(filepath.Join(tr.root, "cat/aa.png"))
	for _, n := range []string{"cat/x1.png", "cat/x2.png", "cat/x3.png"} {
		tr.write(n, string(same))
	}
	for seed := range uint64(6) {
		warned(t, open(t, tr.root, Options{Seed: seed}), "3 images more than once")
	}
}

func TestTrainWithoutVal(t *testing.T) {
	tr := newTree(t)
	tr.many("train/a/#.png", 10)
	tr.many("train/b/#.png", 5)
	tr.many("test/a/#.png", 3)
	tr.many("test/b/#.png", 3)
	d := open(t, tr.root, Options{})
	if counts(d) != "train 08,04; val 02,01; test 03,03" {
		t.Error(counts(d))
	}
	warned(t, d, "there is no val split: 3 of 15 training images were set aside")
	if d := open(t, tr.root, Options{Val: -1}); counts(d) != "train 10,05; test 03,03" {
		t.Error(counts(d))
	}
}

func TestTables(t *testing.T) {
	for _, c := range []struct {
		name, table string
		classes     string
		counts      string
		warnings    []string
	}{
		{"label and split", "file,label,split\na.png,x,train\nb.png,y,train\nc.png,x,val\nd.png,y,valid\n", "x y", "train 01,01; val 01,01", nil},
		{"semicolons, BOM, other names", "\ufeffImage;Class;Set\na;x;training\nb;y;train\nc;x;validation\nd;y;VAL\n", "x y", "train 01,01; val 01,01", nil},
		{"numbers sort as numbers", "file,label,split\na.png,10,train\nb.png,9,train\nc.png,10,val\nd.png,9,val\n", "9 10", "train 01,01; val 01,01", nil},
		{"a missing file, an empty label", "file,label,split\na.png,x,train\nb.png,,train\nc.png,x,val\nnone.png,x,val\n", "x", "train 01; val 01",
			[]string{"not used: 1 line of labels.csv without a label", "not used: 1 of 3 files: none.png (line 5: there is no such file)"}},
		{"several labels", "file,labels,split\na.png,x|y,train\nb.png,,train\nc.png, y | z ,val\nd.png,y|y,val\n", "x y z", "train 01,01,00; val 00,02,01",
			[]string{"val has no image of x", "val has images of classes that train has none of, so they cannot be learnt: z (1)"}},
		{"columns of 0 and 1", "file_name,age,x,none,y,split\na.png,44,1,0,0,train\nb.png,50,1,0,1,train\nc.png,61,0,0,1,val\nd.png,10,1.0,0,,val\n", "none x y", "train 00,02,01; val 00,01,01",
			[]string{`not used: 1 column of the table with more than 0 and 1: "age"`}},
		{"the folder is the class", "file,patient\nk1/e.png,p1\nk2/f.png,p2\nk1/g.png,p3\nk2/h.png,p4\n", "k1 k2", "train 01,01; val 01,01", nil},
	} {
		tr := newTree(t)
		tr.images("a.png", "b.png", "c.png", "d.png", "k1/e.png", "k2/f.png", "k1/g.png", "k2/h.png")
		tr.write("labels.csv", c.table)
		d, err := Open(tr.root, Options{Val: .5})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if strings.Join(d.Classes, " ") != c.classes || c.name != "the folder is the class" && counts(d) != c.counts {
			t.Errorf("%s: %v, %s", c.name, d.Classes, counts(d))
		}
		if c.name != "the folder is the class" {
			warned(t, d, c.warnings...)
		}
		if multi := strings.HasPrefix(c.name, "several") || strings.HasPrefix(c.name, "columns"); d.MultiLabel != multi {
			t.Errorf("%s: multi-label is %v", c.name, d.MultiLabel)
		}
		// The table itself may be named.
		if e, err := Open(filepath.Join(tr.root, "labels.csv"), Options{Val: .5}); err != nil || counts(e) != counts(d) {
			t.Errorf("%s: by its table: %v", c.name, err)
		}
	}
}

func TestGroupsStayTogether(t *testing.T) {
	tr := newTree(t)
	table := "file,label,patient\n"
	for i := range 60 {
		name := "img/" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + ".png"
		tr.images(name)
		table += name + "," + []string{"sick", "well"}[i/3%2] + ",p" + string(rune('A'+i/3)) + "\n"
	}
	tr.write("metadata.csv", table)
	// A copy of one patient's picture in another's folder ties the two.
	copied, _ := os.ReadFile(filepath.Join(tr.root, "img/aa.png"))
	tr.write("img/az.png", string(copied))
	for seed := range uint64(8) {
		d := open(t, tr.root, Options{Seed: seed, Test: .2})
		side := map[string]string{}
		for _, s := range d.Samples {
			if was := side[s.Group]; was != "" && was != s.Split {
				t.Fatalf("seed %d: %s is in %s and %s", seed, s.Group, was, s.Split)
			}
			side[s.Group] = s.Split
		}
		for split, want := range map[string]int{"train": 36, "val": 12, "test": 12} {
			if n := len(d.Split(split)); n < want-6 || n > want+6 {
				t.Errorf("seed %d: %d in %s, want about %d", seed, n, split, want)
			}
		}
		for _, w := range d.Warnings {
			if strings.Contains(w, "leakage") {
				t.Errorf("seed %d: %s", seed, w)
			}
		}
	}
}

func TestBadData(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		opt   Options
		want  []string
	}{
		{"nothing", nil, Options{}, []string{"no class folders"}},
		{"only images", map[string]string{"a.png": "png", "b.png": "png"}, Options{}, []string{"2 images and no class folders", "labels.csv"}},
		{"no image", map[string]string{"a/x.txt": ""}, Options{}, []string{"there are no images"}},
		{"all broken", map[string]string{"a/x.png": "", "b/y.png": "text"}, Options{}, []string{"none of the 2 images", "a/x.png", "empty"}},
		{"two vals", map[string]string{"train/a/x.png": "png", "val/a/x.png": "png", "valid/a/x.png": "png"}, Options{}, []string{"val and valid"}},
		{"unknown label", map[string]string{"a/x.png": "png", "b/y.png": "png"}, Options{Classes: []string{"a", "c"}}, []string{`b/y.png: the label "b" is not in the list of classes: a, c`}},
		{"no file column", map[string]string{"x.png": "png", "labels.csv": "name,label\nx.png,a\n"}, Options{}, []string{"labels.csv", "line 1", `"name"`}},
		{"unknown split", map[string]string{"x.png": "png", "labels.csv": "file,label,split\nx.png,a,extra\n"}, Options{}, []string{"line 2", `"extra"`, "train, val or test"}},
		{"ragged", map[string]string{"x.png": "png", "labels.csv": "file,label\nx.png,a,b\n"}, Options{}, []string{"line 2 has 3 columns, the first line 2"}},
		{"twice", map[string]string{"x.png": "png", "labels.csv": "file,label\nx.png,a\nx,b\n"}, Options{}, []string{"line 3: x.png stands in line 2 already"}},
		{"empty table", map[string]string{"labels.csv": ""}, Options{}, []string{"labels.csv", "empty"}},
		{"only a header", map[string]string{"labels.csv": "file,label\n"}, Options{}, []string{"no line below"}},
		{"half a split", map[string]string{"x.png": "png", "y.png": "png", "labels.csv": "file,label,split\nx.png,a,train\ny.png,a,\n"}, Options{}, []string{"1 of 2 images have no split", "y.png"}},
		{"group on both sides", map[string]string{"x.png": "png", "y.png": "png", "labels.csv": "file,label,split,patient\nx.png,a,train,p7\ny.png,a,val,p7\n"}, Options{}, []string{"1 group in two splits: p7 (train and val)"}},
		{"ambiguous", map[string]string{"p/x.png": "png", "q/x.png": "png", "labels.csv": "file,label\nx,a\n"}, Options{}, []string{"2 files have that name: p/x.png, q/x.png"}},
		{"shares", map[string]string{"a/x.png": "png"}, Options{Val: .6, Test: .5}, []string{"leave nothing to train on"}},
		{"fraction", map[string]string{"a/x.png": "png"}, Options{Fraction: 2}, []string{"the fraction is 2"}},
	} {
		tr := newTree(t)
		for name, contents := range c.files {
			if contents == "png" {
				tr.images(name)
			} else {
				tr.write(name, contents)
			}
		}
		_, err := Open(tr.root, c.opt)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q is missing in: %v", c.name, w, err)
			}
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "absent"), Options{}); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Error(err)
	}
}

func TestLinksAreFollowed(t *testing.T) {
	tr := newTree(t)
	tr.many("real/#.png", 3)
	tr.many("data/b/#.png", 3)
	if err := os.Symlink(filepath.Join(tr.root, "real"), filepath.Join(tr.root, "data", "a")); err != nil {
		t.Skip(err)
	}
	link := filepath.Join(tr.root, "link")
	if err := os.Symlink(filepath.Join(tr.root, "data"), link); err != nil {
		t.Fatal(err)
	}
	if d := open(t, link, Options{}); len(d.Samples) != 6 || len(d.Classes) != 2 {
		t.Errorf("%d images of %v", len(d.Samples), d.Classes)
	}
}

func TestGroceryStore(t *testing.T) {
	d := open(t, testdata.Real(t, "grocery_classify"), Options{})
	if len(d.Split("train")) != 406 || len(d.Split("val")) != 58 || len(d.Split("test")) != 288 || len(d.Classes) != 12 {
		t.Errorf("%s", counts(d))
	}
	if d.Classes[0] != "Arla-Standard-Milk" || d.Classes[11] != "Tropicana-Juice-Smooth" {
		t.Errorf("%v", d.Classes)
	}
	warned(t, d, "val has no image of Tropicana-Juice-Smooth")
}

// The table names "001" and a split; the images are <split>/images/001.png,
// and masks of the same names stand beside them.
func TestWhiteBloodCells(t *testing.T) {
	d := open(t, testdata.Real(t, "wbc_segment"), Options{})
	if strings.Join(d.Classes, " ") != "basophil eosinophil lymphocyte monocyte neutrophil" {
		t.Errorf("%v", d.Classes)
	}
	for split, want := range map[string][]int{"train": {1, 13, 37, 34, 125}, "val": {0, 3, 9, 6, 27}, "test": {0, 6, 7, 8, 24}} {
		if got := d.Counts(split); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", split, got, want)
		}
	}
	for _, s := range d.Samples {
		if !strings.HasPrefix(s.Name, s.Split+"/images/") {
			t.Fatalf("%s is no image of %s", s.Name, s.Split)
		}
	}
	// Upstream holds one picture twice.
	warned(t, d, "val has no image of basophil", "test has no image of basophil",
		"1 image more than once: train/images/112.png = train/images/139.png")
}
