package cv

import (
	"encoding/binary"
	"errors"
	"math"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

func pngHeader(data []byte, h *Header) error {
	be := binary.BigEndian
	pixels := false
	for i := len(pngSignature); i+12 <= len(data); {
		n := int64(be.Uint32(data[i:]))
		kind := string(data[i+4 : i+8])
		end := int64(i) + 12 + n
		if end > int64(len(data)) {
			break
		}
		body := data[i+8 : i+8+int(n)]
		switch {
		case i == len(pngSignature):
			if kind != "IHDR" || n != 13 {
				return errors.New("the PNG does not begin with IHDR")
			}
			w, hh := be.Uint32(body), be.Uint32(body[4:])
			if w > math.MaxInt32 || hh > math.MaxInt32 {
				return errors.New("the PNG header holds an impossible size")
			}
			h.W, h.H = int(w), int(hh)
			// A header that asks for too much says so even when, as bombs
			// do, the file ends right behind it.
			if int64(h.W)*int64(h.H) > MaxPixels {
				return nil
			}
		case kind == "IDAT":
			pixels = true
		case kind == "eXIf":
			h.Orientation = exifOrientation(body)
		case kind == "IEND":
			if !pixels {
				return errors.New("the PNG has no image in it")
			}
			return nil
		}
		i = int(end)
	}
	return truncated("PNG", len(data), "before its last chunk")
}

func bmpHeader(data []byte, h *Header) error {
	le := binary.LittleEndian
	if len(data) < 26 {
		return truncated("BMP", len(data), "inside its header")
	}
	offset, size := int64(le.Uint32(data[10:])), le.Uint32(data[14:])
	var bits, compression uint32
	if size == 12 {
		h.W, h.H = int(le.Uint16(data[18:])), int(le.Uint16(data[20:]))
		bits = uint32(le.Uint16(data[24:]))
	} else {
		if len(data) < 54 {
			return truncated("BMP", len(data), "inside its header")
		}
		h.W, h.H = int(int32(le.Uint32(data[18:]))), int(int32(le.Uint32(data[22:])))
		bits, compression = uint32(le.Uint16(data[28:])), le.Uint32(data[30:])
		if h.H < 0 {
			h.H = -h.H // rows from top to bottom
		}
	}
	if bits == 0 || bits > 32 {
		return errors.New("the BMP header holds an impossible number of bits per pixel")
	}
	if h.W <= 0 || h.H <= 0 || int64(h.W)*int64(h.H) > MaxPixels {
		return nil
	}
	if compression == 0 || compression == 3 {
		row := (int64(h.W)*int64(bits) + 31) / 32 * 4
		if offset+row*int64(h.H) > int64(len(data)) {
			return truncated("BMP", len(data), "before its last row")
		}
	}
	return nil
}

func webpHeader(data []byte, h *Header) error {
	le := binary.LittleEndian
	if int64(le.Uint32(data[4:]))+8 > int64(len(data)) {
		return truncated("WebP", len(data), "before the end that its header names")
	}
	if len(data) < 30 {
		return truncated("WebP", len(data), "inside its header")
	}
	b := data[20:]
	switch string(data[12:16]) {
	case "VP8X":
		if b[0]&2 != 0 {
			return errors.New("the WebP is an animation: save one frame")
		}
		h.W = 1 + int(b[4]) + int(b[5])<<8 + int(b[6])<<16
		h.H = 1 + int(b[7]) + int(b[8])<<8 + int(b[9])<<16
	case "VP8L":
		v := le.Uint32(b[1:])
		h.W, h.H = int(v&0x3fff)+1, int(v>>14&0x3fff)+1
	case "VP8 ":
		h.W, h.H = int(le.Uint16(b[6:])&0x3fff), int(le.Uint16(b[8:])&0x3fff)
	default:
		return errors.New("the WebP holds no picture that can be read")
	}
	return nil
}

func tiffHeader(data []byte, h *Header) error {
	d, err := readIFD(data)
	if err != nil {
		return truncated("TIFF", len(data), "before its directory")
	}
	w, hh := d.ints(256), d.ints(257)
	if len(w) == 0 || len(hh) == 0 {
		return errors.New("the TIFF names no size")
	}
	h.W, h.H = w[0], hh[0]
	if o := d.ints(274); len(o) > 0 {
		h.Orientation = o[0]
	}
	for _, tags := range [][2]int{{273, 279}, {324, 325}} { // strips, tiles
		at, n := d.ints(tags[0]), d.ints(tags[1])
		for i := range min(len(at), len(n)) {
			if int64(at[i])+int64(n[i]) > int64(len(data)) {
				return truncated("TIFF", len(data), "before its last strip")
			}
		}
	}
	return nil
}

// ifd is the first directory of a TIFF structure, which EXIF is one of.
type ifd struct {
	data  []byte
	order binary.ByteOrder
	at, n int
}

var errIFD = errors.New("broken directory")

func readIFD(b []byte) (ifd, error) {
	if len(b) < 8 {
		return ifd{}, errIFD
	}
	d := ifd{data: b, order: binary.LittleEndian}
	if b[0] == 'M' {
		d.order = binary.BigEndian
	}
	at := int64(d.order.Uint32(b[4:]))
	if at < 8 || at+2 > int64(len(b)) {
		return ifd{}, errIFD
	}
	d.at, d.n = int(at)+2, int(d.order.Uint16(b[at:]))
	if d.at+12*d.n > len(b) {
		return ifd{}, errIFD
	}
	return d, nil
}

// ints are the values of a SHORT or LONG tag; nil when it is absent or lies
// outside the file.
func (d ifd) ints(tag int) []int {
	for i := range d.n {
		e := d.data[d.at+12*i:][:12]
		if int(d.order.Uint16(e)) != tag {
			continue
		}
		size := map[uint16]int64{3: 2, 4: 4}[d.order.Uint16(e[2:])]
		n := int64(d.order.Uint32(e[4:]))
		if size == 0 || n*size > int64(len(d.data)) {
			return nil
		}
		body := e[8:]
		if n*size > 4 {
			at := int64(d.order.Uint32(body))
			if at+n*size > int64(len(d.data)) {
				return nil
			}
			body = d.data[at : at+n*size]
		}
		v := make([]int, n)
		for j := range v {
			if size == 2 {
				v[j] = int(d.order.Uint16(body[2*j:]))
			} else {
				v[j] = int(d.order.Uint32(body[4*j:]))
			}
		}
		return v
	}
	return nil
}
