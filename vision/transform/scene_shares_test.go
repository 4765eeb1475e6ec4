package transform

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vislora/vislora/vision"
)

// Masks on a grid go where the pixels go, mosaics included: the share of a cell
// is the mean brightness of the object's colour in it, in the order of the rows.
func TestSharesFollowTheirPixels(t *testing.T) {
	const h, w, stride = 90, 126, 4
	grid := Grid{H: 23, W: 32, Stride: stride} // reaches out on the right and below
	for name, a := range map[string]SceneAugment{
		"none":   {},
		"flips":  {FlipLR: .5, FlipUD: .5},
		"motion": {Degrees: 30, Translate: .3, Scale: .5, Shear: 10, FlipLR: .5},
		"mosaic": {Mosaic: 1, Scale: .5, FlipLR: .5},
	} {
		for _, kind := range []string{"polygons", "RLE"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				r := rand.New(rand.NewPCG(5, 2))
				sw := scenes(t, raw(vision.ResizeLetterbox, h, w), a).NewWorker()
				sw.Outlines = true
				const rows = 12
				to := SceneSlot{X: make([]float32, 3*h*w), Boxes: make([]float32, 5*rows), Shares: make([]uint8, rows*grid.Cells()), Grid: grid}
				var list []Scene
				for range 4 {
					s := stars(t, r, 200+r.IntN(300), 200+r.IntN(300))
					for i := range s.Objects {
						if kind == "RLE" {
							s.Objects[i].Polygons = nil
						} else {
							s.Objects[i].RLE = nil
						}
					}
					list = append(list, s)
				}
				off, seen := 0.0, 0.0
				for i := range 8 {
					if _, err := sw.Apply(to, list[i%4], Key{Image: i}, fetch(list)); err != nil {
						t.Fatal(err)
					}
					for c := range 3 { // the rows of a class together have the pixels of its colour
						for cell := range grid.Cells() {
							share := 0.0
							for row := range rows {
								if to.Boxes[5*row] == float32(c) {
									share += float64(to.Shares[row*grid.Cells()+cell]) / 255
								}
							}
							lit := 0.0
							for y := range stride {
								for x := range stride {
									if y, x := cell/grid.W*stride+y, cell%grid.W*stride+x; y < h && x < w {
										lit += float64(to.X[3*(y*w+x)+c]) / 255 / stride / stride
									}
								}
							}
							off += math.Abs(share - lit)
							seen += lit
						}
					}
					for row := range rows {
						if to.Boxes[5*row] < 0 {
							for _, v := range to.Shares[row*grid.Cells() : (row+1)*grid.Cells()] {
								if v != 0 {
									t.Fatalf("row %d has a mask and no object", row)
								}
							}
						}
					}
				}
				// Borders are drawn between pixels' centres; specks that are
				// dropped have no row.
				if off > .06*seen || seen < 500 {
					t.Errorf("off by %.1f of %.1f cells", off, seen)
				}
			})
		}
	}
}

// Only a box: no mask. A slot that does not fit is refused.
func TestSharesOfBoxes(t *testing.T) {
	sw := scenes(t, raw(vision.ResizeStretch, 16, 16), SceneAugment{}).NewWorker()
	to := SceneSlot{X: make([]float32, 3*16*16), Boxes: make([]float32, 5), Shares: make([]uint8, 16), Grid: Grid{4, 4, 4}}
	s := plain(0, 16, 16)
	if _, err := sw.Apply(to, s, Key{}, Others{}); err == nil {
		t.Error("no error without Outlines")
	}
	sw.Outlines = true
	to.Shares[3] = 9
	if _, err := sw.Apply(to, s, Key{}, Others{}); err != nil || to.Shares[3] != 0 || to.Boxes[0] != 0 {
		t.Errorf("shares %v, box %v: %v", to.Shares, to.Boxes, err)
	}
	s.Objects[0].Polygons = [][]float64{{0, 0, 10, 0, 10, 16, 0, 16}}
	s.Objects[0].Box = vision.XYWH(0, 0, 10, 16)
	if _, err := sw.Apply(to, s, Key{}, Others{}); err != nil || to.Shares[0] != 255 || to.Shares[2] != 128 || to.Shares[3] != 0 {
		t.Errorf("shares %v: %v", to.Shares, err)
	}
	to.Shares = to.Shares[:15]
	if _, err := sw.Apply(to, s, Key{}, Others{}); err == nil {
		t.Error("no error for shares that do not fit")
	}
}
