package build

import (
	"hash/fnv"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
)

// SiteOf is the identity of the layer that a node is (see package fuse).
func SiteOf(n *ir.Node) string { return n.Attrs.String("site", n.Outputs[0]) }

func (g *Graph) part(a *Adapter, part string) *ops.Node {
	return g.Leaf(AdapterParam(a.Site.Path, part))
}

func (a *Adapter) seed() uint64 {
	h := fnv.New64a()
	h.Write([]byte(a.Site.Path))
	return h.Sum64()
}

// adapterInput is what A reads: x, thinned by dropout while training.
func (g *Graph) adapterInput(a *Adapter, x *ops.Node) *ops.Node {
	if g.Keys == nil || a.Dropout == 0 {
		return x
	}
	return g.Dropout(x, g.Keys, a.Dropout, a.seed())
}

// lowerLinear is a linear layer with, where there is an adapter,
//
//	y = x·W + b + s·(x·Aᵀ)·Bᵀ           A (r, in)   B (out, r)
//
// and with DoRA y = c ∘ (x·W + s·(x·Aᵀ)·Bᵀ) + b, c = m/‖W + s·B·A‖ per output.
// s multiplies A, so that it is applied to the smallest tensor there is.
// Source: Hu et al. 2021, arXiv:2106.09685, eq. 3; Liu et al. 2024, arXiv:2402.09353, eq. 5.
func lowerLinear(g *Graph, n *ir.Node) {
	x := g.rowMajor(g.val(n.In(0)))
	transW := n.Attrs.Int("transW", 0) != 0
	w := g.nat(g.val(n.In(1)))
	var b *ops.Node
	if n.In(2) != "" {
		v := g.nat(g.val(n.In(2)))
		b = g.Reshape(v, length(ops.Shape(v)))
	}
	ad := g.net.adapters[SiteOf(n)]
	if ad == nil {
		g.set(n, with(g.Linear(x.node, w, b, transW), x.perm))
		return
	}
	if ad.Delta {
		ops.Fail("build: %s is a linear layer: a full update is for depthwise convolutions", ad.Site.Path)
	}
	// Dropout is keyed per image: axis 0 in memory must be the batch.
	xa := x.node
	if g.Keys != nil && ad.Dropout > 0 {
		xa = g.dropoutLinear(ad, x)
	}
	as := g.Unary(kernels.Affine, ad.Scaling, 0, g.part(ad, PartA))
	bb := g.part(ad, PartB)
	base := b
	if ad.DoRA {
		base = nil
	}
	var y *ops.Node
	if xa == x.node && !g.Needs(w) {
		y = g.LoRA(xa, w, base, as, bb, transW)
	} else {
		y = g.AddLinear(g.Linear(x.node, w, base, transW), g.Linear(xa, as, nil, true), bb, true)
	}
	y = g.biasB(ad, y)
	if ad.DoRA {
		y = g.ChannelAffine(y, g.DoRAScale(g.part(ad, PartMagnitude), w, as, bb, 1, !transW), b)
	}
	g.set(n, with(y, x.perm))
}

func (g *Graph) dropoutLinear(ad *Adapter, x val) *ops.Node {
	if x.memoryAxis(0) == 0 && ops.Shape(x.node)[0] == g.Batch {
		return g.adapterInput(ad, x.node)
	}
	for j, p := range x.perm { // (T, N, C) exporters: bring the batch to the front
		if x.dims[p] == g.Batch {
			move := append([]int{j}, deleteAt(identity(len(x.perm)), j)...)
			back := make([]int, len(move))
			for k, m := range move {
				back[m] = k
			}
			return g.Transpose(g.adapterInput(ad, g.Transpose(x.node, move...)), back...)
		}
	}
	ops.Fail("build: %s: dropout finds no batch axis in %v", ad.Site.Path, x.dims)
	return nil
}

func deleteAt(v []int, i int) []int { return append(v[:i:i], v[i+1:]...) }

// biasB adds s·bias of B.
func (g *Graph) biasB(ad *Adapter, y *ops.Node) *ops.Node {
	if !ad.Bias {
		return y
	}
	return g.ChannelAffine(y, nil, g.Unary(kernels.Affine, ad.Scaling, 0, g.part(ad, PartBiasB)))
}

// lowerConv is a convolution, followed by the affine map of a folded batch
// normalisation where there was one, with the adapter
//
//	y = (W ∗ x + s·B ∗ (A ∗ x))·σ + (b·σ + τ)       σ, τ (Cout): the fold
//
// A (r, Cin/g, kH, kW) has the layer's stride, padding, dilation and groups, B
// (Cout, r/g, 1, 1) its groups. σ scales W's rows (once) and B's (per step), so
// the adapter means the layer as the file has it, and the sum is one product.
func lowerConv(g *Graph, n *ir.Node) {
	x, ok := g.asPicture(g.val(n.In(0)))
	if !ok {
		g.host(n)
		return
	}
	xm := g.as(x, channelsLast)
	raw := g.pictureKernel(g.nat(g.val(n.In(1))))
	wdims := ops.Shape(raw)
	attr := convAttr(n, [2]int{wdims[2], wdims[3]}, x.dims[2:], pictureSize(g.dims(n)))
	cout := wdims[0]

	ad := g.net.adapters[SiteOf(n)]
	if ad != nil && ad.Delta {
		raw = g.Add(raw, g.part(ad, PartDelta))
	}
	scale, shift := n.In(3), n.In(4)
	w, b := raw, g.convBias(n, scale, shift, cout)
	if scale != "" {
		w = g.fold(n.Outputs[0]+"::weight", kernels.Mul, raw, g.nat(g.val(scale)))
	}
	if ad == nil || ad.Delta {
		g.set(n, g.reshape(with(g.conv(xm, w, b, attr), channelsLast), g.dims(n)))
		return
	}
	if len(g.dims(n)) != 4 {
		ops.Fail("build: %s is a one-dimensional convolution: leave it out of target_modules", ad.Site.Path)
	}
	if ad.DoRA && g.Needs(raw) {
		ops.Fail("build: %s: DoRA needs a frozen base weight", ad.Site.Path)
	}
	as := g.Unary(kernels.Affine, ad.Scaling, 0, g.part(ad, PartA))
	bb := g.part(ad, PartB)
	up := bb
	if scale != "" {
		up = g.Mul(bb, g.Reshape(g.nat(g.val(scale)), cout, 1, 1, 1))
	}
	base := b
	if ad.DoRA {
		base = nil
	}
	down := attr
	if ad.DenseA {
		down.Groups = 1
	}
	var y *ops.Node
	switch xa := g.adapterInput(ad, xm); {
	case attr.Groups == 1 && xa == xm && !g.Needs(w):
		y = g.convLoRA(xm, w, base, as, g.Reshape(up, cout, ad.Rank), attr)
	case attr.Groups == 1:
		y = g.AddLinear(g.conv(xm, w, base, attr), g.conv(xa, as, nil, down), g.Reshape(up, cout, ad.Rank), true)
	default:
		y = g.AddConv(g.conv(xm, w, base, attr), g.conv(xa, as, nil, down), up, ops.ConvAttr{Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: attr.Groups})
	}
	if ad.Bias {
		bias := g.Unary(kernels.Affine, ad.Scaling, 0, g.part(ad, PartBiasB))
		if scale != "" {
			bias = g.Mul(bias, g.nat(g.val(scale)))
		}
		y = g.ChannelAffine(y, nil, bias)
	}
	if ad.DoRA {
		groups := attr.Groups
		if ad.DenseA && groups > 1 {
			ops.Fail("build: %s: DoRA on a grouped convolution whose A reads all channels", ad.Site.Path)
		}
		m := g.part(ad, PartMagnitude)
		y = g.ChannelAffine(y, g.DoRAScale(g.Reshape(m, cout), raw, as, bb, groups, false), b)
	}
	g.set(n, with(y, channelsLast))
}

// conv is a convolution; a pointwise one is the faster product.
func (g *Graph) conv(x, w, b *ops.Node, a ops.ConvAttr) *ops.Node {
	if pointwise(w, a) {
		return g.Linear(x, g.Reshape(w, matrix(w)...), b, true)
	}
	return g.Conv(x, w, b, a)
}

// convLoRA is an ungrouped convolution with its low-rank update.
func (g *Graph) convLoRA(x, w, b, down, up *ops.Node, a ops.ConvAttr) *ops.Node {
	if pointwise(w, a) {
		return g.LoRA(x, g.Reshape(w, matrix(w)...), b, g.Reshape(down, matrix(down)...), up, true)
	}
	return g.ConvLoRA(x, w, b, down, up, a)
}

// pointwise reports whether a convolution keeps every pixel and reads nothing
// beside it: a linear layer over the pixels.
func pointwise(w *ops.Node, a ops.ConvAttr) bool {
	s := ops.Shape(w)
	return s[2] == 1 && s[3] == 1 && a.Groups == 1 && a.Stride == [2]int{1, 1} && a.Pads == [4]int{}
}

// matrix is the shape of a 1×1 kernel as a linear weight.
func matrix(w *ops.Node) []int { return ops.Shape(w)[:2] }

// convBias is b·σ + τ.
func (g *Graph) convBias(n *ir.Node, scale, shift string, cout int) *ops.Node {
	var b *ops.Node
	if n.In(2) != "" {
		b = g.Reshape(g.nat(g.val(n.In(2))), cout)
		if scale != "" {
			b = g.fold(n.Outputs[0]+"::bias_scaled", kernels.Mul, b, g.nat(g.val(scale)))
		}
	}
	if shift == "" {
		return b
	}
	t := g.Reshape(g.nat(g.val(shift)), cout)
	if b == nil {
		return t
	}
	return g.fold(n.Outputs[0]+"::bias", kernels.Add, b, t)
}

// fold combines a parameter with one value per leading index of it: in memory,
// once for all programs, if both are frozen leaves, in the graph otherwise.
func (g *Graph) fold(name string, f kernels.BinaryFunc, a, b *ops.Node) *ops.Node {
	dims := ops.Shape(a)
	am, bm := g.frozenMemory(a), g.frozenMemory(b)
	if am == nil || bm == nil {
		column := make([]int, len(dims))
		for i := range column {
			column[i] = 1
		}
		column[0] = dims[0]
		return g.Binary(f, a, g.Reshape(b, column...))
	}
	if l := g.Leaves[name]; l != nil {
		return l
	}
	mem := g.net.derived[name]
	if mem == nil {
		mem = buffer.New(buffer.F32, dims...)
		mem.Frozen = true
		av, bv, out := am.F32(), bm.F32(), mem.F32()
		per := len(av) / len(bv)
		for i := range out {
			x, z := float64(av[i]), float64(bv[i/per])
			if f == kernels.Mul {
				out[i] = float32(x * z)
			} else {
				out[i] = float32(x + z)
			}
		}
		g.net.derived[name] = mem
	}
	return g.leaf(name, mem, false, dims)
}

// frozenMemory is the float32 memory behind a frozen leaf or a reshape of one.
func (g *Graph) frozenMemory(n *ops.Node) *buffer.Buffer {
	for {
		if op := ops.OpOf(n); op != nil && op.Alias && len(op.In) == 1 && len(op.Reads) == 0 {
			n = op.In[0]
			continue
		}
		break
	}
	for name, l := range g.Leaves {
		if l == n && !g.Needs(n) {
			if b := g.net.derived[name]; b != nil {
				return b
			}
		}
	}
	return nil
}
