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

// expRow writes e^(src − sub)·scale and returns the sum of what it wrote. Here and
// below n is a positive multiple of 8.
//
//go:noescape
func expRow(dst, src *float32, n int, sub, scale float32) (sum float64)

// exp8 and the next ones write a function of x and, unless d is nil, its
// derivative.
//
//go:noescape
func exp8(y, d, x *float32, n int)

//go:noescape
func sigmoid8(y, d, x *float32, n int)

//go:noescape
func silu8(y, d, x *float32, n int)

//go:noescape
func geluTanh8(y, d, x *float32, n int)

//go:noescape
func gelu8(y, d, x *float32, n int)

// add8, sub8 and mul8 are y = x∘z, mulAdd8 is y += x·z.
//
//go:noescape
func add8(y, x, z *float32, n int)

//go:noescape
func sub8(y, x, z *float32, n int)

//go:noescape
func mul8(y, x, z *float32, n int)

//go:noescape
func mulAdd8(y, x, z *float32, n int)

// scale8 is y = by·x.
//
//go:noescape
func scale8(y, x *float32, n int, by float32)

// clip8 is y = min(max(x, lo), hi).
//
//go:noescape
func clip8(y, x *float32, n int, lo, hi float32)

// between8 is 1 where x > lo and not x ≥ hi, 0 elsewhere.
//
//go:noescape
func between8(y, x *float32, n int, lo, hi float32)

// dot8 is Σ x·z in float64.
//
//go:noescape
func dot8(x, z *float32, n int) (sum float64)

// centre8 is y = p·(z − mean).
//
//go:noescape
func centre8(y, p, z *float32, n int, mean float32)

// larger8 takes what is larger in x, or NaN, into top, and place into best there.
//
//go:noescape
func larger8(top *float32, best *uint8, x *float32, n int, place uint8)

// max8 is the largest x; what it is beside NaN is open.
//
//go:noescape
func max8(x *float32, n int) (top float32)

// taps8 is y += Σ x[at[t][0]:]·w[at[t][1]:] over at least one tap;
// it does n &^ 7 channels.
//
//go:noescape
func taps8(y, x, w *float32, at *[2]int, taps, n int)

// moments8 sums x − μ and its squares.
//
//go:noescape
func moments8(x *float32, n int, mu float64) (sum, squares float64)

// normal8 is y = x̂∘γ + β with x̂ = (x − μ)·r.
//
//go:noescape
func normal8(y, x, gamma, beta *float32, n int, mu, r float64)

// normalSums8 sums d = dy∘γ and d∘x̂.
//
//go:noescape
func normalSums8(dy, x, gamma *float32, n int, mu, r float64) (sum, dot float64)

// normalBack8 is dx = r·(d − mean − x̂·dot), or dx += ….
//
//go:noescape
func normalBack8(dx, dy, x, gamma *float32, n int, mu, r, mean, dot float64, acc bool)
