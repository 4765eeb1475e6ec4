package kernels

import (
	"fmt"
	"slices"
)

// Thin is a second pair of factors whose product is added to the first: the
// adapter of a layer, which native kernels add while the sums are in registers.
// R is the rank.
//
//	MatMul                Y = A·B + H·op(C)          H (M, R), C (R, N), or (N, R) with Trans
//	Conv                  Y = W ∗ X + C·H            H (N, OH, OW, R), C (Cout, R)
//	ConvBackwardData      X = Wᵀ ∗ Y + Cᵀ ∗ H        H (N, OH, OW, R), C (R, Cin, KH, KW)
//
// H is read, or where Down is not nil written first:
//
//	MatMul                H = A·op(Down)             Down (K, R), or (R, K) with DownTrans
//	Conv                  H = Down ∗ X               Down (R, Cin, KH, KW)
//	ConvBackwardData      H = Y·Down                 Down (Cout, R)
//
// Source: Hu et al. 2021, arXiv:2106.09685, eq. 3.
type Thin struct {
	H, C, Down       Buf
	Trans, DownTrans bool // of C and Down, in MatMul
}

// Makes reports whether H is written, not read; t may be nil.
func (t *Thin) Makes() bool { return t != nil && t.Down != nil }

// withoutDown is a thin pair whose H is there.
func (t Thin) withoutDown() *Thin {
	t.Down, t.DownTrans = nil, false
	return &t
}

// SplitDown makes a product that writes H of one that does, and the rest.
func (p MatMul) SplitDown() (down, rest MatMul) {
	t := p.Thin
	p.Thin = t.withoutDown()
	return MatMul{A: p.A, B: t.Down, TransA: p.TransA, TransB: t.DownTrans, Y: t.H, M: p.M, N: t.H.Cols(), K: p.K}, p
}

// SplitDown makes a convolution that writes H of one that does, and the rest.
func (p Conv) SplitDown() (down, rest Conv) {
	t := p.Thin
	down = p
	down.W, down.Y, down.Bias, down.Thin, down.Finish, down.Accumulate = t.Down, t.H, nil, nil, nil, false
	p.Thin = t.withoutDown()
	return down, p
}

// SplitDownBackward makes a product that writes H of a gradient that does, and
// the rest.
func (p Conv) SplitDownBackward() (down MatMul, rest Conv) {
	t := p.Thin
	p.Thin = t.withoutDown()
	return MatMul{A: p.Y, B: t.Down, Y: t.H, M: p.Y.Rows(), N: t.H.Cols(), K: p.Y.Cols()}, p
}

// Split makes two products of one with a thin pair, to be run in order. They finish
// nothing.
func (p MatMul) Split() (base, thin MatMul) {
	t := p.Thin
	p.Thin, p.Finish = nil, nil
	return p, MatMul{A: t.H, B: t.C, TransB: t.Trans, Y: p.Y, M: p.M, N: p.N, K: t.H.Cols(), Accumulate: true}
}

// Split makes a convolution and a product of one with a thin pair.
func (p Conv) Split() (base Conv, thin MatMul) {
	t := p.Thin
	p.Thin, p.Finish = nil, nil
	return p, MatMul{A: t.H, B: t.C, TransB: true, Y: p.Y, M: p.Y.Rows(), N: p.Y.Cols(), K: t.H.Cols(), Accumulate: true}
}

// SplitBackward makes two gradients of one with a thin pair.
func (p Conv) SplitBackward() (base, thin Conv) {
	p.Finish = nil
	thin = p
	thin.W, thin.Y, thin.Bias, thin.Thin, thin.Accumulate = p.Thin.C, p.Thin.H, nil, nil, true
	p.Thin = nil
	return p, thin
}

// both binds two kernels that run one after the other.
func both[A, B any](a A, runA func(A) (Run, error), b B, runB func(B) (Run, error)) (Run, error) {
	first, err := runA(a)
	if err != nil {
		return nil, err
	}
	second, err := runB(b)
	if err != nil {
		return nil, err
	}
	return func() { first(); second() }, nil
}

// SplitMatMul binds a product with a thin pair as two.
func SplitMatMul(k Kernels, p MatMul) (Run, error) {
	if p.Thin.Makes() {
		down, rest := p.SplitDown()
		return both(down, k.MatMul, rest, k.MatMul)
	}
	a, b := p.Split()
	return both(a, k.MatMul, b, k.MatMul)
}

// SplitConv binds a convolution with a thin pair as two kernels.
func SplitConv(k Kernels, p Conv) (Run, error) {
	if p.Thin.Makes() {
		down, rest := p.SplitDown()
		return both(down, k.Conv, rest, k.Conv)
	}
	a, b := p.Split()
	return both(a, k.Conv, b, k.MatMul)
}

// SplitConvBackwardData binds a gradient with a thin pair as two.
func SplitConvBackwardData(k Kernels, p Conv) (Run, error) {
	if p.Thin.Makes() {
		down, rest := p.SplitDownBackward()
		return both(down, k.MatMul, rest, k.ConvBackwardData)
	}
	a, b := p.SplitBackward()
	return both(a, k.ConvBackwardData, b, k.ConvBackwardData)
}

// checkThin validates the thin pair of a product.
func (p MatMul) checkThin() error {
	if p.Thin == nil {
		return nil
	}
	if p.Batch > 1 {
		return fmt.Errorf("kernels: MatMul: a thin pair with %d products: want one", p.Batch)
	}
	_, thin := p.Split()
	_, err := thin.Check()
	if err == nil && p.Thin.Makes() {
		down, _ := p.SplitDown()
		_, err = down.Check()
	}
	return err
}

// checkThin validates the thin pair of a convolution; backward that of its
// gradient.
func (p Conv) checkThin() error {
	if p.Thin == nil {
		return nil
	}
	h, y := p.Thin.H.Shape, p.Y.Shape
	if len(h) != 4 || !slices.Equal(h[:3], y[:3]) {
		return fmt.Errorf("kernels: Conv: thin factor %v beside maps %v", h, y)
	}
	if d := p.Thin.Down; d != nil && len(d.Shape) == 4 {
		down, _ := p.SplitDown()
		_, err := down.Check()
		return err
	} else if d != nil {
		down, _ := p.SplitDownBackward()
		_, err := down.Check()
		return err
	}
	return nil
}
