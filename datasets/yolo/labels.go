package yolo

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
)

// mostClasses bounds the classes of files without a list of names.
const mostClasses = 10_000

// The kinds of problems with label files.
var (
	kindLine  = datasets.Kind{Name: "line-unreadable", Action: datasets.ActionSkipped, Text: "lines left out"}
	kindTwice = datasets.Kind{Name: "line-twice", Action: datasets.ActionSkipped, Text: "lines left out, they are there twice"}
	kindNone  = datasets.Kind{Name: "image-without-labels", Action: datasets.ActionKept, Text: "images without a label file, taken as background"}
)

// line is the place of a line, counted from 1.
func line(im *datasets.DraftImage, n int, what string) datasets.Problem {
	return datasets.Problem{Source: im.Source, File: im.Name, Annotations: []int64{int64(n)}, What: what, Place: fmt.Sprintf("%s: line %d", im.Source, n)}
}

// labelFile is where the labels of an image lie: the last folder called images
// becomes labels; without one they lie beside it.
func labelFile(image string) string {
	sep := string(filepath.Separator)
	p := swapExt(image)
	if i := strings.LastIndex(p, sep+"images"+sep); i >= 0 {
		p = p[:i] + sep + "labels" + sep + p[i+len(sep+"images"+sep):]
	}
	return p
}

// parse reads the lines of a label file: class cx cy w h, or class x y x y …,
// all in shares of the image. Lines that are neither are left out.
func (r *reader) parse(data []byte, im *datasets.DraftImage) []vision.Object {
	var out []vision.Object
	for i, text := range strings.Split(string(data), "\n") {
		fields := strings.Fields(text)
		if i == 0 && len(fields) > 0 {
			fields[0] = strings.TrimPrefix(fields[0], "\ufeff")
		}
		if len(fields) == 0 {
			continue
		}
		o, err := r.object(fields)
		if err != nil {
			r.draft.Problems.Add(kindLine, func() datasets.Problem { return line(im, i+1, err.Error()) })
			continue
		}
		if slices.ContainsFunc(out, func(p vision.Object) bool { return equal(&p, &o) }) {
			r.draft.Problems.Add(kindTwice, func() datasets.Problem { return line(im, i+1, "") })
			continue
		}
		o.ID = int64(i) + 1
		r.highest = max(r.highest, o.Class)
		out = append(out, o)
	}
	return out
}

func equal(a, b *vision.Object) bool {
	return a.Class == b.Class && a.Box == b.Box && slices.EqualFunc(a.Polygons, b.Polygons, slices.Equal[[]float64])
}

// object reads one line.
func (r *reader) object(fields []string) (vision.Object, error) {
	var o vision.Object
	v := make([]float64, len(fields))
	for i, f := range fields {
		x, err := strconv.ParseFloat(f, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return o, fmt.Errorf("%q is not a number", f)
		}
		v[i] = x
	}
	most := mostClasses
	if r.names != nil {
		most = len(r.names)
	}
	if v[0] != math.Trunc(v[0]) || v[0] < 0 || v[0] >= float64(most) {
		return o, fmt.Errorf("the class is %s: there are %d, from 0", fields[0], most)
	}
	o.Class = int(v[0])
	for i, x := range v[1:] {
		if x < -1 || x > 2 {
			return o, fmt.Errorf("%s is not a share of the image: divide pixels by its width and height", fields[i+1])
		}
	}
	v = v[1:]
	switch {
	case len(v) == 4:
		o.Box = vision.Box{X1: v[0] - v[2]/2, Y1: v[1] - v[3]/2, X2: v[0] + v[2]/2, Y2: v[1] + v[3]/2}
	case len(v) >= 6 && len(v)%2 == 0:
		o.Polygons = [][]float64{v}
		o.Box, _ = datasets.Bounds(o.Polygons)
	default:
		return o, fmt.Errorf("it has %d numbers: a box has 5, an outline 7, 9, 11, …", len(fields))
	}
	return o, nil
}
