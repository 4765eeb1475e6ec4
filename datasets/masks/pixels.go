package masks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/png"
	"slices"

	"github.com/vislora/vislora/internal/cv"
)

// mostKeys is the number of different values from which on a picture is no mask.
const mostKeys = 1024

// pixels is a decoded mask before its values are classes. The key of a pixel is
// its grey value or palette index as the file has it, or 0xRRGGBB in a file of
// colours.
type pixels struct {
	w, h   int
	image  image.Image
	colour bool
	// scale is what the decoder multiplied grey values of 1, 2 and 4 bits by.
	scale uint32
	// opaque: the file has an alpha channel, which has to be full everywhere.
	opaque bool
	// seen are the keys in their order; palette are their colours, nil in a
	// file without a palette.
	seen    []spot
	palette []uint32
}

// spot is a key and the first pixel that has it.
type spot struct {
	key  uint32
	x, y int
}

// PNG's colour types.
const (
	pngGrey      = 0
	pngRGB       = 2
	pngGreyAlpha = 4
	pngRGBA      = 6
)

// openMask decodes a mask of w×h pixels and lists its keys.
func openMask(file string, w, h int) (*pixels, error) {
	data, err := cv.ReadFile(file)
	if err != nil {
		return nil, err
	}
	head, err := cv.ReadHeader(data)
	switch {
	case err != nil:
		return nil, err
	case head.Format != "png":
		return nil, fmt.Errorf("it is a %s, not a PNG: save the classes as PNG, other formats may change them", head.Format)
	case head.Orientation != 1:
		return nil, fmt.Errorf("it says that it is to be turned (EXIF orientation %d): save it upright", head.Orientation)
	case head.W != w || head.H != h:
		return nil, fmt.Errorf("it has %d×%d pixels, the image %d×%d: make both from the same picture", head.W, head.H, w, h)
	}
	im, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	// What was decoded has a whole IHDR that makes sense.
	bits, kind := int(data[24]), data[25]
	p := &pixels{w: w, h: h, image: im, scale: 1}
	switch {
	case kind == pngGrey && bits < 8:
		p.scale = 255 / (1<<bits - 1)
	case (kind == pngRGB || kind == pngRGBA) && bits > 8:
		return nil, fmt.Errorf("it has %d bits for each colour: save it with 8, or as grey", bits)
	}
	p.colour = kind == pngRGB || kind == pngRGBA
	p.opaque = kind == pngGreyAlpha || kind == pngRGBA
	if err := p.look(); err != nil {
		return nil, err
	}
	p.palette = p.paletteColours()
	return p, nil
}

// row writes the keys of a row.
func (p *pixels) row(y int, to []uint32) error {
	switch im := p.image.(type) {
	case *image.Gray:
		for x, v := range im.Pix[y*im.Stride:][:p.w] {
			to[x] = uint32(v) / p.scale
		}
	case *image.Gray16:
		for x := range to {
			to[x] = uint32(binary.BigEndian.Uint16(im.Pix[y*im.Stride+2*x:]))
		}
	case *image.Paletted:
		for x, v := range im.Pix[y*im.Stride:][:p.w] {
			to[x] = uint32(v)
		}
	case *image.RGBA:
		return p.quads(im.Pix[y*im.Stride:][:4*p.w], to)
	case *image.NRGBA:
		return p.quads(im.Pix[y*im.Stride:][:4*p.w], to)
	case *image.NRGBA64: // grey of 16 bits with alpha
		for x := range to {
			v := im.Pix[y*im.Stride+8*x:][:8]
			if p.opaque && (v[6] != 0xff || v[7] != 0xff) {
				return errTransparent
			}
			to[x] = uint32(binary.BigEndian.Uint16(v))
		}
	default:
		return fmt.Errorf("its pixels are %T: save it as palette or grey", im)
	}
	return nil
}

var errTransparent = errors.New("it has transparent pixels, which are of no class: save it without alpha")

// quads reads pixels of four bytes.
func (p *pixels) quads(v []uint8, to []uint32) error {
	for x := range to {
		q := v[4*x:][:4]
		switch {
		case p.opaque && q[3] != 0xff:
			return errTransparent
		case p.colour:
			to[x] = rgb(q[0], q[1], q[2])
		default:
			to[x] = uint32(q[0]) / p.scale
		}
	}
	return nil
}

func rgb(r, g, b uint8) uint32 { return uint32(r)<<16 | uint32(g)<<8 | uint32(b) }

// look lists the keys in their order.
func (p *pixels) look() error {
	first := map[uint32]spot{}
	err := p.rows(func(y int, row []uint32) error {
		last := ^row[0]
		for x, k := range row {
			if k == last {
				continue
			}
			last = k
			if _, ok := first[k]; !ok {
				if first[k] = (spot{k, x, y}); len(first) > mostKeys {
					return fmt.Errorf("it has more than %d different values: this is a picture, not a mask of classes", mostKeys)
				}
			}
		}
		return nil
	})
	for _, s := range first {
		p.seen = append(p.seen, s)
	}
	slices.SortFunc(p.seen, func(a, b spot) int { return int(a.key) - int(b.key) })
	return err
}

// rows calls f with the keys of every row.
func (p *pixels) rows(f func(y int, row []uint32) error) error {
	row := make([]uint32, p.w)
	for y := range p.h {
		if err := p.row(y, row); err != nil {
			return err
		}
		if err := f(y, row); err != nil {
			return err
		}
	}
	return nil
}

// fill writes the class of every pixel; class has all of the keys.
func (p *pixels) fill(to []uint8, class map[uint32]uint8) error {
	return p.rows(func(y int, row []uint32) error {
		last, c := row[0], class[row[0]]
		for x, k := range row {
			if k != last {
				last, c = k, class[k]
			}
			to[y*p.w+x] = c
		}
		return nil
	})
}

// paletteColours are the colours of the keys of a file with a palette; nil when
// it has none.
func (p *pixels) paletteColours() []uint32 {
	im, ok := p.image.(*image.Paletted)
	if !ok {
		return nil
	}
	out := []uint32{}
	for _, s := range p.seen {
		if int(s.key) >= len(im.Palette) {
			return nil
		}
		r, g, b, a := im.Palette[s.key].RGBA()
		if a == 0 {
			return nil // its colour cannot be told
		}
		out = append(out, rgb(uint8(r*0xffff/a>>8), uint8(g*0xffff/a>>8), uint8(b*0xffff/a>>8)))
	}
	return out
}
