package report

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// Answer is an image with what is annotated in it and what was found.
type Answer struct {
	Name       string // of the file, for people
	Objects    []vision.Object
	Detections []vision.Detection
}

// mistake is a box that is wrong, or an object that was missed.
type mistake struct {
	image int
	box   vision.Box
	class int
	score float64 // 0: missed
	why   string
}

// foundAt is the overlap from which on a box is that of an object, nearAt that
// from which on it was meant to be.
const (
	foundAt = .5
	nearAt  = .1
)

// BoxMistakes draws the worst mistakes of a detector, at most n, for a [Sheet]:
// the false boxes that it was surest of and the largest objects that it missed,
// each with its surroundings. Boxes below the confidence do not count. open
// reads an image by its index.
func BoxMistakes(answers []Answer, classes []string, confidence float64, n int, open func(i int) (*vision.Image, error)) ([]Tile, error) {
	var wrong, missed []mistake
	for i, a := range answers {
		w, m := a.mistakes(i, classes, confidence)
		wrong, missed = append(wrong, w...), append(missed, m...)
	}
	slices.SortStableFunc(wrong, func(a, b mistake) int { return cmp.Compare(b.score, a.score) })
	slices.SortStableFunc(missed, func(a, b mistake) int { return cmp.Compare(b.box.Area(), a.box.Area()) })
	// Half of each; what one kind lacks the other may have.
	m := min(len(missed), max(n/2, n-len(wrong)))
	worst := append(slices.Clone(wrong[:min(len(wrong), n-m)]), missed[:m]...)
	var out []Tile
	for _, k := range worst {
		im, err := open(k.image)
		if err != nil {
			return nil, err
		}
		t := k.tile(im, answers[k.image], classes)
		if err := t.Shrink(); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// mistakes pairs boxes with objects of their class as COCO does, the surest
// first.
func (a *Answer) mistakes(image int, classes []string, confidence float64) (wrong, missed []mistake) {
	found := make([]bool, len(a.Objects))
	dets := slices.DeleteFunc(slices.Clone(a.Detections), func(d vision.Detection) bool { return d.Score < confidence })
	slices.SortStableFunc(dets, func(a, b vision.Detection) int { return cmp.Compare(b.Score, a.Score) })
	var rest []vision.Detection
	for _, d := range dets {
		best, at := foundAt, -1
		inCrowd := false
		for j, o := range a.Objects {
			v := mask.BoxIoU(d.Box, o.Box, o.Crowd)
			switch {
			case o.Class != d.Class:
			case o.Crowd:
				inCrowd = inCrowd || v >= foundAt
			case !found[j] && v >= best:
				best, at = v, j
			}
		}
		switch {
		case at >= 0:
			found[at] = true
		case !inCrowd:
			rest = append(rest, d)
		}
	}
	confused := make([]bool, len(a.Objects))
	for _, d := range rest {
		why := "nothing is annotated there"
		best, at := nearAt, -1
		for j, o := range a.Objects {
			if v := mask.BoxIoU(d.Box, o.Box, false); !o.Crowd && v >= best {
				best, at = v, j
			}
		}
		if at >= 0 {
			switch o := a.Objects[at]; {
			case o.Class == d.Class && found[at]:
				why = "found already"
			case o.Class == d.Class:
				why, confused[at] = fmt.Sprintf("misplaced, overlap %.2f", best), true
			case best >= foundAt:
				why = "is " + className(classes, o.Class)
				confused[at] = true
			}
		}
		wrong = append(wrong, mistake{image, d.Box, d.Class, d.Score, why})
	}
	for j, o := range a.Objects {
		if !found[j] && !confused[j] && !o.Crowd {
			missed = append(missed, mistake{image: image, box: o.Box, class: o.Class, why: "missed"})
		}
	}
	return wrong, missed
}

func className(classes []string, class int) string {
	if class >= 0 && class < len(classes) {
		return classes[class]
	}
	return fmt.Sprintf("class %d", class)
}

// tile cuts the mistake out, with as much around it.
func (k *mistake) tile(im *vision.Image, a Answer, classes []string) Tile {
	side := math.Max(2*math.Max(k.box.X2-k.box.X1, k.box.Y2-k.box.Y1), .15*float64(max(im.W, im.H)))
	x0, x1 := within((k.box.X1+k.box.X2)/2, side, im.W)
	y0, y1 := within((k.box.Y1+k.box.Y2)/2, side, im.H)
	cut := vision.NewImage(x1-x0, y1-y0)
	for y := range cut.H {
		copy(cut.Pix[3*y*cut.W:][:3*cut.W], im.Pix[3*((y0+y)*im.W+x0):])
	}
	place := func(b vision.Box) vision.Box {
		x, y := float64(x0), float64(y0)
		return vision.Box{X1: b.X1 - x, Y1: b.Y1 - y, X2: b.X2 - x, Y2: b.Y2 - y}
	}
	name := className(classes, k.class)
	t := Tile{Image: cut, Boxes: []cv.Box{{Box: place(k.box), Name: name, Score: k.score, Color: color.RGBA(red)}}}
	if k.score > 0 {
		t.Lines = []string{fmt.Sprintf("%s %.2f: %s", name, k.score, k.why), a.Name}
	} else {
		t.Lines = []string{k.why + ": " + name, a.Name}
	}
	for _, o := range a.Objects {
		if k.score == 0 && o.Box == k.box && o.Class == k.class {
			continue
		}
		t.Boxes = append(t.Boxes, cv.Box{Box: place(o.Box), Class: o.Class, Color: color.RGBA(green), Dashed: true})
	}
	return t
}

// within is a range of about side pixels around a middle, inside 0…n.
func within(middle, side float64, n int) (int, int) {
	low := int(math.Floor(min(max(middle-side/2, 0), math.Max(float64(n)-side, 0))))
	high := int(math.Ceil(min(float64(low)+side, float64(n))))
	low = min(max(low, 0), n-1)
	return low, max(high, low+1)
}
