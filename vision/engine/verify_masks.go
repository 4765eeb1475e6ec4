package engine

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

// coarsePixelTolerance is pixelTolerance for the masks of float16 models, whose
// boxes end elsewhere.
const coarsePixelTolerance = 1e-2

// found are the boxes that predict would choose, with their masks where the head
// makes them, in pixels of the network's input, or of the picture where the file
// gives them so.
func (j *boxJudge) found(c verifyCase, raw [][]float32) ([]vision.Detection, error) {
	switch {
	case j.placed:
		return j.reader.read(raw[0], c.w, c.h), nil
	case j.reader.masks == nil:
		return j.reader.boxes(raw[0]), nil
	}
	return j.reader.inputInstances(raw[0], raw[1], j.loaded.Width, j.loaded.Height)
}

// chosen reads the outputs for one image: four, and masks (M, H, W) behind them
// where the head makes them. None means no boxes.
func (j *boxJudge) chosen(out []*ir.Tensor) (boxes []vision.Detection, masks *ir.Tensor, err error) {
	if out == nil {
		return nil, nil, nil
	}
	want := 4
	if j.reader.masks != nil {
		want = 5
	}
	if len(out) != want {
		return nil, nil, fmt.Errorf("ONNX Runtime gives %d outputs, not %d", len(out), want)
	}
	boxes, err = chosenBoxes(out)
	if err != nil || want == 4 {
		return boxes, nil, err
	}
	masks = out[4]
	if n := len(boxes) * j.loaded.Height * j.loaded.Width; masks.DType != ir.Uint8 || len(masks.Raw) != n {
		return nil, nil, fmt.Errorf("ONNX Runtime gives masks %v of %v, not %d of %d×%d uint8", masks.Dims, masks.DType, len(boxes), j.loaded.Height, j.loaded.Width)
	}
	return boxes, masks, nil
}

// mask counts the pixels of a mask that number at of theirs has too.
func (p *VerifiedPixels) mask(ours vision.RLE, theirs *ir.Tensor, at int) error {
	pixels, err := mask.Decode(ours, mask.Rows)
	if err != nil {
		return err
	}
	for i, v := range theirs.Raw[at*len(pixels) : (at+1)*len(pixels)] {
		if p.Pixels++; v == pixels[i] {
			p.Same++
		}
	}
	return nil
}

// maskVerdict is that on the masks of pairs, nil for boxes alone.
func (j *boxJudge) maskVerdict(p *VerifiedPixels) error {
	if p == nil {
		return nil
	}
	limit := pixelTolerance
	if j.coarse {
		limit = coarsePixelTolerance
	}
	if float64(p.Pixels-p.Same) > limit*float64(p.Pixels) {
		return fmt.Errorf("ONNX Runtime gives masks that differ in %d of %d pixels, more than %g %%", p.Pixels-p.Same, p.Pixels, 100*limit)
	}
	return nil
}
