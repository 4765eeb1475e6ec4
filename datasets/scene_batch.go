package datasets

// SceneBatchOver is [BatchOver] with boxes, (n, M, 5), in memory that belongs to the
// caller.
func SceneBatchOver(x, boxes []float32, n int) *Batch {
	b := BatchOver(x, n, 0)
	b.objects = len(boxes) / (5 * n)
	b.Boxes = boxes[:5*n*b.objects]
	return b
}

// boxes are the rows of picture i, none when the batch has no boxes.
func (b *Batch) boxes(i int) []float32 {
	n := 5 * b.objects
	return b.Boxes[i*n:][:n:n]
}

// MaskBatchOver is [SceneBatchOver] with the classes of the pixels, (n, H, W); boxes
// may be empty.
func MaskBatchOver(x, boxes []float32, mask []uint8, n int) *Batch {
	b := SceneBatchOver(x, boxes, n)
	b.plane = len(mask) / n
	b.Mask = mask[:n*b.plane]
	return b
}

// mask are the classes of picture i, nil when the batch has none.
func (b *Batch) mask(i int) []uint8 {
	if b.plane == 0 {
		return nil
	}
	return b.Mask[i*b.plane:][:b.plane:b.plane]
}

// withShares adds room for the masks of the objects.
func (b *Batch) withShares(n, cells int) *Batch {
	b.covered = b.objects * cells
	b.Shares = make([]uint8, n*b.covered)
	return b
}

// shares are the masks of the objects of picture i, nil when the batch has none.
func (b *Batch) shares(i int) []uint8 {
	if b.covered == 0 {
		return nil
	}
	return b.Shares[i*b.covered:][:b.covered:b.covered]
}
