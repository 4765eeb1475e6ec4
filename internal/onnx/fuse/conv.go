package fuse

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// fuseConv gives every two-dimensional convolution with constant weight its
// canonical form (padding resolved, all attributes present) and folds what
// follows it alone: a bias written as Add, BatchNormalization in inference
// mode, and constant per-channel Mul, Div, Add and Sub,
//
//	y = conv(x, W, b)·scale + shift,  scale = γ/√(σ²+ε),  shift = β − μ·scale.
//
// W and b are never touched: an adapter means the layer as the file has it.
func fuseConv(g *ir.Graph, keepBatchNorm bool) bool {
	m := newMatcher(g)
	changed := false
	for _, n := range slices.Clone(g.Nodes) {
		if !m.dead(n) && standard(n, "Conv") {
			changed = m.conv(n, keepBatchNorm) || changed
		}
	}
	return changed
}

func (m *matcher) conv(n *ir.Node, keepBatchNorm bool) bool {
	w := m.constant(n.In(1))
	x, ok1 := m.dims(n.In(0))
	y, ok2 := m.dims(n.Outputs[0])
	if w == nil || len(w.Dims) != 4 || !isFloat(w.DType) || !ok1 || !ok2 || len(x) != 4 || len(y) != 4 {
		return false
	}
	if b := n.In(2); b != "" && !m.channelVector(b, w.Dims[0]) {
		return false
	}
	attrs, ok := convAttrs(n, w, x, y)
	if !ok {
		return false
	}
	attrs[AttrSite] = n.Outputs[0]
	last, bias, fold := n, n.In(2), &affine{channels: w.Dims[0]}
	for {
		next := m.onlyReader(last.Outputs[0])
		if next == nil || !m.sameDims(next, n) {
			break
		}
		if standard(next, "Add") && bias == "" && !fold.any() {
			if c := other(next, last.Outputs[0]); m.perChannel(c, w.Dims[0]) {
				bias, last = m.vector(c), next
				continue
			}
		}
		if keepBatchNorm && standard(next, "BatchNormalization") || !m.fold(fold, next, last.Outputs[0]) {
			break
		}
		last = next
	}
	out := last.Outputs[0]
	scale, shift := "", ""
	if fold.any() {
		scale = m.add(fold.tensor(out+"::scale", fold.scale))
		shift = m.add(fold.tensor(out+"::shift", fold.shift))
	}
	m.replace(last, &ir.Node{Op: ir.Conv, Domain: ir.DomainVislora, Name: n.Name,
		Inputs: []string{n.In(0), n.In(1), bias, scale, shift}, Outputs: []string{out}, Attrs: attrs})
	return true
}

// convAttrs resolves the attributes of Conv against its static shapes.
func convAttrs(n *ir.Node, w *ir.Tensor, x, y []int) (ir.Attrs, bool) {
	pair := func(name string) ([]int, bool) {
		v := n.Attrs.Ints(name)
		if v == nil {
			v = []int{1, 1}
		}
		return v, len(v) == 2 && v[0] > 0 && v[1] > 0
	}
	strides, ok1 := pair("strides")
	dilations, ok2 := pair("dilations")
	if !ok1 || !ok2 {
		return nil, false
	}
	kernel := w.Dims[2:4]
	pads := n.Attrs.Ints("pads")
	switch auto := n.Attrs.String("auto_pad", "NOTSET"); auto {
	case "SAME_UPPER", "SAME_LOWER":
		pads = make([]int, 4)
		for i := range 2 {
			out := (x[2+i] + strides[i] - 1) / strides[i]
			total := max(0, (out-1)*strides[i]+(kernel[i]-1)*dilations[i]+1-x[2+i])
			pads[i], pads[2+i] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				pads[i], pads[2+i] = pads[2+i], pads[i]
			}
		}
	case "VALID":
		pads = make([]int, 4)
	default:
		if pads == nil {
			pads = make([]int, 4)
		}
	}
	if len(pads) != 4 {
		return nil, false
	}
	for i := range 2 {
		if (x[2+i]+pads[i]+pads[2+i]-(kernel[i]-1)*dilations[i]-1)/strides[i]+1 != y[2+i] {
			return nil, false
		}
	}
	return ir.Attrs{"pads": int64s(pads), "strides": int64s(strides), "dilations": int64s(dilations),
		"kernel_shape": int64s(kernel), "group": int64(n.Attrs.Int("group", 1))}, true
}

func int64s(v []int) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

// affine collects y·scale + shift per channel in float64.
type affine struct {
	channels     int
	scale, shift []float64
}

func (a *affine) any() bool { return a.scale != nil }

// then applies y ← y·scale + shift after what was collected.
func (a *affine) then(scale, shift func(c int) float64) {
	if a.scale == nil {
		a.scale, a.shift = make([]float64, a.channels), make([]float64, a.channels)
		for c := range a.scale {
			a.scale[c] = 1
		}
	}
	for c := range a.scale {
		s := scale(c)
		a.scale[c] *= s
		a.shift[c] = a.shift[c]*s + shift(c)
	}
}

func (a *affine) tensor(name string, v []float64) *ir.Tensor {
	f := make([]float32, len(v))
	for i, x := range v {
		f[i] = float32(x)
	}
	return ir.FromFloat32s(name, f, len(f))
}

// fold takes one node that follows a convolution into the affine, if it is one.
func (m *matcher) fold(a *affine, n *ir.Node, value string) bool {
	zero := func(int) float64 { return 0 }
	one := func(int) float64 { return 1 }
	switch {
	case standard(n, "BatchNormalization"):
		return m.foldBatchNorm(a, n, value)
	case standard(n, "Mul", "Add"):
		c := other(n, value)
		if !m.perChannel(c, a.channels) {
			return false
		}
		if n.Op == "Mul" {
			a.then(m.constant(c).Float, zero)
		} else {
			a.then(one, m.constant(c).Float)
		}
		return true
	case standard(n, "Div", "Sub"):
		if n.In(0) != value || !m.perChannel(n.In(1), a.channels) {
			return false
		}
		t := m.constant(n.In(1))
		if n.Op == "Div" {
			a.then(func(c int) float64 { return 1 / t.Float(c) }, zero)
		} else {
			a.then(one, func(c int) float64 { return -t.Float(c) })
		}
		return true
	}
	return false
}

func (m *matcher) foldBatchNorm(a *affine, n *ir.Node, value string) bool {
	if n.In(0) != value || n.Attrs.Int("training_mode", 0) != 0 {
		return false
	}
	for _, o := range n.Outputs[1:] {
		if m.reads[o] > 0 {
			return false
		}
	}
	var p [4]*ir.Tensor
	for i := range p {
		if !m.channelVector(n.In(1+i), a.channels) {
			return false
		}
		p[i] = m.constant(n.In(1 + i))
	}
	gamma, beta, mean, variance := p[0], p[1], p[2], p[3]
	eps := n.Attrs.Float("epsilon", 1e-5)
	scale := func(c int) float64 { return gamma.Float(c) / math.Sqrt(variance.Float(c)+eps) }
	a.then(scale, func(c int) float64 { return beta.Float(c) - mean.Float(c)*scale(c) })
	return true
}

// channelVector reports whether v is a constant vector of one float per channel.
func (m *matcher) channelVector(v string, channels int) bool {
	t := m.constant(v)
	return t != nil && isFloat(t.DType) && t.Len() == channels
}

// perChannel reports whether constant v holds one number per channel of
// (N, C, H, W): dimensions (C, 1, 1) or (1, C, 1, 1).
func (m *matcher) perChannel(v string, channels int) bool {
	t := m.constant(v)
	if t == nil || !isFloat(t.DType) || t.Len() != channels || len(t.Dims) < 3 || len(t.Dims) > 4 {
		return false
	}
	return t.Dims[len(t.Dims)-3] == channels
}
