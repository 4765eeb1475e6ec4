package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/vislora/vislora/vision/engine"
)

var exportVerb = verb{"export", "merge an adapter into an ONNX file any runtime loads", []string{
	"vislora export --weights runs/classify/train --out model.onnx --verify 10",
	"vislora export --weights runs/classify/train --out model.onnx --embed-preprocessing --verify 10 --data photos/",
	"vislora export --weights runs/detect/train --out detector.onnx --nms --conf 0.3 --verify 50 --data photos/",
	"vislora export --weights runs/instance/train --out objects.onnx --nms --verify 50 --data photos/",
	"vislora export --weights runs/segment/train --out pixels.onnx --argmax --verify 30 --data smears/",
	"vislora export --weights runs/segment/train --out pixels.onnx --embed-preprocessing --original-size --argmax",
	"vislora export --weights runs/classify/train --format peft --out adapter/",
}, runExport}

func runExport(ctx context.Context, e *env, args []string) error {
	var c engine.ExportConfig
	e.fs.StringVar(&c.Weights, "weights", "", "run directory, adapter folder or ONNX `file`")
	e.fs.StringVar(&c.Model, "model", "", "the base model, if it moved")
	e.fs.StringVar(&c.Format, "format", "onnx", "onnx or peft")
	e.fs.StringVar(&c.Out, "out", "", "`file` (onnx) or folder (peft) to write")
	e.fs.BoolVar(&c.EmbedPreprocessing, "embed-preprocessing", false, "the file takes uint8 RGB pictures (N, H, W, 3) of any size and prepares them itself")
	e.fs.BoolVar(&c.NMS, "nms", false, "choose the boxes inside the file: outputs boxes, scores, labels, images (detectors), and masks where every object has one; boxes are in pixels of the picture with --embed-preprocessing, else of the network's input")
	e.fs.Float64Var(&c.Conf, "conf", 0, "with --nms: lowest score of a box; 0 = 0.25")
	e.fs.Float64Var(&c.IoU, "iou", 0, "with --nms: overlap above which the lower of two boxes is dropped; 0 = 0.7")
	e.fs.IntVar(&c.MaxDet, "max-det", 0, "with --nms: most boxes of one picture; 0 = 300")
	e.fs.BoolVar(&c.Agnostic, "agnostic", false, "with --nms: boxes of different classes drop each other too")
	e.fs.BoolVar(&c.ArgMax, "argmax", false, "put out the classes of pixels, labels (N, H, W), and not their logits")
	e.fs.BoolVar(&c.OriginalSize, "original-size", false, "with --embed-preprocessing: put out classes of pixels, or their logits, at the picture's own size")
	e.fs.StringVar(&c.Names, "names", "", "class names of a bare model: `file`, coco80, voc21 or cifar10")
	e.fs.IntVar(&c.Verify, "verify", 0, "run the file in ONNX Runtime on `N` images and compare")
	e.fs.StringVar(&c.Data, "data", "", "images for --verify; without it, noise")
	e.fs.StringVar(&c.Split, "split", "", "split of --data; default the last there is")
	e.fs.IntVar(&c.Threads, "threads", 0, "compute threads; 0 = one per processor")
	asJSON := e.fs.Bool("json", false, "print one JSON object on stdout")
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if err := none(positional); err != nil {
		return err
	}
	if c.Out == "" {
		return usageError{fmt.Errorf("no output given: use --out FILE")}
	}
	c.Log = e.logf
	x, err := engine.Export(ctx, c)
	if x != nil && *asJSON {
		if jerr := json.NewEncoder(e.out).Encode(x); jerr != nil {
			return jerr
		}
	} else if x != nil {
		fmt.Fprintln(e.out, x)
	}
	return err
}
