package plot

import (
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ROCCurve is the curve of one class against the rest: X is 1 − specificity, Y
// sensitivity.
type ROCCurve struct {
	Name  string
	X, Y  []float64
	AUROC float64
}

// namedCurves is how many ROC curves get a colour and a place in the legend.
var namedCurves = len(palette)

// ROC draws receiver operating characteristics: roc.png. The first six curves
// are named; put those that matter (the worst, or all) first. The others are
// drawn in grey.
func ROC(w io.Writer, curves []ROCCurve) error {
	p := newPlot("ROC, one class against the rest", "1 − specificity", "sensitivity")
	addGrid(p)
	p.Add(&plotter.Line{XYs: plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}, LineStyle: draw.LineStyle{Color: grey, Width: 0.7, Dashes: []vg.Length{3, 3}}})
	if len(curves) == 0 {
		p.Add(note("no class has both positives and negatives"))
	}
	// Named curves last, on top of the grey ones.
	for i := len(curves) - 1; i >= 0; i-- {
		r := curves[i]
		if len(r.X) != len(r.Y) {
			return fmt.Errorf("plot ROC: curve %q has %d x and %d y values", r.Name, len(r.X), len(r.Y))
		}
		xy := make(plotter.XYs, len(r.X))
		for k := range xy {
			xy[k] = plotter.XY{X: r.X[k], Y: r.Y[k]}
		}
		style := draw.LineStyle{Color: color.Color(faint), Width: 0.7}
		if i < namedCurves {
			style = draw.LineStyle{Color: palette[i], Width: 1.4}
		}
		p.Add(&plotter.Line{XYs: xy, LineStyle: style})
	}
	for i := range min(len(curves), namedCurves) {
		line := &plotter.Line{LineStyle: draw.LineStyle{Color: palette[i], Width: 1.4}}
		p.Legend.Add(fmt.Sprintf("%s  %.3f", shorten(curves[i].Name, nameRunes), curves[i].AUROC), line)
	}
	if more := len(curves) - namedCurves; more > 0 {
		p.Legend.Add(fmt.Sprintf("%d more", more), &plotter.Line{LineStyle: draw.LineStyle{Color: faint, Width: 1.4}})
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{}, ticks{}
	p.Legend.XOffs, p.Legend.YOffs = -6, 6
	return encode(w, 400, 400, func(c draw.Canvas) { p.Draw(draw.Crop(c, 8, -14, 12, -8)) })
}
