// Package testkernel is the one suite that every implementation of
// [kernels.Kernels] passes: each method and each option against naive loops
// written in float64, on odd shapes, with gaps between rows that must neither
// be read nor written, and without an allocation per run.
package testkernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// suite runs one implementation in one storage.
type suite struct {
	k    kernels.Kernels
	s    buffer.Storage
	tol  float64 // relative to the range of the expected values
	rng  *rand.Rand
	runs []recorded
	// section is the method under test. There are no subtests: they would run on
	// other threads than the one that binds.
	section string
}

type recorded struct {
	name string
	run  kernels.Run
}

// Run checks k in storage s: results may differ from the reference by tol
// times the largest expected magnitude.
func Run(t *testing.T, k kernels.Kernels, s buffer.Storage, tol float64) {
	u := &suite{k: k, s: s, tol: tol, rng: rand.New(rand.NewPCG(1, 2))}
	for _, c := range []struct {
		name  string
		check func(*testing.T)
	}{
		{"MatMul", u.matMul}, {"Conv", u.conv}, {"Attention", u.attention}, {"LayerNorm", u.layerNorm}, {"Softmax", u.softmax},
		{"Unary", u.unary}, {"Binary", u.binary}, {"ChannelAffine", u.channelAffine}, {"ColumnSum", u.columnSum},
		{"Copy", u.copy}, {"Pool", u.pool}, {"Reduce", u.reduce}, {"refuses", u.refuses},
	} {
		u.section = c.name
		c.check(t)
	}
	for _, r := range u.runs {
		if n := testing.AllocsPerRun(2, r.run); n != 0 {
			t.Errorf("%s: %v allocations per run, want 0", r.name, n)
		}
	}
}

// buf is a random buffer whose rows are extra elements further apart than they
// are long; the gaps hold NaN.
func (u *suite) buf(extra int, shape ...int) *buffer.Buffer {
	b := u.gaps(extra, shape...)
	u.fill(b, func() float64 { return u.rng.Float64()*2 - 1 })
	return b
}

// gaps is a buffer that is NaN everywhere.
func (u *suite) gaps(extra int, shape ...int) *buffer.Buffer {
	cols := shape[len(shape)-1]
	rows := 1
	for _, d := range shape[:len(shape)-1] {
		rows *= d
	}
	all := buffer.New(u.s, rows*(cols+extra)+1)
	for i := range all.Len() {
		set(all, i, math.NaN())
	}
	return buffer.At(all.Pointer(), u.s, cols+extra, shape...)
}

// fill sets the logical elements.
func (u *suite) fill(b *buffer.Buffer, f func() float64) {
	for r := range b.Rows() {
		for c := range b.Cols() {
			set(b, r*b.Pitch+c, f())
		}
	}
}

func (u *suite) frozen(b *buffer.Buffer) *buffer.Buffer {
	b.Frozen = true
	return b
}

func set(b *buffer.Buffer, i int, v float64) {
	if b.Storage == buffer.F32 {
		b.F32()[i] = float32(v)
	} else {
		b.F64()[i] = v
	}
}

// at is physical element i.
func at(b *buffer.Buffer, i int) float64 {
	if b.Storage == buffer.F32 {
		return float64(b.F32()[i])
	}
	return b.F64()[i]
}

// values are the logical elements, dense.
func values(b *buffer.Buffer) []float64 {
	if b == nil {
		return nil
	}
	v := make([]float64, 0, b.Len())
	for r := range b.Rows() {
		for c := range b.Cols() {
			v = append(v, at(b, r*b.Pitch+c))
		}
	}
	return v
}

// exec runs a bound kernel and remembers it for the allocation check.
func (u *suite) exec(t *testing.T, name string, run kernels.Run, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s %s: %v", u.section, name, err)
	}
	run()
	u.runs = append(u.runs, recorded{u.section + " " + name, run})
}

// compare checks b against want, and that the gaps between rows are untouched.
func (u *suite) compare(t *testing.T, name string, b *buffer.Buffer, want []float64) {
	t.Helper()
	name = u.section + " " + name
	got, scale := values(b), 0.0
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for _, w := range want {
		if !math.IsInf(w, 0) {
			scale = max(scale, math.Abs(w))
		}
	}
	bad := 0
	for i, w := range want {
		if d := math.Abs(got[i] - w); got[i] != w && !(d <= u.tol*scale) {
			if bad++; bad <= 3 {
				t.Errorf("%s: element %d is %v, want %v (off by %.2g of the range)", name, i, got[i], w, d/scale)
			}
		}
	}
	if bad > 3 {
		t.Errorf("%s: %d of %d elements are off", name, bad, len(want))
	}
	for r := 0; r+1 < b.Rows(); r++ {
		for c := b.Cols(); c < b.Pitch; c++ {
			if v := at(b, r*b.Pitch+c); !math.IsNaN(v) {
				t.Fatalf("%s: %v written into the gap after row %d", name, v, r)
			}
		}
	}
}

// plus is base + v when acc, else v.
func plus(acc bool, base, v []float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = v[i]
		if acc {
			out[i] += base[i]
		}
	}
	return out
}
