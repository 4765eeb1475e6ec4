package optim

import "sync"

// minShare is the number of elements below which starting a goroutine costs
// more than it saves.
const minShare = 1 << 16

// pool cuts elementwise work into one contiguous range per thread.
type pool struct{ threads int }

func newPool(threads int) pool { return pool{max(1, threads)} }

func (p pool) shares(n int) bool { return p.threads > 1 && n >= 2*minShare }

func (p pool) each(n int, work func(lo, hi int)) {
	parts := min(p.threads, n/minShare)
	var wg sync.WaitGroup
	for i := 1; i < parts; i++ {
		wg.Go(func() { work(n*i/parts, n*(i+1)/parts) })
	}
	work(0, n/parts)
	wg.Wait()
}
