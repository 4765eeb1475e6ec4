package engine

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets/masks"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vision/transform"
)

// pixelAnswers are those of a semantic segmenter.
type pixelAnswers struct {
	classes    []string
	background bool // class 0 is what is left over
	pre        vision.Preprocess
	cells      [2]int // of the logits
	minArea    int
	mm2        float64 // of a pixel, 0 where it is not known
	frames     bool    // frames of videos have mask files too
}

func (l *Loaded) pixelAnswers(c *circuit, p *PredictConfig) (answers, error) {
	s := ops.Shape(c.outputs[0])
	return &pixelAnswers{classes: l.Classes, background: strings.EqualFold(l.Classes[0], masks.Background), pre: l.Pre, cells: [2]int{s[1], s[2]},
		minArea: p.MinArea, mm2: p.PixelSize * p.PixelSize, frames: p.SaveFrames}, nil
}

func (a *pixelAnswers) read(f *frame, to *answer) error {
	if len(f.mirrored) > 0 {
		if err := head.AverageFlip(f.out, f.mirrored, a.cells[0], a.cells[1]); err != nil {
			return err
		}
	}
	v := head.View{Map: a.cells, Input: a.pre.Size, Place: transform.Place(a.pre, to.Width, to.Height)}
	var err error
	if to.labels, err = v.Labels(f.out, to.Height, to.Width); err != nil {
		return err
	}
	return a.count(to)
}

// count measures the classes that were found.
func (a *pixelAnswers) count(to *answer) error {
	if a.minArea > 0 {
		if err := head.Despeckle(to.labels, to.Height, to.Width, a.minArea); err != nil {
			return err
		}
	}
	var pixels [256]int
	for _, k := range to.labels {
		pixels[k]++
	}
	to.Predictions = []vision.Prediction{}
	one := make([]byte, len(to.labels))
	for k, n := range pixels[:len(a.classes)] {
		if n == 0 {
			continue
		}
		for i, l := range to.labels {
			one[i] = 0
			if int(l) == k {
				one[i] = 1
			}
		}
		r, err := mask.Encode(one, to.Height, to.Width, mask.Rows)
		if err != nil {
			return err
		}
		p := vision.Prediction{Class: k, Name: a.classes[k], Score: 1, Area: &n, Segmentation: &vision.Segmentation{Size: [2]int{r.H, r.W}, Counts: mask.Compress(r.Counts)}}
		if a.mm2 > 0 {
			mm2 := float64(n) * a.mm2
			p.AreaMM2 = &mm2
		}
		to.Predictions = append(to.Predictions, p)
	}
	return nil
}

// files writes masks/<name>.png, whose values are the classes and whose palette
// shows them. The frames of a video have them on request: there are many, and
// predictions.json holds the same pixels.
func (a *pixelAnswers) files(dir, name string, of *answer) error {
	if of.Frame != nil && !a.frames {
		return nil
	}
	b, err := indexedPNG(of.labels, of.Width, of.Height, a.background)
	if err != nil {
		return err
	}
	dir = filepath.Join(dir, "masks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, name+".png"), b)
}

func indexedPNG(labels []uint8, w, h int, background bool) ([]byte, error) {
	var b bytes.Buffer
	im := &image.Paletted{Pix: labels, Stride: w, Rect: image.Rect(0, 0, w, h), Palette: cv.MaskPalette(background)}
	err := png.Encode(&b, im)
	return b.Bytes(), err
}

func (a *pixelAnswers) draw(im *vision.Image, of *answer) (*vision.Image, error) {
	im, k, err := enlarged(im)
	if err != nil {
		return nil, err
	}
	m := cv.Mask{W: im.W, H: im.H, Pix: of.labels, Background: a.background}
	if k > 1 {
		m.Pix = repeated(of.labels, of.Width, of.Height, k)
	}
	if err := cv.DrawMask(im, m); err != nil {
		return nil, err
	}
	shown := m.Classes()
	if of.Frame != nil { // all frames of a video have one size
		shown = a.painted()
	}
	return cv.DrawLegend(im, shown, a.classes, 0)
}

// painted are the classes that have a colour.
func (a *pixelAnswers) painted() (out []int) {
	for k := range a.classes {
		if k > 0 || !a.background {
			out = append(out, k)
		}
	}
	return out
}

// repeated makes k×k pixels of each.
func repeated(labels []uint8, w, h, k int) []uint8 {
	out := make([]uint8, 0, k*w*k*h)
	for y := range h {
		from := len(out)
		for _, v := range labels[y*w : (y+1)*w] {
			out = append(out, bytes.Repeat([]byte{v}, k)...)
		}
		row := out[from:]
		for range k - 1 {
			out = append(out, row...)
		}
	}
	return out
}

func (a *pixelAnswers) columns() []string {
	c := []string{"class", "name", "pixels", "share"}
	if a.mm2 > 0 {
		c = append(c, "mm2")
	}
	return c
}

// rows has a line for every class, also for one without a pixel.
func (a *pixelAnswers) rows(p []vision.Prediction) [][]string {
	total := 0
	for _, q := range p {
		total += *q.Area
	}
	var out [][]string
	for k, name := range a.classes {
		n := 0
		if i := slices.IndexFunc(p, func(q vision.Prediction) bool { return q.Class == k }); i >= 0 {
			n = *p[i].Area
		}
		row := []string{fmt.Sprint(k), name, fmt.Sprint(n), fmt.Sprintf("%.6f", float64(n)/float64(total))}
		if a.mm2 > 0 {
			row = append(row, fmt.Sprintf("%.6g", float64(n)*a.mm2))
		}
		out = append(out, row)
	}
	return out
}

func (a *pixelAnswers) summary(p []vision.Prediction) string {
	total := 0
	for _, q := range p {
		total += *q.Area
	}
	var parts []string
	for _, q := range p {
		s := fmt.Sprintf("%s %.1f %%", q.Name, 100*float64(*q.Area)/float64(total))
		if q.AreaMM2 != nil {
			s += fmt.Sprintf(" (%.4g mm²)", *q.AreaMM2)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}
