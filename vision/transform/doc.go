// Package transform turns pictures into the input of a model: resizing that
// equals Pillow's to the byte, crops, augmentation as torchvision defines it,
// normalisation straight into a batch of float32 (N, H, W, C). A [Pipeline] is
// for pictures with labels; a [ScenePipeline] moves boxes, polygons and masks
// along with the pixels.
//
// Every random number is keyed by seed, epoch and image ([Key]), never by the
// order in which workers happen to run: the same key gives the same picture.
package transform
