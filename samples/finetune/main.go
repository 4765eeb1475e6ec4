// Finetune trains a backbone on a folder of images and classifies one of them,
// the way a Go program would use vislora as a library:
//
//	go run ./samples/finetune -model samples/backbones/vit_64.onnx -data samples/retail
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/engine"
)

func main() {
	log.SetFlags(0)
	model := flag.String("model", "samples/backbones/vit_64.onnx", "backbone")
	data := flag.String("data", "samples/retail", "image folder")
	epochs := flag.Int("epochs", 5, "passes over the data")
	flag.Parse()
	// Ctrl-C ends the run at the next step; what was done is saved.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := finetune(ctx, *model, *data, *epochs); err != nil {
		log.Fatal(err)
	}
}

func finetune(ctx context.Context, model, data string, epochs int) error {
	c := engine.DefaultTrainConfig()
	c.Model, c.Data, c.Epochs, c.Project = model, data, epochs, filepath.Join("runs", "samples")
	c.LoRA.R = 4                                    // half the default rank
	c.LoRA.TargetModules = lora.ParseModules("qkv") // attention only
	c.LoRA.UseDoRA = true                           // with a magnitude per output
	c.Log = func(format string, args ...any) { log.Printf(format, args...) }
	res, err := engine.Train(ctx, c)
	if err != nil {
		return err
	}
	fmt.Printf("best epoch %d, accuracy %.3f\n", res.BestEpoch, float64(res.Metrics.AccuracyTop1))

	images, err := filepath.Glob(filepath.Join(data, "test", "*", "*"))
	if err != nil || len(images) == 0 {
		return fmt.Errorf("no test images under %s: %v", data, err)
	}
	p, err := engine.Predict(ctx, engine.PredictConfig{Weights: res.Dir, Source: images[0], NoSave: true})
	if err != nil {
		return err
	}
	for _, q := range p.Images[0].Predictions[:3] {
		fmt.Printf("%s: %s %.3f\n", images[0], q.Name, q.Score)
	}
	return nil
}
