package lora

import (
	"math"
	"slices"
	"testing"

	"github.com/vislora/vislora/vision/build"
)

func newAdapter(t *testing.T, c *Config, seed uint64, sites ...build.Site) *Adapter {
	t.Helper()
	p, err := NewPlan(c, sites, "")
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAdapter(p, seed)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// moments checks that v fills ±bound with mean 0 and the variance of a uniform
// distribution; a bound of 0 means that all are zero.
func moments(t *testing.T, what string, v []float32, bound float64) {
	t.Helper()
	var sum, squares, top float64
	for _, x := range v {
		sum += float64(x)
		squares += float64(x) * float64(x)
		top = max(top, math.Abs(float64(x)))
	}
	n := float64(len(v))
	deviation := bound / math.Sqrt(3)
	if top > bound || top < .95*bound || math.Abs(sum/n) > 4*deviation/math.Sqrt(n) || math.Abs(math.Sqrt(squares/n)-deviation) > .1*deviation {
		t.Errorf("%s: largest %g, mean %g, deviation %g; wanted uniform in ±%g", what, top, sum/n, math.Sqrt(squares/n), bound)
	}
}

func TestInitTrue(t *testing.T) {
	a := newAdapter(t, targets("fc,conv,grouped"), 7, linearSite("fc", 100, 200), convSite("conv", 16, 64, 3, 3, 1), convSite("grouped", 64, 64, 3, 3, 4))
	moments(t, "linear A", a.Layers["fc"].A.Data, 1/math.Sqrt(100))
	moments(t, "conv A", a.Layers["conv"].A.Data, 1/math.Sqrt(16*9))
	moments(t, "grouped A", a.Layers["grouped"].A.Data, 1/math.Sqrt(16*9))
	for path, l := range a.Layers {
		moments(t, path+" B", l.B.Data, 0)
	}
}

func TestInitFalseAndGaussian(t *testing.T) {
	c := targets("fc")
	c.InitLoraWeights, c.LoraBias = "false", true
	l := newAdapter(t, c, 7, linearSite("fc", 100, 400)).Layers["fc"]
	moments(t, "A", l.A.Data, 1/math.Sqrt(100))
	moments(t, "B", l.B.Data, 1/math.Sqrt(8))
	moments(t, "bias of B", l.BiasB.Data, 1/math.Sqrt(8))
	c = targets("fc")
	c.InitLoraWeights = "gaussian"
	l = newAdapter(t, c, 7, linearSite("fc", 1000, 400)).Layers["fc"]
	var squares float64
	for _, x := range l.A.Data {
		squares += float64(x) * float64(x)
	}
	if d := math.Sqrt(squares / 8000); math.Abs(d-1./8) > .005 {
		t.Errorf("gaussian A has deviation %g, wanted 1/8", d)
	}
	moments(t, "B", l.B.Data, 0)
	c.InitLoraWeights = "eva"
	p, err := NewPlan(c, []build.Site{linearSite("fc", 100, 100)}, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewAdapter(p, 1)
	wantError(t, err, `"eva" cannot start`)
}

// TestInitIsKeyedByName: the values of a layer depend on seed and path alone.
func TestInitIsKeyedByName(t *testing.T) {
	x, y := linearSite("x", 32, 32), linearSite("y", 32, 32)
	both := newAdapter(t, targets("x,y"), 1, x, y)
	swapped := newAdapter(t, targets("y,x"), 1, y, x)
	alone := newAdapter(t, targets("y"), 1, y)
	other := newAdapter(t, targets("y"), 2, y)
	a := both.Layers["y"].A.Data
	if !slices.Equal(a, swapped.Layers["y"].A.Data) || !slices.Equal(a, alone.Layers["y"].A.Data) {
		t.Error("the order or the company of a layer changes its values")
	}
	if slices.Equal(a, other.Layers["y"].A.Data) || slices.Equal(a, both.Layers["x"].A.Data) {
		t.Error("another seed or another layer has the same values")
	}
}
