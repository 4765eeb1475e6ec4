package plot

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// mostCells is the number of classes above which cells carry no numbers, and
// mostNames that above which only every few classes are named.
const (
	mostCells = 30
	mostNames = 60
	nameRunes = 22
)

// background is what a detector's confusion matrix calls the class of no object.
const background = "background"

// Unit is what a confusion matrix counts.
type Unit int

// The units.
const (
	Images Unit = iota
	// Objects: behind the classes stands the background, as the prediction for
	// an object that was not found and as the truth of a box around nothing.
	Objects
	// Pixels are many: numbers are rounded.
	Pixels
)

// ConfusionMatrix draws counts[truth][prediction]: confusion_matrix.png. Colour
// is the share of the true class, so that rare classes show as well as common
// ones; numbers are images. Rows without images stay white.
func ConfusionMatrix(w io.Writer, counts [][]int, names []string) error {
	return Confusion(w, Images, counts, names, false)
}

// NormalizedConfusionMatrix draws the same matrix with per cent of the true
// class in its cells: confusion_matrix_normalized.png.
func NormalizedConfusionMatrix(w io.Writer, counts [][]int, names []string) error {
	return Confusion(w, Images, counts, names, true)
}

// Confusion is [ConfusionMatrix] and, with percent, [NormalizedConfusionMatrix]
// for any unit. For Objects counts have one row and one column more than there
// are names.
func Confusion(w io.Writer, u Unit, counts [][]int, names []string, percent bool) error {
	title := "Confusion matrix"
	switch {
	case percent:
		title += ", % of the true class"
	case u == Objects:
		title += ", objects"
	case u == Pixels:
		title += ", pixels"
	}
	if u == Objects {
		names = append(slices.Clone(names), background)
	}
	return confusion(w, title, matrix{counts: counts, percent: percent, unit: u}, names)
}

func confusion(w io.Writer, title string, m matrix, names []string) error {
	counts := m.counts
	n := len(counts)
	if n == 0 || len(names) != n {
		return fmt.Errorf("plot confusion matrix: %d rows and %d class names", n, len(names))
	}
	for i, row := range counts {
		if len(row) != n {
			return fmt.Errorf("plot confusion matrix: row %d has %d columns, want %d", i, len(row), n)
		}
	}
	cell := vg.Length(34)
	switch {
	case n > mostNames:
		cell = max(1, 640/vg.Length(n))
	case n > mostCells:
		cell = 12
	case n > 12:
		cell = 22
	}
	short := shortenAll(names, nameRunes)
	p := newPlot(title, "predicted class", "true class")
	size := points(8)
	if n > mostCells {
		size = 7
	}
	p.X.Tick.Label = sans(size, text.XRight, text.YCenter)
	p.X.Tick.Label.Rotation = math.Pi / 2
	p.Y.Tick.Label = sans(size, text.XRight, text.YCenter)
	p.X.Tick.Length, p.Y.Tick.Length = 2, 2
	p.X.Padding, p.Y.Padding = 0, 0
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, float64(n), 0, float64(n)
	every := 1
	if n > mostNames {
		every = (n + 39) / 40
	}
	var xs, ys plot.ConstantTicks
	for i := range n {
		// The background is named in any case, and not crowded.
		last := m.unit == Objects && i == n-1
		if !last && (i%every != 0 || m.unit == Objects && i > n-1-every) {
			continue
		}
		xs = append(xs, plot.Tick{Value: float64(i) + 0.5, Label: short[i]})
		ys = append(ys, plot.Tick{Value: float64(n-i) - 0.5, Label: short[i]})
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = xs, ys
	p.Add(m)

	const bar vg.Length = 70
	room := widest(p.Y.Tick.Label, short) + 40
	side := max(cell*vg.Length(n), 150)
	return encode(w, side+room+bar, side+room+24, func(c draw.Canvas) {
		plotCanvas := draw.Crop(c, 8, -bar, 12, -8)
		p.Draw(plotCanvas)
		data := p.DataCanvas(plotCanvas)
		drawBar(c, data.Max.X+18, data.Min.Y, data.Max.Y)
	})
}

// matrix draws the cells; class 0 is on top.
type matrix struct {
	counts  [][]int
	percent bool
	unit    Unit
}

// text is what stands in the cell of v images of total: 0.4 % is not "0".
func (m matrix) text(v, total int) string {
	if !m.percent && m.unit == Pixels {
		return rounded(v)
	}
	if !m.percent {
		return strconv.Itoa(v)
	}
	if share := 100 * float64(v) / float64(total); share <= 0.5 {
		return "<1"
	} else if share >= 99.5 && v < total {
		return ">99"
	} else {
		return strconv.FormatFloat(share, 'f', 0, 64)
	}
}

// rounded is 1234567 as "1.2M".
func rounded(n int) string {
	v := float64(n)
	for _, unit := range []string{"", "k", "M", "G"} {
		switch {
		case unit == "" && n < 1000, v < 999.5 && v >= 9.95:
			return strconv.FormatFloat(v, 'f', 0, 64) + unit
		case v < 9.95:
			return strconv.FormatFloat(v, 'f', 1, 64) + unit
		}
		v /= 1000
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + "T"
}

// Plot implements [plot.Plotter].
func (m matrix) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	n := len(m.counts)
	side := trX(1) - trX(0)
	size := fitText(m, side)
	for i, row := range m.counts {
		total := sum(row)
		for j, v := range row {
			var share float64
			if total > 0 {
				share = float64(v) / float64(total)
			}
			x, y := float64(j), float64(n-i)
			if v > 0 {
				c.FillPolygon(blues(share), rect(trX(x), trY(y-1), trX(x+1), trY(y)))
			}
			if v > 0 && n <= mostCells {
				s := sans(size, text.XCenter, text.YCenter)
				if share > 0.55 {
					s.Color = color.White
				}
				c.FillText(s, vg.Point{X: (trX(x) + trX(x+1)) / 2, Y: (trY(y-1) + trY(y)) / 2}, m.text(v, total))
			}
		}
	}
	if n <= mostNames {
		line := draw.LineStyle{Color: grid, Width: 0.4}
		for k := 1; k < n; k++ {
			c.StrokeLine2(line, trX(float64(k)), trY(0), trX(float64(k)), trY(float64(n)))
			c.StrokeLine2(line, trX(0), trY(float64(k)), trX(float64(n)), trY(float64(k)))
		}
	}
	if m.unit == Objects {
		// No object that was not found as anything: there is no such count.
		c.FillPolygon(grid, rect(trX(float64(n-1)), trY(0), trX(float64(n)), trY(1)))
		line := draw.LineStyle{Color: grey, Width: 0.9}
		c.StrokeLine2(line, trX(float64(n-1)), trY(0), trX(float64(n-1)), trY(float64(n)))
		c.StrokeLine2(line, trX(0), trY(1), trX(float64(n)), trY(1))
	}
	c.StrokeLines(draw.LineStyle{Color: grey, Width: 0.6}, append(rect(trX(0), trY(0), trX(float64(n)), trY(float64(n))), vg.Point{X: trX(0), Y: trY(0)}))
}

func sum(row []int) int {
	total := 0
	for _, v := range row {
		total += v
	}
	return total
}

// fitText is the largest size up to 10 points at which every number fits a cell.
func fitText(m matrix, side vg.Length) points {
	digits := 1
	for _, row := range m.counts {
		total := sum(row)
		for _, v := range row {
			digits = max(digits, len(m.text(v, max(total, 1))))
		}
	}
	return max(4, min(10, side*0.9/(0.6*points(digits))))
}

// blues runs from almost white to a dark blue.
func blues(share float64) color.Color {
	share = math.Sqrt(min(1, max(0, share))) // small confusions must show
	mix := func(from, to float64) uint8 { return uint8(from + (to-from)*share + 0.5) }
	return color.RGBA{mix(0xf4, 0x08), mix(0xf8, 0x45), mix(0xfd, 0x94), 0xff}
}

// drawBar explains the colours.
func drawBar(c draw.Canvas, x, bottom, top vg.Length) {
	const steps, width = 128, vg.Length(10)
	h := (top - bottom) / steps
	for k := range steps {
		// Each up to the top, painted over by the next: no seams.
		c.FillPolygon(blues(float64(k)/(steps-1)), rect(x, bottom+vg.Length(k)*h, x+width, top))
	}
	s := sans(8, text.XLeft, text.YCenter)
	for _, share := range []float64{0, 0.25, 0.5, 0.75, 1} {
		c.FillText(s, vg.Point{X: x + width + 4, Y: bottom + vg.Length(share)*(top-bottom)}, fmt.Sprintf("%.0f %%", 100*share))
	}
}
