//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import (
	"fmt"

	"github.com/vislora/vislora/internal/kernels"
)

// skinny is the longest short side that the skinny products take: the ranks of
// adapters.
const skinny = 16

// MatMul implements [kernels.Kernels]. Products with factors in bf16, or that are
// worth rounding, run in cells; skinny ones in loops of their own, batches and what
// is scaled in dnnl_sgemm, the rest in own products.
func (k *Kernels) MatMul(p kernels.MatMul) (kernels.Run, error) {
	if run := k.sumRows(p); run != nil {
		return run, nil
	}
	if k.cells(p) {
		return k.ownProduct(p)
	}
	if p.Thin != nil && !k.own(p) {
		return kernels.SplitMatMul(k, p)
	}
	if half(p.A, p.B, p.Y) {
		return nil, fmt.Errorf("kernels: MatMul: no product of %v and %v in bf16 (transposed: %v, %v)", p.A.Shape, p.B.Shape, p.TransA, p.TransB)
	}
	s, err := p.Check()
	if !native(s, err, p.Y) || p.M == 0 || p.N == 0 || p.K == 0 {
		return k.Go.MatMul(p)
	}
	g := product(p)
	a, b, bias, y := ptr(p.A), ptr(p.B), ptr(p.Bias), ptr(p.Y)
	if kind, bytes, ok := skinnyKind(p); ok && p.Thin == nil {
		if err := reserve(bytes); err != nil {
			return nil, err
		}
		return func() { C.vl_skinny(kind, g, a, b, bias, y) }, nil
	}
	if k.own(p) {
		return k.ownProduct(p)
	}
	return func() { done("MatMul", C.vl_sgemm(g, a, b, bias, y)) }, nil
}

// worth reports whether factors of float32 are rounded, or taken apart, for a product
// of this size.
func (k *Kernels) worth(m, n, terms int) bool {
	return k.parts > 0 && n > skinny && terms > k.terms && m >= k.rows && m*n*terms >= k.least
}

// large is worth for a product of matrices.
func (k *Kernels) large(p kernels.MatMul) bool { return k.worth(p.M, p.N, p.K) }

func product(p kernels.MatMul) *C.vl_gemm {
	g := &C.vl_gemm{m: C.vl_n(p.M), n: C.vl_n(p.N), k: C.vl_n(p.K), lda: pitch(p.A), ldb: pitch(p.B), ldy: pitch(p.Y),
		batch: C.vl_n(p.Batch), sa: C.vl_n(p.StrideA), sb: C.vl_n(p.StrideB), sy: C.vl_n(p.StrideY),
		ta: flag(p.TransA), tb: flag(p.TransB), acc: flag(p.Accumulate), alpha: C.float(p.Alpha)}
	if p.Alpha == 0 {
		g.alpha = 1
	}
	return g
}

// skinnyKind tells which skinny product fits, and its scratch in bytes.
func skinnyKind(p kernels.MatMul) (kind C.int, bytes int, ok bool) {
	const long, broad = 32, 16
	switch {
	case p.Batch > 1:
		return 0, 0, false
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
