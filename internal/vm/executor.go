package vm

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
	"gorgonia.org/gorgonia"
)

// Executor is a program bound to memory and kernels. It satisfies gorgonia.VM.
// It must be used on the thread that made it.
type Executor struct {
	program *Program
	arena   *buffer.Arena
	own     bool
	inputs  map[*ops.Node]*buffer.Buffer
	one     *buffer.Buffer
	early   []kernels.Run // before all others
	runs    []kernels.Run
	gave    time.Time // way, the last time
}

var _ gorgonia.VM = (*Executor)(nil)

// Binding is what an executor is bound to.
type Binding struct {
	Kernels kernels.Kernels
	// Inputs holds the memory of every leaf. It stays where it is; its contents
	// may change between runs unless it is marked frozen.
	Inputs map[*ops.Node]*buffer.Buffer
	// Arena holds the values; nil reserves a new one of just the right size.
	Arena *buffer.Arena
	// Collective joins the shards of a batch; nil means there is only one.
	Collective ops.Collective
}

// NewExecutor binds every operator of a program.
func NewExecutor(p *Program, b Binding) (*Executor, error) {
	e := &Executor{program: p, arena: b.Arena, inputs: b.Inputs}
	if e.arena == nil {
		a, err := buffer.NewArena(p.ArenaBytes)
		if err != nil {
			return nil, err
		}
		e.arena, e.own = a, true
	}
	if e.arena.Bytes() < p.ArenaBytes {
		return nil, fmt.Errorf("vm: an arena of %d bytes for a program that needs %d", e.arena.Bytes(), p.ArenaBytes)
	}
	if b.Collective == nil {
		b.Collective = ops.Alone{}
	}
	if p.graph.Storage() == buffer.F64 {
		e.one = buffer.Of([]float64{1})
	} else {
		e.one = buffer.Of([]float32{1})
	}
	for _, n := range p.Inputs {
		in := b.Inputs[n]
		if in == nil {
			return nil, fmt.Errorf("vm: no memory given for input %q", n.Name())
		}
		if in.Len() != length(n.Shape()) || in.Storage != p.Kind(n) {
			return nil, fmt.Errorf("vm: input %q is %v %v, the graph wants %v %v", n.Name(), in.Storage, in.Shape, p.Kind(n), n.Shape())
		}
	}
	for _, s := range p.steps {
		run, err := e.bind(s, b)
		if err != nil {
			return nil, fmt.Errorf("bind %s %v: %w", name(s), s.node.Shape(), err)
		}
		e.runs = append(e.runs, run)
	}
	return e, nil
}

func name(s *step) string {
	if s.op == nil {
		return "grad_sum"
	}
	return s.op.Name
}

// bind makes a step's run: that of its kernel alone where this finishes the results
// itself, else those of all that the step is made of.
func (e *Executor) bind(s *step, b Binding) (kernels.Run, error) {
	if s.op == nil {
		return b.Kernels.Binary(kernels.Binary{Func: kernels.Add, X: e.Value(s.in[0]), Z: e.Value(s.in[1]), Y: e.view(s.out, e.program.graph.Storage(), s.node.Shape())})
	}
	env := e.env(s, b)
	if len(s.then) == 0 {
		return e.bound(s, env)
	}
	env.Finish = &kernels.Finish{}
	var then []*ops.Env
	for _, t := range s.then {
		end := e.env(t, b)
		then = append(then, end)
		t.op.Finish.Set(env.Finish, end, slices.IndexFunc(end.In, func(in *buffer.Buffer) bool { return in.Pointer() == env.Out.Pointer() }))
	}
	run, err := e.bound(s, env)
	if err != nil || env.Finish.Taken {
		return run, err
	}
	runs := []kernels.Run{run}
	for i, t := range s.then {
		if run, err = e.bound(t, then[i]); err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return func() {
		for _, r := range runs {
			r()
		}
	}, nil
}

// bound binds a step's operator, and keeps what it has to do before all others.
func (e *Executor) bound(s *step, env *ops.Env) (kernels.Run, error) {
	run, err := s.op.Bind(env)
	e.early = append(e.early, env.BeforeAll()...)
	return run, err
}

// env is the memory of a step's operator.
func (e *Executor) env(s *step, b Binding) *ops.Env {
	float := e.program.graph.Storage()
	env := &ops.Env{K: b.Kernels, Accumulate: s.accumulate, Collective: b.Collective}
	for i, n := range s.in {
		if st := e.program.memoryOf(s, i); st == s.instead {
			env.In = append(env.In, e.view(st, float, n.Shape()))
			continue
		}
		env.In = append(env.In, e.Value(n))
	}
	env.Out = e.view(s.out, s.op.OutStorage(), s.node.Shape())
	for i, st := range s.slots {
		env.Slots = append(env.Slots, e.slot(s, i, st))
	}
	for _, r := range s.op.Reads {
		made := e.program.stepOf(r.Of)
		env.Reads = append(env.Reads, e.slot(made, r.Slot, made.slots[r.Slot]))
	}
	for i, st := range s.scratch {
		env.Scratch = append(env.Scratch, e.view(st, float, []int{s.op.Scratch[i]}))
	}
	return env
}

func (e *Executor) slot(s *step, i int, st *storage) *buffer.Buffer {
	if st.end < 0 {
		return nil
	}
	return e.view(st, s.op.SlotStorage(i), s.op.Slots[i].Shape)
}

func (p *Program) stepOf(n *ops.Node) *step {
	for _, s := range p.steps {
		if s.node == n {
			return s
		}
	}
	panic(fmt.Sprintf("vm: %v is not a step", n))
}

func (e *Executor) view(st *storage, kind buffer.Storage, shape []int) *buffer.Buffer {
	switch {
	case st.slope:
		return e.arena.At(st.offset, buffer.U8, shape...)
	case st.narrow && st.owned():
		return e.arena.At(st.offset, buffer.BF16, shape...)
	case st.one:
		return e.one.Reshape(shape...)
	case st.input != nil:
		in := e.inputs[st.input]
		if in.Dense() {
			return in.Reshape(shape...)
		}
		return in
	}
	return e.arena.At(st.offset, kind, shape...)
}

// Value is the memory of a node: an input, a root, or whatever else is still
// there after a run. The contents of anything but inputs and roots may have
// been overwritten.
func (e *Executor) Value(n *ops.Node) *buffer.Buffer {
	st := e.program.where[n]
	if st == nil {
		return nil
	}
	kind := e.program.graph.Kind(n)
	return e.view(st, kind, n.Shape())
}

// RunAll runs the program once. It allocates nothing. An error is one that an
// operator met in the data: an index out of range, computed by the model.
func (e *Executor) RunAll() (err error) {
	defer rescue(&err)
	for _, r := range e.early {
		r()
	}
	for _, r := range e.runs {
		r()
		e.giveWay()
	}
	return nil
}

// giveWay lets other goroutines run, at most every 5 ms. Go's monitor thread takes one
// that has run for 10 for a hog: from then on it wakes up every 20 µs and takes the
// processor from under each of its kernels, which costs a twentieth of all time.
func (e *Executor) giveWay() {
	const often = 5 * time.Millisecond
	if now := time.Now(); now.Sub(e.gave) > often {
		runtime.Gosched()
		e.gave = now
	}
}

// rescue turns [ops.Abort] into an error; other panics go on.
func rescue(err *error) {
	if r := recover(); r != nil {
		aborted, ok := ops.Aborted(r)
		if !ok {
			panic(r)
		}
		*err = aborted
	}
}

// Reset does nothing: a run starts at the first step.
func (e *Executor) Reset() {}

// Close frees the arena if the executor reserved it.
func (e *Executor) Close() error {
	if e.own {
		e.arena.Free()
	}
	e.early, e.runs = nil, nil
	return nil
}

// Profile is time and work per kind of operator.
type Profile struct {
	Name  string
	Calls int
	Time  time.Duration
	Flops float64
}

// RunProfiled runs the program once and adds the time of every step to prof,
// keyed by the kind of operator.
func (e *Executor) RunProfiled(prof map[string]*Profile) {
	for _, r := range e.early {
		r()
	}
	for i, r := range e.runs {
		t := time.Now()
		r()
		d := time.Since(t)
		e.giveWay()
		s := e.program.steps[i]
		p := prof[name(s)]
		if p == nil {
			p = &Profile{Name: name(s)}
			prof[name(s)] = p
		}
		p.Calls++
		p.Time += d
		p.Flops += s.flops()
	}
}
