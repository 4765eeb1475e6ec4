package kernels

import (
	"math"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
)

// TestInverts: results are taken back to normalised values only where little is
// lost by it.
func TestInverts(t *testing.T) {
	of := func(v ...float32) Buf { return buffer.Of(v, len(v)) }
	for _, c := range []struct {
		name        string
		gamma, beta Buf
		want        bool
	}{
		{"plain", of(1, -1, 0.5), of(0, 3, -2), true},
		{"no shift", of(1, 2, 3), nil, true},
		{"no scale", nil, of(1, 2), false},
		{"a scale of 0", of(1, 0), of(0, 0), false},
		{"a small scale", of(1, 0.01), of(0, 0), false},
		{"a large shift", of(1, 1), of(0, -65), false},
		{"not a number", of(1, float32(math.NaN())), of(0, 0), false},
	} {
		if got := (LayerNorm{Gamma: c.gamma, Beta: c.beta}).Inverts(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
