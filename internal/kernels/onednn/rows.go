//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import (
	"fmt"

	"github.com/vislora/vislora/internal/kernels"
)

// LayerNorm implements [kernels.Kernels].
func (k *Kernels) LayerNorm(p kernels.LayerNorm) (kernels.Run, error) {
	q := p
	widened(&q.X, &q.Y, &q.Hat)
	s, err := q.Check(false)
	if !native(s, err, p.X) {
		return k.Go.LayerNorm(p)
	}
	rows, c, eps := C.vl_n(p.X.Rows()), C.vl_n(p.X.Cols()), C.double(p.Epsilon)
	x, g, b, y, hat, mean, rstd := mat(p.X), ptr(p.Gamma), ptr(p.Beta), mat(p.Y), mat(p.Hat), ptr(p.Mean), ptr(p.RStd)
	return func() { C.vl_layer_norm(rows, c, x, g, b, y, hat, mean, rstd, eps) }, nil
}

// LayerNormBackward implements [kernels.Kernels].
func (k *Kernels) LayerNormBackward(p kernels.LayerNorm) (kernels.Run, error) {
	results := p.X == nil && p.Hat == nil
	if p.Hat != nil { // normalised already
		p.X, p.Mean = p.Hat, p.RStd
	}
	q := p
	q.Hat = nil
	widened(&q.X, &q.DY, &q.DX)
	s, err := q.Check(true)
	if !native(s, err, p.DY) || results && p.Beta == nil {
		return k.Go.LayerNormBackward(p)
	}
	if results {
		p.X = p.Y
	}
	if err := reserve(28 * p.X.Cols()); err != nil {
		return nil, err
	}
	rows, c, acc := C.vl_n(p.X.Rows()), C.vl_n(p.X.Cols()), flag(p.AccumulateDX)
	x, dy, g, mean, rstd := mat(p.X), mat(p.DY), ptr(p.Gamma), ptr(p.Mean), ptr(p.RStd)
	dx, dg, db := mat(p.DX), ptr(p.DGamma), ptr(p.DBeta)
	var b *C.float
	if results {
		b = ptr(p.Beta)
	}
	if p.Hat != nil || results {
		mean = nil
	}
	return func() { C.vl_layer_norm_backward(rows, c, x, dy, g, b, mean, rstd, dx, acc, dg, db) }, nil
}

// Softmax implements [kernels.Kernels].
func (k *Kernels) Softmax(p kernels.Softmax) (kernels.Run, error) {
	s, err := p.Check(false)
	if !native(s, err, p.X) {
		return k.Go.Softmax(p)
	}
	rows, c, xp, yp, log := C.vl_n(p.X.Rows()), C.vl_n(p.X.Cols()), pitch(p.X), pitch(p.Y), flag(p.Log)
	x, y := ptr(p.X), ptr(p.Y)
	return func() { C.vl_softmax(rows, c, x, xp, y, yp, log) }, nil
}

// SoftmaxBackward implements [kernels.Kernels].
func (k *Kernels) SoftmaxBackward(p kernels.Softmax) (kernels.Run, error) {
	s, err := p.Check(true)
	if !native(s, err, p.Y) {
		return k.Go.SoftmaxBackward(p)
	}
	rows, c, log, acc := C.vl_n(p.Y.Rows()), C.vl_n(p.Y.Cols()), flag(p.Log), flag(p.Accumulate)
	y, dy, dx, yp, gp, dp := ptr(p.Y), ptr(p.DY), ptr(p.DX), pitch(p.Y), pitch(p.DY), pitch(p.DX)
	return func() { C.vl_softmax_backward(rows, c, y, yp, dy, gp, dx, dp, log, acc) }, nil
}

// vectorised reports whether the C loops have f.
func vectorised(f kernels.Func) bool {
	switch f {
	case kernels.Relu, kernels.LeakyRelu, kernels.Gelu, kernels.GeluTanh, kernels.Silu, kernels.HardSwish, kernels.HardSigmoid, kernels.Sigmoid,
		kernels.Tanh, kernels.Erf, kernels.Exp, kernels.Sqrt, kernels.Reciprocal, kernels.Neg, kernels.Abs, kernels.Clip, kernels.Affine:
		return true
	}
	return false
}

// Unary implements [kernels.Kernels].
func (k *Kernels) Unary(p kernels.Unary) (kernels.Run, error) {
	q := p
	narrow := widened(&q.X, &q.Y, &q.Deriv)
	s, err := q.Check(false)
	if slopes(p.Deriv) && !p.Func.Slope() {
		return nil, fmt.Errorf("kernels: Unary: the derivative of function %d does not fit into bytes", p.Func)
	}
	if !native(s, err, p.X) || !vectorised(p.Func) {
		if narrow && err == nil {
			return k.blocks(rowwise{in: []*kernels.Buf{&p.X}, out: []*kernels.Buf{&p.Y, &p.Deriv}, bind: func() (kernels.Run, error) { return k.Go.Unary(p) }})
		}
		return k.Go.Unary(p)
	}
	rows, cols := layout(p.X, p.Y, p.Deriv)
	f, a, b := C.int(p.Func), C.float(p.A), C.float(p.B)
	x, y, d := mat(p.X), mat(p.Y), mat(p.Deriv)
	return func() { C.vl_unary(f, a, b, rows, cols, x, y, d) }, nil
}

// UnaryBackward implements [kernels.Kernels].
func (k *Kernels) UnaryBackward(p kernels.Unary) (kernels.Run, error) {
	q := p
	narrow := widened(&q.X, &q.DY, &q.DX, &q.Deriv)
	s, err := q.Check(true)
	if native(s, err, p.DY) && slopes(p.Deriv) {
		rows, cols := layout(p.DY, p.Deriv, p.DX)
		d, dy, dx, acc := mat(p.Deriv), mat(p.DY), mat(p.DX), flag(p.Accumulate)
		return func() { C.vl_slopes(acc, rows, cols, d, dy, dx) }, nil
	}
	if native(s, err, p.DY) && p.Deriv != nil {
		return k.Binary(kernels.Binary{Func: kernels.Mul, X: p.DY, Z: p.Deriv, Y: p.DX, Accumulate: p.Accumulate})
	}
	if !native(s, err, p.DY) || !vectorised(p.Func) {
		if narrow && err == nil {
			return k.blocks(rowwise{in: append(added(p.Accumulate, &p.DX), &p.X, &p.DY), out: []*kernels.Buf{&p.DX},
				bind: func() (kernels.Run, error) { return k.Go.UnaryBackward(p) }})
		}
		return k.Go.UnaryBackward(p)
	}
	rows, cols := layout(p.DY, p.X, p.DX)
	f, a, b, acc := C.int(p.Func), C.float(p.A), C.float(p.B), flag(p.Accumulate)
	x, dy, dx := mat(p.X), mat(p.DY), mat(p.DX)
	return func() { C.vl_unary_backward(f, a, b, acc, rows, cols, x, dy, dx) }, nil
}

// ChannelAffine implements [kernels.Kernels].
func (k *Kernels) ChannelAffine(p kernels.ChannelAffine) (kernels.Run, error) {
	q := p
	widened(&q.X, &q.Y)
	s, err := q.Check()
	if !native(s, err, p.X) {
		return k.Go.ChannelAffine(p)
	}
	rows, c, acc := C.vl_n(p.X.Rows()), C.vl_n(p.X.Cols()), flag(p.Accumulate)
	x, scale, shift, y := mat(p.X), ptr(p.Scale), ptr(p.Shift), mat(p.Y)
	return func() { C.vl_affine(rows, c, x, scale, shift, y, acc) }, nil
}

// ColumnSum implements [kernels.Kernels].
func (k *Kernels) ColumnSum(p kernels.ColumnSum) (kernels.Run, error) {
	q := p
	widened(&q.X, &q.Z)
	s, err := q.Check()
	if !native(s, err, p.X) {
		return k.Go.ColumnSum(p)
	}
	if err := reserve(8 * p.X.Cols()); err != nil {
		return nil, err
	}
	rows, c, acc := C.vl_n(p.X.Rows()), C.vl_n(p.X.Cols()), flag(p.Accumulate)
	x, z, y := mat(p.X), mat(p.Z), ptr(p.Y)
	return func() { C.vl_column_sum(rows, c, x, z, y, acc) }, nil
}
