package lora

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vislora/vislora/vision/build"
)

// Bind fits a loaded adapter to a model's sites and returns its plan, in the
// order of the model. Which layers are adapted is what the file holds; the
// budget rule does not apply to what is already trained. Layers that the model
// does not have and shapes that do not fit are all reported.
func (a *Adapter) Bind(sites []build.Site) (*Plan, error) {
	p := &Plan{Config: a.Config}
	found := make(map[string]bool, len(a.Layers))
	var errs []error
	for _, s := range sites {
		l, ok := a.Layers[s.Path]
		if !ok {
			continue
		}
		found[s.Path] = true
		sp, err := bind(s, l)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.Sites = append(p.Sites, sp)
	}
	for _, path := range a.Paths() {
		if !found[path] {
			errs = append(errs, fmt.Errorf("%s: the model has no such layer; near it: %s", path, strings.Join(nearest(path, sites, 3), ", ")))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("the adapter does not fit this model:\n%w", errors.Join(errs...))
	}
	return p, nil
}

// bind checks a layer's tensors against its site.
func bind(s build.Site, l *Layer) (Spec, error) {
	if err := checkSite(s); err != nil {
		return Spec{}, err
	}
	if l.Delta != nil {
		sp := deltaSpec(s)
		return sp, fits(s, keyDelta, l.Delta, sp.D)
	}
	sp := Spec{Site: s, Rank: l.Rank, Alpha: l.Alpha, Scaling: l.Scaling, LayerParams: size(WeightShape(s)), NotPEFT: notPEFT(s)}
	if s.Kind == build.KindLinear {
		sp.A, sp.B = []int{l.Rank, s.In}, []int{s.Out, l.Rank}
	} else {
		if l.Rank%s.Groups != 0 {
			return sp, fmt.Errorf("%s: rank %d is not a multiple of the convolution's %d groups", s.Path, l.Rank, s.Groups)
		}
		sp.A = []int{l.Rank, s.In / s.Groups, s.Kernel[0], s.Kernel[1]}
		sp.B = []int{s.Out, l.Rank / s.Groups, 1, 1}
		if len(l.A.Shape) == 4 && l.dense(s) {
			sp.DenseA = true
			sp.A[1] = s.In
			sp.NotPEFT = slices.DeleteFunc(sp.NotPEFT, func(why string) bool { return why == "grouped" })
			sp.Note = "PEFT's adapter of a grouped convolution: runs, merges only if block-diagonal"
		}
	}
	err := errors.Join(fits(s, keyA, l.A, sp.A), fits(s, keyB, l.B, sp.B))
	if l.BiasB != nil {
		sp.BiasB = []int{s.Out}
		err = errors.Join(err, fits(s, keyBiasB, l.BiasB, sp.BiasB))
	}
	if l.Magnitude != nil {
		sp.Magnitude = magnitudeShape(s)
		err = errors.Join(err, fits(s, keyMagnitude, l.Magnitude, sp.Magnitude))
	}
	sp.Params = size(sp.A) + size(sp.B) + size(sp.BiasB) + size(sp.Magnitude)
	return sp, err
}

func fits(s build.Site, key string, t *Tensor, want []int) error {
	if slices.Equal(t.Shape, want) {
		return nil
	}
	return fmt.Errorf("%s: %s has shape %v, the layer (%s, weight %v) wants %v", s.Path, prefix+s.Path+key, t.Shape, kind(s), WeightShape(s), want)
}
