package eval

import (
	"math"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// init registers GridSample and AffineGrid.
func init() {
	register("GridSample", operator{minIn: 2, maxIn: 2, since: 16, run: runGridSample,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			c.wantFloat(1)
			c.wantSpatial(0)
			x, g := c.dims(0), c.dims(1)
			n := len(x) - 2
			if len(g) != len(x) || g[0] != x[0] || g[len(g)-1] != n {
				c.fail("has grid %s for %s", shapeString(g), shapeString(x))
			}
			return []ir.Type{spatialType(c.dtype(0), x[0], x[1], g[1:len(g)-1])}
		}})
	register("AffineGrid", operator{minIn: 2, maxIn: 2, since: 20, run: runAffineGrid,
		types: func(c *call) []ir.Type {
			c.wantFloat(0)
			size := c.list(1)
			n := len(size) - 2
			if d := c.dims(0); n != 2 && n != 3 || len(d) != 3 || d[0] != size[0] || d[1] != n || d[2] != n+1 {
				c.fail("has theta %s for size %v", shapeString(c.dims(0)), size)
			}
			out := append([]int{size[0]}, size[2:]...)
			return one(c.dtype(0), append(out, n))
		}})
}

// runGridSample reads the input at the grid's places, −1 to 1 across each
// spatial axis; the grid's last entry is the outermost axis.
func runGridSample(c *call, out []*ir.Tensor) {
	a := c.attrs()
	mode, padding, corners := a.String("mode", "linear"), a.String("padding_mode", "zeros"), a.Int("align_corners", 0) != 0
	x, grid, in := c.floats(0), c.floats(1), c.dims(0)[2:]
	n, rank := product(in), len(in)
	strides := rowMajor(in)
	points, ch := product(out[0].Dims[2:]), c.dims(0)[1]
	c.spend(out[0].Len(), 1<<(2*rank))
	taps := make([][]tap, rank)
	for b := range c.dims(0)[0] {
		for p := range points {
			for axis, length := range in {
				v := grid[(b*points+p)*rank+rank-1-axis]
				pos := ((v+1)*float64(length) - 1) / 2
				if corners {
					pos = (v + 1) / 2 * float64(length-1)
				}
				taps[axis] = c.gridTaps(mode, padding, corners, pos, length)
			}
			for k := range ch {
				setFloat(out[0], (b*ch+k)*points+p, gather(x[(b*ch+k)*n:][:n], taps, strides, 0, 1))
			}
		}
	}
}

// gather sums the weighted neighbours over all axes.
func gather(plane []float64, taps [][]tap, strides []int, at int, weight float64) float64 {
	if len(taps) == 0 {
		return weight * plane[at]
	}
	sum := 0.0
	for _, t := range taps[0] {
		sum += gather(plane, taps[1:], strides[1:], at+t.at*strides[0], weight*t.weight)
	}
	return sum
}

// gridTaps gives the weights of the neighbours of a position on one axis.
func (c *call) gridTaps(mode, padding string, corners bool, pos float64, length int) []tap {
	if math.IsNaN(pos) || math.IsInf(pos, 0) {
		pos = -100
	}
	lo, hi := -0.5, float64(length)-0.5
	if corners {
		lo, hi = 0, float64(length-1)
	}
	switch mode {
	case "linear", "bilinear", "nearest":
		// Positions are moved into the input first; cubic moves its neighbours.
		switch padding {
		case "border":
			pos = clamp(pos, 0, float64(length-1))
		case "reflection":
			pos = reflect(pos, lo, hi)
			if mode != "nearest" {
				pos = clamp(pos, 0, float64(length-1))
			}
		}
	case "cubic", "bicubic":
	default:
		c.fail("mode %q is not known", mode)
	}
	var taps []tap
	add := func(i int, w float64) {
		switch padding {
		case "border":
			i = min(max(i, 0), length-1)
		case "reflection":
			i = min(max(int(math.Round(reflect(float64(i), lo, hi))), 0), length-1)
		case "zeros":
		default:
			c.fail("padding_mode %q is not known", padding)
		}
		if i >= 0 && i < length && w != 0 {
			taps = append(taps, tap{i, w})
		}
	}
	pos = clamp(pos, -1e9, 1e9)
	base := math.Floor(pos)
	d := pos - base
	switch mode {
	case "nearest":
		add(int(math.RoundToEven(pos)), 1)
	case "linear", "bilinear":
		add(int(base), 1-d)
		add(int(base)+1, d)
	default:
		for k := -1; k <= 2; k++ {
			add(int(base)+k, cubicWeight(math.Abs(float64(k)-d), -0.75))
		}
	}
	return taps
}

// reflect folds x into [lo, hi] as between two mirrors.
func reflect(x, lo, hi float64) float64 {
	span := hi - lo
	if span <= 0 {
		return lo
	}
	x = math.Mod(math.Abs(x-lo), 2*span)
	if x > span {
		x = 2*span - x
	}
	return lo + x
}

// runAffineGrid maps the coordinates of every output position by theta.
func runAffineGrid(c *call, out []*ir.Tensor) {
	size, theta := c.list(1)[2:], c.floats(0)
	n, corners := len(size), c.attrs().Int("align_corners", 0) != 0
	pos, coord := make([]int, n), make([]float64, n+1)
	points := product(size)
	for b := range out[0].Dims[0] {
		for p := range points {
			unravel(p, size, pos)
			coord[n] = 1
			for a, length := range size {
				v := (2*float64(pos[a])+1)/float64(length) - 1
				if corners {
					v = 0
					if length > 1 {
						v = 2*float64(pos[a])/float64(length-1) - 1
					}
				}
				coord[n-1-a] = v
			}
			for i := range n {
				sum := 0.0
				for j, v := range coord {
					sum += theta[(b*n+i)*(n+1)+j] * v
				}
				setFloat(out[0], (b*points+p)*n+i, sum)
			}
		}
	}
}
