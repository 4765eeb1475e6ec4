package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/plot"
)

// plate is a made-up picture of round things with what is known about them.
type plate struct {
	Answer
	image        *vision.Image
	truth, found cv.Mask
}

// plates are made-up pictures of s.images, with what a fair model finds.
func (s scene) plates(t *testing.T, seed uint64) []plate {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]plate, s.images)
	for i := range out {
		w, h := 320, 200+60*(i%3)
		p := plate{image: drawing(w, h, i), truth: cv.Mask{W: w, H: h, Pix: make([]uint8, w*h), Background: true}, found: cv.Mask{W: w, H: h, Pix: make([]uint8, w*h), Background: true}}
		p.Name = fmt.Sprintf("plate_%03d.jpg", i)
		for range 2 + rng.IntN(6) {
			class := min(rng.IntN(s.classes), rng.IntN(s.classes))
			r := 12 + 30*rng.Float64()
			x, y := r+rng.Float64()*(float64(w)-2*r), r+rng.Float64()*(float64(h)-2*r)
			m := disc(t, p.truth, x, y, r, class)
			p.Objects = append(p.Objects, vision.Object{Class: class, Box: vision.Box{X1: x - r, Y1: y - r, X2: x + r, Y2: y + r}, RLE: m, Area: float64(mask.Area(*m))})
			paintDisc(p.image, x, y, r, class)
			if rng.IntN(6) == 0 {
				continue // missed
			}
			guess, score := class, .4+.6*rng.Float64()
			if rng.IntN(9) == 0 {
				guess, score = rng.IntN(s.classes), .7*score
			}
			fx, fy, fr := x+2*rng.NormFloat64(), y+2*rng.NormFloat64(), r*(1+.08*rng.NormFloat64())
			p.Detections = append(p.Detections, vision.Detection{Class: guess, Score: score, Box: vision.Box{X1: fx - fr, Y1: fy - fr, X2: fx + fr, Y2: fy + fr}.Clip(float64(w), float64(h)), Mask: disc(t, p.found, fx, fy, fr, guess)})
		}
		if rng.IntN(4) == 0 {
			p.Detections = append(p.Detections, vision.Detection{Class: rng.IntN(s.classes), Score: .2 + .5*rng.Float64(), Box: vision.XYWH(20, 20, 40, 30), Mask: disc(t, p.found, 40, 35, 15, 0)})
		}
		out[i] = p
	}
	return out
}

// disc writes a disc into a mask, class c as c+1, and returns it alone.
func disc(t *testing.T, m cv.Mask, x, y, r float64, class int) *vision.RLE {
	t.Helper()
	alone := make([]uint8, m.W*m.H)
	inDisc(m.W, m.H, x, y, r, func(i int, _ float64) { alone[i], m.Pix[i] = 1, uint8(class+1) })
	rle, err := mask.Encode(alone, m.H, m.W, mask.Rows)
	if err != nil {
		t.Fatal(err)
	}
	return &rle
}

func paintDisc(im *vision.Image, x, y, r float64, class int) {
	inDisc(im.W, im.H, x, y, r, func(i int, d float64) {
		v := uint8(230 - 70*d/r)
		copy(im.Pix[3*i:], []uint8{v, uint8(int(v) * (class + 2) % 200), v / 2})
	})
}

// inDisc goes through the pixels of a disc, with their distances to its middle.
func inDisc(w, h int, x, y, r float64, do func(i int, d float64)) {
	for py := max(int(y-r), 0); py < min(int(y+r)+1, h); py++ {
		for px := max(int(x-r), 0); px < min(int(x+r)+1, w); px++ {
			if d := math.Hypot(float64(px)+.5-x, float64(py)+.5-y); d < r {
				do(py*w+px, d)
			}
		}
	}
}

// detected is the evaluation of plates.
func detected(t *testing.T, all []plate) *metric.COCOEval {
	t.Helper()
	e := &metric.COCOEval{}
	for i, p := range all {
		if err := e.Add(int64(i), p.image.W, p.image.H, p.Objects, p.Detections); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// segmented scores plates by their pixels.
func segmented(t *testing.T, all []plate, classes []string) *metric.Segmentation {
	t.Helper()
	e, err := metric.NewSegmentEval(append([]string{"background"}, classes...), metric.SegmentOptions{Boundaries: true, PixelSize: [2]float64{.5, .5}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if err := e.Add(p.truth.Pix, p.found.Pix, p.truth.W, p.truth.H); err != nil {
			t.Fatal(err)
		}
	}
	return e.Evaluate()
}

// objects adds to a run what s.task measures and draws.
func (s scene) objects(t *testing.T, dir string, r *Run) {
	t.Helper()
	r.Task, r.Name, r.History.Task = s.task, "runs/"+s.task+"/plates", s.task
	names := r.Data.Classes
	train, val := s.plates(t, 1), s.plates(t, 2)
	d := Drawings{History: r.History, Classes: names}
	r.Data.Splits, r.Data.Images = nil, nil
	for i, all := range [][]plate{train, val} {
		split := plot.Split{Name: []string{"train", "val"}[i], Counts: make([]int, s.classes)}
		for _, p := range all {
			for _, o := range p.Objects {
				split.Counts[o.Class]++
			}
			if i == 0 && s.task != "segment" {
				d.Boxes = append(d.Boxes, LabelBoxes(p.Objects, p.image.W, p.image.H)...)
			}
		}
		r.Data.Splits, r.Data.Images = append(r.Data.Splits, split), append(r.Data.Images, len(all))
	}
	e := Evaluation{Split: "val", Images: len(val)}
	var err error
	confidence := .25
	switch s.task {
	case "segment":
		names = append([]string{"background"}, names...)
		e.Segmentation = segmented(t, val, r.Data.Classes)
	case "instance":
		if e.Masks, err = NewDetection(detected(t, val), metric.Masks, names); err != nil {
			t.Fatal(err)
		}
		fallthrough
	case "detect":
		if e.Detection, err = NewDetection(detected(t, val), metric.Boxes, names); err != nil {
			t.Fatal(err)
		}
		if c, _, _, _ := e.Detection.Best(); c.Defined() {
			confidence = float64(c)
		}
	}
	r.Evaluations = []Evaluation{e}
	d.Counts, d.Detection, d.Masks, d.Segmentation = r.Data.Splits, e.Detection, e.Masks, e.Segmentation
	if r.Pictures, err = Plots(dir, d); err != nil {
		t.Fatal(err)
	}
	tile := func(p plate, pred bool) Tile {
		k := Tile{Image: p.image, Lines: []string{p.Name}}
		switch {
		case s.task == "segment" && pred:
			k.Mask = &p.found
		case s.task == "segment":
			k.Mask = &p.truth
		case pred:
			k.Boxes = cv.Detections(slices.DeleteFunc(slices.Clone(p.Detections), func(d vision.Detection) bool { return d.Score < confidence }), names)
		default:
			k.Boxes = cv.Objects(p.Objects, names, s.task == "instance")
		}
		if s.task == "detect" {
			for i := range k.Boxes {
				k.Boxes[i].Mask = nil
			}
		}
		return k
	}
	save := func(name string, from []plate, pred bool) string {
		var tiles []Tile
		for _, p := range from[:min(len(from), 12)] {
			tiles = append(tiles, tile(p, pred))
		}
		if err := ClassSheet(filepath.Join(dir, name), tiles, 3, names); err != nil {
			t.Fatal(err)
		}
		return name
	}
	r.TrainBatches = []string{save("train_batch0.jpg", train, false)}
	r.ValBatches = []Batch{{save("val_batch0_labels.jpg", val, false), save("val_batch0_pred.jpg", val, true)}}
	if s.task == "segment" {
		return
	}
	var answers []Answer
	for _, p := range val {
		answers = append(answers, p.Answer)
	}
	tiles, err := BoxMistakes(answers, names, confidence, 12, func(i int) (*vision.Image, error) { return val[i].image, nil })
	if err != nil {
		t.Fatal(err)
	}
	r.Mistakes = "mistakes.jpg"
	if err := Sheet(filepath.Join(dir, r.Mistakes), tiles, 4); err != nil {
		t.Fatal(err)
	}
}
