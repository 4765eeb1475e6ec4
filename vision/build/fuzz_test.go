package build_test

import (
	"errors"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/build"
)

// importMemory bounds what going from bytes to a program may allocate, all in
// all, for the small files of the fuzzer.
const importMemory = 1 << 30

// seeds are small models of every kind that the importer treats differently.
func seeds(f *testing.F) [][]byte {
	var out [][]byte
	for _, c := range nodeCases {
		m, _, err := c.model()
		if err != nil {
			f.Fatal(err)
		}
		e, err := onnx.Edit(m)
		if err != nil {
			f.Fatal(err)
		}
		b, err := e.Bytes()
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, b)
	}
	weights := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i%5) - 2
		}
		return v
	}
	out = append(out,
		onnxtest.New(13).Input("x", ir.Float, -1, 3, 8, 8).Init("w", []int{4, 3, 3, 3}, weights(108)).Init("fc", []int{4, 2}, weights(8)).
			Node("Conv", ir.Attrs{"pads": []int64{1, 1, 1, 1}}, []string{"x", "w"}, []string{"c"}).Node("Relu", nil, []string{"c"}, []string{"r"}).
			Node("GlobalAveragePool", nil, []string{"r"}, []string{"g"}).Node("Flatten", nil, []string{"g"}, []string{"f"}).
			Node("MatMul", nil, []string{"f", "fc"}, []string{"y"}).Output("y", ir.Float, -1, 2).Bytes(),
		onnxtest.New(17).Input("x", ir.Float, 1, 4, 6).Init("g", []int{6}, weights(6)).Init("qkv", []int{6, 18}, weights(108)).
			Node("LayerNormalization", nil, []string{"x", "g", "g"}, []string{"n"}).Node("MatMul", nil, []string{"n", "qkv"}, []string{"q"}).
			InitInts("s", []int{5}, []int64{1, 4, 3, 2, 3}).Node("Reshape", nil, []string{"q", "s"}, []string{"p"}).
			Node("Transpose", ir.Attrs{"perm": []int64{2, 0, 3, 1, 4}}, []string{"p"}, []string{"t"}).
			Node("ReduceSum", nil, []string{"t"}, []string{"y"}).Output("y", ir.Float).Bytes(),
		onnxtest.New(17).Input("x", ir.Float, 2, 3).Node("NonZero", nil, []string{"x"}, []string{"n"}).
			Node("Transpose", nil, []string{"n"}, []string{"y"}).Output("y", ir.Int64, -1, 2).Bytes(),
		// A few bytes that ask for a great deal.
		onnxtest.New(17).Input("x", ir.Float, 1).InitInts("s", []int{4}, []int64{1 << 10, 1 << 10, 1 << 10, 1 << 10}).
			Node("Expand", nil, []string{"x", "s"}, []string{"y"}).Output("y", ir.Float, -1, -1, -1, -1).Bytes(),
		onnxtest.New(17).Input("x", ir.Float, 1).InitInts("s", []int{2}, []int64{1 << 14, 1 << 14}).Node("ConstantOfShape", nil, []string{"s"}, []string{"c"}).
			Node("Add", nil, []string{"x", "c"}, []string{"y"}).Output("y", ir.Float, -1, -1).Bytes(),
	)
	return out
}

// FuzzImport holds that no bytes make the way from a file to a program panic,
// hang or take more than bounded memory, and that a small program runs.
func FuzzImport(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		g, p, roots := program(t, data)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > importMemory {
			t.Fatalf("%d bytes allocated for a file of %d", used, len(data))
		}
		if p == nil || p.ArenaBytes > 4<<20 {
			return
		}
		size := 0
		for _, leaf := range p.Inputs {
			size += elementsOf(leaf)
		}
		if size > 1<<20 || work(g) > 1e7 {
			return
		}
		for _, leaf := range p.Inputs {
			if g.Memory[leaf] == nil {
				g.Memory[leaf] = buffer.New(g.Kind(leaf), ops.Shape(leaf)...)
			}
		}
		e, err := vm.NewExecutor(p, vm.Binding{Kernels: kernels.Go{}, Inputs: g.Memory})
		if err != nil {
			t.Fatalf("bind a program that was built: %v", err)
		}
		defer e.Close()
		if err := e.RunAll(); err != nil {
			return // an index out of range, say
		}
		for _, r := range roots {
			if e.Value(r) == nil {
				t.Fatal("an output has no memory")
			}
		}
	})
}

func elementsOf(n *ops.Node) int { return length(ops.Shape(n)) }

// work is an upper guess at what a run costs.
func work(g *build.Graph) float64 {
	total := 0.0
	for _, n := range g.IR.Nodes {
		for _, out := range n.Outputs {
			if t := g.IR.Types[out]; t.Static() {
				per := 1.0
				for _, in := range n.Inputs {
					if it := g.IR.Types[in]; it.Static() {
						per = math.Max(per, float64(it.Len()))
					}
				}
				total += float64(t.Len()) * per
			}
		}
	}
	return total
}

// program goes from bytes to a compiled program; nil where the bytes are
// refused.
func program(t *testing.T, data []byte) (*build.Graph, *vm.Program, []*ops.Node) {
	m, err := onnx.Parse(data, "")
	if err != nil {
		return nil, nil, nil
	}
	net := build.NewNet(func(n int) (*ir.Graph, error) { return m.Plan(onnx.PlanOptions{Batch: n, Height: 16, Width: 16}) })
	g, err := net.Build(build.Options{Batch: 1})
	if errors.Is(err, build.ErrInternal) {
		t.Fatal(err)
	}
	if err != nil {
		return nil, nil, nil
	}
	var roots []*ops.Node
	for _, o := range g.IR.Outputs {
		if v, err := g.Value(o.Name); err == nil {
			roots = append(roots, v)
		}
	}
	if roots == nil {
		return nil, nil, nil
	}
	p, err := vm.Compile(g.Graph, roots...)
	if err != nil {
		t.Fatalf("compile a graph that was built: %v", err)
	}
	return g, p, roots
}

// TestImportCostsMemoryOnce bounds the peak of going from a small hostile file
// to an error: the process may not grow by more than a few hundred megabytes.
func TestImportCostsMemoryOnce(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here to read the peak from")
	}
	before := peakMemory(t)
	data := onnxtest.New(17).Input("x", ir.Float, 1).InitInts("s", []int{3}, []int64{1 << 12, 1 << 12, 1 << 12}).Node("ConstantOfShape", nil, []string{"s"}, []string{"c"}).
		Node("Add", nil, []string{"x", "c"}, []string{"y"}).Output("y", ir.Float, -1, -1, -1).Bytes()
	if _, p, _ := program(t, data); p != nil {
		t.Error("a constant of 256 GB was planned")
	}
	if grown := peakMemory(t) - before; grown > 256<<20 {
		t.Errorf("the peak grew by %d MB for a file of %d bytes", grown>>20, len(data))
	}
}

// peakMemory is the largest resident size of the process so far, in bytes.
func peakMemory(t *testing.T) int {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatal("no VmHWM in /proc/self/status")
	return 0
}
