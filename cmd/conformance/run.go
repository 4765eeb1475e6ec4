package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// run runs a case on one kernel set and compares all outputs.
func (c testCase) run(k kernels.Kernels) (err error) {
	defer func() {
		if r := recover(); r != nil { // counted, not hidden: the report says so
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	m, in, want, err := c.load()
	if err != nil {
		return err
	}
	o := onnx.PlanOptions{Shapes: map[string][]int{}, Bind: map[string]*ir.Tensor{}}
	deciding := m.ShapeInputs()
	for name, t := range in {
		if slices.Contains(deciding, name) || t.Len() == 0 { // a program has no empty tensors
			o.Bind[name] = t
		} else {
			o.Shapes[name] = t.Dims
		}
	}
	net := build.NewNet(func(int) (*ir.Graph, error) { return m.Plan(o) })
	g, err := net.Build(build.Options{Batch: 1})
	if err != nil {
		return err
	}
	r, err := build.NewRunner(g, k)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := r.Run(in)
	if err != nil {
		return err
	}
	for i, out := range m.Graph.Outputs {
		w := want[out.Name]
		if w == nil {
			continue
		}
		// The plan keeps the order of outputs; an output that is another
		// one's copy may have changed its name.
		if err := compare(got[g.IR.Outputs[i].Name], w); err != nil {
			return fmt.Errorf("output %q %w", out.Name, err)
		}
	}
	return nil
}

// compare checks types, shapes and values. Integers and booleans are exact;
// floats of every width are computed in float32.
func compare(got, want *ir.Tensor) error {
	if widened(got.DType) != widened(want.DType) || !slices.Equal(got.Dims, want.Dims) {
		return fmt.Errorf("is %v %v, want %v %v", got.DType, got.Dims, want.DType, want.Dims)
	}
	rel, abs := tolerance(want.DType)
	for i := range want.Len() {
		g, w := got.Float(i), want.Float(i)
		if g == w || math.IsNaN(g) && math.IsNaN(w) {
			continue
		}
		if d := math.Abs(g - w); !(d <= abs+rel*math.Abs(w)) {
			return fmt.Errorf("element %d is %v, want %v", i, g, w)
		}
	}
	return nil
}

func widened(d ir.DType) ir.DType {
	switch d {
	case ir.Float16, ir.BFloat16, ir.Double:
		return ir.Float
	}
	return d
}

// tolerance is ONNX's own for float32 (rtol 1e-3), and a few units in the last
// place for the narrow types.
func tolerance(t ir.DType) (rel, abs float64) {
	switch t {
	case ir.Float, ir.Double:
		return 1e-3, 1e-6
	case ir.Float16:
		return 2e-3, 1e-4
	case ir.BFloat16:
		return 1e-2, 1e-3
	}
	return 0, 0
}
