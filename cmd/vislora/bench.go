package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/engine"
)

var benchVerb = verb{"bench", "measure speed and memory of one configuration", []string{
	"vislora bench --model vit_small.onnx --mode train --batch 8 --threads 2 --lora-targets all",
	"vislora bench --model vit_tiny.onnx --mode train --lora-layers 8-11 --cached-prefix",
	"vislora bench --model resnet50.onnx --mode infer --batch 1 --profile",
	"vislora bench --mode data --data photos/ --threads 1",
}, runBench}

func runBench(ctx context.Context, e *env, args []string) error {
	var c engine.BenchConfig
	e.fs.StringVar(&c.Model, "model", "", "ONNX `file`")
	e.fs.StringVar(&c.Mode, "mode", "train", "train (LoRA), probe, full, infer, or data: reading and augmenting the pictures of --data")
	data := e.fs.String("data", "", "`folder` of class folders, for --mode data")
	e.fs.IntVar(&c.Batch, "batch", 8, "images per step")
	e.fs.StringVar(&c.DType, "dtype", engine.DTypeF32, engine.DTypeHelp)
	e.fs.IntVar(&c.Threads, "threads", 0, "compute threads, or loading threads; 0 = one per processor")
	e.fs.StringVar(&c.Targets, "lora-targets", "", "as for train; default by architecture")
	e.fs.Func("lora-layers", "as for train", func(s string) (err error) { c.Blocks, err = lora.ParseBlocks(s); return err })
	e.fs.BoolVar(&c.CachedPrefix, "cached-prefix", false, "measure steps whose part before the adapters was kept (see train --cache-prefix), and compare with steps in one piece")
	e.fs.IntVar(&c.Rank, "lora-r", 8, "rank")
	e.fs.IntVar(&c.Steps, "steps", 20, "timed steps")
	e.fs.Float64Var(&c.MaxSeconds, "max-seconds", 0, "end the timed steps after so long, at least 3 of them; 0 = no limit")
	e.fs.IntVar(&c.ImgSz, "imgsz", 0, "input size; 0 = the model's")
	e.fs.BoolVar(&c.Recompute, "recompute", false, "as for train: compute activations again instead of keeping them")
	e.fs.BoolVar(&c.Profile, "profile", false, "add time and speed of every kind of operator, and print them as a table on stderr")
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if err := none(positional); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		value int
		least int
	}{{"batch", c.Batch, 1}, {"steps", c.Steps, 1}, {"lora-r", c.Rank, 1}, {"threads", c.Threads, 0}, {"imgsz", c.ImgSz, 0}} {
		if f.value < f.least {
			return fmt.Errorf("--%s is %d: use at least %d", f.name, f.value, f.least)
		}
	}
	if c.Mode == "data" {
		b, err := engine.BenchData(ctx, engine.BenchDataConfig{Data: *data, Batch: c.Batch, Threads: c.Threads, ImgSz: c.ImgSz})
		if err != nil {
			return err
		}
		return json.NewEncoder(e.out).Encode(b)
	}
	b, err := engine.Bench(ctx, c)
	if err != nil {
		return err
	}
	if c.Profile {
		e.logf("%s", b.ProfileTable())
	}
	return json.NewEncoder(e.out).Encode(b)
}
