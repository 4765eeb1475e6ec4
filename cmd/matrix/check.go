package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gorgonia.org/gorgonia"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/onednn"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/engine"
	"github.com/vislora/vislora/vision/loss"
	"github.com/vislora/vislora/vision/optim"
)

type kernelSet = kernels.Kernels

func bestKernels() (kernelSet, func(), error) {
	if !onednn.Available() {
		return kernels.Go{}, func() {}, nil
	}
	k, err := onednn.New()
	if err != nil {
		return nil, nil, err
	}
	return k, func() { k.Close() }, nil
}

const (
	forwardTolerance = 1e-4 // of the output's range
	mergeTolerance   = 1e-4
	trainSteps       = 4
	trainRate        = 3e-4
)

// pair is the exporter's reference of one model.
type pair struct {
	Input, Output struct {
		Name string
		Dims []int
		File string
	}
}

// check runs one exported model.
func (r *row) check(dir string, e export, k kernelSet) {
	c := cell{}
	defer func() { r.forward[e] = c }()
	var refs map[string]json.RawMessage
	var p pair
	raw, err := os.ReadFile(filepath.Join(dir, "ref.json"))
	if err == nil {
		err = json.Unmarshal(raw, &refs)
	}
	if err == nil {
		err = json.Unmarshal(refs[r.name], &p)
	}
	if err != nil {
		c.err = err
		return
	}
	x, err := readTensor(filepath.Join(dir, p.Input.File), p.Input.Dims)
	if err != nil {
		c.err = err
		return
	}
	want, err := readTensor(filepath.Join(dir, p.Output.File), p.Output.Dims)
	if err != nil {
		c.err = err
		return
	}
	n, err := engine.OpenNetwork(filepath.Join(dir, r.name+".onnx"), engine.NetworkOptions{})
	if err != nil {
		c.err = err
		return
	}
	defer n.Close()
	got, err := predict(n, k, x)
	if err != nil {
		c.err = err
		return
	}
	if c.diff = rangeError(got, want); !(c.diff <= forwardTolerance) {
		c.err = fmt.Errorf("forward is off by %.2g of the range", c.diff)
	}
	if !e.dynamic && c.err == nil { // another batch than the file's
		if got, err = predict(n, k, first(x)); err != nil {
			c.err = err
			return
		}
		one := rangeError(got, first(want))
		if c.diff = max(c.diff, one); !(one <= forwardTolerance) {
			c.err = fmt.Errorf("forward of one picture is off by %.2g of the range", one)
		}
	}
	if e.full && c.err == nil {
		r.arch, r.sites = n.Annotation.Arch, len(n.Annotation.Sites)
		r.examples, r.named = examples(n.Annotation.Sites)
		r.trainErr = r.train(n, k, x)
		if r.trainErr == nil {
			r.mergeErr = r.merge(n, k, x, dir)
		}
	}
}

func readTensor(path string, dims []int) (*ir.Tensor, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &ir.Tensor{DType: ir.Float, Dims: dims, Raw: b}
	if len(b) != 4*t.Len() {
		return nil, fmt.Errorf("%s has %d bytes for shape %v", filepath.Base(path), len(b), dims)
	}
	return t, nil
}

// first is the first picture, or the outputs of it.
func first(t *ir.Tensor) *ir.Tensor {
	dims := append([]int{1}, t.Dims[1:]...)
	return &ir.Tensor{DType: t.DType, Dims: dims, Raw: t.Raw[:len(t.Raw)/t.Dims[0]]}
}

// predict runs the network as it stands, adapter included.
func predict(n *engine.Network, k kernelSet, x *ir.Tensor) (*ir.Tensor, error) {
	g, err := n.Net.Build(build.Options{Batch: x.Dims[0]})
	if err != nil {
		return nil, err
	}
	run, err := build.NewRunner(g, k)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	out, err := run.Run(map[string]*ir.Tensor{n.Picture.Name: x})
	if err != nil {
		return nil, err
	}
	return out[g.IR.Outputs[0].Name], nil
}

// rangeError is the largest difference relative to want's largest value.
func rangeError(got, want *ir.Tensor) float64 {
	if got.Len() != want.Len() {
		return math.Inf(1)
	}
	big, diff := 0.0, 0.0
	for i := range want.Len() {
		g, w := got.Float(i), want.Float(i)
		if math.IsNaN(g) {
			return math.Inf(1)
		}
		big, diff = max(big, math.Abs(w)), max(diff, math.Abs(g-w))
	}
	return diff / max(big, 1e-30)
}

// examples are the first site, one from the middle and the last, and how many
// have a name out of the model's own modules.
func examples(sites []build.Site) (text string, named int) {
	for _, s := range sites {
		if s.Path != "" && !strings.ContainsAny(s.Path, "/:") && (s.Path[0] < '0' || s.Path[0] > '9') {
			named++
		}
	}
	if len(sites) == 0 {
		return "", 0
	}
	var list []string
	for _, i := range []int{0, len(sites) / 2, len(sites) - 1} {
		if p := "`" + sites[i].Path + "`"; len(list) == 0 || list[len(list)-1] != p {
			list = append(list, p)
		}
	}
	return strings.Join(list, " "), named
}

// train puts an adapter of rank 8 on every site, takes a few steps of AdamW on
// the reference pictures, and asks that the loss falls.
func (r *row) train(n *engine.Network, k kernelSet, x *ir.Tensor) (err error) {
	defer ops.Recover(&err)
	c := lora.DefaultConfig()
	c.TargetModules = lora.ParseModules("all")
	if err := n.AddAdapter(c, 1); err != nil {
		return err
	}
	r.adapted, r.trainable = len(n.Plan.Sites), n.Net.Count()
	batch := x.Dims[0]
	g, err := n.Net.Build(build.Options{Batch: batch, Training: true})
	if err != nil {
		return err
	}
	y, err := g.Value(g.IR.Outputs[0].Name)
	if err != nil {
		return err
	}
	labels := g.Input("labels", buffer.I64, false, batch)
	l := loss.CrossEntropy(g.Graph, y, labels, loss.CrossEntropyConfig{})
	var wrt gorgonia.Nodes
	var params []optim.Param
	var memory [][]float32
	for _, p := range n.Net.Trainable() {
		if leaf := g.Leaves[p.Name]; leaf != nil {
			wrt = append(wrt, leaf)
			grad := make([]float32, len(p.Data()))
			memory = append(memory, grad)
			params = append(params, optim.Param{Name: p.Name, Value: p.Data(), Grad: grad})
		}
	}
	if len(wrt) != len(n.Net.Trainable()) {
		return fmt.Errorf("%d of %d adapter tensors do not reach the loss", len(n.Net.Trainable())-len(wrt), len(n.Net.Trainable()))
	}
	grads, err := gorgonia.Grad(l, wrt...)
	if err != nil {
		return err
	}
	p, err := vm.Compile(g.Graph, append([]*ops.Node{l}, grads...)...)
	if err != nil {
		return err
	}
	for _, leaf := range p.Inputs {
		if g.Memory[leaf] == nil {
			g.Memory[leaf] = buffer.New(g.Kind(leaf), ops.Shape(leaf)...)
		}
	}
	if err := g.Load(n.Picture.Name, x); err != nil {
		return err
	}
	for i := range batch {
		g.Memory[labels].I64()[i] = int64((i + 3) % ops.Shape(y)[1])
	}
	exec, err := vm.NewExecutor(p, vm.Binding{Kernels: k, Inputs: g.Memory})
	if err != nil {
		return err
	}
	defer exec.Close()
	opt, err := optim.NewAdamW(params, optim.DefaultAdamW())
	if err != nil {
		return err
	}
	for range trainSteps {
		if err := exec.RunAll(); err != nil {
			return err
		}
		r.losses = append(r.losses, float64(exec.Value(l).F32()[0]))
		for i, gr := range grads {
			copy(memory[i], exec.Value(gr).F32())
		}
		opt.Step(trainRate)
	}
	first, last := r.losses[0], r.losses[len(r.losses)-1]
	if !(last < first) {
		return fmt.Errorf("the loss does not fall: %.4f to %.4f in %d steps", first, last, trainSteps)
	}
	return nil
}

// merge writes the merged file and compares ONNX Runtime's outputs of it with
// those of the adapted network.
func (r *row) merge(n *engine.Network, k kernelSet, x *ir.Tensor, dir string) error {
	adapted, err := predict(n, k, x)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "merged.onnx")
	if _, err := n.WriteMerged(path, nil); err != nil {
		return err
	}
	s, err := ort.Open(path)
	if errors.Is(err, ort.ErrUnavailable) {
		r.noRuntime = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	out, err := s.Run(map[string]*ir.Tensor{n.Picture.Name: x})
	if err != nil {
		return err
	}
	r.mergeDiff = rangeError(out[s.Outputs()[0].Name], adapted)
	if !(r.mergeDiff <= mergeTolerance) {
		return fmt.Errorf("ONNX Runtime's outputs of the merged file are off by %.2g of the range", r.mergeDiff)
	}
	return nil
}
