package coco

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// mostPixels is the largest mask that is read, as for images.
const mostPixels = 1 << 28

// segmentation reads polygons or an RLE. Nothing at all is no error.
func segmentation(raw []byte) (polygons [][]float64, rle *vision.RLE, err error) {
	if len(raw) == 0 || string(raw) == "null" || string(raw) == `""` {
		return nil, nil, nil
	}
	if raw[0] == '{' {
		rle, err = readRLE(raw)
		return nil, rle, err
	}
	list, _, ok := lists(raw)
	if !ok {
		return nil, nil, errors.New("the segmentation is neither polygons nor an RLE")
	}
	for _, p := range list {
		if len(p) > 0 {
			polygons = append(polygons, p)
		}
	}
	return polygons, nil, nil
}

// readRLE reads {"size": [h, w], "counts": […] or "…"}.
func readRLE(raw []byte) (*vision.RLE, error) {
	var r struct{ Size, Counts json.RawMessage }
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("RLE: %w", err)
	}
	size, ok := numbers(r.Size)
	if !ok || len(size) != 2 || !(size[0] >= 1 && size[1] >= 1 && size[0]*size[1] <= mostPixels) ||
		size[0] != math.Trunc(size[0]) || size[1] != math.Trunc(size[1]) {
		return nil, fmt.Errorf("RLE: the size %s is not [height, width]", short(r.Size))
	}
	m := &vision.RLE{H: int(size[0]), W: int(size[1])}
	if len(r.Counts) > 0 && r.Counts[0] == '"' {
		var s string
		if err := json.Unmarshal(r.Counts, &s); err != nil {
			return nil, fmt.Errorf("RLE: %w", err)
		}
		full, err := mask.Decompress(s, m.H, m.W)
		if err != nil {
			return nil, err
		}
		return &full, nil
	}
	counts, ok := numbers(r.Counts)
	if !ok {
		return nil, fmt.Errorf("RLE: the counts %s are neither a list nor a string", short(r.Counts))
	}
	m.Counts = make([]uint32, len(counts))
	for i, c := range counts {
		if !(c >= 0 && c <= mostPixels) || c != math.Trunc(c) {
			return nil, fmt.Errorf("RLE: count %d is %v", i, c)
		}
		m.Counts[i] = uint32(c)
	}
	return m, nil
}

// short cuts a piece of JSON for a message.
func short(raw []byte) string {
	if len(raw) > 40 {
		return string(raw[:40]) + "…"
	}
	if len(raw) == 0 {
		return "(none)"
	}
	return string(raw)
}
