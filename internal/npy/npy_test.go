package npy

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
)

func TestRoundTrip(t *testing.T) {
	for _, x := range []*ir.Tensor{ir.FromFloat32s("", []float32{1, 2, 3, 4, 5, 6}, 2, 3), ir.FromInt64s("", []int64{7}, 1), ir.FromFloat32s("", []float32{9})} {
		b, err := Encode(x)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.npy")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		y, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if y.DType != x.DType || len(y.Dims) != len(x.Dims) || y.Float(0) != x.Float(0) || len(b)%64 != len(x.Raw)%64 {
			t.Errorf("%v %v came back as %v %v", x.DType, x.Dims, y.DType, y.Dims)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, err := Encode(ir.FromFloat32s("", []float32{1, 2}, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := parse(b); err == nil && x.Len()*x.DType.Size() != len(x.Raw) {
			t.Errorf("accepted %d bytes for %v", len(x.Raw), x.Dims)
		}
	})
}
