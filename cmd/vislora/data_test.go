package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// checked is the JSON of data check, as far as tests look at it.
type checked struct {
	Task, Format string
	Also         []string
	Classes      []string
	Splits       map[string][]int
	Images       map[string]int
	Boxes        *struct {
		Objects  map[string][]int
		Empty    map[string]int                 `json:"images_without_objects"`
		PerImage struct{ Min, Median, Max int } `json:"per_image"`
		Areas    struct{ Small, Medium, Large int }
		Relative []struct{ Count int } `json:"relative_size"`
		Input    struct {
			ImgSz  int
			Size   []struct{ Count int }
			Below1 int `json:"below_1_pixel"`
			Below2 int `json:"below_2_pixels"`
		}
		Outlined int            `json:"with_outline"`
		Boxed    int            `json:"with_box_for_outline"`
		Crowds   int            `json:"crowds"`
		Unused   []string       `json:"unused_classes"`
		Rare     map[string]int `json:"rare_classes"`
		Images   []string       `json:"empty_images"`
	}
	Pixels *struct {
		Pixels  map[string][]int64
		Ignored map[string]int64
		Rare    map[string]float64 `json:"rare_classes"`
	}
	Warnings []string
	Problems []struct {
		Kind, Action, File, What string
		Source                   string  `json:"annotation_file"`
		Image                    *int64  `json:"image_id"`
		IDs                      []int64 `json:"annotation_ids"`
	}
	Counts map[string]int `json:"problem_counts"`
	Doubts []struct {
		Kind, File, Split string
		Image             int64 `json:"image_id"`
		Objects           []int64
		Classes           []string
		Boxes             [][4]float64
		Value             float64
	}
	Copies []struct {
		Files  [2]string
		Same   string
		Leak   bool
		Differ string
	}
	Skipped  []struct{ Name, Reason string }
	Pictures []string
}

func check(t *testing.T, args ...string) (c checked) {
	t.Helper()
	r := must(t, append([]string{"data", "check", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(r.out), &c); err != nil {
		t.Fatalf("%v\n%s", err, r.out)
	}
	return c
}

// labelled writes a COCO data set: images of 64×64 by name and split, numbered
// from 1 over all splits, and annotations as JSON, numbered from 1 in each file.
// Without an image_id they are those of the first image.
type labelled struct {
	split       string
	images      []string
	annotations []string
}

func cocoSet(t *testing.T, parts ...labelled) string {
	t.Helper()
	root := t.TempDir()
	id := 0
	for _, p := range parts {
		var images, annotations []string
		for _, n := range p.images {
			id++
			images = append(images, fmt.Sprintf(`{"id": %d, "file_name": %q, "width": 64, "height": 64}`, id, n))
			write(t, filepath.Join(root, p.split, n), encoded(t, picture(0, id), ".png"))
		}
		for i, a := range p.annotations {
			if !strings.Contains(a, "image_id") {
				a = fmt.Sprintf(`"image_id": %d, %s`, id-len(p.images)+1, a)
			}
			annotations = append(annotations, fmt.Sprintf(`{"id": %d, %s}`, i+1, a))
		}
		write(t, filepath.Join(root, "instances_"+p.split+".json"), []byte(`{"images": [`+strings.Join(images, ",\n")+`],
			"annotations": [`+strings.Join(annotations, ",\n")+`],
			"categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 7, "name": "yak"}]}`))
	}
	return root
}

// brokenPNG has a whole structure and pixels that do not unpack.
func brokenPNG() []byte {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	for _, c := range []struct{ kind, data string }{{"IHDR", "\x00\x00\x00\x40\x00\x00\x00\x40\x08\x02\x00\x00\x00"}, {"IDAT", "these are no pixels"}, {"IEND", ""}} {
		_ = binary.Write(&b, binary.BigEndian, uint32(len(c.data)))
		b.WriteString(c.kind + c.data)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE([]byte(c.kind+c.data)))
	}
	return b.Bytes()
}

// saved is the same picture in another file.
func saved(t *testing.T, im image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, im); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCheckBoxes: what is in a data set with boxes is counted, and what is
// doubtful is named with its file and id, in words, numbers and pictures.
func TestCheckBoxes(t *testing.T) {
	data := cocoSet(t,
		labelled{"train", []string{"a.png", "b.png", "c.png"}, []string{
			`"category_id": 1, "bbox": [2, 2, 30, 30]`,
			`"category_id": 1, "bbox": [2, 2, 30.5, 30]`, // once more
			`"category_id": 3, "bbox": [34, 34, 20, 20]`,
			`"category_id": 1, "bbox": [34, 34, 20, 20]`, // another class
			`"category_id": 1, "bbox": [40, 2, 3, 20]`,
			`"category_id": 1, "bbox": [2, 60, 60, 4.5]`, // cut to 4
			`"image_id": 2, "category_id": 1, "bbox": [0, 0, 64, 64]`,
			`"image_id": 2, "category_id": 3, "bbox": [20, 20, 40, 40], "segmentation": [[20, 20, 40, 20, 40, 38]]`, // a corner taken for a size
			`"image_id": 2, "category_id": 3, "bbox": [4, 4, 10, 10], "segmentation": [[4, 4, 14, 4, 14, 14, 4, 14]]`,
			`"image_id": 2, "category_id": 3, "bbox": [4, 4, 50, 50], "iscrowd": 1`,
		}},
		labelled{"val", []string{"d.png", "e.png"}, []string{`"category_id": 3, "bbox": [2, 2, 20, 20]`}},
	)
	write(t, filepath.Join(data, "val", "e.png"), saved(t, picture(0, 3))) // c.png
	out := filepath.Join(t.TempDir(), "check")
	c := check(t, data, "--imgsz", "16", "--out", out)
	if c.Task != "detect" || c.Format != "COCO" || !slices.Equal(c.Classes, []string{"cat", "dog", "yak"}) || c.Images["train"] != 3 || c.Images["val"] != 2 {
		t.Errorf("it was taken for %s, %s, with %v and %v", c.Task, c.Format, c.Classes, c.Images)
	}
	b := c.Boxes
	if !slices.Equal(b.Objects["train"], []int{6, 3, 0}) || !slices.Equal(b.Objects["val"], []int{0, 1, 0}) || !slices.Equal(c.Splits["train"], []int{2, 2, 0}) {
		t.Errorf("objects %v, images %v", b.Objects, c.Splits)
	}
	if b.Empty["train"] != 1 || b.Empty["val"] != 1 || !slices.Equal(b.Images, []string{"train/c.png", "val/e.png"}) {
		t.Errorf("without an object: %v %v", b.Empty, b.Images)
	}
	if b.Crowds != 1 || b.Outlined != 1 || b.Boxed != 1 || !slices.Equal(b.Unused, []string{"yak"}) || len(b.Rare) != 2 || b.Rare["cat"] != 6 || b.Rare["dog"] != 3 {
		t.Errorf("%+v", b)
	}
	if b.Areas.Small != 9 || b.Areas.Medium != 1 || b.Areas.Large != 0 || b.PerImage.Min != 0 || b.PerImage.Median != 1 || b.PerImage.Max != 6 {
		t.Errorf("areas %+v, per image %+v", b.Areas, b.PerImage)
	}
	// At 16 pixels everything has a quarter of its size: the box of 3 and the one
	// cut to 4 pixels are 0.75 and 1 wide.
	if in := b.Input; in.ImgSz != 16 || in.Below1 != 1 || in.Below2 != 2 {
		t.Errorf("input %+v", in)
	}
	var doubts []string
	for _, d := range c.Doubts {
		doubts = append(doubts, fmt.Sprintf("%s %s %d %v %v", d.Kind, d.File, d.Image, d.Objects, d.Classes))
		if d.Split != "train" || len(d.Boxes) != len(d.Objects) || !(d.Value > 0) {
			t.Errorf("%+v", d)
		}
	}
	slices.Sort(doubts)
	want := []string{"conflict train/a.png 1 [3 4] [dog cat]", "duplicate train/a.png 1 [1 2] [cat cat]", "long train/a.png 1 [6] [cat]", "loose train/b.png 2 [8] [dog]", "tiny train/a.png 1 [5] [cat]", "whole train/b.png 2 [7] [cat]"}
	if !slices.Equal(doubts, want) {
		t.Errorf("doubts\n%s\nwant\n%s", strings.Join(doubts, "\n"), strings.Join(want, "\n"))
	}
	if len(c.Copies) != 1 || c.Copies[0].Files != [2]string{"train/c.png", "val/e.png"} || c.Copies[0].Same != "pixels" || !c.Copies[0].Leak {
		t.Errorf("copies %+v", c.Copies)
	}
	for _, p := range []string{"labels.png", "samples.jpg", "doubts.jpg", "augmentation.jpg"} {
		if st, err := os.Stat(filepath.Join(out, p)); err != nil || st.Size() < 1000 || !slices.Contains(c.Pictures, filepath.Join(out, p)) {
			t.Errorf("%s: %v %v", p, c.Pictures, err)
		}
	}
	r := must(t, "data", "check", data, "--imgsz", "16")
	r.says(t, 0, "boxes (COCO), 3 classes, 3 train, 2 val", "cat", "no object", "objects per image: 0 – 6 (median 1, mean 2.0), 1 of 11 with an outline, 1 crowd not counted", "9 small",
		"in pixels of an input of 16×16", "classes without an object: 1 of 3: yak", "leakage: 1 image in two splits as another file with the same pixels: train/c.png = val/e.png",
		"two boxes of one class at the same place, delete one: 1: train/a.png: image 1: boxes 1 and 2 (cat, twice, overlap 0.98)", "image 1: boxes 3 and 4 (dog, cat, two classes, overlap 1.00)",
		"box 8 (dog, box and outline, overlap 0.23)", "as large as their image: 1: train/b.png: image 2: box 7", "more than 10 times as long as wide: 1: train/a.png: image 1: box 6 (cat, 15.0 times", "box 5 (cat, shorter side 3)",
		"images without an object, taken as background: 2 of 5: train/c.png, val/e.png", "fewer than 10 objects to learn from: 2 of 3: cat (6), dog (3)", "no more than the box, not to learn masks from: 1 of 2", "2 pixels wide or high in an input of 16×16: 2, 1 of them less than 1")
	if strings.Contains(r.out, "--task") || strings.Contains(r.out, " \n") {
		t.Errorf("other labels, or blanks at the ends of lines:\n%s", r.out)
	}
	must(t, "data", "check", data, "--task", "instance").says(t, 0, "instances (COCO)")
}

// TestCheckBrokenBoxes: what cannot be used is left out, counted and named with
// its file and id.
func TestCheckBrokenBoxes(t *testing.T) {
	data := cocoSet(t, labelled{"train", []string{"a.png", "b.png", "cut.png", "pixels.png", "gone.png"}, []string{
		`"category_id": 1, "bbox": [2, 2, 30, 30]`,
		`"image_id": 99, "category_id": 1, "bbox": [2, 2, 30, 30]`,
		`"category_id": 5, "bbox": [2, 2, 30, 30]`,
		`"category_id": 1, "bbox": [NaN, 2, 30, 30]`,
		`"category_id": 1, "bbox": [2, 2, -5, 30]`,
		`"category_id": 1, "bbox": [2, 2, 30, 1e300]`,
		`"category_id": 1, "bbox": [200, 200, 30, 30]`,
		`"category_id": 1, "bbox": [2, 2]`,
		`"category_id": 1, "bbox": "large"`,
		`"category_id": 3, "bbox": [2, 2, 90, 30]`,
		`"image_id": 4, "category_id": 3, "bbox": [2, 2, 30, 30]`,
	}}, labelled{"val", []string{"d.png"}, []string{`"category_id": 3, "bbox": [2, 2, 20, 20]`}})
	whole := encoded(t, picture(0, 3), ".png")
	write(t, filepath.Join(data, "train", "cut.png"), whole[:len(whole)/2])
	write(t, filepath.Join(data, "train", "pixels.png"), brokenPNG())
	if err := os.Remove(filepath.Join(data, "train", "gone.png")); err != nil {
		t.Fatal(err)
	}
	words := []string{"instances_train.json: image 99: box 2", "instances_train.json: image 1: box 3: category 5", "image 1: box 4", "image 1: box 5: width -5 is not positive", "image 1: box 6",
		"image 1: box 7", "outside the image of 64×64", "image 1: annotation 8", "image 1: annotation 9", "image 1: box 10", "stands out of 64×64", "cut.png", "gone.png"}
	vislora(t, "data", "check", data).says(t, 0, append(words, "cannot be decoded, not counted here: 1 of 4 images: train/pixels.png", "2 train, 1 val")...)
	// A quick check does not see what is behind the headers, also not when it draws.
	out := t.TempDir()
	r := vislora(t, "data", "check", data, "--quick", "--out", out)
	r.says(t, 0, append(words, "3 train, 1 val", "not drawn: read image", "pixels.png", "samples.jpg")...)
	c := check(t, data)
	if len(c.Skipped) != 3 || c.Boxes.Objects["train"][0] != 1 || c.Boxes.Objects["train"][1] != 1 {
		t.Errorf("skipped %+v, objects %+v", c.Skipped, c.Boxes.Objects)
	}
	var got []string
	for _, p := range c.Problems {
		id := "-"
		if p.Image != nil {
			id = fmt.Sprint(*p.Image)
		}
		if got = append(got, fmt.Sprintf("%s %s %s %s %v", p.Kind, p.Action, p.File, id, p.IDs)); p.What == "" {
			t.Errorf("%+v does not say what it is", p)
		}
	}
	want := []string{
		"annotation-without-box skipped  1 [8]", "annotation-without-box skipped  1 [9]",
		"annotation-of-unknown-image skipped  99 [2]", "annotation-of-unknown-category skipped train/a.png 1 [3]",
		"box-impossible skipped train/a.png 1 [4]", "box-empty skipped train/a.png 1 [5]", "box-impossible skipped train/a.png 1 [6]",
		"box-outside-image skipped train/a.png 1 [7]", "box-clipped clipped train/a.png 1 [10]",
		"file-unusable skipped gone.png - []", "file-unusable skipped train/cut.png - []", "file-unusable skipped train/pixels.png - []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("problems\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if c.Counts["box-impossible"] != 2 || c.Counts["file-unusable"] != 3 || len(c.Counts) != 8 {
		t.Errorf("counts %v", c.Counts)
	}
}

// TestCheckListsAll: words name the first few of a kind, JSON has every one, also
// of an image whose id is 0.
func TestCheckListsAll(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a.png"), encoded(t, picture(0, 1), ".png"))
	var list []string
	for i := range 12 {
		list = append(list, fmt.Sprintf(`{"id": %d, "image_id": 0, "category_id": 9, "bbox": [%d, 2, 70, 30]}`, i, i))
	}
	write(t, filepath.Join(root, "train.json"), []byte(`{"images": [{"id": 0, "file_name": "a.png"}], "annotations": [`+strings.Join(list, ",")+`], "categories": [{"id": 9, "name": "cat"}]}`))
	vislora(t, "data", "check", root).says(t, 0, "boxes cut at the border of their image: 12: ", "train.json: image 0: box 4", "and 7 more", "problems in all")
	c := check(t, root)
	n := 0
	for _, p := range c.Problems {
		if p.Kind != "box-clipped" {
			continue
		}
		if p.Image == nil || *p.Image != 0 || p.Source != "train.json" || p.File != "a.png" || len(p.IDs) != 1 || p.IDs[0] != int64(n) {
			t.Errorf("%+v", p)
		}
		n++
	}
	if n != 12 || c.Counts["box-clipped"] != 12 || c.Counts["duplicate"] == 0 {
		t.Errorf("%d are listed, counts %v", n, c.Counts)
	}
}

// TestCheckFails: files without which there is no data set are errors that tell
// the file and the place.
func TestCheckFails(t *testing.T) {
	part := labelled{"train", []string{"a.png"}, []string{`"category_id": 1, "bbox": [2, 2, 30, 30]`}}
	file := func(dir string) string { return filepath.Join(dir, "instances_train.json") }
	change := func(to func([]byte) []byte) string {
		dir := cocoSet(t, part)
		b, err := os.ReadFile(file(dir))
		if err != nil {
			t.Fatal(err)
		}
		write(t, file(dir), to(b))
		return dir
	}
	truncated := change(func(b []byte) []byte { return b[:len(b)/2] })
	// The masks of this one cannot be used; its folders are no classes.
	unmasked := t.TempDir()
	for _, split := range []string{"train", "val"} {
		write(t, filepath.Join(unmasked, split, "a.jpg"), encoded(t, picture(0, 1), ".jpg"))
		write(t, filepath.Join(unmasked, split, "a_mask.png"), encoded(t, picture(0, 1), ".png"))
	}
	undecodable := cocoSet(t, part)
	write(t, filepath.Join(undecodable, "train", "a.png"), brokenPNG())
	text := filepath.Join(t.TempDir(), "notes.txt")
	write(t, text, []byte("nothing"))
	for _, c := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"truncated", []string{truncated}, []string{"instances_train.json", "byte", "ends in the middle"}},
		{"truncated, the file itself", []string{file(truncated)}, []string{"instances_train.json", "ends in the middle"}},
		{"malformed", []string{change(func(b []byte) []byte { return bytes.Replace(b, []byte(`"bbox":`), []byte(`bbox:`), 1) })}, []string{"instances_train.json", "byte", "malformed"}},
		{"empty", []string{change(func([]byte) []byte { return nil })}, []string{"instances_train.json", "empty"}},
		{"results", []string{change(func([]byte) []byte { return []byte(`[{"image_id": 1}]`) })}, []string{"instances_train.json", "results"}},
		{"no image left", []string{undecodable}, []string{"none of the 1 images can be decoded", "train/a.png"}},
		{"absent", []string{filepath.Join(undecodable, "nowhere")}, []string{"read data", "nowhere", "no such file"}},
		{"no data at all", []string{text}, []string{"notes.txt", "no data set", ".json"}},
		{"an empty folder", []string{t.TempDir()}, []string{"no class folders"}},
		{"pictures for masks", []string{unmasked}, []string{"none of the 2 images can be used", "a_mask.png"}},
		{"no boxes", []string{photos(t), "--task", "detect"}, []string{"no boxes found", "COCO"}},
		{"no masks", []string{photos(t), "--task", "segment"}, []string{"no masks found"}},
		{"masks of boxes", []string{cocoSet(t, part), "--task", "segment"}, []string{"no object has an outline"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			vislora(t, append([]string{"data", "check"}, c.args...)...).says(t, 1, c.words...)
		})
	}
	for _, c := range []struct{ args, word string }{{"--task find", "classify, detect, segment or instance"}, {"--imgsz -3", "imgsz is -3"}, {"--workers -1", "workers is -1"}} {
		vislora(t, append([]string{"data", "check", text}, strings.Fields(c.args)...)...).says(t, 2, c.word)
	}
}

// TestCheckSmall: a single image, and images without any object, are data sets.
func TestCheckSmall(t *testing.T) {
	one := cocoSet(t, labelled{"train", []string{"a.png"}, []string{`"category_id": 1, "bbox": [2, 2, 30, 30]`}})
	out := t.TempDir()
	must(t, "data", "check", one, "--out", out, "--imgsz", "64").says(t, 0, "1 train", "objects per image: 1 – 1")
	none := cocoSet(t, labelled{"train", []string{"a.png", "b.png"}, nil})
	write(t, filepath.Join(out, "doubts.jpg"), []byte("of an older check"))
	r := must(t, "data", "check", none, "--out", out, "--imgsz", "64")
	r.says(t, 0, "objects per image: 0 – 0", "classes without an object: 3 of 3", "images without an object, taken as background: 2 of 2")
	if _, err := os.Stat(filepath.Join(out, "doubts.jpg")); err == nil {
		t.Error("the doubts of an older check are left")
	}
}

// TestCheckFormats: what a path is is found out.
func TestCheckFormats(t *testing.T) {
	yolo := t.TempDir()
	write(t, filepath.Join(yolo, "data.yaml"), []byte("train: images/train\nval: images/val\nnames: [cat, dog]\n"))
	for i, split := range []string{"train", "val"} {
		write(t, filepath.Join(yolo, "images", split, "a.png"), encoded(t, picture(0, i), ".png"))
	}
	write(t, filepath.Join(yolo, "labels", "train", "a.txt"), []byte("0 0.5 0.5 0.2 0.2\n0 .5 .5 .2 .201\n7 .5 .5 .1 .1\n1 .5 .5 nan .1\n"))
	c := check(t, yolo)
	if c.Task != "detect" || c.Format != "YOLO" || c.Boxes.Objects["train"][0] != 2 || len(c.Doubts) != 1 {
		t.Errorf("%+v", c)
	}
	must(t, "data", "check", filepath.Join(yolo, "data.yaml")).says(t, 0, "boxes (YOLO)", "labels/train/a.txt: line 3", "labels/train/a.txt: line 4", "images/train/a.png: lines 1 and 2 (cat, twice",
		"images without a label file", "images/val/a.png")

	voc := t.TempDir()
	write(t, filepath.Join(voc, "JPEGImages", "a.png"), encoded(t, picture(0, 1), ".png"))
	write(t, filepath.Join(voc, "JPEGImages", "b.png"), encoded(t, picture(0, 2), ".png"))
	object := func(box string) string { return "<object><name>cat</name><bndbox>" + box + "</bndbox></object>" }
	write(t, filepath.Join(voc, "Annotations", "a.xml"), []byte("<annotation>"+object("<xmin>1</xmin><ymin>1</ymin><xmax>64</xmax><ymax>64</ymax>")+object("<xmin>1</xmin>")+"</annotation>"))
	write(t, filepath.Join(voc, "Annotations", "b.xml"), []byte("<annotation><object>"))
	must(t, "data", "check", voc).says(t, 0, "boxes (Pascal VOC)", "JPEGImages/a.png: object 1 (cat, 100.0 % of the image)", "Annotations/a.xml: object 2", "Annotations/b.xml", "byte")

	// Masks, with a table of classes beside.
	masked := t.TempDir()
	write(t, filepath.Join(masked, "classes.txt"), []byte("0 background\n1 cell\n"))
	write(t, filepath.Join(masked, "labels.csv"), []byte("file,class\ntrain/images/a.png,x\ntrain/images/b.png,y\n"))
	for i, n := range []string{"a.png", "b.png", "c.png", "d.png"} {
		m := image.NewGray(image.Rect(0, 0, 64, 64))
		for p := range m.Pix {
			if n == "a.png" && p%64 < 16 { // b is background alone
				m.Pix[p] = 1
			} else if n == "a.png" && p%64 == 63 {
				m.Pix[p] = 255
			}
		}
		if n == "c.png" {
			m.SetGray(3, 4, color.Gray{9})
		}
		write(t, filepath.Join(masked, "train", "images", n), encoded(t, picture(0, i), ".png"))
		if n == "d.png" {
			m = image.NewGray(image.Rect(0, 0, 32, 64))
		}
		write(t, filepath.Join(masked, "train", "masks", n), encoded(t, m, ".png"))
	}
	out := t.TempDir()
	c = check(t, masked, "--out", out)
	if c.Task != "segment" || c.Format != "masks" || !slices.Equal(c.Also, []string{"classify"}) || len(c.Pictures) != 3 || len(c.Skipped) != 2 {
		t.Errorf("%+v", c)
	}
	total := map[int]int64{}
	for split, counts := range c.Pixels.Pixels {
		total[0], total[1], total[2] = total[0]+counts[0], total[1]+counts[1], total[2]+c.Pixels.Ignored[split]
	}
	if total[1] != 16*64 || total[2] != 64 || total[0] != 64*64*2-17*64 {
		t.Errorf("pixels %v", total)
	}
	r := must(t, "data", "check", masked)
	r.says(t, 0, "masks, 2 classes", "cell", "ignored", "there are labels for --task classify too", "masks of one class alone: 1: train/images/b.png (background, nothing else)",
		"train/images/c.png", "the value 9 at (3, 4)", "train/images/d.png", "32×64")
	must(t, "data", "check", masked, "--task", "classify").says(t, 0, "table, 2 classes", "x", "y")

	// Photographs of one name are no masks.
	pairs := t.TempDir()
	for i, class := range []string{"green", "red"} {
		for k, n := range []string{"1.jpg", "1.png", "2.png", "3.png"} {
			write(t, filepath.Join(pairs, class, n), encoded(t, picture(i, 10*i+k), filepath.Ext(n)))
		}
	}
	must(t, "data", "check", pairs).says(t, 0, "image folder, 2 classes")
	// Annotations that are none leave a folder of images, and that is said.
	odd := t.TempDir()
	write(t, filepath.Join(odd, "images", "a.png"), encoded(t, picture(0, 1), ".png"))
	write(t, filepath.Join(odd, "train.json"), []byte("{]"))
	must(t, "data", "check", odd).says(t, 0, "taken for class folders: images", "train.json")
	// The classification check is what it was, and sees equal pixels.
	data := photos(t)
	write(t, filepath.Join(data, "val", "red", "again.png"), saved(t, picture(0, 0)))
	out = t.TempDir()
	c = check(t, data, "--out", out)
	if c.Task != "classify" || c.Splits["train"][0] != 5 || len(c.Pictures) != 3 || len(c.Copies) != 1 || c.Copies[0].Same != "pixels" || !c.Copies[0].Leak {
		t.Errorf("%+v", c)
	}
}

// TestValSaveJSON: the file of a finished evaluation takes the place of the last
// one, also through a link, and a device is written to.
func TestValSaveJSON(t *testing.T) {
	tr := trainOnce(t)
	dir := t.TempDir()
	file, link := filepath.Join(dir, "metrics.json"), filepath.Join(dir, "link.json")
	write(t, file, []byte("old"))
	if err := os.Symlink(file, link); err != nil {
		t.Skip(err)
	}
	must(t, "val", "--weights", tr.dir, "--data", tr.data, "--save-json", link)
	b, err := os.ReadFile(file)
	if err != nil || !json.Valid(b) {
		t.Errorf("%v: %s", err, b)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became a file: %v", err)
	}
	must(t, "val", "--weights", tr.dir, "--data", tr.data, "--save-json", os.DevNull)
	if st, err := os.Stat(os.DevNull); err != nil || st.Mode().IsRegular() {
		t.Fatalf("the device became a file: %v", err)
	}
	if left := leftovers(t, dir); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
	vislora(t, "val", "--weights", tr.dir, "--data", tr.data, "--save-json", filepath.Join(dir, "no", "m.json")).says(t, 1, "no")
}
