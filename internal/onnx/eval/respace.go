package eval

import (
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// Another size of the picture than the file fixes. A first walk with the file's
// own size tells, for every value, which lengths follow from the picture; what
// the file wrote down about those is rewritten where it is plain what it means:
// shapes of Reshape and Expand, sizes of Resize, ends of Slice, and the
// position embedding of a vision transformer. Everything else is an error that
// names the node that does not fit.

// otherSize gives the shapes that the file was exported for, where the picture
// has another height or width now; nil where it has not.
func otherSize(inputs []ir.Value, shapes [][]int) [][]int {
	var fixed [][]int
	changed := false
	for i, dims := range shapes {
		dims = slices.Clone(dims)
		if t := inputs[i].Type; t.Known && len(dims) == 4 && len(t.Dims) == 4 {
			for a := 1; a < 4; a++ {
				if t.Dims[a] > 0 && t.Dims[a] != dims[a] {
					dims[a], changed = t.Dims[a], true
				}
			}
		}
		fixed = append(fixed, dims)
	}
	if !changed {
		return nil
	}
	return fixed
}

// hardCoded explains an error of a walk with another size.
func hardCoded(err error) error {
	return fmt.Errorf("the file hard-codes the size of its picture: %w; use its own size, or export it with dynamic height and width", err)
}

// respace rewrites one node for the new size.
func (inf *inferrer) respace(n *ir.Node, args []arg) error {
	switch n.Op {
	case "Concat":
		if inf.batchStays() {
			return nil
		}
		return inf.rebatchConcat(n, args)
	case "Add":
		inf.respacePositions(n, args)
		return nil
	case "Reshape", "Expand", "Slice", "Resize":
	default:
		return nil
	}
	if len(args) == 0 || args[0].t != nil {
		return nil
	}
	was, is := inf.base[n.Inputs[0]], args[0].typ.Dims
	if was == nil || len(was) != len(is) || slices.Equal(was, is) {
		return nil
	}
	list := map[string]int{"Reshape": 1, "Expand": 1, "Slice": 2, "Resize": 3}[n.Op]
	if list >= len(args) || args[list].t == nil || len(args[list].typ.Dims) != 1 {
		return nil
	}
	written := args[list].t.Ints()
	want := slices.Clone(written)
	switch n.Op {
	case "Reshape":
		out := inf.base[n.Outputs[0]]
		if dims, err := reshapeDims(is, written, n.Attrs.Int("allowzero", 0) != 0); err == nil && slices.Contains(written, -1) && plausible(was, is, out, dims) {
			return nil
		}
		var ok bool
		if want, ok = follow(was, is, out); !ok {
			return fmt.Errorf("%s: Reshape: cannot tell what shape %s, written for %s, means for %s", describe(n), shapeString(written), shapeString(was), shapeString(is))
		}
	case "Expand":
		for j := range written {
			if a := j + len(was) - len(written); a >= 0 && was[a] != 1 && written[j] == was[a] {
				want[j] = is[a]
			}
		}
	case "Slice":
		axes := identityAxes(len(written))
		if len(args) > 3 && args[3].t != nil {
			axes = args[3].t.Ints()
		}
		for j, a := range axes {
			if a < 0 {
				a += len(was)
			}
			if a >= 0 && a < len(was) && was[a] != is[a] && written[j] == was[a] {
				want[j] = is[a]
			}
		}
	case "Resize":
		if n.Attrs.Has("axes") || len(written) != len(is) {
			return nil
		}
		for a := range is { // by the same factor
			if was[a] != is[a] && written[a]*is[a]%was[a] == 0 {
				want[a] = written[a] * is[a] / was[a]
			}
		}
	}
	if slices.Equal(want, written) {
		return nil
	}
	inf.rewriteShape(n, args, list, want)
	return nil
}

func identityAxes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// plausible reports whether a shape with a −1 in it still means the same: only
// lengths that grouping allows to change have changed.
func plausible(was, is, out, dims []int) bool {
	want, ok := follow(was, is, out)
	return !ok || slices.Equal(want, dims)
}

// follow gives the shape for an input of shape is that out was for an input of
// shape was. Axes are grouped where products meet; a length that changed must
// stand alone in its group, or be merged into one.
func follow(was, is, out []int) ([]int, bool) {
	want := slices.Clone(out)
	i, j := 0, 0
	for i < len(was) || j < len(out) {
		switch { // lengths of 1 that only one side has belong to no group
		case i < len(was) && j < len(out) && was[i] == out[j]:
			want[j] = is[i]
			i, j = i+1, j+1
			continue
		case i < len(was) && was[i] == 1:
			if is[i] != 1 {
				return nil, false
			}
			i++
			continue
		case j < len(out) && out[j] == 1:
			j++
			continue
		case i == len(was) || j == len(out):
			return nil, false
		}
		i0, j0, a, b, changed := i, j, was[i], out[j], was[i] != is[i]
		i, j = i+1, j+1
		for a != b {
			if a < b {
				if i == len(was) {
					return nil, false
				}
				changed = changed || was[i] != is[i]
				a *= was[i]
				i++
			} else {
				if j == len(out) {
					return nil, false
				}
				b *= out[j]
				j++
			}
		}
		if !changed {
			continue
		}
		if j-j0 != 1 {
			return nil, false
		}
		want[j0] = product(is[i0:i])
	}
	return want, true
}

// respacePositions interpolates the position embedding where it is added: a
// constant with one row per token, where the number of tokens follows from the
// grid of patches. Leading tokens (class, registers) keep theirs.
//
// Bicubic with antialiasing, as timm's resample_abs_pos_embed does it.
func (inf *inferrer) respacePositions(n *ir.Node, args []arg) {
	for k, a := range args {
		data := args[1-k]
		if a.t == nil || data.t != nil || !isFloat(a.t.DType) || len(a.typ.Dims) < 2 {
			continue
		}
		was, is := inf.base[n.Inputs[1-k]], data.typ.Dims
		d := a.typ.Dims
		rank := len(is)
		if rank < 3 || len(was) != rank || len(d) > rank || product(d[:len(d)-2]) != 1 {
			continue
		}
		old, tokens := was[rank-2], is[rank-2]
		if d[len(d)-2] != old || old == tokens || d[len(d)-1] != is[rank-1] {
			continue
		}
		from, to, prefix, ok := inf.grids(old, tokens)
		if !ok {
			continue
		}
		dims := slices.Clone(d)
		dims[len(d)-2] = tokens
		resampled := newTensor(a.t.DType, dims)
		for i, v := range resamplePositions(a.t.Float32s(), d[len(d)-1], prefix, from, to) {
			setFloat(resampled, i, float64(v))
		}
		inf.rewrite(n, args, k, "positions", resampled)
	}
}

// grids finds the map that the tokens came from: the feature map, among those
// before this node, whose pixels count the tokens but a few with both sizes.
func (inf *inferrer) grids(old, tokens int) (from, to [2]int, prefix int, ok bool) {
	for _, m := range slices.Backward(inf.nodes) {
		if m.Op != "Conv" {
			continue
		}
		was, is := inf.base[m.Outputs[0]], inf.shapes[m.Outputs[0]]
		if len(was) != 4 || len(is) != 4 {
			continue
		}
		from, to = [2]int{was[2], was[3]}, [2]int{is[2], is[3]}
		prefix = old - from[0]*from[1]
		if prefix >= 0 && prefix <= 16 && tokens-to[0]*to[1] == prefix {
			return from, to, prefix, true
		}
	}
	return from, to, 0, false
}

// resamplePositions resamples a grid of rows of length c, behind prefix rows
// that stay.
func resamplePositions(v []float32, c, prefix int, from, to [2]int) []float32 {
	out := append([]float32{}, v[:prefix*c]...)
	grid := v[prefix*c:]
	rows, columns := cubicTaps(from[0], to[0]), cubicTaps(from[1], to[1])
	half := make([]float64, to[0]*from[1]*c) // rows first
	for y, list := range rows {
		for _, t := range list {
			for i := range from[1] * c {
				half[y*from[1]*c+i] += t.weight * float64(grid[t.at*from[1]*c+i])
			}
		}
	}
	row := make([]float64, c)
	for y := range to[0] {
		for _, list := range columns {
			clear(row)
			for _, t := range list {
				axpy(row, t.weight, half[(y*from[1]+t.at)*c:][:c])
			}
			for _, s := range row {
				out = append(out, float32(s))
			}
		}
	}
	return out
}

// cubicTaps are the weights of PyTorch's antialiased bicubic interpolation:
// Keys' kernel with a = −1/2, as in Pillow, widened where it shrinks, cut at
// the edges and normalised.
func cubicTaps(in, out int) [][]tap {
	scale := float64(in) / float64(out)
	stretch := math.Max(scale, 1)
	taps := make([][]tap, out)
	for i := range taps {
		center := scale * (float64(i) + 0.5)
		lo, hi := max(0, int(center-2*stretch+0.5)), min(in, int(center+2*stretch+0.5))
		sum := 0.0
		for k := lo; k < hi; k++ {
			w := cubicWeight(math.Abs((float64(k)-center+0.5)/stretch), -0.5)
			sum += w
			taps[i] = append(taps[i], tap{k, w})
		}
		for k := range taps[i] {
			taps[i][k].weight /= sum
		}
	}
	return taps
}
