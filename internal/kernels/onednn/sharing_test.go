//go:build onednn && cgo

package onednn

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
)

// TestStaleWeights: an address that holds other frozen weights by now must not
// find the packed form of the old ones.
func TestStaleWeights(t *testing.T) {
	k := locked(t)
	w := buffer.New(buffer.F32, 48, 48)
	w.Frozen = true
	x, y := buffer.New(buffer.F32, 32, 48), buffer.New(buffer.F32, 32, 48)
	x.F32()[0] = 1
	for _, v := range []float32{2, 3} {
		w.F32()[5*48] = v // row 5, column 0: y[0][5] = x[0][0]·w[5][0]
		for range 2 {
			run, err := k.MatMul(kernels.MatMul{A: x, B: w, Y: y, M: 32, N: 48, K: 48, TransB: true})
			if err != nil {
				t.Fatal(err)
			}
			run()
			if got := y.F32()[5]; got != v {
				t.Errorf("weight %v: y is %v", v, got)
			}
		}
	}
	if n := len(k.panels[w.Pointer()]); n != 2 {
		t.Errorf("%d packed forms for two contents bound twice each, want 2", n)
	}
}

// TestExecutorsShare: several locked threads bind the same frozen weights, get
// one packed copy, and the same bytes.
func TestExecutorsShare(t *testing.T) {
	k := locked(t)
	rng := rand.New(rand.NewPCG(3, 4))
	random := func(shape ...int) *buffer.Buffer {
		b := buffer.New(buffer.F32, shape...)
		for i := range b.F32() {
			b.F32()[i] = rng.Float32() - 0.5
		}
		return b
	}
	x, w, f := random(2, 9, 9, 32), random(96, 32), random(48, 32, 3, 3)
	w.Frozen, f.Frozen = true, true
	const threads = 4
	var products, maps [threads]*buffer.Buffer
	var wg sync.WaitGroup
	for i := range threads {
		products[i], maps[i] = buffer.New(buffer.F32, 2, 9, 9, 96), buffer.New(buffer.F32, 2, 9, 9, 48)
		wg.Add(1)
		go func() {
			defer wg.Done()
			LockThread()
			defer runtime.UnlockOSThread()
			a, err := k.MatMul(kernels.MatMul{A: x, B: w, TransB: true, Y: products[i], M: 162, N: 96, K: 32})
			b, err2 := k.Conv(kernels.Conv{X: x, W: f, Y: maps[i], Stride: [2]int{1, 1}, Pads: [4]int{1, 1, 1, 1}, Dilation: [2]int{1, 1}, Groups: 1})
			if err != nil || err2 != nil {
				t.Error(err, err2)
				return
			}
			for range 20 {
				a()
				b()
			}
		}()
	}
	wg.Wait()
	for i := 1; i < threads; i++ {
		if !slices.Equal(products[0].F32(), products[i].F32()) || !slices.Equal(maps[0].F32(), maps[i].F32()) {
			t.Errorf("thread %d differs from thread 0", i)
		}
	}
	if a, b := len(k.panels[w.Pointer()]), len(k.packed[f.Pointer()])+len(k.panels[f.Pointer()]); a != 1 || b > 1 {
		t.Errorf("%d and %d packed forms, want 1 each (no map where oneDNN has no convolution)", a, b)
	}
}
