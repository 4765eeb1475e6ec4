package ops

// LinearTaps interpolates an axis of length old to n places for
// [Graph.AxisMap]: place i reads (i + ½)·old/n − ½, cut to the axis
// (align_corners false in PyTorch, half_pixel in ONNX). Shrinking reads two
// neighbours all the same: it does not average.
func LinearTaps(old, n int) [][]Tap {
	taps := make([][]Tap, n)
	for i := range taps {
		x := max(0, (float64(i)+0.5)*float64(old)/float64(n)-0.5)
		low := min(int(x), old-1)
		f := x - float64(low)
		if f <= 0 || low == old-1 {
			taps[i] = []Tap{{low, 1}}
			continue
		}
		taps[i] = []Tap{{low, 1 - f}, {low + 1, f}}
	}
	return taps
}

// Bilinear resizes maps by [LinearTaps] along both axes.
//
//	x (N, H, W, C)   y (N, height, width, C)
func (g *Graph) Bilinear(x *Node, height, width int) *Node {
	if s := Shape(x); len(s) != 4 || height < 1 || width < 1 {
		Fail("ops: bilinear: input %v to %d×%d: want (N, H, W, C) and at least one place", s, height, width)
	}
	// The axis that grows less goes first: less is moved.
	s := Shape(x)
	if height*s[2] > width*s[1] {
		x = g.AxisMap("bilinear", x, 2, LinearTaps(s[2], width))
		return g.AxisMap("bilinear", x, 1, LinearTaps(s[1], height))
	}
	x = g.AxisMap("bilinear", x, 1, LinearTaps(s[1], height))
	return g.AxisMap("bilinear", x, 2, LinearTaps(s[2], width))
}
