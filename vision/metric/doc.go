// Package metric scores predictions of a whole split: single-label and
// multi-label classification, with the measures that a medical report needs and
// bootstrap intervals; detections and instance masks with COCO's measures, curves
// over the confidence and a confusion matrix ([COCOEval]); the classes of pixels
// ([SegmentEval]); and panoptic segments ([PanopticEval]).
//
// Means over classes go over the classes that are present in the split; what is
// undefined there (the sensitivity of a class without images) is NaN in Go and
// null in JSON. Everything is deterministic: a seed gives the same intervals on
// every machine.
package metric

import (
	"bytes"
	"encoding/json"
	"math"
)

// Score is one measure. NaN means undefined and is null in JSON.
type Score float64

// Undefined is the score of what cannot be measured.
var Undefined = Score(math.NaN())

// Defined reports whether s is a number.
func (s Score) Defined() bool { return !math.IsNaN(float64(s)) }

// MarshalJSON writes a number or null.
func (s Score) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(s)) || math.IsInf(float64(s), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(s))
}

// UnmarshalJSON reads a number or null.
func (s *Score) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		*s = Undefined
		return nil
	}
	return json.Unmarshal(b, (*float64)(s))
}

// Interval is a 95 % interval: [low, high] in JSON.
type Interval [2]Score

// mean is the average of the defined scores, Undefined if there are none.
func mean(scores []Score) Score {
	var sum float64
	var n int
	for _, s := range scores {
		if s.Defined() {
			sum += float64(s)
			n++
		}
	}
	return ratio(sum, float64(n))
}

// ratio is a/b, Undefined for 0/0.
func ratio(a, b float64) Score {
	if b == 0 {
		return Undefined
	}
	return Score(a / b)
}
