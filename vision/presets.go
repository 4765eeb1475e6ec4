package vision

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// presets are the preprocessings that published models were trained with.
var presets = map[string]Preprocess{
	// torchvision and most of timm.
	"imagenet": {
		Mean: [3]float64{.485, .456, .406}, Std: [3]float64{.229, .224, .225}, Range: 1, Channels: RGB,
		Size: [2]int{224, 224}, Resize: ResizeShorter, ResizeTo: 256, Interpolation: Bilinear,
	},
	// The Inception family, timm's augreg ViTs, Hugging Face's ViT.
	"inception": {
		Mean: [3]float64{.5, .5, .5}, Std: [3]float64{.5, .5, .5}, Range: 1, Channels: RGB,
		Size: [2]int{224, 224}, Resize: ResizeShorter, ResizeTo: 256, Interpolation: Bilinear,
	},
	// CLIP image towers (arXiv 2103.00020).
	"clip": {
		Mean: [3]float64{.48145466, .4578275, .40821073}, Std: [3]float64{.26862954, .26130258, .27577711},
		Range: 1, Channels: RGB,
		Size: [2]int{224, 224}, Resize: ResizeShorter, ResizeTo: 224, Interpolation: Bicubic,
	},
	// Models that came from Caffe, as Caffe2's and the ONNX zoo's loaders feed
	// them: cubic, the longer side rounded to nearest.
	"caffe": {
		Mean: [3]float64{103.939, 116.779, 123.68}, Std: [3]float64{1, 1, 1}, Range: 255, Channels: BGR,
		Size: [2]int{224, 224}, Resize: ResizeShorter, ResizeTo: 256, Interpolation: Bicubic, Rounding: RoundNearest,
	},
	// Megvii's YOLOX: raw BGR pixels, the image in the top left corner.
	"yolox": {
		Std: [3]float64{1, 1, 1}, Range: 255, Channels: BGR,
		Size: [2]int{416, 416}, Resize: ResizeLetterbox, Interpolation: Bilinear, Pad: 114, Align: AlignTopLeft,
	},
	// Ultralytics' YOLOv5 and later: RGB from 0 to 1, the image centred.
	"yolo": {
		Std: [3]float64{1, 1, 1}, Range: 1, Channels: RGB,
		Size: [2]int{640, 640}, Resize: ResizeLetterbox, Interpolation: Bilinear, Pad: 114,
	},
	// NanoDet: ImageNet's mean and deviation in BGR, stretched.
	"nanodet": {
		Mean: [3]float64{103.53, 116.28, 123.675}, Std: [3]float64{57.375, 57.12, 58.395}, Range: 255, Channels: BGR,
		Size: [2]int{320, 320}, Resize: ResizeStretch, Interpolation: Bilinear,
	},
	// CIFAR-10's own mean and deviation, 32×32, no crop.
	"cifar10": {
		Mean: [3]float64{.4914, .4822, .4465}, Std: [3]float64{.2470, .2435, .2616}, Range: 1, Channels: RGB,
		Size: [2]int{32, 32}, Resize: ResizeStretch, Interpolation: Bilinear,
	},
	// Pixels from 0 to 1 and nothing else.
	"unit": {
		Std: [3]float64{1, 1, 1}, Range: 1, Channels: RGB,
		Size: [2]int{224, 224}, Resize: ResizeShorter, ResizeTo: 256, Interpolation: Bilinear,
	},
}

// PresetNames lists the presets, sorted.
func PresetNames() []string { return slices.Sorted(maps.Keys(presets)) }

// Preset returns a preprocessing by its name.
func Preset(name string) (Preprocess, error) {
	p, ok := presets[name]
	if !ok {
		return Preprocess{}, fmt.Errorf("unknown preset %q: use one of %s", name, strings.Join(PresetNames(), ", "))
	}
	return p, nil
}
