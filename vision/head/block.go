package head

import "github.com/vislora/vislora/internal/ops"

// normEpsilon is the ε of the layer norms, as in ViTDet.
const normEpsilon = 1e-6

// block is a convolution without bias, a LayerNorm over channels, and SiLU
// unless linear. The norm is the one of ViTDet (Li et al. 2022,
// arXiv:2203.16527): it knows no batch, so batches may be small.
type block struct {
	name                    string
	in, out, kernel, stride int
	depthwise, linear       bool
}

func (b block) declare(p *parameters) {
	in := b.in
	if b.depthwise {
		in = 1
	}
	p.add(b.name+".conv.weight", kaiming(in*b.kernel*b.kernel), b.out, in, b.kernel, b.kernel)
	p.add(b.name+".norm.weight", start{mean: 1}, b.out)
	p.add(b.name+".norm.bias", start{}, b.out)
}

// apply keeps the map's size for stride 1, and halves it, rounding up, for 2.
func (b block) apply(g Builder, x Value) Value {
	k := b.kernel / 2
	return b.padded(g, x, [4]int{k, k, k, k})
}

func (b block) padded(g Builder, x Value, pads [4]int) Value {
	a := convolution(b.stride)
	a.Pads = pads
	if b.depthwise {
		a.Groups = b.in
	}
	y := g.Conv(x, b.name+".conv.weight", "", a)
	y = g.LayerNorm(y, b.name+".norm.weight", b.name+".norm.bias", normEpsilon)
	if b.linear {
		return y
	}
	return g.SiLU(y)
}

func convolution(stride int) ops.ConvAttr {
	return ops.ConvAttr{Stride: [2]int{stride, stride}, Dilation: [2]int{1, 1}, Groups: 1}
}

// chain is blocks one after the other.
type chain []block

// conv3x3 is one 3×3 block, or a depthwise one and a 1×1 one in its place.
func conv3x3(name string, in, out int, depthwise bool) chain {
	if !depthwise {
		return chain{{name: name, in: in, out: out, kernel: 3, stride: 1}}
	}
	return chain{
		{name: name + ".depthwise", in: in, out: in, kernel: 3, stride: 1, depthwise: true},
		{name: name + ".pointwise", in: in, out: out, kernel: 1, stride: 1},
	}
}

func (c chain) declare(p *parameters) {
	for _, b := range c {
		b.declare(p)
	}
}

func (c chain) apply(g Builder, x Value) Value {
	for _, b := range c {
		x = b.apply(g, x)
	}
	return x
}

// predictor is a 1×1 convolution with bias, without a norm.
type predictor struct {
	name    string
	in, out int
}

// declare starts the weights at N(0, 0.01²), so that the first predictions are
// the bias (Lin et al. 2017, arXiv:1708.02002, §4.1).
func (c predictor) declare(p *parameters, bias float64) {
	p.add(c.name+".weight", start{deviation: 0.01}, c.out, c.in, 1, 1)
	p.add(c.name+".bias", start{mean: bias}, c.out)
}

func (c predictor) apply(g Builder, x Value) Value {
	return g.Conv(x, c.name+".weight", c.name+".bias", convolution(1))
}
