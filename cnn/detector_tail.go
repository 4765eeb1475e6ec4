package cnn

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// tail is what a file computes of its head's predictions, ready to run on numbers
// of one's own.
type tail struct {
	run    *build.Runner
	maps   []ir.Value // every level's Class and, unless it holds all, Box
	output ir.Value
}

// mostWork limits what a tail computes: values for each that it reads. Decoding
// takes about 20.
const mostWork = 100

// tail cuts the graph between a head's predictions and an output. It is nil where
// the output depends on anything else, or on far more values than it reads.
func (n *network) tail(d *build.Detector, output string) *tail {
	g := n.flow.Graph
	t := &tail{output: ir.Value{Name: output, Type: g.Types[output]}}
	cut, left := map[string]bool{}, 0
	for _, l := range d.Levels {
		for _, v := range []string{l.Class, l.Box} {
			if v != "" {
				t.maps = append(t.maps, ir.Value{Name: v, Type: g.Types[v]})
				cut[v] = true
				left += mostWork * g.Types[v].Len()
			}
		}
	}
	behind := map[*ir.Node]bool{}
	stack := []string{output}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		node := n.flow.Producer(v)
		if v == "" || cut[v] || g.Tensors[v] != nil || behind[node] {
			continue
		}
		typ := g.Types[v]
		if node == nil || !typ.Static() {
			return nil
		}
		if left -= typ.Len(); left < 0 {
			return nil
		}
		behind[node] = true
		stack = append(stack, node.Inputs...)
	}
	part := &ir.Graph{Opset: g.Opset, Inputs: t.maps, Outputs: []ir.Value{t.output}, Tensors: g.Tensors, Types: g.Types}
	for _, node := range g.Nodes {
		if behind[node] {
			part.Nodes = append(part.Nodes, node)
		}
	}
	built, err := build.NewNet(func(int) (*ir.Graph, error) { return part, nil }).Build(build.Options{Batch: t.output.Type.Dims[0]})
	if err != nil {
		return nil
	}
	if t.run, err = build.NewRunner(built, kernels.Go{}); err != nil {
		return nil
	}
	return t
}

// on runs the tail on numbers that draw gives. raw are those, by map, and out is
// what it makes of them.
func (t *tail) on(draw func() float32) (raw [][]float32, out []float32, err error) {
	in := map[string]*ir.Tensor{}
	for _, m := range t.maps {
		values := make([]float32, m.Type.Len())
		for i := range values {
			values[i] = draw()
		}
		raw = append(raw, values)
		in[m.Name] = ir.FromFloat32s(m.Name, values, m.Type.Dims...)
	}
	outs, err := t.run.Run(in)
	if err != nil {
		return nil, nil, err
	}
	return raw, outs[t.output.Name].Float32s(), nil
}

// gives reports whether the tail makes, of random predictions for the first
// image, what is expected: rows of numbers, which may stand in columns.
func (t *tail) gives(expected func(raw [][]float32) [][]float64) bool {
	rng := rand.New(rand.NewPCG(1, 1))
	raw, out, err := t.on(func() float32 { return float32(2 * rng.NormFloat64()) })
	if err != nil {
		return false
	}
	rows := expected(raw)
	height, width := len(rows), len(rows[0])
	same := func(row, column int) bool {
		for i, r := range rows {
			for j, want := range r {
				// Exports of half precision round anchors and strides.
				if got := float64(out[i*row+j*column]); !(math.Abs(got-want) <= 1e-3*max(1, math.Abs(want))) {
					return false
				}
			}
		}
		return true
	}
	dims := t.output.Type.Dims[1:]
	return slices.Equal(dims, []int{height, width}) && same(width, 1) || slices.Equal(dims, []int{width, height}) && same(1, height)
}
