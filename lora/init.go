package lora

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/vislora/vislora/vision/build"
)

// NewAdapter makes the adapter of a plan with its initial values:
//
//	true       A uniform in ±1/√fan_in, B zero: the model is unchanged
//	gaussian   A normal with standard deviation 1/r, B zero
//	false      A, B and B's bias uniform in ±1/√fan_in of each
//
// fan_in is in for a linear layer and in/groups·kH·kW for a convolution (this
// is PyTorch's kaiming_uniform_ with a = √5, whose gain is 1/√3). A delta is
// zero. Magnitudes need the weights: call [Layer.InitMagnitude] for every layer
// of a DoRA adapter; until then they are zero.
//
// Every tensor has a random stream of its own, keyed by seed and name, so the
// values do not depend on which other layers are adapted or in what order.
func NewAdapter(p *Plan, seed uint64) (*Adapter, error) {
	init := p.Config.InitLoraWeights
	if init != "true" && init != "false" && init != "gaussian" {
		return nil, fmt.Errorf("init_lora_weights %q cannot start an adapter: use true, gaussian or false", string(init))
	}
	a := &Adapter{Config: p.Config, Layers: make(map[string]*Layer, len(p.Sites)), Saved: make(map[string]*Tensor),
		Metadata: map[string]string{"format": "pt"}}
	for _, sp := range p.Sites {
		l := &Layer{Rank: sp.Rank, Alpha: sp.Alpha, Scaling: sp.Scaling}
		a.Layers[sp.Site.Path] = l
		if sp.Delta {
			l.Delta = zeros(sp.D)
			continue
		}
		l.A, l.B = zeros(sp.A), zeros(sp.B)
		if sp.BiasB != nil {
			l.BiasB = zeros(sp.BiasB)
		}
		if sp.Magnitude != nil {
			l.Magnitude = zeros(sp.Magnitude)
		}
		if init == "gaussian" {
			rng := stream(seed, sp.Site.Path+keyA)
			for i := range l.A.Data {
				l.A.Data[i] = float32(rng.NormFloat64() / float64(sp.Rank))
			}
			continue
		}
		uniform(l.A, fanIn(l.A), stream(seed, sp.Site.Path+keyA))
		if init == "false" {
			uniform(l.B, fanIn(l.B), stream(seed, sp.Site.Path+keyB))
			if l.BiasB != nil {
				uniform(l.BiasB, fanIn(l.B), stream(seed, sp.Site.Path+keyBiasB))
			}
		}
	}
	return a, nil
}

// fanIn is the number of inputs that one output of a weight reads.
func fanIn(t *Tensor) int { return len(t.Data) / t.Shape[0] }

// uniform fills t from ±1/√fan.
func uniform(t *Tensor, fan int, rng *rand.Rand) {
	bound := 1 / math.Sqrt(float64(fan))
	for i := range t.Data {
		t.Data[i] = float32((2*rng.Float64() - 1) * bound)
	}
}

// stream is the random numbers of one tensor.
func stream(seed uint64, name string) *rand.Rand {
	h := fnv.New128a()
	h.Write(binary.LittleEndian.AppendUint64(nil, seed)) // never fails
	h.Write([]byte(name))
	sum := h.Sum(nil)
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum), binary.LittleEndian.Uint64(sum[8:])))
}

// InitMagnitude sets DoRA's magnitude to ‖W + ΔW‖ per output channel, so that
// the adapted layer equals the plain low-rank one. w is canonical, see
// [WeightShape]. A layer without magnitude is left alone.
func (l *Layer) InitMagnitude(s build.Site, w []float32) error {
	if l.Magnitude == nil {
		return nil
	}
	sum, err := l.added(s, w)
	if err != nil {
		return err
	}
	for o, n := range norms(sum, s.Out) {
		l.Magnitude.Data[o] = float32(n)
	}
	return nil
}

// norms returns the length of each of the n rows of v.
func norms(v []float64, n int) []float64 {
	out := make([]float64, n)
	width := len(v) / n
	for o := range out {
		sum := 0.0
		for _, x := range v[o*width : (o+1)*width] {
			sum += x * x
		}
		out[o] = math.Sqrt(sum)
	}
	return out
}
