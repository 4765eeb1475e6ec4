//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import (
	"fmt"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// skinny is the longest short side that the skinny products take: the ranks of
// adapters.
const skinny = 16

// MatMul implements [kernels.Kernels]. Products with factors in bf16, or that are
// worth rounding, run in cells; skinny ones in loops of their own, the rest in
// float32.
func (k *Kernels) MatMul(p kernels.MatMul) (kernels.Run, error) {
	if p.Batch <= 1 {
		if run := k.sumRows(p); run != nil {
			return run, nil
		}
		if k.cells(p) {
			return k.ownProduct(p, true)
		}
	}
	if half(p.A, p.B, p.Y) {
		if p.Thin != nil {
			return kernels.SplitMatMul(k, p)
		}
		return nil, fmt.Errorf("kernels: MatMul: no product of %v and %v in bf16 (transposed: %v, %v)", p.A.Shape, p.B.Shape, p.TransA, p.TransB)
	}
	if s, err := p.Check(); !native(s, err, p.Y) || p.M*p.N*p.K == 0 {
		return k.Go.MatMul(p)
	}
	if p.Thin != nil && (k.large(p) || p.Thin.Makes()) {
		return kernels.SplitMatMul(k, p)
	}
	if p.Batch > 1 {
		return k.batched(p)
	}
	return k.floats(p)
}

// floats is one product in float32.
func (k *Kernels) floats(p kernels.MatMul) (kernels.Run, error) {
	kind, bytes, ok := skinnyKind(p)
	if !ok || p.Thin != nil {
		return k.ownProduct(p, false)
	}
	g := &C.vl_gemm{m: C.vl_n(p.M), n: C.vl_n(p.N), k: C.vl_n(p.K), lda: pitch(p.A), ldb: pitch(p.B), ldy: pitch(p.Y),
		ta: flag(p.TransA), tb: flag(p.TransB), acc: flag(p.Accumulate)}
	a, b, bias, y := ptr(p.A), ptr(p.B), ptr(p.Bias), ptr(p.Y)
	return func() { C.vl_skinny(kind, g, a, b, bias, y) }, reserve(bytes)
}

// batched are several products, one after the other, in float32: they are small.
func (k *Kernels) batched(p kernels.MatMul) (kernels.Run, error) {
	at := func(b *buffer.Buffer, trans bool, rows, cols, offset int) *buffer.Buffer {
		if trans {
			rows, cols = cols, rows
		}
		return buffer.At(b.From(offset), b.Storage, b.Pitch, rows, cols)
	}
	runs := make([]kernels.Run, p.Batch)
	for i := range runs {
		one := p
		one.Batch = 0
		one.A, one.B, one.Y = at(p.A, p.TransA, p.M, p.K, i*p.StrideA), at(p.B, p.TransB, p.K, p.N, i*p.StrideB), at(p.Y, false, p.M, p.N, i*p.StrideY)
		var err error
		if runs[i], err = k.floats(one); err != nil {
			return nil, err
		}
	}
	return func() {
		for _, run := range runs {
			run()
		}
	}, nil
}

// worth reports whether factors of float32 are rounded, or taken apart, for a product
// of this size.
func (k *Kernels) worth(m, n, terms int) bool {
	return k.parts > 0 && n > skinny && terms > k.terms && m >= k.rows && m*n*terms >= k.least
}

// large is worth for a product of matrices.
func (k *Kernels) large(p kernels.MatMul) bool { return k.worth(p.M, p.N, p.K) }

// skinnyKind tells which skinny product fits, and its scratch in bytes.
func skinnyKind(p kernels.MatMul) (kind C.int, bytes int, ok bool) {
	const long, broad = 32, 16
	switch {
	case !p.TransA && p.N <= skinny && p.K >= long:
		return C.VL_DOTS, 4 * p.N * p.K, true
	case p.K <= skinny && p.N >= long:
		return C.VL_WIDEN, 4 * p.N * p.K, true
	case p.TransA && !p.TransB && p.Bias == nil && p.M <= skinny && p.N >= broad:
		return C.VL_OUTER, 0, true
	case p.TransA && !p.TransB && p.Bias == nil && p.N <= skinny && p.M >= broad:
		return C.VL_OUTER_T, 4 * p.N * p.M, true
	}
	return 0, 0, false
}
