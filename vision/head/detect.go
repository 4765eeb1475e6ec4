package head

import (
	"fmt"
	"math"

	"github.com/vislora/vislora/internal/ops"
)

// Level is one feature map of a detector: H×W cells of Stride pixels. It is the
// same type as loss.Level.
type Level = struct{ H, W, Stride int }

// Levels are those of maps (N, H, W, C) of the given strides.
func Levels(maps []*ops.Node, strides []int) []Level {
	return LevelsOf(graphBuilder{}, Values(maps), strides)
}

// LevelsOf is [Levels] for the values of a builder.
func LevelsOf(g Builder, maps []Value, strides []int) []Level {
	if len(maps) != len(strides) {
		ops.Fail("head: %d maps for %d strides", len(maps), len(strides))
	}
	out := make([]Level, len(maps))
	for i, m := range maps {
		s := g.Shape(m)
		out[i] = Level{s[1], s[2], strides[i]}
	}
	return out
}

// DetectConfig holds the options of [NewDetect]; Classes and Channels have no
// default.
type DetectConfig struct {
	Classes int
	// Channels of the maps, finest first.
	Channels []int
	// Width is the number of channels inside. Default 128, YOLOX-S's.
	Width int
	// Convs is the number of 3×3 convolutions of a branch. Default 2.
	Convs int
	// Depthwise replaces each by a depthwise and a 1×1 convolution, as
	// YOLOX-Nano does.
	Depthwise bool
	// MaskCoefficients adds a branch that gives every cell as many coefficients
	// of [Prototypes]. Default 0: boxes alone.
	MaskCoefficients int
}

// Detect is YOLOX's decoupled head without anchors (Ge et al. 2021,
// arXiv:2107.08430, §2.1), one on each map and sharing nothing:
//
//	stem: 1×1 → Width ┬─ Convs × 3×3 ── 1×1 → K classes
//	                  └─ Convs × 3×3 ┬─ 1×1 → 4 box
//	                                 └─ 1×1 → 1 objectness
//	with MaskCoefficients:
//	                  └─ Convs × 3×3 ── 1×1 → coefficients, tanh
//
// every convolution but the last followed by a LayerNorm over channels and SiLU.
// Logits start at −ln((1−0.01)/0.01), a probability of 1 %; boxes at the size of
// a cell, coefficients near 0. They come from a branch of their own, like the
// classes, and pass through tanh, so that prototypes can be taken away from a
// mask (YOLACT, Bolya et al. 2019, arXiv:1904.02689, §3.1).
type Detect struct {
	parameters
	config DetectConfig
	levels []detectLevel
}

type detectLevel struct {
	stem                block
	classes, box, masks chain
	class, size, object predictor
	coefficients        predictor
}

// priorBias is −ln((1−0.01)/0.01): a probability of 1 % (Lin et al. 2017,
// arXiv:1708.02002, §4.1).
var priorBias = -math.Log((1 - 0.01) / 0.01)

// NewDetect lists the head's parameters; Init gives them values.
func NewDetect(c DetectConfig) *Detect {
	if c.Width == 0 {
		c.Width = 128
	}
	if c.Convs == 0 {
		c.Convs = 2
	}
	d := &Detect{config: c}
	for i, channels := range c.Channels {
		l := detectLevel{
			stem:   block{name: fmt.Sprintf("head.stems.%d", i), in: channels, out: c.Width, kernel: 1, stride: 1},
			class:  predictor{fmt.Sprintf("head.cls_preds.%d", i), c.Width, c.Classes},
			size:   predictor{fmt.Sprintf("head.reg_preds.%d", i), c.Width, 4},
			object: predictor{fmt.Sprintf("head.obj_preds.%d", i), c.Width, 1},
		}
		for j := range c.Convs {
			l.classes = append(l.classes, conv3x3(fmt.Sprintf("head.cls_convs.%d.%d", i, j), c.Width, c.Width, c.Depthwise)...)
			l.box = append(l.box, conv3x3(fmt.Sprintf("head.reg_convs.%d.%d", i, j), c.Width, c.Width, c.Depthwise)...)
		}
		l.stem.declare(&d.parameters)
		l.classes.declare(&d.parameters)
		l.box.declare(&d.parameters)
		l.class.declare(&d.parameters, priorBias)
		l.size.declare(&d.parameters, 0)
		l.object.declare(&d.parameters, priorBias)
		if c.MaskCoefficients > 0 {
			for j := range c.Convs {
				l.masks = append(l.masks, conv3x3(fmt.Sprintf("head.mask_convs.%d.%d", i, j), c.Width, c.Width, c.Depthwise)...)
			}
			l.coefficients = predictor{fmt.Sprintf("head.mask_preds.%d", i), c.Width, c.MaskCoefficients}
			l.masks.declare(&d.parameters)
			l.coefficients.declare(&d.parameters, 0)
		}
		d.levels = append(d.levels, l)
	}
	return d
}

// Forward adds the head to a graph. It gives what loss.Detect and [Decode.YOLOX]
// take:
//
//	maps (N, Hᵢ, Wᵢ, Cᵢ)   y (N, Σ Hᵢ·Wᵢ, 5+K+P): box, objectness, classes, mask coefficients
func (d *Detect) Forward(g *ops.Graph, leaf Leaf, maps []*ops.Node) *ops.Node {
	return node(d.Build(OnGraph(g, leaf), Values(maps)))
}

// Build makes the head.
func (d *Detect) Build(g Builder, maps []Value) Value {
	checkMaps(g, "detection head", maps, d.config.Channels)
	out := make([]Value, len(maps))
	for i, l := range d.levels {
		x := l.stem.apply(g, maps[i])
		classes, box := l.classes.apply(g, x), l.box.apply(g, x)
		parts := []Value{l.size.apply(g, box), g.Scores(l.object.apply(g, box)), g.Scores(l.class.apply(g, classes))}
		if d.config.MaskCoefficients > 0 {
			parts = append(parts, g.Tanh(l.coefficients.apply(g, l.masks.apply(g, x))))
		}
		out[i] = g.Cells(g.Concat(parts...), 1)
	}
	return g.Join(out...)
}

func checkMaps(g Builder, what string, maps []Value, channels []int) {
	if len(maps) != len(channels) {
		ops.Fail("head: %s: %d maps, made for %d", what, len(maps), len(channels))
	}
	for i, m := range maps {
		if s := g.Shape(m); len(s) != 4 || s[3] != channels[i] {
			ops.Fail("head: %s: map %d is %v: want (N, H, W, %d)", what, i, s, channels[i])
		}
	}
}
