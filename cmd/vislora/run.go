package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/vislora/vislora/vision/engine"
)

var runVerb = verb{"run", "run a graph on given .npy tensors", []string{
	"vislora run model.onnx --input input=x.npy --out outputs/",
	"vislora run model.onnx --adapter runs/classify/train/weights/best --input input=x.npy --out outputs/",
}, runRun}

func runRun(_ context.Context, e *env, args []string) error {
	c := engine.RunConfig{Inputs: map[string]string{}}
	e.fs.StringVar(&c.Adapter, "adapter", "", "adapter folder to put on the model")
	e.fs.StringVar(&c.Out, "out", "", "folder for the outputs, one .npy each")
	e.fs.Func("input", "`NAME=FILE.npy`, once per input", func(s string) error {
		name, file, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("want NAME=FILE.npy")
		}
		c.Inputs[name] = file
		return nil
	})
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if len(positional) != 1 {
		return usageError{fmt.Errorf("want one model: vislora run MODEL.onnx --input NAME=FILE.npy --out DIR")}
	}
	if c.Out == "" {
		return usageError{fmt.Errorf("no output folder given: use --out DIR")}
	}
	c.Model = positional[0]
	written, err := engine.RunGraph(c)
	if err != nil {
		return err
	}
	for _, w := range written {
		fmt.Fprintln(e.out, w)
	}
	return nil
}
