package house

import (
	"sort"
	"strings"
	"testing"
)

const module = "github.com/vislora/vislora"

// floors is the architecture: a package imports only packages of lower number.
// The integer part is the floor of docs/architecture.md; decimals order
// neighbours of one floor. A pattern ending in /* holds for everything below.
var floors = map[string]float64{
	"vision":                      0,
	"vision/mask":                 0.1,
	"internal/buffer":             0,
	"internal/onnx/ir":            0,
	"internal/onnxpb":             0,
	"internal/safetensors":        0,
	"internal/kernels":            0.1,
	"internal/kernels/onednn":     0.2,
	"internal/ops":                1,
	"internal/onnx/eval":          1,
	"internal/cv":                 1,
	"internal/vm":                 1.1,
	"internal/onnx/fuse":          1.1,
	"internal/onnx/fuse/*":        1.2,
	"internal/onnx":               1.3,
	"vision/transform":            1.3,
	"vision/build":                2,
	"vit":                         3,
	"cnn":                         3,
	"lora":                        3,
	"datasets":                    3,
	"vision/head":                 3,
	"vision/loss":                 3,
	"vision/metric":               3,
	"vision/optim":                3,
	"vision/plot":                 3,
	"internal/ort":                3,
	"vision/report":               3.5,
	"internal/npy":                0.2,
	"internal/netpic":             3,
	"datasets/*":                  4,
	"vision/engine":               5,
	"cmd/*":                       6,
	"samples":                     6,
	"samples/*":                   6,
	"internal/house":              7,
	"internal/testdata":           0,
	"internal/onnx/onnxtest":      1.4,
	"internal/kernels/testkernel": 0.3,
	"internal/gradcheck":          2,
}

// helpers serve tests: only test files, and each other, may import them.
var helpers = map[string]bool{
	"internal/testdata":           true,
	"internal/onnx/onnxtest":      true,
	"internal/kernels/testkernel": true,
	"internal/gradcheck":          true,
}

func floor(pkg string) (float64, bool) {
	if f, ok := floors[pkg]; ok {
		return f, true
	}
	for dir := pkg; ; {
		i := strings.LastIndexByte(dir, '/')
		if i < 0 {
			return 0, false
		}
		dir = dir[:i]
		if f, ok := floors[dir+"/*"]; ok {
			return f, true
		}
	}
}

// violations returns what breaks the floors, one line each.
func violations(files []file) []string {
	seen := map[string]bool{}
	for _, f := range files {
		from, ok := floor(f.pkg)
		if !ok {
			seen[f.pkg+": has no floor; give it one in internal/house/floors_test.go"] = true
			continue
		}
		for _, imp := range f.imports {
			to, inside := strings.CutPrefix(imp, module+"/")
			if !inside {
				continue
			}
			above, ok := floor(to)
			switch {
			case f.test:
				// Tests may look down from anywhere, and sideways to compare.
			case helpers[to] && !helpers[f.pkg]:
				seen[f.path+": imports "+to+", which is for tests only"] = true
			case ok && above >= from:
				seen[f.path+": imports "+to+", which is not on a lower floor"] = true
			}
		}
	}
	out := make([]string, 0, len(seen))
	for v := range seen {
		out = append(out, v)
	}
	sort.Strings(out)
	return out
}

func TestFloors(t *testing.T) {
	files := repository(t)
	for _, v := range violations(files) {
		t.Error(v)
	}
	packages := map[string]bool{}
	for _, f := range files {
		packages[f.pkg] = true
	}
	if len(packages) < 10 {
		t.Errorf("only %d packages were found; the walk is broken", len(packages))
	}
}

// The check itself can fail.
func TestFloorsFindsViolations(t *testing.T) {
	got := violations([]file{
		{path: "vision/a.go", pkg: "vision", imports: []string{module + "/vit"}},
		{path: "vit/a.go", pkg: "vit", imports: []string{module + "/cnn", "fmt", module + "/vision"}},
		{path: "datasets/coco/a.go", pkg: "datasets/coco", imports: []string{module + "/datasets/voc", module + "/datasets"}},
		{path: "lora/a.go", pkg: "lora", imports: []string{module + "/internal/testdata"}},
		{path: "lora/a_test.go", pkg: "lora", test: true, imports: []string{module + "/internal/testdata", module + "/cnn"}},
		{path: "new/a.go", pkg: "new"},
	})
	want := []string{
		"datasets/coco/a.go: imports datasets/voc, which is not on a lower floor",
		"lora/a.go: imports internal/testdata, which is for tests only",
		"new: has no floor; give it one in internal/house/floors_test.go",
		"vision/a.go: imports vit, which is not on a lower floor",
		"vit/a.go: imports cnn, which is not on a lower floor",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
