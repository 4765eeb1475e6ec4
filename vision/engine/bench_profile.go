package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/vm"
)

// ProfiledKind is the share of one kind of operator, on the first thread. Peak
// is its speed as a share of [Benchmark.PeakGFlopsS]: what is far below it waits
// for memory, or is too small.
type ProfiledKind struct {
	Name    string  `json:"name"`
	Calls   int     `json:"calls"`
	Ms      float64 `json:"ms"`
	Share   float64 `json:"share"`
	GFlop   float64 `json:"gflop,omitempty"`
	GFlopsS float64 `json:"gflops_per_s,omitempty"`
	Peak    float64 `json:"share_of_peak,omitempty"`
}

// profile runs one more step with a clock around every operator.
func (b *Benchmark) profile(r *runner, s *set) (err error) {
	if b.PeakGFlopsS, err = peakGFlops(r); err != nil {
		return err
	}
	profs := make([]map[string]*vm.Profile, len(s.shards))
	err = r.team.Do(len(s.shards), func(rank int) error {
		profs[rank] = map[string]*vm.Profile{}
		s.shards[rank].exec.RunProfiled(profs[rank])
		return nil
	})
	if err != nil {
		return err
	}
	total := time.Duration(0)
	for _, p := range profs[0] {
		total += p.Time
	}
	for _, name := range sortedKeys(profs[0]) {
		p := profs[0][name]
		k := ProfiledKind{Name: name, Calls: p.Calls, Ms: round(p.Time.Seconds()*1e3, 3), Share: round(float64(p.Time)/float64(total), 4)}
		if p.Flops > 0 {
			k.GFlop = round(p.Flops/1e9, 3)
			k.GFlopsS = round(p.Flops/p.Time.Seconds()/1e9, 1)
			k.Peak = round(k.GFlopsS/b.PeakGFlopsS, 3)
		}
		b.Profile = append(b.Profile, k)
	}
	slices.SortStableFunc(b.Profile, func(x, y ProfiledKind) int { return cmp.Compare(y.Ms, x.Ms) })
	return nil
}

// peakGFlops is the speed of one thread while all of them multiply square
// matrices that fit into the second cache: the most that these kernels reach.
func peakGFlops(r *runner) (float64, error) {
	const n, rounds = 384, 20
	best := 0.0
	var mu sync.Mutex
	err := r.team.Do(r.team.Size(), func(int) error {
		p := kernels.MatMul{A: buffer.New(buffer.F32, n, n), B: buffer.New(buffer.F32, n, n), Y: buffer.New(buffer.F32, n, n), M: n, N: n, K: n}
		p.B.Frozen = true
		run, err := r.kernels.MatMul(p)
		if err != nil {
			return err
		}
		run()
		fastest := time.Duration(1 << 62)
		for range rounds {
			t := time.Now()
			run()
			fastest = min(fastest, time.Since(t))
		}
		mu.Lock()
		defer mu.Unlock()
		best = max(best, 2*n*n*n/fastest.Seconds()/1e9)
		return nil
	})
	return round(best, 1), err
}

// ProfileTable is the profile for people.
func (b *Benchmark) ProfileTable() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s, %s, batch %d on %d threads (%s): %.1f ms, %.1f images/s in the median\n", b.Model, b.Mode, b.DType, b.Batch, b.Threads, b.Kernels, b.MedianMs, b.MedianPerSec)
	fmt.Fprintf(&s, "values %.1f MB (at least %.1f), peak of the process %d MB, %g allocations a step\n", b.ArenaMB, b.ArenaBoundMB, b.PeakRSS, b.Allocs)
	fmt.Fprintf(&s, "peak of one thread: %.1f GFLOP/s (products of 384×384 matrices, all threads at once)\n\n", b.PeakGFlopsS)
	fmt.Fprintf(&s, "%-26s %6s %9s %7s %9s %9s %8s\n", "operator (one thread)", "calls", "ms", "share", "GFLOP", "GFLOP/s", "of peak")
	for _, k := range b.Profile {
		fmt.Fprintf(&s, "%-26s %6d %9.3f %6.1f%%", k.Name, k.Calls, k.Ms, 100*k.Share)
		if k.GFlop > 0 {
			fmt.Fprintf(&s, " %9.3f %9.1f %7.1f%%", k.GFlop, k.GFlopsS, 100*k.Peak)
		}
		s.WriteByte('\n')
	}
	return s.String()
}
