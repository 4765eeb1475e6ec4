package cv

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// jpegHeader walks the segments and the entropy-coded scans. libjpeg fills
// what a truncated file lacks with grey and says nothing, so the end marker
// has to be found here; a search for its two bytes alone would be satisfied by
// the one of an embedded thumbnail.
func jpegHeader(data []byte, h *Header) error {
	be := binary.BigEndian
	sized, scan, oriented := false, false, false
	for i := 2; ; {
		m := bytes.IndexByte(data[i:], 0xff)
		if m < 0 {
			break
		}
		i += m
		for i < len(data) && data[i] == 0xff {
			i++
		}
		if i >= len(data) {
			break
		}
		marker := data[i]
		i++
		switch {
		case marker == 0 || marker == 0x01 || marker >= 0xd0 && marker <= 0xd8:
			continue // a stuffed byte of a scan, restarts: no length follows
		case marker == 0xd9:
			if !sized || !scan {
				return errors.New("the JPEG has no image in it")
			}
			return nil
		}
		if i+2 > len(data) {
			break
		}
		n := int(be.Uint16(data[i:]))
		if n < 2 || i+n > len(data) {
			break
		}
		seg := data[i+2 : i+n]
		i += n
		switch {
		case marker == 0xda:
			scan = true
		case marker == 0xe1 && !oriented && bytes.HasPrefix(seg, []byte("Exif\x00\x00")):
			h.Orientation = exifOrientation(seg[6:])
			oriented = true
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc && !sized:
			if len(seg) < 6 {
				return errors.New("the JPEG has a broken frame header")
			}
			h.H, h.W = int(be.Uint16(seg[1:])), int(be.Uint16(seg[3:]))
			sized = true
		}
	}
	return truncated("JPEG", len(data), "before its end marker")
}

// exifOrientation reads tag 274 of the first directory of a TIFF structure; 1
// when there is none or it is broken.
func exifOrientation(b []byte) int {
	d, err := readIFD(b)
	if err != nil {
		return 1
	}
	if v := d.ints(274); len(v) > 0 {
		return v[0]
	}
	return 1
}
