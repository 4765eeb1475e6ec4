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
	"vislora inspect backbone.onnx --json",
}, runInspect}

func runInspect(_ context.Context, e *env, args []string) error {
	imgsz := e.fs.Int("imgsz", 0, "input size; 0 = the model's")
	asJSON := e.fs.Bool("json", false, "print one JSON object on stdout")
	var pre engine.PreprocessOptions
	bind(e, "", reflect.ValueOf(&pre).Elem())
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if len(positional) != 1 {
		return usageError{fmt.Errorf("want one model: vislora inspect MODEL.onnx")}
	}
	in, err := engine.Inspect(positional[0], *imgsz, pre)
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
