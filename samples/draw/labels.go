package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

// nrgba is a colour as a file has it.
func (c rgb) nrgba() color.NRGBA {
	at := func(v float64) uint8 { return uint8(max(0, min(255, 255*v+.5))) }
	return color.NRGBA{at(c[0]), at(c[1]), at(c[2]), 255}
}

// png packs the classes of the pixels as a picture with a palette: the index is
// the class, the colour is for looking.
func (s sceneSet) png(sc *scene) ([]byte, error) {
	var colours color.Palette
	for _, c := range s.palette {
		colours = append(colours, c.nrgba())
	}
	img := image.NewPaletted(sc.image.Bounds(), colours)
	copy(img.Pix, sc.labels)
	var buf bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(&buf, img); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// yaml names the classes of the pixels.
func (s sceneSet) yaml() []byte {
	var buf bytes.Buffer
	buf.WriteString("# The class of a pixel is the value in its mask.\npath: .\nnames:\n")
	for i, name := range s.labels {
		fmt.Fprintf(&buf, "  %d: %s\n", i, name)
	}
	return buf.Bytes()
}
