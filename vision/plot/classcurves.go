package plot

import (
	"fmt"
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ClassCurve is the curve of one class, over the axis that all classes share.
type ClassCurve struct {
	Name string
	Y    []float64
	// AP50 stands in the legend of [PrecisionRecall].
	AP50 float64
	// Color is the class's in other pictures. Nil is one of the plot's own.
	Color color.Color
}

// mostColored is the number of classes up to which each curve has a colour and a
// place in the legend; more are drawn in grey.
const mostColored = 12

// PrecisionRecall draws the precision of every class over the recall, and their
// mean thick: BoxPR_curve.png, MaskPR_curve.png. what was compared is boxes or
// masks.
func PrecisionRecall(w io.Writer, what string, recall []float64, classes []ClassCurve, map50 float64) error {
	return classCurves{
		title: "Precision over recall, " + what + " at IoU 0.5", x: "recall", y: "precision", at: recall, classes: classes, best: -1,
		mean: "all classes: mAP50" + scored(map50),
		name: func(c ClassCurve) string { return shorten(c.Name, nameRunes) + scored(c.AP50) },
	}.draw(w)
}

// OverConfidence draws a measure (F1, precision or recall) of every class over
// the confidence from which on boxes are kept, and their mean thick:
// BoxF1_curve.png, BoxP_curve.png, BoxR_curve.png, and with Mask in front. The
// confidence with the index best is marked; −1 marks none.
func OverConfidence(w io.Writer, what, measure string, confidence []float64, classes []ClassCurve, best int) error {
	return classCurves{
		title: strings.ToUpper(measure[:1]) + measure[1:] + " over confidence, " + what + " at IoU 0.5", x: "confidence", y: measure, at: confidence, classes: classes, best: best,
		mean: "all classes",
		name: func(c ClassCurve) string { return shorten(c.Name, nameRunes) },
	}.draw(w)
}

// scored is a score behind a name, nothing if there is none.
func scored(v float64) string {
	if !finite(v) {
		return ""
	}
	return fmt.Sprintf("  %.3f", v)
}

// classCurves are the curves of one picture.
type classCurves struct {
	title, x, y string
	at          []float64
	classes     []ClassCurve
	mean        string
	name        func(ClassCurve) string
	best        int
}

func (k classCurves) draw(w io.Writer) error {
	if len(k.at) == 0 || k.best >= len(k.at) {
		return fmt.Errorf("plot %s: %d points, the best is number %d", k.title, len(k.at), k.best)
	}
	p := newPlot(k.title, k.x, k.y)
	addGrid(p)
	key := classKey{plot.NewLegend(), nil}
	key.TextStyle, key.ThumbnailWidth, key.Padding, key.Top, key.Left = p.Legend.TextStyle, p.Legend.ThumbnailWidth, p.Legend.Padding, true, true
	all := make([]float64, len(k.at))
	for _, c := range k.classes {
		if len(c.Y) != len(k.at) {
			return fmt.Errorf("plot %s: curve %q has %d values at %d points", k.title, c.Name, len(c.Y), len(k.at))
		}
		for j, y := range c.Y {
			all[j] += y / float64(len(k.classes))
		}
	}
	thick := draw.LineStyle{Color: ink, Width: 2.4}
	if len(k.classes) == 0 {
		p.Add(note("no class has an object"))
	} else if k.best >= 0 {
		key.add(fmt.Sprintf("%s: %.2f at %.3f", k.mean, all[k.best], k.at[k.best]), thick)
	} else {
		key.add(k.mean, thick)
	}
	for i, c := range k.classes {
		style := draw.LineStyle{Color: color.Color(faint), Width: 0.6}
		if len(k.classes) <= mostColored {
			style = draw.LineStyle{Color: palette[i%len(palette)], Width: 1}
			if c.Color != nil {
				style.Color = c.Color
			}
			key.add(k.name(c), draw.LineStyle{Color: style.Color, Width: 1.6})
		}
		p.Add(k.line(c.Y, style))
	}
	if n := len(k.classes); n > mostColored {
		key.add(fmt.Sprintf("each of %d classes", n), draw.LineStyle{Color: faint, Width: 1.2})
	}
	if len(k.classes) > 0 {
		p.Add(k.line(all, thick))
		k.mark(p, all)
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{}, ticks{}
	// Most pictures have the same width.
	side := max(widest(key.TextStyle, key.texts)+key.ThumbnailWidth+30, 170)
	const width, height vg.Length = 310, 265
	return encode(w, width+side, height, func(c draw.Canvas) {
		left := draw.Crop(c, 8, -side, 12, -10)
		p.Draw(left)
		data := p.DataCanvas(left)
		c.Rectangle = vg.Rectangle{Min: vg.Point{X: data.Max.X + 16, Y: data.Min.Y}, Max: vg.Point{X: c.Max.X - 6, Y: data.Max.Y}}
		key.Draw(c)
	})
}

// classKey is a legend beside the axes, where it hides no curve.
type classKey struct {
	plot.Legend
	texts []string
}

func (k *classKey) add(text string, style draw.LineStyle) {
	k.texts = append(k.texts, text)
	k.Add(text, &plotter.Line{LineStyle: style})
}

// mark shows the best point of the mean.
func (k classCurves) mark(p *plot.Plot, all []float64) {
	if k.best < 0 {
		return
	}
	x, y := k.at[k.best], all[k.best]
	p.Add(&plotter.Line{XYs: plotter.XYs{{X: x, Y: 0}, {X: x, Y: 1}}, LineStyle: draw.LineStyle{Color: grey, Width: 0.8, Dashes: []vg.Length{3, 3}}},
		&plotter.Scatter{XYs: plotter.XYs{{X: x, Y: y}}, GlyphStyle: draw.GlyphStyle{Color: ink, Radius: 3.4, Shape: draw.CircleGlyph{}}})
}

func (k classCurves) line(y []float64, style draw.LineStyle) *plotter.Line {
	return &plotter.Line{XYs: k.points(y), LineStyle: style}
}

func (k classCurves) points(y []float64) plotter.XYs {
	xy := make(plotter.XYs, len(y))
	for i := range xy {
		xy[i] = plotter.XY{X: k.at[i], Y: y[i]}
	}
	return xy
}
