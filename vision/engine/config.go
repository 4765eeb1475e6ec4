package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// The training modes.
const (
	ModeLoRA  = "lora"
	ModeProbe = "linear-probe"
	ModeFull  = "full"
)

// PreprocessOptions choose how pictures become inputs where the model does not
// say: a preset, and single settings on top of it.
type PreprocessOptions struct {
	Preset   string    `yaml:"preset,omitempty"` // see vision.PresetNames
	Mean     []float64 `yaml:"mean,flow,omitempty"`
	Std      []float64 `yaml:"std,flow,omitempty"`
	Range    float64   `yaml:"range,omitempty"`    // 1 or 255
	Channels string    `yaml:"channels,omitempty"` // RGB or BGR
	Resize   string    `yaml:"resize,omitempty"`   // shorter, stretch or letterbox
	// ResizeTo is the shorter side before the crop ("shorter" only).
	ResizeTo      int    `yaml:"resize_to,omitempty"`
	Interpolation string `yaml:"interpolation,omitempty"`
	// Rounding of the longer side: torchvision (default) or nearest.
	Rounding string `yaml:"rounding,omitempty"`
}

// TrainConfig is everything a training run is told. The zero value of a field
// means its default; [TrainConfig.Validate] reports all problems at once. The
// resolved set is written as args.yaml.
type TrainConfig struct {
	Task  string `yaml:"task"`  // classify (default), detect, segment or instance
	Model string `yaml:"model"` // ONNX file
	Data  string `yaml:"data"`  // folder or file, see docs/format
	Names string `yaml:"names"` // class names of the model, where it carries none
	Mode  string `yaml:"mode"`  // lora (default), linear-probe or full

	// Epochs is the number of passes over the data. 0, the default, is 20, and
	// for heads on maps as many as [TrainConfig.length] needs.
	Epochs     int `yaml:"epochs"`
	Batch      int `yaml:"batch"`      // 0, the default, is 16, and 8 for new heads on maps
	Accumulate int `yaml:"accumulate"` // batches per optimiser step, default 1
	ImgSz      int `yaml:"imgsz"`      // default: the model's

	Optimizer   string  `yaml:"optimizer"` // adamw (default) or sgd
	LR0         float64 `yaml:"lr0"`       // 0: [DefaultLR]
	LRF         float64 `yaml:"lrf"`       // share of lr0 left at the end, default 0
	CosLR       bool    `yaml:"cos_lr"`    // cosine (default) instead of linear
	Warmup      float64 `yaml:"warmup"`    // share of the steps, default 0.1
	WeightDecay float64 `yaml:"weight_decay"`
	Momentum    float64 `yaml:"momentum"`  // of sgd, default 0.9
	ClipNorm    float64 `yaml:"clip_norm"` // global norm, 0 = no clipping
	LoRAPlus    float64 `yaml:"loraplus_lr_ratio"`
	HeadLR      float64 `yaml:"head_lr_ratio"` // learning rate of the head over that of adapters, default 1
	EMA         float64 `yaml:"ema"`           // decay, 0 = off
	Patience    int     `yaml:"patience"`      // epochs without improvement, 0 = never stop early

	LabelSmoothing float64 `yaml:"label_smoothing"`
	ClassWeights   string  `yaml:"class_weights"` // "" or balanced
	Sampler        string  `yaml:"sampler"`       // "" (shuffle) or balanced

	Augment bool              `yaml:"augment"` // false: train on evaluation pictures
	Aug     transform.Augment `yaml:"aug"`
	// Scene varies pictures with boxes or masks; mosaics end before the last
	// CloseMosaic epochs.
	Scene       transform.SceneAugment `yaml:"scene"`
	CloseMosaic int                    `yaml:"close_mosaic"` // default 5
	// Dice, Focal and Boundary are those of the loss of segmentation: see
	// loss.SegmentConfig.
	Dice     float64 `yaml:"dice"` // default 1
	Focal    float64 `yaml:"focal"`
	Boundary float64 `yaml:"boundary"`
	MixUp    float64 `yaml:"mixup"`
	CutMix   float64 `yaml:"cutmix"`

	Seed    uint64 `yaml:"seed"`
	Threads int    `yaml:"threads"` // default: one per processor
	DType   string `yaml:"dtype"`   // of products: f32 (default), bf16x2 or bf16
	Workers int    `yaml:"workers"`
	// Recompute computes activations again in the backward pass instead of
	// keeping them.
	Recompute bool `yaml:"recompute"`
	// MaxMemory is the most memory to use, such as 2GiB; "" is what the machine
	// has. MicroBatch is the number of images of a batch that are in the network
	// at once; 0 is all.
	MaxMemory  string `yaml:"max_memory"`
	MicroBatch int    `yaml:"micro_batch"`
	Cache      string `yaml:"cache"` // "" or ram
	// CachePrefix is where that is kept which is the same for a picture in every
	// epoch: auto (default), ram, disk or off.
	CachePrefix string  `yaml:"cache_prefix"`
	Fraction    float64 `yaml:"fraction"`
	ValShare    float64 `yaml:"val_share"` // of an automatic split, default 0.2

	Project string `yaml:"project"` // default runs/<task>
	Name    string `yaml:"name"`    // default train
	ExistOK bool   `yaml:"exist_ok"`
	Resume  string `yaml:"-"` // run directory to go on with

	Preprocess PreprocessOptions `yaml:"preprocess"`
	LoRA       *lora.Config      `yaml:"lora"`

	// Hooks. All may be nil.
	Log      func(format string, args ...any) `yaml:"-"`
	Progress func(Progress)                   `yaml:"-"`

	plain bool // no plots and report, for tests of what comes before them
}

// Progress tells how far a run is.
type Progress struct {
	Epoch, Epochs int // Epoch counts from 1
	Step, Steps   int // within the epoch
	Loss, LR      float64
	ImagesPerSec  float64
	ETA           time.Duration
}

// DefaultTrainConfig holds the defaults.
func DefaultTrainConfig() TrainConfig {
	return TrainConfig{Task: string(vision.Classify), Mode: ModeLoRA, Accumulate: 1, Optimizer: "adamw", CosLR: true, Warmup: 0.1,
		WeightDecay: 0.01, Momentum: 0.9, LoRAPlus: 1, HeadLR: 1, Augment: true, Aug: transform.DefaultAugment(), Scene: transform.DefaultSceneAugment(), CloseMosaic: 5, Dice: 1, Fraction: 1, ValShare: 0.2, DType: DTypeF32, Name: "train", LoRA: lora.DefaultConfig()}
}

// DefaultLR is the default peak of the learning rate. Low-rank updates of
// convolutions bear twice the rate of those of a transformer's linear layers
// (chosen by validation accuracy: scripts/accuracy.sh).
func DefaultLR(mode, family string) float64 {
	switch {
	case mode == ModeFull:
		return 1e-4
	case mode == ModeProbe:
		return 1e-2
	case family == "cnn":
		return 2e-3
	}
	return 1e-3
}

// The number of steps that a head on maps is trained for at least: a new one
// starts from nothing, one that was kept knows its trade. Few images need many
// epochs for that.
const (
	newHeadSteps  = 600
	keptHeadSteps = 250 // of a detector; an imported segmenter takes as long as a new head
	mostEpochs    = 300
)

// length completes Epochs and Batch for so many training images.
func (c *TrainConfig) length(h *Head, images int) {
	fresh := false
	switch {
	case h.dense() == nil:
	case h.Detect != nil:
		fresh = h.Detect.Kind != kindOwn
	default:
		fresh = h.Segment.Kind != kindOwn
	}
	if c.Batch == 0 {
		if c.Batch = 16; fresh {
			c.Batch = 8
		}
	}
	if c.Epochs > 0 {
		return
	}
	c.Epochs = 20
	if h.dense() == nil {
		return
	}
	steps := newHeadSteps
	if !fresh && h.Detect != nil {
		steps = keptHeadSteps
	}
	perEpoch := (images + c.Batch - 1) / c.Batch
	c.Epochs = min(max(c.Epochs, (steps+perEpoch-1)/perEpoch), mostEpochs)
}

// Validate fills in what depends on other settings and reports everything that
// is wrong at once.
func (c *TrainConfig) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if _, err := vision.ParseTask(c.Task); err != nil {
		errs = append(errs, err)
	}
	if c.Model == "" {
		bad("no model given: use --model FILE.onnx")
	}
	if c.Data == "" {
		bad("no data given: use --data FOLDER")
	}
	if !slices.Contains([]string{ModeLoRA, ModeProbe, ModeFull}, c.Mode) {
		bad("mode is %q: use lora, linear-probe or full", c.Mode)
	}
	between := func(name string, v, lo, hi float64) {
		if !(v >= lo && v <= hi) {
			bad("%s is %v: use %v to %v", name, v, lo, hi)
		}
	}
	between("epochs", float64(c.Epochs), 0, 1e6)
	between("batch", float64(c.Batch), 0, 1<<16)
	between("accumulate", float64(c.Accumulate), 1, 1<<16)
	between("imgsz", float64(c.ImgSz), 0, 1<<13)
	between("lr0", c.LR0, 0, 1e3)
	between("lrf", c.LRF, 0, 1)
	between("warmup", c.Warmup, 0, 1)
	between("weight_decay", c.WeightDecay, 0, 1)
	between("momentum", c.Momentum, 0, 1)
	between("clip_norm", c.ClipNorm, 0, math.MaxFloat64)
	between("loraplus_lr_ratio", c.LoRAPlus, 1, 1e4)
	between("head_lr_ratio", c.HeadLR, 0.01, 1e4)
	between("ema", c.EMA, 0, 0.999999)
	between("patience", float64(c.Patience), 0, 1e6)
	between("label_smoothing", c.LabelSmoothing, 0, 0.999)
	between("fraction", c.Fraction, 1e-6, 1)
	between("val_share", c.ValShare, 0, 0.9)
	between("threads", float64(c.Threads), 0, 1024)
	between("micro_batch", float64(c.MicroBatch), 0, 1<<16)
	if err := checkDType(c.DType); err != nil {
		errs = append(errs, err)
	}
	if c.MaxMemory != "" {
		if _, err := ParseSize(c.MaxMemory); err != nil {
			bad("max_memory: %w", err)
		}
	}
	between("workers", float64(c.Workers), 0, 1024)
	oneOf := func(name, v string, ok ...string) {
		if !slices.Contains(ok, v) {
			bad("%s is %q: use one of %q", name, v, ok)
		}
	}
	oneOf("optimizer", c.Optimizer, "adamw", "sgd")
	oneOf("class_weights", c.ClassWeights, "", "balanced")
	oneOf("sampler", c.Sampler, "", "balanced")
	oneOf("cache", c.Cache, "", "ram")
	if c.CachePrefix == "" {
		c.CachePrefix = CacheAuto
	}
	oneOf("cache_prefix", c.CachePrefix, CacheAuto, CacheRAM, CacheDisk, CacheOff)
	if why := c.varies(); c.asked() && why != "" {
		bad("cache_prefix is %q, but %s", c.CachePrefix, why)
	}
	between("close_mosaic", float64(c.CloseMosaic), 0, 1e6)
	between("dice", c.Dice, 0, 1e3)
	between("focal", c.Focal, 0, 10)
	between("boundary", c.Boundary, 0, 1e3)
	errs = append(errs, c.Aug.Validate(), c.mix().Validate(), c.Scene.Validate())
	if c.Mode == ModeLoRA && c.LoRA != nil && !c.LoRA.TargetModules.IsZero() {
		if err := c.LoRA.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *TrainConfig) logf(format string, args ...any) {
	if c.Log != nil {
		c.Log(format, args...)
	}
}
