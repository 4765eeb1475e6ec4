package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/vislora/vislora/vision/mask"
)

// instances is a COCO annotation file. Ids count from 1.
type instances struct {
	about       string
	categories  []cocoCategory
	images      []cocoImage
	annotations []cocoAnnotation
}

type cocoImage struct {
	ID     int    `json:"id"`
	File   string `json:"file_name"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

type cocoCategory struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Above string `json:"supercategory"`
}

type cocoAnnotation struct {
	ID       int        `json:"id"`
	Image    int        `json:"image_id"`
	Category int        `json:"category_id"`
	Box      [4]float64 `json:"bbox"` // left, top, width, height
	Area     int        `json:"area"` // of the mask
	Crowd    int        `json:"iscrowd"`
	Mask     cocoMask   `json:"segmentation"`
}

// cocoMask is a mask as COCO's compressed run lengths.
type cocoMask struct {
	Size   [2]int `json:"size"` // height, width
	Counts string `json:"counts"`
}

func newInstances(s sceneSet) *instances {
	list := &instances{about: s.about}
	for i, name := range s.classes {
		list.categories = append(list.categories, cocoCategory{i + 1, name, s.name})
	}
	return list
}

// add enters a picture. A thing's box is the smallest around its mask.
func (l *instances) add(file string, sc *scene) error {
	size := sc.image.Bounds().Size()
	l.images = append(l.images, cocoImage{len(l.images) + 1, file, size.X, size.Y})
	for _, t := range sc.things {
		box, err := mask.ToBox(t.mask)
		if err != nil {
			return fmt.Errorf("enter %s: %w", file, err)
		}
		l.annotations = append(l.annotations, cocoAnnotation{
			ID: len(l.annotations) + 1, Image: len(l.images), Category: t.class + 1,
			Box: box.XYWH(), Area: mask.Area(t.mask),
			Mask: cocoMask{[2]int{t.mask.H, t.mask.W}, mask.Compress(t.mask.Counts)},
		})
	}
	return nil
}

// json is the file, one line for each image and annotation.
func (l *instances) json() ([]byte, error) {
	var out bytes.Buffer
	err := errors.Join(
		entry(&out, `{"info": `, map[string]string{"description": l.about, "version": "1.0"}),
		entry(&out, ",\n\"licenses\": [", map[string]any{"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}),
		list(&out, "],\n\"categories\": [", l.categories),
		list(&out, "],\n\"images\": [", l.images),
		list(&out, "],\n\"annotations\": [", l.annotations),
	)
	out.WriteString("]}\n")
	return out.Bytes(), err
}

// list writes the elements of a list, each on its line.
func list[T any](out *bytes.Buffer, before string, elements []T) error {
	out.WriteString(before)
	for i, v := range elements {
		if err := entry(out, []string{"\n", ",\n"}[min(i, 1)], v); err != nil {
			return err
		}
	}
	return nil
}

// entry writes a value. The characters of masks stay readable: < is not \u003c.
func entry(out *bytes.Buffer, before string, v any) error {
	out.WriteString(before)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write annotations: %w", err)
	}
	out.Truncate(out.Len() - 1) // the line break
	return nil
}
