// Adapters shows what vislora sees in a model, which layers an adapter
// configuration chooses and what it costs, and merges a PEFT adapter into the
// ONNX file:
//
//	go run ./samples/adapters -model model.onnx
//	go run ./samples/adapters -model model.onnx -adapter peft_folder -out merged.onnx
package main

import (
	"flag"
	"fmt"
	"log"

	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/engine"
)

func main() {
	log.SetFlags(0)
	model := flag.String("model", "samples/backbones/resnet_64.onnx", "ONNX file")
	targets := flag.String("targets", "all", "layers: a preset, names, or a regular expression")
	rank := flag.Int("r", 8, "rank")
	adapter := flag.String("adapter", "", "a folder that PEFT or vislora wrote")
	out := flag.String("out", "merged.onnx", "where the merged model goes")
	flag.Parse()
	var err error
	if *adapter == "" {
		err = plan(*model, *targets, *rank)
	} else {
		err = merge(*model, *adapter, *out)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// plan prints the sites that a configuration adapts.
func plan(model, targets string, rank int) error {
	n, err := engine.OpenNetwork(model, engine.NetworkOptions{})
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Println(n.Annotation.Arch)
	c := lora.DefaultConfig()
	c.R, c.TargetModules = rank, lora.ParseModules(targets)
	classifier := ""
	if n.Annotation.Classifier != nil {
		classifier = n.Annotation.Classifier.Path
	}
	p, err := lora.NewPlan(c, n.Annotation.Sites, classifier)
	if err != nil {
		return err
	}
	fmt.Println(p.Table())
	return nil
}

// merge writes model + adapter as one ONNX file. Everything that was not merged
// keeps its bytes.
func merge(model, adapter, out string) error {
	n, err := engine.OpenNetwork(model, engine.NetworkOptions{})
	if err != nil {
		return err
	}
	defer n.Close()
	if _, err := n.LoadAdapter(adapter, false); err != nil {
		return err
	}
	report, err := n.WriteMerged(out, nil)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d tensors changed, %d added\n", out, len(report.Tensors), len(report.Added))
	return nil
}
