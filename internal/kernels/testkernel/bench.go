package testkernel

import (
	"fmt"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// BenchMatMul times products by shape: those of ViT-S with 8 pictures of 197
// tokens, the skinny ones of an adapter of rank 8, and the widest and the
// narrowest of ViT-Ti and ViT-B.
func BenchMatMul(b *testing.B, k kernels.Kernels) {
	for _, c := range []struct {
		name           string
		m, n, k        int
		ta, tb, frozen bool
	}{
		{"frozen", 1576, 1152, 384, false, false, true},
		{"plain", 1576, 1152, 384, false, false, false},
		{"frozen", 1576, 384, 1536, false, false, true},
		{"plain", 1576, 384, 1536, false, false, false},
		{"frozenT", 1576, 384, 1152, false, true, true},
		{"plainT", 1576, 384, 1152, false, true, false},
		{"dW", 384, 1152, 1576, true, false, false},
		{"h=xAt", 1576, 8, 384, false, true, false},
		{"y=hBt", 1576, 1152, 8, false, true, false},
		{"dh=dyB", 1576, 8, 1152, false, false, false},
		{"dx=dhA", 1576, 384, 8, false, false, false},
		{"dA=uTx", 8, 384, 1576, true, false, false},
		{"dB=dyTh", 1152, 8, 1576, true, false, false},
		{"frozen", 1576, 768, 192, false, false, true},
		{"frozenT", 1576, 192, 768, false, true, true},
		{"frozen", 1576, 192, 192, false, false, true},
		{"frozen", 1576, 3072, 768, false, false, true},
		{"frozenT", 1576, 768, 3072, false, true, true},
		{"frozen", 1576, 768, 768, false, false, true},
	} {
		b.Run(fmt.Sprintf("%s/%s/%dx%dx%d", k.Name(), c.name, c.m, c.n, c.k), func(b *testing.B) {
			p := kernels.MatMul{M: c.m, N: c.n, K: c.k, TransA: c.ta, TransB: c.tb, Accumulate: c.name == "y=hBt" || c.name == "dx=dhA"}
			p.A, p.B, p.Y = ones(c.m, c.k, c.ta), ones(c.k, c.n, c.tb), ones(c.m, c.n, false)
			p.B.Frozen = c.frozen
			run, err := k.MatMul(p)
			bench(b, run, err, 2*float64(c.m)*float64(c.n)*float64(c.k))
		})
	}
}

// BenchConv times the three directions of convolutions of ResNet and ConvNeXt.
func BenchConv(b *testing.B, k kernels.Kernels) {
	for _, c := range []struct{ cin, cout, size, kernel, stride, groups int }{
		{64, 64, 56, 3, 1, 1}, {256, 256, 14, 3, 1, 1}, {64, 256, 56, 1, 1, 1}, {256, 128, 56, 1, 2, 1}, {96, 96, 56, 3, 1, 96}, {96, 96, 56, 7, 1, 96}, {3, 384, 224, 16, 16, 1}, {64, 8, 56, 3, 1, 1},
		{256, 256, 14, 3, 1, 32}, {3, 64, 224, 7, 2, 1}, {128, 128, 28, 3, 1, 1}, {512, 512, 7, 3, 1, 1}, {128, 256, 28, 3, 2, 1}, {1024, 256, 14, 1, 1, 1}, {512, 2048, 7, 1, 1, 1},
	} {
		pad := 0
		if c.kernel < 16 {
			pad = c.kernel / 2
		}
		out := (c.size+2*pad-c.kernel)/c.stride + 1
		p := kernels.Conv{X: ones(1, c.size*c.size*c.cin, false).Reshape(1, c.size, c.size, c.cin), W: ones(1, c.cout*c.cin/c.groups*c.kernel*c.kernel, false).Reshape(c.cout, c.cin/c.groups, c.kernel, c.kernel),
			Y: ones(1, out*out*c.cout, false).Reshape(1, out, out, c.cout), Stride: [2]int{c.stride, c.stride}, Pads: [4]int{pad, pad, pad, pad}, Dilation: [2]int{1, 1}, Groups: c.groups}
		p.W.Frozen = true
		flops := 2 * float64(out*out*c.cout) * float64(c.cin/c.groups*c.kernel*c.kernel)
		name := fmt.Sprintf("%s/%d-%d@%d k%d s%d g%d", k.Name(), c.cin, c.cout, c.size, c.kernel, c.stride, c.groups)
		b.Run(name+"/forward", func(b *testing.B) { run, err := k.Conv(p); bench(b, run, err, flops) })
		b.Run(name+"/data", func(b *testing.B) { run, err := k.ConvBackwardData(p); bench(b, run, err, flops) })
		p.W.Frozen = false
		b.Run(name+"/weights", func(b *testing.B) { run, err := k.ConvBackwardWeights(p); bench(b, run, err, flops) })
	}
}

// BenchRows times what is bound by memory or by exp.
func BenchRows(b *testing.B, k kernels.Kernels) {
	x, y, d, z := ones(1576, 1536, false), ones(1576, 1536, false), ones(1576, 1536, false), ones(1576, 1536, false)
	vec, mean, rstd := ones(1, 1536, false), ones(1, 1576, false), ones(1, 1576, false)
	qkv, o, prob := ones(1576, 1152, false), ones(1576, 384, false), ones(8*6*197, 197, false).Reshape(8, 6, 197, 197)
	dqkv := ones(1576, 1152, false)
	view := func(b *buffer.Buffer, offset, token int) kernels.View {
		return kernels.View{Buf: b, Offset: offset, Batch: 197 * token, Token: token, Head: 64}
	}
	att := kernels.Attention{N: 8, Heads: 6, Tq: 197, Tk: 197, D: 64, Dv: 64, Scale: 0.125, Q: view(qkv, 0, 1152), K: view(qkv, 384, 1152), V: view(qkv, 768, 1152), O: view(o, 0, 384), Stats: ones(8*6*197, 2, false).Reshape(8, 6, 197, 2),
		DO: view(o, 0, 384), DQ: view(dqkv, 0, 1152), DK: view(dqkv, 384, 1152), DV: view(dqkv, 768, 1152), Scratch: ones(1, kernels.AttentionScratch(197, 197, true), false)}
	norm := kernels.LayerNorm{X: x, Y: y, Gamma: vec, Beta: vec, Mean: mean, RStd: rstd, Epsilon: 1e-6, DY: d, DX: z}
	for _, c := range []struct {
		name string
		bind func() (kernels.Run, error)
	}{
		{"gelu", func() (kernels.Run, error) { return k.Unary(kernels.Unary{Func: kernels.Gelu, X: x, Y: y}) }},
		{"gelu+deriv", func() (kernels.Run, error) { return k.Unary(kernels.Unary{Func: kernels.Gelu, X: x, Y: y, Deriv: d}) }},
		{"gelu backward", func() (kernels.Run, error) {
			return k.UnaryBackward(kernels.Unary{Func: kernels.Gelu, X: x, DY: y, DX: z})
		}},
		{"deriv backward", func() (kernels.Run, error) {
			return k.UnaryBackward(kernels.Unary{Func: kernels.Gelu, Deriv: d, DY: y, DX: z})
		}},
		{"silu", func() (kernels.Run, error) { return k.Unary(kernels.Unary{Func: kernels.Silu, X: x, Y: y}) }},
		{"relu", func() (kernels.Run, error) { return k.Unary(kernels.Unary{Func: kernels.Relu, X: x, Y: y}) }},
		{"layernorm", func() (kernels.Run, error) { return k.LayerNorm(norm) }},
		{"layernorm backward", func() (kernels.Run, error) { return k.LayerNormBackward(norm) }},
		{"softmax", func() (kernels.Run, error) { return k.Softmax(kernels.Softmax{X: prob, Y: prob}) }},
		{"attention", func() (kernels.Run, error) { return k.Attention(att) }},
		{"attention backward", func() (kernels.Run, error) { return k.AttentionBackward(att) }},
		{"add", func() (kernels.Run, error) { return k.Binary(kernels.Binary{Func: kernels.Add, X: x, Z: y, Y: z}) }},
		{"column sum", func() (kernels.Run, error) { return k.ColumnSum(kernels.ColumnSum{X: x, Y: vec}) }},
		{"transpose", func() (kernels.Run, error) {
			return k.Copy(kernels.Copy{Src: x, Dst: y, Dims: []int{1536, 1576}, SrcStrides: []int{1, 1536}, DstStrides: []int{1576, 1}})
		}},
	} {
		b.Run(k.Name()+"/"+c.name, func(b *testing.B) { run, err := c.bind(); bench(b, run, err, 0) })
	}
}

// ones is a (rows, cols) matrix, stored transposed if trans, of small values.
func ones(rows, cols int, trans bool) *buffer.Buffer {
	if trans {
		rows, cols = cols, rows
	}
	b := buffer.New(buffer.F32, rows, cols)
	for i := range b.F32() {
		b.F32()[i] = float32(i%7) * 0.1
	}
	return b
}

func bench(b *testing.B, run kernels.Run, err error, flops float64) {
	if err != nil {
		b.Fatal(err)
	}
	run()
	for b.Loop() {
		run()
	}
	if flops > 0 {
		b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
	}
}
