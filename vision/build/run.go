package build

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
)

// Runner runs a graph on tensors as the file has them: its own names, layouts
// and element types. What the graph could not take in because its shape depends
// on the data runs on the host evaluator afterwards.
//
// It must be used on the thread that made it.
type Runner struct {
	g       *Graph
	want    []string
	exec    *vm.Executor
	roots   map[string]*ops.Node
	program *vm.Program
}

// NewRunner compiles a graph that was built for inference, to compute the named
// values, or the model's outputs when there are none.
func NewRunner(g *Graph, k kernels.Kernels, want ...string) (r *Runner, err error) {
	defer ops.Recover(&err)
	if want == nil {
		for _, o := range g.IR.Outputs {
			want = append(want, o.Name)
		}
	}
	for _, n := range g.Tail {
		if !eval.Supported(n.Op, n.Domain, g.IR.Opset) {
			return nil, fmt.Errorf("build: node %s (%s) has a shape that depends on the data, and only the fast path knows it: plan the model unfused", nodeName(n), n.Op)
		}
	}
	r = &Runner{g: g, want: want, roots: map[string]*ops.Node{}}
	var nodes []*ops.Node
	for _, name := range r.reads() {
		r.roots[name] = g.nat(g.val(name))
		nodes = append(nodes, r.roots[name])
	}
	for _, leaf := range g.Inputs {
		g.Memory[leaf] = buffer.New(g.Kind(leaf), ops.Shape(leaf)...)
	}
	if nodes == nil { // all outputs are constants
		return r, nil
	}
	if r.program, err = vm.Compile(g.Graph, nodes...); err != nil {
		return nil, err
	}
	r.exec, err = vm.NewExecutor(r.program, vm.Binding{Kernels: k, Inputs: g.Memory})
	return r, err
}

// reads lists the values that the program has to make: the wanted ones and
// those that the tail reads, without constants.
func (r *Runner) reads() []string {
	var names []string
	add := func(name string) {
		if name != "" && r.g.IR.Tensors[name] == nil && !r.g.late[name] && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range r.want {
		add(name)
	}
	for _, n := range r.g.Tail {
		for _, name := range n.Inputs {
			add(name)
		}
	}
	return names
}

// Run computes the outputs for the given inputs.
func (r *Runner) Run(in map[string]*ir.Tensor) (map[string]*ir.Tensor, error) {
	values := map[string]*ir.Tensor{}
	for name := range r.g.Inputs {
		if err := r.g.Load(name, in[name]); err != nil {
			return nil, err
		}
	}
	if r.exec != nil {
		if err := r.exec.RunAll(); err != nil {
			return nil, err
		}
		for name, node := range r.roots {
			values[name] = toTensor(name, r.exec.Value(node), r.g.IR.Types[name])
		}
	}
	for name, t := range r.g.IR.Tensors {
		values[name] = t
	}
	for _, n := range r.g.Tail {
		args := make([]*ir.Tensor, len(n.Inputs))
		for i, name := range n.Inputs {
			args[i] = values[name]
		}
		outs, err := eval.Eval(n, r.g.IR.Opset, args)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", nodeName(n), err)
		}
		for i, name := range n.Outputs {
			if name != "" {
				values[name] = outs[i]
			}
		}
	}
	out := map[string]*ir.Tensor{}
	for _, name := range r.want {
		if out[name] = values[name]; out[name] == nil {
			return nil, fmt.Errorf("the model has no value %q", name)
		}
	}
	return out, nil
}

// Close frees the memory of the program.
func (r *Runner) Close() {
	if r.exec != nil {
		r.exec.Close()
	}
}

// Load copies a tensor, as the file has it, into the memory of an input.
func (g *Graph) Load(name string, t *ir.Tensor) error {
	v := g.vals[name]
	if t == nil || !slices.Equal(atLeastOne(t.Dims), atLeastOne(v.dims)) {
		return fmt.Errorf("input %q: the network was planned for shape %v, given %v", name, v.dims, dimsOf(t))
	}
	fromTensor(g.Memory[g.Inputs[name]], permuted(t, v.perm))
	return nil
}

func dimsOf(t *ir.Tensor) any {
	if t == nil {
		return "nothing"
	}
	return t.Dims
}

// permuted moves a tensor's elements into memory order perm.
func permuted(t *ir.Tensor, perm []int) *ir.Tensor {
	if slices.Equal(perm, identity(len(perm))) || len(t.Dims) != len(perm) {
		return t
	}
	st := ops.Strides(t.Dims)
	dims, step := make([]int, len(perm)), make([]int, len(perm))
	for j, p := range perm {
		dims[j], step[j] = t.Dims[p], st[p]
	}
	size := t.DType.Size()
	out := &ir.Tensor{Name: t.Name, DType: t.DType, Dims: dims, Raw: make([]byte, len(t.Raw))}
	at := make([]int, len(dims))
	for i := range t.Len() {
		src := 0
		for j, k := range at {
			src += k * step[j]
		}
		copy(out.Raw[i*size:(i+1)*size], t.Raw[src*size:])
		for j := len(at) - 1; j >= 0; j-- {
			if at[j]++; at[j] < dims[j] {
				break
			}
			at[j] = 0
		}
	}
	return out
}
