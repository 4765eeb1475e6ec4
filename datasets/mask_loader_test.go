package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// planes reads masks in which the class is the brightness of the red channel,
// in eight steps: what the mask of a picture shows can be told from its pixels.
func planes(s Sample) ([]uint8, error) {
	im, err := cv.DecodeFile(s.Path)
	if err != nil {
		return nil, err
	}
	out := make([]uint8, im.W*im.H)
	for i := range out {
		out[i] = im.Pix[3*i] / 32
	}
	return out, nil
}

type takenMask struct {
	x    []float32
	mask []uint8
	keys []int64
}

func runMasks(t *testing.T, l *Loader, epoch, first int) []takenMask {
	t.Helper()
	e := l.Epoch(context.Background(), epoch, first)
	defer e.Close()
	var out []takenMask
	for {
		b, err := e.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, takenMask{slices.Clone(b.X[:b.N*l.size]), slices.Clone(b.Mask[:b.N*l.size/3]), slices.Clone(b.Keys[:b.N])})
		e.Release(b)
	}
}

func sameMasks(a, b []takenMask) bool {
	return slices.EqualFunc(a, b, func(a, b takenMask) bool {
		return slices.Equal(a.x, b.x) && slices.Equal(a.mask, b.mask) && slices.Equal(a.keys, b.keys)
	})
}

func TestMaskLoaderDeliversInOrder(t *testing.T) {
	s := annotated(t, 11)
	p := scenePipeline(t, transform.SceneAugment{})
	l := loader(t, LoaderConfig{Samples: s, Scenes: p, Masks: planes, Batch: 4, Workers: 3})
	got := runMasks(t, l, 0, 0)
	if len(got) != 3 || len(got[2].keys) != 3 {
		t.Fatalf("%d batches", len(got))
	}
	w, n := p.NewWorker(), p.Len()
	x, m := make([]float32, n), make([]uint8, n/3)
	for i := range s {
		im, err := cv.DecodeFile(s[i].Path)
		if err != nil {
			t.Fatal(err)
		}
		pix, _ := planes(s[i])
		if _, err := w.Apply(transform.SceneSlot{X: x, Mask: m}, transform.Scene{Image: im, Mask: &transform.Mask{W: im.W, H: im.H, Pix: pix}}, transform.Key{}, transform.Others{}); err != nil {
			t.Fatal(err)
		}
		b := got[i/4]
		if b.keys[i%4] != int64(100+i) || !slices.Equal(b.x[i%4*n:][:n], x) || !slices.Equal(b.mask[i%4*n/3:][:n/3], m) {
			t.Errorf("picture %d is not what it should be", i)
		}
		if !slices.Contains(m, transform.Void) || slices.Min(m) == transform.Void {
			t.Error("the test is weak")
		}
	}
	if l.Overflow() != 0 {
		t.Error("objects that nobody asked for are counted")
	}
}

func TestMaskLoaderIsDeterministic(t *testing.T) {
	s := annotated(t, 23)
	a := transform.DefaultSceneAugment()
	a.Degrees, a.Shear, a.FlipUD, a.Mosaic = 20, 5, .5, .7
	var reads atomic.Int64
	counted := func(s Sample) ([]uint8, error) { reads.Add(1); return planes(s) }
	base := LoaderConfig{Samples: s, Scenes: scenePipeline(t, a), Masks: counted, MaxObjects: 9, Batch: 5, Shuffle: true, Seed: 9, Workers: 1}
	want := runMasks(t, loader(t, base), 3, 0)
	many := base
	many.Workers, many.Cache = 5, NewCache(1<<30)
	l := loader(t, many)
	for i := range 3 {
		if i == 2 {
			reads.Store(0)
		}
		if !sameMasks(runMasks(t, l, 3, 0), want) {
			t.Fatal("workers or the cache change what is delivered")
		}
	}
	if reads.Load() != 0 {
		t.Errorf("%d masks were read although they are kept", reads.Load())
	}
	images, bytes := many.Cache.Len()
	var want4 int64
	for _, v := range s {
		im, _ := cv.DecodeFile(v.Path)
		want4 += int64(4 * im.W * im.H)
	}
	if images != 23 || bytes != want4 {
		t.Errorf("%d images in %d bytes, want %d", images, bytes, want4)
	}
	if !sameMasks(runMasks(t, l, 3, 2), want[2:]) {
		t.Error("a resumed epoch differs from the rest of the whole one")
	}
	many.Cache = NewCache(3000)
	if !sameMasks(runMasks(t, loader(t, many), 3, 0), want) {
		t.Error("a small cache changes what is delivered")
	}
	// The boxes are those without masks.
	base.Masks = nil
	boxes := runScenes(t, loader(t, base), 3, 0)
	base.Masks = planes
	for i, b := range runScenes(t, loader(t, base), 3, 0) {
		if !slices.Equal(b.boxes, boxes[i].boxes) {
			t.Fatal("masks change the boxes")
		}
	}
}

// A mask that cannot be read leaves its picture out, named; mosaics do without.
func TestMaskLoaderSkipsBrokenMasks(t *testing.T) {
	s := annotated(t, 12)
	broken := func(v Sample) ([]uint8, error) {
		switch v.Index {
		case 101:
			return nil, fmt.Errorf("read mask x: it is gone")
		case 103:
			return make([]uint8, 7), nil
		case 108:
			panic("hostile")
		}
		return planes(v)
	}
	c := LoaderConfig{Samples: s, Scenes: scenePipeline(t, transform.SceneAugment{}), Masks: planes, Batch: 4, Workers: 2}
	want := runMasks(t, loader(t, c), 0, 0)
	c.Masks = broken
	l := loader(t, c)
	got := runMasks(t, l, 0, 0)
	n := l.size / 3
	if len(got) != 3 || !slices.Equal(got[0].keys, []int64{100, 102}) || !slices.Equal(got[2].keys, []int64{109, 110, 111}) {
		t.Fatalf("%d batches, the first has %v", len(got), got[0].keys)
	}
	if !slices.Equal(got[0].mask[n:], want[0].mask[2*n:3*n]) || !slices.Equal(got[2].mask, want[2].mask[n:]) || !slices.Equal(got[1].mask, want[1].mask) {
		t.Error("the wrong masks were left out")
	}
	named, count := l.Skipped()
	var all []string
	for _, k := range named {
		all = append(all, k.Name+": "+k.Reason)
	}
	text := strings.Join(all, "\n")
	for _, w := range []string{"01.png: read mask x: it is gone", "03.png: read mask of 03.png: it has 7 pixels, the image 20×19", "08.png: read image", "hostile"} {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in\n%s", w, text)
		}
	}
	if len(named) != 3 || count != 3 {
		t.Errorf("%d named, %d counted", len(named), count)
	}
	c.Scenes, c.Workers = scenePipeline(t, transform.SceneAugment{Mosaic: 1}), 1
	got = runMasks(t, loader(t, c), 0, 0)
	c.Workers = 5
	if !sameMasks(runMasks(t, loader(t, c), 0, 0), got) || len(got[0].keys) != 2 {
		t.Error("broken masks make workers matter")
	}
}

func TestMaskLoaderWritesIntoTheCallersMemory(t *testing.T) {
	s := annotated(t, 4)
	p := scenePipeline(t, transform.SceneAugment{})
	n := p.Len()
	x, boxes, mask := make([]float32, 2*n), make([]float32, 2*5*5), make([]uint8, 2*n/3)
	l := loader(t, LoaderConfig{Samples: s, Scenes: p, MaxObjects: 5, Masks: planes, Batch: 2, Buffers: []*Batch{MaskBatchOver(x, boxes, mask, 2)}})
	e := l.Epoch(context.Background(), 0, 0)
	defer e.Close()
	b, err := e.Next()
	if err != nil || &b.X[0] != &x[0] || &b.Boxes[0] != &boxes[0] || &b.Mask[0] != &mask[0] {
		t.Fatal("the batch is somewhere else", err)
	}
	pre, _ := vision.Preset("imagenet")
	pictures, _ := transform.Eval(pre.Normalised(12, 12))
	for name, c := range map[string]LoaderConfig{
		"masks move with the pixels of Scenes": {Samples: s, Pipeline: pictures, Masks: planes, Batch: 2},
		"there is room for -1 objects":         {Samples: s, Scenes: p, MaxObjects: -1, Masks: planes, Batch: 2},
		"room for masks of 0 pixels":           {Samples: s, Scenes: p, MaxObjects: 5, Masks: planes, Batch: 2, Buffers: []*Batch{SceneBatchOver(make([]float32, 2*n), make([]float32, 2*5*5), 2)}},
		"buffer 1 has room for masks of 768":   {Samples: s, Scenes: p, MaxObjects: 5, Batch: 2, Buffers: []*Batch{SceneBatchOver(make([]float32, 2*n), make([]float32, 2*5*5), 2), MaskBatchOver(make([]float32, 2*n), make([]float32, 2*5*5), make([]uint8, 2*n/3), 2)}},
		"buffer 0 has room for masks of 384":   {Samples: s, Scenes: p, Masks: planes, Batch: 2, Buffers: []*Batch{MaskBatchOver(x, nil, mask[:n/3], 2)}},
	} {
		if _, err := NewLoader(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
