package transform

import "github.com/vislora/vislora/vision"

// affine moves points of a w×h image to the model's input.
func (p Placement) affine(w, h int) affine {
	at := shifting(float64(p.At.X-p.Window.Min.X), float64(p.At.Y-p.Window.Min.Y))
	return at.after(scaling(float64(p.W)/float64(w), float64(p.H)/float64(h)))
}

// ToInput moves a box of a w×h image, for which the placement was made, to the
// pixels of the model's input. It is not clipped: a centre crop may have cut
// the object off.
func (p Placement) ToInput(b vision.Box, w, h int) vision.Box { return p.affine(w, h).box(b) }

// ToImage moves a box that a model found in its input back to the pixels of
// the w×h image that the placement was made for, and clips it to that image.
func (p Placement) ToImage(b vision.Box, w, h int) vision.Box {
	return p.affine(w, h).inverse().box(b).Clip(float64(w), float64(h))
}

// ToImages is [Placement.ToImage] of every detection, in place. Detections
// that lie outside the image, in the padding, are dropped.
func (p Placement) ToImages(found []vision.Detection, w, h int) []vision.Detection {
	kept := found[:0]
	for _, d := range found {
		if d.Box = p.ToImage(d.Box, w, h); d.Box.Area() > 0 {
			kept = append(kept, d)
		}
	}
	return kept
}
