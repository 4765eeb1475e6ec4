package plot

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// ticks places about five labelled ticks at round numbers. With whole set none
// falls between integers: there is no epoch 2.5.
type ticks struct{ whole bool }

// Ticks implements [plot.Ticker].
func (t ticks) Ticks(low, high float64) []plot.Tick {
	step := roundStep((high - low) / 5)
	if t.whole {
		step = math.Max(1, math.Round(step))
	}
	first := math.Ceil(low/step - 1e-9)
	var out []plot.Tick
	for k := first; k*step <= high+1e-9*step && len(out) < 100; k++ {
		out = append(out, plot.Tick{Value: k * step, Label: label(k*step, step)})
	}
	return out
}

// roundStep is the nearest of 1, 2, 2.5, 5 and 10 times a power of ten, by ratio.
func roundStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	best := power
	for _, m := range []float64{2, 2.5, 5, 10} {
		if math.Abs(math.Log(m*power/x)) < math.Abs(math.Log(best/x)) {
			best = m * power
		}
	}
	return best
}

// label prints v with the digits that the step needs.
func label(v, step float64) string {
	if v == 0 {
		return "0"
	}
	if step < 1e-4 || math.Abs(v) >= 1e6 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	for digits := 0; ; digits++ {
		scale := math.Pow(10, float64(digits))
		if r := step * scale; math.Abs(r-math.Round(r)) < 1e-6 || digits == 6 {
			return strconv.FormatFloat(v, 'f', digits, 64)
		}
	}
}
