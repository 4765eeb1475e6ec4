package mask

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/vision"
)

// FromPolygons is the union of the polygons that outline one object.
func FromPolygons(polygons [][]float64, h, w int) (vision.RLE, error) {
	if len(polygons) == 0 {
		return vision.RLE{}, fmt.Errorf("mask polygons: there is none")
	}
	parts := make([]vision.RLE, len(polygons))
	for i, p := range polygons {
		r, err := FrPolygon(p, h, w)
		if err != nil {
			return vision.RLE{}, numbered("part", i, err)
		}
		parts[i] = r
	}
	return Merge(parts, Union)
}

// FrBox rasterises a box as COCO does, as the polygon of its four corners.
func FrBox(b vision.Box, h, w int) (vision.RLE, error) {
	for _, v := range [4]float64{b.X1, b.Y1, b.X2, b.Y2} {
		if !(math.Abs(v) <= maxCoordinate) {
			return vision.RLE{}, fmt.Errorf("mask box: a coordinate is %g", v)
		}
	}
	return FrPolygon([]float64{b.X1, b.Y1, b.X1, b.Y2, b.X2, b.Y2, b.X2, b.Y1}, h, w)
}

// FromObject is the mask of an annotated object in an image of h rows and w
// columns: its RLE or else its polygons.
func FromObject(o vision.Object, h, w int) (vision.RLE, error) {
	if o.RLE == nil {
		return FromPolygons(o.Polygons, h, w)
	}
	if err := Check(*o.RLE); err != nil {
		return vision.RLE{}, err
	}
	return *o.RLE, sameSize(vision.RLE{H: h, W: w}, *o.RLE)
}
