package transform

import (
	"encoding/binary"
	"math"
	"os"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
)

// The stored input tensors of the trained ViT, from the JPEGs that they were
// made from: bicubic, longer side to nearest, crop offset rounded down.
func TestStoredInputsOfTheViT(t *testing.T) {
	pre, _ := vision.Preset("inception")
	pre.Interpolation, pre.Rounding = vision.Bicubic, vision.RoundNearest
	p, err := Eval(pre)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cat", "dog"} {
		im, err := cv.DecodeFile(testdata.Real(t, "test_images", name+".jpg"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(testdata.Real(t, "vit_tiny_timmstyle", "ref", "vit_timmstyle_op17_"+name+".in.0.bin"))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, p.Len())
		if err := p.NewWorker().Apply(got, im, Key{}); err != nil {
			t.Fatal(err)
		}
		most, sum := 0.0, 0.0
		const n = 224 * 224
		for i := range n {
			for c := range 3 {
				want := math.Float32frombits(binary.LittleEndian.Uint32(b[4*(c*n+i):]))
				d := math.Abs(float64(got[3*i+c]) - float64(want))
				most, sum = max(most, d), sum+d
			}
		}
		mean := sum / (3 * n)
		t.Logf("%s, %s: differs by %.6f in the mean, at most %.4f", name, cv.DecoderName(), mean, most)
		// The portable decoder upsamples chroma without interpolation.
		limitMean, limit := 0.0, 0.0
		if cv.DecoderName() == "go" {
			limitMean, limit = .01, .3
		}
		if mean > limitMean || most > limit {
			t.Errorf("%s: differs by %.6f in the mean, at most %.4f; allowed %.2f, %.2f", name, mean, most, limitMean, limit)
		}
	}
}
