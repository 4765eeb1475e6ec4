//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import (
	"strings"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// pointwise reports whether the convolution is a plain product of the pixels.
func pointwise(p kernels.Conv) bool {
	return p.W.Shape[2] == 1 && p.W.Shape[3] == 1 && p.Stride == [2]int{1, 1} && p.Pads == [4]int{} && p.Groups == 1
}

// Conv implements [kernels.Kernels].
func (k *Kernels) Conv(p kernels.Conv) (kernels.Run, error) {
	narrow := half(p.X, p.Y)
	if s, err := p.Check(); !narrow && (!native(s, err, p.Y)) {
		return k.Go.Conv(p)
	}
	if pointwise(p) {
		cout, cin := p.W.Shape[0], p.W.Shape[1]
		m := kernels.MatMul{A: p.X, B: p.W.Reshape(cout, cin), TransB: true, Bias: p.Bias, Y: p.Y, M: p.Y.Rows(), N: cout, K: cin, Accumulate: p.Accumulate, Finish: p.Finish}
		if t := p.Thin; t != nil {
			m.Thin = &kernels.Thin{H: t.H, C: t.C, Trans: true}
			if t.Down != nil {
				m.Thin.Down, m.Thin.DownTrans = t.Down.Reshape(t.H.Cols(), cin), true
			}
		}
		return k.MatMul(m)
	}
	if k.ownConv(p, false) {
		return k.convolve(p, false)
	}
	if p.Thin != nil {
		return kernels.SplitConv(k, p)
	}
	prim, err := k.conv(C.VL_FORWARD, p)
	if err != nil {
		return nil, err
	}
	if prim == nil && narrow {
		return k.whole(append(added(p.Accumulate, &p.Y), &p.X), []*kernels.Buf{&p.Y}, func() (kernels.Run, error) { return k.Conv(p) })
	}
	if prim == nil {
		return k.Go.Conv(p)
	}
	x, w, y, bias := p.X.Pointer(), ptr(p.W), p.Y.Pointer(), ptr(p.Bias)
	return func() { done("Conv", C.vl_prim_run(prim, x, y, w, bias)) }, nil
}

// ConvBackwardData implements [kernels.Kernels].
func (k *Kernels) ConvBackwardData(p kernels.Conv) (kernels.Run, error) {
	narrow := half(p.X, p.Y)
	if s, err := p.Check(); !narrow && (!native(s, err, p.X) || p.Y.Len() == 0) {
		return k.Go.ConvBackwardData(p)
	}
	if pointwise(p) {
		cout, cin := p.W.Shape[0], p.W.Shape[1]
		m := kernels.MatMul{A: p.Y, B: p.W.Reshape(cout, cin), Y: p.X, M: p.Y.Rows(), N: cin, K: cout, Accumulate: p.Accumulate, Finish: p.Finish}
		if t := p.Thin; t != nil {
			m.Thin = &kernels.Thin{H: t.H, C: t.C.Reshape(t.H.Cols(), cin), Down: t.Down}
		}
		return k.MatMul(m)
	}
	if k.ownConv(p, true) && !p.Thin.Makes() { // H is read beside every pixel
		return k.convolve(p, true)
	}
	if p.Thin != nil {
		return kernels.SplitConvBackwardData(k, p)
	}
	prim, err := k.conv(C.VL_BACKWARD_DATA, p)
	if err != nil {
		return nil, err
	}
	if prim == nil && narrow {
		return k.whole(append(added(p.Accumulate, &p.X), &p.Y), []*kernels.Buf{&p.X}, func() (kernels.Run, error) { return k.ConvBackwardData(p) })
	}
	if prim == nil {
		return k.Go.ConvBackwardData(p)
	}
	x, w, y := p.X.Pointer(), ptr(p.W), p.Y.Pointer()
	return func() { done("ConvBackwardData", C.vl_prim_run(prim, y, x, w, nil)) }, nil
}

// ConvBackwardWeights implements [kernels.Kernels].
func (k *Kernels) ConvBackwardWeights(p kernels.Conv) (kernels.Run, error) {
	narrow := half(p.X, p.Y)
	if s, err := p.Check(); !narrow && (!native(s, err, p.W) || p.Y.Len() == 0) {
		return k.Go.ConvBackwardWeights(p)
	}
	run, err := k.convWeights(p)
	if err != nil || run == nil {
		if err != nil {
			return nil, err
		}
		if narrow {
			return k.whole([]*kernels.Buf{&p.X, &p.Y}, nil, func() (kernels.Run, error) { return k.ConvBackwardWeights(p) })
		}
		return k.Go.ConvBackwardWeights(p)
	}
	if p.Bias == nil {
		return run, nil
	}
	bias, err := k.ColumnSum(kernels.ColumnSum{X: p.Y, Y: p.Bias, Accumulate: p.Accumulate})
	if err != nil {
		return nil, err
	}
	return func() { run(); bias() }, nil
}

// convWeights is the gradient of the weights alone; nil where only the portable
// code has one.
func (k *Kernels) convWeights(p kernels.Conv) (kernels.Run, error) {
	cout, cg := p.W.Shape[0], p.W.Shape[1]
	if pointwise(p) {
		return k.MatMul(kernels.MatMul{A: p.Y, TransA: true, B: p.X, Y: p.W.Reshape(cout, cg), M: cout, N: cg, K: p.Y.Rows(), Accumulate: p.Accumulate})
	}
	if run := k.sumWindows(p); run != nil {
		return run, nil
	}
	x, w, y, acc := ptr(p.X), ptr(p.W), ptr(p.Y), flag(p.Accumulate)
	// oneDNN 2.6 has no fast gradient for depthwise kernels beyond 3×3.
	if p.Groups > 1 && cg == 1 && cout == p.Groups && p.W.Shape[2]*p.W.Shape[3] > 9 {
		s := windowShape(p.X.Shape, p.Y.Shape, p.X.Pitch, p.Y.Pitch, [2]int{p.W.Shape[2], p.W.Shape[3]}, p.Stride, p.Pads, p.Dilation)
		if err := reserve(12 * p.W.Len()); err != nil {
			return nil, err
		}
		return func() { C.vl_depthwise_weights(s, x, y, w, acc) }, nil
	}
	q := p
	trained := *p.W // it is written here, whatever it is elsewhere
	trained.Frozen = false
	q.W = &trained
	prim, err := k.conv(C.VL_BACKWARD_WEIGHTS, q)
	if err != nil || prim == nil {
		return nil, err
	}
	xp, yp := p.X.Pointer(), p.Y.Pointer()
	return func() { done("ConvBackwardWeights", C.vl_prim_run(prim, xp, yp, w, nil)) }, nil
}

// conv makes oneDNN's primitive. It returns nil where oneDNN has none, or only
// its reference loops, which the portable kernels beat.
func (k *Kernels) conv(kind C.int, p kernels.Conv) (*C.vl_prim, error) {
	x, w, y := p.X.Shape, p.W.Shape, p.Y.Shape
	if p.Bias != nil && p.Accumulate {
		return nil, nil // it leaves the bias out where a window lies in the padding alone
	}
	n := func(i int) C.vl_n { return C.vl_n(i) }
	c := &C.vl_conv_shape{n: n(x[0]), h: n(x[1]), w: n(x[2]), cin: n(x[3]), cout: n(y[3]), oh: n(y[1]), ow: n(y[2]), kh: n(w[2]), kw: n(w[3]),
		groups: n(p.Groups), sh: n(p.Stride[0]), sw: n(p.Stride[1]), dh: n(p.Dilation[0]), dw: n(p.Dilation[1]),
		pt: n(p.Pads[0]), pl: n(p.Pads[1]), pb: n(p.Pads[2]), pr: n(p.Pads[3]), xp: n(p.X.Pitch), yp: n(p.Y.Pitch)}
	// oneDNN demands that the windows end exactly at the padded border.
	c.pb = c.dh*(c.kh-1) + 1 + (c.oh-1)*c.sh - c.h - c.pt
	c.pr = c.dw*(c.kw-1) + 1 + (c.ow-1)*c.sw - c.w - c.pl
	// In bf16 depthwise kernels are no faster, and gradients of weights are those
	// of adapters: thin, and summed in float32.
	narrow := half(p.X, p.Y)
	if narrow || k.bf16 && kind != C.VL_BACKWARD_WEIGHTS && p.Groups < x[3] {
		c.bf16, c.in16, c.out16 = 1, flag(half(p.X)), flag(half(p.Y))
		if kind == C.VL_BACKWARD_DATA {
			c.in16, c.out16 = c.out16, c.in16
		}
		prim := usable(C.vl_conv(kind, c, flag(p.Bias != nil), flag(p.Accumulate)))
		if prim != nil {
			return prim, k.keep(prim, p.W)
		}
		if narrow {
			return nil, nil
		}
		c.bf16 = 0
	}
	prim := usable(C.vl_conv(kind, c, flag(p.Bias != nil), flag(p.Accumulate)))
	if prim == nil {
		return nil, nil
	}
	return prim, k.keep(prim, p.W)
}

// usable is nil in place of oneDNN's reference loops.
func usable(prim *C.vl_prim) *C.vl_prim {
	if prim != nil && strings.HasPrefix(C.GoString(C.vl_prim_impl(prim)), "ref") {
		C.vl_prim_free(prim)
		return nil
	}
	return prim
}

// windowShape describes windows over maps for the own loops.
func windowShape(x, y []int, xp, yp int, kernel, stride [2]int, pads [4]int, dilation [2]int) *C.vl_pool_shape {
	n := func(i int) C.vl_n { return C.vl_n(i) }
	return &C.vl_pool_shape{n: n(x[0]), h: n(x[1]), w: n(x[2]), c: n(x[3]), oh: n(y[1]), ow: n(y[2]), xp: n(xp), yp: n(yp),
		kh: n(kernel[0]), kw: n(kernel[1]), sh: n(stride[0]), sw: n(stride[1]), pt: n(pads[0]), pl: n(pads[1]), pb: n(pads[2]), pr: n(pads[3]),
		dh: n(dilation[0]), dw: n(dilation[1])}
}

// pooling describes p to the own loops, x and y or their gradients; nil where they
// do not do it.
func pooling(p kernels.Pool, x, y kernels.Buf) *C.vl_pool_shape {
	if p.Max && p.IndexStorage() != buffer.U8 {
		return nil
	}
	c := windowShape(x.Shape, y.Shape, x.Pitch, y.Pitch, p.Kernel, p.Stride, p.Pads, p.Dilation)
	c.max, c.include, c.x16, c.y16 = flag(p.Max), flag(p.CountIncludePad), flag(half(x)), flag(half(y))
	return c
}

func taps(b kernels.Buf) *C.uint8_t {
	if b == nil {
		return nil
	}
	return (*C.uint8_t)(b.Pointer())
}

// Pool implements [kernels.Kernels].
func (k *Kernels) Pool(p kernels.Pool) (kernels.Run, error) {
	q := p
	narrow := widened(&q.X, &q.Y)
	s, err := q.Check(false)
	if native(s, err, q.Y) {
		if c := pooling(p, p.X, p.Y); c != nil {
			x, y, index := p.X.Pointer(), p.Y.Pointer(), taps(p.Index)
			return func() { C.vl_pool(c, x, y, index) }, nil
		}
	}
	if narrow && err == nil {
		return k.whole([]*kernels.Buf{&p.X}, []*kernels.Buf{&p.Y}, func() (kernels.Run, error) { return k.Go.Pool(p) })
	}
	return k.Go.Pool(p)
}

// PoolBackward implements [kernels.Kernels].
func (k *Kernels) PoolBackward(p kernels.Pool) (kernels.Run, error) {
	q := p
	narrow := widened(&q.DX, &q.DY)
	s, err := q.Check(true)
	if native(s, err, q.DX) && p.Kernel[0]*p.Kernel[1] <= C.VL_POOL_TAPS {
		if c := pooling(p, p.DX, p.DY); c != nil {
			dx, dy, index, acc := p.DX.Pointer(), p.DY.Pointer(), taps(p.Index), flag(p.Accumulate)
			return func() { C.vl_pool_backward(c, dy, index, dx, acc) }, nil
		}
	}
	if narrow && err == nil {
		return k.whole(append(added(p.Accumulate, &p.DX), &p.DY), []*kernels.Buf{&p.DX}, func() (kernels.Run, error) { return k.Go.PoolBackward(p) })
	}
	return k.Go.PoolBackward(p)
}
