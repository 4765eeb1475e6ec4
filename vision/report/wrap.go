package report

import (
	"image/color"
	"strings"
	"unicode/utf8"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// textWidth is the width of a caption as [cv.Label] draws it, which alone knows
// the font of this build.
func textWidth(s string) int {
	box, err := cv.Label(vision.NewImage(1, 1), 0, 0, textHeight, s, color.RGBA{}, color.RGBA{})
	if err != nil {
		return 0 // drawing it for good reports the error
	}
	return box.Dx()
}

// wrap breaks a line into at most mostRows rows of at most width pixels, behind
// spaces and the dashes and underscores of class names where it can. What does
// not fit then loses its end.
func wrap(s string, width int) []string {
	var rows []string
	for rest := strings.TrimSpace(s); rest != ""; {
		n := prefix(rest, width)
		if n < len(rest) {
			if len(rows) == mostRows-1 {
				for n > 0 && textWidth(rest[:n]+"..") > width {
					_, size := utf8.DecodeLastRuneInString(rest[:n])
					n -= size
				}
				return append(rows, rest[:n]+"..")
			}
			// Not for the sake of a few characters: a row stays half full.
			if k := strings.LastIndexAny(rest[:n], " -_/.,"); k >= n/2 {
				n = k + 1
			}
		}
		rows = append(rows, strings.TrimRight(rest[:n], " "))
		rest = strings.TrimLeft(rest[n:], " ")
	}
	return rows
}

// prefix is the number of bytes of the longest beginning of s that fits, at
// least one character.
func prefix(s string, width int) int {
	if textWidth(s) <= width {
		return len(s)
	}
	_, n := utf8.DecodeRuneInString(s)
	for n < len(s) {
		_, size := utf8.DecodeRuneInString(s[n:])
		if textWidth(s[:n+size]) > width {
			break
		}
		n += size
	}
	return n
}
