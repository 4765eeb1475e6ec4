package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/vislora/vislora/vision/engine"
)

var valVerb = verb{"val", "evaluate weights on a split", []string{
	"vislora val --weights runs/classify/train --data photos/ --split test",
	"vislora val --weights runs/detect/train --data shelves/ --save-coco results.json",
	"vislora val --weights model.onnx --data photos/ --names classes.txt --preset imagenet --json",
}, runVal}

func runVal(ctx context.Context, e *env, args []string) error {
	var c engine.ValConfig
	e.fs.StringVar(&c.Weights, "weights", "", "run directory, adapter folder or ONNX `file`")
	e.fs.StringVar(&c.Model, "model", "", "the base model, if it moved")
	e.fs.StringVar(&c.Data, "data", "", "image `folder`, or annotations (docs/format)")
	e.fs.StringVar(&c.Split, "split", "val", "train, val or test")
	e.fs.StringVar(&c.Names, "names", "", "class names of a bare model: `file`, coco80, voc21 or cifar10")
	e.fs.IntVar(&c.ImgSz, "imgsz", 0, "input size; 0 = the model's")
	e.fs.Float64Var(&c.PixelSize, "pixel-size", 0, "side of a pixel in `mm`, for distances of borders (classes of pixels)")
	e.fs.IntVar(&c.Batch, "batch", 16, "images per step")
	e.fs.IntVar(&c.Threads, "threads", 0, "compute threads; 0 = one per processor")
	e.fs.StringVar(&c.DType, "dtype", engine.DTypeF32, engine.DTypeHelp)
	e.fs.IntVar(&c.Workers, "workers", 0, "image loading threads")
	e.fs.Uint64Var(&c.Seed, "seed", 0, "seed of the bootstrap and of an automatic split; 0 = the training's")
	e.fs.Float64Var(&c.ValShare, "val-share", 0, "share of an automatic validation split; 0 = as in training")
	bind(e, "", reflect.ValueOf(&c.Preprocess).Elem())
	asJSON := e.fs.Bool("json", false, "print one JSON object on stdout")
	save := e.fs.String("save-json", "", "write the metrics to this `file` too")
	results := e.fs.String("save-coco", "", "write what was found to this `file`, as COCO results with the ids of the annotation file (boxes, masks of objects)")
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if err := none(positional); err != nil {
		return err
	}
	if c.Data == "" {
		return usageError{fmt.Errorf("no data given: use --data FOLDER")}
	}
	c.Log = e.logf
	v, err := engine.Validate(ctx, c)
	if err != nil {
		return err
	}
	b, err := json.Marshal(v.Metrics)
	if err != nil {
		return err
	}
	if *save != "" {
		if err := engine.WriteFile(*save, append(b, '\n')); err != nil {
			return err
		}
	}
	if *asJSON {
		_, err = fmt.Fprintln(e.out, string(b))
	} else {
		_, err = fmt.Fprint(e.out, v.Metrics.Table())
	}
	if err != nil || *results == "" {
		return err
	}
	found, left, err := v.COCOResults()
	if err != nil {
		return err
	}
	if left > 0 {
		e.logf("note     %d objects are of classes that the annotations have no id for: left out of %s", left, *results)
	}
	return engine.WriteFile(*results, found)
}
