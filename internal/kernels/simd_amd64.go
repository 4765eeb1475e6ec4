//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

// bestISA is the widest instruction set of this processor that has assembly.
func bestISA() isa {
	switch {
	case !cpu.X86.HasAVX2 || !cpu.X86.HasFMA:
		return noSIMD
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ:
		return avx512
	}
	return avx2
}

// tile256 and tile512 compute the register tiles of a panel; see [tileArgs].
//
//go:noescape
func tile256(p *tileArgs)

//go:noescape
func tile512(p *tileArgs)

// turn8 writes 8 rows of n·8 floats, stride bytes apart, as n·8 columns of 8,
// width bytes apart.
//
//go:noescape
func turn8(dst *float32, width int, src *float32, stride, n int)
