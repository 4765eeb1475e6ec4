package voc

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
)

// The kinds of problems with annotation files.
var (
	kindNoSet        = datasets.Kind{Name: "annotation-in-no-set", Action: datasets.ActionSkipped, Text: "annotations not used, they are in no image set"}
	kindNoAnnotation = datasets.Kind{Name: "set-line-without-annotation", Action: datasets.ActionSkipped, Text: "lines of image sets without an annotation, left out"}
	kindObject       = datasets.Kind{Name: "object-unreadable", Action: datasets.ActionSkipped, Text: "objects left out"}
)

func isXML(name string) bool {
	return strings.EqualFold(filepath.Ext(name), ".xml") && !datasets.IsHidden(name)
}

func hasXML(dir string) bool {
	items, _ := os.ReadDir(dir)
	for _, it := range items {
		if isXML(it.Name()) {
			return true
		}
	}
	return false
}

// part reads the XML files of a folder.
func (r *reader) part(p part) error {
	items, err := os.ReadDir(p.xml)
	if err != nil {
		return fmt.Errorf("read data: %w", err)
	}
	sets, err := r.sets(p)
	if err != nil {
		return err
	}
	files := imagesOf(p.images)
	have := map[string]bool{}
	for _, it := range items {
		if !isXML(it.Name()) {
			continue
		}
		path := filepath.Join(p.xml, it.Name())
		stem := stemOf(it.Name())
		have[stem] = true
		in := []string{p.split}
		if sets != nil {
			if in = sets[stem]; len(in) == 0 {
				r.draft.Problems.Add(kindNoSet, func() datasets.Problem {
					return datasets.Problem{Source: r.name(path), Place: r.name(path)}
				})
				continue
			}
		}
		a, err := read(path)
		if err != nil {
			r.set.Skip(r.name(path), err.Error())
			continue
		}
		image := files[stem]
		if image == "" { // what the file says is often wrong
			image = files[stemOf(filepath.Base(filepath.FromSlash(strings.ReplaceAll(strings.TrimSpace(a.Filename), `\`, "/"))))]
		}
		if image == "" {
			r.set.Skip(r.name(path), "there is no image for it")
			continue
		}
		for _, split := range in {
			r.draft.Images = append(r.draft.Images, datasets.DraftImage{
				Path: image, Name: r.name(image), Split: split, Source: r.name(path),
				W: side(a.Width), H: side(a.Height), Objects: r.objects(a, r.name(path), r.name(image)),
			})
		}
	}
	for _, stem := range slices.Sorted(maps.Keys(sets)) {
		if !have[stem] {
			r.draft.Problems.Add(kindNoAnnotation, func() datasets.Problem {
				set := sets[stem][0] + ".txt"
				return datasets.Problem{Source: set, Place: set + ": " + stem}
			})
		}
	}
	return nil
}

// sets reads train.txt, val.txt and test.txt: the splits of each name. nil: all
// images belong to the part's own.
func (r *reader) sets(p part) (map[string][]string, error) {
	if p.sets == "" {
		return nil, nil
	}
	out := map[string][]string{}
	for _, split := range []string{datasets.Train, datasets.Val, datasets.Test} {
		data, err := os.ReadFile(filepath.Join(p.sets, split+".txt"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read data: %w", err)
		}
		for _, line := range strings.Split(string(data), "\n") {
			name := strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
			if name == "" {
				continue
			}
			if datasets.IsImage(name) || isXML(name) {
				name = stemOf(name)
			}
			if in := out[name]; len(in) == 0 || in[len(in)-1] != split {
				out[name] = append(in, split)
			}
		}
	}
	return out, nil
}

func stemOf(name string) string { return strings.TrimSuffix(name, filepath.Ext(name)) }

// imagesOf lists images by their names without extension; the first folder
// counts.
func imagesOf(dirs []string) map[string]string {
	out := map[string]string{}
	for _, dir := range dirs {
		items, _ := os.ReadDir(dir)
		for _, it := range items {
			if stem := stemOf(it.Name()); datasets.IsImage(it.Name()) && !datasets.IsHidden(it.Name()) && out[stem] == "" {
				out[stem] = filepath.Join(dir, it.Name())
			}
		}
	}
	return out
}

// annotation is what we read of an XML file. Numbers stay text, so that one
// that is none spoils its object alone.
type annotation struct {
	XMLName  xml.Name `xml:"annotation"`
	Filename string   `xml:"filename"`
	Width    string   `xml:"size>width"`
	Height   string   `xml:"size>height"`
	Objects  []struct {
		Name string  `xml:"name"`
		Box  *bndbox `xml:"bndbox"`
	} `xml:"object"`
}

type bndbox struct {
	XMin string `xml:"xmin"`
	YMin string `xml:"ymin"`
	XMax string `xml:"xmax"`
	YMax string `xml:"ymax"`
}

func read(path string) (*annotation, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return decode(f)
}

func decode(r io.Reader) (*annotation, error) {
	d := xml.NewDecoder(r)
	// Only names can hold what is not ASCII; they stay as they are.
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var a annotation
	if err := d.Decode(&a); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return nil, fmt.Errorf("byte %d: %w", d.InputOffset(), err)
	}
	return &a, nil
}

// side is a width or height, 0 when the file does not tell it.
func side(s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(v) {
		return 0
	}
	return v
}

// objects are the boxes of a file.
func (r *reader) objects(a *annotation, source, image string) []vision.Object {
	var out []vision.Object
	for i, x := range a.Objects {
		bad := func(reason string) {
			r.draft.Problems.Add(kindObject, func() datasets.Problem {
				return datasets.Problem{Source: source, File: image, Annotations: []int64{int64(i) + 1}, What: reason, Place: fmt.Sprintf("%s: object %d", source, i+1)}
			})
		}
		name := strings.TrimSpace(x.Name)
		if name == "" {
			bad("it has no name")
			continue
		}
		if x.Box == nil {
			bad("it has no bndbox")
			continue
		}
		var v [4]float64
		var wrong error
		for k, s := range []string{x.Box.XMin, x.Box.YMin, x.Box.XMax, x.Box.YMax} {
			n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
			if err != nil {
				wrong = fmt.Errorf("%q is not a number", s)
				break
			}
			v[k] = n
		}
		if wrong != nil {
			bad(wrong.Error())
			continue
		}
		out = append(out, vision.Object{
			Class: r.class(name), ID: int64(i) + 1,
			Box: vision.Box{X1: v[0] - 1, Y1: v[1] - 1, X2: v[2], Y2: v[3]},
		})
	}
	return out
}
