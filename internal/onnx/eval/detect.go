package eval

import (
	"cmp"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers NonMaxSuppression and RoiAlign.
func init() {
	register("NonMaxSuppression", operator{minIn: 2, maxIn: 5, since: 10, run: runNMS,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			c.wantFloat(1)
			c.wantRank(0, 3)
			c.wantRank(1, 3)
			b, s := c.dims(0), c.dims(1)
			if b[2] != 4 || b[0] != s[0] || b[1] != s[2] {
				c.fail("has boxes %s and scores %s, wants (N,B,4) and (N,C,B)", shapeString(b), shapeString(s))
			}
			return []ir.Type{{DType: ir.Int64}}
		}})
	register("RoiAlign", operator{minIn: 3, maxIn: 3, since: 10, run: runRoiAlign,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			c.wantRank(0, 4)
			c.wantRank(1, 2)
			rois := c.dims(1)[0]
			c.wantVector(2, rois)
			if d := c.dims(0); d[2] == 0 || d[3] == 0 {
				c.fail("input %s is empty", shapeString(d))
			}
			if c.dims(1)[1] != 4 {
				c.fail("has boxes %s, wants (R,4)", shapeString(c.dims(1)))
			}
			h, w := c.attrs().Int("output_height", 1), c.attrs().Int("output_width", 1)
			return one(c.dtype(0), []int{rois, c.dims(0)[1], h, w})
		}})
}

// runNMS selects, per image and class, the best boxes that overlap none selected
// before them by more than iou_threshold: rows [image, class, box].
func runNMS(c *call, out []*ir.Tensor) {
	limit, overlap, least := 0, 0.0, math.Inf(-1)
	if c.has(2) {
		limit = c.integer(2)
	}
	if c.has(3) {
		overlap = c.scalar(3)
	}
	if c.has(4) {
		least = c.scalar(4)
	}
	boxes, scores := c.floats(0), c.floats(1)
	images, n, classes := c.dims(0)[0], c.dims(0)[1], c.dims(1)[1]
	center := c.attrs().Int("center_point_box", 0) != 0
	corners := make([][4]float64, images*n)
	for i := range corners {
		corners[i] = boxCorners(boxes[4*i:][:4], center)
	}
	var rows []int64
	for image := range images {
		for class := range classes {
			score := scores[(image*classes+class)*n:][:n]
			var order, kept []int
			for i, s := range score {
				if s > least {
					order = append(order, i)
				}
			}
			slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
			for _, i := range order {
				if len(kept) >= limit {
					break
				}
				if !slices.ContainsFunc(kept, func(k int) bool { return boxIoU(corners[image*n+i], corners[image*n+k]) > overlap }) {
					kept = append(kept, i)
					rows = append(rows, int64(image), int64(class), int64(i))
				}
			}
		}
	}
	out[0] = ir.FromInt64s("", rows, len(rows)/3, 3)
}

// boxCorners orders the corners of [y1, x1, y2, x2], given in any order, or of
// [x, y, w, h] around the centre.
func boxCorners(b []float64, center bool) [4]float64 {
	if center {
		return [4]float64{b[1] - b[3]/2, b[0] - b[2]/2, b[1] + b[3]/2, b[0] + b[2]/2}
	}
	return [4]float64{math.Min(b[0], b[2]), math.Min(b[1], b[3]), math.Max(b[0], b[2]), math.Max(b[1], b[3])}
}

func boxIoU(a, b [4]float64) float64 {
	h := math.Min(a[2], b[2]) - math.Max(a[0], b[0])
	w := math.Min(a[3], b[3]) - math.Max(a[1], b[1])
	if h <= 0 || w <= 0 {
		return 0
	}
	return h * w / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - h*w)
}

// runRoiAlign pools bilinear samples of each bin of each box (He et al.,
// arXiv:1703.06870).
func runRoiAlign(c *call, out []*ir.Tensor) {
	a := c.attrs()
	x, rois, dims := c.floats(0), c.floats(1), c.dims(0)
	oh, ow := out[0].Dims[2], out[0].Dims[3]
	scale, offset := a.Float("spatial_scale", 1), 0.5
	mode := a.String("coordinate_transformation_mode", "half_pixel")
	if c.opset < 16 {
		mode = a.String("coordinate_transformation_mode", "output_half_pixel")
	}
	if mode != "half_pixel" {
		offset = 0
	}
	largest, ratio := a.String("mode", "avg") == "max", a.Int("sampling_ratio", 0)
	ch, h, w := dims[1], dims[2], dims[3]
	index := c.indices(2, dims[0])
	for r := range out[0].Dims[0] {
		x1, y1 := rois[4*r]*scale-offset, rois[4*r+1]*scale-offset
		rw, rh := rois[4*r+2]*scale-offset-x1, rois[4*r+3]*scale-offset-y1
		if offset == 0 { // such boxes are at least one pixel wide
			rw, rh = math.Max(rw, 1), math.Max(rh, 1)
		}
		bh, bw := rh/float64(oh), rw/float64(ow)
		ny, nx := ratio, ratio
		if ratio <= 0 {
			ny, nx = int(math.Ceil(bh)), int(math.Ceil(bw))
		}
		if ny > 1<<12 || nx > 1<<12 || math.IsNaN(bh+bw) {
			c.fail("samples box %d of size %g × %g", r, rw, rh)
		}
		c.spend(out[0].Len(), max(ny, 0), max(nx, 0))
		for k := range ch {
			plane := x[(index[r]*ch+k)*h*w:][:h*w]
			for i := range oh {
				for j := range ow {
					sum, best := 0.0, math.Inf(-1)
					for sy := range ny {
						for sx := range nx {
							y := y1 + (float64(i)+(float64(sy)+0.5)/float64(ny))*bh
							x := x1 + (float64(j)+(float64(sx)+0.5)/float64(nx))*bw
							total, peak := roiSample(plane, h, w, y, x)
							sum += total
							best = math.Max(best, peak)
						}
					}
					v := sum / math.Max(1, float64(ny*nx))
					if largest {
						v = best
					}
					setFloat(out[0], ((r*ch+k)*oh+i)*ow+j, v)
				}
			}
		}
	}
}

// roiSample interpolates, and also gives the largest of the four weighted
// neighbours, which is what the mode max takes the maximum of.
func roiSample(plane []float64, h, w int, y, x float64) (sum, peak float64) {
	if !(y >= -1 && y <= float64(h) && x >= -1 && x <= float64(w)) {
		return 0, 0
	}
	y, x = clamp(y, 0, float64(h-1)), clamp(x, 0, float64(w-1))
	y0, x0 := int(y), int(x)
	y1, x1 := min(y0+1, h-1), min(x0+1, w-1)
	ly, lx := y-float64(y0), x-float64(x0)
	peak = math.Inf(-1)
	for _, p := range []tap{{y0*w + x0, (1 - ly) * (1 - lx)}, {y0*w + x1, (1 - ly) * lx}, {y1*w + x0, ly * (1 - lx)}, {y1*w + x1, ly * lx}} {
		v := p.weight * plane[p.at]
		sum += v
		peak = math.Max(peak, v)
	}
	return sum, peak
}
