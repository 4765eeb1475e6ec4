package engine

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
)

// The most that is kept in memory, and on a disk left free, where nobody says.
const (
	keptRAM  = 4 << 30
	diskFree = 1 << 30
)

// varies says what makes a picture another one in every epoch, "" if nothing
// does.
func (c *TrainConfig) varies() string {
	switch {
	case c.Augment:
		return "every epoch varies the pictures: switch that off with --augment=false"
	case c.Task != string(vision.Detect) && c.Task != string(vision.Segment) && c.Task != string(vision.Instance) && c.mix().Enabled():
		return "mixup and cutmix make other pictures in every epoch: switch them off"
	}
	return ""
}

// asked reports whether somebody wants a cache, and not the default alone.
func (c *TrainConfig) asked() bool { return c.CachePrefix == CacheRAM || c.CachePrefix == CacheDisk }

// divide makes training and validation compute by itself what is the same for a
// picture in every epoch. That does not depend on whether it is kept: so the
// weights do not either.
func (r *run) divide() error {
	c := &r.c
	if c.varies() != "" {
		return nil
	}
	why := "all parameters train"
	switch {
	case c.MicroBatch > 0:
		why = "batches are put through in parts"
	case c.Mode != ModeFull:
		r.train.forget() // what was compiled whole, see fit
		var err error
		if why, err = r.train.divide(r.net, batchSizes(r.loader.Batch(), len(r.data.Split(datasets.Train)))...); err != nil {
			return err
		}
	}
	if why != "" {
		if c.asked() {
			c.logf("cache    off: %s", why)
		}
		return nil
	}
	e, n := r.job.evaluator(), len(r.data.Split(datasets.Val))
	if n == 0 {
		return nil
	}
	_, err := e.run.divide(r.net, batchSizes(min(e.batch, n), n)...)
	return err
}

// batchSizes are the sizes of the batches of an epoch.
func batchSizes(batch, images int) []int {
	if last := images % batch; last > 0 {
		return []int{batch, last}
	}
	return []int{batch}
}

// keep decides where what the prefix makes is kept, and finds what an interrupted
// run has left.
func (r *run) keep() {
	c := &r.c
	if r.train.prefix == nil || c.CachePrefix == CacheOff {
		return
	}
	e := r.job.evaluator()
	type list struct {
		split   string
		run     *runner
		size    int // of a record
		samples []datasets.Sample
		to      **kept
	}
	lists := []list{{datasets.Train, r.train, r.train.prefix.bytes() + r.loader.MovedBytes(), r.data.Split(datasets.Train), &r.kept}}
	if e.run.prefix != nil {
		lists = append(lists, list{datasets.Val, e.run, e.run.prefix.bytes(), r.data.Split(datasets.Val), &e.kept})
	}
	total := int64(0)
	for _, l := range lists {
		total += diskBytes(len(l.samples), l.size)
	}
	where, why := r.keepWhere(total)
	if why != "" {
		if c.asked() {
			c.logf("cache    off: %s", why)
		}
		return
	}
	for _, l := range lists {
		if err := r.keepList(where, l.split, l.run, l.size, l.samples, l.to); err != nil {
			c.logf("cache    off: %v", err)
			r.forget()
			return
		}
	}
	found := ""
	if n := len(lists[0].samples) - r.kept.left; n > 0 {
		found = fmt.Sprintf("; those of %d training pictures are there", n)
	}
	c.logf("cache    %.0f %% of the forward pass gives the same for a picture in every epoch: kept in %s, %s%s", 100*r.train.prefix.share, where, mebibytes(total), found)
}

func (r *run) keepList(where, split string, rn *runner, size int, samples []datasets.Sample, to **kept) error {
	have := make([]bool, len(samples))
	var s store
	if where == keptInRAM {
		m, err := newMemory(len(samples), size)
		if err != nil {
			return err
		}
		s = m
	} else {
		header, err := r.prefixKey(rn, size)
		if err != nil {
			return err
		}
		keys := make([]uint64, len(samples))
		for i := range samples {
			keys[i] = sampleKey(&samples[i])
		}
		var d *disk
		if d, have, err = openDisk(keptFile(r.keptFiles(), split), header, size, keys); err != nil {
			return err
		}
		s = d
	}
	*to = newKept(rn, samples, s, have, r.c.logf)
	return nil
}

func keptFile(dir, split string) string { return filepath.Join(dir, "prefix-"+split+".bin") }

// forget removes all that is kept, in memory and on disk.
func (r *run) forget() {
	r.kept.close(true)
	if e := r.job.evaluator(); e != nil {
		e.kept.close(true)
	}
	// What a run of before has left that this one did not go on with.
	for _, split := range []string{datasets.Train, datasets.Val} {
		_ = os.Remove(keptFile(r.keptFiles(), split))
	}
	_ = os.Remove(r.keptFiles()) // where nothing else is in it
}

const (
	keptInRAM  = "memory"
	keptOnDisk = "the run's folder"
)

// keepWhere decides where so many bytes are kept, or says why nowhere.
func (r *run) keepWhere(total int64) (where, why string) {
	c := &r.c
	memory, disk := available(), freeDisk(r.dir)
	if r.limited() && (memory == 0 || r.spare < memory) {
		memory = max(r.spare, 1)
	}
	if c.CachePrefix == CacheRAM {
		if memory > 0 && total > memory {
			return "", fmt.Sprintf("it would take %s of memory, %s are free: use --cache-prefix disk", mebibytes(total), mebibytes(memory))
		}
		r.takes(total)
		return keptInRAM, ""
	}
	limit := int64(keptRAM) / 4
	if memory > 0 {
		limit = min(keptRAM, memory/4)
	}
	switch {
	case c.CachePrefix != CacheDisk && (total <= limit || r.limited() && r.spare >= total):
		r.takes(total)
		return keptInRAM, ""
	}
	if left := max(total-diskUsed(r.keptFiles()), 0); disk >= 0 && left+diskFree > disk {
		return "", fmt.Sprintf("it would take %s of the %s that are free in %s, and leaves %s free: make room, or choose another --project", mebibytes(left), mebibytes(disk), r.dir, mebibytes(diskFree))
	}
	return keptOnDisk, ""
}

func (r *run) limited() bool { return r.c.MaxMemory != "" }

// takes counts bytes of what --max-memory allows.
func (r *run) takes(bytes int64) { r.spare = max(r.spare-bytes, 0) }

// diskUsed is what the files of a folder hold.
func diskUsed(dir string) int64 {
	n := int64(0)
	entries, _ := os.ReadDir(dir) // without one nothing is there
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }
