package vm

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// Team is a set of goroutines, each locked to its own OS thread for life.
// Native kernels keep per-thread state, and OpenMP would start a pool per
// thread that meets it, so everything that touches kernels runs here.
type Team struct {
	jobs []chan func(rank int) error
	errs []error
	done sync.WaitGroup
}

var processors sync.Mutex

// moreProcessors changes how many goroutines Go runs at once.
func moreProcessors(n int) {
	processors.Lock()
	defer processors.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}

// NewTeam starts n threads, in addition to as many goroutines as Go runs without them:
// they are in native code, and a goroutine that reads pictures would have to wait until
// one of them gives way. What runs when is left to the system. lock is called first on
// each of them (nil means runtime.LockOSThread); it has to lock the goroutine to its
// thread.
func NewTeam(n int, lock func()) *Team {
	if lock == nil {
		lock = runtime.LockOSThread
	}
	t := &Team{errs: make([]error, n)}
	moreProcessors(n)
	for rank := range n {
		ch := make(chan func(int) error)
		t.jobs = append(t.jobs, ch)
		go func() {
			lock()
			for f := range ch {
				t.errs[rank] = guard(f, rank)
				t.done.Done()
			}
		}()
	}
	return t
}

// errElsewhere is what a shard ends with that waits for one that has failed.
var errElsewhere = errors.New("another thread failed")

// guard turns a panic (a broken invariant inside a kernel) into an error, so
// that the caller can save what there is before it gives up.
func guard(f func(int) error, rank int) (err error) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case errElsewhere:
			err = errElsewhere
		default:
			err = fmt.Errorf("thread %d: %v\n%s", rank, r, debug.Stack())
		}
	}()
	return f(rank)
}

// Size is the number of threads.
func (t *Team) Size() int { return len(t.jobs) }

// Do runs f on the first n threads at once and waits for all of them.
func (t *Team) Do(n int, f func(rank int) error) error {
	t.done.Add(n)
	for rank := range n {
		t.jobs[rank] <- f
	}
	t.done.Wait()
	var own []error
	var elsewhere error
	for _, err := range t.errs[:n] {
		switch err {
		case nil:
		case errElsewhere:
			elsewhere = err
		default:
			own = append(own, err)
		}
	}
	if len(own) == 0 {
		return elsewhere
	}
	return errors.Join(own...)
}

// Close ends the threads.
func (t *Team) Close() {
	moreProcessors(-len(t.jobs))
	for _, ch := range t.jobs {
		close(ch)
	}
}

// Group joins the shards of one batch: an all-reduce with a fixed order of
// summation, so that the same shards give the same bytes.
type Group struct {
	mu      sync.Mutex
	wake    *sync.Cond
	parts   [][]float64
	arrived int
	turn    int
	broken  bool // a shard does not come any more
}

// NewGroup makes a group of n shards.
func NewGroup(n int) *Group {
	g := &Group{parts: make([][]float64, n)}
	g.wake = sync.NewCond(&g.mu)
	return g
}

// Begin makes the group ready for the next run, while none is in it.
func (g *Group) Begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.arrived, g.broken = 0, false
}

// Run runs a shard. Where it ends in an error or a panic the others end too, where they
// would wait for it.
func (g *Group) Run(shard func() error) error {
	done := false
	defer func() {
		if !done {
			g.abandon()
		}
	}()
	err := shard()
	done = err == nil
	return err
}

func (g *Group) abandon() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken = true
	g.wake.Broadcast()
}

// Member is the group as seen by one shard.
func (g *Group) Member(rank int) Member { return Member{g, rank} }

// Member satisfies ops.Collective.
type Member struct {
	g    *Group
	rank int
}

// Size is the number of shards.
func (m Member) Size() int { return len(m.g.parts) }

// Sum adds v over all shards in rank order, in every shard's v.
func (m Member) Sum(v []float64) {
	g := m.g
	if len(g.parts) == 1 {
		return
	}
	part := g.parts[m.rank]
	if cap(part) < len(v) {
		part = make([]float64, len(v)) // the first step only
	}
	g.parts[m.rank] = part[:len(v)]
	copy(g.parts[m.rank], v)
	g.meet()
	clear(v)
	for _, p := range g.parts {
		for i, x := range p {
			v[i] += x
		}
	}
	g.meet() // nobody overwrites its part while another still reads it
}

// meet waits until every shard has arrived.
func (g *Group) meet() {
	g.mu.Lock()
	defer g.mu.Unlock()
	turn := g.turn
	if g.arrived++; g.arrived == len(g.parts) {
		g.arrived = 0
		g.turn++
		g.wake.Broadcast()
		return
	}
	for g.turn == turn && !g.broken {
		g.wake.Wait()
	}
	if g.turn == turn {
		panic(errElsewhere)
	}
}
