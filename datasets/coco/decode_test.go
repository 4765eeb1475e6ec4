package coco

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/vislora/vislora/datasets"
)

func TestLenient(t *testing.T) {
	in := "\xef\xbb\xbf" + `{"a":NaN,"NaN \" -Infinity":[-Infinity,-1e-5,Infinity],"b\\":NaN}`
	want := `   {"a":"?","NaN \" -Infinity":["???????",-1e-5,"??????"],"b\\":"?"}`
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in))} {
		l := newLenient(r)
		got, err := io.ReadAll(iotest.HalfReader(l))
		if err != nil || string(got) != want || l.n != int64(len(in)) {
			t.Errorf("%s: %v\n%s\n%s", name, err, got, want)
		}
	}
	if _, err := io.ReadAll(newLenient(iotest.ErrReader(os.ErrPermission))); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

// gauge reads, and watches the heap while it does.
type gauge struct {
	r    io.Reader
	n    int
	peak uint64
}

func (g *gauge) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	if g.n += n; g.n > 1<<19 {
		g.n = 0
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		g.peak = max(g.peak, m.HeapAlloc)
	}
	return n, err
}

// A file of 20 MB needs little more memory than the numbers in it.
func TestMemory(t *testing.T) {
	var b bytes.Buffer
	r := rand.New(rand.NewSource(1))
	b.WriteString(`{"info":{"filler":["` + strings.Repeat("x", 1<<10) + `"]},"images":[{"id":1,"file_name":"a.png"}],"annotations":[`)
	n := 0
	for ; b.Len() < 20<<20; n++ {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id": %d, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 12.5, "bbox": [1, 2, 3, 4], "segmentation": [[`, n)
		for i := range 40 {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%.2f", r.Float64()*640)
		}
		b.WriteString("]]}")
	}
	b.WriteString(`],"categories":[{"id":1,"name":"x"}]}`)
	p := filepath.Join(t.TempDir(), "big.json")
	if err := os.WriteFile(p, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	size := uint64(b.Len())
	b = bytes.Buffer{}
	f, err := os.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	g := &gauge{r: f}
	got, err := decode(g, "big.json", new(datasets.Problems))
	if err != nil || len(got.annotations) != n {
		t.Fatalf("%v, %d of %d annotations", err, len(got.annotations), n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept, peak, all := after.HeapAlloc-before.HeapAlloc, g.peak-min(before.HeapAlloc, g.peak), after.TotalAlloc-before.TotalAlloc
	t.Logf("a file of %d MB: %d MB kept, %d MB at most, %d MB allocated in all", size>>20, kept>>20, peak>>20, all>>20)
	if kept > 2*size || peak > 4*size || all > 6*size {
		t.Error("that is too much")
	}
	runtime.KeepAlive(got)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"images":[{"id":1,"file_name":"a"}],"annotations":[{"image_id":1,"category_id":1,"bbox":[1,2,3,4]}],"categories":[{"id":1,"name":"x"}]}`))
	f.Add([]byte(`{"images":[{"id":1,"file_name":"a"}],"annotations":[{"image_id":1,"category_id":1,"segmentation":{"size":[3,3],"counts":"02N"}}]}`))
	f.Add([]byte(`{"images":[{"id":"1","file_name":2}],"annotations":[{"image_id":1,"category_id":1,"segmentation":[[1,NaN],[]]}]}`))
	f.Add([]byte(`{"a":[{"b":-Infinity}],"images":null}`))
	f.Add([]byte(`{"images":[{"id":1 "x"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set := &datasets.Dataset{}
		d := &datasets.Draft{Set: set}
		c, err := decode(bytes.NewReader(data), "fuzz.json", &d.Problems)
		if err != nil {
			return
		}
		a := &assembly{draft: d, classes: newClasses(&d.Problems)}
		a.add(source{name: "fuzz.json"}, c, func(name string) (string, error) {
			if strings.HasPrefix(name, "0") {
				return "", errAbsent
			}
			return name, nil
		})
		a.finish()
		if len(set.CategoryIDs) != len(set.Classes) {
			t.Fatal("classes and ids differ")
		}
		for _, im := range d.Images {
			for _, o := range im.Objects {
				if o.Class < 0 || o.Class >= len(set.Classes) {
					t.Fatalf("class %d of %d", o.Class, len(set.Classes))
				}
			}
		}
		d.Problems.Warnings()
	})
}
