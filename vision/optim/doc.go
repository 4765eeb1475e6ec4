// Package optim updates what trains: AdamW and SGD over flat float32 tensors,
// learning-rate schedules, gradient clipping and an exponential moving average.
//
// The arithmetic is PyTorch's, in float32 with the scalars in float64, and is
// elementwise: the number of threads never changes a bit of the result. All
// state is saved and loaded by name, so that a resumed run continues with the
// same bytes. Accumulating gradients over several batches is the caller's
// business: it adds into Param.Grad and calls Step once.
package optim

import (
	"fmt"
	"math"
	"strings"
)

// Param is one tensor that trains. Value and Grad are the caller's memory: the
// optimiser writes Value and reads Grad.
type Param struct {
	Name  string
	Value []float32
	Grad  []float32
	// LRScale multiplies the learning rate of this tensor. Default 0: means 1.
	LRScale float64
	// Decay tells whether weight decay applies.
	Decay bool
}

func (p *Param) lr(lr float64) float64 {
	if p.LRScale == 0 {
		return lr
	}
	return lr * p.LRScale
}

// Optimizer is [AdamW] or [SGD].
type Optimizer interface {
	// Step updates every parameter from its gradient with the learning rate lr.
	Step(lr float64)
	// State returns the state by name. It shares the optimiser's memory: write
	// it out before the next Step.
	State() State
	// Load restores a State of the same optimiser over the same parameters.
	Load(State) error
}

// State is what a resumed run needs besides the parameters themselves.
type State struct {
	// Step counts the updates made so far.
	Step    int
	Tensors []Tensor
}

// Tensor is one named piece of state, flat.
type Tensor struct {
	Name   string
	Values []float32
}

// LoRAPlus gives every up-projection B of an adapter ratio times the learning
// rate of its down-projection A. Parameters are told by their PEFT names.
//
// Source: Hayou et al. 2024, LoRA+, arXiv:2402.12354, which recommends 16.
func LoRAPlus(params []Param, ratio float64) {
	for i := range params {
		if strings.Contains(params[i].Name, "lora_B") {
			params[i].LRScale = params[i].lr(1) * ratio
		}
	}
}

// checkParams reports what would make an update meaningless.
func checkParams(params []Param) error {
	seen := make(map[string]bool, len(params))
	for i := range params {
		p := &params[i]
		switch {
		case seen[p.Name]:
			return fmt.Errorf("optim: parameter %q is given twice", p.Name)
		case len(p.Value) != len(p.Grad):
			return fmt.Errorf("optim: parameter %q has %d values and %d gradients", p.Name, len(p.Value), len(p.Grad))
		case !(p.LRScale >= 0) || math.IsInf(p.LRScale, 0):
			return fmt.Errorf("optim: parameter %q: learning-rate scale %g is not a finite positive number", p.Name, p.LRScale)
		}
		seen[p.Name] = true
	}
	return nil
}

// restore copies saved tensors into dst, which has the same names. Everything
// is checked before anything is written.
func restore(what string, dst, saved []Tensor) error {
	byName := make(map[string][]float32, len(saved))
	for _, t := range saved {
		byName[t.Name] = t.Values
	}
	for _, t := range dst {
		v, ok := byName[t.Name]
		if !ok {
			return fmt.Errorf("load %s state: tensor %q is missing; was it saved by another optimiser or for another model?", what, t.Name)
		}
		if len(v) != len(t.Values) {
			return fmt.Errorf("load %s state: tensor %q has %d values, want %d", what, t.Name, len(v), len(t.Values))
		}
	}
	if len(byName) != len(dst) {
		known := make(map[string]bool, len(dst))
		for _, t := range dst {
			known[t.Name] = true
		}
		for _, t := range saved {
			if !known[t.Name] {
				return fmt.Errorf("load %s state: tensor %q belongs to no parameter that trains", what, t.Name)
			}
		}
	}
	for _, t := range dst {
		copy(t.Values, byName[t.Name])
	}
	return nil
}
