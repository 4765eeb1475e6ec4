package build

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
)

// Description is what a network costs, found by planning it, without running.
type Description struct {
	Batch int `json:"batch"`
	// GFLOPs is the work of one image forward, two per multiply-add.
	GFLOPs float64 `json:"gflops"`
	// InferBytes and TrainBytes are the memory of all values of a batch in one
	// shard: for inference, and for a training step with an adapter on every
	// site given. TrainBytes is 0 where Untrainable says why.
	InferBytes int `json:"infer_bytes"`
	TrainBytes int `json:"train_bytes,omitempty"`
	// StepGFLOPs is the work of one image in that training step.
	StepGFLOPs float64 `json:"step_gflops,omitempty"`
	// Untrainable is the error that training would end with.
	Untrainable string `json:"untrainable,omitempty"`
	// Host lists the nodes that run on the host evaluator and have no gradient;
	// Late those whose shapes depend on the data. Both as "name (operator)".
	Host []string `json:"host,omitempty"`
	Late []string `json:"late,omitempty"`
}

// SiteCost is what an adapter of some rank on a site costs.
type SiteCost struct {
	Rank   int `json:"rank"`
	Params int `json:"params"`
	// GFLOPs is the work that it adds to one image forward.
	GFLOPs float64 `json:"gflops"`
}

// CostOf is the cost of an adapter of rank r on a site of a planned graph. The
// rank is rounded up to a multiple of a convolution's groups.
//
//	A (r, in/g·k)   B (out, r/g)   work 2·(|A| + |B|) per output position
func CostOf(plan *ir.Graph, s Site, r int) SiteCost {
	groups, taps := max(s.Groups, 1), 1
	if s.Kind == KindConv {
		taps = s.Kernel[0] * s.Kernel[1]
	}
	r = (r + groups - 1) / groups * groups
	a, b := r*s.In/groups*taps, s.Out*r/groups
	c := SiteCost{Rank: r, Params: a + b}
	if d := plan.Types[s.Output].Dims; len(d) > 1 && s.Out > 0 {
		c.GFLOPs = 2 * float64(a+b) * float64(length(d[1:])/s.Out) / 1e9
	}
	return c
}

// Describe plans the network for a batch: inference as it stands, and training
// of adapters of rank r on the given sites up to one of the values in until
// (the model's outputs if there are none).
func (n *Net) Describe(batch, r int, sites []Site, until ...string) (*Description, error) {
	g, err := n.Build(Options{Batch: batch, Until: until})
	if err != nil {
		return nil, err
	}
	p, err := g.compile(until)
	if err != nil {
		return nil, err
	}
	d := &Description{Batch: batch, InferBytes: p.ArenaBytes, GFLOPs: p.Flops() / 1e9 / float64(batch)}
	for _, node := range g.Hosted {
		d.Host = append(d.Host, fmt.Sprintf("%s (%s)", nodeName(node), node.Op))
	}
	for _, node := range g.Tail {
		d.Late = append(d.Late, fmt.Sprintf("%s (%s)", nodeName(node), node.Op))
	}
	if err := n.describeTraining(d, r, sites, until); err != nil {
		d.Untrainable = err.Error()
	}
	return d, nil
}

// describeTraining plans a step on a network of its own, so that this one keeps
// its adapters.
func (n *Net) describeTraining(d *Description, r int, sites []Site, until []string) (err error) {
	defer ops.Recover(&err)
	t := NewNet(n.plan)
	t.derived = n.derived
	for _, s := range sites {
		groups := max(s.Groups, 1)
		k := (r + groups - 1) / groups * groups
		a, b := []int{k, s.In}, []int{s.Out, k}
		if s.Kind == KindConv {
			a, b = []int{k, s.In / groups, s.Kernel[0], s.Kernel[1]}, []int{s.Out, k / groups, 1, 1}
		}
		for part, dims := range map[string][]int{PartA: a, PartB: b} {
			if _, err := t.AddParam(AdapterParam(s.Path, part), make([]float32, length(dims)), true, dims...); err != nil {
				return err
			}
		}
		t.Adapt(&Adapter{Site: s, Rank: k, Scaling: 1})
	}
	g, err := t.Build(Options{Batch: d.Batch, Training: true, Until: until})
	if err != nil {
		return err
	}
	cost, err := g.total(until)
	if err != nil {
		return err
	}
	reached := g.reached(cost)
	var wrt gorgonia.Nodes
	for _, p := range t.Trainable() {
		if leaf := g.Leaves[p.Name]; leaf != nil && reached[leaf] {
			wrt = append(wrt, leaf)
		}
	}
	if !g.Needs(cost) || len(wrt) == 0 {
		return fmt.Errorf("no adapter site lies before the values %v", g.wanted(until))
	}
	grads, err := gorgonia.Grad(cost, wrt...)
	if err != nil {
		return err
	}
	p, err := vm.Compile(g.Graph, append([]*ops.Node{cost}, grads...)...)
	if err != nil {
		return err
	}
	d.TrainBytes, d.StepGFLOPs = p.ArenaBytes, p.Flops()/1e9/float64(d.Batch)
	return nil
}

// reached are the nodes that a gradient of cost flows to. An adapter whose
// layer only decides indices (which of many tokens are kept) is not there.
func (g *Graph) reached(cost *ops.Node) map[*ops.Node]bool {
	seen := map[*ops.Node]bool{}
	stack := []*ops.Node{cost}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[n] || !g.Needs(n) {
			continue
		}
		seen[n] = true
		if op := ops.OpOf(n); op != nil {
			for i, needs := range op.DiffWRT(len(op.In)) {
				if needs {
					stack = append(stack, op.In[i])
				}
			}
		}
	}
	return seen
}

func (g *Graph) wanted(until []string) []string {
	if len(until) > 0 {
		return until
	}
	var names []string
	for _, o := range g.IR.Outputs {
		names = append(names, o.Name)
	}
	return names
}

// compile plans the program of the wanted values, those of the tail left out.
func (g *Graph) compile(until []string) (p *vm.Program, err error) {
	defer ops.Recover(&err)
	var roots []*ops.Node
	for _, name := range g.wanted(until) {
		if !g.late[name] {
			roots = append(roots, g.val(name).node)
		}
	}
	return vm.Compile(g.Graph, roots...)
}

// total is a scalar that depends on all wanted float values: a stand-in for a
// loss, planned and never run.
func (g *Graph) total(until []string) (*ops.Node, error) {
	var in []*ops.Node
	var diff []bool
	for _, name := range g.wanted(until) {
		if g.late[name] {
			continue
		}
		if v := g.val(name); g.Kind(v.node) != buffer.I64 {
			in, diff = append(in, v.node), append(diff, true)
		}
	}
	if in == nil {
		return nil, fmt.Errorf("the shapes of all outputs depend on the data")
	}
	return g.Apply(ops.Spec{
		Name: "total", In: in, Out: []int{}, Diff: diff, Bind: neverRun,
		Grad: func(in []*ops.Node, _, dy *ops.Node) []*ops.Node {
			var gs []*ops.Node
			for _, x := range in {
				var d *ops.Node
				if g.Needs(x) {
					d = g.Apply(ops.Spec{Name: "total.dx", In: []*ops.Node{dy}, Out: slices.Clone(ops.Shape(x)), Bind: neverRun})
				}
				gs = append(gs, d)
			}
			return gs
		},
	}), nil
}

func neverRun(*ops.Env) (kernels.Run, error) {
	return nil, fmt.Errorf("build: a description is not a program")
}
