package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/engine"
	"gopkg.in/yaml.v3"
)

var trainVerb = verb{"train", "fine-tune a backbone on your images", []string{
	"vislora train --model vit.onnx --data photos/",
	"vislora train --model resnet.onnx --data photos/ --mode linear-probe --epochs 10",
	"vislora train --model vit.onnx --data photos/ --lora-r 16 --lora-targets qkv,proj --preset inception",
	"vislora train --task detect --model yolox_nano.onnx --data shelves/ --names coco80",
	"vislora train --task segment --model vit.onnx --data smears/",
	"vislora train --resume runs/classify/train",
}, runTrain}

func runTrain(ctx context.Context, e *env, args []string) error {
	c := engine.DefaultTrainConfig()
	if path := earlyFlag(args, "cfg"); path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return usageError{err}
		}
		dec := yaml.NewDecoder(bytes.NewReader(b))
		dec.KnownFields(true)
		if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) { // EOF: the file is empty
			return usageError{fmt.Errorf("read %s: %s", path, strings.ReplaceAll(err.Error(), " not found in type engine.TrainConfig", " is not a setting"))}
		}
		if c.LoRA == nil { // "lora:" with nothing below
			c.LoRA = lora.DefaultConfig()
		}
	}
	e.fs.String("cfg", "", "YAML `file` with any of these settings; flags win over it")
	asJSON := e.fs.Bool("json", false, "print one JSON object on stdout")
	bind(e, "", reflect.ValueOf(&c).Elem())
	bindLoRA(e, c.LoRA)
	e.fs.StringVar(&c.Resume, "resume", "", "go on with the run in this `directory`")
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if err := none(positional); err != nil {
		return err
	}
	if c.Resume != "" {
		err = onlyMoved(e.fs)
	} else {
		err = c.Validate()
	}
	if err != nil {
		return usageError{err}
	}
	bar := newBar(e.err)
	c.Log = func(format string, args ...any) { bar.clear(); e.logf(format, args...) }
	c.Progress = bar.show
	res, err := engine.Train(ctx, c)
	bar.clear()
	if err != nil && !errors.Is(err, engine.ErrInterrupted) {
		return err
	}
	if *asJSON {
		if jerr := json.NewEncoder(e.out).Encode(res); jerr != nil {
			return jerr
		}
		return err
	}
	if err == nil {
		e.logf("%s", res.Metrics.Table())
		e.logf("best weights (epoch %d): %s", res.BestEpoch, res.Best)
		e.logf("report: %s/report.html", res.Dir)
		e.logf("next: vislora predict --weights %s --source IMAGES", res.Dir)
		e.logf("      vislora export --weights %s --out model.onnx --verify 10", res.Dir)
	}
	return err
}

// onlyMoved refuses flags that a resumed run would not obey.
func onlyMoved(fs *flag.FlagSet) error {
	var bad []string
	fs.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "resume", "json", "model", "data", "threads", "workers", "cache", "cache-prefix", "recompute", "max-memory", "micro-batch":
			if v := f.Value.String(); v == "" || v == "0" || v == "false" && f.Name == "recompute" {
				bad = append(bad, "--"+f.Name+"="+v) // what it goes on with stays
			}
		default:
			bad = append(bad, "--"+f.Name)
		}
	})
	if bad == nil {
		return nil
	}
	return fmt.Errorf("a resumed run goes on with its own settings: drop %s, or start a new run", strings.Join(bad, ", "))
}

// earlyFlag finds a flag's value before the others are parsed.
func earlyFlag(args []string, name string) string {
	for i, a := range args {
		if a == "--" {
			break
		}
		key, value, eq := strings.Cut(a, "=")
		if key != "--"+name && key != "-"+name {
			continue
		}
		if eq {
			return value
		}
		if i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// help is the usage text of settings, by YAML key.
var help = map[string]string{
	"task": "classify, detect, segment or instance", "model": "the backbone: an ONNX `file`", "data": "image `folder` or annotation file (see docs/format)", "mode": "lora, linear-probe or full",
	"epochs": "passes over the data; 0 = 20, more for boxes and pixels of few images", "batch": "images per step; 0 = 16, 8 for new heads on maps", "accumulate": "steps per update", "imgsz": "input size in pixels; 0 = the model's",
	"optimizer": "adamw or sgd", "lr0": "peak learning rate; 0 = 1e-3 lora (2e-3 on a CNN), 1e-4 full, 1e-2 linear-probe", "lrf": "share of lr0 left at the end", "cos_lr": "cosine schedule (else linear)",
	"warmup": "share of the steps", "weight_decay": "decoupled weight decay", "momentum": "of sgd", "clip_norm": "clip the gradient's norm; 0 = off",
	"loraplus_lr_ratio": "learning rate of B over that of A (LoRA+)", "head_lr_ratio": "learning rate of the head over that of the adapters", "ema": "decay of the weights' moving average; 0 = off", "patience": "stop after so many epochs without improvement; 0 = never",
	"label_smoothing": "0 to 1", "class_weights": "balanced: weigh classes by their rarity", "sampler": "balanced: draw every class equally often", "augment": "vary the training pictures",
	"mixup": "alpha; 0 = off", "cutmix": "alpha; 0 = off", "seed": "seed of everything random", "threads": "compute threads; 0 = one per processor", "dtype": engine.DTypeHelp, "recompute": "compute activations again instead of keeping them: a fraction of the memory for about a third more time", "max_memory": "most `memory` to use, as 2GiB or 800MB; a run that needs more computes activations again, then splits batches; default: what the machine has",
	"micro_batch": "images of a batch in the network at once, with the same gradient (classification); 0 = all", "workers": "image loading threads; 0 = one per processor",
	"cache": "ram: keep decoded images", "cache_prefix": "keep what is the same for a picture in every epoch, with --augment=false: auto, ram, disk (in the run's folder) or off (default auto)", "fraction": "share of the training images to use", "val_share": "share of an automatic validation split", "project": "folder of runs", "name": "name of this run",
	"exist_ok": "write into an existing run directory", "preset": "preprocessing: imagenet, inception, clip, caffe, cifar10 …", "mean": "per channel, comma separated", "std": "per channel, comma separated",
	"range": "what white is: 1 or 255", "channels": "RGB or BGR", "resize": "shorter, stretch or letterbox", "resize_to": "shorter side before the crop", "interpolation": "bilinear, bicubic, box or nearest",
	"rounding": "of the longer side: torchvision or nearest", "names": "class names of a model that carries none: `file`, coco80 or voc21",
	"mosaic": "probability of four pictures in one (detection)", "close_mosaic": "last epochs without mosaics", "degrees": "rotation, ± degrees (detection)", "translate": "± share of the picture (detection)",
	"scene_scale": "± share (detection)", "shear": "± degrees (detection)", "fliplr": "probability (detection)", "flipud": "probability (detection)",
	"hsv_h": "± turns (detection)", "hsv_s": "± share (detection)", "hsv_v": "± share (detection)",
	"dice": "weight of the Dice loss (segmentation)", "focal": "γ of the focal loss (segmentation)", "boundary": "how much more pixels at borders weigh (segmentation); 10 in U-Net",
	"scale": "RandomResizedCrop area", "ratio": "RandomResizedCrop aspect", "hflip": "probability", "vflip": "probability", "rotation": "degrees", "brightness": "jitter", "contrast": "jitter",
	"saturation": "jitter", "hue": "jitter", "rand_augment": "operations per image", "rand_augment_magnitude": "0 to 30", "erasing": "probability",
}

// bind registers a flag for every field with a YAML key, so that file, flag
// and args.yaml have one set of names. Nested augmentation and preprocessing
// settings are flags of their own.
func bind(e *env, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if key == "" || key == "-" || key == "lora" {
			continue
		}
		name, f := strings.ReplaceAll(key, "_", "-"), v.Field(i)
		if e.fs.Lookup(name) != nil { // "scale" of classification and of scenes
			name, key = "scene-"+name, "scene_"+key
		}
		switch p := f.Addr().Interface().(type) {
		case *string:
			e.fs.StringVar(p, name, *p, help[key])
		case *int:
			e.fs.IntVar(p, name, *p, help[key])
		case *uint64:
			e.fs.Uint64Var(p, name, *p, help[key])
		case *float64:
			e.fs.Float64Var(p, name, *p, help[key])
		case *bool:
			e.fs.BoolVar(p, name, *p, help[key])
		case *[]float64:
			e.fs.Func(name, help[key], func(s string) error { return parseFloats(s, p) })
		case *[2]float64:
			e.fs.Func(name, help[key]+" (low,high)", func(s string) error {
				var list []float64
				if err := parseFloats(s, &list); err != nil || len(list) != 2 {
					return fmt.Errorf("want two numbers with a comma")
				}
				copy(p[:], list)
				return nil
			})
		default:
			if f.Kind() == reflect.Struct {
				bind(e, prefix, f)
			}
		}
	}
}

func parseFloats(s string, dst *[]float64) error {
	*dst = nil
	for _, part := range strings.Split(s, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return err
		}
		*dst = append(*dst, v)
	}
	return nil
}

// bindLoRA registers PEFT's settings as --lora-….
func bindLoRA(e *env, c *lora.Config) {
	e.fs.IntVar(&c.R, "lora-r", c.R, "rank of the adapters")
	e.fs.Float64Var(&c.LoraAlpha, "lora-alpha", c.LoraAlpha, "scaling is alpha/r")
	e.fs.Float64Var(&c.LoraDropout, "lora-dropout", c.LoraDropout, "dropout before A")
	e.fs.Func("lora-targets", "layers: vit, cnn, all-linear, all-conv, all, names (qkv,proj), or a regular expression; default by architecture", func(s string) error {
		c.TargetModules = lora.ParseModules(s)
		return nil
	})
	e.fs.Func("lora-exclude", "layers to leave out, as --lora-targets", func(s string) error { c.ExcludeModules = lora.ParseModules(s); return nil })
	e.fs.Func("lora-layers", "blocks to adapt, counted from 0: 8-11, or 0,5,11; default all", func(s string) (err error) { c.Blocks, err = lora.ParseBlocks(s); return err })
	e.fs.Func("lora-modules-to-save", "modules trained whole, comma separated", func(s string) error { c.ModulesToSave = strings.Split(s, ","); return nil })
	e.fs.StringVar(&c.Bias, "lora-bias", c.Bias, "train the model's biases: none, all or lora_only")
	e.fs.BoolVar(&c.LoraBias, "lora-lora-bias", c.LoraBias, "give B a bias")
	e.fs.BoolVar(&c.UseRSLoRA, "lora-use-rslora", c.UseRSLoRA, "scale by alpha/sqrt(r)")
	e.fs.BoolVar(&c.UseDoRA, "lora-use-dora", c.UseDoRA, "weight-decomposed adaptation")
	e.fs.Func("lora-init", "initial weights: true, gaussian or false", func(s string) error { c.InitLoraWeights = lora.Init(s); return nil })
}
