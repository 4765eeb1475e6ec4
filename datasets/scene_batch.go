package datasets

// NewSceneBatch is a batch of n pictures with inputs of size values and room
// for so many objects in each.
func NewSceneBatch(n, size, objects int) *Batch {
	return SceneBatchOver(make([]float32, n*size), make([]float32, n*objects*5), n)
}

// SceneBatchOver is [NewSceneBatch] over memory that belongs to the caller:
// boxes is (n, M, 5).
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
