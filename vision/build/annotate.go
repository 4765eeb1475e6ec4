package build

import "github.com/vislora/vislora/internal/onnx/ir"

// Kind tells how a layer can be adapted.
type Kind string

// The kinds of adapter sites.
const (
	KindLinear Kind = "linear"
	KindConv   Kind = "conv"
)

// Site is one layer that an adapter can be put on.
type Site struct {
	// Path is the layer's dotted module path, as PEFT and timm write it:
	// "blocks.3.attn.qkv", "patch_embed.proj", "layer2.0.conv1".
	Path string
	Kind Kind
	// Output is the first output of the node that the site is (its identity
	// in every plan of the model).
	Output string
	// Weight and Bias name the tensors the node reads in the planned graph;
	// Bias is "" when there is none.
	Weight, Bias string
	// In and Out count the channels (features). For convolutions Kernel,
	// Stride, Pads, Dilation are h, w (pads: top, left, bottom, right).
	In, Out          int
	Kernel           [2]int
	Stride, Dilation [2]int
	Pads             [4]int
	Groups           int
	// TransW is set when a linear weight is stored (out, in).
	TransW bool
	// Block is the index of the block it belongs to, −1 outside any.
	Block int
	// Role is "patch_embed", "attn.qkv", "attn.q", "attn.k", "attn.v",
	// "attn.proj", "mlp.fc1", "mlp.fc2", "stem", "conv", "downsample",
	// "depthwise", "pointwise", "se", "classifier" or "".
	Role string
}

// Feature is a place where a head can be put.
type Feature struct {
	// Value is the name of the value in the planned graph.
	Value string
	// Kind is "pooled" (N, C), "tokens" (N, T, C), "map" (N, C, H, W) of the
	// backbone, or "neck": a map that a pyramid behind it hands to its heads.
	Kind     string
	Channels int
	// Stride is input pixels per map pixel, for maps, necks and token grids.
	Stride int
	// Grid is the token grid (rows, columns); Prefix counts class and register
	// tokens before it. Pool is how the pooled value is made: "token", "avg".
	Grid   [2]int
	Prefix int
	Pool   string
}

// Annotation is what vit or cnn recognised in a planned graph.
type Annotation struct {
	// Family is "vit", "cnn" or "hybrid"; Arch tells people more: "ViT
	// (timm style), 12 blocks, 3 heads, dim 192, patch 16".
	Family, Arch string
	Sites        []Site
	// Blocks lists, for every block in order, the value it ends in.
	Blocks   []string
	Features []Feature
	// Classifier is the final linear or 1×1 convolution before the output,
	// nil if the model ends in features. ClassifierInput is the pooled value
	// (N, C) it reads (for SqueezeNet, the map its 1×1 convolution reads).
	Classifier      *Site
	ClassifierInput string
	// Logits is the value before a final softmax; Classes its width.
	Logits  string
	Classes int
	// Params maps module parameter names ("blocks.0.norm1.bias") to tensors of
	// the planned graph that a bias mode or full fine-tuning may train.
	Params map[string]string
	// Detector is the detection head of the model, nil if none is recognised.
	Detector *Detector
	// Segmenter is what makes the model's class for every pixel, nil if nothing
	// does.
	Segmenter *Segmenter
	// Notes are words for people: what was guessed, what cannot be adapted.
	Notes []string
	Graph *ir.Graph
}

// Segmenter is a recognised semantic segmentation head: a 1×1 convolution whose
// map, enlarged, is the model's output.
type Segmenter struct {
	Classes int
	// Output is the last map of logits (N, Classes, H, W), enlarged as the file
	// does it; Logits the convolution's, before.
	Output, Logits string
	// ClassInput is what the convolution reads, with ClassChannels; Layer is its
	// path.
	ClassInput    string
	ClassChannels int
	Layer         string
	// Stride is the size of a cell of Logits in pixels of the input.
	Stride int
}

// The kinds of detection heads, by how their outputs become boxes.
const (
	// DetectYOLOX: centre and log size relative to the cell, objectness, classes
	// (arXiv:2107.08430).
	DetectYOLOX = "yolox"
	// DetectGFL: classes, and a distribution over the distance of each side
	// (arXiv:2006.04388), as NanoDet has it.
	DetectGFL = "gfl"
	// DetectYOLOv8: as GFL, in a file that also decodes the boxes (Ultralytics'
	// YOLOv8 and later, YOLOv6).
	DetectYOLOv8 = "yolov8"
	// DetectYOLOv5: boxes relative to anchors, objectness and classes in one map,
	// in a file that also decodes them (YOLOv5, YOLOv7).
	DetectYOLOv5 = "yolov5"
)

// Detector is a recognised detection head.
type Detector struct {
	Kind    string
	Classes int
	// Bins is the number of distances that a side's distribution covers, 0 for
	// heads without distributions. At is where in its cell the point lies that
	// distances are measured from: 0.5 for its centre, 0 for its top left corner.
	Bins int
	At   float64
	// Levels are the maps that are predicted on, finest first.
	Levels []DetectorLevel
}

// DetectorLevel names what one level of a detection head computes; all are maps
// (N, C, H, W) of one size.
type DetectorLevel struct {
	H, W, Stride int
	// Box, Object and Class are raw predictions: 4 (or 4·Bins), 1 and Classes
	// channels, Class and Object logits. Object is "" where there is none. With
	// Anchors, Class holds everything, one anchor after the other: box, object,
	// classes; Box and Object are "".
	Box, Object, Class string
	// Anchors are the widths and heights, in pixels, that boxes are relative to.
	Anchors [][2]float64
	// ClassInput is what the convolution of Class reads, with ClassChannels.
	ClassInput    string
	ClassChannels int
	// Layers are the paths of the convolutions that predict, that of Class last.
	Layers []string
}

// Joint reports whether one convolution makes both classes and boxes, the
// channels of the classes first.
func (l DetectorLevel) Joint() bool { return len(l.Layers) == 1 }
