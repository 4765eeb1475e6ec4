package onednn

import (
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/testkernel"
)

func BenchmarkMatMul(b *testing.B) { testkernel.BenchMatMul(b, locked(b)) }

func BenchmarkConv(b *testing.B) { testkernel.BenchConv(b, locked(b)) }

func BenchmarkRows(b *testing.B) { testkernel.BenchRows(b, locked(b)) }

// BenchmarkHalves times element-wise kernels and a normalisation in bf16.
func BenchmarkHalves(b *testing.B) {
	k := locked(b)
	const rows, cols = 1576, 1536
	half := func() *buffer.Buffer { return buffer.New(buffer.BF16, rows, cols) }
	wide := func(shape ...int) *buffer.Buffer { return buffer.New(buffer.F32, shape...) }
	x, y, z := half(), half(), half()
	norm := kernels.LayerNorm{X: wide(rows, cols), Gamma: wide(cols), Beta: wide(cols), Y: y, Mean: wide(rows), RStd: wide(rows), Epsilon: 1e-6}
	for _, c := range []struct {
		name string
		bind func() (kernels.Run, error)
	}{
		{"gelu+deriv", func() (kernels.Run, error) { return k.Unary(kernels.Unary{Func: kernels.Gelu, X: x, Y: y, Deriv: z}) }},
		{"deriv backward", func() (kernels.Run, error) {
			return k.UnaryBackward(kernels.Unary{Func: kernels.Gelu, Deriv: z, DY: x, DX: y})
		}},
		{"layernorm", func() (kernels.Run, error) { return k.LayerNorm(norm) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			run, err := c.bind()
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				run()
			}
		})
	}
}
