package lora

import (
	"maps"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/safetensors"
)

// Adapter is what one folder holds: the configuration, the adapted layers, and
// whatever else was trained and is saved with them.
type Adapter struct {
	Config *Config
	// Layers holds the adapted layers by path.
	Layers map[string]*Layer
	// Saved holds the model's own parameters that were trained (biases, modules
	// to save, the head) by their names in the model: "head.weight",
	// "blocks.0.norm1.bias".
	Saved map[string]*Tensor
	// Metadata is the free text of the weight file; PEFT wants format: pt.
	Metadata map[string]string
}

// Layer is the adapter of one layer. Either Delta is set or A and B are; see
// [Spec] for the shapes.
type Layer struct {
	A, B *Tensor
	// BiasB is the bias of B, Magnitude that of DoRA; nil when not used.
	BiasB, Magnitude *Tensor
	// Delta is the dense update of a depthwise convolution.
	Delta *Tensor
	// Rank, Alpha and Scaling are those of [Spec].
	Rank           int
	Alpha, Scaling float64
}

// Paths returns the adapted layers, sorted.
func (a *Adapter) Paths() []string { return slices.Sorted(maps.Keys(a.Layers)) }

// Params is the number of values that were trained.
func (a *Adapter) Params() int {
	n := 0
	for _, t := range a.tensors() {
		n += len(t.Data)
	}
	return n
}

// SetDType sets the type in which floating-point tensors are saved: F32, F16
// or BF16. An adapter keeps the types of the file it came from; training on
// from a 16-bit file and saving in 16 bits would round away small steps.
func (a *Adapter) SetDType(d safetensors.DType) {
	for _, t := range a.tensors() {
		if t.Data != nil {
			t.DType, t.raw = d, nil
		}
	}
}

// prefix stands before every key: PEFT's wrapper and its base model.
const prefix = "base_model.model."

// The ends of the keys of an adapted layer.
const (
	keyA         = ".lora_A.weight"
	keyB         = ".lora_B.weight"
	keyBiasB     = ".lora_B.bias"
	keyMagnitude = ".lora_magnitude_vector"
	keyDelta     = ".lora_delta.weight" // vislora's own
)

// slots lists the tensors of a layer by the ends of their keys.
func (l *Layer) slots() []slot {
	return []slot{{keyA, &l.A}, {keyB, &l.B}, {keyBiasB, &l.BiasB}, {keyMagnitude, &l.Magnitude}, {keyDelta, &l.Delta}}
}

type slot struct {
	key    string
	tensor **Tensor
}

// tensors returns everything by its key in the file.
func (a *Adapter) tensors() map[string]*Tensor {
	out := make(map[string]*Tensor)
	for path, l := range a.Layers {
		for _, s := range l.slots() {
			if *s.tensor != nil {
				out[prefix+path+s.key] = *s.tensor
			}
		}
	}
	for name, t := range a.Saved {
		out[a.savedKey(name)] = t
	}
	return out
}

// savedKey is the key of one of the model's own parameters. PEFT has wrapped
// the adapted layers, so their own bias is one level further down.
func (a *Adapter) savedKey(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		if _, adapted := a.Layers[name[:i]]; adapted {
			return prefix + name[:i] + baseLayer + name[i:]
		}
	}
	return prefix + name
}

const baseLayer = ".base_layer"

// savedName is the inverse of savedKey.
func savedName(key string) string {
	name := strings.TrimPrefix(key, prefix)
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = strings.TrimSuffix(name[:i], baseLayer) + name[i:]
	}
	return name
}
