package kernels

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
)

// Check validates the product and returns its storage.
func (p MatMul) Check() (buffer.Storage, error) {
	s, err := floats("MatMul", operand{"!A", p.A}, operand{"!B", p.B}, operand{"!Y", p.Y}, operand{"Bias", p.Bias})
	if err != nil {
		return 0, err
	}
	if p.M < 0 || p.N < 0 || p.K < 0 || p.Batch < 0 {
		return 0, fmt.Errorf("kernels: MatMul: M, N, K, Batch = %d, %d, %d, %d: none may be negative", p.M, p.N, p.K, p.Batch)
	}
	check := func(name string, b Buf, rows, cols, stride int) error {
		if rows == 0 || cols == 0 {
			return nil
		}
		if p.Batch <= 1 && (b.Rows() != rows || b.Cols() != cols) {
			return fmt.Errorf("kernels: MatMul: %s has %d rows of %d, want %d rows of %d", name, b.Rows(), b.Cols(), rows, cols)
		}
		last := (rows-1)*b.Pitch + cols
		lo, hi := 0, last
		if d := (p.Batch - 1) * stride; p.Batch > 1 {
			lo, hi = min(0, d), last+max(0, d)
		}
		if lo < 0 || hi > elements(b) {
			return fmt.Errorf("kernels: MatMul: %s spans elements %d to %d of %d", name, lo, hi, elements(b))
		}
		if cols > b.Pitch && rows > 1 {
			return fmt.Errorf("kernels: MatMul: %s has rows of %d at pitch %d", name, cols, b.Pitch)
		}
		return nil
	}
	ar, ac := p.M, p.K
	if p.TransA {
		ar, ac = ac, ar
	}
	br, bc := p.K, p.N
	if p.TransB {
		br, bc = bc, br
	}
	if err := check("A", p.A, ar, ac, p.StrideA); err != nil {
		return 0, err
	}
	if err := check("B", p.B, br, bc, p.StrideB); err != nil {
		return 0, err
	}
	if err := check("Y", p.Y, p.M, p.N, p.StrideY); err != nil {
		return 0, err
	}
	if err := p.checkThin(); err != nil {
		return 0, err
	}
	return s, vectors("MatMul", p.N, operand{"Bias", p.Bias})
}

// Check validates shapes and options and returns the storage. All three
// directions take the same buffers.
func (p Conv) Check() (buffer.Storage, error) {
	s, err := floats("Conv", operand{"!X", p.X}, operand{"!W", p.W}, operand{"!Y", p.Y}, operand{"Bias", p.Bias})
	if err != nil {
		return 0, err
	}
	if len(p.X.Shape) != 4 || len(p.W.Shape) != 4 || len(p.Y.Shape) != 4 {
		return 0, fmt.Errorf("kernels: Conv: X %v, W %v, Y %v: want four axes each", p.X.Shape, p.W.Shape, p.Y.Shape)
	}
	x, w, y := p.X.Shape, p.W.Shape, p.Y.Shape
	if p.Groups < 1 || x[3]%p.Groups != 0 || w[0]%p.Groups != 0 {
		return 0, fmt.Errorf("kernels: Conv: %d groups do not divide %d input and %d output channels", p.Groups, x[3], w[0])
	}
	if w[1] != x[3]/p.Groups {
		return 0, fmt.Errorf("kernels: Conv: W reads %d channels per group, X has %d", w[1], x[3]/p.Groups)
	}
	if p.Stride[0] < 1 || p.Stride[1] < 1 || p.Dilation[0] < 1 || p.Dilation[1] < 1 {
		return 0, fmt.Errorf("kernels: Conv: stride %v and dilation %v must be at least 1", p.Stride, p.Dilation)
	}
	if w[2] < 1 || w[3] < 1 {
		return 0, fmt.Errorf("kernels: Conv: kernel %d×%d is empty", w[2], w[3])
	}
	oh := (x[1]+p.Pads[0]+p.Pads[2]-p.Dilation[0]*(w[2]-1)-1)/p.Stride[0] + 1
	ow := (x[2]+p.Pads[1]+p.Pads[3]-p.Dilation[1]*(w[3]-1)-1)/p.Stride[1] + 1
	if want := []int{x[0], oh, ow, w[0]}; !slices.Equal(y, want) {
		return 0, fmt.Errorf("kernels: Conv: Y has shape %v, want %v", y, want)
	}
	if !p.W.Dense() {
		return 0, fmt.Errorf("kernels: Conv: W has pitch %d for rows of %d, want it dense", p.W.Pitch, w[3])
	}
	if err := p.checkThin(); err != nil {
		return 0, err
	}
	return s, vectors("Conv", w[0], operand{"Bias", p.Bias})
}

// check validates that a view of (n, t, h, d) elements lies inside its buffer.
func (v View) check(name string, n, t, h, d int) error {
	if n*t*h*d == 0 {
		return nil
	}
	last := v.Offset + (n-1)*v.Batch + (t-1)*v.Token + (h-1)*v.Head + d
	if v.Offset < 0 || v.Batch < 0 || v.Token < 0 || v.Head < 0 || last > elements(v.Buf) {
		return fmt.Errorf("kernels: Attention: %s spans elements %d to %d of %d", name, v.Offset, last, elements(v.Buf))
	}
	return nil
}

// Check validates the forward or the backward pass and returns its storage.
func (p Attention) Check(backward bool) (buffer.Storage, error) {
	ops := []operand{{"!Q", p.Q.Buf}, {"!K", p.K.Buf}, {"!V", p.V.Buf}}
	if backward {
		ops = append(ops, operand{"!Stats", p.Stats}, operand{"!DO", p.DO.Buf}, operand{"DQ", p.DQ.Buf}, operand{"DK", p.DK.Buf}, operand{"DV", p.DV.Buf})
	} else {
		ops = append(ops, operand{"!O", p.O.Buf}, operand{"Stats", p.Stats})
	}
	ops = append(ops, operand{"Mask", p.Mask}, operand{"!Scratch", p.Scratch})
	s, err := floats("Attention", ops...)
	if err != nil {
		return 0, err
	}
	type placed struct {
		name    string
		v       View
		t, dims int
	}
	views := []placed{{"Q", p.Q, p.Tq, p.D}, {"K", p.K, p.Tk, p.D}, {"V", p.V, p.Tk, p.Dv}}
	if backward {
		views = append(views, placed{"DO", p.DO, p.Tq, p.Dv})
		for _, g := range []placed{{"DQ", p.DQ, p.Tq, p.D}, {"DK", p.DK, p.Tk, p.D}, {"DV", p.DV, p.Tk, p.Dv}} {
			if g.v.Buf != nil {
				views = append(views, g)
			}
		}
	} else {
		views = append(views, placed{"O", p.O, p.Tq, p.Dv})
	}
	for _, v := range views {
		if err := v.v.check(v.name, p.N, v.t, p.Heads, v.dims); err != nil {
			return 0, err
		}
	}
	if p.Stats != nil {
		if want := []int{p.N, p.Heads, p.Tq, 2}; !slices.Equal(p.Stats.Shape, want) || !p.Stats.Dense() {
			return 0, fmt.Errorf("kernels: Attention: Stats has shape %v and pitch %d, want dense %v", p.Stats.Shape, p.Stats.Pitch, want)
		}
	}
	if want := AttentionScratch(p.Tq, p.Tk, backward); elements(p.Scratch) < want {
		return 0, fmt.Errorf("kernels: Attention: Scratch has %d elements, want %d", elements(p.Scratch), want)
	}
	if p.Mask != nil {
		if _, _, ok := p.MaskStrides(); !ok {
			return 0, fmt.Errorf("kernels: Attention: Mask has shape %v, want (%d, %d), or (%d, %d, %d), or (%d, %d, %d, %d)", p.Mask.Shape,
				p.Tq, p.Tk, p.Heads, p.Tq, p.Tk, p.N, p.Heads, p.Tq, p.Tk)
		}
	}
	return s, nil
}

// MaskStrides gives the distance in elements between the masks of two pictures
// and of two heads; leading axes of length 1 broadcast. ok is false when the
// shape does not fit.
func (p Attention) MaskStrides() (batch, head int, ok bool) {
	m := p.Mask.Shape
	if len(m) < 2 || len(m) > 4 || m[len(m)-1] != p.Tk || m[len(m)-2] != p.Tq {
		return 0, 0, false
	}
	n, h := 1, 1
	if len(m) == 4 {
		n = m[0]
	}
	if len(m) >= 3 {
		h = m[len(m)-3]
	}
	if (n != 1 && n != p.N) || (h != 1 && h != p.Heads) {
		return 0, 0, false
	}
	one := p.Tq * p.Mask.Pitch
	if h > 1 {
		head = one
	}
	if n > 1 {
		batch = one * h
	}
	return batch, head, true
}

// Check validates the forward or the backward pass and returns its storage.
func (p Pool) Check(backward bool) (buffer.Storage, error) {
	in, out := operand{"!X", p.X}, operand{"!Y", p.Y}
	if backward {
		in, out = operand{"!DX", p.DX}, operand{"!DY", p.DY}
	}
	s, err := floats("Pool", in, out)
	if err != nil {
		return 0, err
	}
	x, y := in.buf.Shape, out.buf.Shape
	if len(x) != 4 || len(y) != 4 || x[0] != y[0] || x[3] != y[3] {
		return 0, fmt.Errorf("kernels: Pool: input %v and output %v, want (N, H, W, C) with the same N and C", x, y)
	}
	for i := range 2 {
		if p.Kernel[i] < 1 || p.Stride[i] < 1 || p.Dilation[i] < 1 {
			return 0, fmt.Errorf("kernels: Pool: kernel %v, stride %v and dilation %v must be at least 1", p.Kernel, p.Stride, p.Dilation)
		}
	}
	if p.Max && (backward || p.Index != nil) {
		if p.Index == nil {
			return 0, fmt.Errorf("kernels: Pool: the backward pass of max pooling needs Index")
		}
		if want := p.IndexStorage(); p.Index.Storage != want || p.Index.Len() != out.buf.Len() || !p.Index.Dense() {
			return 0, fmt.Errorf("kernels: Pool: Index is %v %v pitch %d, want dense %v %v", p.Index.Storage, p.Index.Shape, p.Index.Pitch, want, y)
		}
	}
	return s, nil
}
