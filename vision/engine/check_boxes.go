package engine

import (
	"math"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/report"
)

// fewBoxes is the number of training objects below which a class is rare.
const fewBoxes = 10

// BoxCheck is what is known about the objects of a data set. Crowds, which are
// regions of many, are counted apart and nowhere else.
type BoxCheck struct {
	// Objects are those of each class in a split; Empty are the images of a
	// split without any.
	Objects map[string][]int `json:"objects"`
	Empty   map[string]int   `json:"images_without_objects"`
	// Outlined objects have polygons or a mask; Boxed have a polygon that is the
	// box once more.
	Outlined int `json:"with_outline"`
	Boxed    int `json:"with_box_for_outline"`
	Crowds   int `json:"crowds"`

	// PerImage is how many objects the images have.
	PerImage BoxesPerImage `json:"per_image"`
	// Areas are COCO's small, medium and large, in pixels of the file.
	Areas BoxAreas `json:"areas"`
	// Relative counts boxes by the root of their share of the image's area.
	Relative []Bin     `json:"relative_size"`
	Input    *BoxInput `json:"input,omitempty"`

	// Unused are classes without an object, Rare those with few in the training
	// images (in all of them when there is no such split).
	Unused []string       `json:"unused_classes,omitempty"`
	Rare   map[string]int `json:"rare_classes,omitempty"`
	// EmptyImages are the images without an object.
	EmptyImages []string `json:"empty_images,omitempty"`
	// Crowded are the images with more objects than training takes.
	Crowded map[string]int `json:"crowded_images,omitempty"`
}

// BoxesPerImage is the distribution of objects over images.
type BoxesPerImage struct {
	Smallest int     `json:"min"`
	Median   int     `json:"median"`
	Mean     float64 `json:"mean"`
	Most     int     `json:"max"`
	Counts   []Bin   `json:"histogram"`
}

// BoxAreas counts objects as COCO does: small up to 32² pixels, large from 96²
// on.
type BoxAreas struct {
	Small  int `json:"small"`
	Medium int `json:"medium"`
	Large  int `json:"large"`
}

// BoxInput is what is left of the boxes in the network's input.
type BoxInput struct {
	ImgSz int `json:"imgsz"`
	// Pixels counts boxes by the root of their area.
	Pixels []Bin `json:"size"`
	// Below1 and Below2 are the boxes whose shorter side is less than one and two
	// pixels: nobody can see what is in them.
	Below1 int `json:"below_1_pixel"`
	Below2 int `json:"below_2_pixels"`
}

// Bin counts values from From on and below To; the last one has no To.
type Bin struct {
	From  float64 `json:"from"`
	To    float64 `json:"to,omitempty"`
	Count int     `json:"count"`
}

// The edges of the bins.
var (
	relativeEdges = []float64{0, .01, .02, .05, .1, .2, .3, .5, .7}
	pixelEdges    = []float64{0, 1, 2, 4, 8, 16, 32, 64, 128, 256}
	countEdges    = []float64{0, 1, 2, 5, 10, 20, 50, 100, 200}
)

func newBins(edges []float64) []Bin {
	out := make([]Bin, len(edges))
	for i, e := range edges {
		out[i].From = e
		if i+1 < len(edges) {
			out[i].To = edges[i+1]
		}
	}
	return out
}

// count adds a value, which is no lower than the first edge.
func count(bins []Bin, v float64) {
	i := len(bins) - 1
	for i > 0 && v < bins[i].From {
		i--
	}
	bins[i].Count++
}

// checkBoxes counts the objects of a data set, of pictures that are shown whole
// in a square of input×input pixels; 0 is not known yet.
func checkBoxes(d *datasets.Dataset, input int) *BoxCheck {
	out := &BoxCheck{Objects: map[string][]int{}, Empty: map[string]int{}, Relative: newBins(relativeEdges)}
	for _, s := range d.Splits() {
		out.Objects[s], out.Empty[s] = make([]int, len(d.Classes)), 0
	}
	if input > 0 {
		out.Input = &BoxInput{ImgSz: input, Pixels: newBins(pixelEdges)}
	}
	var numbers []int
	for i := range d.Samples {
		s := &d.Samples[i]
		n := 0
		for k := range s.Objects {
			o := &s.Objects[k]
			switch {
			case outlined(o):
				out.Outlined++
			case len(o.Polygons) > 0:
				out.Boxed++
			}
			if o.Crowd {
				out.Crowds++
				continue
			}
			n++
			out.Objects[s.Split][o.Class]++
			out.size(o, float64(s.W), float64(s.H))
		}
		for _, b := range report.LabelBoxes(s.Objects, s.W, s.H) {
			switch {
			case b.Area <= 32*32:
				out.Areas.Small++
			case b.Area < 96*96:
				out.Areas.Medium++
			default:
				out.Areas.Large++
			}
		}
		numbers = append(numbers, n)
		if n == 0 {
			out.Empty[s.Split]++
			out.EmptyImages = append(out.EmptyImages, s.Name)
		}
		if n > mostObjects {
			if out.Crowded == nil {
				out.Crowded = map[string]int{}
			}
			out.Crowded[s.Name] = n
		}
	}
	out.PerImage = perImage(numbers)
	out.rare(d)
	return out
}

// outlined tells an outline that says more than the box.
func outlined(o *vision.Object) bool {
	if o.RLE != nil || len(o.Polygons) > 1 {
		return true
	}
	near := func(v, a, b float64) bool { return math.Abs(v-a) < 1 || math.Abs(v-b) < 1 }
	for _, p := range o.Polygons {
		for i := 0; i+1 < len(p); i += 2 {
			if !near(p[i], o.Box.X1, o.Box.X2) || !near(p[i+1], o.Box.Y1, o.Box.Y2) {
				return true
			}
		}
	}
	return false
}

// size enters the sizes of a box in an image of w×h pixels.
func (c *BoxCheck) size(o *vision.Object, w, h float64) {
	count(c.Relative, math.Sqrt(o.Box.Area()/(w*h)))
	if c.Input == nil {
		return
	}
	scale := float64(c.Input.ImgSz) / math.Max(w, h)
	count(c.Input.Pixels, math.Sqrt(o.Box.Area())*scale)
	side := math.Min(o.Box.X2-o.Box.X1, o.Box.Y2-o.Box.Y1) * scale
	if side < 1 {
		c.Input.Below1++
	}
	if side < 2 {
		c.Input.Below2++
	}
}

func perImage(numbers []int) BoxesPerImage {
	out := BoxesPerImage{Counts: newBins(countEdges)}
	if len(numbers) == 0 {
		return out
	}
	slices.Sort(numbers)
	sum := 0
	for _, n := range numbers {
		sum += n
		count(out.Counts, float64(n))
	}
	out.Smallest, out.Median, out.Most = numbers[0], numbers[len(numbers)/2], numbers[len(numbers)-1]
	out.Mean = float64(sum) / float64(len(numbers))
	return out
}

// rare finds classes with few objects or none.
func (c *BoxCheck) rare(d *datasets.Dataset) {
	learnt := make([]int, len(d.Classes))
	all := make([]int, len(d.Classes))
	train := len(d.Split(datasets.Train)) > 0
	for split, counts := range c.Objects {
		for k, n := range counts {
			if all[k] += n; split == datasets.Train || !train {
				learnt[k] += n
			}
		}
	}
	for k, name := range d.Classes {
		switch {
		case all[k] == 0:
			c.Unused = append(c.Unused, name)
		case learnt[k] > 0 && learnt[k] < fewBoxes: // none at all is a warning already
			if c.Rare == nil {
				c.Rare = map[string]int{}
			}
			c.Rare[name] = learnt[k]
		}
	}
}

// CheckDoubt is an annotation that can be used, and that seldom is meant so.
type CheckDoubt struct {
	Kind  string `json:"kind"`
	File  string `json:"file"`
	Split string `json:"split"`
	// Image and Objects are the ids of a COCO file; in YOLO's files the objects are
	// lines, in Pascal VOC's they are counted from 1.
	Image   *int64       `json:"image_id,omitempty"`
	Objects []int64      `json:"objects,omitempty"`
	Names   []string     `json:"classes,omitempty"`
	Boxes   [][4]float64 `json:"boxes,omitempty"` // x, y, width, height
	Value   float64      `json:"value"`
}

// describeDoubts are the doubts as they are told.
func describeDoubts(d *datasets.Dataset, doubts []datasets.Doubt) []CheckDoubt {
	var out []CheckDoubt
	for _, x := range doubts {
		s := &d.Samples[x.Sample]
		c := CheckDoubt{Kind: x.Kind, File: s.Name, Split: s.Split, Value: x.Value}
		if d.ImageIDs {
			c.Image = new(s.ImageID)
		}
		for _, k := range x.Objects {
			o := &s.Objects[k]
			c.Objects, c.Names, c.Boxes = append(c.Objects, o.ID), append(c.Names, d.Classes[o.Class]), append(c.Boxes, o.Box.XYWH())
		}
		if x.Kind == doubtOneClass {
			for _, k := range s.Labels {
				c.Names = append(c.Names, d.Classes[k])
			}
		}
		out = append(out, c)
	}
	return out
}
