package optim

import (
	"errors"
	"fmt"
	"math"
)

// AdamWConfig holds the constants of [AdamW].
type AdamWConfig struct {
	Beta1, Beta2 float64 // default 0.9, 0.999
	Eps          float64 // default 1e-8
	WeightDecay  float64 // default 0.01
	// Threads that share an update of a large model. Default 1.
	Threads int
}

// DefaultAdamW is PyTorch's choice.
func DefaultAdamW() AdamWConfig {
	return AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, Threads: 1}
}

// Validate reports every setting that is out of range.
func (c AdamWConfig) Validate() error {
	var errs []error
	for _, b := range []struct {
		name  string
		value float64
	}{{"beta1", c.Beta1}, {"beta2", c.Beta2}} {
		if !(b.value >= 0 && b.value < 1) {
			errs = append(errs, fmt.Errorf("%s %g is not in [0, 1)", b.name, b.value))
		}
	}
	if !(c.Eps > 0) {
		errs = append(errs, fmt.Errorf("eps %g is not positive", c.Eps))
	}
	return errors.Join(append(errs, checkDecay(c.WeightDecay))...)
}

func checkDecay(d float64) error {
	if !(d >= 0 && !math.IsInf(d, 0)) {
		return fmt.Errorf("weight decay %g is not a finite number of 0 or more", d)
	}
	return nil
}

// AdamW is Adam with decoupled weight decay.
//
//	θ ← θ − η·λ·θ                       (λ WeightDecay; only where Param.Decay)
//	m ← β₁·m + (1 − β₁)·g
//	v ← β₂·v + (1 − β₂)·g²
//	θ ← θ − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
//
// η is the learning rate of the step times Param.LRScale; t counts from 1.
//
// Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, with the
// decay scaled by η as in torch.optim.AdamW.
type AdamW struct {
	config AdamWConfig
	params []Param
	m, v   [][]float32
	step   int
	pool   pool
}

// NewAdamW makes an optimiser with zero moments.
func NewAdamW(params []Param, config AdamWConfig) (*AdamW, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("optim: AdamW: %w", err)
	}
	if err := checkParams(params); err != nil {
		return nil, err
	}
	o := &AdamW{config: config, params: params, pool: newPool(config.Threads)}
	for i := range params {
		o.m = append(o.m, make([]float32, len(params[i].Value)))
		o.v = append(o.v, make([]float32, len(params[i].Value)))
	}
	return o, nil
}

// Step makes one update with learning rate lr.
func (o *AdamW) Step(lr float64) {
	o.step++
	c := &o.config
	correction1 := 1 - math.Pow(c.Beta1, float64(o.step))
	correction2 := math.Sqrt(1 - math.Pow(c.Beta2, float64(o.step)))
	for i := range o.params {
		p := &o.params[i]
		rate := p.lr(lr)
		k := adamConsts{
			keep:     1,
			beta1:    float32(c.Beta1),
			fresh1:   float32(1 - c.Beta1),
			beta2:    float32(c.Beta2),
			fresh2:   float32(1 - c.Beta2),
			rate:     float32(rate / correction1),
			rootBias: float32(correction2),
			eps:      float32(c.Eps),
		}
		if p.Decay {
			k.keep = float32(1 - rate*c.WeightDecay)
		}
		if !o.pool.shares(len(p.Value)) {
			k.update(p.Value, p.Grad, o.m[i], o.v[i])
			continue
		}
		m, v := o.m[i], o.v[i]
		o.pool.each(len(p.Value), func(lo, hi int) {
			k.update(p.Value[lo:hi], p.Grad[lo:hi], m[lo:hi], v[lo:hi])
		})
	}
}

type adamConsts struct{ keep, beta1, fresh1, beta2, fresh2, rate, rootBias, eps float32 }

func (k adamConsts) update(value, grad, m, v []float32) {
	grad, m, v = grad[:len(value)], m[:len(value)], v[:len(value)]
	for i, g := range grad {
		mi := k.beta1*m[i] + k.fresh1*g
		vi := k.beta2*v[i] + k.fresh2*g*g
		m[i], v[i] = mi, vi
		root := float32(math.Sqrt(float64(vi))) // compiles to one float32 square root
		value[i] = value[i]*k.keep - k.rate*(mi/(root/k.rootBias+k.eps))
	}
}

// State returns the step and the moments, named "<parameter>.exp_avg" and
// "<parameter>.exp_avg_sq".
func (o *AdamW) State() State { return State{Step: o.step, Tensors: o.tensors()} }

func (o *AdamW) tensors() []Tensor {
	var out []Tensor
	for i := range o.params {
		out = append(out,
			Tensor{o.params[i].Name + ".exp_avg", o.m[i]},
			Tensor{o.params[i].Name + ".exp_avg_sq", o.v[i]})
	}
	return out
}

// Load restores a state; on error nothing has changed.
func (o *AdamW) Load(s State) error {
	if s.Step < 0 {
		return fmt.Errorf("load AdamW state: step %d is negative", s.Step)
	}
	if err := restore("AdamW", o.tensors(), s.Tensors); err != nil {
		return err
	}
	o.step = s.Step
	return nil
}
