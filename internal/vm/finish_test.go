package vm_test

import (
	"testing"

	"github.com/vislora/vislora/internal/gradcheck"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/vm"
	"gorgonia.org/tensor"
)

// finishers is a kernel set whose products finish their results, by kernels of
// their own.
type finishers struct {
	kernels.Go
	adds, relus, masks int
}

func (k *finishers) MatMul(p kernels.MatMul) (kernels.Run, error) {
	run, err := k.Go.MatMul(p)
	return k.finish(run, err, p.Finish, p.Y)
}

func (k *finishers) Conv(p kernels.Conv) (kernels.Run, error) {
	run, err := k.Go.Conv(p)
	return k.finish(run, err, p.Finish, p.Y)
}

func (k *finishers) ConvBackwardData(p kernels.Conv) (kernels.Run, error) {
	run, err := k.Go.ConvBackwardData(p)
	return k.finish(run, err, p.Finish, p.X)
}

func (k *finishers) finish(run kernels.Run, err error, f *kernels.Finish, y kernels.Buf) (kernels.Run, error) {
	if f == nil || err != nil {
		return run, err
	}
	f.Taken = true
	if f.Add != nil {
		k.adds++
	}
	if f.Relu {
		k.relus++
	}
	if f.Mask != nil {
		k.masks++
	}
	add, relu, mask := f.Add, f.Relu, f.Mask
	return func() {
		run()
		for i, v := range y.F64() {
			if add != nil {
				v += add.F64()[i]
			}
			if relu {
				v = max(v, 0)
			}
			if mask != nil && mask.F64()[i] <= 0 {
				v = 0
			}
			y.F64()[i] = v
		}
	}, nil
}

// TestFinish: what comes behind a product is given to its kernel where nothing else
// sees what lies between, and the results are those of kernels that take nothing.
func TestFinish(t *testing.T) {
	n := build(t, tensor.Float64, 3)
	want := compile(t, n, n.fill(0), nil)
	p, err := vm.Compile(n.g, n.roots()...)
	if err != nil {
		t.Fatal(err)
	}
	k := &finishers{}
	got, err := vm.NewExecutor(p, vm.Binding{Kernels: k, Inputs: n.fill(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	for _, e := range []*vm.Executor{want, got} {
		if err := e.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range n.roots() {
		if d := gradcheck.RangeError(gradcheck.Read(got.Value(r)), gradcheck.Read(want.Value(r))); d > 1e-12 {
			t.Errorf("root %d (%v): differs by %.2g of the range from kernels that finish nothing", i, r, d)
		}
	}
	// Behind convolutions and products stand three rectifiers and three residual
	// connections, and behind gradients of convolutions two rectifiers; behind the
	// gradient of pooling there is one more.
	if k.relus != 3 || k.adds != 3 || k.masks != 2 {
		t.Errorf("%d rectifiers, %d residual connections and %d gradients of rectifiers were given to products, want 3, 3 and 2", k.relus, k.adds, k.masks)
	}
}
