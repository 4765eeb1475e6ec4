//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import (
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// collapsed is kernels.Collapse on copies.
func collapsed(dims []int, strides ...[]int) (d []int, s [][]int) {
	d = slices.Clone(dims)
	for _, st := range strides {
		s = append(s, slices.Clone(st))
	}
	if len(d) == 0 {
		d = []int{1}
		for i := range s {
			s[i] = []int{1}
		}
	}
	n := kernels.Collapse(d, s...)
	for i := range s {
		s[i] = s[i][:n]
	}
	return d[:n], s
}

// Binary implements [kernels.Kernels]: up to three axes after merging, the
// innermost one contiguous or broadcast.
func (k *Kernels) Binary(p kernels.Binary) (kernels.Run, error) {
	q := p
	narrow := widened(&q.X, &q.Z, &q.Y)
	s, err := q.Check()
	portable := func() (kernels.Run, error) {
		if narrow && err == nil {
			return k.whole(append(added(p.Accumulate, &p.Y), &p.X, &p.Z), []*kernels.Buf{&p.Y}, func() (kernels.Run, error) { return k.Go.Binary(p) })
		}
		return k.Go.Binary(p)
	}
	if !native(s, err, p.Y) || p.Func == kernels.Pow {
		return portable()
	}
	axes := len(p.Y.Shape)
	dims, st := collapsed(p.Y.Shape, kernels.Strides(p.X, axes), kernels.Strides(p.Z, axes), kernels.Strides(p.Y, axes))
	n := len(dims)
	if n > 3 || st[0][n-1] > 1 || st[1][n-1] > 1 || st[2][n-1] != 1 {
		return portable()
	}
	box := &C.vl_box{dim: [3]C.vl_n{1, 1, 1}, x16: flag(half(p.X)), z16: flag(half(p.Z)), y16: flag(half(p.Y))}
	for i, d := range dims {
		at := 3 - n + i
		box.dim[at], box.x[at], box.z[at], box.y[at] = C.vl_n(d), C.vl_n(st[0][i]), C.vl_n(st[1][i]), C.vl_n(st[2][i])
	}
	f, acc, x, z, y := C.int(p.Func), flag(p.Accumulate), p.X.Pointer(), p.Z.Pointer(), p.Y.Pointer()
	return func() { C.vl_binary(f, acc, box, x, z, y) }, nil
}

// Copy implements [kernels.Kernels].
func (k *Kernels) Copy(p kernels.Copy) (kernels.Run, error) {
	narrow := half(p.Src, p.Dst)
	if s, err := p.Check(); !narrow && (err != nil || s != buffer.F32) || slices.Contains(p.Dims, 0) {
		return k.Go.Copy(p)
	}
	dims, st := collapsed(p.Dims, p.SrcStrides, p.DstStrides)
	n := len(dims)
	if narrow && n > 6 {
		return k.whole([]*kernels.Buf{&p.Src, &p.Dst}, []*kernels.Buf{&p.Dst}, func() (kernels.Run, error) { return k.Copy(p) })
	}
	if n > 6 || (p.Accumulate && st[1][n-1] == 0 && !narrow) {
		return k.Go.Copy(p)
	}
	box := &C.vl_copy_box{axes: C.int(n), acc: flag(p.Accumulate), src16: flag(half(p.Src)), dst16: flag(half(p.Dst))}
	for i, d := range dims {
		box.dim[i], box.src[i], box.dst[i] = C.vl_n(d), C.vl_n(st[0][i]), C.vl_n(st[1][i])
	}
	if p.Zero {
		rows, cols := layout(p.Dst)
		box.zero_rows, box.zero_cols, box.zero_pitch = rows, cols, pitch(p.Dst)
	}
	src, dst, whole := p.Src.From(p.SrcOffset), p.Dst.From(p.DstOffset), p.Dst.Pointer()
	return func() { C.vl_copy(box, src, dst, whole) }, nil
}

// Reduce implements [kernels.Kernels]: sums and means over the last axes, or
// over axes before the channels.
func (k *Kernels) Reduce(p kernels.Reduce) (kernels.Run, error) {
	s, err := p.Check()
	if !native(s, err, p.X) || p.Func > kernels.ReduceMean {
		return k.Go.Reduce(p)
	}
	axes := len(p.X.Shape)
	dims, st := collapsed(p.X.Shape, kernels.Strides(p.X, axes), kernels.Strides(p.Y, axes))
	for len(dims) < 3 {
		dims = slices.Insert(dims, 0, 1)
		st[0], st[1] = slices.Insert(st[0], 0, 0), slices.Insert(st[1], 0, 0)
	}
	scale := C.float(1)
	if p.Func == kernels.ReduceMean {
		scale = C.float(float64(p.Y.Len()) / float64(p.X.Len()))
	}
	x, y := ptr(p.X), ptr(p.Y)
	n := func(i int) C.vl_n { return C.vl_n(i) }
	xs, ys := st[0], st[1]
	switch {
	case len(dims) > 3 || xs[2] != 1:
	case ys[2] == 0 && dims[0] == 1 && (dims[1] == 1 || ys[1] == 1): // (rows, reduced)
		rows, c, xp := n(dims[1]), n(dims[2]), n(xs[1])
		return func() { C.vl_reduce_rows(rows, c, x, xp, y, scale) }, nil
	case ys[2] == 1 && ys[1] == 0 && (dims[0] == 1 || ys[0] == dims[2]): // (outer, reduced, channels)
		if err := reserve(8 * dims[2]); err != nil {
			return nil, err
		}
		outer, rows, c, xo, xp := n(dims[0]), n(dims[1]), n(dims[2]), n(xs[0]), n(xs[1])
		return func() { C.vl_reduce_columns(outer, rows, c, x, xo, xp, y, scale) }, nil
	}
	return k.Go.Reduce(p)
}
