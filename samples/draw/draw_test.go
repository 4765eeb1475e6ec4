package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
)

// TestCommittedFiles draws a few images again and holds them against the
// repository's. Pixels are compared, with a tolerance: a compiler that fuses
// multiplications and a newer JPEG encoder may round otherwise.
func TestCommittedFiles(t *testing.T) {
	for name, set := range sets {
		for k, class := range set.classes {
			sp := set.splits[k%len(set.splits)]
			i := sp.count - 1 - k
			file := filepath.Join("..", name, sp.name, class, fileName(class, i))
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := jpeg.Decode(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			mine, err := set.encode(1, sp.name, class, i)
			if err != nil {
				t.Fatal(err)
			}
			got, err := jpeg.Decode(bytes.NewReader(mine))
			if err != nil {
				t.Fatal(err)
			}
			if d := meanDifference(got, want); d > .5 {
				t.Errorf("%s differs from what the program draws by %.2f of 255 on average", file, d)
			}
		}
	}
}

// TestSameSeedSameBytes draws twice; another seed, split or number has to give
// another picture.
func TestSameSeedSameBytes(t *testing.T) {
	for name, set := range sets {
		class := set.classes[0]
		draw := func(seed uint64, split string, i int) []byte {
			jpg, err := set.encode(seed, split, class, i)
			if err != nil {
				t.Fatal(err)
			}
			return jpg
		}
		first := draw(7, "train", 3)
		if !bytes.Equal(first, draw(7, "train", 3)) {
			t.Errorf("%s: one seed gave two pictures", name)
		}
		for _, other := range [][]byte{draw(8, "train", 3), draw(7, "test", 3), draw(7, "train", 4)} {
			if bytes.Equal(first, other) {
				t.Errorf("%s: two draws gave one picture", name)
			}
		}
	}
}

// TestRun goes through the flags: what is missing or unknown is an error.
func TestRun(t *testing.T) {
	var words bytes.Buffer
	for _, args := range [][]string{{"-set", "zoo", "-out", "x"}, {"-set", "retail"}, {"-seed", "x"}} {
		if err := run(args, &words); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	small := sets["microscopy"]
	small.splits = []split{{"train", 1}}
	dir := t.TempDir()
	n, err := small.write(dir, 1)
	if err != nil || n != len(small.classes) {
		t.Fatalf("wrote %d images, %v; want %d", n, err, len(small.classes))
	}
	for _, class := range small.classes {
		if _, err := os.Stat(filepath.Join(dir, "train", class, class+"_000.jpg")); err != nil {
			t.Error(err)
		}
	}
}

func meanDifference(a, b image.Image) float64 {
	if a.Bounds() != b.Bounds() {
		return 255
	}
	sum, n := 0.0, 0
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			r0, g0, b0, _ := a.At(x, y).RGBA()
			r1, g1, b1, _ := b.At(x, y).RGBA()
			for _, d := range [3]int{int(r0) - int(r1), int(g0) - int(g1), int(b0) - int(b1)} {
				sum += float64(max(d, -d)) / 257
				n++
			}
		}
	}
	return sum / float64(n)
}
