package engine

import (
	"strings"
	"testing"
)

// The head alone learns at its own rate.
func TestHeadLR(t *testing.T) {
	r := start(t, quick(t, sampleCNN, pictureFolder(t, 2, 4, 1), func(c *TrainConfig) { c.HeadLR = 5 }))
	heads := 0
	for _, p := range r.params {
		want := 1.0
		if !strings.Contains(p.Name, "lora_") {
			want = 5
			heads++
		}
		if got := max(p.LRScale, 0); got != want && !(want == 1 && got == 0) {
			t.Errorf("%s learns at %v times the rate, want %v", p.Name, got, want)
		}
	}
	if heads == 0 || heads == len(r.params) {
		t.Errorf("%d of %d parameters are the head's", heads, len(r.params))
	}
	_, err := Train(t.Context(), quick(t, sampleCNN, t.TempDir(), func(c *TrainConfig) { c.HeadLR = -1 }))
	says(t, err, "head_lr_ratio", "-1")
}
