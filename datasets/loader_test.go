package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// pictures writes n images and lists them; the indices begin at 100, so that
// an index is never mistaken for a place in the list.
func pictures(t *testing.T, n int) []Sample {
	t.Helper()
	dir := t.TempDir()
	var s []Sample
	for i := range n {
		im := vision.NewImage(20+i%3, 16+i%5)
		for j := range im.Pix {
			im.Pix[j] = uint8(i*37 + j*5 + j*j%11)
		}
		name := fmt.Sprintf("%02d.png", i)
		if err := cv.WriteFile(filepath.Join(dir, name), im); err != nil {
			t.Fatal(err)
		}
		s = append(s, Sample{Path: filepath.Join(dir, name), Name: name, Label: i % 3, Index: 100 + i})
	}
	return s
}

func pipeline(t *testing.T, a transform.Augment) *transform.Pipeline {
	t.Helper()
	pre, _ := vision.Preset("imagenet")
	p, err := transform.Train(pre.Normalised(12, 12), a)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type taken struct {
	step   int
	x      []float32
	keys   []int64
	labels []int64
}

func run(t *testing.T, l *Loader, epoch, first int) []taken {
	t.Helper()
	e := l.Epoch(context.Background(), epoch, first)
	defer e.Close()
	var out []taken
	for {
		b, err := e.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.Epoch != epoch {
			t.Errorf("epoch %d, want %d", b.Epoch, epoch)
		}
		out = append(out, taken{b.Step, slices.Clone(b.X[:b.N*l.size]), slices.Clone(b.Keys[:b.N]), slices.Clone(b.Labels[:b.N])})
		e.Release(b)
	}
}

func loader(t *testing.T, c LoaderConfig) *Loader {
	t.Helper()
	l, err := NewLoader(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func same(a, b []taken) bool {
	return slices.EqualFunc(a, b, func(a, b taken) bool {
		return a.step == b.step && slices.Equal(a.x, b.x) && slices.Equal(a.keys, b.keys) && slices.Equal(a.labels, b.labels)
	})
}

func TestLoaderDeliversInOrder(t *testing.T) {
	s := pictures(t, 11)
	p := pipeline(t, transform.Augment{})
	l := loader(t, LoaderConfig{Samples: s, Pipeline: p, Batch: 4, Workers: 3})
	got := run(t, l, 0, 0)
	if len(got) != 3 || l.Steps() != 3 || len(got[2].keys) != 3 {
		t.Fatalf("%d batches of %d steps", len(got), l.Steps())
	}
	w := p.NewWorker()
	want := make([]float32, p.Len())
	for i := range s {
		im, err := cv.DecodeFile(s[i].Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Apply(want, im, transform.Key{}); err != nil {
			t.Fatal(err)
		}
		b := got[i/4]
		if b.keys[i%4] != int64(100+i) || b.labels[i%4] != int64(i%3) || !slices.Equal(b.x[i%4*p.Len():][:p.Len()], want) {
			t.Errorf("picture %d is not what it should be", i)
		}
	}
	if d := loader(t, LoaderConfig{Samples: s, Pipeline: p, Batch: 4, DropLast: true}); len(run(t, d, 0, 0)) != 2 || d.Steps() != 2 {
		t.Error("DropLast")
	}
}

func TestLoaderIsDeterministic(t *testing.T) {
	s := pictures(t, 23)
	a := transform.DefaultAugment()
	a.RandAugment, a.Erasing, a.Brightness = 2, .5, .4
	p := pipeline(t, a)
	base := LoaderConfig{Samples: s, Pipeline: p, Batch: 5, Shuffle: true, Seed: 9, Workers: 1}
	want := run(t, loader(t, base), 3, 0)
	many := base
	many.Workers, many.Cache = 5, NewCache(1<<30)
	l := loader(t, many)
	for range 3 { // the second time from the cache
		if !same(run(t, l, 3, 0), want) {
			t.Fatal("workers or the cache change what is delivered")
		}
	}
	if n, _ := many.Cache.Len(); n != 23 {
		t.Errorf("%d images are cached", n)
	}
	if !same(run(t, l, 3, 2), want[2:]) {
		t.Error("a resumed epoch differs from the rest of the whole one")
	}
	if same(run(t, l, 4, 0), want) {
		t.Error("two epochs are the same")
	}
	var keys []int64
	for _, b := range want {
		keys = append(keys, b.keys...)
	}
	slices.Sort(keys)
	for i, k := range keys {
		if k != int64(100+i) {
			t.Fatalf("keys %v", keys)
		}
	}
	small := NewCache(3000)
	many.Cache = small
	if !same(run(t, loader(t, many), 3, 0), want) {
		t.Error("a small cache changes what is delivered")
	}
	if n, b := small.Len(); n == 0 || n == 23 || b > 3000 {
		t.Errorf("a cache of 3000 bytes holds %d images, %d bytes", n, b)
	}
}

func TestLoaderSkipsBrokenImages(t *testing.T) {
	s := pictures(t, 12)
	p := pipeline(t, transform.Augment{})
	want := run(t, loader(t, LoaderConfig{Samples: s, Pipeline: p, Batch: 4}), 0, 0)
	data, err := os.ReadFile(s[1].Path)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range map[int][]byte{1: data[:len(data)/2], 3: nil, 8: []byte("text"), 9: nil, 10: nil, 11: nil} {
		if err := os.WriteFile(s[i].Path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := loader(t, LoaderConfig{Samples: s, Pipeline: p, Batch: 4, Workers: 2})
	for range 2 {
		got := run(t, l, 0, 0)
		if len(got) != 2 || !slices.Equal(got[0].keys, []int64{100, 102}) || !slices.Equal(got[0].labels, []int64{0, 2}) {
			t.Fatalf("%d batches, the first has %v", len(got), got[0].keys)
		}
		n := p.Len()
		if !slices.Equal(got[0].x[n:], want[0].x[2*n:3*n]) || !slices.Equal(got[1].x, want[1].x) {
			t.Error("the wrong pictures were left out")
		}
	}
	named, count := l.Skipped()
	if len(named) != 6 || count != 12 {
		t.Errorf("%d named, %d counted", len(named), count)
	}
	for _, s := range named {
		if s.Name == "01.png" && !strings.Contains(s.Reason, "truncated") {
			t.Errorf("%+v", s)
		}
	}
	if got := run(t, loader(t, LoaderConfig{Samples: s[8:], Pipeline: p, Batch: 2}), 0, 0); len(got) != 0 {
		t.Errorf("%d batches of broken images", len(got))
	}
}

func TestLoaderWritesIntoTheCallersMemory(t *testing.T) {
	s := pictures(t, 6)
	p := pipeline(t, transform.Augment{})
	x := [2][]float32{make([]float32, 2*p.Len()), make([]float32, 2*p.Len())}
	l := loader(t, LoaderConfig{Samples: s, Pipeline: p, Batch: 2, Classes: 4, Buffers: []*Batch{BatchOver(x[0], 2, 4), BatchOver(x[1], 2, 4)}})
	for i := range s {
		l.c.Samples[i].Label, l.c.Samples[i].Labels = -1, []int{i % 3, 3}
	}
	e := l.Epoch(context.Background(), 0, 0)
	defer e.Close()
	for step := range 3 {
		b, err := e.Next()
		if err != nil {
			t.Fatal(err)
		}
		if &b.X[0] != &x[step%2][0] {
			t.Error("the batch is somewhere else")
		}
		want := make([]float32, 8)
		want[2*step%3], want[3], want[4+(2*step+1)%3], want[7] = 1, 1, 1, 1
		if !slices.Equal(b.Targets, want) || b.Labels[0] != -1 {
			t.Errorf("step %d: targets %v, want %v", step, b.Targets, want)
		}
		e.Release(b)
	}
	if _, err := NewLoader(LoaderConfig{Samples: s, Pipeline: p, Batch: 4, Buffers: []*Batch{BatchOver(x[0], 2, 0)}}); err == nil {
		t.Error("a buffer that is too small should be an error")
	}
	for _, c := range []LoaderConfig{{}, {Samples: s, Pipeline: p}, {Samples: s, Pipeline: p, Batch: 7, DropLast: true}, {Pipeline: p, Batch: 1}} {
		if _, err := NewLoader(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

func TestLoaderBalances(t *testing.T) {
	s := pictures(t, 12)
	for i := range s {
		s[i].Label = min(i/9, 1)
	}
	a := transform.DefaultAugment()
	l := loader(t, LoaderConfig{Samples: s, Pipeline: pipeline(t, a), Batch: 12, Balanced: true})
	got := run(t, l, 0, 0)[0]
	n := 0
	seen := map[int64]int{}
	for i, c := range got.labels {
		n += int(c)
		if j, ok := seen[got.keys[i]]; ok && slices.Equal(got.x[i*l.size:][:l.size], got.x[j*l.size:][:l.size]) {
			t.Error("an image that comes up twice looks the same twice")
		}
		seen[got.keys[i]] = i
	}
	if n != 6 {
		t.Errorf("%d of 12 are of the rare class", n)
	}
}

func TestLoaderStops(t *testing.T) {
	s := pictures(t, 30)
	l := loader(t, LoaderConfig{Samples: s, Pipeline: pipeline(t, transform.Augment{}), Batch: 2, Workers: 3})
	want := run(t, l, 0, 0)
	before := runtime.NumGoroutine()
	for range 20 {
		e := l.Epoch(context.Background(), 0, 0)
		if _, err := e.Next(); err != nil {
			t.Fatal(err)
		}
		e.Close()
		if _, err := e.Next(); !errors.Is(err, context.Canceled) {
			t.Fatalf("after Close: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := l.Epoch(ctx, 0, 0)
	cancel()
	for {
		b, err := e.Next()
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			break
		}
		e.Release(b)
	}
	e.Close()
	for i := 0; runtime.NumGoroutine() > before && i < 100; i++ {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines are left", n-before)
	}
	if !same(run(t, l, 0, 0), want) {
		t.Error("an epoch after one that was closed early differs")
	}
}

// Decoding the region that augmentation cuts out gives the bytes that the whole
// picture gives.
func TestLoaderDecodesRegions(t *testing.T) {
	im := vision.NewImage(150, 130)
	for i := range im.Pix {
		im.Pix[i] = uint8(i*37 + i*i%11)
	}
	path := filepath.Join(t.TempDir(), "a.jpg")
	if err := cv.WriteFile(path, im); err != nil {
		t.Fatal(err)
	}
	pre, _ := vision.Preset("imagenet")
	a := transform.DefaultAugment()
	a.Brightness = .4
	p, err := transform.Train(pre.Normalised(80, 80), a)
	if err != nil {
		t.Fatal(err)
	}
	c := LoaderConfig{Samples: []Sample{{Path: path, Name: "a.jpg"}}, Pipeline: p, Batch: 1}
	regions, err := NewLoader(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Cache = NewCache(1 << 30)
	whole, err := NewLoader(c)
	if err != nil {
		t.Fatal(err)
	}
	for epoch := range 8 {
		if got, want := run(t, regions, epoch, 0), run(t, whole, epoch, 0); !slices.Equal(got[0].x, want[0].x) {
			t.Errorf("epoch %d: the input differs", epoch)
		}
	}
}
