package coco

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/datasets"
)

func TestLayouts(t *testing.T) {
	one := func(id int, file string) string {
		return document(fmt.Sprintf(`{"id":%d,"file_name":%q}`, id, file), fmt.Sprintf(`{"id":1,"image_id":%d,"category_id":5,"bbox":[1,2,3,4]}`, id), someCats)
	}
	const bare = "classes without an object: 1 of 2: cat"
	for name, c := range map[string]struct {
		files, images []string // a file: name=the image it lists
		open          string
		want          string
		warn          []string
	}{
		"ours":                {files: []string{"instances_train.json=1.png", "instances_val.json=1.png", "instances_test.json=1.png"}, images: []string{"train/images/1.png", "val/images/1.png", "test/images/1.png"}, want: "train/images/1.png val/images/1.png test/images/1.png"},
		"COCO":                {files: []string{"annotations/instances_train2017.json=1.png", "annotations/instances_val2017.json=1.png", "annotations/captions_val2017.json=1.png", "annotations/person_keypoints_val2017.json=1.png"}, images: []string{"train2017/1.png", "val2017/1.png"}, want: "train2017/1.png val2017/1.png"},
		"COCO, one folder":    {files: []string{"annotations/instances_train.json=1.png", "annotations/instances_val.json=2.png"}, images: []string{"images/1.png", "images/2.png"}, want: "images/1.png images/2.png"},
		"COCO, images/split":  {files: []string{"annotations/instances_train2017.json=1.png", "annotations/instances_val2017.json=1.png"}, images: []string{"images/train2017/1.png", "images/val2017/1.png"}, want: "images/train2017/1.png images/val2017/1.png"},
		"COCO, file":          {files: []string{"annotations/instances_val2017.json=1.png"}, images: []string{"train2017/1.png", "val2017/1.png"}, open: "annotations/instances_val2017.json", want: "val2017/1.png"},
		"Roboflow":            {files: []string{"train/_annotations.coco.json=1.png", "valid/_annotations.coco.json=1.png", "test/_annotations.coco.json=1.png"}, images: []string{"train/1.png", "valid/1.png", "test/1.png"}, want: "train/1.png valid/1.png test/1.png"},
		"one file":            {files: []string{"trainval.json=1.png"}, images: []string{"images/1.png"}, want: "images/1.png"},
		"its name has folder": {files: []string{"x.json=images/sub/1.png"}, images: []string{"images/sub/1.png", "images/1.png"}, want: "images/sub/1.png"},
		"backslashes":         {files: []string{"x.json=..\\images\\sub\\1.png"}, images: []string{"images/sub/1.png"}, want: "images/sub/1.png"},
		"elsewhere":           {files: []string{"x.json=/data/old/1.png"}, images: []string{"pictures/deep/1.png"}, want: "pictures/deep/1.png"},
		"data.yaml":           {files: []string{"a.json=1.png", "b.json=2.png"}, images: []string{"pics/1.png", "pics/2.png"}, open: "data.yaml", want: "pics/1.png pics/2.png"},
		"others beside":       {files: []string{"train.json=1.png", "val.json=2.png", "all.json=1.png", "val_results.json=1.png"}, images: []string{"1.png", "2.png"}, want: "1.png 2.png", warn: []string{"not used: all.json"}},
		"train alone":         {files: []string{"train.json=1.png"}, images: []string{"1.png"}, want: "1.png", warn: []string{"there is no val split: 0 of 1 training images"}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.images(c.images...)
			for i, f := range c.files {
				n, im, _ := strings.Cut(f, "=")
				tr.write(n, one(i+1, im))
			}
			if c.open == "data.yaml" {
				tr.write("data.yaml", "path: .\ntrain: a.json\nval: b.json\nnames: {0: dog, 1: cat}\n")
			}
			tr.write("package.json", `{"name":"x","images":{"a":[]},"y":{"images":[]}}`)
			d := open(t, filepath.Join(tr.root, filepath.FromSlash(c.open)), datasets.Options{})
			var got []string
			for _, s := range d.Samples {
				got = append(got, s.Name)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
			warned(t, d, append(c.warn, bare)...)
			if names := []string{"cat", "dog"}; c.open != "data.yaml" && (!slices.Equal(d.Classes, names) || !slices.Equal(d.CategoryIDs, []int64{2, 5})) {
				t.Errorf("%v %v", d.Classes, d.CategoryIDs)
			} else if c.open == "data.yaml" && (d.Classes[0] != "dog" || !slices.Equal(d.CategoryIDs, []int64{5, 2}) || d.Samples[0].Objects[0].Class != 0) {
				t.Errorf("%v %v", d.Classes, d.CategoryIDs)
			}
		})
	}
}

func TestAmbiguousLayouts(t *testing.T) {
	tr := newTree(t)
	tr.images("1.png")
	doc := document(`{"id":1,"file_name":"1.png"}`, "", someCats)
	if Detects(tr.root) {
		t.Error("an image is a data set")
	}
	tr.write("x.json", doc)
	tr.write("y.json", doc)
	if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), "there are 2 annotation files, and their names tell no split: x.json, y.json") {
		t.Error(err)
	}
	tr.write("instances_train2014.json", doc)
	tr.write("instances_train2017.json", doc)
	if _, err := Open(tr.root, datasets.Options{}); err == nil || !strings.Contains(err.Error(), "there are 2 annotation files for the train split: instances_train2014.json, instances_train2017.json: keep one") {
		t.Error(err)
	}
	for path, want := range map[string]string{"absent": "no such file", "x.json": "no classes"} {
		if path == "x.json" {
			tr.write(path, `{"images":[{"id":1,"file_name":"1.png"}]}`)
		}
		if _, err := Open(filepath.Join(tr.root, path), datasets.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestClassesOverFilesAndGiven(t *testing.T) {
	tr := newTree(t)
	tr.images("a.png", "b.png")
	tr.write("train.json", document(twoImages, goodBox, someCats))
	tr.write("val.json", document(twoImages, `{"id":1,"image_id":7,"category_id":1,"bbox":[1,2,3,4]},{"id":2,"image_id":9,"category_id":3,"bbox":[1,2,3,4]}`, `{"id":1,"name":"dog"},{"id":3,"name":"owl"}`))
	d := open(t, tr.root, datasets.Options{})
	if !slices.Equal(d.Classes, []string{"cat", "owl", "dog"}) || !slices.Equal(d.CategoryIDs, []int64{2, 3, 5}) {
		t.Errorf("%v %v", d.Classes, d.CategoryIDs)
	}
	if o := d.Split("val")[0].Objects[0]; o.Class != 2 {
		t.Errorf("%+v", o)
	}
	warned(t, d, "classes with two category ids", "leakage: 2 images in two splits: a.png = a.png, b.png = b.png", "val has no image of cat", "cannot be learnt: owl (1)")
	d = open(t, tr.root, datasets.Options{Classes: []string{"wolf", "owl", "dog", "cat"}})
	if !slices.Equal(d.CategoryIDs, []int64{-1, 3, 5, 2}) || !slices.Equal(d.Samples[0].Labels, []int{2}) {
		t.Errorf("%v %+v", d.CategoryIDs, d.Samples[0])
	}
	if _, err := Open(tr.root, datasets.Options{Classes: []string{"dog", "cat"}}); err == nil || !strings.Contains(err.Error(), "1 of the classes are not in the list of classes (dog, cat): owl") {
		t.Error(err)
	}
	tr.write("bare.json", document(twoImages, goodBox, ""))
	d = open(t, filepath.Join(tr.root, "bare.json"), datasets.Options{Val: -1})
	warned(t, d, "bare.json has no categories: the classes are called by their numbers")
	if !slices.Equal(d.Classes, []string{"2", "5"}) {
		t.Errorf("%v", d.Classes)
	}
}

func TestAutomaticSplit(t *testing.T) {
	tr := newTree(t)
	var images, boxes []string
	for i := range 50 {
		n := fmt.Sprintf("%02d.png", i)
		tr.images("images/" + n)
		images = append(images, fmt.Sprintf(`{"id":%d,"file_name":%q}`, i, n))
		if i%10 != 9 { // every tenth is background
			boxes = append(boxes, fmt.Sprintf(`{"id":%d,"image_id":%d,"category_id":%d,"bbox":[1,1,2,2]}`, i, i, 2+i%2*3))
		}
	}
	tr.write("all.json", document(strings.Join(images, ","), strings.Join(boxes, ","), someCats))
	split := func(o datasets.Options) (string, []string) {
		d := open(t, tr.root, o)
		warned(t, d)
		var val []string
		for _, s := range d.Split("val") {
			val = append(val, s.Name)
		}
		return fmt.Sprint(len(d.Split("train")), len(val), len(d.Split("test"))), val
	}
	n, a := split(datasets.Options{Seed: 1})
	_, again := split(datasets.Options{Seed: 1})
	_, other := split(datasets.Options{Seed: 2})
	if n != "40 10 0" || !slices.Equal(a, again) || slices.Equal(a, other) {
		t.Errorf("%s %v %v %v", n, a, again, other)
	}
	if n, _ := split(datasets.Options{Val: .1, Test: .3}); n != "30 5 15" {
		t.Error(n)
	}
	if n, _ := split(datasets.Options{Fraction: .5}); !strings.HasSuffix(n, " 10 0") || n > "22" {
		t.Error(n)
	}
}
