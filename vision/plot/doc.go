// Package plot draws the pictures of a run directory as PNG: curves of losses,
// metrics and learning rate, the confusion matrix, ROC curves, precision, recall
// and F1 of detectors, class counts and the boxes of a data set. Fonts are
// compiled in, and the same data gives the same bytes.
package plot

import (
	"fmt"
	"image/color"
	"image/png"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// dpi gives text of 9 points 15 pixels of height.
const dpi = 120

// palette is Okabe and Ito's, which people with any colour vision can tell
// apart; black and its yellow are left out, for they vanish beside text and on
// white.
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, // blue
	color.RGBA{0xd5, 0x5e, 0x00, 0xff}, // vermillion
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, // green
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, // purple
	color.RGBA{0xe6, 0x9f, 0x00, 0xff}, // orange
	color.RGBA{0x56, 0xb4, 0xe9, 0xff}, // sky
}

var (
	ink   = color.RGBA{0x22, 0x22, 0x22, 0xff}
	grid  = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
	grey  = color.RGBA{0x99, 0x99, 0x99, 0xff}
	faint = color.RGBA{0xc4, 0xc4, 0xc4, 0xff}
)

// points is a font size in typographic points.
type points = vg.Length

// sans is a style of the built-in sans-serif font.
func sans(size points, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{
		Color:   ink,
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		XAlign:  x,
		YAlign:  y,
		Handler: plot.DefaultTextHandler,
	}
}

// newPlot is an empty plot in the house style.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle = sans(11, text.XCenter, text.YTop)
	p.Title.Padding = 6
	p.X.Label.Text, p.Y.Label.Text = x, y
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle = sans(9, text.XCenter, text.YTop)
		a.LineStyle.Color, a.Tick.LineStyle.Color = grey, grey
	}
	p.Y.Label.TextStyle.YAlign = text.YBottom // it is turned when drawn
	p.X.Tick.Length, p.Y.Tick.Length = 3, 3
	p.X.Tick.Label = sans(8, text.XCenter, text.YTop)
	p.Y.Tick.Label = sans(8, text.XRight, text.YCenter)
	p.Legend.TextStyle = sans(8, text.XLeft, text.YBottom)
	p.Legend.ThumbnailWidth = 16
	p.Legend.Padding = 3
	return p
}

// encode draws on a white page and writes it as PNG.
func encode(w io.Writer, width, height vg.Length, paint func(draw.Canvas)) error {
	c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi), vgimg.UseBackgroundColor(color.White))
	paint(draw.New(c))
	if err := png.Encode(w, c.Image()); err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// shorten cuts a name in the middle to at most n characters: class names often
// differ at the end only.
func shorten(name string, n int) string {
	r := []rune(name)
	if len(r) <= n {
		return name
	}
	head := (n - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(n-1-head):])
}

func shortenAll(names []string, n int) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = shorten(name, n)
	}
	return out
}

// widest is the width of the longest of the texts.
func widest(s text.Style, texts []string) vg.Length {
	var w vg.Length
	for _, t := range texts {
		w = max(w, s.Width(t))
	}
	return w
}

// rect is the outline of a filled rectangle.
func rect(x0, y0, x1, y1 vg.Length) []vg.Point {
	return []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}}
}
