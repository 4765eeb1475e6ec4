package build

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

// lowerResize lowers Resize and Upsample in every mode: interpolation is
// separable, so each axis in turn is multiplied by a sparse matrix. Maps run
// channels-last.
func lowerResize(g *Graph, n *ir.Node) {
	x := g.val(n.In(0))
	r, ok := g.resizing(n, x.dims)
	if !ok {
		g.host(n)
		return
	}
	perm := x.perm
	if len(x.dims) == 4 {
		perm = channelsLast
	}
	node := g.as(x, perm)
	for j, p := range perm { // rows first: they are moved whole
		taps, ok := r.taps(p, x.dims[p])
		if !ok {
			g.host(n)
			return
		}
		node = g.AxisMap("resize", node, j, taps)
	}
	g.set(n, with(node, perm))
}

// maxAxis bounds the axes that get a matrix of taps.
const maxAxis = 1 << 20

// resizing is what a Resize node asks for, per logical axis.
type resizing struct {
	out                      []int
	scale                    []float64
	start, end               []float64 // of the region, as fractions
	mode, transform, nearest string
	cubic                    float64
	excludeOutside           bool
	antialias                bool
}

// resizing reads a node's attributes and constant inputs; ok is false for what
// is left to the host evaluator.
func (g *Graph) resizing(n *ir.Node, in []int) (r resizing, ok bool) {
	rank := len(in)
	r = resizing{out: g.dims(n), mode: n.Attrs.String("mode", "nearest"), transform: n.Attrs.String("coordinate_transformation_mode", "half_pixel"),
		nearest: n.Attrs.String("nearest_mode", "round_prefer_floor"), cubic: n.Attrs.Float("cubic_coeff_a", -0.75),
		excludeOutside: n.Attrs.Int("exclude_outside", 0) != 0, antialias: n.Attrs.Int("antialias", 0) != 0,
		scale: make([]float64, rank), start: make([]float64, rank), end: make([]float64, rank)}
	axes := identity(rank)
	if n.Attrs.Has("axes") {
		axes = n.Attrs.Ints("axes")
		for i, a := range axes {
			axes[i] = axis(a, rank)
		}
	}
	scales := n.In(2)
	if n.Op == "Upsample" || g.IR.Opset < 11 {
		r.transform, r.nearest, scales = "asymmetric", "floor", n.In(1)
	}
	for i := range rank {
		r.scale[i], r.end[i] = float64(r.out[i])/float64(in[i]), 1
	}
	if r.transform == "tf_crop_and_resize" {
		roi := g.IR.Tensors[n.In(1)]
		if roi == nil || roi.Len() != 2*len(axes) || n.Attrs.Float("extrapolation_value", 0) != 0 {
			return r, false
		}
		for i, a := range axes {
			r.start[a], r.end[a] = roi.Float(i), roi.Float(len(axes)+i)
		}
	}
	list := n.Attrs.Floats("scales")
	if t := g.IR.Tensors[scales]; t != nil && t.Len() > 0 {
		list = t.Float32s()
	} else if list == nil && scales != "" && t == nil {
		return r, false
	}
	switch {
	case list != nil:
		for i, a := range axes {
			r.scale[a] = float64(list[i])
		}
	case n.Attrs.String("keep_aspect_ratio_policy", "stretch") != "stretch":
		return r, false // the scale follows from sizes that the plan does not keep
	}
	return r, true
}

// taps is the matrix of one axis of length n.
func (r resizing) taps(axis, n int) ([][]ops.Tap, bool) {
	if r.out[axis] > maxAxis || n > maxAxis {
		return nil, false
	}
	taps := make([][]ops.Tap, r.out[axis])
	for i := range taps {
		x, inside, ok := r.source(axis, n, i)
		if !ok {
			return nil, false
		}
		if !inside {
			continue
		}
		if taps[i], ok = r.weights(x, n, r.scale[axis]); !ok {
			return nil, false
		}
	}
	return taps, true
}

// source is where output place i lies on the input axis, by
// coordinate_transformation_mode.
func (r resizing) source(axis, n, i int) (x float64, inside, ok bool) {
	o, scale, length, in := float64(i), r.scale[axis], float64(r.out[axis]), float64(n)
	switch r.transform {
	case "half_pixel":
		x = (o+0.5)/scale - 0.5
	case "half_pixel_symmetric":
		x = in/2*(1-length/(scale*in)) + (o+0.5)/scale - 0.5
	case "pytorch_half_pixel":
		if length > 1 {
			x = (o+0.5)/scale - 0.5
		}
	case "align_corners":
		if length > 1 {
			x = o * (in - 1) / (length - 1)
		}
	case "asymmetric":
		x = o / scale
	case "tf_half_pixel_for_nn":
		x = (o + 0.5) / scale
	case "tf_crop_and_resize":
		x = (r.start[axis] + r.end[axis]) / 2 * (in - 1)
		if length > 1 {
			x = r.start[axis]*(in-1) + o*(r.end[axis]-r.start[axis])*(in-1)/(length-1)
		}
		return x, x >= 0 && x <= in-1, true
	default:
		return 0, false, false
	}
	return x, true, true
}

// weights are the taps for input coordinate x: the filter of the mode, widened
// by 1/scale when antialias shrinks, cut or repeated at the edges, normalised.
func (r resizing) weights(x float64, n int, scale float64) ([]ops.Tap, bool) {
	stretch, support := 1.0, 1.0
	if r.antialias && scale < 1 {
		stretch = 1 / scale
	}
	filter := func(d float64) float64 { return max(0, 1-d) }
	switch r.mode {
	case "nearest":
		k, ok := r.round(x)
		return []ops.Tap{{At: min(max(k, 0), n-1), Weight: 1}}, ok
	case "linear", "bilinear", "trilinear":
	case "cubic":
		support = 2
		filter = func(d float64) float64 { return cubic(d, r.cubic) }
	default:
		return nil, false
	}
	var taps []ops.Tap
	sum := 0.0
	for k := int(math.Floor(x - support*stretch)); k <= int(math.Ceil(x+support*stretch)); k++ {
		w := filter(math.Abs(float64(k)-x) / stretch)
		if w == 0 || r.excludeOutside && (k < 0 || k >= n) {
			continue
		}
		sum += w
		at := min(max(k, 0), n-1)
		if i := slices.IndexFunc(taps, func(t ops.Tap) bool { return t.At == at }); i >= 0 {
			taps[i].Weight += w
			continue
		}
		taps = append(taps, ops.Tap{At: at, Weight: w})
	}
	for i := range taps {
		taps[i].Weight /= sum
	}
	return taps, true
}

// cubic is the cubic convolution kernel at distance d ≥ 0.
// Source: Keys 1981, "Cubic convolution interpolation for digital image processing".
func cubic(d, a float64) float64 {
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}

// round is nearest_mode. A scale is a float32 in the file: a coordinate that it
// left just beside an integer or a half is taken to lie on it.
func (r resizing) round(x float64) (int, bool) {
	if h := math.Round(2*x) / 2; math.Abs(x-h) < 1e-6*(1+math.Abs(x)) {
		x = h
	}
	switch r.nearest {
	case "round_prefer_floor":
		x = math.Ceil(x - 0.5)
	case "round_prefer_ceil":
		x = math.Floor(x + 0.5)
	case "floor":
		x = math.Floor(x)
	case "ceil":
		x = math.Ceil(x)
	default:
		return 0, false
	}
	return int(x), true
}
