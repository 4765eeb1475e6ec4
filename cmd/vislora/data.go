package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/vislora/vislora/vision/engine"
)

var dataVerb = verb{"data", "check a data set: counts, sizes, broken files, leakage", []string{
	"vislora data check photos/",
	"vislora data check photos/ --out check/ --json",
}, runData}

func runData(_ context.Context, e *env, args []string) error {
	var c engine.CheckConfig
	e.fs.StringVar(&c.Out, "out", "", "folder for pictures of the data (class counts, sample and augmentation sheets)")
	e.fs.Uint64Var(&c.Seed, "seed", 0, "seed of an automatic split")
	asJSON := e.fs.Bool("json", false, "print one JSON object on stdout")
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if len(positional) != 2 || positional[0] != "check" {
		return usageError{fmt.Errorf("want: vislora data check PATH")}
	}
	c.Data = positional[1]
	d, err := engine.CheckData(c)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(e.out).Encode(d)
	}
	fmt.Fprint(e.out, d)
	return nil
}
