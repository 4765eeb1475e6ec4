package optim

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

type golden struct {
	Start []float32
	Grads [][]float32
	LRs   []float64
	Cases map[string][][]float32
	Clip  map[string]struct {
		Norm  float64
		Grads [][]float32
	}
}

func readGolden(t *testing.T) golden {
	t.Helper()
	raw, err := os.ReadFile("testdata/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// optimizers are the configurations of testdata/gen/optim.py.
func optimizers(t *testing.T) map[string]func([]Param) Optimizer {
	adam := func(c AdamWConfig) func([]Param) Optimizer {
		return func(p []Param) Optimizer { o, err := NewAdamW(p, c); return must(t, o, err) }
	}
	sgd := func(c SGDConfig) func([]Param) Optimizer {
		return func(p []Param) Optimizer { o, err := NewSGD(p, c); return must(t, o, err) }
	}
	plain := DefaultAdamW()
	plain.WeightDecay = 0
	return map[string]func([]Param) Optimizer{
		"adamw":         adam(DefaultAdamW()),
		"adamw_nodecay": adam(plain),
		"adamw_betas":   adam(AdamWConfig{Beta1: .5, Beta2: .9, Eps: 1e-3, WeightDecay: .3}),
		"sgd":           sgd(SGDConfig{}),
		"sgd_momentum":  sgd(SGDConfig{Momentum: .9, WeightDecay: .01}),
		"sgd_nesterov":  sgd(SGDConfig{Momentum: .9, Nesterov: true, WeightDecay: .01}),
	}
}

// PyTorch's vectorised loops may fuse a multiply and an add, which moves the
// last bit of a step; 25 steps stay within 2e-6 of the value.
func TestAgainstPyTorch(t *testing.T) {
	g := readGolden(t)
	for name, build := range optimizers(t) {
		p := Param{Name: "p", Value: append([]float32(nil), g.Start...), Grad: append([]float32(nil), g.Start...), Decay: true}
		o := build([]Param{p})
		for step, grad := range g.Grads {
			copy(p.Grad, grad)
			o.Step(g.LRs[step])
			for i, want := range g.Cases[name][step] {
				if d := math.Abs(float64(p.Value[i] - want)); !(d <= 2e-6*(1+math.Abs(float64(want)))) {
					t.Fatalf("%s: step %d: value %d is %g, PyTorch has %g", name, step, i, p.Value[i], want)
				}
			}
		}
	}
}

// Two steps of the paper's algorithm on one number, worked out in float64.
func TestAdamWByHand(t *testing.T) {
	p := Param{Name: "p", Value: []float32{1}, Grad: []float32{0.5}, Decay: true}
	o, err := NewAdamW([]Param{p}, AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1})
	must(t, o, err)
	// t=1: m̂ = g and v̂ = g², so the step is the learning rate, after the decay.
	o.Step(0.01)
	if want := 1*(1-0.01*0.1) - 0.01; math.Abs(float64(p.Value[0])-want) > 1e-7 {
		t.Errorf("step 1: %g, want %g", p.Value[0], want)
	}
	// t=2, g=−1: m = .9·.05 − .1 = −.055, m̂ = m/.19; v = .99·.0025 + .01 = .012475, v̂ = v/.0199.
	p.Grad[0] = -1
	o.Step(0.01)
	want := 0.989*(1-0.001) + 0.01*(0.055/0.19)/math.Sqrt(0.012475/0.0199)
	if math.Abs(float64(p.Value[0])-want) > 1e-7 {
		t.Errorf("step 2: %g, want %g", p.Value[0], want)
	}
}

func TestDecayAndScaleArePerParameter(t *testing.T) {
	for name, build := range optimizers(t) {
		if strings.HasSuffix(name, "nodecay") || name == "sgd" {
			continue
		}
		value := func() []float32 { return []float32{2} }
		params := []Param{
			{Name: "decayed", Value: value(), Grad: []float32{0}, Decay: true},
			{Name: "bias", Value: value(), Grad: []float32{0}},
			{Name: "slow", Value: value(), Grad: []float32{1}},
			{Name: "base_model.model.head.lora_B.weight", Value: value(), Grad: []float32{1}},
		}
		LoRAPlus(params, 16)
		build(params).Step(1e-3)
		if params[0].Value[0] >= 2 || params[1].Value[0] != 2 {
			t.Errorf("%s: decay: %g, %g", name, params[0].Value[0], params[1].Value[0])
		}
		slow, fast := 2-float64(params[2].Value[0]), 2-float64(params[3].Value[0])
		if math.Abs(fast/slow-16) > 0.01 {
			t.Errorf("%s: LoRA+ moves %g against %g, want 16 times", name, fast, slow)
		}
	}
}

// A run that is saved, loaded into new objects and continued gives the bytes of
// the run that was not interrupted.
func TestResumeIsBitIdentical(t *testing.T) {
	g := readGolden(t)
	for name, build := range optimizers(t) {
		p := Param{Name: "p", Value: append([]float32(nil), g.Start...), Grad: append([]float32(nil), g.Start...), Decay: true}
		q := p
		o := build([]Param{p})
		ema := must2(NewEMA([]Param{p}, 0.9, 5))(t)
		for step, grad := range g.Grads {
			if step == 10 {
				q.Value, q.Grad = append([]float32(nil), p.Value...), append([]float32(nil), p.Grad...)
				saved, savedEMA := deepCopy(o.State()), deepCopy(ema.State())
				o2, ema2 := build([]Param{q}), must2(NewEMA([]Param{q}, 0.9, 5))(t)
				if err := o2.Load(saved); err != nil {
					t.Fatal(err)
				}
				if err := ema2.Load(savedEMA); err != nil {
					t.Fatal(err)
				}
				for s := 10; s < len(g.Grads); s++ {
					copy(q.Grad, g.Grads[s])
					o2.Step(g.LRs[s])
					ema2.Update()
				}
				defer func() {
					if !reflect.DeepEqual(p.Value, q.Value) || !reflect.DeepEqual(o.State(), o2.State()) || !reflect.DeepEqual(ema.State(), ema2.State()) {
						t.Errorf("%s: the resumed run differs", name)
					}
				}()
			}
			copy(p.Grad, grad)
			o.Step(g.LRs[step])
			ema.Update()
		}
		if o.State().Step != len(g.Grads) {
			t.Errorf("%s: step %d", name, o.State().Step)
		}
	}
}

func must2[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T { t.Helper(); return must(t, v, err) }
}

func deepCopy(s State) State {
	out := State{Step: s.Step}
	for _, t := range s.Tensors {
		out.Tensors = append(out.Tensors, Tensor{t.Name, append([]float32(nil), t.Values...)})
	}
	return out
}

func TestThreadsDoNotChangeTheResult(t *testing.T) {
	const n = 3*minShare + 77
	run := func(threads int, sgd bool) []float32 {
		p := Param{Name: "p", Value: make([]float32, n), Grad: make([]float32, n), Decay: true}
		for i := range p.Value {
			p.Value[i] = float32(math.Sin(float64(i)))
		}
		var o Optimizer
		if sgd {
			c := DefaultSGD()
			c.Threads = threads
			o = must2(NewSGD([]Param{p}, c))(t)
		} else {
			c := DefaultAdamW()
			c.Threads = threads
			o = must2(NewAdamW([]Param{p}, c))(t)
		}
		for s := range 3 {
			for i := range p.Grad {
				p.Grad[i] = float32(math.Cos(float64(i * (s + 1))))
			}
			o.Step(1e-2)
		}
		return p.Value
	}
	for _, sgd := range []bool{false, true} {
		if !reflect.DeepEqual(run(1, sgd), run(3, sgd)) {
			t.Errorf("sgd %v: 3 threads give another result than 1", sgd)
		}
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	for name, build := range optimizers(t) {
		o := build([]Param{{Name: "p", Value: []float32{1, 2}, Grad: []float32{1, 2}}})
		if n := testing.AllocsPerRun(10, func() { o.Step(1e-3) }); n != 0 {
			t.Errorf("%s: %g allocations per step", name, n)
		}
	}
}

func TestClipGradNorm(t *testing.T) {
	g := readGolden(t)
	for limit, want := range map[float64]string{0.5: "0.5", 1e6: "1000000.0"} {
		rec, ok := g.Clip[want]
		if !ok {
			t.Fatalf("no recording for %s", want)
		}
		params := []Param{
			{Name: "a", Value: g.Start, Grad: append([]float32(nil), g.Grads[0]...)},
			{Name: "b", Value: g.Start, Grad: append([]float32(nil), g.Grads[1]...)},
		}
		if norm := ClipGradNorm(params, limit); math.Abs(norm-rec.Norm) > 1e-5*rec.Norm {
			t.Errorf("norm %g, PyTorch has %g", norm, rec.Norm)
		}
		for i, p := range params {
			for j, want := range rec.Grads[i] {
				if math.Abs(float64(p.Grad[j]-want)) > 1e-6*math.Abs(float64(want)) {
					t.Errorf("limit %g: gradient %d %d is %g, want %g", limit, i, j, p.Grad[j], want)
				}
			}
		}
	}
	bad := []Param{{Name: "a", Value: []float32{1, 1}, Grad: []float32{3, float32(math.Inf(1))}}}
	if norm := ClipGradNorm(bad, 1); !math.IsInf(norm, 1) || bad[0].Grad[0] != 3 {
		t.Errorf("infinite gradient: norm %g, gradients %v", norm, bad[0].Grad)
	}
}

func TestSchedule(t *testing.T) {
	// Worked out by hand: T = 10, W = 2, so the fall has 8 steps.
	for _, c := range []struct {
		s    Schedule
		want map[int]float64
	}{
		{Schedule{LR: 2, Steps: 10, Warmup: 2}, map[int]float64{0: 1, 1: 2, 2: 2, 4: 1 + math.Sqrt2/2, 6: 1, 8: 1 - math.Sqrt2/2, 10: 0, 99: 0}},
		{Schedule{LR: 2, Steps: 10, Warmup: 2, Final: .5}, map[int]float64{0: 1, 2: 2, 6: 1.5, 10: 1}},
		{Schedule{Shape: Linear, LR: 2, Steps: 10, Warmup: 2}, map[int]float64{0: 1, 2: 2, 6: 1, 9: .25, 10: 0}},
		{Schedule{Shape: Linear, LR: 2, Steps: 10, Final: .1}, map[int]float64{0: 2, 5: 1.1, 10: .2}},
		{Schedule{Shape: Constant, LR: 2, Steps: 10, Warmup: 4}, map[int]float64{0: .5, 3: 2, 9: 2, 20: 2}},
		{Schedule{LR: 2, Steps: 2, Warmup: 2}, map[int]float64{0: 1, 1: 2, 2: 0}},
	} {
		if err := c.s.Validate(); err != nil {
			t.Error(err)
		}
		for step, want := range c.want {
			if got := c.s.At(step); math.Abs(got-want) > 1e-12 {
				t.Errorf("%+v: step %d: %g, want %g", c.s, step, got, want)
			}
		}
	}
	// The same schedule as PyTorch drove in the recording.
	g := readGolden(t)
	s := Schedule{LR: 1e-2, Steps: len(g.LRs), Warmup: 3}
	for i, want := range g.LRs {
		if got := s.At(i); math.Abs(got-want) > 1e-15 {
			t.Errorf("step %d: %g, want %g", i, got, want)
		}
	}
}

func TestEMA(t *testing.T) {
	p := Param{Name: "p", Value: []float32{1}, Grad: []float32{0}}
	e := must2(NewEMA([]Param{p}, 0.9, 2))(t)
	want := 1.0
	for n := 1; n <= 5; n++ {
		p.Value[0] = float32(n)
		d := 0.9 * (1 - math.Exp(-float64(n)/2))
		want = d*want + (1-d)*float64(n)
		e.Update()
	}
	e.Swap()
	if math.Abs(float64(p.Value[0])-want) > 1e-6 {
		t.Errorf("average %g, want %g", p.Value[0], want)
	}
	if err := e.Load(State{}); err == nil {
		t.Error("Load while swapped in: no error")
	}
	e.Swap()
	if p.Value[0] != 5 {
		t.Errorf("value after two swaps: %g, want 5", p.Value[0])
	}
}

func TestErrors(t *testing.T) {
	p := func(name string, n int) Param {
		return Param{Name: name, Value: make([]float32, 2), Grad: make([]float32, n)}
	}
	_, twice := NewAdamW([]Param{p("a", 2), p("a", 2)}, DefaultAdamW())
	_, length := NewSGD([]Param{p("a", 3)}, DefaultSGD())
	_, betas := NewAdamW(nil, AdamWConfig{Beta1: 1, Beta2: math.NaN(), WeightDecay: -1})
	_, nesterov := NewSGD(nil, SGDConfig{Nesterov: true})
	_, decay := NewEMA(nil, 1, 1)
	_, tau := NewEMA(nil, .9, 0)
	scaled := p("a", 2)
	scaled.LRScale = -2
	_, scale := NewAdamW([]Param{scaled}, DefaultAdamW())
	o := must2(NewAdamW([]Param{p("a", 2)}, DefaultAdamW()))(t)
	other := must2(NewAdamW([]Param{p("b", 2)}, DefaultAdamW()))(t)
	both := must2(NewAdamW([]Param{p("a", 2), p("b", 2)}, DefaultAdamW()))(t)
	short := State{Tensors: []Tensor{{"a.exp_avg", nil}, {"a.exp_avg_sq", nil}}}
	for want, err := range map[string]error{
		`"a" is given twice`:                  twice,
		"2 values and 3 gradients":            length,
		"beta1 1 is not in [0, 1)":            betas,
		"beta2 NaN":                           betas,
		"eps 0 is not positive":               betas,
		"weight decay -1":                     betas,
		"nesterov needs a momentum":           nesterov,
		"EMA decay 1":                         decay,
		"EMA tau 0":                           tau,
		"scale -2":                            scale,
		`"a.exp_avg" is missing`:              o.Load(other.State()),
		`"b.exp_avg" belongs to no parameter`: o.Load(both.State()),
		"has 0 values, want 2":                o.Load(short),
		"step -1 is negative":                 o.Load(State{Step: -1}),
		`schedule "step" is not one of`:       Schedule{Shape: "step"}.Validate(),
		"learning rate 0":                     Schedule{}.Validate(),
		"0 steps is fewer than 1":             Schedule{}.Validate(),
		"warm-up of 5 steps is not in [0, 3]": Schedule{Warmup: 5, Steps: 3}.Validate(),
		"fraction of the learning rate 2":     Schedule{Final: 2}.Validate(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}
