package head

import "fmt"

// Labels is the class of every pixel of an image of h×w pixels, row by row: the
// first of the largest logits, enlarged bilinearly as loss.Segment does. The
// image is done one row at a time; beside the labels it takes memory for one row
// of logits.
//
//	logits (Map height, Map width, K)
//
// Pixels that the placement cut off have the class of the nearest one that was
// seen.
func (v View) Labels(logits []float32, h, w int) ([]uint8, error) {
	rows, cols, err := v.axes(h, w)
	if err != nil {
		return nil, err
	}
	k, err := classesOf(logits, v.Map)
	if err != nil {
		return nil, err
	}
	labels := make([]uint8, h*w)
	e := newEnlarger(rows, cols, k)
	for y := range h {
		largest(e.read(logits, y), labels[y*w:(y+1)*w])
	}
	return labels, nil
}

// classesOf is K of logits of a map's size.
func classesOf(logits []float32, size [2]int) (int, error) {
	cells := size[0] * size[1]
	if cells < 1 || len(logits) == 0 || len(logits)%cells != 0 {
		return 0, fmt.Errorf("head: %d logits for a map of %d×%d", len(logits), size[0], size[1])
	}
	k := len(logits) / cells
	if k > 255 {
		return 0, fmt.Errorf("head: %d classes: at most 255 fit into a byte beside the ignored one", k)
	}
	return k, nil
}

// largest is, for every label, the place of the first of the largest of its
// scores.
func largest(scores []float32, labels []uint8) {
	k := len(scores) / len(labels)
	for i := range labels {
		at, _ := top(scores[i*k : (i+1)*k])
		labels[i] = uint8(at)
	}
}
