package transform

import (
	"errors"
	"fmt"
)

// SceneAugment says how training pictures with objects are varied; the names
// are those of Ultralytics. The zero value changes nothing: training then sees
// what evaluation sees.
//
// The order is mosaic, one random affine map about the centre of the input,
// flips, colour. What the map moves out of the input is cropped, boxes with
// it. To end a training without mosaics (close_mosaic), use a pipeline with
// Mosaic 0 for the last epochs.
type SceneAugment struct {
	// Mosaic (arXiv 2004.10934) is the probability that a picture is put
	// together from four, which meet at a point in the middle half.
	Mosaic float64 `json:"mosaic" yaml:"mosaic"`
	// Degrees and Shear are angles, drawn from ± the value; Shear for each
	// axis by itself.
	Degrees float64 `json:"degrees" yaml:"degrees"`
	// Translate is a share of the input, drawn from ± the value for each axis.
	Translate float64 `json:"translate" yaml:"translate"`
	// Scale: pictures are enlarged by a factor drawn from 1 ± Scale.
	Scale float64 `json:"scale" yaml:"scale"`
	Shear float64 `json:"shear" yaml:"shear"`
	// FlipLR and FlipUD are the probabilities of mirroring left and right, top
	// and bottom.
	FlipLR float64 `json:"fliplr" yaml:"fliplr"`
	FlipUD float64 `json:"flipud" yaml:"flipud"`
	// HSVH turns the hue by up to ± so many turns; HSVS and HSVV multiply
	// saturation and value by 1 ± the value. Padding keeps its colour.
	HSVH float64 `json:"hsv_h" yaml:"hsv_h"`
	HSVS float64 `json:"hsv_s" yaml:"hsv_s"`
	HSVV float64 `json:"hsv_v" yaml:"hsv_v"`
}

// DefaultSceneAugment suits fine-tuning on a few hundred images.
//
//   - Mosaic, translation and scale multiply the few arrangements of objects
//     that there are.
//   - Every other picture stays whole, as YOLOX trains its smallest model:
//     mosaics halve the objects and join four contexts, which validation never
//     does, and a low-rank adapter in some ten epochs does not get over that as
//     300 epochs from scratch do.
//   - Saturation and value vary half as much as in Ultralytics: colour is often
//     what tells the classes of a small data set apart (stains, packages).
//   - No rotation: where there are no polygons it loosens the boxes.
func DefaultSceneAugment() SceneAugment {
	return SceneAugment{
		Mosaic: .5, Translate: .1, Scale: .5, FlipLR: .5,
		HSVH: .015, HSVS: .35, HSVV: .2,
	}
}

// Validate reports everything that is wrong.
func (a SceneAugment) Validate() error {
	var errs []error
	within := func(name string, v, hi float64) {
		if !(v >= 0 && v <= hi) {
			errs = append(errs, fmt.Errorf("%s is %v: use 0 to %v", name, v, hi))
		}
	}
	within("mosaic", a.Mosaic, 1)
	within("degrees", a.Degrees, 180)
	within("translate", a.Translate, 1)
	within("scale", a.Scale, .9)
	within("shear", a.Shear, 30)
	within("fliplr", a.FlipLR, 1)
	within("flipud", a.FlipUD, 1)
	within("hsv_h", a.HSVH, .5)
	within("hsv_s", a.HSVS, 1)
	within("hsv_v", a.HSVV, 1)
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("check augmentation: %w", errors.Join(errs...))
}

// Varies tells whether an image looks different from one epoch to the next.
func (a SceneAugment) Varies() bool { return a != SceneAugment{} }
