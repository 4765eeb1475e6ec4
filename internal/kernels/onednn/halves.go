//go:build onednn && cgo

package onednn

// #include "native.h"
import "C"

import (
	"fmt"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// blockBytes is the float32 memory of a thread that rows in bf16 are widened
// into, a block that stays in cache.
const (
	blockBytes = 1 << 20
	blockGoal  = 192 << 10
)

// half reports whether one of the buffers is bf16 in memory.
func half(bufs ...kernels.Buf) bool {
	for _, b := range bufs {
		if b != nil && b.Storage == buffer.BF16 {
			return true
		}
	}
	return false
}

// rowwise is a kernel that makes rows of some operands out of the same rows of
// others, or sums over rows. The operands are fields of its parameters: bind is
// called once per block of rows, while they stand for that block.
type rowwise struct {
	in, out []*kernels.Buf // an operand that is added to is both
	perRow  []*kernels.Buf // one number a row, float32
	bind    func(rows int, first bool) (kernels.Run, error)
}

// part is a block of rows: what is widened before and narrowed after its run.
type part struct {
	widen, narrow []moved
	run           kernels.Run
}

type moved struct {
	rows, cols, pitch C.vl_n
	half              *C.uint16_t
	wide              *C.float
}

// blocks binds r block by block. Operands in bf16 are float32 within a block.
func (k *Kernels) blocks(r rowwise) (kernels.Run, error) {
	saved := map[*kernels.Buf]kernels.Buf{}
	total, cols := 0, 0
	operands := append(append([]*kernels.Buf{}, r.in...), r.out...)
	for _, o := range append(operands, r.perRow...) {
		if *o != nil {
			saved[o] = *o
		}
	}
	defer func() {
		for o, b := range saved {
			*o = b
		}
	}()
	widths := map[kernels.Buf]bool{}
	for _, o := range operands {
		b := saved[o]
		if b == nil {
			continue
		}
		if total == 0 {
			total = b.Rows()
		}
		if b.Rows() != total {
			return nil, fmt.Errorf("kernels: operands of %d and %d rows, some in bf16", total, b.Rows())
		}
		if half(b) && !widths[b] {
			widths[b] = true
			cols += b.Cols()
		}
	}
	per := max(1, blockGoal/(4*cols))
	if 4*per*cols+buffer.Align*len(operands) > blockBytes {
		return nil, fmt.Errorf("kernels: rows of %d values in bf16 do not fit into %d bytes of scratch", cols, blockBytes)
	}
	block := C.vl_block(blockBytes)
	if block == nil {
		return nil, fmt.Errorf("kernels: allocate %d bytes of scratch: out of memory", blockBytes)
	}
	whole := buffer.At(block, buffer.U8, 0, blockBytes)
	var parts []part
	for r0 := 0; r0 < total; r0 += per {
		n := min(per, total-r0)
		var p part
		at := 0
		wide := map[kernels.Buf]kernels.Buf{}
		sub := func(b kernels.Buf, out bool) kernels.Buf {
			rows := b.Slice(r0, n)
			if !half(b) {
				return rows
			}
			if wide[b] == nil {
				wide[b] = buffer.At(whole.From(at), buffer.F32, 0, n, b.Cols())
				at += buffer.Padded(4 * n * b.Cols())
			}
			m := moved{C.vl_n(n), C.vl_n(b.Cols()), C.vl_n(b.Pitch), (*C.uint16_t)(rows.Pointer()), ptr(wide[b])}
			if out {
				p.narrow = append(p.narrow, m)
			} else {
				p.widen = append(p.widen, m)
			}
			return wide[b]
		}
		for i, o := range operands {
			if b := saved[o]; b != nil {
				*o = sub(b, i >= len(r.in))
			}
		}
		for _, o := range r.perRow {
			if b := saved[o]; b != nil {
				*o = b.Reshape(b.Len(), 1).Slice(r0, n).Reshape(n)
			}
		}
		var err error
		if p.run, err = r.bind(n, r0 == 0); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return runParts(parts), nil
}

func runParts(parts []part) kernels.Run {
	return func() {
		for i := range parts {
			p := &parts[i]
			for j := range p.widen {
				m := &p.widen[j]
				C.vl_widen_rows(m.rows, m.cols, m.half, m.pitch, m.wide)
			}
			p.run()
			for j := range p.narrow {
				m := &p.narrow[j]
				C.vl_narrow_rows(m.rows, m.cols, m.wide, m.half, m.pitch)
			}
		}
	}
}

// added is the operand if what is written there is added to.
func added(acc bool, b *kernels.Buf) []*kernels.Buf {
	if acc {
		return []*kernels.Buf{b}
	}
	return nil
}

func (k *Kernels) unaryHalf(p kernels.Unary) (kernels.Run, error) {
	return k.blocks(rowwise{in: []*kernels.Buf{&p.X}, out: []*kernels.Buf{&p.Y, &p.Deriv},
		bind: func(int, bool) (kernels.Run, error) { return k.Unary(p) }})
}

func (k *Kernels) unaryBackwardHalf(p kernels.Unary) (kernels.Run, error) {
	return k.blocks(rowwise{in: append(added(p.Accumulate, &p.DX), &p.X, &p.DY, &p.Deriv), out: []*kernels.Buf{&p.DX},
		bind: func(int, bool) (kernels.Run, error) { return k.UnaryBackward(p) }})
}

func (k *Kernels) binaryHalf(p kernels.Binary) (kernels.Run, error) {
	return k.blocks(rowwise{in: append(added(p.Accumulate, &p.Y), &p.X, &p.Z), out: []*kernels.Buf{&p.Y},
		bind: func(int, bool) (kernels.Run, error) { return k.Binary(p) }})
}

func (k *Kernels) channelAffineHalf(p kernels.ChannelAffine) (kernels.Run, error) {
	return k.blocks(rowwise{in: append(added(p.Accumulate, &p.Y), &p.X), out: []*kernels.Buf{&p.Y},
		bind: func(int, bool) (kernels.Run, error) { return k.ChannelAffine(p) }})
}

func (k *Kernels) columnSumHalf(p kernels.ColumnSum) (kernels.Run, error) {
	return k.blocks(rowwise{in: []*kernels.Buf{&p.X, &p.Z}, bind: func(_ int, first bool) (kernels.Run, error) {
		q := p
		q.Accumulate = p.Accumulate || !first
		return k.ColumnSum(q)
	}})
}

func (k *Kernels) layerNormHalf(p kernels.LayerNorm) (kernels.Run, error) {
	return k.blocks(rowwise{in: []*kernels.Buf{&p.X}, out: []*kernels.Buf{&p.Y}, perRow: []*kernels.Buf{&p.Mean, &p.RStd},
		bind: func(int, bool) (kernels.Run, error) { return k.LayerNorm(p) }})
}

func (k *Kernels) layerNormBackwardHalf(p kernels.LayerNorm) (kernels.Run, error) {
	if p.DGamma != nil || p.DBeta != nil {
		return nil, fmt.Errorf("kernels: LayerNorm: gradients of γ and β from bf16 are not made")
	}
	return k.blocks(rowwise{in: append(added(p.AccumulateDX, &p.DX), &p.X, &p.DY), out: []*kernels.Buf{&p.DX}, perRow: []*kernels.Buf{&p.Mean, &p.RStd},
		bind: func(int, bool) (kernels.Run, error) { return k.LayerNormBackward(p) }})
}

// whole binds a kernel on copies in float32 of its operands in bf16, for the few
// that oneDNN has no other form of.
func (k *Kernels) whole(in, out []*kernels.Buf, bind func() (kernels.Run, error)) (kernels.Run, error) {
	var p part
	copies := map[kernels.Buf]kernels.Buf{}
	for i, o := range append(append([]*kernels.Buf{}, in...), out...) {
		b := *o
		if !half(b) {
			continue
		}
		if copies[b] == nil {
			copies[b] = buffer.New(buffer.F32, b.Shape...)
		}
		m := moved{C.vl_n(b.Rows()), C.vl_n(b.Cols()), C.vl_n(b.Pitch), (*C.uint16_t)(b.Pointer()), ptr(copies[b])}
		if *o = copies[b]; i < len(in) {
			p.widen = append(p.widen, m)
		} else {
			p.narrow = append(p.narrow, m)
		}
	}
	run, err := bind()
	p.run = run
	return runParts([]part{p}), err
}
