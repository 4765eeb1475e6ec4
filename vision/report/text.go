package report

import (
	"image"
	"image/color"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// parsed is the font of the captions. It is compiled in and knows the Latin,
// Greek and Cyrillic alphabets; internal/cv's fonts know ASCII or have one size.
var parsed = sync.OnceValues(func() (*opentype.Font, error) { return opentype.Parse(gomedium.TTF) })

// writer writes captions. It is not safe for concurrent use.
type writer struct{ face font.Face }

func newWriter(size float64) (*writer, error) {
	f, err := parsed()
	if err != nil {
		return nil, err
	}
	// At 72 dots per inch a point is a pixel.
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, err
	}
	return &writer{face}, nil
}

// width is the width of s in pixels.
func (w *writer) width(s string) int { return font.MeasureString(w.face, s).Ceil() }

// text draws s with the top left corner of its line at (x, y).
func (w *writer) text(dst *image.NRGBA, x, y int, s string, c color.NRGBA) {
	d := font.Drawer{Dst: dst, Src: image.NewUniform(c), Face: w.face, Dot: fixed.P(x, y+w.face.Metrics().Ascent.Ceil())}
	d.DrawString(s)
}

// wrap breaks a line into at most rows rows of at most width pixels, behind
// spaces and the dashes and underscores of class names where it can. What does
// not fit then loses its end.
func (w *writer) wrap(s string, width, rows int) []string {
	var out []string
	for rest := strings.TrimSpace(s); rest != ""; {
		n := w.prefix(rest, width)
		if n < len(rest) {
			if len(out) == rows-1 {
				for n > 0 && w.width(rest[:n]+"…") > width {
					_, size := utf8.DecodeLastRuneInString(rest[:n])
					n -= size
				}
				return append(out, rest[:n]+"…")
			}
			n = breakAt(rest, n)
		}
		out = append(out, strings.TrimRight(rest[:n], " "))
		rest = strings.TrimLeft(rest[n:], " ")
	}
	return out
}

// breakAt moves the end n of a row back to where the line may break, but not for
// the sake of a few characters: the row stays half full.
func breakAt(s string, n int) int {
	for k := n; k > n/2; k-- {
		// "0.95" stays whole.
		if s[k-1] == ' ' || s[k] == ' ' || strings.IndexByte("-_/,", s[k-1]) >= 0 {
			return k
		}
	}
	return n
}

// prefix is the number of bytes of the longest beginning of s that fits, at
// least one character.
func (w *writer) prefix(s string, width int) int {
	if w.width(s) <= width {
		return len(s)
	}
	_, n := utf8.DecodeRuneInString(s)
	for n < len(s) {
		_, size := utf8.DecodeRuneInString(s[n:])
		if w.width(s[:n+size]) > width {
			break
		}
		n += size
	}
	return n
}
