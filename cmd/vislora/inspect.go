package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"

	"github.com/vislora/vislora/vision/engine"
)

var inspectVerb = verb{"inspect", "what vislora sees in a model: architecture, adapter sites, features", []string{
	"vislora inspect backbone.onnx",
	"vislora inspect backbone.onnx --graph backbone.html --lora-r 16",
}, runInspect}

func runInspect(_ context.Context, e *env, args []string) error {
	var c engine.InspectConfig
	e.fs.IntVar(&c.ImgSz, "imgsz", 0, "input size; 0 = the model's")
	e.fs.IntVar(&c.Batch, "batch", 8, "images of the memory figures")
	e.fs.IntVar(&c.Rank, "lora-r", 8, "rank of the adapter costs")
	e.fs.StringVar(&c.Graph, "graph", "", "draw the rebuilt graph, adapter sites marked, into this .svg or .html `file`")
	asJSON := e.fs.Bool("json", false, "print one JSON object on stdout")
	bind(e, "", reflect.ValueOf(&c.Preprocess).Elem())
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if len(positional) != 1 {
		return usageError{fmt.Errorf("want one model: vislora inspect MODEL.onnx")}
	}
	c.Model = positional[0]
	in, err := engine.Inspect(c)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(e.out).Encode(in)
	}
	fmt.Fprint(e.out, in)
	return nil
}

var versionVerb = verb{"version", "what is compiled in and what the CPU offers", []string{"vislora version", "vislora version | grep kernels"}, runVersion}

func runVersion(_ context.Context, e *env, args []string) error {
	if _, err := e.parse(args); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "vislora %s, %s %s/%s\n%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, engine.Capabilities())
	return nil
}
