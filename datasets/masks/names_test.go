package masks

import (
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
)

// show is a list as "name=value#colour".
func show(list []class) string {
	var out []string
	for _, c := range list {
		s := c.name
		if c.value >= 0 {
			s += fmt.Sprintf("=%d", c.value)
		}
		if c.colour >= 0 {
			s += fmt.Sprintf("#%06x", c.colour)
		}
		out = append(out, s)
	}
	return strings.Join(out, " | ")
}

func TestReadClasses(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"a\nb c\n\nd":                           "a | b c | d",
		"\ufeffa\r\nb\r\n":                      "a | b",
		"# a comment\na":                        "a",
		"0 background\n1 traffic light":         "background=0 | traffic light=1",
		"0: background\n7: cell":                "background=0 | cell=7",
		"0,background\n255,cell":                "background=0 | cell=255",
		"3 wheel car\nbus":                      "3 wheel car | bus",
		"group 1\ngroup 2":                      "group 1 | group 2",
		"road, 0\ncar,1":                        "road=0 | car=1",
		"0\n128\n255":                           "0=0 | 128=128 | 255=255",
		"0\n1\nother":                           "0 | 1 | other",
		"64 128 64\tAnimal\n0 0 0\tVoid x":      "Animal#408040 | Void x#000000",
		"road 128 64 128\nside walk 1,2,3":      "road#804080 | side walk#010203",
		"0 road 128 64 128\n1 side walk 1 2 3":  "road=0#804080 | side walk=1#010203",
		"0 128 64 128 road\n5 1 2 3 side walk":  "road=0#804080 | side walk=5#010203",
		"0 0 0\n255 0 0":                        "0#000000 | 1#ff0000",
		"background:0,0,0::\ncat:128,0,0:a,b:c": "background#000000 | cat#800000",
		"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::": "background#000000 | cat#800000",
		"Pixel Value, Class\n0, background\n1, leaf":                         "background=0 | leaf=1",
		"name,r,g,b\nUrban land,0,255,255\n\"a, b\",1,2,3":                   "Urban land#00ffff | a, b#010203",
		"name;red;green;blue\nx;1;2;3":                                       "x#010203",
		"id\tname\n3\tx y\n4\tz":                                             "x y=3 | z=4",
		"id,name,r,g,b\n1,x,9,8,7":                                           "x=1#090807",
		"a 1 2 3\na 4 5 6":                                                   "a#010203 | a#040506",
	} {
		file := filepath.Join(dir, "classes.txt")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := readClasses(file); err != nil || show(got) != want {
			t.Errorf("%q: %s (%v), want %s", text, show(got), err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "classes.csv"), []byte("name\nx\ny"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := readClasses(filepath.Join(dir, "classes.csv")); err != nil || show(got) != "x | y" {
		t.Errorf("one column: %s %v", show(got), err)
	}
	for text, want := range map[string]string{
		"":                            "no classes",
		"# nothing":                   "no classes",
		"a\nb\na":                     `line 3: "a" stands in line 1 already`,
		"a 1 2 3\nb":                  `line 2: "b": some lines have a colour`,
		"a 1 2 300":                   `line 1: the colour is "300": use 0 to 255`,
		"0 a\n70000 b":                `line 2: the value is "70000": use 0 to 65535`,
		"99999999999999999999 a":      "the value is",
		"name,r,g,b\nx,1,2":           "line 2 has 3 columns, the first line 4",
		"name,r,g,b\nx,1,2,blue":      `line 2: the colour is "blue"`,
		"name,r,g,b\n,1,2,3":          "line 2: the name is empty",
		"name,value\nx,-1":            `the value is "-1"`,
		"name,value\nx,1\ny,2\"3\"\n": `line 3`,
		strings.Repeat("x", 1<<20+1):  "1048577 bytes, the limit is 1048576",
	} {
		file := filepath.Join(dir, "classes.txt")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readClasses(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "classes.txt") {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
	if _, err := readClasses(filepath.Join(dir, "absent")); err == nil {
		t.Error("a file that is not there")
	}
}

func FuzzReadClasses(f *testing.F) {
	for _, s := range []string{"a\nb", "0 a\n1 b", "name,r,g,b\nx,1,2,3", "a:1,2,3::", "\ufeff\"\n", "0 1 2 3 4 5"} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(dir, "classes.txt")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		list, err := readClasses(file)
		if err != nil {
			return
		}
		for _, c := range list {
			if c.name == "" || c.value > mostValue || c.colour > 0xffffff {
				t.Fatalf("%+v", c)
			}
		}
		if table, err := newTable(list); err == nil && (len(table.names) != len(table.ids) || len(table.names) > mostClasses) {
			t.Fatalf("%d names, %d ids", len(table.names), len(table.ids))
		}
	})
}

// Where the names are, in the order in which they count.
func TestClassNames(t *testing.T) {
	values := map[string][]uint8{"a": {0, 1, 2}}
	for name, c := range map[string]struct {
		make    func(tr *tree)
		path    string
		classes []string
		ids     []int64
		mask    []uint8
		warns   []string
	}{
		"values": {
			make: func(*tree) {}, classes: []string{"0", "1", "2"}, ids: []int64{0, 1, 2}, mask: []uint8{0, 1, 2},
			warns: []string{"no file names the classes"},
		},
		"data.yaml": {
			make: func(tr *tree) {
				tr.write("data.yaml", "names: [bg, x, y, z]\n").write("classes.txt", "1\n2\n3")
			}, classes: []string{"bg", "x", "y", "z"}, ids: []int64{0, 1, 2, 3}, mask: []uint8{0, 1, 2},
			warns: []string{"not used: classes.txt: the names are those in data.yaml"},
		},
		"a data.yaml elsewhere": {
			make: func(tr *tree) { tr.write("sub/some.yaml", "path: ..\nnames: {0: bg, 1: x, 2: y}\n") }, path: "sub/some.yaml",
			classes: []string{"bg", "x", "y"}, ids: []int64{0, 1, 2}, mask: []uint8{0, 1, 2},
		},
		"a data.yaml without names": {
			make:    func(tr *tree) { tr.write("data.yaml", "train: images").write("names.txt", "bg\nx\ny") },
			classes: []string{"bg", "x", "y"}, ids: []int64{0, 1, 2}, mask: []uint8{0, 1, 2},
		},
		"nc": {
			make:    func(tr *tree) { tr.write("data.yaml", "nc: 3") },
			classes: []string{"0", "1", "2"}, ids: []int64{0, 1, 2}, mask: []uint8{0, 1, 2},
		},
		"with the masks": {
			make:    func(tr *tree) { tr.write("masks/Classes.TXT", "bg\nx\ny") },
			classes: []string{"bg", "x", "y"}, ids: []int64{0, 1, 2}, mask: []uint8{0, 1, 2},
		},
		"numbered, in another order": {
			make:    func(tr *tree) { tr.write("classes.txt", "2 y\n0 bg\n1 x") },
			classes: []string{"y", "bg", "x"}, ids: []int64{2, 0, 1}, mask: []uint8{1, 2, 0},
		},
		"void": {
			make:    func(tr *tree) { tr.write("classes.txt", "Unlabeled\nx\ny") },
			classes: []string{"x", "y"}, ids: []int64{1, 2}, mask: []uint8{255, 0, 1},
		},
		"two values are one class": {
			make:    func(tr *tree) { tr.write("classes.txt", "0 bg\n1 x\n2 x") },
			classes: []string{"bg", "x"}, ids: []int64{0, 1}, mask: []uint8{0, 1, 1},
		},
		"colours that are not needed": {
			make:    func(tr *tree) { tr.write("classes.txt", "bg\nx\ny").write("colors.txt", "x 1 2 3\nbg 0 0 0\ny 7 7 9") },
			classes: []string{"bg", "x", "y"}, ids: []int64{0, 1, 2}, mask: []uint8{0, 1, 2},
		},
		"colours alone": {
			make:    func(tr *tree) { tr.write("labelmap.txt", "bg:0,0,0::\nx:1,2,3::\ny:7,7,9::\n") },
			classes: []string{"bg", "x", "y"}, ids: []int64{0, 1, 2}, mask: []uint8{0, 1, 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t).pairs(values)
			c.make(tr)
			s := tr.open(datasets.Options{}, c.path)
			if !slices.Equal(s.Classes, c.classes) || !slices.Equal(s.CategoryIDs, c.ids) {
				t.Errorf("%v %v", s.Classes, s.CategoryIDs)
			}
			if got := first(t, s, "a.jpg", len(c.mask)); !slices.Equal(got, c.mask) {
				t.Errorf("%v, want %v", got, c.mask)
			}
			var labels []int
			for _, v := range c.mask {
				if v != Ignore {
					labels = append(labels, int(v))
				}
			}
			slices.Sort(labels)
			if !slices.Equal(s.Samples[0].Labels, slices.Compact(labels)) {
				t.Errorf("labels %v", s.Samples[0].Labels)
			}
			var rest []string
			for _, w := range s.Warnings {
				if !strings.Contains(w, "no image of") {
					rest = append(rest, w)
				}
			}
			warned(t, &datasets.Dataset{Warnings: rest}, c.warns...)
		})
	}
}

func TestWrongNames(t *testing.T) {
	for name, c := range map[string]struct {
		make func(tr *tree)
		want string
	}{
		"yaml":          {func(tr *tree) { tr.write("data.yaml", "names: [") }, "data.yaml"},
		"twice in yaml": {func(tr *tree) { tr.write("data.yaml", "names: [a, a]") }, "both called"},
		"list":          {func(tr *tree) { tr.write("classes.txt", "a\na") }, "classes.txt: line 2"},
		"a value twice": {func(tr *tree) { tr.write("classes.txt", "0 a\n0 b") }, "line 2: the value 0 stands for two classes"},
		"too many": {func(tr *tree) {
			var b strings.Builder
			for i := range 257 {
				fmt.Fprintf(&b, "class %d x\n", i)
			}
			tr.write("classes.txt", b.String())
		}, "line 256: more than 255 classes"},
		"colour twice":     {func(tr *tree) { tr.write("colors.txt", "a 1 2 3\nb 1 2 3") }, "line 2: the colour 1,2,3 stands for two"},
		"unknown in paint": {func(tr *tree) { tr.write("classes.txt", "a\nb").write("colors.txt", "a 1 2 3\nc 4 5 6") }, `line 2: "c" is not one of the classes in`},
		"paint twice":      {func(tr *tree) { tr.write("classes.txt", "a\nb").write("colors.txt", "a 1 2 3\nb 1 2 3") }, "colors.txt: line 2: the colour 1,2,3"},
		"lists differ": {func(tr *tree) {
			tr.image("train/a.jpg", "val/b.jpg").grey("train/a_mask.png", 0).grey("val/b_mask.png", 0)
			tr.write("train/_classes.csv", "Pixel Value, Class\n0, a").write("val/_classes.csv", "Pixel Value, Class\n0, b")
		}, "are not the same: put one list into"},
	} {
		tr := newTree(t)
		c.make(tr)
		if !datasets.IsDir(tr.path("train")) {
			tr.pairs(map[string][]uint8{"a": {0}})
		}
		if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Roboflow's export: masks beside the images, a list in each split.
func TestRoboflow(t *testing.T) {
	tr := newTree(t).image("train/a.jpg", "valid/b.jpg").grey("train/a_mask.png", 0, 1, 2).grey("valid/b_mask.png", 0, 2)
	for _, s := range []string{"train", "valid"} {
		tr.write(s+"/_classes.csv", "Pixel Value, Class\n0, background\n1, leaf\n2, stem\n")
	}
	s := tr.open(datasets.Options{})
	if !slices.Equal(s.Classes, []string{"background", "leaf", "stem"}) || listing(s.Dataset) != "train/a.jpg@train valid/b.jpg@val" {
		t.Error(s.Classes, listing(s.Dataset))
	}
}

func TestColours(t *testing.T) {
	tr := newTree(t).write("class_dict.csv", "name,r,g,b\nbackground,0,0,0\nroad,255,0,0\ncar,0,128,0\nvoid,9,9,9\n")
	tr.image("images/a.jpg", "images/b.jpg", "images/c.jpg", "images/d.jpg", "images/e.jpg", "images/f.jpg")
	tr.colours("masks/a.png", black, red, green, color.NRGBA{9, 9, 9, 255})
	tr.colours("masks/b.png", black, blue)
	// A palette whose colours the map knows is read by them; PNG optimisers
	// change the order.
	tr.pal("masks/c.png", color.Palette{green, black, red}, 0, 1, 2)
	tr.pal("masks/d.png", color.Palette{black, red, green}, 0, 1, 2)
	tr.pal("masks/e.png", color.Palette{blue, red, green}, 0, 1, 2) // unknown colours: by index
	tr.grey("masks/f.png", 0, 1, 2, 255)
	s := tr.open(datasets.Options{})
	for name, want := range map[string][]uint8{
		"a.jpg": {0, 1, 2, 255}, "c.jpg": {2, 0, 1, 2}, "d.jpg": {0, 1, 2, 0}, "e.jpg": {0, 1, 2, 0}, "f.jpg": {0, 1, 2, 255},
	} {
		if got := first(t, s, name, 4); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	warned(t, s.Dataset, "the colour 0,0,200 at (1, 0) is no class: it is not in class_dict.csv", "taken by their colours: 1: masks/c.png")
	if !slices.Equal(s.Classes, []string{"background", "road", "car"}) || !slices.Equal(s.CategoryIDs, []int64{0, 1, 2}) {
		t.Error(s.Classes, s.CategoryIDs)
	}
}

// A map of greys alone says what the greys of grey masks mean.
func TestGreyLevelsOfAMap(t *testing.T) {
	tr := newTree(t).write("colors.txt", "background 0 0 0\ncell 128 128 128\nnucleus 255 255 255\n")
	tr.pairs(map[string][]uint8{"a": {0, 128, 255}, "b": {0, 0}})
	tr.image("images/c.jpg").colours("masks/c.png", black, color.NRGBA{128, 128, 128, 255}, color.NRGBA{255, 255, 255, 255})
	s := tr.open(datasets.Options{})
	for _, n := range []string{"a.jpg", "c.jpg"} {
		if got := first(t, s, n, 3); !slices.Equal(got, []uint8{0, 1, 2}) {
			t.Errorf("%s: %v", n, got)
		}
	}
	warned(t, s.Dataset)
	if !slices.Equal(s.CategoryIDs, []int64{0, 128, 255}) {
		t.Error(s.CategoryIDs)
	}
}

// Values of 0 and 255, or evenly spread up to 255, are greys to be looked at;
// everywhere else 255 is ignored.
func TestSpreadValues(t *testing.T) {
	for name, c := range map[string]struct {
		list    string
		opt     []string
		values  [][]uint8
		classes []string
		ids     []int64
		masks   [][]uint8
		warns   []string
	}{
		"binary, unnamed": {
			values: [][]uint8{{0, 255}, {0}, {255}}, classes: []string{"0", "255"}, ids: []int64{0, 255}, masks: [][]uint8{{0, 1}, {0}, {1}},
			warns: []string{"no file names", "the masks hold the values 0, 255 and no others: each was taken as a class, also 255"},
		},
		"binary, named": {
			list: "background\ncell", values: [][]uint8{{0, 255}, {0}, {255}}, classes: []string{"background", "cell"}, ids: []int64{0, 255}, masks: [][]uint8{{0, 1}, {0}, {1}},
			warns: []string{`taken as the classes background, cell, also 255, which else means ignored: a classes.txt with lines like "255 cell" says it for sure`},
		},
		"binary, said for sure": {
			list: "0 background\n255 cell", values: [][]uint8{{0, 255}}, classes: []string{"background", "cell"}, ids: []int64{0, 255}, masks: [][]uint8{{0, 1}},
		},
		"binary, said otherwise": {
			list: "0 background\n1 cell", values: [][]uint8{{0, 255}}, classes: []string{"background", "cell"}, ids: []int64{0, 1}, masks: [][]uint8{{0, 255}},
		},
		"binary, three names": {
			list: "background\ncell\nother", values: [][]uint8{{0, 255}, {0, 255}}, classes: []string{"background", "cell", "other"}, ids: []int64{0, 1, 2}, masks: [][]uint8{{0, 255}, {0, 255}},
			warns: []string{"masks of 0 and 255 alone, of which 255 was taken as ignored: 2: masks/0.png, masks/1.png"},
		},
		"some binary": {
			list: "background\ncell", values: [][]uint8{{0, 255}, {0, 1}}, classes: []string{"background", "cell"}, ids: []int64{0, 1}, masks: [][]uint8{{0, 255}, {0, 1}},
			warns: []string{"masks of 0 and 255 alone, of which 255 was taken as ignored: 1: masks/0.png"},
		},
		"three levels, unnamed": {
			values: [][]uint8{{0, 127, 255}}, classes: []string{"0", "127", "255"}, ids: []int64{0, 127, 255}, masks: [][]uint8{{0, 1, 2}},
			warns: []string{"no file names", "0, 127, 255 and no others"},
		},
		"three levels, named": {
			list: "a\nb\nc", values: [][]uint8{{0, 128}, {255}}, classes: []string{"a", "b", "c"}, ids: []int64{0, 128, 255}, masks: [][]uint8{{0, 1}, {2}},
			warns: []string{"0, 128, 255 and no others: they were taken as the classes a, b, c"},
		},
		"gaps, unnamed": {
			values: [][]uint8{{0, 7, 255}, {9, 0}}, classes: []string{"0", "7", "9"}, ids: []int64{0, 7, 9}, masks: [][]uint8{{0, 1, 255}, {2, 0}},
			warns: []string{"no file names"},
		},
		"the classes of a model": {
			opt: []string{"bg", "x", "y"}, values: [][]uint8{{0, 2, 255}}, classes: []string{"bg", "x", "y"}, ids: []int64{0, 1, 2}, masks: [][]uint8{{0, 2, 255}},
		},
		"the classes of a model, binary": {
			opt: []string{"bg", "x"}, values: [][]uint8{{0, 255}}, classes: []string{"bg", "x"}, ids: []int64{0, 255}, masks: [][]uint8{{0, 1}},
			warns: []string{"taken as the classes bg, x"},
		},
		"the values of a model": {
			opt: []string{"0", "7", "255"}, values: [][]uint8{{0, 7, 255}}, classes: []string{"0", "7", "255"}, ids: []int64{0, 7, 255}, masks: [][]uint8{{0, 1, 2}},
		},
		"the classes of a model in another order": {
			list: "bg\nx\ny", opt: []string{"y", "more", "bg"}, values: [][]uint8{{0, 2, 255}}, classes: []string{"y", "more", "bg"}, ids: []int64{2, -1, 0}, masks: [][]uint8{{2, 0, 255}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			if c.list != "" {
				tr.write("classes.txt", c.list)
			}
			pairs := map[string][]uint8{}
			for i, v := range c.values {
				pairs[fmt.Sprint(i)] = v
			}
			s := tr.pairs(pairs).open(datasets.Options{Classes: c.opt})
			if !slices.Equal(s.Classes, c.classes) || !slices.Equal(s.CategoryIDs, c.ids) {
				t.Errorf("%v %v", s.Classes, s.CategoryIDs)
			}
			for i, want := range c.masks {
				if got := first(t, s, fmt.Sprintf("%d.jpg", i), len(want)); !slices.Equal(got, want) {
					t.Errorf("mask %d: %v, want %v", i, got, want)
				}
			}
			warned(t, s.Dataset, c.warns...)
		})
	}
}

func TestClassesOfAModel(t *testing.T) {
	tr := newTree(t).write("classes.txt", "bg\nx\ny\n").pairs(map[string][]uint8{"a": {0, 1, 2}, "b": {0, 1}})
	_, err := Open(tr.root, datasets.Options{Classes: []string{"bg", "y"}})
	if err == nil || !strings.Contains(err.Error(), "1 of the classes are not in the list of classes (bg, y): x") {
		t.Error(err)
	}
	// A class that occurs nowhere need not be known, and is none later.
	tr = newTree(t).write("classes.txt", "bg\nx\ny\n").pairs(map[string][]uint8{"a": {0, 2}})
	s := tr.open(datasets.Options{Classes: []string{"bg", "y"}})
	if got := first(t, s, "a.jpg", 2); !slices.Equal(got, []uint8{0, 1}) || !slices.Equal(s.Samples[0].Labels, []int{0, 1}) {
		t.Error(got)
	}
	tr.grey("masks/a.png", 0, 1, 2)
	if _, err := s.ReadMask(s.Samples[0]); err == nil || !strings.Contains(err.Error(), "the value 1 at (1, 0) is no class: there are 0, 2") {
		t.Error(err)
	}
}

// Values in between tell masks that were resized.
func TestTooManyValues(t *testing.T) {
	var v []uint8
	for i := range 24 {
		v = append(v, uint8(10*i))
	}
	more := make([]uint8, 24)
	for i := range more {
		more[i] = uint8(10*i + 5)
	}
	last := make([]uint8, 24)
	for i := range last {
		last[i] = uint8(10*i + 7)
	}
	tr := newTree(t).pairs(map[string][]uint8{"a": v, "b": more, "c": last})
	_, err := Open(tr.root, datasets.Options{})
	if err == nil || !strings.Contains(err.Error(), "the masks hold 72 values (0, 5, 7, ") || !strings.Contains(err.Error(), "…, 237) and no file names the classes") {
		t.Error(err)
	}
	// Colours alone, and nobody names them.
	tr = newTree(t).image("images/a.jpg").colours("masks/a.png", red, blue)
	if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), "add a colors.txt") {
		t.Error(err)
	}
	// Nothing but ignored pixels.
	tr = newTree(t).pairs(map[string][]uint8{"a": {255}})
	if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), "no value but 255, which means ignored") {
		t.Error(err)
	}
	tr = newTree(t).pairs(map[string][]uint8{"a": {0, 0, 255}, "b": {0}, "c": {3, 255}})
	warned(t, tr.open(datasets.Options{}).Dataset, "no file names")
	tr = newTree(t).pairs(map[string][]uint8{"a": {3, 255}})
	warned(t, tr.open(datasets.Options{}).Dataset, "no file names", "one class, 3: there is nothing")
}

// Sixteen bits hold more values than a byte; the classes are few.
func TestWideValues(t *testing.T) {
	im := image.NewGray16(image.Rect(0, 0, testW, testH))
	for i := range testW * testH {
		im.SetGray16(i%testW, i/testW, color.Gray16{Y: uint16(1000 * (i % 3))})
	}
	tr := newTree(t).image("images/a.jpg").png("masks/a.png", im)
	s := tr.open(datasets.Options{})
	if got := first(t, s, "a.jpg", 3); !slices.Equal(got, []uint8{0, 1, 2}) || !slices.Equal(s.CategoryIDs, []int64{0, 1000, 2000}) {
		t.Error(got, s.CategoryIDs)
	}
	for i := range testW * testH {
		im.SetGray16(i%testW, i/testW, color.Gray16{Y: uint16(65535 * (i % 2))})
	}
	s = tr.png("masks/a.png", im).open(datasets.Options{})
	if got := first(t, s, "a.jpg", 3); !slices.Equal(got, []uint8{0, 1, 0}) || s.Classes[1] != "65535" {
		t.Error(got, s.Classes)
	}
}
