package optim

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Shape is how the learning rate falls after the warm-up.
type Shape string

// The shapes.
const (
	Cosine   Shape = "cosine"
	Linear   Shape = "linear"
	Constant Shape = "constant"
)

// Schedule gives the learning rate of each step: a linear warm-up, then a fall
// to Final·LR.
//
//	t < W:   LR·(t + 1)/W
//	cosine:  LR·(f + (1 − f)·½(1 + cos(π·(t − W)/(T − W))))
//	linear:  LR·(1 − (1 − f)·(t − W)/(T − W))
//
// with t counted from 0, T Steps, W Warmup and f Final.
//
// Source: Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine, one cycle); Goyal
// et al. 2017, arXiv:1706.02677 (warm-up).
type Schedule struct {
	Shape Shape   // default Cosine
	LR    float64 // the peak
	// Final is the fraction of LR that is left at the end. Default 0.
	Final float64
	// Steps is the number of optimiser steps of the whole run.
	Steps int
	// Warmup is the number of steps of the warm-up. Default 0.
	Warmup int
}

// Validate reports every setting that is out of range.
func (s Schedule) Validate() error {
	var errs []error
	switch s.Shape {
	case "", Cosine, Linear, Constant:
	default:
		errs = append(errs, fmt.Errorf("schedule %q is not one of %s", s.Shape,
			strings.Join([]string{string(Cosine), string(Linear), string(Constant)}, ", ")))
	}
	if !(s.LR > 0) || math.IsInf(s.LR, 0) {
		errs = append(errs, fmt.Errorf("learning rate %g is not a finite positive number", s.LR))
	}
	if !(s.Final >= 0 && s.Final <= 1) {
		errs = append(errs, fmt.Errorf("final fraction of the learning rate %g is not in [0, 1]", s.Final))
	}
	if s.Steps < 1 {
		errs = append(errs, fmt.Errorf("%d steps is fewer than 1", s.Steps))
	}
	if s.Warmup < 0 || s.Warmup > s.Steps {
		errs = append(errs, fmt.Errorf("warm-up of %d steps is not in [0, %d], the length of the run", s.Warmup, s.Steps))
	}
	return errors.Join(errs...)
}

// At is the learning rate of step t, counted from 0. Steps after the last keep
// its end value.
func (s Schedule) At(t int) float64 {
	if t < s.Warmup {
		return s.LR * float64(t+1) / float64(s.Warmup)
	}
	if s.Shape == Constant {
		return s.LR
	}
	progress := 1.0
	if t < s.Steps {
		progress = float64(t-s.Warmup) / float64(s.Steps-s.Warmup)
	}
	if s.Shape == Linear {
		return s.LR * (1 - (1-s.Final)*progress)
	}
	return s.LR * (s.Final + (1-s.Final)*0.5*(1+math.Cos(math.Pi*progress)))
}
