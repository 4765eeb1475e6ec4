// Package loss holds training losses as gorgonia operators.
//
// A loss divides by the normaliser of the whole batch, found by an all-reduce
// over the shards, so that one shard and N shards give the same gradients.
package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// CrossEntropyConfig holds the options of [CrossEntropy]; the zero value is the
// plain loss.
type CrossEntropyConfig struct {
	// LabelSmoothing ε mixes the target with the uniform distribution
	// (Szegedy et al. 2015, arXiv:1512.00567, §7). Default 0.
	LabelSmoothing float64
	// Weights scale each class's samples; nil means 1. The loss is divided by
	// the sum of the weights used, as in PyTorch.
	Weights []float64
}

// CrossEntropy is softmax cross-entropy with class indices:
//
//	L = Σₙ w(yₙ)·[−(1−ε)·log pₙ(yₙ) − ε/K·Σₖ log pₙ(k)] / Σₙ w(yₙ)
//
//	logits (N, K)   labels (N) int64, −1 = ignored   L scalar
//
// With smoothing the second term is weighted by w(k) instead of w(yₙ), as in
// PyTorch. Sums run over the batch of all shards.
func CrossEntropy(g *ops.Graph, logits, labels *ops.Node, c CrossEntropyConfig) *ops.Node {
	s := ops.Shape(logits)
	n, k := s[0], s[1]
	if c.Weights != nil && len(c.Weights) != k {
		ops.Fail("loss: %d class weights for %d classes", len(c.Weights), k)
	}
	return g.Apply(ops.Spec{
		Name: "cross_entropy", Once: true, In: []*ops.Node{logits, labels}, Out: []int{}, Diff: []bool{true, false},
		Slots: []ops.Slot{{Shape: []int{n, k}}},
		Bind: func(e *ops.Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return crossEntropy[float64](e, n, k, c), nil
			}
			return crossEntropy[float32](e, n, k, c), nil
		},
		Grad: gradFromSlot(g),
	})
}

// gradFromSlot serves losses whose forward pass leaves dL/dlogits in slot 0.
func gradFromSlot(g *ops.Graph) func(in []*ops.Node, y, dy *ops.Node) []*ops.Node {
	return func(in []*ops.Node, y, dy *ops.Node) []*ops.Node {
		return []*ops.Node{slotGrad(g, y, dy, 0), nil}
	}
}

// slotGrad is dy times slot i of the loss y: the gradient that its forward pass
// left there.
func slotGrad(g *ops.Graph, y, dy *ops.Node, i int) *ops.Node {
	return g.Apply(ops.Spec{Name: "loss.dx", In: []*ops.Node{dy}, Reads: []ops.Read{{Of: y, Slot: i}}, Out: ops.OpOf(y).Slots[i].Shape, Bind: func(e *ops.Env) (kernels.Run, error) {
		one := e.In[0].Reshape(1)
		return e.K.Binary(kernels.Binary{Func: kernels.Mul, X: e.Reads[0], Z: one, Y: e.Out})
	}})
}

func crossEntropy[T buffer.Float](e *ops.Env, n, k int, c CrossEntropyConfig) kernels.Run {
	x, labels, y := buffer.Floats[T](e.In[0]), e.In[1].I64(), buffer.Floats[T](e.Out)
	var grad []T
	if e.Slots[0] != nil {
		grad = buffer.Floats[T](e.Slots[0])
	}
	weight := func(i int) float64 {
		if c.Weights == nil {
			return 1
		}
		return c.Weights[i]
	}
	eps := c.LabelSmoothing
	total := normaliser(e, func() (norm float64) {
		for _, label := range labels {
			if label >= 0 {
				norm += weight(int(label))
			}
		}
		return norm
	})
	return func() {
		sum := 0.0
		for i := range n {
			row, label := x[i*k:(i+1)*k], int(labels[i])
			if label < 0 {
				if grad != nil {
					clear(grad[i*k : (i+1)*k])
				}
				continue
			}
			lse := logSumExp(row)
			w := weight(label)
			sum -= (1 - eps) * w * (float64(row[label]) - lse)
			if eps > 0 {
				for j, v := range row {
					sum -= eps / float64(k) * weight(j) * (float64(v) - lse)
				}
			}
			if grad == nil {
				continue
			}
			mass := (1 - eps) * w // Σ of the target's weights: what p is multiplied by
			if eps > 0 {
				for j := range row {
					mass += eps / float64(k) * weight(j)
				}
			}
			for j, v := range row {
				t := eps / float64(k) * weight(j)
				if j == label {
					t += (1 - eps) * w
				}
				grad[i*k+j] = T(mass*math.Exp(float64(v)-lse) - t)
			}
		}
		finish(*total, sum, y, grad)
	}
}

// normaliser is the sum over all shards of what count makes of the targets, found
// before the pass begins.
func normaliser(e *ops.Env, count func() float64) *float64 {
	total := make([]float64, 1)
	e.Early(func() {
		total[0] = count()
		e.Collective.Sum(total)
	})
	return &total[0]
}

// finish divides by the normaliser. Each shard's loss is its own part of the
// batch's, so the parts add up to the loss.
func finish[T buffer.Float](total, sum float64, y, grad []T) {
	inv := 0.0
	if total > 0 {
		inv = 1 / total
	}
	y[0] = T(sum * inv)
	for i := range grad {
		grad[i] = T(float64(grad[i]) * inv)
	}
}

func logSumExp[T buffer.Float](row []T) float64 {
	top := float64(row[0])
	for _, v := range row[1:] {
		top = max(top, float64(v))
	}
	s := 0.0
	for _, v := range row {
		s += math.Exp(float64(v) - top)
	}
	return top + math.Log(s)
}

// SoftCrossEntropy is cross-entropy with target distributions (MixUp, CutMix):
//
//	L = −1/N Σₙ Σₖ tₙ(k)·log pₙ(k)        logits, targets (N, K)
func SoftCrossEntropy(g *ops.Graph, logits, targets *ops.Node) *ops.Node {
	s := ops.Shape(logits)
	n, k := s[0], s[1]
	return g.Apply(ops.Spec{
		Name: "soft_cross_entropy", Once: true, In: []*ops.Node{logits, targets}, Out: []int{}, Diff: []bool{true, false},
		Slots: []ops.Slot{{Shape: []int{n, k}}},
		Bind: func(e *ops.Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return softCrossEntropy[float64](e, n, k), nil
			}
			return softCrossEntropy[float32](e, n, k), nil
		},
		Grad: gradFromSlot(g),
	})
}

func softCrossEntropy[T buffer.Float](e *ops.Env, n, k int) kernels.Run {
	x, t, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.In[1]), buffer.Floats[T](e.Out)
	var grad []T
	if e.Slots[0] != nil {
		grad = buffer.Floats[T](e.Slots[0])
	}
	total := normaliser(e, func() float64 { return float64(n) })
	return func() {
		sum := 0.0
		for i := range n {
			row, target := x[i*k:(i+1)*k], t[i*k:(i+1)*k]
			lse, mass := logSumExp(row), 0.0
			for j, v := range target {
				mass += float64(v)
				sum -= float64(v) * (float64(row[j]) - lse)
			}
			for j := range grad[:min(len(grad), k)] {
				grad[i*k+j] = T(mass*math.Exp(float64(row[j])-lse) - float64(target[j]))
			}
		}
		finish(*total, sum, y, grad)
	}
}

// BCEWithLogits is binary cross-entropy on independent labels, the mean over
// all N·K of them:
//
//	L = 1/(N·K) Σ max(x,0) − x·t + log(1 + e^−|x|)        logits, targets (N, K)
//
// A target below 0 is ignored (unknown label). positive scales the loss of
// positive targets per class; nil means 1.
func BCEWithLogits(g *ops.Graph, logits, targets *ops.Node, positive []float64) *ops.Node {
	s := ops.Shape(logits)
	n, k := s[0], s[1]
	if positive != nil && len(positive) != k {
		ops.Fail("loss: %d positive weights for %d classes", len(positive), k)
	}
	return g.Apply(ops.Spec{
		Name: "bce", Once: true, In: []*ops.Node{logits, targets}, Out: []int{}, Diff: []bool{true, false},
		Slots: []ops.Slot{{Shape: []int{n, k}}},
		Bind: func(e *ops.Env) (kernels.Run, error) {
			if e.Out.Storage == buffer.F64 {
				return bce[float64](e, k, positive), nil
			}
			return bce[float32](e, k, positive), nil
		},
		Grad: gradFromSlot(g),
	})
}

func bce[T buffer.Float](e *ops.Env, k int, positive []float64) kernels.Run {
	x, t, y := buffer.Floats[T](e.In[0]), buffer.Floats[T](e.In[1]), buffer.Floats[T](e.Out)
	var grad []T
	if e.Slots[0] != nil {
		grad = buffer.Floats[T](e.Slots[0])
	}
	total := normaliser(e, func() (norm float64) {
		for _, v := range t {
			if !(v < 0) {
				norm++
			}
		}
		return norm
	})
	return func() {
		sum := 0.0
		for i, v := range x {
			target := float64(t[i])
			if target < 0 {
				if grad != nil {
					grad[i] = 0
				}
				continue
			}
			pos := 1.0
			if positive != nil {
				pos = positive[i%k]
			}
			z := float64(v)
			soft := math.Log1p(math.Exp(-math.Abs(z))) // log(1+e^−|z|)
			logP, logQ := min(z, 0)-soft, min(-z, 0)-soft
			sum -= pos*target*logP + (1-target)*logQ
			if grad != nil {
				p := math.Exp(logP)
				grad[i] = T((1-target)*p - pos*target*(1-p))
			}
		}
		finish(*total, sum, y, grad)
	}
}
