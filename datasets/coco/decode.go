package coco

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// file is what an annotation file says, as compact as it can be kept.
type file struct {
	images      []image
	annotations []annotation
	categories  []category
}

type image struct {
	id   int64
	name string
	w, h float64
}

type annotation struct {
	image, category int64
	object          vision.Object
	// flaw is what is wrong with the segmentation, "" when nothing is.
	flaw string
}

type category struct {
	id   int64
	name string
}

// decode reads an annotation file element by element, so that its text need not
// fit into memory. Errors name the byte; elements that say nothing usable become
// problems, with the name of the file.
func decode(r io.Reader, name string, problems *datasets.Problems) (*file, error) {
	in := newLenient(r)
	d := &decoder{in: in, json: json.NewDecoder(in), file: &file{}, name: name, problems: problems}
	if err := d.top(); err != nil {
		return nil, err
	}
	return d.file, nil
}

type decoder struct {
	in   *lenient
	json *json.Decoder
	file *file

	name     string
	problems *datasets.Problems

	// The element that is being read; its memory is used again.
	image struct {
		ID, Width, Height json.RawMessage
		FileName          json.RawMessage `json:"file_name"`
	}
	annotation struct {
		ID, Bbox, Area, Iscrowd, Segmentation json.RawMessage

		Image    json.RawMessage `json:"image_id"`
		Category json.RawMessage `json:"category_id"`
	}
	category struct{ ID, Name json.RawMessage }
}

// fail says where the JSON broke.
func (d *decoder) fail(err error) error {
	at := d.json.InputOffset()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if d.in.n == 0 {
			return errors.New("byte 0: the file is empty")
		}
		return fmt.Errorf("byte %d: the file ends in the middle: copy it again", d.in.n)
	}
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return fmt.Errorf("byte %d: %w", at, err)
	}
	// The decoder counts only some of the bytes: ask again from here on.
	if rest, e := io.ReadAll(io.LimitReader(d.json.Buffered(), 1<<28)); e == nil {
		var again *json.SyntaxError
		if errors.As(json.Unmarshal(rest, new(json.RawMessage)), &again) && again.Error() == syntax.Error() {
			at += max(again.Offset-1, 0)
		}
	}
	return fmt.Errorf("byte %d: the JSON is malformed: %w", at, syntax)
}

// top reads the outermost object.
func (d *decoder) top() error {
	t, err := d.json.Token()
	if err != nil {
		return d.fail(err)
	}
	if t != json.Delim('{') {
		return errors.New("it is not an object with images, annotations and categories; a list of results is no annotation file")
	}
	found := map[string]bool{}
	for d.json.More() {
		key, err := d.json.Token()
		if err != nil {
			return d.fail(err)
		}
		var read func() error
		switch key {
		case "images":
			read = d.readImage
		case "annotations":
			read = d.readAnnotation
		case "categories":
			read = d.readCategory
		default:
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		found[key.(string)] = true
		if err := d.list(key.(string), read); err != nil {
			return err
		}
	}
	if _, err := d.json.Token(); err != nil {
		return d.fail(err)
	}
	if _, err := d.json.Token(); err == nil {
		return fmt.Errorf("byte %d: there is more behind the end of the object", d.json.InputOffset())
	} else if !errors.Is(err, io.EOF) {
		return d.fail(err)
	}
	if !found["images"] {
		return errors.New(`it has no "images": is it a COCO annotation file?`)
	}
	return nil
}

// skip passes over a value without keeping it.
func (d *decoder) skip() error {
	for depth := 0; ; {
		t, err := d.json.Token()
		if err != nil {
			return d.fail(err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// list reads an array element by element.
func (d *decoder) list(key string, read func() error) error {
	t, err := d.json.Token()
	if err != nil {
		return d.fail(err)
	}
	if t == nil {
		return nil
	}
	if t != json.Delim('[') {
		return fmt.Errorf("byte %d: %s is not a list", d.json.InputOffset(), key)
	}
	for i := 0; d.json.More(); i++ {
		err := read()
		var kind *json.UnmarshalTypeError
		switch {
		case errors.As(err, &kind):
			d.bad(datasets.Kind{Name: key + "-unreadable", Action: datasets.ActionSkipped, Text: key + " left out, not readable"},
				datasets.Problem{What: fmt.Sprintf("%s[%d] is a %s", key, i, kind.Value)})
		case err != nil:
			return d.fail(err)
		}
	}
	if _, err := d.json.Token(); err != nil {
		return d.fail(err)
	}
	return nil
}

// bad notes a problem of the file, whose image and annotation are known by their
// ids alone.
func (d *decoder) bad(k datasets.Kind, at datasets.Problem) {
	d.problems.Add(k, func() datasets.Problem {
		at.Source, at.Place = d.name, d.name
		if at.Image != nil {
			at.Place += fmt.Sprintf(": image %d", *at.Image)
		}
		for _, id := range at.Annotations {
			at.Place += fmt.Sprintf(": annotation %d", id)
		}
		return at
	})
}

func clearAll(list ...*json.RawMessage) {
	for _, m := range list {
		*m = (*m)[:0]
	}
}

// text is a JSON string; a number is its digits.
func text(raw []byte) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return strings.TrimSpace(s)
	}
	if _, ok := number(raw); ok {
		return string(raw)
	}
	return ""
}

func (d *decoder) readImage() error {
	e := &d.image
	clearAll(&e.ID, &e.Width, &e.Height, &e.FileName)
	if err := d.json.Decode(e); err != nil {
		return err
	}
	id, ok := integer(e.ID)
	name := text(e.FileName)
	if !ok || name == "" {
		what := "id"
		if ok {
			what = "file_name"
		}
		d.bad(kindImage, datasets.Problem{What: fmt.Sprintf("images[%d] (id %s): no %s", len(d.file.images), short(e.ID), what)})
		return nil
	}
	d.file.images = append(d.file.images, image{id, name, side(e.Width), side(e.Height)})
	return nil
}

// side is a width or height: 0 when there is none, −1 when it is no number.
func side(raw []byte) float64 {
	if len(raw) == 0 || string(raw) == "null" {
		return 0
	}
	if v, ok := number(raw); ok {
		return v
	}
	return -1
}

func (d *decoder) readCategory() error {
	e := &d.category
	clearAll(&e.ID, &e.Name)
	if err := d.json.Decode(e); err != nil {
		return err
	}
	id, ok := integer(e.ID)
	if !ok {
		d.bad(kindCategory, datasets.Problem{What: fmt.Sprintf("category %s: id %s", short(e.Name), short(e.ID))})
		return nil
	}
	d.file.categories = append(d.file.categories, category{id, text(e.Name)})
	return nil
}

func (d *decoder) readAnnotation() error {
	e := &d.annotation
	clearAll(&e.ID, &e.Image, &e.Category, &e.Bbox, &e.Area, &e.Iscrowd, &e.Segmentation)
	if err := d.json.Decode(e); err != nil {
		return err
	}
	var a annotation
	id, ok := integer(e.ID)
	if !ok {
		id = int64(len(d.file.annotations)) + 1
	}
	a.object.ID = id
	var okImage, okCategory bool
	if a.image, okImage = integer(e.Image); !okImage {
		d.bad(kindNoImage, datasets.Problem{Annotations: []int64{id}, What: "image_id " + short(e.Image)})
		return nil
	}
	if a.category, okCategory = integer(e.Category); !okCategory {
		d.bad(kindNoCategory, datasets.Problem{Image: new(a.image), Annotations: []int64{id}, What: "category_id " + short(e.Category)})
		return nil
	}
	o := &a.object
	if crowd := string(e.Iscrowd); crowd == "1" || crowd == "true" || crowd == `"1"` || crowd == "1.0" {
		o.Crowd = true
	}
	if v, ok := number(e.Area); ok {
		o.Area = v
	}
	var err error
	if o.Polygons, o.RLE, err = segmentation(e.Segmentation); err != nil {
		a.flaw = err.Error()
	}
	if o.Box, ok = box(e.Bbox); !ok {
		if o.Box, ok = outline(o); !ok || len(e.Bbox) > 0 && string(e.Bbox) != "null" && string(e.Bbox) != "[]" {
			d.bad(kindNoBox, datasets.Problem{Image: new(a.image), Annotations: []int64{id}, What: "bbox " + short(e.Bbox)})
			return nil
		}
	}
	d.file.annotations = append(d.file.annotations, a)
	return nil
}

// box reads [x, y, width, height]; false when there are not four values.
func box(raw []byte) (vision.Box, bool) {
	if len(raw) == 0 {
		return vision.Box{}, false
	}
	v, ok := numbers(raw)
	if !ok || len(v) != 4 {
		return vision.Box{}, false
	}
	return vision.XYWH(v[0], v[1], v[2], v[3]), true
}

// outline is the box around a segmentation.
func outline(o *vision.Object) (vision.Box, bool) {
	if o.RLE != nil {
		b, err := mask.ToBox(*o.RLE)
		return b, err == nil && b.Area() > 0
	}
	b, ok := datasets.Bounds(o.Polygons)
	return b, ok && !math.IsNaN(b.X1+b.Y1+b.X2+b.Y2)
}
