package main

import (
	"context"
	"encoding/json"

	"github.com/vislora/vislora/vision/engine"
)

var benchVerb = verb{"bench", "measure speed and memory of one configuration", []string{
	"vislora bench --model vit_small.onnx --mode train --batch 8 --threads 2 --lora-targets all",
	"vislora bench --model resnet50.onnx --mode infer --batch 1 --profile",
}, runBench}

func runBench(_ context.Context, e *env, args []string) error {
	var c engine.BenchConfig
	e.fs.StringVar(&c.Model, "model", "", "ONNX `file`")
	e.fs.StringVar(&c.Mode, "mode", "train", "train (LoRA), probe, full or infer")
	e.fs.IntVar(&c.Batch, "batch", 8, "images per step")
	e.fs.StringVar(&c.DType, "dtype", engine.DTypeF32, "of products: f32, or bf16 where the processor is faster so")
	e.fs.IntVar(&c.Threads, "threads", 0, "compute threads; 0 = one per processor")
	e.fs.StringVar(&c.Targets, "lora-targets", "", "as for train; default by architecture")
	e.fs.IntVar(&c.Rank, "lora-r", 8, "rank")
	e.fs.IntVar(&c.Steps, "steps", 20, "timed steps")
	e.fs.IntVar(&c.ImgSz, "imgsz", 0, "input size; 0 = the model's")
	e.fs.BoolVar(&c.Recompute, "recompute", false, "as for train: compute activations again instead of keeping them")
	e.fs.BoolVar(&c.Profile, "profile", false, "add the time of every kind of operator")
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if err := none(positional); err != nil {
		return err
	}
	b, err := engine.Bench(c)
	if err != nil {
		return err
	}
	return json.NewEncoder(e.out).Encode(b)
}
