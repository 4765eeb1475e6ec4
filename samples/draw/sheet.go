package main

import (
	"fmt"
	"image"
	"image/color"

	"github.com/disintegration/imaging"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

const gap = 3 // between the pictures of a sheet

// contactSheet shows the first training images of every class, one row each.
func (s dataSet) contactSheet(seed uint64) (image.Image, error) {
	const columns = 14
	sheet := imaging.New(columns*(side+gap)-gap, len(s.classes)*(side+gap)-gap, color.White)
	for row, class := range s.classes {
		for i := range columns {
			img := s.image(seed, "train", class, i)
			sheet = imaging.Paste(sheet, img, image.Pt(i*(side+gap), row*(side+gap)))
		}
	}
	return sheet, nil
}

// contactSheet shows the first training pictures twice as large, beside each
// the same with its annotations: boxes and tinted masks.
func (s sceneSet) contactSheet(seed uint64) (image.Image, error) {
	const columns, rows, zoom = 2, 4, 2
	var sheet *image.NRGBA
	for i := range columns * rows {
		sc, err := s.scene(seed, "train", i)
		if err != nil {
			return nil, err
		}
		w := sc.image.Bounds().Dx()*zoom + gap
		if sheet == nil {
			sheet = imaging.New(2*columns*w-gap, rows*w-gap, color.White)
		}
		at := image.Pt(i%columns*2*w, i/columns*w)
		plain := imaging.Resize(sc.image, w-gap, 0, imaging.NearestNeighbor)
		sheet = imaging.Paste(sheet, plain, at)
		annotated, err := s.annotated(sc, zoom)
		if err != nil {
			return nil, fmt.Errorf("draw the annotations of picture %d: %w", i, err)
		}
		sheet = imaging.Paste(sheet, annotated, at.Add(image.Pt(w, 0)))
	}
	return sheet, nil
}

// annotated is a picture with its labels, or its masks, as a tint, and the
// boxes of the things.
func (s sceneSet) annotated(sc *scene, zoom int) (image.Image, error) {
	img := imaging.Clone(sc.image)
	for i, l := range sc.labels {
		if l > 0 {
			tint(img, i, s.palette[l])
		}
	}
	boxes := make([]vision.Box, len(sc.things))
	for i, t := range sc.things {
		bits, err := mask.Decode(t.mask, mask.Rows)
		if err != nil {
			return nil, err
		}
		if boxes[i], err = mask.ToBox(t.mask); err != nil {
			return nil, err
		}
		for i, b := range bits {
			if b != 0 && sc.labels == nil {
				tint(img, i, s.colour(t.class))
			}
		}
	}
	big := imaging.Resize(img, img.Rect.Dx()*zoom, 0, imaging.NearestNeighbor)
	for i, b := range boxes {
		frame(big, image.Rect(int(b.X1)*zoom, int(b.Y1)*zoom, int(b.X2)*zoom, int(b.Y2)*zoom), s.colour(sc.things[i].class))
	}
	return big, nil
}

// colour is that of a class of objects on a sheet.
func (s sceneSet) colour(class int) rgb { return hsv(float64(class)/float64(len(s.classes)), .9, 1) }

// tint mixes a colour into a pixel.
func tint(img *image.NRGBA, i int, c rgb) {
	p := img.Pix[4*i:]
	for k := range 3 {
		p[k] = uint8(.5*float64(p[k]) + .5*255*c[k])
	}
}

// frame draws the outermost pixels of a rectangle.
func frame(img *image.NRGBA, r image.Rectangle, c rgb) {
	for x := r.Min.X; x < r.Max.X; x++ {
		img.SetNRGBA(x, r.Min.Y, c.nrgba())
		img.SetNRGBA(x, r.Max.Y-1, c.nrgba())
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		img.SetNRGBA(r.Min.X, y, c.nrgba())
		img.SetNRGBA(r.Max.X-1, y, c.nrgba())
	}
}
