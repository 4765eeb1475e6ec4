package lora

import (
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/vision/build"
)

// Merged is a layer with its adapter folded in.
type Merged struct {
	// W is the new weight in canonical layout, see [WeightShape]. Bias is the
	// new bias; nil if the layer has none and needs none.
	W, Bias []float32
	// AddedBias is set when the layer had no bias and lora_bias gives it one.
	AddedBias bool

	w, bias []float32
}

// Unmerge returns the weight and bias that were merged into, bit for bit.
// They are kept, not computed: subtracting ΔW in floating point would not
// restore them.
func (m *Merged) Unmerge() (w, bias []float32) { return m.w, m.bias }

// Merge folds a layer's adapter into its weight w (canonical layout) and bias
// (nil for none):
//
//	LoRA   W' = W + ΔW
//	DoRA   W' = m ⊙ (W + ΔW) / ‖W + ΔW‖, per output channel, the norm over all
//	       other dimensions; a channel of norm 0 with m = 0 stays 0
//	delta  W' = W + D
//	bias   b' = b + s·(bias of B)
//
// computed in float64 and rounded once. A bias that the adapter has saved
// (bias: all) is the caller's to put in first. w and bias are not changed, and
// are kept by the result. Values that are not finite, before or after, are
// refused, and so is PEFT's adapter of a grouped convolution unless its A is
// block-diagonal: what reads other groups' channels fits in no grouped kernel.
func Merge(s build.Site, l *Layer, w, bias []float32) (*Merged, error) {
	m := &Merged{w: w, bias: bias}
	if bias != nil && len(bias) != s.Out {
		return nil, fmt.Errorf("merge %s: bias has %d values, the layer has %d outputs", s.Path, len(bias), s.Out)
	}
	sum, err := l.added(s, w)
	if err != nil {
		return nil, fmt.Errorf("merge %w", err)
	}
	if l.Magnitude != nil {
		if len(l.Magnitude.Data) != s.Out {
			return nil, fmt.Errorf("merge %s: the magnitude has %d values, the layer has %d outputs", s.Path, len(l.Magnitude.Data), s.Out)
		}
		width := len(sum) / s.Out
		for o, n := range norms(sum, s.Out) {
			mag := float64(l.Magnitude.Data[o])
			if n == 0 {
				if mag != 0 {
					return nil, fmt.Errorf("merge %s: output channel %d of W+ΔW is all zero, it cannot be given the magnitude %g", s.Path, o, mag)
				}
				continue
			}
			for i := range width {
				sum[o*width+i] *= mag / n
			}
		}
	}
	if m.W, err = narrow(sum); err != nil {
		return nil, fmt.Errorf("merge %s: merged weight: %w", s.Path, err)
	}
	m.Bias = slices.Clone(bias)
	if l.BiasB != nil {
		if len(l.BiasB.Data) != s.Out {
			return nil, fmt.Errorf("merge %s: lora_B.bias has %d values, the layer has %d outputs", s.Path, len(l.BiasB.Data), s.Out)
		}
		b := make([]float64, s.Out)
		for o := range b {
			if bias != nil {
				b[o] = float64(bias[o])
			}
			b[o] += l.Scaling * float64(l.BiasB.Data[o])
		}
		m.AddedBias = bias == nil
		if m.Bias, err = narrow(b); err != nil {
			return nil, fmt.Errorf("merge %s: merged bias: %w", s.Path, err)
		}
	}
	return m, nil
}

// Delta computes ΔW = s·B·A (or a depthwise layer's D) in canonical layout,
// accumulated in float64.
func Delta(s build.Site, l *Layer) ([]float32, error) {
	d, err := l.delta(s)
	if err != nil {
		return nil, err
	}
	out, err := narrow(d)
	if err != nil {
		return nil, fmt.Errorf("%s: ΔW: %w", s.Path, err)
	}
	return out, nil
}

// added is W + ΔW.
func (l *Layer) added(s build.Site, w []float32) ([]float64, error) {
	sum, err := l.delta(s)
	if err != nil {
		return nil, err
	}
	if len(w) != len(sum) {
		return nil, fmt.Errorf("%s: the weight has %d values, shape %v has %d", s.Path, len(w), WeightShape(s), len(sum))
	}
	for i, v := range w {
		sum[i] += float64(v)
	}
	return sum, nil
}

// delta is ΔW in float64. Row o of it is s·Σ_k B[o,k]·A[k], k running over the
// rows of A that belong to o's group.
func (l *Layer) delta(s build.Site) ([]float64, error) {
	if _, err := bind(s, l); err != nil {
		return nil, err
	}
	if l.Delta != nil {
		out := make([]float64, len(l.Delta.Data))
		for i, v := range l.Delta.Data {
			out[i] = float64(v)
		}
		return out, nil
	}
	a := l.A.Data
	groups := 1
	if s.Kind == build.KindConv {
		groups = s.Groups
		if l.dense(s) {
			var err error
			if a, err = blocks(s, l.A); err != nil {
				return nil, err
			}
		}
	}
	width := size(WeightShape(s)) / s.Out
	share, outs := l.Rank/groups, s.Out/groups
	out := make([]float64, s.Out*width)
	for o := range s.Out {
		row := out[o*width : (o+1)*width]
		for k := range share {
			b := l.Scaling * float64(l.B.Data[o*share+k])
			first := (o/outs*share + k) * width
			for i, v := range a[first : first+width] {
				row[i] += b * float64(v)
			}
		}
	}
	return out, nil
}

// dense reports whether A reads all channels of a grouped convolution, as
// PEFT's does.
func (l *Layer) dense(s build.Site) bool {
	return s.Kind == build.KindConv && s.Groups > 1 && l.A != nil && l.A.Shape[1] == s.In
}

// blocks cuts a block-diagonal A (r, in, kH, kW) down to (r, in/groups, kH, kW).
func blocks(s build.Site, a *Tensor) ([]float32, error) {
	r, area := a.Shape[0], s.Kernel[0]*s.Kernel[1]
	share, width := r/s.Groups, s.In/s.Groups*area
	out := make([]float32, 0, r*width)
	for k := range r {
		row := a.Data[k*s.In*area : (k+1)*s.In*area]
		begin := k / share * width
		for i, v := range row {
			if v != 0 && (i < begin || i >= begin+width) {
				return nil, fmt.Errorf("%s: this adapter was made by PEFT for a convolution with %d groups and its A reads channel %d from group %d: "+
					"no grouped kernel can hold that; keep the adapter unmerged, or train it anew with vislora", s.Path, s.Groups, i/area, k/share)
			}
		}
		out = append(out, row[begin:begin+width]...)
	}
	return out, nil
}

// narrow rounds to float32 and refuses what is not finite there.
func narrow(v []float64) ([]float32, error) {
	out := make([]float32, len(v))
	for i, x := range v {
		if out[i] = float32(x); !finite(out[i]) {
			if math.IsNaN(x) {
				return nil, fmt.Errorf("element %d is NaN", i)
			}
			return nil, fmt.Errorf("element %d is %g, beyond float32", i, x)
		}
	}
	return out, nil
}
