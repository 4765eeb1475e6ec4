package engine

import (
	"fmt"
	"runtime"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/onednn"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/internal/vm"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/loss"
)

// session is a kernel set and the threads that run it.
type session struct {
	team    *vm.Team
	kernels kernels.Kernels
	dtype   string // one of the DTypes
	close   func()
	readers int // of pictures, where nobody says: one per processor
}

// workers are those who read pictures, so many or 0.
func (s *session) workers(n int) int {
	if n == 0 {
		return s.readers
	}
	return n
}

// The types in which products are computed and, where nothing is lost by it,
// activations kept. Sums, norms, losses and the optimiser are float32 in all.
const (
	DTypeF32 = "f32"
	// Values are float32; in products a factor is the sum of two numbers of bf16, 16
	// bits where float32 has 24. f32 where the processor has no tiles for it.
	DTypeBF16x2 = "bf16x2"
	DTypeBF16   = "bf16" // f32 where the processor is not faster so
)

// DTypeHelp is what --dtype says of itself.
const DTypeHelp = "of products: f32; bf16x2, float32 as sums of two bf16; or bf16: the last two where the processor is faster so"

func checkDType(dtype string) error {
	switch dtype {
	case "", DTypeF32, DTypeBF16x2, DTypeBF16:
		return nil
	}
	return fmt.Errorf("dtype is %q: use %s, %s or %s", dtype, DTypeF32, DTypeBF16x2, DTypeBF16)
}

// openSession starts threads locked for the best kernels of this build. 0
// threads means one per processor; the dtype "" is f32.
func openSession(threads int, dtype string) (*session, error) {
	if err := checkDType(dtype); err != nil {
		return nil, err
	}
	if threads < 0 || threads > 1024 {
		return nil, fmt.Errorf("threads is %d: use 1 to 1024, or 0 for one per processor", threads)
	}
	processors := runtime.GOMAXPROCS(0) // of which a container may have fewer than the machine
	if threads == 0 {
		threads = processors
	}
	if !onednn.Available() {
		team := vm.NewTeam(threads, nil)
		return &session{team, kernels.Go{}, DTypeF32, team.Close, processors}, nil
	}
	open := map[string]func() (*onednn.Kernels, bool, error){DTypeBF16: onednn.NewBF16, DTypeBF16x2: onednn.NewBF16x2}[dtype]
	if open == nil {
		open = func() (*onednn.Kernels, bool, error) { k, err := onednn.New(); return k, false, err }
	}
	has := DTypeF32
	k, ok, err := open()
	if ok {
		has = dtype
	}
	if err != nil {
		return nil, err
	}
	team := vm.NewTeam(threads, onednn.LockThread)
	return &session{team, k, has, func() { team.Close(); k.Close() }, processors}, nil
}

// described tells people in what products are computed.
func (s *session) described() string {
	switch s.dtype {
	case DTypeBF16:
		return "products and activations in bf16; sums, norms, losses and the optimiser in f32"
	case DTypeBF16x2:
		return "products of sums of two bf16, 16 bits of each factor; everything else in f32"
	}
	return "f32: what was asked for is not faster on this processor with these kernels (vislora version)"
}

// lossConfig chooses the training loss of a classifier.
type lossConfig struct {
	LabelSmoothing float64
	ClassWeights   []float64
	MultiLabel     bool
	SoftTargets    bool // MixUp and CutMix
}

// trainer returns the maker of training circuits.
func (n *Network) trainer(l lossConfig) maker {
	return func(batch int) (c *circuit, err error) {
		defer ops.Recover(&err)
		g, err := n.Net.Build(build.Options{Batch: batch, Training: true, Until: n.until()})
		if err != nil {
			return nil, err
		}
		y, err := n.logits(g)
		if err != nil {
			return nil, err
		}
		c = &circuit{Graph: g, outputs: []*ops.Node{y}}
		k := ops.Shape(y)[1]
		if n.Classes != nil && k != len(n.Classes) {
			return nil, fmt.Errorf("the model gives %d logits for %d classes", k, len(n.Classes))
		}
		switch {
		case l.MultiLabel:
			c.targets = g.Input("targets", buffer.F32, false, batch, k)
			c.loss = loss.BCEWithLogits(g.Graph, y, c.targets, l.ClassWeights)
		case l.SoftTargets:
			c.targets = g.Input("targets", buffer.F32, false, batch, k)
			c.loss = loss.SoftCrossEntropy(g.Graph, y, c.targets)
		default:
			c.labels = g.Input("labels", buffer.I64, false, batch)
			c.loss = loss.CrossEntropy(g.Graph, y, c.labels, loss.CrossEntropyConfig{LabelSmoothing: l.LabelSmoothing, Weights: l.ClassWeights})
		}
		return c, c.differentiate(n.Net.Trainable())
	}
}

// predictor returns the maker of inference circuits.
func (n *Network) predictor() maker {
	switch {
	case n.Head == nil:
	case n.Head.Detect != nil:
		return n.detectPredictor()
	case n.Head.Segment != nil:
		return n.segmentPredictor()
	}
	return func(batch int) (c *circuit, err error) {
		defer ops.Recover(&err)
		g, err := n.Net.Build(build.Options{Batch: batch, Until: n.until()})
		if err != nil {
			return nil, err
		}
		y, err := n.logits(g)
		if err != nil {
			return nil, err
		}
		return &circuit{Graph: g, outputs: []*ops.Node{y}}, nil
	}
}

// picture is the leaf that images go into.
func (n *Network) picture(c *circuit) *ops.Node { return c.Inputs[n.Picture.Name] }
