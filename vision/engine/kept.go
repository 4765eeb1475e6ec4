package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels/onednn"
	"github.com/vislora/vislora/internal/ops"
)

// The values of cache_prefix.
const (
	CacheAuto = "auto"
	CacheRAM  = "ram"
	CacheDisk = "disk"
	CacheOff  = "off"
)

// errLost says that something that was kept cannot be read any more. The batch
// has to be made of its pictures.
var errLost = errors.New("what was kept is lost")

// kept holds what the prefix makes of every picture of a list, with the targets
// that moved with its pixels, so that later epochs need neither.
type kept struct {
	run   *runner
	store store
	place map[int64]int // in the list, by Sample.Index
	log   func(format string, args ...any)

	mu   sync.Mutex
	have []bool
	left int  // not kept yet
	fed  bool // pictures went through the prefix in this epoch
}

// store keeps records of one size by number.
type store interface {
	get(i int, parts [][]byte) error
	put(i int, parts [][]byte) error
	close(remove bool) error
}

// newKept keeps records of samples in s. have tells what is in it already.
func newKept(r *runner, samples []datasets.Sample, s store, have []bool, log func(format string, args ...any)) *kept {
	k := &kept{run: r, store: s, place: map[int64]int{}, log: log, have: have}
	for i, sample := range samples {
		k.place[int64(sample.Index)] = i
		if !have[i] {
			k.left++
		}
	}
	return k
}

// of is k if it keeps these samples, in this order.
func (k *kept) of(samples []datasets.Sample) *kept {
	if k == nil || len(samples) != len(k.have) {
		return nil
	}
	for i, s := range samples {
		if at, ok := k.place[int64(s.Index)]; !ok || at != i {
			return nil
		}
	}
	return k
}

// all reports whether everything about these pictures is kept. The loader asks.
func (k *kept) all(places []int) bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.store == nil {
		return false
	}
	for _, i := range places {
		if !k.have[i] {
			return false
		}
	}
	return true
}

// parts are the pieces of a record in memory: the values behind the prefix, and
// targets.
func (k *kept) parts(s *set, b *datasets.Batch, i int) [][]byte {
	out := s.cutMemory(i)
	if out == nil {
		return nil
	}
	boxes, mask, shares := b.Moved(i)
	return append(out, buffer.Raw(boxes), mask, shares)
}

// restore fills a batch whose pictures were not read. Its error is errLost.
func (k *kept) restore(s *set, b *datasets.Batch) error {
	for i, key := range b.Keys[:b.N] {
		if k.store == nil {
			return errLost
		}
		if err := k.store.get(k.place[key], k.parts(s, b, i)); err != nil {
			k.drop(err)
			return errLost
		}
	}
	return nil
}

// feed hands a batch to a set, and keeps what the prefix makes of it.
func (k *kept) feed(s *set, b *datasets.Batch, x []float32, picture func(c *circuit) *ops.Node) error {
	if b.Kept {
		return nil
	}
	if err := k.run.feed(s, x, picture); err != nil {
		return err
	}
	k.fed = true
	for i, key := range b.Keys[:b.N] {
		at := k.place[key]
		if k.store == nil || k.have[at] {
			continue
		}
		parts := k.parts(s, b, i)
		if parts == nil {
			continue
		}
		if err := k.store.put(at, parts); err != nil {
			k.drop(err)
			return nil
		}
		k.mu.Lock()
		k.have[at] = true
		k.left--
		k.mu.Unlock()
	}
	return nil
}

// rest gives the prefix's memory back after an epoch that did not need it.
func (k *kept) rest() {
	if k != nil && k.store != nil && (k.left == 0 || !k.fed) {
		k.run.prefix.free()
	}
	if k != nil {
		k.fed = false
	}
}

// drop goes on without what is kept.
func (k *kept) drop(err error) {
	k.log("cache    off: %v. The run goes on without it", err)
	k.close(true)
}

// close gives the memory back, and the disk's if it is not to be found again.
func (k *kept) close(remove bool) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.store != nil {
		_ = k.store.close(remove)
		k.store = nil
	}
}

// memory keeps records in RAM, outside the Go heap. Pages are taken as they are
// written.
type memory struct {
	arena *buffer.Arena
	size  int
}

func newMemory(records, size int) (*memory, error) {
	a, err := buffer.NewArena(records * size)
	return &memory{a, size}, err
}

func (m *memory) record(i int) []byte { return m.arena.At(i*m.size, buffer.U8, m.size).U8() }

func (m *memory) get(i int, parts [][]byte) error {
	scatter(parts, m.record(i))
	return nil
}

func (m *memory) put(i int, parts [][]byte) error {
	gather(m.record(i), parts)
	return nil
}

func (m *memory) close(bool) error { m.arena.Free(); return nil }

func scatter(parts [][]byte, from []byte) {
	for _, p := range parts {
		from = from[copy(p, from):]
	}
}

func gather(to []byte, parts [][]byte) {
	for _, p := range parts {
		to = to[copy(to, p):]
	}
}

// sampleKey changes when a picture does, or what is annotated in it.
func sampleKey(s *datasets.Sample) uint64 {
	h := fnv.New64a()
	file := func(path string) {
		if path == "" {
			return
		}
		st, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(h, "%q is not there\n", path)
			return
		}
		fmt.Fprintf(h, "%q %d %d\n", path, st.Size(), st.ModTime().UnixNano())
	}
	file(s.Path)
	file(s.Mask)
	objects, err := json.Marshal(s.Objects)
	fmt.Fprintf(h, "%d %d %v %s %v\n", s.W, s.H, s.Scale, objects, err)
	return h.Sum64() | 1 // never 0, which is what an empty record has
}

// prefixKey changes when the prefix makes something else of the same picture.
func (r *run) prefixKey(rn *runner, size int) ([]byte, error) {
	type step struct {
		Name  string
		Shape []int
	}
	var graph []step
	for _, n := range rn.prefix.program.Nodes() {
		name := n.Name()
		if op := ops.OpOf(n); op != nil {
			name = op.Name
		}
		graph = append(graph, step{name, ops.Shape(n)})
	}
	var cut []int
	for _, n := range rn.prefix.cut {
		cut = append(cut, elements(n))
	}
	isa := "" // last digits differ
	if k, native := r.session.kernels.(*onednn.Kernels); native {
		isa = fmt.Sprintf("%s, tiles %v", k.ISA(), onednn.Tiles())
	}
	b, err := json.Marshal(map[string]any{"format": 1, "model": r.base.SHA256, "preprocess": r.pre, "task": r.c.Task, "graph": graph, "cut": cut, "record": size,
		"kernels": r.session.kernels.Name(), "isa": isa, "dtype": r.session.dtype, "program": Version})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return fmt.Appendf(nil, "vislora prefix %x\n", sum), nil
}

// keptFiles is the folder of a run for what is kept on disk.
func (r *run) keptFiles() string { return filepath.Join(r.dir, "cache") }

// sameHeader reads and compares the header of a file of records.
func sameHeader(f *os.File, want []byte) bool {
	got := make([]byte, len(want))
	_, err := f.ReadAt(got, 0)
	return err == nil && bytes.Equal(got, want)
}
