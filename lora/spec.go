package lora

import (
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/vision/build"
)

// Spec is everything that building, running and merging one layer's adapter
// needs to know, except the values.
type Spec struct {
	Site build.Site
	// Delta is set for a dense update of a depthwise convolution: W + D with D
	// of W's own shape, unscaled. A, B and the rest are then nil.
	Delta bool
	// Rank is the adapter's rank: the first dimension of A.
	Rank int
	// Alpha is as configured. Scaling is Alpha/Rank, or Alpha/√Rank for rsLoRA.
	Alpha, Scaling float64
	// A is (r, in) or (r, in/groups, kH, kW), B (out, r) or (out, r/groups, 1, 1).
	A, B []int
	// BiasB is (out) with lora_bias, Magnitude (out) or (1, out, 1, 1) with
	// DoRA; nil otherwise.
	BiasB, Magnitude []int
	// D is the shape of a Delta.
	D []int
	// DenseA is set for an adapter that PEFT made for a grouped convolution:
	// its A is (r, in, kH, kW) and reads all channels, B is grouped.
	DenseA bool
	// NotPEFT says why PEFT cannot run this adapter: "grouped", "dilated",
	// "delta"; empty if it can.
	NotPEFT []string
	// Params counts the adapter's numbers, LayerParams the weight's.
	Params, LayerParams int
	// Note is a word for the table.
	Note string
}

// WeightShape is the canonical shape of a site's weight: (out, in), or
// (out, in/groups, kH, kW).
func WeightShape(s build.Site) []int {
	if s.Kind == build.KindLinear {
		return []int{s.Out, s.In}
	}
	return []int{s.Out, s.In / s.Groups, s.Kernel[0], s.Kernel[1]}
}

// scaling is alpha/r, or alpha/√r for rsLoRA.
func (c *Config) scaling(alpha float64, r int) float64 {
	if c.UseRSLoRA {
		return alpha / math.Sqrt(float64(r))
	}
	return alpha / float64(r)
}

// checkSite reports a site that no weight can have.
func checkSite(s build.Site) error {
	ok := s.In > 0 && s.Out > 0
	switch s.Kind {
	case build.KindLinear:
	case build.KindConv:
		ok = ok && s.Groups > 0 && s.In%s.Groups == 0 && s.Out%s.Groups == 0 && s.Kernel[0] > 0 && s.Kernel[1] > 0
	default:
		return fmt.Errorf("layer %s: kind %q cannot be adapted", s.Path, s.Kind)
	}
	if !ok {
		return fmt.Errorf("layer %s: in %d, out %d, groups %d, kernel %v make no %s layer", s.Path, s.In, s.Out, s.Groups, s.Kernel, s.Kind)
	}
	return nil
}

// newSpec plans a low-rank adapter of rank r for s. In a grouped convolution
// every group has the same share of the rank, so r is rounded up to a multiple
// of the groups; scaling uses the rounded rank, exactly as if rank_pattern had
// asked for it.
func newSpec(c *Config, s build.Site, r int, alpha float64) Spec {
	sp := Spec{Site: s, Rank: r, Alpha: alpha, LayerParams: size(WeightShape(s))}
	if s.Kind == build.KindLinear {
		sp.A, sp.B = []int{r, s.In}, []int{s.Out, r}
	} else {
		sp.Rank = (r + s.Groups - 1) / s.Groups * s.Groups
		if sp.Rank != r {
			sp.Note = fmt.Sprintf("r %d rounded up to a multiple of %d groups", r, s.Groups)
		}
		sp.A = []int{sp.Rank, s.In / s.Groups, s.Kernel[0], s.Kernel[1]}
		sp.B = []int{s.Out, sp.Rank / s.Groups, 1, 1}
	}
	sp.Scaling = c.scaling(alpha, sp.Rank)
	if c.LoraBias {
		sp.BiasB = []int{s.Out}
	}
	if c.UseDoRA {
		sp.Magnitude = magnitudeShape(s)
	}
	sp.NotPEFT = notPEFT(s)
	sp.Params = size(sp.A) + size(sp.B) + size(sp.BiasB) + size(sp.Magnitude)
	return sp
}

func deltaSpec(s build.Site) Spec {
	d := WeightShape(s)
	return Spec{Site: s, Delta: true, D: d, NotPEFT: []string{"delta"}, Params: size(d), LayerParams: size(d),
		Note: "depthwise: the whole k×k update"}
}

func magnitudeShape(s build.Site) []int {
	if s.Kind == build.KindLinear {
		return []int{s.Out}
	}
	return []int{1, s.Out, 1, 1}
}

// notPEFT tells what PEFT's own convolution adapter would do differently: read
// all channels in every group, or leave out the dilation.
func notPEFT(s build.Site) []string {
	var why []string
	if s.Kind != build.KindConv {
		return nil
	}
	if s.Groups > 1 {
		why = append(why, "grouped")
	}
	if s.Dilation[0] > 1 && s.Kernel[0] > 1 || s.Dilation[1] > 1 && s.Kernel[1] > 1 {
		why = append(why, "dilated")
	}
	return why
}

// mark is what adapter_config.json says of the spec, nil for one of PEFT's.
func (sp *Spec) mark() *Mark {
	if len(sp.NotPEFT) == 0 || sp.DenseA {
		return nil
	}
	m := &Mark{NotPEFT: sp.NotPEFT, R: sp.Rank, Groups: sp.Site.Groups}
	if slices.Contains(sp.NotPEFT, "dilated") {
		m.Dilation = sp.Site.Dilation[:]
	}
	return m
}

// size is the number of elements of a shape, 0 for no shape.
func size(shape []int) int {
	if shape == nil {
		return 0
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
