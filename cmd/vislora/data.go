package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/vislora/vislora/vision/engine"
)

var dataVerb = verb{"data", "check a data set: counts, sizes, broken and doubtful labels, leakage", []string{
	"vislora data check photos/",
	"vislora data check shop/instances_train.json --imgsz 640 --out check/",
	"vislora data check photos/ --out check/ --json",
}, runData}

func runData(ctx context.Context, e *env, args []string) error {
	var c engine.CheckConfig
	e.fs.StringVar(&c.Task, "task", "", "classify, detect, segment or instance; without it, what the data looks like")
	e.fs.StringVar(&c.Out, "out", "", "`folder` for pictures of the data: class counts, samples, doubtful labels, augmentation")
	e.fs.IntVar(&c.ImgSz, "imgsz", 0, "side of the network's input in `pixels`, to tell what is left of small boxes in it")
	e.fs.BoolVar(&c.Quick, "quick", false, "do not decode the images: faster, but damage behind their headers and equal pixels in different files are not seen")
	e.fs.IntVar(&c.Workers, "workers", 0, "image loading threads; 0 = one per processor")
	e.fs.Uint64Var(&c.Seed, "seed", 0, "seed of an automatic split and of the samples that are drawn")
	asJSON := e.fs.Bool("json", false, "print one JSON object on stdout")
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if len(positional) != 2 || positional[0] != "check" {
		return usageError{fmt.Errorf("want: vislora data check PATH")}
	}
	c.Data, c.Log = positional[1], e.logf
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	d, err := engine.CheckData(ctx, c)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(e.out).Encode(d)
	}
	fmt.Fprint(e.out, d)
	return nil
}
