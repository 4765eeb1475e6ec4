package cv

import (
	"encoding/hex"
	"fmt"
	"image/color"
)

// classColors are eight colours that people name differently, and then always
// the one of medium lightness and enough chroma that is farthest in OKLab from
// all before it. The first 24 are told apart beside each other, all 80 in a
// pair.
const classColors = "" +
	"e63737" + "2878e1" + "2daa4b" + "f5a514" + "aa4bd7" + "00b4be" + "eb5aaf" + "96642d" +
	"cdb4ff" + "37eb00" + "96d796" + "6923ff" + "b90f78" + "007d64" + "f500ff" + "ff96a0" +
	"968cd2" + "735a9b" + "aa9100" + "ff82ff" + "69d2ff" + "b46982" + "ff6e0f" + "2da5ff" +
	"8cc300" + "648200" + "238caa" + "d700b9" + "c378ff" + "826eff" + "af3c41" + "0050ff" +
	"d78ccd" + "eb0078" + "00c891" + "c87d55" + "ff6478" + "d2c823" + "9100e1" + "00e1d2" +
	"96b46e" + "5f55d2" + "c300ff" + "aa00af" + "0ae687" + "3c9b7d" + "8caff0" + "be4ba0" +
	"196eaa" + "9b69b9" + "d750e1" + "00c300" + "9b4b78" + "ff1ec8" + "c35000" + "e69669" +
	"d78291" + "697dbe" + "8741b9" + "faa0e6" + "c3aa00" + "f5b482" + "8c46fa" + "dc5578" +
	"d2004b" + "b49bff" + "ff55f5" + "d78c00" + "009100" + "5a9bcd" + "789b50" + "c36ec8" +
	"ff78c8" + "19bef0" + "6e8cfa" + "5064ff" + "91dc5a" + "b47300" + "82aa05" + "5ac8cd"

// classPalette is classColors decoded.
var classPalette = func() (out []color.RGBA) {
	b, err := hex.DecodeString(classColors)
	if err != nil {
		panic(err)
	}
	for i := 0; i+2 < len(b); i += 3 {
		out = append(out, color.RGBA{b[i], b[i+1], b[i+2], 255})
	}
	return out
}()

// ClassColor is the colour of a class in boxes, masks, legends and curves. It
// never changes: pictures of two runs can be laid beside each other. From class
// 80 on colours repeat; a negative class is grey.
func ClassColor(class int) color.RGBA {
	if class < 0 {
		return color.RGBA{128, 128, 128, 255}
	}
	return classPalette[class%len(classPalette)]
}

// MaskPalette is the palette for an indexed PNG whose values are classes: one
// can look at the file, and it is still the mask. Class 0 is black when it is
// the background, [Void] nearly white.
func MaskPalette(background bool) color.Palette {
	p := make(color.Palette, 256)
	for i := range p {
		p[i] = ClassColor(i)
	}
	if background {
		p[0] = color.RGBA{0, 0, 0, 255}
	}
	p[Void] = color.RGBA{224, 224, 224, 255}
	return p
}

// readable is black or white, whichever is read better on c (WCAG's relative
// luminance, with sRGB's curve taken as a square).
func readable(c color.RGBA) color.RGBA {
	square := func(v uint8) float64 { return float64(v) * float64(v) / (255 * 255) }
	if .2126*square(c.R)+.7152*square(c.G)+.0722*square(c.B) > .23 {
		return color.RGBA{0, 0, 0, 255}
	}
	return color.RGBA{255, 255, 255, 255}
}

// className names a class of which there is no name.
func className(names []string, class int) string {
	if class >= 0 && class < len(names) {
		return names[class]
	}
	return fmt.Sprintf("class %d", class)
}
