package kernels_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// gradient is one backward kernel under test. With L = Σ dy∘y the gradient of L
// by each input must be what the backward kernel writes.
type gradient struct {
	inputs, grads []*buffer.Buffer
	y, dy         *buffer.Buffer
	forward       []kernels.Run
	backward      []kernels.Run
}

// check compares with central differences in float64.
func (g gradient) check(t *testing.T, name string) {
	t.Helper()
	run := func(rs []kernels.Run) {
		for _, r := range rs {
			r()
		}
	}
	loss := func() float64 {
		run(g.forward)
		sum := 0.0
		for i, v := range g.y.F64() {
			sum += v * g.dy.F64()[i]
		}
		return sum
	}
	loss() // what the backward pass reads: statistics, probabilities, indices
	run(g.backward)
	for n, x := range g.inputs {
		grad := append([]float64(nil), g.grads[n].F64()...)
		scale := 0.0
		for _, v := range grad {
			scale = max(scale, math.Abs(v))
		}
		if scale == 0 {
			t.Errorf("%s: the gradient of input %d is zero everywhere", name, n)
		}
		for i, v := range x.F64() {
			const h = 1e-5
			x.F64()[i] = v + h
			up := loss()
			x.F64()[i] = v - h
			down := loss()
			x.F64()[i] = v
			if want := (up - down) / (2 * h); !(math.Abs(grad[i]-want) <= 1e-7*max(scale, 1)) {
				t.Fatalf("%s: gradient of input %d at %d is %v, differences give %v", name, n, i, grad[i], want)
			}
		}
	}
}

var rng = rand.New(rand.NewPCG(5, 6))

func random(shape ...int) *buffer.Buffer {
	b := buffer.New(buffer.F64, shape...)
	for i := range b.F64() {
		b.F64()[i] = rng.Float64()*2 - 1
	}
	return b
}

func like(b *buffer.Buffer) *buffer.Buffer { return buffer.New(buffer.F64, b.Shape...) }

// must returns a function that fails the test on an error of a binder.
func must(t *testing.T) func(kernels.Run, error) []kernels.Run {
	return func(r kernels.Run, err error) []kernels.Run {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return []kernels.Run{r}
	}
}

func TestGradients(t *testing.T) {
	k, bind := kernels.Go{}, must(t)

	x, gamma, beta := random(3, 7), random(7), random(7)
	y, dy := like(x), random(3, 7)
	ln := kernels.LayerNorm{X: x, Gamma: gamma, Beta: beta, Y: y, Mean: buffer.New(buffer.F64, 3), RStd: buffer.New(buffer.F64, 3), Epsilon: 1e-5,
		DY: dy, DX: like(x), DGamma: like(gamma), DBeta: like(beta)}
	gradient{[]*buffer.Buffer{x, gamma, beta}, []*buffer.Buffer{ln.DX, ln.DGamma, ln.DBeta}, y, dy, bind(k.LayerNorm(ln)), bind(k.LayerNormBackward(ln))}.check(t, "LayerNorm")

	for _, log := range []bool{false, true} {
		sm := kernels.Softmax{X: x, Y: y, DY: dy, DX: like(x), Log: log}
		gradient{[]*buffer.Buffer{x}, []*buffer.Buffer{sm.DX}, y, dy, bind(k.Softmax(sm)), bind(k.SoftmaxBackward(sm))}.check(t, "Softmax")
	}

	for f := kernels.Relu; f <= kernels.ThresholdedRelu; f++ {
		if f >= kernels.Floor && f <= kernels.Sign {
			continue // the gradient is zero by definition
		}
		u := kernels.Unary{Func: f, A: 0.4, B: 0.9, X: random(2, 9), Y: buffer.New(buffer.F64, 2, 9), DY: random(2, 9), DX: buffer.New(buffer.F64, 2, 9)}
		for i := range u.X.F64() { // positive: some have no value elsewhere
			u.X.F64()[i] = 0.2 + 0.07*float64(i) + 0.003
		}
		gradient{[]*buffer.Buffer{u.X}, []*buffer.Buffer{u.DX}, u.Y, u.DY, bind(k.Unary(u)), bind(k.UnaryBackward(u))}.check(t, "Unary")
		if f <= kernels.Tanh && f != kernels.Relu && f != kernels.HardSigmoid {
			for i := range u.X.F64() {
				u.X.F64()[i] -= 2
			}
			gradient{[]*buffer.Buffer{u.X}, []*buffer.Buffer{u.DX}, u.Y, u.DY, bind(k.Unary(u)), bind(k.UnaryBackward(u))}.check(t, "Unary, negative")
		}
	}

	for _, isMax := range []bool{false, true} {
		p := kernels.Pool{Max: isMax, X: random(1, 6, 5, 2), Y: buffer.New(buffer.F64, 1, 3, 3, 2), Kernel: [2]int{3, 2}, Stride: [2]int{2, 2}, Pads: [4]int{1, 0, 0, 1},
			Dilation: [2]int{1, 1}, DY: random(1, 3, 3, 2), DX: buffer.New(buffer.F64, 1, 6, 5, 2)}
		if isMax {
			p.Index = buffer.New(buffer.U8, 1, 3, 3, 2)
		}
		gradient{[]*buffer.Buffer{p.X}, []*buffer.Buffer{p.DX}, p.Y, p.DY, bind(k.Pool(p)), bind(k.PoolBackward(p))}.check(t, "Pool")
	}
}

func TestAttentionGradient(t *testing.T) {
	k, bind := kernels.Go{}, must(t)
	const tokens, heads, d = 4, 2, 3
	qkv, dqkv, o, do := random(1, tokens, 3*heads*d), buffer.New(buffer.F64, 1, tokens, 3*heads*d), buffer.New(buffer.F64, 1, tokens, heads*d), random(1, tokens, heads*d)
	view := func(b *buffer.Buffer, i, row int) kernels.View {
		return kernels.View{Buf: b, Offset: i * heads * d, Batch: tokens * row, Token: row, Head: d}
	}
	row := 3 * heads * d
	p := kernels.Attention{N: 1, Heads: heads, Tq: tokens, Tk: tokens, D: d, Dv: d, Scale: 0.7,
		Q: view(qkv, 0, row), K: view(qkv, 1, row), V: view(qkv, 2, row), O: view(o, 0, heads*d), DO: view(do, 0, heads*d),
		DQ: view(dqkv, 0, row), DK: view(dqkv, 1, row), DV: view(dqkv, 2, row), Mask: random(tokens, tokens),
		Stats: buffer.New(buffer.F64, 1, heads, tokens, 2), Scratch: buffer.New(buffer.F64, kernels.AttentionScratch(tokens, tokens, true))}
	gradient{[]*buffer.Buffer{qkv}, []*buffer.Buffer{dqkv}, o, do, bind(k.Attention(p)), bind(k.AttentionBackward(p))}.check(t, "Attention")
}

func TestConvGradients(t *testing.T) {
	k, bind := kernels.Go{}, must(t)
	for name, groups := range map[string]int{"dense": 1, "grouped": 2, "depthwise": 4} {
		f := kernels.Conv{X: random(1, 6, 5, 4), W: random(4, 4/groups, 3, 2), Bias: random(4), Y: buffer.New(buffer.F64, 1, 3, 5, 4),
			Stride: [2]int{2, 1}, Pads: [4]int{1, 0, 2, 2}, Dilation: [2]int{2, 2}, Groups: groups}
		dy := random(1, 3, 5, 4)
		data, weights := f, f
		data.X, data.Y, data.Bias = like(f.X), dy, nil
		weights.W, weights.Y, weights.Bias = like(f.W), dy, like(f.Bias)
		gradient{[]*buffer.Buffer{f.X, f.W, f.Bias}, []*buffer.Buffer{data.X, weights.W, weights.Bias}, f.Y, dy, bind(k.Conv(f)),
			append(bind(k.ConvBackwardData(data)), bind(k.ConvBackwardWeights(weights))...)}.check(t, name)
	}
}
