package head

import (
	"fmt"
	"math"
)

// AverageFlip joins the logits of an image with those of the image mirrored left
// to right: logits become the logarithm of the mean of both probabilities, which
// is as good as logits for all that follows.
//
//	logits, mirrored (h, w, K)
//
// mirrored is what the network put out for the mirrored image, not mirrored back.
func AverageFlip(logits, mirrored []float32, h, w int) error {
	if len(logits) != len(mirrored) {
		return fmt.Errorf("flip: %d logits and %d mirrored ones", len(logits), len(mirrored))
	}
	k, err := classesOf(logits, [2]int{h, w})
	if err != nil {
		return err
	}
	p, q := make([]float64, k), make([]float64, k)
	for y := range h {
		for x := range w {
			row := logits[(y*w+x)*k : (y*w+x+1)*k]
			other := mirrored[(y*w+w-1-x)*k : (y*w+w-x)*k]
			probabilities(row, p)
			probabilities(other, q)
			for j := range row {
				row[j] = float32(math.Log(max((p[j]+q[j])/2, faint)))
			}
		}
	}
	return nil
}

// faint is a probability whose logarithm is still a number to reckon with.
const faint = 1e-30

func probabilities(logits []float32, p []float64) {
	_, peak := top(logits)
	sum := 0.0
	for j, v := range logits {
		p[j] = math.Exp(float64(v - peak))
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
}
