package engine

import "github.com/vislora/vislora/internal/onnx/ir"

// masks are those of the chosen boxes at the size of the network's input,
// uint8 (M, H, W) with 1 for the object, as [head.MaskDecode] makes them:
//
//	σ(Σₚ coefficientₚ·prototypeₚ), enlarged bilinearly, > ½, within the box
//
//	rows (N, A, 5+K+P)   prototypes (N, P, h, w)
//
// Only the chosen boxes get a mask. One product makes it of the prototypes of
// every image, and it is taken from its own: as long as there are fewer images
// than prototypes, that needs less memory than a copy of the prototypes for every
// box.
func (b *fileBuilder) masks(rows string, prototypes fileValue, c selection, o *DetectorOutput, height, width int) string {
	h, w, p := prototypes.dims[1], prototypes.dims[2], prototypes.dims[3]
	cells := int64(h * w)
	columns := o.columns()
	coefficients := b.slice(b.gather(b.reshape(rows, -1, int64(columns)), c.rows, 0), 1, columns-p, columns)
	all := b.op("MatMul", coefficients, b.reshape(prototypes.name, 0, int64(p), cells)) // (N, M, h·w)
	count := b.gather(b.op("Shape", c.images), b.scalar(0), 0)
	own := b.op("Add", b.op("Mul", c.images, count), b.op("Range", b.scalar(0), count, b.scalar(1)))
	sums := b.gather(b.reshape(all, -1, cells), own, 0)
	probability := b.op("Sigmoid", b.reshape(sums, 1, -1, int64(h), int64(w)))
	enlarged := b.enlarged(probability, [2]int{h, w}, o.Masks.Stride, [2]int{height, width})
	inside := b.op("And", b.op("Greater", enlarged, b.float(.5)), b.reshape(b.within(c.boxes, 0, width), 0, 1, int64(width)))
	return b.cast(b.op("And", inside, b.reshape(b.within(c.boxes, 1, height), 0, int64(height), 1)), ir.Uint8)
}

// enlarged makes (M, height, width) of cells (1, M, h, w), each of so many pixels.
// The cells may reach out of the input on the right and below; where they end
// before it, the last pixel goes on.
func (b *fileBuilder) enlarged(x string, cells [2]int, stride int, size [2]int) string {
	s := float32(stride)
	y := b.resize(x, ir.Attrs{"mode": "linear", "coordinate_transformation_mode": "half_pixel"}, b.floats([]int{4}, 1, 1, s, s))
	y = b.reshape(y, -1, int64(cells[0]*stride), int64(cells[1]*stride))
	for k, want := range size {
		have := cells[k] * stride
		if have == want {
			continue
		}
		index := make([]int64, want)
		for i := range index {
			index[i] = int64(min(i, have-1))
		}
		y = b.gather(y, b.ints(index...), 1+k)
	}
	return y
}

// within tells for boxes (M, 4) which of n pixels of a row (side 0) or a column
// (side 1) have their centre between the box's borders: (M, n).
func (g *grapher) within(boxes string, side, n int) string {
	centres := make([]float32, n)
	for i := range centres {
		centres[i] = float32(i) + .5
	}
	at := g.floats([]int{1, n}, centres...)
	from, to := g.slice(boxes, 1, side, side+1), g.slice(boxes, 1, side+2, side+3)
	return g.op("And", g.op("Not", g.op("Less", at, from)), g.op("Less", at, to))
}
