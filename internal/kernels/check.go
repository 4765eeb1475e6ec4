package kernels

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
)

// The Check methods hold every implementation to the same contract: they
// return the storage that the call runs in, or an error that names the kernel,
// the operand and both numbers.

type operand struct {
	name string
	buf  Buf
}

// floats checks that all operands that are present share one float storage.
// Operands whose name starts with "!" must be present.
func floats(kernel string, ops ...operand) (buffer.Storage, error) {
	var first *operand
	for i := range ops {
		o := &ops[i]
		required := o.name[0] == '!'
		if required {
			o.name = o.name[1:]
		}
		if o.buf == nil {
			if required {
				return 0, fmt.Errorf("kernels: %s: %s is missing", kernel, o.name)
			}
			continue
		}
		if s := o.buf.Storage; s != buffer.F32 && s != buffer.F64 {
			return 0, fmt.Errorf("kernels: %s: %s is %v, want f32 or f64", kernel, o.name, s)
		}
		if first == nil {
			first = o
		}
		if o.buf.Storage != first.buf.Storage {
			return 0, fmt.Errorf("kernels: %s: %s is %v but %s is %v", kernel, o.name, o.buf.Storage, first.name, first.buf.Storage)
		}
	}
	return first.buf.Storage, nil
}

// sameShape checks that every present operand has want's shape.
func sameShape(kernel string, want operand, ops ...operand) error {
	for _, o := range ops {
		if o.buf != nil && !slices.Equal(o.buf.Shape, want.buf.Shape) {
			return fmt.Errorf("kernels: %s: %s has shape %v but %s has %v", kernel, o.name, o.buf.Shape, want.name, want.buf.Shape)
		}
	}
	return nil
}

// vectors checks that every present operand holds n dense elements.
func vectors(kernel string, n int, ops ...operand) error {
	for _, o := range ops {
		if o.buf == nil {
			continue
		}
		if o.buf.Len() != n {
			return fmt.Errorf("kernels: %s: %s has %d elements, want %d", kernel, o.name, o.buf.Len(), n)
		}
		if !o.buf.Dense() {
			return fmt.Errorf("kernels: %s: %s has pitch %d for rows of %d, want it dense", kernel, o.name, o.buf.Pitch, o.buf.Cols())
		}
	}
	return nil
}

func elements(b Buf) int { return b.Bytes() / b.Storage.Size() }

// Check validates the forward or the backward pass and returns its storage.
func (p LayerNorm) Check(backward bool) (buffer.Storage, error) {
	if backward && p.X == nil { // the results in its place
		if p.Gamma == nil || p.DGamma != nil {
			return 0, errors.New("kernels: LayerNorm: of its results there is a gradient of x, and with a scale")
		}
		p.X, p.Mean = p.Y, p.RStd
	}
	ops := []operand{{"!X", p.X}, {"Gamma", p.Gamma}, {"Mean", p.Mean}, {"RStd", p.RStd}}
	if backward {
		ops[2].name, ops[3].name = "!Mean", "!RStd"
		ops = append(ops, operand{"!DY", p.DY}, operand{"DX", p.DX}, operand{"DGamma", p.DGamma}, operand{"DBeta", p.DBeta})
	} else {
		ops = append(ops, operand{"!Y", p.Y}, operand{"Beta", p.Beta}, operand{"Hat", p.Hat})
	}
	s, err := floats("LayerNorm", ops...)
	if err != nil {
		return 0, err
	}
	x := operand{"X", p.X}
	c := p.X.Cols()
	if backward {
		err = sameShape("LayerNorm", x, operand{"DY", p.DY}, operand{"DX", p.DX})
	} else {
		err = sameShape("LayerNorm", x, operand{"Y", p.Y}, operand{"Hat", p.Hat})
	}
	if err != nil {
		return 0, err
	}
	if err := vectors("LayerNorm", c, operand{"Gamma", p.Gamma}, operand{"Beta", p.Beta}, operand{"DGamma", p.DGamma}, operand{"DBeta", p.DBeta}); err != nil {
		return 0, err
	}
	return s, vectors("LayerNorm", p.X.Rows(), operand{"Mean", p.Mean}, operand{"RStd", p.RStd})
}

// Check validates the forward or the backward pass and returns its storage.
func (p Softmax) Check(backward bool) (buffer.Storage, error) {
	if backward {
		s, err := floats("Softmax", operand{"!Y", p.Y}, operand{"!DY", p.DY}, operand{"!DX", p.DX})
		if err != nil {
			return 0, err
		}
		return s, sameShape("Softmax", operand{"Y", p.Y}, operand{"DY", p.DY}, operand{"DX", p.DX})
	}
	s, err := floats("Softmax", operand{"!X", p.X}, operand{"!Y", p.Y})
	if err != nil {
		return 0, err
	}
	return s, sameShape("Softmax", operand{"X", p.X}, operand{"Y", p.Y})
}

// Check validates the forward or the backward pass and returns its storage.
func (p Unary) Check(backward bool) (buffer.Storage, error) {
	if p.Func > ThresholdedRelu {
		return 0, fmt.Errorf("kernels: Unary: function %d is unknown, the last is %d", p.Func, ThresholdedRelu)
	}
	if backward {
		source := operand{"!X", p.X}
		if p.Deriv != nil {
			source = operand{"!Deriv", p.Deriv}
		}
		s, err := floats("Unary", source, operand{"!DY", p.DY}, operand{"!DX", p.DX})
		if err != nil {
			return 0, err
		}
		return s, sameShape("Unary", operand{"DY", p.DY}, source, operand{"DX", p.DX})
	}
	s, err := floats("Unary", operand{"!X", p.X}, operand{"!Y", p.Y}, operand{"Deriv", p.Deriv})
	if err != nil {
		return 0, err
	}
	return s, sameShape("Unary", operand{"X", p.X}, operand{"Y", p.Y}, operand{"Deriv", p.Deriv})
}

// Check validates shapes and returns the storage.
func (p Binary) Check() (buffer.Storage, error) {
	s, err := floats("Binary", operand{"!X", p.X}, operand{"!Z", p.Z}, operand{"!Y", p.Y})
	if err != nil {
		return 0, err
	}
	if p.Func > Pow {
		return 0, fmt.Errorf("kernels: Binary: function %d is unknown, the last is %d", p.Func, Pow)
	}
	for _, o := range []operand{{"X", p.X}, {"Z", p.Z}} {
		have, want := o.buf.Shape, p.Y.Shape
		ok := len(have) <= len(want)
		for i := 1; ok && i <= len(have); i++ {
			d := have[len(have)-i]
			ok = d == 1 || d == want[len(want)-i]
		}
		if !ok {
			return 0, fmt.Errorf("kernels: Binary: %s has shape %v, which does not broadcast to %v", o.name, have, want)
		}
	}
	return s, nil
}

// Check validates shapes and returns the storage.
func (p ChannelAffine) Check() (buffer.Storage, error) {
	s, err := floats("ChannelAffine", operand{"!X", p.X}, operand{"!Y", p.Y}, operand{"Scale", p.Scale}, operand{"Shift", p.Shift})
	if err != nil {
		return 0, err
	}
	if err := sameShape("ChannelAffine", operand{"X", p.X}, operand{"Y", p.Y}); err != nil {
		return 0, err
	}
	return s, vectors("ChannelAffine", p.X.Cols(), operand{"Scale", p.Scale}, operand{"Shift", p.Shift})
}

// Check validates shapes and returns the storage.
func (p ColumnSum) Check() (buffer.Storage, error) {
	s, err := floats("ColumnSum", operand{"!X", p.X}, operand{"!Y", p.Y}, operand{"Z", p.Z})
	if err != nil {
		return 0, err
	}
	if err := sameShape("ColumnSum", operand{"X", p.X}, operand{"Z", p.Z}); err != nil {
		return 0, err
	}
	return s, vectors("ColumnSum", p.X.Cols(), operand{"Y", p.Y})
}

// Check validates that the box lies inside both buffers and returns the
// storage, which may be any when nothing is accumulated.
func (p Copy) Check() (buffer.Storage, error) {
	if p.Src == nil || p.Dst == nil {
		return 0, fmt.Errorf("kernels: Copy: Src or Dst is missing")
	}
	s := p.Src.Storage
	if s != p.Dst.Storage {
		return 0, fmt.Errorf("kernels: Copy: Src is %v but Dst is %v", s, p.Dst.Storage)
	}
	if p.Accumulate && s != buffer.F32 && s != buffer.F64 {
		return 0, fmt.Errorf("kernels: Copy: accumulates %v, want f32 or f64", s)
	}
	if len(p.SrcStrides) != len(p.Dims) || len(p.DstStrides) != len(p.Dims) {
		return 0, fmt.Errorf("kernels: Copy: %d dimensions with %d source and %d destination strides", len(p.Dims), len(p.SrcStrides), len(p.DstStrides))
	}
	for _, d := range p.Dims {
		if d == 0 {
			return s, nil
		}
	}
	within := func(name string, b Buf, offset int, strides []int) error {
		lo, hi := offset, offset
		for i, d := range p.Dims {
			lo += min(0, (d-1)*strides[i])
			hi += max(0, (d-1)*strides[i])
		}
		if lo < 0 || hi >= elements(b) {
			return fmt.Errorf("kernels: Copy: %s spans elements %d to %d of %d", name, lo, hi, elements(b))
		}
		return nil
	}
	if err := within("Src", p.Src, p.SrcOffset, p.SrcStrides); err != nil {
		return 0, err
	}
	return s, within("Dst", p.Dst, p.DstOffset, p.DstStrides)
}

// Check validates shapes and returns the storage.
func (p Reduce) Check() (buffer.Storage, error) {
	s, err := floats("Reduce", operand{"!X", p.X}, operand{"!Y", p.Y})
	if err != nil {
		return 0, err
	}
	if p.Func > ReduceMin {
		return 0, fmt.Errorf("kernels: Reduce: function %d is unknown, the last is %d", p.Func, ReduceMin)
	}
	ok := len(p.X.Shape) == len(p.Y.Shape)
	for i := 0; ok && i < len(p.X.Shape); i++ {
		ok = p.Y.Shape[i] == 1 || p.Y.Shape[i] == p.X.Shape[i]
	}
	if !ok {
		return 0, fmt.Errorf("kernels: Reduce: Y has shape %v, want that of X, %v, with 1 on the reduced axes", p.Y.Shape, p.X.Shape)
	}
	return s, vectors("Reduce", p.Y.Len(), operand{"Y", p.Y})
}
