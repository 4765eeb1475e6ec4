package optim

import (
	"errors"
	"fmt"
)

// SGDConfig holds the constants of [SGD].
type SGDConfig struct {
	Momentum    float64 // default 0.9
	Nesterov    bool    // default true
	WeightDecay float64 // default 5e-4
	// Threads that share an update of a large model. Default 1.
	Threads int
}

// DefaultSGD is the choice of most recipes for convolutional networks.
func DefaultSGD() SGDConfig {
	return SGDConfig{Momentum: 0.9, Nesterov: true, WeightDecay: 5e-4, Threads: 1}
}

// Validate reports every setting that is out of range.
func (c SGDConfig) Validate() error {
	var errs []error
	if !(c.Momentum >= 0 && c.Momentum < 1) {
		errs = append(errs, fmt.Errorf("momentum %g is not in [0, 1)", c.Momentum))
	}
	if c.Nesterov && c.Momentum == 0 {
		errs = append(errs, errors.New("nesterov needs a momentum above 0"))
	}
	return errors.Join(append(errs, checkDecay(c.WeightDecay))...)
}

// SGD is stochastic gradient descent with momentum, as in torch.optim.SGD
// (dampening 0; the decay goes through the momentum).
//
//	g ← g + λ·θ                         (λ WeightDecay; only where Param.Decay)
//	b ← µ·b + g
//	θ ← θ − η·b                         (Nesterov: θ ← θ − η·(g + µ·b))
//
// Source: Sutskever et al. 2013, "On the importance of initialization and
// momentum in deep learning".
type SGD struct {
	config   SGDConfig
	params   []Param
	momentum [][]float32
	step     int
	pool     pool
}

// NewSGD makes an optimiser with zero momentum buffers.
func NewSGD(params []Param, config SGDConfig) (*SGD, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("optim: SGD: %w", err)
	}
	if err := checkParams(params); err != nil {
		return nil, err
	}
	o := &SGD{config: config, params: params, pool: newPool(config.Threads)}
	for i := range params {
		o.momentum = append(o.momentum, make([]float32, len(params[i].Value)))
	}
	return o, nil
}

// Step makes one update with learning rate lr.
func (o *SGD) Step(lr float64) {
	o.step++
	for i := range o.params {
		p := &o.params[i]
		k := sgdConsts{mu: float32(o.config.Momentum), rate: float32(p.lr(lr)), nesterov: o.config.Nesterov}
		if p.Decay {
			k.decay = float32(o.config.WeightDecay)
		}
		if !o.pool.shares(len(p.Value)) {
			k.update(p.Value, p.Grad, o.momentum[i])
			continue
		}
		b := o.momentum[i]
		o.pool.each(len(p.Value), func(lo, hi int) {
			k.update(p.Value[lo:hi], p.Grad[lo:hi], b[lo:hi])
		})
	}
}

type sgdConsts struct {
	mu, rate, decay float32
	nesterov        bool
}

func (k sgdConsts) update(value, grad, momentum []float32) {
	grad, momentum = grad[:len(value)], momentum[:len(value)]
	for i, g := range grad {
		g += k.decay * value[i]
		b := k.mu*momentum[i] + g
		momentum[i] = b
		if k.nesterov {
			b = g + k.mu*b
		}
		value[i] -= k.rate * b
	}
}

// State returns the step and the buffers, named "<parameter>.momentum_buffer".
func (o *SGD) State() State { return State{Step: o.step, Tensors: o.tensors()} }

func (o *SGD) tensors() []Tensor {
	var out []Tensor
	for i := range o.params {
		out = append(out, Tensor{o.params[i].Name + ".momentum_buffer", o.momentum[i]})
	}
	return out
}

// Load restores a state; on error nothing has changed.
func (o *SGD) Load(s State) error {
	if s.Step < 0 {
		return fmt.Errorf("load SGD state: step %d is negative", s.Step)
	}
	if err := restore("SGD", o.tensors(), s.Tensors); err != nil {
		return err
	}
	o.step = s.Step
	return nil
}
