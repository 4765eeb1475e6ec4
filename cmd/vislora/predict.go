package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/vislora/vislora/vision/engine"
)

var predictVerb = verb{"predict", "classify images and draw the answers", []string{
	"vislora predict --weights runs/classify/train --source new_photos/",
	"vislora predict --weights squeezenet.onnx --source 'photos/*.jpg' --names imagenet.txt --preset caffe",
}, runPredict}

func runPredict(ctx context.Context, e *env, args []string) error {
	var c engine.PredictConfig
	e.fs.StringVar(&c.Weights, "weights", "", "run directory, adapter folder or ONNX `file`")
	e.fs.StringVar(&c.Model, "model", "", "the base model, if it moved")
	e.fs.StringVar(&c.Source, "source", "", "image, folder or pattern")
	e.fs.StringVar(&c.Names, "names", "", "class names of a bare model: `file`, coco80, voc21 or cifar10")
	e.fs.IntVar(&c.ImgSz, "imgsz", 0, "input size; 0 = the model's")
	e.fs.IntVar(&c.Batch, "batch", 0, "images per step; 0 = 16")
	e.fs.IntVar(&c.Threads, "threads", 0, "compute threads; 0 = one per processor")
	e.fs.IntVar(&c.Workers, "workers", 0, "image loading threads")
	e.fs.IntVar(&c.Top, "top", 5, "classes drawn and printed; at least 1")
	e.fs.StringVar(&c.Project, "project", "", "folder of results, default runs/predict")
	e.fs.StringVar(&c.Name, "name", "predict", "name of the result directory")
	e.fs.BoolVar(&c.ExistOK, "exist-ok", false, "write into an existing directory")
	e.fs.BoolVar(&c.SaveJSON, "save-json", false, "kept for users of other tools: predictions.json is always written")
	e.fs.BoolVar(&c.SaveLogits, "save-logits", false, "add raw values to predictions.json")
	e.fs.BoolVar(&c.NoSave, "nosave", false, "print only, write nothing")
	bind(e, "", reflect.ValueOf(&c.Preprocess).Elem())
	asJSON := e.fs.Bool("json", false, "print one JSON object on stdout")
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if len(positional) == 1 && c.Source == "" {
		c.Source, positional = positional[0], nil
	}
	if err := none(positional); err != nil {
		return err
	}
	if c.Source == "" {
		return usageError{fmt.Errorf("no source given: use --source FILE, FOLDER or a pattern")}
	}
	if c.Top < 1 {
		return usageError{fmt.Errorf("--top is %d: use 1 or more", c.Top)}
	}
	c.Log = e.logf
	p, err := engine.Predict(ctx, c)
	if err != nil {
		return err
	}
	for _, s := range p.Skipped {
		e.logf("skipped  %s: %s", s.Name, s.Reason)
	}
	if p.Dir != "" {
		e.logf("written  %s", p.Dir)
	}
	if *asJSON {
		return json.NewEncoder(e.out).Encode(p.Images)
	}
	for _, im := range p.Images {
		var parts []string
		for _, q := range im.Predictions[:min(c.Top, len(im.Predictions))] {
			parts = append(parts, fmt.Sprintf("%s %.3f", q.Name, q.Score))
		}
		fmt.Fprintf(e.out, "%s  %s\n", im.File, strings.Join(parts, ", "))
	}
	return nil
}
