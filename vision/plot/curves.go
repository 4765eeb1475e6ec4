package plot

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Series is one line. Points that are NaN or infinite leave a gap.
type Series struct {
	Name string
	X, Y []float64
}

// Panel is one set of axes with its lines.
type Panel struct {
	Title, XLabel, YLabel string
	Series                []Series
	// Share fixes the vertical axis to 0…1, for accuracies and the like.
	Share bool
}

// Curves draws panels in rows of up to three: results.png. A series of one point
// is drawn as a dot; a panel without any finite point says so.
func Curves(w io.Writer, panels []Panel) error {
	if len(panels) == 0 {
		return fmt.Errorf("plot curves: no panels")
	}
	const width, height vg.Length = 300, 230
	cols := min(3, len(panels))
	if len(panels) == 4 {
		cols = 2
	}
	rows := (len(panels) + cols - 1) / cols
	plots := make([][]*plot.Plot, rows)
	for r := range plots {
		plots[r] = make([]*plot.Plot, cols)
	}
	for i, panel := range panels {
		p, err := panel.plot()
		if err != nil {
			return fmt.Errorf("plot %s: %w", panel.Title, err)
		}
		plots[i/cols][i%cols] = p
	}
	return encode(w, vg.Length(cols)*width, vg.Length(rows)*height, func(c draw.Canvas) {
		tiles := draw.Tiles{Rows: rows, Cols: cols, PadX: 14, PadY: 34, PadTop: 30, PadBottom: 12, PadLeft: 8, PadRight: 12}
		for r, row := range plot.Align(plots, tiles, c) {
			for k, tile := range row {
				p := plots[r][k]
				if p == nil {
					continue
				}
				p.Draw(tile)
				data := p.DataCanvas(tile)
				c.FillText(p.Title.TextStyle, vg.Point{X: data.Center().X, Y: data.Max.Y + 22}, panels[r*cols+k].Title)
			}
		}
	})
}

func (panel Panel) plot() (*plot.Plot, error) {
	// Curves writes the titles: the plots' own would not stand at one height.
	p := newPlot("", panel.XLabel, panel.YLabel)
	p.Legend.Top = true
	addGrid(p)
	drawn := 0
	for i, s := range panel.Series {
		if len(s.X) != len(s.Y) {
			return nil, fmt.Errorf("series %q has %d x and %d y values", s.Name, len(s.X), len(s.Y))
		}
		color := palette[i%len(palette)]
		thumbs, n := addLine(p, s, color)
		drawn += n
		if s.Name != "" && n > 0 && len(panel.Series) > 1 {
			p.Legend.Add(s.Name, thumbs)
		}
	}
	if drawn == 0 {
		p.Add(note("no values yet"))
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
		return p, nil
	}
	if panel.Share {
		p.Y.Min, p.Y.Max = 0, 1
	} else {
		pad(&p.Y)
	}
	if p.X.Min == p.X.Max {
		p.X.Min, p.X.Max = p.X.Min-0.5, p.X.Max+0.5
	}
	p.X.Tick.Marker = ticks{whole: wholeNumbers(panel.Series)}
	p.Y.Tick.Marker = ticks{}
	// Falling curves leave the upper right free, rising ones the lower right.
	if rises(panel.Series) {
		p.Legend.Top = false
	}
	return p, nil
}

// addLine draws the finite runs of a series and returns the number of points.
func addLine(p *plot.Plot, s Series, c color.Color) (plot.Thumbnailer, int) {
	var run plotter.XYs
	var thumb plot.Thumbnailer = &plotter.Line{LineStyle: draw.LineStyle{Color: c, Width: 1.4}}
	total := 0
	flush := func() {
		switch len(run) {
		case 0:
			return
		case 1:
			p.Add(&plotter.Scatter{XYs: run, GlyphStyle: draw.GlyphStyle{Color: c, Radius: 2.2, Shape: draw.CircleGlyph{}}})
		default:
			p.Add(&plotter.Line{XYs: run, LineStyle: draw.LineStyle{Color: c, Width: 1.4}})
		}
		total += len(run)
		run = nil
	}
	for i, y := range s.Y {
		if !finite(y) || !finite(s.X[i]) {
			flush()
			continue
		}
		run = append(run, plotter.XY{X: s.X[i], Y: y})
	}
	flush()
	return thumb, total
}

func addGrid(p *plot.Plot) {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = grid, grid
	g.Vertical.Width, g.Horizontal.Width = 0.5, 0.5
	p.Add(g)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// pad keeps lines off the frame, and gives a constant a range.
func pad(a *plot.Axis) {
	span := a.Max - a.Min
	if span == 0 {
		span = math.Max(math.Abs(a.Max), 1e-9)
	}
	low := a.Min - 0.05*span
	if a.Min >= 0 && low < 0 {
		low = 0
	}
	a.Min, a.Max = low, a.Max+0.05*span
}

// rises tells whether most series end higher than they start.
func rises(all []Series) bool {
	up := 0
	for _, s := range all {
		first, last := math.NaN(), math.NaN()
		for _, y := range s.Y {
			if finite(y) {
				if math.IsNaN(first) {
					first = y
				}
				last = y
			}
		}
		switch {
		case last > first:
			up++
		case last < first:
			up--
		}
	}
	return up > 0
}

func wholeNumbers(all []Series) bool {
	for _, s := range all {
		for _, x := range s.X {
			if x != math.Trunc(x) {
				return false
			}
		}
	}
	return true
}

// note is a text in the middle of an empty plot.
type note string

// Plot implements [plot.Plotter].
func (n note) Plot(c draw.Canvas, _ *plot.Plot) {
	s := sans(9, -0.5, -0.5)
	s.Color = grey
	c.FillText(s, c.Center(), string(n))
}
