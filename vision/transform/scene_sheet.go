package transform

import (
	"fmt"
	"image"
	"math"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// SceneSheet draws every augmentation of scenes with its boxes on one page,
// each in four drawings: first those of a alone, as training uses it, then
// every kind by itself at a strength that shows. Mosaics take their pictures
// from all the scenes.
func SceneSheet(scenes []Scene, pre vision.Preprocess, a SceneAugment, seed uint64) (*vision.Image, error) {
	const columns = 4
	if len(scenes) == 0 {
		return nil, fmt.Errorf("draw augmentations: there is no image")
	}
	rows := []struct {
		name string
		aug  SceneAugment
	}{
		{"evaluation", SceneAugment{}},
		{"training", a},
		{"training", a},
		{"mosaic", SceneAugment{Mosaic: 1}},
		{"degrees 30", SceneAugment{Degrees: 30}},
		{"translate 0.3", SceneAugment{Translate: .3}},
		{"scale 0.5", SceneAugment{Scale: .5}},
		{"shear 15", SceneAugment{Shear: 15}},
		{"fliplr", SceneAugment{FlipLR: .5}},
		{"flipud", SceneAugment{FlipUD: .5}},
		{"hsv_h 0.1", SceneAugment{HSVH: .1}},
		{"hsv_s 0.7", SceneAugment{HSVS: .7}},
		{"hsv_v 0.4", SceneAugment{HSVV: .4}},
		{"mosaic, all of it", SceneAugment{Mosaic: 1, Degrees: 20, Translate: .2, Scale: .5, Shear: 10, FlipLR: .5, FlipUD: .5, HSVH: .05, HSVS: .5, HSVV: .3}},
	}
	others := Others{N: len(scenes), Fetch: func(i int) (Scene, error) { return scenes[i], nil }}
	var tiles []cv.Tile
	for r, row := range rows {
		p, err := TrainScenes(pre, row.aug)
		if err != nil {
			return nil, err
		}
		w, x := p.NewWorker(), make([]float32, p.Len())
		for i := range columns {
			k := Key{Seed: seed, Epoch: columns*r + i, Image: i % len(scenes)}
			if _, err := w.Apply(SceneSlot{X: x}, scenes[k.Image], k, others); err != nil {
				return nil, err
			}
			var out vision.Image
			Denormalise(&out, x, pre)
			if err := DrawObjects(&out, w.Objects()); err != nil {
				return nil, err
			}
			tiles = append(tiles, cv.Tile{Image: &out, Caption: []string{row.name}})
		}
	}
	return cv.Montage(tiles, 2*columns, 200)
}

// DrawObjects draws the boxes of objects into an image, in the colours of
// their classes.
func DrawObjects(im *vision.Image, objects []vision.Object) error {
	thickness := max(min(im.W, im.H)/150, 1)
	for i := range objects {
		o := &objects[i]
		round := func(v float64) int { return int(math.Floor(v + .5)) }
		r := image.Rect(round(o.Box.X1), round(o.Box.Y1), round(o.Box.X2), round(o.Box.Y2))
		if r.Dx() <= 2*thickness || r.Dy() <= 2*thickness {
			r = r.Inset(-thickness) // what cannot be outlined would be filled
		}
		if err := cv.Rectangle(im, r, cv.ClassColor(o.Class), thickness); err != nil {
			return err
		}
	}
	return nil
}
