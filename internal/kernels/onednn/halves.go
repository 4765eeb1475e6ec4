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

// widened puts views that say float32 in place of the buffers in bf16 or bytes, for
// a check of all else, and reports whether there are any.
func widened(bufs ...*kernels.Buf) bool {
	any := false
	for _, b := range bufs {
		if half(*b) || slopes(*b) {
			c := **b
			c.Storage = buffer.F32
			*b, any = &c, true
		}
	}
	return any
}

// rowwise is a kernel that makes rows of some operands out of the same rows of
// others. The operands are fields of its parameters: bind is called once per block
// of rows, while they stand for that block.
type rowwise struct {
	in, out []*kernels.Buf // an operand that is added to is both
	bind    func() (kernels.Run, error)
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
	for _, o := range operands {
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
		var err error
		if p.run, err = r.bind(); err != nil {
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
