package datasets

import "fmt"

// Options say how a data set is read. The zero value is ready.
type Options struct {
	// Val and Test are the shares of an automatic split: Val defaults to 0.2
	// (below 0: none), Test to none.
	Val, Test float64
	// Seed decides the automatic split and the fraction.
	Seed uint64
	// Fraction keeps this share of the training images; 0 keeps all.
	Fraction float64
	// Classes is the list of classes that labels have to be in, in the order
	// that a model counts them. Empty: what the data set has.
	Classes []string
	// Workers read the files; 0 is one per processor.
	Workers int
	// EveryProblem lists all problems of the annotations, not only those that the
	// warnings name.
	EveryProblem bool
}

// Check fills in the defaults; root is named in the errors.
func (o Options) Check(root string) (Options, error) {
	if o.Val == 0 {
		o.Val = .2
	}
	o.Val = max(o.Val, 0)
	if o.Test < 0 || o.Val+o.Test >= 1 {
		return o, fmt.Errorf("split data %s: %v for val and %v for test leave nothing to train on", root, o.Val, o.Test)
	}
	if o.Fraction == 0 {
		o.Fraction = 1
	}
	if !(o.Fraction > 0 && o.Fraction <= 1) {
		return o, fmt.Errorf("read data %s: the fraction is %v: use a share above 0, at most 1", root, o.Fraction)
	}
	return o, nil
}
