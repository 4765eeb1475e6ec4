package datasets

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// annotated is [pictures] with one object or more in each, in every seventh
// none. Class and place tell the image.
func annotated(t *testing.T, n int) []Sample {
	t.Helper()
	s := pictures(t, n)
	for i := range s {
		s[i].Label = -1
		for k := range i % 7 {
			s[i].Objects = append(s[i].Objects, vision.Object{Class: i, Box: vision.XYWH(float64(k), float64(i%4), float64(9+k), 8), Area: 1})
		}
	}
	return s
}

func scenePipeline(t *testing.T, a transform.SceneAugment) *transform.ScenePipeline {
	t.Helper()
	pre, _ := vision.Preset("yolox")
	p, err := transform.TrainScenes(pre.Normalised(24, 32), a)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type takenScene struct {
	step     int
	x, boxes []float32
	keys     []int64
}

func runScenes(t *testing.T, l *Loader, epoch, first int) []takenScene {
	t.Helper()
	e := l.Epoch(context.Background(), epoch, first)
	defer e.Close()
	var out []takenScene
	for {
		b, err := e.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, takenScene{b.Step, slices.Clone(b.X[:b.N*l.size]), slices.Clone(b.Boxes[:b.N*5*l.c.MaxObjects]), slices.Clone(b.Keys[:b.N])})
		e.Release(b)
	}
}

func sameScenes(a, b []takenScene) bool {
	return slices.EqualFunc(a, b, func(a, b takenScene) bool {
		return a.step == b.step && slices.Equal(a.x, b.x) && slices.Equal(a.boxes, b.boxes) && slices.Equal(a.keys, b.keys)
	})
}

func TestSceneLoaderDeliversInOrder(t *testing.T) {
	s := annotated(t, 11)
	p := scenePipeline(t, transform.SceneAugment{})
	const m = 4
	l := loader(t, LoaderConfig{Samples: s, Scenes: p, MaxObjects: m, Batch: 4, Workers: 3})
	got := runScenes(t, l, 0, 0)
	if len(got) != 3 || len(got[2].keys) != 3 {
		t.Fatalf("%d batches", len(got))
	}
	w := p.NewWorker()
	x, boxes, overflow := make([]float32, p.Len()), make([]float32, 5*m), 0
	for i := range s {
		im, err := cv.DecodeFile(s[i].Path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Apply(transform.SceneSlot{X: x, Boxes: boxes}, transform.Scene{Image: im, Objects: s[i].Objects}, transform.Key{}, transform.Others{}); err != nil {
			t.Fatal(err)
		}
		b := got[i/4]
		if b.keys[i%4] != int64(100+i) || !slices.Equal(b.x[i%4*p.Len():][:p.Len()], x) || !slices.Equal(b.boxes[i%4*5*m:][:5*m], boxes) {
			t.Errorf("picture %d is not what it should be", i)
		}
		n := 0
		for r := range m {
			if c := boxes[5*r]; c == float32(i) {
				n++
			} else if c != -1 {
				t.Fatalf("picture %d has the class %v", i, c)
			}
		}
		if n != min(i%7, m) {
			t.Errorf("picture %d has %d boxes of %d", i, n, i%7)
		}
		overflow += max(i%7-m, 0)
	}
	if n := l.Overflow(); n != overflow || n == 0 {
		t.Errorf("%d objects found no place, counted are %d", overflow, n)
	}
}

func TestSceneLoaderIsDeterministic(t *testing.T) {
	s := annotated(t, 23)
	a := transform.DefaultSceneAugment()
	a.Degrees, a.Shear, a.FlipUD = 20, 5, .5
	base := LoaderConfig{Samples: s, Scenes: scenePipeline(t, a), MaxObjects: 9, Batch: 5, Shuffle: true, Seed: 9, Workers: 1}
	one := loader(t, base)
	want := runScenes(t, one, 3, 0)
	many := base
	many.Workers, many.Cache = 5, NewCache(1<<30)
	l := loader(t, many)
	for range 3 { // the second time from the cache
		if !sameScenes(runScenes(t, l, 3, 0), want) {
			t.Fatal("workers or the cache change what is delivered")
		}
	}
	if n, _ := many.Cache.Len(); n != 23 {
		t.Errorf("%d images are cached", n)
	}
	if !sameScenes(runScenes(t, l, 3, 2), want[2:]) {
		t.Error("a resumed epoch differs from the rest of the whole one")
	}
	if sameScenes(runScenes(t, l, 4, 0), want) {
		t.Error("two epochs are the same")
	}
	many.Cache = NewCache(3000)
	if !sameScenes(runScenes(t, loader(t, many), 3, 0), want) {
		t.Error("a small cache changes what is delivered")
	}
	// Mosaics show objects of other images.
	mixed := 0
	for _, b := range want {
		for i, k := range b.keys {
			for r := range 9 {
				if c := b.boxes[5*(9*i+r)]; c >= 0 && c != float32(k-100) {
					mixed++
				}
			}
		}
	}
	if mixed < 10 {
		t.Errorf("%d objects of other images", mixed)
	}

	// The last epochs go without mosaics.
	a.Mosaic = 0
	if err := l.SetScenes(scenePipeline(t, a)); err != nil {
		t.Fatal(err)
	}
	for _, b := range runScenes(t, l, 3, 0) {
		for i, k := range b.keys {
			for r := range 9 {
				if c := b.boxes[5*(9*i+r)]; c >= 0 && c != float32(k-100) {
					t.Fatalf("image %d has the class %v", k, c)
				}
			}
		}
	}
	pre, _ := vision.Preset("yolox")
	other, _ := transform.EvalScenes(pre.Normalised(32, 32))
	if l.SetScenes(other) == nil || l.SetScenes(nil) == nil {
		t.Error("a pipeline of another size should be an error")
	}
}

func TestSceneLoaderSkipsBrokenImages(t *testing.T) {
	s := annotated(t, 12)
	p := scenePipeline(t, transform.SceneAugment{})
	c := LoaderConfig{Samples: s, Scenes: p, MaxObjects: 3, Batch: 4, Workers: 2}
	want := runScenes(t, loader(t, c), 0, 0)
	for _, i := range []int{1, 3, 8, 9, 10, 11} {
		if err := os.WriteFile(s[i].Path, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := loader(t, c)
	got := runScenes(t, l, 0, 0)
	if len(got) != 2 || !slices.Equal(got[0].keys, []int64{100, 102}) {
		t.Fatalf("%d batches, the first has %v", len(got), got[0].keys)
	}
	n := p.Len()
	if !slices.Equal(got[0].x[n:], want[0].x[2*n:3*n]) || !slices.Equal(got[0].boxes[15:], want[0].boxes[30:45]) || !slices.Equal(got[1].boxes, want[1].boxes) {
		t.Error("the wrong pictures or boxes were left out")
	}
	if named, count := l.Skipped(); len(named) != 6 || count != 6 {
		t.Errorf("%d named, %d counted", len(named), count)
	}

	// Mosaics do without the broken ones, name them, and do not count them.
	c.Scenes, c.Samples, c.Workers = scenePipeline(t, transform.SceneAugment{Mosaic: 1}), s[:8], 1
	l = loader(t, c)
	got = runScenes(t, l, 0, 0)
	c.Workers = 5
	if !sameScenes(runScenes(t, loader(t, c), 0, 0), got) {
		t.Error("broken images make workers matter")
	}
	if len(got) != 2 || len(got[0].keys) != 2 || len(got[1].keys) != 4 {
		t.Fatalf("%d batches", len(got))
	}
	for _, b := range got {
		for r := 0; r < len(b.boxes); r += 5 {
			if c := b.boxes[r]; c == 1 || c == 3 {
				t.Fatalf("an object of the broken image %v", c)
			}
		}
	}
	named, count := l.Skipped()
	if len(named) != 2 || count != 2 || !strings.Contains(named[0].Reason, "image") {
		t.Errorf("%v named, %d counted", named, count)
	}
}

func TestSceneLoaderWritesIntoTheCallersMemory(t *testing.T) {
	s := annotated(t, 6)
	p := scenePipeline(t, transform.SceneAugment{})
	x, boxes := make([]float32, 2*p.Len()), make([]float32, 2*5*5)
	l := loader(t, LoaderConfig{Samples: s, Scenes: p, MaxObjects: 5, Batch: 2, Buffers: []*Batch{SceneBatchOver(x, boxes, 2)}})
	e := l.Epoch(context.Background(), 0, 0)
	defer e.Close()
	for step := range 3 {
		b, err := e.Next()
		if err != nil {
			t.Fatal(err)
		}
		if &b.X[0] != &x[0] || &b.Boxes[0] != &boxes[0] {
			t.Fatal("the batch is somewhere else")
		}
		n := 0
		for r := range 10 {
			if boxes[5*r] >= 0 {
				n++
			}
		}
		if n != 2*step+2*step+1 {
			t.Errorf("step %d: %d boxes", step, n)
		}
		e.Release(b)
	}
	for name, c := range map[string]LoaderConfig{
		"no pipeline":            {Samples: s, Batch: 2},
		"two pipelines":          {Samples: s, Scenes: p, MaxObjects: 5, Pipeline: pipeline(t, transform.Augment{}), Batch: 2},
		"there are none":         {Scenes: p, MaxObjects: 5, Batch: 2},
		"room for 0 objects":     {Samples: s, Scenes: p, Batch: 2},
		"targets of 3 classes":   {Samples: s, Scenes: p, MaxObjects: 5, Batch: 2, Classes: 3},
		"room for 4 objects":     {Samples: s, Scenes: p, MaxObjects: 5, Batch: 2, Buffers: []*Batch{SceneBatchOver(make([]float32, 2*p.Len()), make([]float32, 2*4*5), 2)}},
		"room for 0 objects of":  {Samples: s, Scenes: p, MaxObjects: 5, Batch: 2, Buffers: []*Batch{BatchOver(make([]float32, 2*p.Len()), 2, 0)}},
		"room for 2304 values":   {Samples: s, Scenes: p, MaxObjects: 5, Batch: 2, Buffers: []*Batch{SceneBatchOver(make([]float32, 1*p.Len()), make([]float32, 1*5*5), 1)}},
		"the batch is 0":         {Samples: s, Scenes: p, MaxObjects: 5},
		"6 images do not fill o": {Samples: s, Scenes: p, MaxObjects: 5, Batch: 7, DropLast: true},
	} {
		if _, err := NewLoader(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Balanced draws and stopped epochs work with boxes as with labels.
func TestSceneLoaderRepeatsAndStops(t *testing.T) {
	s := annotated(t, 12)
	for i := range s {
		s[i].Labels = []int{min(i/9, 1)}
	}
	l := loader(t, LoaderConfig{Samples: s, Scenes: scenePipeline(t, transform.DefaultSceneAugment()), MaxObjects: 5, Batch: 12, Balanced: true})
	got := runScenes(t, l, 0, 0)[0]
	seen := map[int64]int{}
	for i, k := range got.keys {
		if j, ok := seen[k]; ok && slices.Equal(got.x[i*l.size:][:l.size], got.x[j*l.size:][:l.size]) {
			t.Error("an image that comes up twice looks the same twice")
		}
		seen[k] = i
	}
	if len(seen) > 9 {
		t.Errorf("%d images: the rare class is not drawn as often", len(seen))
	}
	for range 5 {
		e := l.Epoch(context.Background(), 0, 0)
		e.Close()
		if _, err := e.Next(); !errors.Is(err, context.Canceled) {
			t.Fatalf("after Close: %v", err)
		}
	}
	if !sameScenes(runScenes(t, l, 0, 0), []takenScene{got}) {
		t.Error("an epoch after one that was closed early differs")
	}
}
