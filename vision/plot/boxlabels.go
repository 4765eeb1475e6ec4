package plot

import (
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// LabelBox is an annotated box in shares of its image: the centre, from the top
// left corner, the width and the height. Area is in pixels².
type LabelBox struct{ X, Y, W, H, Area float64 }

// BoxLabels draws what the boxes of a data set are like: labels.png. On top
// stand the objects per class and split; below where their centres lie, how wide
// and high they are, and how many are small, medium and large as COCO counts
// them (up to 32² pixels, from 96² on).
func BoxLabels(w io.Writer, names []string, splits []Split, boxes []LabelBox) error {
	counts, height, err := countBars(names, splits, "objects")
	if err != nil {
		return err
	}
	if len(boxes) == 0 {
		return fmt.Errorf("plot boxes: there is none")
	}
	centres := newPlot("", "share of the image’s width", "share of the height, from the top")
	centres.Add(heat(bin(boxes)))
	centres.X.Min, centres.X.Max, centres.Y.Min, centres.Y.Max = 0, 1, 0, 1
	centres.X.Tick.Marker, centres.Y.Tick.Marker = ticks{}, downwards{}
	panels := [][]*plot.Plot{{centres, sidesPlot(boxes), sizesPlot(boxes)}}
	titles := []string{"Centres of the boxes", "Widths and heights", "Sizes, as COCO counts them"}
	const width, row vg.Length = 760, 270
	return encode(w, width, height+row, func(c draw.Canvas) {
		top := draw.Crop(c, 0, 0, row, 0)
		counts.Draw(draw.Crop(top, 8, -40, 14, -26))
		key(top, splits)
		bottom := draw.Crop(c, 0, 0, 0, -height)
		tiles := draw.Tiles{Rows: 1, Cols: 3, PadX: 16, PadTop: 30, PadBottom: 12, PadLeft: 8, PadRight: 14}
		for i, tile := range plot.Align(panels, tiles, bottom)[0] {
			p := panels[0][i]
			p.Draw(tile)
			// The plots' own titles would not stand at one height.
			data := p.DataCanvas(tile)
			c.FillText(p.Title.TextStyle, vg.Point{X: data.Center().X, Y: data.Max.Y + 22}, titles[i])
		}
	})
}

// downwards are the ticks of an axis whose 0 is on top.
type downwards struct{}

// Ticks implements [plot.Ticker].
func (downwards) Ticks(low, high float64) []plot.Tick {
	all := ticks{}.Ticks(low, high)
	for i := range all {
		all[i].Value = high - all[i].Value
	}
	return all
}

// heatBins is the number of cells of the heat map in each direction, sideBins
// that of the bins of widths and heights.
const (
	heatBins = 30
	sideBins = 25
)

// heat counts centres: [row from the top][column].
type heat [heatBins][heatBins]int

func bin(boxes []LabelBox) (h heat) {
	for _, b := range boxes {
		h[cell(b.Y, heatBins)][cell(b.X, heatBins)]++
	}
	return h
}

// cell is the bin of a share; what lies outside goes into the nearest.
func cell(share float64, bins int) int { return min(max(int(share*float64(bins)), 0), bins-1) }

// Plot implements [plot.Plotter].
func (h heat) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	most := 1
	for _, row := range h {
		for _, n := range row {
			most = max(most, n)
		}
	}
	at := func(i int) float64 { return float64(i) / heatBins }
	for y, row := range h {
		for x, n := range row {
			if n > 0 {
				c.FillPolygon(blues(float64(n)/float64(most)), rect(trX(at(x)), trY(1-at(y+1)), trX(at(x+1)), trY(1-at(y))))
			}
		}
	}
	c.StrokeLines(draw.LineStyle{Color: grey, Width: 0.6}, append(rect(trX(0), trY(0), trX(1), trY(1)), vg.Point{X: trX(0), Y: trY(0)}))
}

// sidesPlot is the distribution of widths and heights.
func sidesPlot(boxes []LabelBox) *plot.Plot {
	p := newPlot("", "share of the image’s side", "boxes")
	addGrid(p)
	most := 0
	for k, s := range []struct {
		name string
		of   func(LabelBox) float64
	}{{"width", func(b LabelBox) float64 { return b.W }}, {"height", func(b LabelBox) float64 { return b.H }}} {
		var counts [sideBins]int
		for _, b := range boxes {
			counts[cell(s.of(b), sideBins)]++
		}
		var steps plotter.XYs
		for i, n := range counts {
			most = max(most, n)
			steps = append(steps, plotter.XY{X: float64(i) / sideBins, Y: float64(n)}, plotter.XY{X: float64(i+1) / sideBins, Y: float64(n)})
		}
		line := &plotter.Line{XYs: steps, LineStyle: draw.LineStyle{Color: palette[k], Width: 1.4}}
		p.Add(line)
		p.Legend.Add(s.name, line)
	}
	p.Legend.Top, p.Legend.XOffs, p.Legend.YOffs = true, -4, -4
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1.05*float64(max(most, 1))
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{}, ticks{whole: true}
	return p
}

// sizesPlot counts boxes by COCO's sizes.
func sizesPlot(boxes []LabelBox) *plot.Plot {
	var s sizes
	for _, b := range boxes {
		switch {
		case b.Area <= 32*32:
			s[0]++
		case b.Area < 96*96:
			s[1]++
		default:
			s[2]++
		}
	}
	p := newPlot("", "area in pixels", "boxes")
	p.Add(s)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 3, 0, 1.12*float64(max(s[0], s[1], s[2]))
	p.X.Tick.Length = 0
	p.X.Tick.Marker = plot.ConstantTicks{{Value: 0.5, Label: "small\nto 32²"}, {Value: 1.5, Label: "medium"}, {Value: 2.5, Label: "large\nfrom 96²"}}
	p.Y.Tick.Marker = ticks{whole: true}
	return p
}

// sizes are the small, medium and large boxes.
type sizes [3]int

// Plot implements [plot.Plotter].
func (s sizes) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	total := sum(s[:])
	for i, n := range s {
		x, y := float64(i), float64(n)
		if n > 0 {
			c.FillPolygon(color.Color(palette[2]), rect(trX(x+.15), trY(0), trX(x+.85), trY(y)))
		}
		share := matrix{percent: true}.text(n, total) + " %"
		if n == 0 {
			share = "none"
		}
		c.FillText(sans(8, text.XCenter, text.YBottom), vg.Point{X: trX(x + .5), Y: trY(y) + 3}, share)
	}
}
