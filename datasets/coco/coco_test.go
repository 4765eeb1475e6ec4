package coco

import (
	"encoding/json"
	"fmt"
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

// tree writes files below a folder.
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

// images writes different pictures of 20×10.
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
	for i, s := range d.Samples {
		if s.Index != i || s.Label != -1 {
			t.Fatalf("sample %d has index %d and label %d", i, s.Index, s.Label)
		}
	}
	return d
}

// counts is "train 3 images 5 objects; …".
func counts(d *datasets.Dataset) string {
	var out []string
	for _, s := range d.Splits() {
		n := 0
		for _, x := range d.Split(s) {
			n += len(x.Objects)
		}
		out = append(out, fmt.Sprintf("%s %d/%d", s, len(d.Split(s)), n))
	}
	return strings.Join(out, " ")
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

const (
	twoImages = `{"id":7,"file_name":"a.png","width":20,"height":10},{"id":9,"file_name":"b.png","width":20,"height":10}`
	someCats  = `{"id":5,"name":"dog"},{"id":2,"name":"cat"}`
	goodBox   = `{"id":1,"image_id":7,"category_id":5,"bbox":[1,2,3,4]},{"id":2,"image_id":9,"category_id":2,"bbox":[0,0,20,10]}`
)

// document is an annotation file; annotations come first, as when keys are
// sorted.
func document(images, annotations, categories string) string {
	return fmt.Sprintf(`{"annotations":[%s],"categories":[%s],"images":[%s],"info":{"a":[1,{"b":null}]}}`, annotations, categories, images)
}

func TestAnnotationsInTheWild(t *testing.T) {
	ann := func(fields string) string { return goodBox + `,{"id":3,"image_id":7,"category_id":5,` + fields + `}` }
	square := `"bbox":[1,1,4,4],`
	for name, c := range map[string]struct {
		images, annotations, categories string
		warn                            string // "" when nothing is wrong
		objects                         int
		check                           func(o vision.Object) bool // of the last object in a.png
	}{
		"good":         {objects: 2, check: func(o vision.Object) bool { return o.Class == 1 && o.Area == 12 && !o.Crowd && o.ID == 1 }},
		"negative":     {annotations: ann(`"bbox":[10,2,-5,4]`), objects: 2, warn: "boxes left out, without width or height: 1: train.json: image 7: box 3: width -5 is not positive"},
		"flat":         {annotations: ann(`"bbox":[10,2,5,0]`), objects: 2, warn: "box 3: height 0 is not positive"},
		"thin":         {annotations: ann(`"bbox":[10,2,5,0.001]`), objects: 2, warn: "height 0.001 is below 0.01 pixels"},
		"NaN":          {annotations: ann(`"bbox":[NaN,2,5,4],"area":NaN`), objects: 2, warn: "boxes left out, not possible: 1: train.json: image 7: box 3"},
		"infinite":     {annotations: ann(`"bbox":[1,-Infinity,5,Infinity]`), objects: 2, warn: "boxes left out, not possible"},
		"huge":         {annotations: ann(`"bbox":[0,0,1e300,5]`), objects: 2, warn: "boxes left out, not possible"},
		"out of range": {annotations: ann(`"bbox":[0,0,1e999,5]`), objects: 2, warn: "boxes left out, not possible"},
		"null in box":  {annotations: ann(`"bbox":[0,null,1,5]`), objects: 2, warn: "boxes left out, not possible"},
		"overhanging": {annotations: ann(`"bbox":[-3,-1,40,5]`), objects: 3, warn: "boxes cut at the border of their image: 1: train.json: image 7: box 3: (-3, -1)–(37, 4) stands out of 20×10",
			check: func(o vision.Object) bool { return o.Box == vision.XYWH(0, 0, 20, 4) && o.Area == 80 }},
		"rounding":        {annotations: ann(`"bbox":[15,5,5.01,5]`), objects: 3, check: func(o vision.Object) bool { return o.Box.X2 == 20 }},
		"outside":         {annotations: ann(`"bbox":[21,2,5,5]`), objects: 2, warn: "boxes left out, outside their image"},
		"three numbers":   {annotations: ann(`"bbox":[21,2,5]`), objects: 2, warn: "annotations left out, without a box: 1: train.json: image 7: annotation 3: bbox [21,2,5]"},
		"nested box":      {annotations: ann(`"bbox":[[1,2],[5,7]]`), objects: 2, warn: "without a box"},
		"no box":          {annotations: ann(`"caption":"a cat"`), objects: 2, warn: "without a box"},
		"text as numbers": {annotations: ann(`"bbox":["1","2","3.5","4"],"iscrowd":"1","area":"3"`), objects: 3, check: func(o vision.Object) bool { return o.Box.X2 == 4.5 && o.Crowd && o.Area == 3 }},
		"box of polygon": {annotations: ann(`"segmentation":[[1,1,5,1,5,4],[6,2,8,2,8,9]]`), objects: 3,
			check: func(o vision.Object) bool { return o.Box == vision.XYWH(1, 1, 7, 8) && o.Area == 6+7 }},
		"box of RLE": {annotations: ann(`"iscrowd":1,"segmentation":{"size":[10,20],"counts":[12,3,7,4,174]}`), objects: 3,
			check: func(o vision.Object) bool {
				return o.Box == vision.XYWH(1, 2, 2, 4) && o.Area == 7 && o.Crowd && len(o.RLE.Counts) == 5
			}},
		"unknown image":    {annotations: goodBox + `,{"id":3,"image_id":8,"category_id":5,"bbox":[1,2,3,4]}`, objects: 2, warn: "their image is not in the list of images: 1: train.json: image 8: box 3"},
		"unknown category": {annotations: goodBox + `,{"id":3,"image_id":7,"category_id":6,"bbox":[1,2,3,4]}`, objects: 2, warn: "their category is not in the list of categories: 1: train.json: image 7: box 3: category 6"},
		"no image id":      {annotations: goodBox + `,{"id":3,"category_id":5,"bbox":[1,2,3,4]}`, objects: 2, warn: "annotations left out, without an image: 1: train.json: annotation 3: image_id (none)"},
		"a word as id":     {annotations: goodBox + `,{"id":"x","image_id":7.0,"category_id":"5","bbox":[1,2,3,4]}`, objects: 3},
		"twice":            {annotations: goodBox + `,{"id":1,"image_id":7,"category_id":5,"bbox":[1,2,3,4]}`, objects: 2, warn: "annotations left out, they are there twice: 1: train.json: image 7: box 1"},
		"id again":         {annotations: goodBox + `,{"id":1,"image_id":7,"category_id":5,"bbox":[2,2,3,4]}`, objects: 3, warn: "annotations with the id of another one, both are kept"},
		"no object":        {annotations: goodBox + `,null,5,"x",[1]`, objects: 2, warn: "annotations left out, not readable: 3: train.json: annotations[3] is a number", images: twoImages, categories: someCats},
		"short polygon": {annotations: ann(square + `"segmentation":[[1,1,5,1],[1,1,5,1,5,5]]`), objects: 3, warn: "polygons left out, fewer than 3 points or half a point: 1: train.json: image 7: box 3: polygon of 4 numbers",
			check: func(o vision.Object) bool { return len(o.Polygons) == 1 && o.Area == 8 }},
		"half a point": {annotations: ann(square + `"segmentation":[[1,1,5,1,5,5,1]]`), objects: 3, warn: "polygon of 7 numbers", check: func(o vision.Object) bool { return o.Polygons == nil && o.Area == 16 }},
		"polygon of NaN": {annotations: ann(square + `"segmentation":[[1,1,5,NaN,5,5]]`), objects: 3, warn: "polygons left out, not possible",
			check: func(o vision.Object) bool { return o.Polygons == nil }},
		"flat polygon":  {annotations: ann(square + `"segmentation":[1,1,5,1,5,5]`), objects: 3, check: func(o vision.Object) bool { return len(o.Polygons) == 1 }},
		"empty polygon": {annotations: ann(square + `"segmentation":[]`), objects: 3, check: func(o vision.Object) bool { return o.Polygons == nil }},
		"deep polygon":  {annotations: ann(square + `"segmentation":[[[1,1],[5,1],[5,5]]]`), objects: 3, warn: "masks left out, not readable: 1: train.json: image 7: box 3: the segmentation is neither"},
		"short RLE": {annotations: ann(square + `"segmentation":{"size":[10,20],"counts":[12,3]}`), objects: 3, warn: "masks left out, runs that do not fill the image: 1: train.json: image 7: box 3: the runs have 15 pixels, the image 200",
			check: func(o vision.Object) bool { return o.RLE == nil && o.Area == 16 }},
		"turned RLE":   {annotations: ann(square + `"segmentation":{"size":[20,10],"counts":[200]}`), objects: 3, warn: "masks left out, of another size"},
		"negative RLE": {annotations: ann(square + `"segmentation":{"size":[10,20],"counts":[-1,201]}`), objects: 3, warn: "RLE: count 0 is -1"},
		"giant RLE":    {annotations: ann(square + `"segmentation":{"size":[1e9,1e9],"counts":[4000000000]}`), objects: 3, warn: "is not [height, width]"},
		"damaged RLE":  {annotations: ann(square + `"segmentation":{"size":[10,20],"counts":"\u0001zz"}`), objects: 3, warn: "mask RLE string: character"},
		"compressed RLE": {annotations: ann(square + `"segmentation":{"size":[10,20],"counts":"<3k0OQ4"}`), objects: 3,
			check: func(o vision.Object) bool { return slices.Equal(o.RLE.Counts, []uint32{12, 3, 27, 2, 156}) }},
		"image without a name": {images: twoImages + `,{"id":11}`, objects: 2, warn: "images left out, without id or file name: 1: train.json: images[2] (id 11): no file_name"},
		"image id twice":       {images: twoImages + `,{"id":7,"file_name":"b.png"}`, objects: 2, warn: "images with the id of another one, left out: 1: train.json: image 7 is a.png and b.png"},
		"file twice": {images: twoImages + `,{"id":12,"file_name":"a.png"}`, annotations: goodBox + `,{"id":3,"image_id":12,"category_id":5,"bbox":[2,2,3,4]}`,
			objects: 3, warn: "files listed twice, taken as one image: 1: train.json: images 7 and 12 are a.png"},
		"no size":              {images: `{"id":7,"file_name":"a.png"},{"id":9,"file_name":"b.png","width":null}`, objects: 2},
		"negative size":        {images: `{"id":7,"file_name":"a.png","width":-20,"height":10},{"id":9,"file_name":"b.png"}`, objects: 2, warn: "impossible sizes of images, those of the files were used: 1: train.json: a.png: -20×10"},
		"NaN size":             {images: `{"id":7,"file_name":"a.png","width":NaN,"height":10},{"id":9,"file_name":"b.png"}`, objects: 2, warn: "impossible sizes"},
		"huge size":            {images: `{"id":7,"file_name":"a.png","width":1e30,"height":10},{"id":9,"file_name":"b.png"}`, objects: 2, warn: "impossible sizes"},
		"category twice":       {categories: someCats + `,{"id":5,"name":"wolf"}`, objects: 2, warn: "categories twice, the first counts: 1: train.json: category 5 is dog and wolf"},
		"category by name":     {categories: someCats + `,{"id":8,"name":"dog"}`, annotations: ann(`"bbox":[1,1,1,1]`), objects: 3, warn: "classes with two category ids, taken as one by their name: 1: train.json: dog is 5 and 8"},
		"category without id":  {categories: someCats + `,{"name":"wolf"}`, objects: 2, warn: `categories left out, without id: 1: train.json: category "wolf"`},
		"class without object": {categories: someCats + `,{"id":1,"name":"wolf"}`, objects: 2, warn: "classes without an object: 1 of 3: wolf"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.images("a.png", "b.png")
			if c.images == "" {
				c.images = twoImages
			}
			if c.annotations == "" {
				c.annotations = goodBox
			}
			if c.categories == "" {
				c.categories = someCats
			}
			tr.write("train.json", document(c.images, c.annotations, c.categories))
			d := open(t, filepath.Join(tr.root, "train.json"), datasets.Options{Val: -1})
			if name == "no object" { // null has no ids
				if len(d.Warnings) != 2 {
					t.Errorf("%q", d.Warnings)
				}
				d.Warnings = slices.DeleteFunc(d.Warnings, func(s string) bool { return strings.Contains(s, "without an image") })
			}
			if c.warn != "" {
				warned(t, d, c.warn)
			} else {
				warned(t, d)
			}
			if got := counts(d); got != fmt.Sprintf("train 2/%d", c.objects) {
				t.Errorf("%s", got)
			}
			if s := d.Samples[0]; s.ImageID != 7 || s.W != 20 {
				t.Errorf("%+v", s)
			} else if c.check != nil && !c.check(s.Objects[len(s.Objects)-1]) {
				t.Errorf("%+v", s.Objects[len(s.Objects)-1])
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	good := document(twoImages, goodBox, someCats)
	for name, c := range map[string]struct{ text, want string }{
		"empty":      {"", "byte 0: the file is empty"},
		"truncated":  {good[:100], "byte 100: the file ends in the middle"},
		"in a key":   {good[:5], "byte 5: the file ends in the middle"},
		"no comma":   {`{"images":[{"id":1 "x":2}]}`, "byte 19: the JSON is malformed: invalid character '\"' after object key:value pair"},
		"later":      {`{"images":[{"id":1},  {"id":2},{"id":x}]}`, "byte 37: the JSON is malformed: invalid character 'x'"},
		"at the top": {`{"images":[] "categories":[]}`, "byte 13: the JSON is malformed"},
		"list":       {`[{"image_id":1}]`, "a list of results is no annotation file"},
		"map":        {`{"images":{"1":{}}}`, "images is not a list"},
		"none":       {`{"annotations":[]}`, `it has no "images"`},
		"twice":      {good + good, "there is more behind the end"},
		"text":       {"hello", "byte 0: the JSON is malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.images("a.png", "b.png")
			tr.write("x.json", c.text)
			p := filepath.Join(tr.root, "x.json")
			_, err := Open(p, datasets.Options{})
			if err == nil || !strings.HasPrefix(err.Error(), "read COCO annotations "+p+": ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestUnusable(t *testing.T) {
	tr := newTree(t)
	tr.images("b.png", "c.png")
	tr.write("broken.png", "no image")
	tr.write("a.json", document(`{"id":1,"file_name":"a.png"},{"id":2,"file_name":"broken.png"},{"id":3,"file_name":"b.png","width":10,"height":20},{"id":4,"file_name":"c.png","width":40,"height":20}`,
		`{"id":1,"image_id":1,"category_id":5,"bbox":[1,2,3,4]},{"id":2,"image_id":4,"category_id":5,"bbox":[10,2,10,8],"area":60,"segmentation":[[10,2,20,2,20,10]]}`, someCats))
	d := open(t, filepath.Join(tr.root, "a.json"), datasets.Options{})
	if len(d.Samples) != 1 || len(d.Skipped) != 3 {
		t.Fatalf("%d samples, skipped %v", len(d.Samples), d.Skipped)
	}
	warned(t, d, "not used: 3 of 4 files: a.png (a.json: image 1: there is no such file)", "classes without an object: 1 of 2: cat",
		"images with another size than annotated, the annotations were scaled: 1: a.json: c.png: 20×10, annotated for 40×20")
	if r := d.Skipped[1].Reason; r != "the file has 20×10 pixels, its annotations are for 10×20: turn or replace the image" {
		t.Error(r)
	}
	if o := d.Samples[0].Objects[0]; o.Box != vision.XYWH(5, 1, 5, 4) || o.Area != 15 || !slices.Equal(o.Polygons[0], []float64{5, 1, 10, 1, 10, 5}) {
		t.Errorf("%+v", o)
	}
	tr.write("none.json", document(`{"id":1,"file_name":"zzz.png"}`, "", someCats))
	if _, err := Open(filepath.Join(tr.root, "none.json"), datasets.Options{}); err == nil || !strings.Contains(err.Error(), "none of the 1 images can be used: zzz.png: none.json: image 1: there is no such file") {
		t.Error(err)
	}
}

func TestCompressedMasks(t *testing.T) {
	// Every mask that pycocotools wrote fills its image.
	data, err := os.ReadFile(testdata.Real(t, "coco_metrics_crosscheck", "instances_val2014_fakesegm100_results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var results []struct{ Segmentation json.RawMessage }
	if err := json.Unmarshal(data, &results); err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		_, m, err := segmentation(r.Segmentation)
		if err != nil {
			t.Fatalf("result %d: %v", i, err)
		}
		sum := 0
		for _, c := range m.Counts {
			sum += int(c)
		}
		if sum != m.H*m.W {
			t.Fatalf("result %d: %d pixels of %d×%d", i, sum, m.W, m.H)
		}
	}
	if len(results) != 734 {
		t.Errorf("%d results", len(results))
	}
}

func TestReal(t *testing.T) {
	for _, c := range []struct {
		path    string
		opt     datasets.Options
		want    string
		classes int
		// crowds, polygons, RLE of all splits
		crowds, polygons, rle int
		warnings              int
	}{
		{"bccd_coco", datasets.Options{}, "train 205/2805 val 87/1138 test 72/945", 3, 0, 4888, 0, 0},
		{"bccd_coco/instances_val.json", datasets.Options{}, "val 87/1138", 3, 0, 1138, 0, 0},
		{"nuts_coco_instances", datasets.Options{Val: -1}, "train 18/165", 3, 0, 165, 0, 0},
		{"coco_mini", datasets.Options{}, "train 25/181 val 27/174", 80, 3, 523, 6, 3},
	} {
		t.Run(c.path, func(t *testing.T) {
			d := open(t, testdata.Real(t, filepath.FromSlash(c.path)), c.opt)
			if got := counts(d); got != c.want || len(d.Classes) != c.classes || len(d.CategoryIDs) != c.classes {
				t.Errorf("%s, %d classes", got, len(d.Classes))
			}
			crowds, polygons, rle := 0, 0, 0
			for _, s := range d.Samples {
				for _, o := range s.Objects {
					if o.Crowd {
						crowds++
					}
					if o.RLE != nil {
						rle++
					}
					polygons += len(o.Polygons)
				}
			}
			if crowds != c.crowds || polygons != c.polygons || rle != c.rle {
				t.Errorf("%d crowds, %d polygons, %d RLE", crowds, polygons, rle)
			}
			if len(d.Warnings) != c.warnings || len(d.Skipped) != 0 {
				t.Errorf("%q %v", d.Warnings, d.Skipped)
			}
		})
	}
	d := open(t, testdata.Real(t, "bccd_coco"), datasets.Options{})
	if !slices.Equal(d.Classes, []string{"RBC", "WBC", "Platelets"}) || !slices.Equal(d.CategoryIDs, []int64{1, 2, 3}) {
		t.Errorf("%v %v", d.Classes, d.CategoryIDs)
	}
	per := make([]int, 3)
	for _, s := range d.Split("train") {
		for _, o := range s.Objects {
			per[o.Class]++
		}
	}
	if !slices.Equal(per, []int{2382, 214, 209}) {
		t.Errorf("train has %v", per)
	}
	s := d.Samples[0]
	if s.Name != "train/images/BloodImage_00001.jpg" || s.ImageID != 1 || s.Objects[0].Box != vision.XYWH(67, 314, 219, 166) || s.Objects[0].Class != 1 || s.Objects[0].Area != 36354 {
		t.Errorf("%s %d %+v", s.Name, s.ImageID, s.Objects[0])
	}

	// COCO's own annotations; the images are not there.
	f, err := os.Open(testdata.Real(t, "coco_metrics_crosscheck", "instances_val2014_100.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p datasets.Problems
	c, err := decode(f, "x", &p)
	if err != nil || len(c.images) != 100 || len(c.annotations) != 839 || len(c.categories) != 80 || p.Warnings() != nil {
		t.Fatalf("%v %q", err, p.Warnings())
	}
	n := 0
	for _, a := range c.annotations {
		if a.object.RLE != nil {
			n++
		}
	}
	if n != 9 {
		t.Errorf("%d masks are RLE", n)
	}
}
