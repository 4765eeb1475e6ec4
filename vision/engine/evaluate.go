package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/transform"
)

// evaluator runs a network over samples and keeps the logits.
type evaluator struct {
	net     *Network
	session *session
	run     *runner
	pre     vision.Preprocess
	batch   int
	workers int
	cache   *datasets.Cache
	memory  [][]float32 // that pictures are read into; nil until it is needed
	scratch []float32
	kept    *kept // of the samples that every epoch is validated on; nil: nothing
}

func newEvaluator(n *Network, s *session, pre vision.Preprocess, batch, workers int, cache *datasets.Cache) *evaluator {
	// Small batches keep the maps in the caches; only vectors gain from more.
	if n.Head.dense() != nil {
		batch = min(batch, 2*s.team.Size())
	}
	return &evaluator{net: n, session: s, run: newRunner(s.team, s.kernels, n.predictor()), pre: pre, batch: batch, workers: workers, cache: cache}
}

// batches have room for n pictures of so many values, in the memory of those before them
// where that is enough.
func (e *evaluator) batches(n, size int) []*datasets.Batch {
	const ahead = 3
	if len(e.memory) == 0 || len(e.memory[0]) < n*size {
		e.memory = nil
		for range ahead {
			e.memory = append(e.memory, make([]float32, n*size))
		}
	}
	var out []*datasets.Batch
	for _, x := range e.memory {
		out = append(out, datasets.BatchOver(x, n, 0))
	}
	return out
}

func (e *evaluator) close() {
	e.kept.close(false)
	e.run.close()
}

// scores are the logits of a list of samples, in its order.
type scores struct {
	Samples []datasets.Sample // those that could be read
	Logits  []float32
	Classes int
	Skipped []datasets.Skipped
	Seconds float64
}

// ran tells how a list of samples went through the network.
type ran struct {
	skipped []datasets.Skipped
	seconds float64
}

// each runs samples through the network and hands over the first output of
// every one that could be read, in order. The output holds until the next call.
func (e *evaluator) each(ctx context.Context, samples []datasets.Sample, take func(s datasets.Sample, out []float32, c *circuit)) (*ran, error) {
	return e.eachOutputs(ctx, samples, func(s datasets.Sample, outputs [][]float32, c *circuit) { take(s, outputs[0], c) })
}

// eachOutputs is each with all outputs.
func (e *evaluator) eachOutputs(ctx context.Context, samples []datasets.Sample, take func(s datasets.Sample, outputs [][]float32, c *circuit)) (*ran, error) {
	pipe, err := transform.Eval(e.pre)
	if err != nil {
		return nil, err
	}
	k := e.kept.of(samples)
	batch := max(1, min(e.batch, len(samples)))
	loader, err := datasets.NewLoader(datasets.LoaderConfig{Samples: samples, Pipeline: pipe, Batch: batch, Workers: e.session.workers(e.workers), Cache: e.cache, Kept: k.all, Buffers: e.batches(batch, pipe.Len())})
	if err != nil {
		return nil, err
	}
	byIndex := map[int64]datasets.Sample{}
	for _, s := range samples {
		byIndex[int64(s.Index)] = s
	}
	start := time.Now()
	epoch := loader.Epoch(ctx, 0, 0)
	defer func() { epoch.Close() }()
	var keys []int64
	var outputs, one [][]float32 // of a batch, of a sample
	seen := 0
	for {
		b, err := epoch.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		set, err := e.run.prepare(b.N)
		if err != nil {
			return nil, err
		}
		err = e.feed(k, set, b, b.X[:b.N*pipe.Len()])
		keys = append(keys[:0], b.Keys[:b.N]...)
		step := b.Step
		epoch.Release(b)
		if errors.Is(err, errLost) { // once more, with the pictures
			epoch.Close()
			epoch = loader.Epoch(ctx, 0, step)
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, err := e.run.step(set); err != nil {
			return nil, err
		}
		c := set.shards[0].circuit
		for k := range c.outputs {
			if k == len(outputs) {
				outputs, one = append(outputs, nil), append(one, nil)
			}
			outputs[k] = set.output(k, outputs[k][:0])
		}
		for i, key := range keys {
			for k, out := range outputs {
				per := len(out) / len(keys)
				one[k] = out[i*per : (i+1)*per]
			}
			take(byIndex[key], one, c)
		}
		seen += len(keys)
	}
	k.rest()
	skipped, _ := loader.Skipped()
	if seen == 0 {
		return nil, fmt.Errorf("none of the %d images could be read: %s", len(samples), firstReason(skipped))
	}
	return &ran{skipped, time.Since(start).Seconds()}, nil
}

// feed hands a batch to a set: its pictures, or what is kept of them.
func (e *evaluator) feed(k *kept, s *set, b *datasets.Batch, x []float32) error {
	switch {
	case b.Kept:
		return k.restore(s, b)
	case k != nil:
		return k.feed(s, b, e.net.toInput(x, e.pre, &e.scratch), e.net.picture)
	}
	return e.run.feed(s, e.net.toInput(x, e.pre, &e.scratch), e.net.picture)
}

// logits runs samples through a classifier.
func (e *evaluator) logits(ctx context.Context, samples []datasets.Sample) (*scores, error) {
	out := &scores{}
	r, err := e.each(ctx, samples, func(s datasets.Sample, logits []float32, c *circuit) {
		out.Samples = append(out.Samples, s)
		out.Logits = append(out.Logits, logits...)
		out.Classes = ops.Shape(c.outputs[0])[1]
	})
	if err != nil {
		return nil, err
	}
	out.Skipped, out.Seconds = r.skipped, r.seconds
	return out, nil
}

func firstReason(s []datasets.Skipped) string {
	if len(s) == 0 {
		return "there are none"
	}
	return s[0].Name + ": " + s[0].Reason
}

// score measures single-label or multi-label predictions. Exactly one result is
// not nil.
func (s *scores) score(names []string, multi bool, boot metric.Bootstrap) (*metric.Classification, *metric.MultiLabel, error) {
	if multi {
		m, err := metric.ClassifyMultiLabel(s.multiLabel(names), boot)
		return nil, m, err
	}
	m, err := metric.Classify(s.predictions(names), boot)
	return m, nil, err
}
