package kernels

import "github.com/vislora/vislora/internal/buffer"

// strides gives the distances between rows and between columns of op(b).
func strides(b Buf, trans bool) (row, col int) {
	if trans {
		return 1, b.Pitch
	}
	return b.Pitch, 1
}

// from is s[i:], empty where a product of zero size lies beyond the end.
func from[T any](s []T, i int) []T { return s[min(i, len(s)):] }

func matMul[T buffer.Float](p MatMul) Run {
	a, b, y := buffer.Floats[T](p.A), buffer.Floats[T](p.B), buffer.Floats[T](p.Y)
	pa, pb := new(strided[T]), new(strided[T])
	pa.is, pa.ks = strides(p.A, p.TransA)
	pb.ks, pb.is = strides(p.B, p.TransB)
	g := &gemm[T]{m: p.M, n: p.N, factors: matrices(p.K, pa, pb), rs: p.Y.Pitch, cs: 1, alpha: 1, acc: p.Accumulate}
	if p.Bias != nil {
		g.bias = buffer.Floats[T](p.Bias)
	}
	if t := p.Thin; t != nil {
		h, c := &strided[T]{data: buffer.Floats[T](t.H)}, &strided[T]{data: buffer.Floats[T](t.C)}
		h.is, h.ks = strides(t.H, false)
		c.ks, c.is = strides(t.C, t.Trans)
		g.thin = matrices(t.H.Cols(), h, c)
	}
	free := pooled[T]()
	free.put(free.get())
	return func() {
		ws := free.get()
		for i := range max(p.Batch, 1) {
			pa.data, pb.data, g.c = from(a, i*p.StrideA), from(b, i*p.StrideB), from(y, i*p.StrideY)
			g.run(ws)
		}
		free.put(ws)
	}
}
