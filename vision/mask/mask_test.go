package mask

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/vision"
)

// bitmap makes a random mask: noise, a rectangle, nothing or everything.
func bitmap(rng *rand.Rand, h, w int) []byte {
	p := make([]byte, h*w)
	kind := rng.IntN(8)
	x1, y1, x2, y2 := rng.IntN(w), rng.IntN(h), rng.IntN(w)+1, rng.IntN(h)+1
	for i := range p {
		x, y := i/h, i%h
		switch {
		case kind == 0:
		case kind == 1:
			p[i] = 1
		case kind < 4:
			p[i] = byte(rng.IntN(2))
		default:
			if x >= x1 && x < x2 && y >= y1 && y < y2 {
				p[i] = 1
			}
		}
	}
	return p
}

// Encode, Decode, Area, ToBox and the strings against the pixels themselves, in
// both orders.
func TestMaskIsItsPixels(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		h, w := 1+rng.IntN(20), 1+rng.IntN(20)
		columns := bitmap(rng, h, w)
		rows := make([]byte, h*w)
		var area int
		box := vision.Box{X1: math.Inf(1), Y1: math.Inf(1)}
		for i, v := range columns {
			x, y := i/h, i%h
			rows[y*w+x] = v * byte(1+rng.IntN(255))
			if v == 1 {
				area++
				box.X1, box.Y1 = math.Min(box.X1, float64(x)), math.Min(box.Y1, float64(y))
				box.X2, box.Y2 = math.Max(box.X2, float64(x+1)), math.Max(box.Y2, float64(y+1))
			}
		}
		if area == 0 {
			box = vision.Box{}
		}
		r, err := Encode(columns, h, w, Columns)
		if err != nil {
			t.Fatal(err)
		}
		q, err := Encode(rows, h, w, Rows)
		if err != nil || !slices.Equal(r.Counts, q.Counts) {
			t.Fatalf("by rows %v, by columns %v (%v)", q, r, err)
		}
		back, err := Decode(r, Columns)
		if err != nil || !bytes.Equal(back, columns) {
			t.Fatalf("decode: %v", err)
		}
		if back, err = Decode(r, Rows); err != nil || (Area(r) > 0 && bytes.Count(back, []byte{1}) != area) {
			t.Fatalf("decode by rows: %v", err)
		}
		if again, _ := Encode(back, h, w, Rows); !slices.Equal(again.Counts, r.Counts) {
			t.Fatal("decode by rows is not the inverse of encode")
		}
		if got, err := ToBox(r); err != nil || Area(r) != area || got != box {
			t.Fatalf("area %d and box %v, want %d and %v (%v)", Area(r), got, area, box, err)
		}
		if s, err := Decompress(Compress(r.Counts), h, w); err != nil || !slices.Equal(s.Counts, r.Counts) {
			t.Fatalf("string of %v: %v, %v", r.Counts, s.Counts, err)
		}
	}
}

// IoU and Merge against counting pixels, also of masks with empty runs in their
// middle.
func TestOverlapAndMergeCountPixels(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for range 1000 {
		h, w := 1+rng.IntN(15), 1+rng.IntN(15)
		n := 2 + rng.IntN(3)
		pixels, masks, crowd := make([][]byte, n), make([]vision.RLE, n), make([]bool, n)
		for i := range masks {
			pixels[i] = bitmap(rng, h, w)
			masks[i], _ = Encode(pixels[i], h, w, Columns)
			if rng.IntN(3) == 0 {
				masks[i].Counts = slices.Insert(masks[i].Counts, rng.IntN(len(masks[i].Counts)+1), 0, 0)
				pixels[i], _ = Decode(masks[i], Columns)
			}
			crowd[i] = rng.IntN(2) == 0
		}
		got, err := IoU(masks, masks, crowd)
		if err != nil {
			t.Fatal(err)
		}
		for i := range masks {
			for j := range masks {
				var inter, union, area float64
				for k := range pixels[i] {
					inter += float64(pixels[i][k] & pixels[j][k])
					union += float64(pixels[i][k] | pixels[j][k])
					area += float64(pixels[i][k])
				}
				if crowd[j] {
					union = area
				}
				if want := inter / math.Max(union, 1); got[i][j] != want {
					t.Fatalf("IoU %g, want %g", got[i][j], want)
				}
			}
		}
		for _, op := range []Operation{Union, Intersect} {
			want := slices.Clone(pixels[0])
			for _, p := range pixels[1:] {
				for k, v := range p {
					if op == Union {
						want[k] |= v
					} else {
						want[k] &= v
					}
				}
			}
			m, err := Merge(masks, op)
			if err != nil {
				t.Fatal(err)
			}
			encoded, _ := Encode(want, h, w, Columns)
			if !slices.Equal(m.Counts, encoded.Counts) {
				t.Fatalf("merge %v: %v, want %v", op, m.Counts, encoded.Counts)
			}
		}
	}
}

// What is wrong is said.
func TestErrors(t *testing.T) {
	nan := math.NaN()
	ten := vision.RLE{H: 10, W: 10, Counts: []uint32{90, 10}}
	fail := func(_ any, err error) error { return err }
	for want, err := range map[string]error{
		"mask RLE: counts sum to 90, the image has 100 pixels":         Check(vision.RLE{H: 10, W: 10, Counts: []uint32{50, 40}}),
		"an image of 0 rows and 5 columns has no pixels":               Check(vision.RLE{W: 5}),
		"an image of 100000 rows and 100000 columns is too large":      Check(vision.RLE{H: 100000, W: 100000}),
		"too large; at most 268435456 pixels":                          Check(vision.RLE{H: math.MaxInt, W: math.MaxInt}),
		"counts sum to 8589934590":                                     Check(vision.RLE{H: 1, W: 1, Counts: []uint32{math.MaxUint32, math.MaxUint32}}),
		"4 coordinates; at least three points":                         fail(FrPolygon([]float64{1, 2, 3, 4}, 10, 10)),
		"7 coordinates; at least three points":                         fail(FrPolygon(make([]float64, 7), 10, 10)),
		"mask polygon: coordinate 3 is NaN":                            fail(FrPolygon([]float64{1, 2, 3, nan, 5, 6}, 10, 10)),
		"mask polygon: coordinate 0 is 1e+300":                         fail(FrPolygon([]float64{1e300, 2, 3, 4, 5, 6}, 10, 10)),
		"its outline is longer than":                                   fail(FrPolygon([]float64{0, 0, 9e7, 0, 0, 1}, 10, 10)),
		"part 1: mask polygon: 2 coordinates":                          fail(FromPolygons([][]float64{{0, 0, 5, 0, 5, 5}, {1, 2}}, 10, 10)),
		"mask polygons: there is none":                                 fail(FromPolygons(nil, 10, 10)),
		"mask box: a coordinate is NaN":                                fail(FrBox(vision.Box{X1: nan}, 10, 10)),
		"merge masks: there is none":                                   fail(Merge(nil, Union)),
		"mask 1: mask: sizes differ: 10 rows × 10 columns and 20 × 5":  fail(Merge([]vision.RLE{ten, {H: 20, W: 5, Counts: []uint32{100}}}, Union)),
		"operation 7 is neither":                                       fail(Merge([]vision.RLE{ten}, 7)),
		"mask IoU: 1 crowd flags for 0 ground truths":                  fail(IoU([]vision.RLE{ten}, nil, []bool{true})),
		"ground truth 0: mask: an image of 0 rows":                     fail(IoU([]vision.RLE{ten}, []vision.RLE{{}}, nil)),
		"detection 0: mask RLE: counts sum to 0":                       fail(IoU([]vision.RLE{{H: 1, W: 1}}, []vision.RLE{ten}, nil)),
		"encode mask: 3 bytes, the image has 100 pixels":               fail(Encode(make([]byte, 3), 10, 10, Rows)),
		"pixel order 5 is neither":                                     fail(Decode(ten, 5)),
		"character 'ÿ' at 1":                                           fail(Decompress("0\xff", 10, 10)),
		"it ends within a number":                                      fail(Decompress("o", 10, 10)),
		"longer than 7 characters":                                     fail(Decompress(strings.Repeat("o", 100), 10, 10)),
		"count 0 is -1":                                                fail(Decompress("O", 10, 10)),
		"mask RLE: counts sum to 5":                                    fail(Decompress("5", 10, 10)),
		"mask: sizes differ: 5 rows × 5 columns and 10 × 10":           fail(FromObject(vision.Object{RLE: &ten}, 5, 5)),
		"mask RLE: counts sum to 1, the image has 25 pixels":           fail(ToBox(vision.RLE{H: 5, W: 5, Counts: []uint32{1}})),
		"mask RLE: counts sum to 1, the image has 36 pixels":           fail(Decode(vision.RLE{H: 6, W: 6, Counts: []uint32{1}}, Rows)),
		"mask RLE: counts sum to 1, the image has 49 pixels":           fail(FromObject(vision.Object{RLE: &vision.RLE{H: 7, W: 7, Counts: []uint32{1}}}, 7, 7)),
		"mask RLE: counts sum to 1, the image has 16 pixels":           fail(Merge([]vision.RLE{{H: 4, W: 4, Counts: []uint32{1}}}, Union)),
		"mask polygon: 0 coordinates; at least three points x y are n": fail(FrPolygon(nil, 10, 10)),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not contain %q", err, want)
		}
	}
}

// Any string is a mask or an error, and a mask survives its own string.
func FuzzDecompress(f *testing.F) {
	f.Add("9<72N2N2Ne01XO4K5L4L4", 21, 10)
	f.Add("o", 1, 1)
	f.Fuzz(func(t *testing.T, s string, h, w int) {
		r, err := Decompress(s, h, w)
		if err != nil {
			return
		}
		if again, err := Decompress(Compress(r.Counts), h, w); err != nil || !slices.Equal(again.Counts, r.Counts) {
			t.Fatalf("%v became %v, %v", r.Counts, again.Counts, err)
		}
	})
}
