package datasets

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// outlined gives every object of samples a triangle for its mask.
func outlined(samples []Sample) []Sample {
	out := slices.Clone(samples)
	for i := range out {
		out[i].Objects = slices.Clone(out[i].Objects)
		for k := range out[i].Objects {
			o := &out[i].Objects[k]
			o.Polygons = [][]float64{{o.Box.X1, o.Box.Y1, o.Box.X2, o.Box.Y2, o.Box.X1, o.Box.Y2}}
		}
	}
	return out
}

// runShares are the boxes and the masks of an epoch's batches.
func runShares(t *testing.T, l *Loader, epoch int) (boxes [][]float32, shares [][]uint8) {
	t.Helper()
	e := l.Epoch(context.Background(), epoch, 0)
	defer e.Close()
	for {
		b, err := e.Next()
		if errors.Is(err, io.EOF) {
			return boxes, shares
		}
		if err != nil {
			t.Fatal(err)
		}
		boxes, shares = append(boxes, slices.Clone(b.Boxes[:b.N*b.objects*5])), append(shares, slices.Clone(b.Shares[:b.N*b.covered]))
		e.Release(b)
	}
}

// The masks of objects lie in the rows of their boxes, whatever the workers do,
// and a picture that cannot be read takes its masks with it.
func TestSharesLoader(t *testing.T) {
	s := outlined(annotated(t, 11))
	a := transform.DefaultSceneAugment()
	p := scenePipeline(t, a)
	size := p.Preprocess().Size
	grid := transform.Grid{H: (size[0] + 3) / 4, W: (size[1] + 3) / 4, Stride: 4}
	base := LoaderConfig{Samples: s, Scenes: p, MaxObjects: 6, Shares: grid, Batch: 4, Shuffle: true, Seed: 3, Workers: 1}
	boxes, shares := runShares(t, loader(t, base), 2)
	base.Workers = 4
	l := loader(t, base)
	again, masks := runShares(t, l, 2)
	covered := 0
	for i := range boxes {
		if !slices.Equal(boxes[i], again[i]) || !slices.Equal(shares[i], masks[i]) {
			t.Fatalf("batch %d depends on the workers", i)
		}
		for row := 0; row*5 < len(boxes[i]); row++ {
			m := shares[i][row*grid.Cells():][:grid.Cells()]
			b := boxes[i][5*row:][:5]
			if b[0] < 0 {
				if slices.Max(m) > 0 {
					t.Fatalf("batch %d, row %d has a mask and no object", i, row)
				}
				continue
			}
			box := vision.XYWH(float64(b[1]-b[3]/2)/4, float64(b[2]-b[4]/2)/4, float64(b[3])/4, float64(b[4])/4)
			for c, v := range m {
				x, y := float64(c%grid.W), float64(c/grid.W)
				if v == 0 {
					continue
				}
				if covered++; x+1 < box.X1-.3 || x > box.X2+.3 || y+1 < box.Y1-.3 || y > box.Y2+.3 {
					t.Fatalf("batch %d, row %d: the cell %v, %v is covered, the box is %v", i, row, x, y, box)
				}
			}
		}
	}
	if covered < 50 {
		t.Errorf("%d cells are covered: the test is weak", covered)
	}
	broken := slices.Clone(s)
	broken[1].Path = "missing.png"
	base.Samples, base.Shuffle, base.Batch, base.Scenes = broken, false, 11, scenePipeline(t, transform.SceneAugment{})
	_, some := runShares(t, loader(t, base), 0)
	base.Samples = s
	_, all := runShares(t, loader(t, base), 0)
	if n := len(all[0]) / 11; !slices.Equal(some[0], append(slices.Clone(all[0][:n]), all[0][2*n:]...)) {
		t.Error("the masks of the other pictures moved")
	}
	for _, bad := range []LoaderConfig{{Shares: transform.Grid{H: 4, W: 4}, MaxObjects: 6}, {Shares: grid}} {
		bad.Samples, bad.Scenes, bad.Batch, bad.Masks = s, p, 2, planes
		if _, err := NewLoader(bad); err == nil {
			t.Errorf("no error for %+v", bad.Shares)
		}
	}
}
