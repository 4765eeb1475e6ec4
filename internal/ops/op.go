// Package ops holds vislora's gorgonia operators: fully typed and shaped,
// working on typed buffers, with gradients built by gorgonia.Grad.
//
// gorgonia's own vision operators are not used (several are wrong or missing,
// the rest are slow); only the Add nodes and the unit seed that Grad itself
// inserts are, and the executor (package vm) lowers those.
package ops

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"slices"
	"sync/atomic"

	"github.com/chewxy/hm"
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Node is a node of the expression graph.
type Node = gorgonia.Node

// Spec is everything about one operator; it is fixed when the graph is built.
type Spec struct {
	// Name is the kind of operator, for people and profiles: "linear", "conv.dx".
	Name string
	In   []*Node
	// Out is the shape of the primary output. Kind is its storage when it is
	// not the graph's float type: I64 or U8.
	Out  []int
	Kind buffer.Storage
	// Diff tells which inputs have a gradient; nil means none.
	Diff []bool
	// Slots are saved outputs beside the primary one. They live until the last
	// operator that reads them; a slot nobody reads is nil at Bind.
	Slots []Slot
	// Reads are the slots of other operators that this one needs.
	Reads []Read
	// Scratch is memory for the time of the operator alone, in elements of the
	// graph's float type.
	Scratch []int
	// InPlace lists inputs whose memory the output may take over when nobody
	// reads them later. The shapes must have equally many elements.
	InPlace []int
	// Alias makes the output a view of input 0's memory under another shape,
	// or, when Reads is not empty, of the slot read. Nothing is executed.
	Alias bool
	// Accumulates says that Bind honours Env.Accumulate.
	Accumulates bool
	// Narrow says which operands may lie in memory as bf16.
	Narrow Narrow
	// Finishes says that Bind offers Env.Finish to its kernel.
	Finishes bool
	// Finish is nil unless the operator can be the end of a product.
	Finish *Finish
	// Rows makes the operator for one place of an axis; nil where it cannot be.
	Rows Rows
	// Layer is what a linear layer multiplies; nil for other operators.
	Layer *Layer
	// Once says that a step runs the operator no more than once: it meets the
	// other shards.
	Once bool
	// Flops is the number of multiply-adds times two, for profiles.
	Flops float64
	Bind  func(*Env) (kernels.Run, error)
	// Grad returns, per input, the gradient node or nil. Only inputs that need
	// one (see [Graph.Needs]) may be given one, and those must be.
	Grad func(in []*Node, out, grad *Node) []*Node
}

// Narrow lists the operands of an operator that may be bf16 in memory, each for
// itself: inputs, slots and reads by number.
type Narrow struct {
	In, Slots, Reads []int
	Out              bool
	Instead          *Instead
}

// Instead names an input that may not be bf16 and a slot of the operator that
// Reads[0] is of: made in bf16, the slot is read in the place of the input.
type Instead struct{ In, Slot int }

// Finish describes an elementwise operator that works in place on the results of a
// product, as a part of that product. Stage is its place among others.
type Finish struct {
	Stage int
	// Set writes into f what the operator, bound to e, does to its input of.
	Set func(f *kernels.Finish, e *Env, of int)
}

// The stages of [kernels.Finish].
const (
	stageAdd = iota
	stageRelu
	stageMask
)

// Slot is a saved output: its shape, and its storage when not the float type.
// Bytes says that where it may be bf16 it may be bytes too, for slopes.
type Slot struct {
	Shape []int
	Kind  buffer.Storage
	Bytes bool
}

// Read names a slot of the operator that made Of.
type Read struct {
	Of   *Node
	Slot int
}

// Env is what an operator is bound to: memory that stays where it is for the
// life of an executor.
type Env struct {
	K          kernels.Kernels
	In         []*buffer.Buffer
	Out        *buffer.Buffer
	Slots      []*buffer.Buffer
	Reads      []*buffer.Buffer
	Scratch    []*buffer.Buffer
	Accumulate bool
	Finish     *kernels.Finish
	Collective Collective
	early      []kernels.Run
}

// Early has f run before the first operator: what needs leaves alone and meets the
// other shards, which are then at the same place and need not be waited for.
func (e *Env) Early(f kernels.Run) { e.early = append(e.early, f) }

// BeforeAll is what was given to [Env.Early].
func (e *Env) BeforeAll() []kernels.Run { return e.early }

// Collective is what an operator that needs the whole batch meets the other
// shards through. Sum adds v over all shards in rank order and leaves the same
// total in every shard's v; every shard must call it equally often with equal
// lengths. Size is the number of shards.
type Collective interface {
	Sum(v []float64)
	Size() int
}

// Alone is the collective of a single shard.
type Alone struct{}

// Sum leaves v as it is.
func (Alone) Sum([]float64) {}

// Size is 1.
func (Alone) Size() int { return 1 }

// Op implements gorgonia.Op and gorgonia.SDOp for a [Spec].
type Op struct {
	Spec
	id     uint64
	g      *Graph
	needs  []bool // per input: differentiable and wanted
	shapes []tensor.Shape
	saved  []*buffer.Buffer // slots of the last Do, for gorgonia's own machines
}

var ids atomic.Uint64

// Arity is the number of inputs.
func (o *Op) Arity() int { return len(o.shapes) }

// Type is a concrete function type: gorgonia infers nothing.
func (o *Op) Type() hm.Type {
	ts := make([]hm.Type, 0, len(o.shapes)+1)
	for _, s := range o.shapes {
		ts = append(ts, typeOf(s, o.g.Dtype))
	}
	return hm.NewFnType(append(ts, typeOf(o.Out, o.g.Dtype))...)
}

func typeOf(s tensor.Shape, dt tensor.Dtype) hm.Type {
	if s.Dims() == 0 {
		return dt
	}
	return gorgonia.TensorType{Dims: s.Dims(), Of: dt}
}

// InferShape returns the fixed output shape.
func (o *Op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return tensor.Shape(slices.Clone(o.Out)), nil
}

// ReturnsPtr is true: values are tensors.
func (o *Op) ReturnsPtr() bool { return true }

// CallsExtern is false: no value lives on another device.
func (o *Op) CallsExtern() bool { return false }

// OverwritesInput is −1: gorgonia's machines must not reuse an input's memory.
func (o *Op) OverwritesInput() int { return -1 }

// WriteHash writes the operator's unique id: gorgonia returns the first of two
// nodes whose hashes and children agree, and no two operators are the same.
func (o *Op) WriteHash(h hash.Hash) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], o.id)
	h.Write([]byte(o.Name))
	h.Write(b[:])
}

// Hashcode folds WriteHash.
func (o *Op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

func (o *Op) String() string { return o.Name }

// DiffWRT tells gorgonia which inputs to differentiate: those that have a
// gradient and lie behind something that trains.
func (o *Op) DiffWRT(int) []bool { return o.needs }

// SymDiff builds the gradient nodes.
func (o *Op) SymDiff(in gorgonia.Nodes, out, grad *Node) (grads gorgonia.Nodes, err error) {
	defer Recover(&err)
	gs := o.Grad(in, out, grad)
	for i, need := range o.needs {
		if need && gs[i] == nil {
			return nil, fmt.Errorf("ops: %s gives no gradient for input %d", o.Name, i)
		}
		if !need {
			gs[i] = nil
		}
	}
	return gs, nil
}

// Do runs the operator on freshly allocated memory with the portable kernels.
// Only gorgonia's own machines call it: they are the oracle in tests.
func (o *Op) Do(vs ...gorgonia.Value) (gorgonia.Value, error) {
	e := &Env{K: kernels.Go{}, Collective: Alone{}}
	for i, v := range vs {
		b, err := fromValue(v, o.shapes[i], o.g.Storage())
		if err != nil {
			return nil, fmt.Errorf("%s: input %d: %w", o.Name, i, err)
		}
		if o.g.Kind(o.In[i]) != o.g.Storage() {
			b = toIntegers(b)
		}
		e.In = append(e.In, b)
	}
	for _, r := range o.Reads {
		e.Reads = append(e.Reads, OpOf(r.Of).saved[r.Slot])
	}
	if o.Alias {
		src := append(slices.Clone(e.Reads), e.In...)[0]
		return toValue(src.Reshape(o.Out...), o.g.Dtype), nil
	}
	e.Out = buffer.New(o.OutStorage(), o.Out...)
	for _, s := range o.Slots {
		e.Slots = append(e.Slots, buffer.New(o.g.storageOf(s.Kind), s.Shape...))
	}
	for _, n := range o.Scratch {
		e.Scratch = append(e.Scratch, buffer.New(o.g.Storage(), n))
	}
	run, err := o.Bind(e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	for _, f := range e.BeforeAll() {
		f()
	}
	run()
	o.saved = e.Slots
	return toValue(e.Out, o.g.Dtype), nil
}

// OutStorage is the storage of the primary output.
func (o *Op) OutStorage() buffer.Storage { return o.g.storageOf(o.Kind) }

// SlotStorage is the storage of slot i.
func (o *Op) SlotStorage(i int) buffer.Storage { return o.g.storageOf(o.Slots[i].Kind) }

// FloatStorage is the storage of the graph's floats, scratch included.
func (o *Op) FloatStorage() buffer.Storage { return o.g.Storage() }

// OpOf returns a node's operator, nil for leaves and gorgonia's own.
func OpOf(n *Node) *Op {
	o, _ := n.Op().(*Op)
	return o
}

func fromValue(v gorgonia.Value, shape []int, s buffer.Storage) (*buffer.Buffer, error) {
	switch t := v.(type) {
	case *tensor.Dense:
		if s == buffer.F64 {
			return buffer.Of(t.Data().([]float64), shape...), nil
		}
		return buffer.Of(t.Data().([]float32), shape...), nil
	case *gorgonia.F32:
		return buffer.Of([]float32{float32(*t)}, shape...), nil
	case *gorgonia.F64:
		return buffer.Of([]float64{float64(*t)}, shape...), nil
	}
	return nil, fmt.Errorf("a value of type %T", v)
}

func toIntegers(b *buffer.Buffer) *buffer.Buffer {
	out := buffer.New(buffer.I64, b.Shape...)
	for i := range out.I64() {
		if b.Storage == buffer.F64 {
			out.I64()[i] = int64(b.F64()[i])
		} else {
			out.I64()[i] = int64(b.F32()[i])
		}
	}
	return out
}

func toValue(b *buffer.Buffer, dt tensor.Dtype) gorgonia.Value {
	if len(b.Shape) == 0 {
		if dt == tensor.Float64 {
			return gorgonia.NewF64(b.F64()[0])
		}
		return gorgonia.NewF32(b.F32()[0])
	}
	if dt == tensor.Float64 {
		return tensor.New(tensor.WithShape(b.Shape...), tensor.WithBacking(b.F64()))
	}
	return tensor.New(tensor.WithShape(b.Shape...), tensor.WithBacking(b.F32()))
}
