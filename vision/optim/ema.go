package optim

import (
	"errors"
	"fmt"
	"math"
)

// EMA keeps an exponential moving average of the parameters.
//
//	d = Decay·(1 − exp(−n/Tau))         n counts the updates from 1
//	θ̄ ← d·θ̄ + (1 − d)·θ
//
// The ramp lets the average follow while the model still moves fast.
//
// Source: Polyak & Juditsky 1992; the ramp as in YOLOv5's ModelEMA.
type EMA struct {
	decay, tau float64
	params     []Param
	shadow     [][]float32
	updates    int
	swapped    bool
}

// NewEMA starts an average at the parameters' present values. Usual: decay
// 0.9999 and tau 2000 for long runs, 0.99 and 50 for a few hundred images.
func NewEMA(params []Param, decay, tau float64) (*EMA, error) {
	if !(decay >= 0 && decay < 1) {
		return nil, fmt.Errorf("optim: EMA decay %g is not in [0, 1)", decay)
	}
	if !(tau > 0) {
		return nil, fmt.Errorf("optim: EMA tau %g is not positive", tau)
	}
	if err := checkParams(params); err != nil {
		return nil, err
	}
	e := &EMA{decay: decay, tau: tau, params: params}
	for i := range params {
		e.shadow = append(e.shadow, append([]float32(nil), params[i].Value...))
	}
	return e, nil
}

// Update takes the present values into the average; call it after each Step.
// It panics between two calls of Swap, where the parameters are the average.
func (e *EMA) Update() {
	if e.swapped {
		panic("optim: EMA.Update while the average is swapped in")
	}
	e.updates++
	d := e.decay * (1 - math.Exp(-float64(e.updates)/e.tau))
	keep, fresh := float32(d), float32(1-d)
	for i := range e.params {
		value, shadow := e.params[i].Value, e.shadow[i]
		for j, v := range value {
			shadow[j] = keep*shadow[j] + fresh*v
		}
	}
}

// Swap exchanges the parameters and their average, for validating and saving
// the average; a second call puts them back.
func (e *EMA) Swap() {
	e.swapped = !e.swapped
	for i := range e.params {
		value, shadow := e.params[i].Value, e.shadow[i]
		for j, v := range value {
			value[j], shadow[j] = shadow[j], v
		}
	}
}

// State returns the number of updates and the averages, named
// "<parameter>.ema". It panics while the average is swapped in.
func (e *EMA) State() State {
	if e.swapped {
		panic("optim: EMA.State while the average is swapped in")
	}
	return State{Step: e.updates, Tensors: e.tensors()}
}

func (e *EMA) tensors() []Tensor {
	var out []Tensor
	for i := range e.params {
		out = append(out, Tensor{e.params[i].Name + ".ema", e.shadow[i]})
	}
	return out
}

// Load restores a state; on error nothing has changed.
func (e *EMA) Load(s State) error {
	if e.swapped {
		return errors.New("load EMA state: the average is swapped in")
	}
	if s.Step < 0 {
		return fmt.Errorf("load EMA state: step %d is negative", s.Step)
	}
	if err := restore("EMA", e.tensors(), s.Tensors); err != nil {
		return err
	}
	e.updates = s.Step
	return nil
}
