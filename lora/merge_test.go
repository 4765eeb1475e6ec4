package lora

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vislora/vislora/vision/build"
)

// image is one sample (C, H, W) in float64.
type image struct {
	c, h, w int
	v       []float64
}

// convolve is y = conv(x, w) by the definition: seven nested loops.
func convolve(x image, w []float64, out int, s build.Site) image {
	kh, kw, g := s.Kernel[0], s.Kernel[1], s.Groups
	oh := (x.h+s.Pads[0]+s.Pads[2]-s.Dilation[0]*(kh-1)-1)/s.Stride[0] + 1
	ow := (x.w+s.Pads[1]+s.Pads[3]-s.Dilation[1]*(kw-1)-1)/s.Stride[1] + 1
	y := image{out, oh, ow, make([]float64, out*oh*ow)}
	cin := x.c / g
	for o := range out {
		for p := range oh {
			for q := range ow {
				for i := range cin {
					for u := range kh {
						for v := range kw {
							r, c := p*s.Stride[0]-s.Pads[0]+u*s.Dilation[0], q*s.Stride[1]-s.Pads[1]+v*s.Dilation[1]
							if r < 0 || r >= x.h || c < 0 || c >= x.w {
								continue
							}
							ch := o/(out/g)*cin + i
							y.v[(o*oh+p)*ow+q] += w[((o*cin+i)*kh+u)*kw+v] * x.v[(ch*x.h+r)*x.w+c]
						}
					}
				}
			}
		}
	}
	return y
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// geometries are the kinds of convolution that an adapter must merge into.
func geometries() map[string]build.Site {
	conv := func(in, out, kh, kw, groups int, stride, dilation [2]int, pads [4]int) build.Site {
		s := convSite("layer", in, out, kh, kw, groups)
		s.Stride, s.Dilation, s.Pads = stride, dilation, pads
		return s
	}
	one, two := [2]int{1, 1}, [2]int{2, 2}
	return map[string]build.Site{
		"1x1":              conv(6, 8, 1, 1, 1, one, one, [4]int{}),
		"3x3":              conv(6, 8, 3, 3, 1, one, one, [4]int{1, 1, 1, 1}),
		"stride":           conv(6, 8, 3, 3, 1, two, one, [4]int{1, 1, 1, 1}),
		"asymmetric pads":  conv(6, 8, 3, 5, 1, [2]int{2, 1}, one, [4]int{0, 1, 2, 3}),
		"dilated":          conv(6, 8, 3, 3, 1, one, [2]int{2, 3}, [4]int{2, 3, 2, 3}),
		"grouped":          conv(6, 8, 3, 3, 2, one, one, [4]int{1, 1, 1, 1}),
		"grouped dilated":  conv(8, 16, 3, 3, 4, two, two, [4]int{2, 1, 0, 2}),
		"grouped 1x1":      conv(8, 12, 1, 1, 4, two, one, [4]int{}),
		"depth multiplier": conv(4, 8, 3, 3, 4, one, one, [4]int{1, 1, 1, 1}),
		"patch embedding":  conv(3, 16, 4, 4, 1, [2]int{4, 4}, one, [4]int{}),
	}
}

// TestMergeEqualsTwoSteps runs the base convolution and the adapter's two
// convolutions side by side and compares their sum with the merged one.
func TestMergeEqualsTwoSteps(t *testing.T) {
	for name, s := range geometries() {
		for _, dora := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/dora=%t", name, dora), func(t *testing.T) {
				c := DefaultConfig()
				c.UseDoRA = dora
				rng := rand.New(rand.NewPCG(3, 4))
				sp := newSpec(c, s, 3, 6)
				l := randomLayer(rng, sp)
				w := random(rng, size(WeightShape(s)), 1)
				if err := l.InitMagnitude(s, w); err != nil {
					t.Fatal(err)
				}
				if dora {
					for i := range l.Magnitude.Data {
						l.Magnitude.Data[i] *= float32(1 + .1*rng.NormFloat64())
					}
				}
				m, err := Merge(s, l, w, nil)
				if err != nil {
					t.Fatal(err)
				}
				x := image{s.In, 9, 11, wide(random(rng, s.In*9*11, 1))}
				up := convSite("", sp.Rank, s.Out, 1, 1, s.Groups)
				two := convolve(convolve(x, wide(l.A.Data), sp.Rank, s), wide(l.B.Data), s.Out, up)
				want := convolve(x, wide(w), s.Out, s)
				for i := range want.v {
					want.v[i] += sp.Scaling * two.v[i]
				}
				if dora {
					norm := weightNorms(s, sp, w, l)
					for i := range want.v {
						o := i / (want.h * want.w)
						want.v[i] *= float64(l.Magnitude.Data[o]) / norm[o]
					}
				}
				compare(t, convolve(x, wide(m.W), s.Out, s).v, want.v)
				if slices.Equal(m.W, w) {
					t.Error("merging changed nothing")
				}
			})
		}
	}
}

// weightNorms is ‖W + ΔW‖ per output channel straight from the definition.
func weightNorms(s build.Site, sp Spec, w []float32, l *Layer) []float64 {
	area, cin, share := s.Kernel[0]*s.Kernel[1], s.In/s.Groups, sp.Rank/s.Groups
	out := make([]float64, s.Out)
	for o := range out {
		g := o * s.Groups / s.Out
		for i := range cin * area {
			v := float64(w[o*cin*area+i])
			for k := range share {
				v += sp.Scaling * float64(l.B.Data[o*share+k]) * float64(l.A.Data[(g*share+k)*cin*area+i])
			}
			out[o] += v * v
		}
		out[o] = math.Sqrt(out[o])
	}
	return out
}

func randomLayer(rng *rand.Rand, sp Spec) *Layer {
	l := &Layer{Rank: sp.Rank, Alpha: sp.Alpha, Scaling: sp.Scaling}
	l.A, l.B = NewTensor(random(rng, size(sp.A), .3), sp.A...), NewTensor(random(rng, size(sp.B), .3), sp.B...)
	if sp.Magnitude != nil {
		l.Magnitude = zeros(sp.Magnitude)
	}
	return l
}

// compare allows 1e-6 of the range: the merged weight is rounded to float32.
func compare(t *testing.T, got, want []float64) {
	t.Helper()
	span, worst := slices.Max(want)-slices.Min(want), 0.0
	for i := range want {
		worst = max(worst, math.Abs(got[i]-want[i]))
	}
	if len(got) != len(want) || !(worst <= 1e-6*span) {
		t.Errorf("largest difference %g of a range of %g", worst, span)
	}
}

// TestMergePEFTGrouped: PEFT's A reads all channels. With zeros outside the
// groups it merges and equals the two steps; with anything else it is refused.
func TestMergePEFTGrouped(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	s := convSite("layer4.conv2", 6, 8, 3, 3, 2)
	s.Pads = [4]int{1, 1, 1, 1}
	sp := newSpec(DefaultConfig(), s, 4, 8)
	l := randomLayer(rng, sp)
	l.A = NewTensor(random(rng, 4*6*9, .3), 4, 6, 3, 3)
	for k := range 4 {
		for ch := range 6 {
			if k/2 != ch/3 {
				clear(l.A.Data[(k*6+ch)*9 : (k*6+ch+1)*9])
			}
		}
	}
	a := &Adapter{Config: DefaultConfig(), Layers: map[string]*Layer{s.Path: l}}
	p, err := a.Bind([]build.Site{s})
	if err != nil || !p.Sites[0].DenseA || len(p.Sites[0].NotPEFT) > 0 || p.Sites[0].Params != 4*6*9+8*2 {
		t.Fatalf("bound as %+v, %v", p, err)
	}
	w := random(rng, 8*3*9, 1)
	m, err := Merge(s, l, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := image{6, 5, 5, wide(random(rng, 6*25, 1))}
	down := s
	down.Groups = 1
	two := convolve(convolve(x, wide(l.A.Data), 4, down), wide(l.B.Data), 8, convSite("", 4, 8, 1, 1, 2))
	want := convolve(x, wide(w), 8, s)
	for i := range want.v {
		want.v[i] += sp.Scaling * two.v[i]
	}
	compare(t, convolve(x, wide(m.W), 8, s).v, want.v)

	l.A.Data[(3*6+1)*9+4] = 1e-9 // row 3 is group 1, channel 1 is group 0
	_, err = Merge(s, l, w, nil)
	wantError(t, err, "merge layer4.conv2", "2 groups", "reads channel 1 from group 1")
}

func TestMergeDelta(t *testing.T) {
	s := convSite("dw", 4, 4, 3, 3, 4)
	rng := rand.New(rand.NewPCG(7, 8))
	w, d := random(rng, 36, 1), random(rng, 36, .1)
	m, err := Merge(s, &Layer{Delta: NewTensor(d, 4, 1, 3, 3)}, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range w {
		if want := float32(float64(w[i]) + float64(d[i])); m.W[i] != want {
			t.Fatalf("W'[%d] = %g, wanted %g", i, m.W[i], want)
		}
	}
	if got, err := Delta(s, &Layer{Delta: NewTensor(d, 4, 1, 3, 3)}); err != nil || !slices.Equal(got, d) {
		t.Errorf("Delta gives %v, %v", got, err)
	}
}

func TestMergeBias(t *testing.T) {
	s := linearSite("fc", 2, 2)
	l := &Layer{A: NewTensor([]float32{1, 2}, 1, 2), B: NewTensor([]float32{3, 4}, 2, 1), BiasB: NewTensor([]float32{.5, -1}, 2), Rank: 1, Scaling: 2}
	m, err := Merge(s, l, []float32{0, 0, 1, 1}, []float32{1, 1})
	if err != nil || !slices.Equal(m.W, []float32{6, 12, 9, 17}) || !slices.Equal(m.Bias, []float32{2, -1}) || m.AddedBias {
		t.Errorf("%+v, %v", m, err)
	}
	m, err = Merge(s, l, []float32{0, 0, 1, 1}, nil)
	if err != nil || !slices.Equal(m.Bias, []float32{1, -2}) || !m.AddedBias {
		t.Errorf("without a bias: %+v, %v", m, err)
	}
	if _, bias := m.Unmerge(); bias != nil {
		t.Errorf("unmerge gives a bias %v that was not there", bias)
	}
}

func TestMergeRefuses(t *testing.T) {
	s := linearSite("fc", 2, 2)
	layer := func(b float32) *Layer {
		return &Layer{A: NewTensor([]float32{1, 2}, 1, 2), B: NewTensor([]float32{b, 4}, 2, 1), Rank: 1, Scaling: 1}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	_, err := Merge(s, layer(nan), make([]float32, 4), nil)
	wantError(t, err, "merge fc", "element 0 is NaN")
	_, err = Merge(s, layer(1), []float32{0, 0, inf, 0}, nil)
	wantError(t, err, "merge fc", "element 2 is +Inf")
	_, err = Merge(s, layer(3e38), make([]float32, 4), nil) // finite in float64 only
	wantError(t, err, "beyond float32")
	_, err = Merge(s, layer(1), make([]float32, 5), nil)
	wantError(t, err, "5 values", "[2 2]")
	_, err = Merge(s, layer(1), make([]float32, 4), make([]float32, 3))
	wantError(t, err, "bias has 3 values", "2 outputs")
	_, err = Merge(linearSite("fc", 3, 2), layer(1), make([]float32, 6), nil)
	wantError(t, err, "base_model.model.fc.lora_A.weight", "[1 2]", "[1 3]")

	dora := layer(0)
	dora.Magnitude = NewTensor([]float32{1, 1}, 2)
	_, err = Merge(s, dora, make([]float32, 4), nil) // row 0 of W+ΔW is zero
	wantError(t, err, "channel 0", "all zero")
	dora.Magnitude.Data[0] = 0
	if m, err := Merge(s, dora, make([]float32, 4), nil); err != nil || m.W[0] != 0 || m.W[1] != 0 {
		t.Errorf("a pruned channel: %+v, %v", m, err)
	}
}

// TestNewAdapterChangesNothing: B is zero and DoRA's magnitude is the norm.
func TestNewAdapterChangesNothing(t *testing.T) {
	for name, s := range geometries() {
		rng := rand.New(rand.NewPCG(9, 1))
		c := DefaultConfig()
		c.UseDoRA = true
		a, err := NewAdapter(&Plan{Config: c, Sites: []Spec{newSpec(c, s, 2, 16)}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		l, w := a.Layers[s.Path], random(rng, size(WeightShape(s)), 1)
		if err := l.InitMagnitude(s, w); err != nil {
			t.Fatal(err)
		}
		m, err := Merge(s, l, w, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range w {
			if math.Abs(float64(m.W[i]-w[i])) > 2e-7*math.Abs(float64(w[i])) {
				t.Fatalf("%s: W[%d] was %g, is %g", name, i, w[i], m.W[i])
			}
		}
	}
}
