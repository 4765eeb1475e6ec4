package eval

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers Resize and its predecessor Upsample. All modes are separable:
// every axis in turn is a matrix of a few weights per output position.
func init() {
	register("Upsample", operator{minIn: 1, maxIn: 2, until: 9, types: resizeTypes, run: runResize})
	register("Resize", operator{minIn: 1, maxIn: 4, since: 10, types: resizeTypes, run: runResize})
}

// resizing is what a Resize asks for.
type resizing struct {
	out       []int
	scale     []float64
	roi       []float64 // start and end per axis, as fractions
	mode      string
	transform string
	nearest   string
	cubic     float64
	outside   bool // exclude_outside
	antialias bool
	extra     float64 // extrapolation_value
}

func resizeTypes(c *call) []ir.Type {
	c.wantNumber(0)
	return one(c.dtype(0), c.resizing().out)
}

func (c *call) resizing() resizing {
	rank, in := c.rank(0), c.dims(0)
	a := c.attrs()
	r := resizing{out: slices.Clone(in), scale: make([]float64, rank), roi: make([]float64, 2*rank),
		mode: a.String("mode", "nearest"), transform: a.String("coordinate_transformation_mode", "half_pixel"),
		nearest: a.String("nearest_mode", "round_prefer_floor"), cubic: a.Float("cubic_coeff_a", -0.75),
		outside: a.Int("exclude_outside", 0) != 0, antialias: a.Int("antialias", 0) != 0,
		extra: a.Float("extrapolation_value", 0)}
	for i := range rank {
		r.scale[i], r.roi[rank+i] = 1, 1
	}
	scales, sizes, roi := 2, 3, 1
	if c.n.Op == "Upsample" || c.opset < 11 {
		scales, sizes, roi = 1, -1, -1
		r.transform, r.nearest = "asymmetric", "floor"
	}
	axes := make([]int, rank)
	for i := range axes {
		axes[i] = i
	}
	if a.Has("axes") {
		axes = c.axes(a.Ints("axes"), rank)
	}
	if r.transform == "tf_crop_and_resize" {
		if v := c.floats(roi); len(v) == 2*len(axes) {
			for i, axis := range axes {
				r.roi[axis], r.roi[rank+axis] = v[i], v[len(axes)+i]
			}
		} else {
			c.fail("roi has %d entries for %d axes", len(v), len(axes))
		}
	}
	empty := func(i int) bool { return i < 0 || !c.has(i) || c.count(c.dims(i)) == 0 }
	switch {
	case a.Has("scales") || !empty(scales):
		var list []float64
		if a.Has("scales") {
			for _, v := range a.Floats("scales") {
				list = append(list, float64(v))
			}
		} else {
			list = c.floats(scales)
		}
		if len(list) != len(axes) {
			c.fail("has %d scales for %d axes", len(list), len(axes))
		}
		for i, axis := range axes {
			length := list[i] * float64(in[axis])
			if r.transform == "tf_crop_and_resize" {
				length *= r.roi[rank+axis] - r.roi[axis]
			}
			if !(list[i] > 0) || length > maxElements {
				c.fail("cannot scale %s by %v", shapeString(in), list)
			}
			// The scale is a float32: a length that it misses by less than its
			// own rounding is exact.
			r.scale[axis], r.out[axis] = list[i], int(math.Floor(length*(1+1e-9)))
		}
	case !empty(sizes):
		list := c.list(sizes)
		if len(list) != len(axes) {
			c.fail("has %d sizes for %d axes", len(list), len(axes))
		}
		c.count(list)
		r.keepAspect(c, axes, list)
	default:
		c.fail("has neither scales nor sizes")
	}
	return r
}

// keepAspect sets scales from sizes by keep_aspect_ratio_policy.
func (r *resizing) keepAspect(c *call, axes, sizes []int) {
	in := c.dims(0)
	common := math.NaN()
	for i, axis := range axes {
		if in[axis] == 0 && sizes[i] != 0 {
			c.fail("cannot resize %s to %v", shapeString(in), sizes)
		}
		r.out[axis], r.scale[axis] = sizes[i], float64(sizes[i])/math.Max(1, float64(in[axis]))
		if math.IsNaN(common) {
			common = r.scale[axis]
		}
		switch policy := c.attrs().String("keep_aspect_ratio_policy", "stretch"); policy {
		case "stretch":
		case "not_larger":
			common = math.Min(common, r.scale[axis])
		case "not_smaller":
			common = math.Max(common, r.scale[axis])
		default:
			c.fail("keep_aspect_ratio_policy %q is not known", policy)
		}
	}
	if c.attrs().String("keep_aspect_ratio_policy", "stretch") != "stretch" {
		for _, axis := range axes {
			r.scale[axis] = common
			r.out[axis] = int(math.Floor(common*float64(in[axis]) + 0.5))
		}
	}
}

// tap is one weighted input position of an output position.
type tap struct {
	at     int
	weight float64
}

// taps gives the weights of one axis. An output position that
// tf_crop_and_resize puts outside the input has none.
func (r resizing) taps(c *call, axis, in int) [][]tap {
	out, scale := r.out[axis], r.scale[axis]
	taps := make([][]tap, out)
	start, end := r.roi[axis], r.roi[len(r.scale)+axis]
	for i := range taps {
		o, x := float64(i), 0.0
		length := float64(out)
		switch r.transform {
		case "half_pixel":
			x = (o+0.5)/scale - 0.5
		case "half_pixel_symmetric":
			adjust := length / (scale * float64(in))
			center := float64(in) / 2
			x = center*(1-adjust) + (o+0.5)/scale - 0.5
		case "pytorch_half_pixel":
			if length > 1 {
				x = (o+0.5)/scale - 0.5
			}
		case "align_corners":
			if length > 1 {
				x = o * float64(in-1) / (length - 1)
			}
		case "asymmetric":
			x = o / scale
		case "tf_half_pixel_for_nn":
			x = (o + 0.5) / scale
		case "tf_crop_and_resize":
			if length > 1 {
				x = start*float64(in-1) + o*(end-start)*float64(in-1)/(length-1)
			} else {
				x = 0.5 * (start + end) * float64(in-1)
			}
			if x < 0 || x > float64(in-1) {
				continue
			}
		default:
			c.fail("coordinate_transformation_mode %q is not known", r.transform)
		}
		taps[i] = r.at(c, x, in, scale)
	}
	return taps
}

// at gives the weights of the input position x.
func (r resizing) at(c *call, x float64, in int, scale float64) []tap {
	stretch := 1.0 // of the filter, when shrinking with antialias
	if r.antialias && scale < 1 {
		stretch = 1 / scale
	}
	var filter func(float64) float64
	support := 1.0
	switch r.mode {
	case "nearest":
		return []tap{{min(max(r.round(c, x), 0), in-1), 1}}
	case "linear", "bilinear", "trilinear":
		filter = func(d float64) float64 { return math.Max(0, 1-math.Abs(d)) }
	case "cubic":
		support = 2
		filter = func(d float64) float64 { return cubicWeight(math.Abs(d), r.cubic) }
	default:
		c.fail("mode %q is not known", r.mode)
	}
	var taps []tap
	sum := 0.0
	lo, hi := int(math.Floor(x-support*stretch)), int(math.Ceil(x+support*stretch))
	for k := lo; k <= hi; k++ {
		w := filter((float64(k) - x) / stretch)
		if w == 0 || r.outside && (k < 0 || k >= in) {
			continue
		}
		sum += w
		taps = append(taps, tap{min(max(k, 0), in-1), w})
	}
	for i := range taps {
		taps[i].weight /= sum
	}
	return taps
}

// cubicWeight is Keys' kernel at distance d ≥ 0.
func cubicWeight(d, a float64) float64 {
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}

// round picks the nearest index. A coordinate that a float32 scale left beside
// an integer or a half is taken as lying on it.
func (r resizing) round(c *call, x float64) int {
	if h := math.Round(2*x) / 2; math.Abs(x-h) < 1e-6*(1+math.Abs(x)) {
		x = h
	}
	switch r.nearest {
	case "round_prefer_floor":
		return int(math.Ceil(x - 0.5))
	case "round_prefer_ceil":
		return int(math.Floor(x + 0.5))
	case "floor":
		return int(math.Floor(x))
	case "ceil":
		return int(math.Ceil(x))
	}
	c.fail("nearest_mode %q is not known", r.nearest)
	return 0
}

func runResize(c *call, out []*ir.Tensor) {
	r, v, dims := c.resizing(), c.floats(0), slices.Clone(c.dims(0))
	outside := make([]bool, out[0].Len())
	if len(outside) == 0 {
		return
	}
	for axis, in := range dims {
		taps := r.taps(c, axis, in)
		outer, n, inner := split3(dims, axis)
		next := make([]float64, outer*len(taps)*inner)
		for o := range outer {
			for i, list := range taps {
				row := next[(o*len(taps)+i)*inner:][:inner]
				for _, t := range list {
					axpy(row, t.weight, v[(o*n+t.at)*inner:][:inner])
				}
			}
		}
		dims[axis], v = len(taps), next
		tail := product(out[0].Dims[axis+1:])
		for i := range outside {
			if taps[i/tail%len(taps)] == nil {
				outside[i] = true
			}
		}
	}
	for i, x := range v {
		switch {
		case outside[i]:
			x = r.extra
		case !isFloat(out[0].DType):
			lo, hi := bounds(out[0].DType)
			x = clamp(math.RoundToEven(x), lo, hi)
		}
		setFloat(out[0], i, x)
	}
}
