package plot

import (
	"fmt"
	"image/color"
	"io"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Split is the number of images (or boxes) of each class in one part of the
// data.
type Split struct {
	Name   string
	Counts []int
}

// mostBars is the number of classes up to which each has its own named bar.
const mostBars = 80

// LabelCounts draws class counts as bars, one colour per split: labels.png. More
// than 80 classes are drawn without names, the splits stacked, sorted by their
// total, which shows the tail.
func LabelCounts(w io.Writer, names []string, splits []Split) error {
	p, height, err := countBars(names, splits, "images")
	if err != nil {
		return err
	}
	return encode(w, 520, height, func(c draw.Canvas) {
		p.Draw(draw.Crop(c, 8, -40, 14, -26))
		key(c, splits)
	})
}

// countBars is the plot of counts of something, and the height that it needs.
func countBars(names []string, splits []Split, what string) (*plot.Plot, vg.Length, error) {
	if len(names) == 0 || len(splits) == 0 {
		return nil, 0, fmt.Errorf("plot class counts: %d classes in %d splits", len(names), len(splits))
	}
	for _, s := range splits {
		if len(s.Counts) != len(names) {
			return nil, 0, fmt.Errorf("plot class counts: split %s has %d counts for %d classes", s.Name, len(s.Counts), len(names))
		}
	}
	b := bars{splits: splits, named: len(names) <= mostBars}
	b.order = make([]int, len(names))
	for i := range b.order {
		b.order[i] = i
	}
	most := 1
	if b.named {
		for _, s := range splits {
			most = max(most, slices.Max(s.Counts))
		}
	} else {
		total := b.totals()
		most = max(most, slices.Max(total))
		slices.SortStableFunc(b.order, func(i, j int) int { return total[j] - total[i] })
	}
	title := strings.ToUpper(what[:1]) + what[1:] + " per class"
	p := newPlot(title, what, "")
	p.X.Min, p.X.Max = 0, float64(most)
	p.Y.Min, p.Y.Max = 0, float64(len(names))
	p.X.Tick.Marker = ticks{whole: true}
	p.Y.Tick.Length = 0
	p.X.Padding, p.Y.Padding = 2, 2
	var marks plot.ConstantTicks
	if b.named {
		for i, name := range names {
			marks = append(marks, plot.Tick{Value: float64(len(names)-i) - 0.5, Label: shorten(name, 30)})
		}
	} else {
		p.Title.Text = fmt.Sprintf("%s, %d classes, most frequent on top", title, len(names))
	}
	p.Y.Tick.Marker = marks
	p.Add(b)

	height := vg.Length(420)
	if b.named {
		height = max(110, vg.Length(len(names))*max(13, 9*vg.Length(len(splits)))+70)
	}
	return p, height, nil
}

// key names the colours in a line at the top of the page.
func key(c draw.Canvas, splits []Split) {
	s := sans(8, text.XLeft, text.YCenter)
	x, y := c.Min.X+14, c.Max.Y-14
	for k, split := range splits {
		total := 0
		for _, n := range split.Counts {
			total += n
		}
		c.FillPolygon(barColor(k), rect(x, y-4, x+8, y+4))
		label := fmt.Sprintf("%s (%d)", split.Name, total)
		c.FillText(s, vg.Point{X: x + 12, Y: y}, label)
		x += 12 + s.Width(label) + 18
	}
}

func barColor(split int) color.Color { return palette[split%len(palette)] }

// bars draws the counts; class 0 is on top.
type bars struct {
	splits []Split
	order  []int
	named  bool
}

func (b bars) totals() []int {
	total := make([]int, len(b.order))
	for _, s := range b.splits {
		for i, n := range s.Counts {
			total[i] += n
		}
	}
	return total
}

// Plot implements [plot.Plotter].
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	for row, class := range b.order {
		top := float64(len(b.order) - row)
		if b.named {
			b.beside(c, class, trX, func(share float64) vg.Length { return trY(top - 0.12 - 0.76*share) })
			continue
		}
		x := 0
		for k, s := range b.splits {
			if n := s.Counts[class]; n > 0 {
				c.FillPolygon(barColor(k), rect(trX(float64(x)), trY(top-1), trX(float64(x+n)), trY(top)))
				x += n
			}
		}
	}
}

// beside draws the bars of one class under each other, with their numbers; down
// maps 0…1 to its row from top to bottom.
func (b bars) beside(c draw.Canvas, class int, trX func(float64) vg.Length, down func(float64) vg.Length) {
	for k, s := range b.splits {
		y1, y0 := down(float64(k)/float64(len(b.splits))), down(float64(k+1)/float64(len(b.splits)))
		n := s.Counts[class]
		style := sans(max(5, min(8, (y1-y0)*0.9)), text.XLeft, text.YCenter)
		if n > 0 {
			c.FillPolygon(barColor(k), rect(trX(0), y0, trX(float64(n)), y1))
		} else {
			style.Color = palette[1] // a class that is missing must be seen
		}
		c.FillText(style, vg.Point{X: trX(float64(n)) + 3, Y: (y0 + y1) / 2}, strconv.Itoa(n))
	}
}
