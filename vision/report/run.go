package report

import (
	"time"

	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/plot"
)

// Run is everything report.html tells about a run. Zero values are left out.
type Run struct {
	Name    string    // of the run directory
	Task    string    // classify, detect, segment or instance
	Mode    string    // lora, linear-probe or full
	Started time.Time // the zero time is left out
	Seconds float64   // of training
	Version string    // of vislora
	Seed    uint64

	Model Model
	Data  Data

	Adapter   Adapter
	Trainable int // parameters that were trained, head included
	Total     int // parameters of the network, head included

	History   History
	Epochs    int    // that were asked for
	BestEpoch int    // counts from 1
	Stopped   string // why it ended before Epochs: "no better for 5 epochs"

	// Evaluations of the best weights, the split that chose them first.
	Evaluations []Evaluation

	Pictures     Pictures // confusion matrix and curves are the first evaluation's
	TrainBatches []string // file names relative to the run directory
	ValBatches   []Batch
	Mistakes     string

	Args     string // args.yaml
	Warnings []string
	Skipped  []Skip

	// Weights is the folder of the best weights, as one would type it. From it
	// come the commands under "How to use it".
	Weights string
}

// Model is the base model.
type Model struct {
	Path, SHA256 string
	Arch         string // "ViT-Ti/16, 12 blocks of width 192"
	Input        string // "224×224, RGB 0–1, mean …"
	InputSource  string // where the preprocessing comes from
}

// Data is the data set.
type Data struct {
	Path       string
	Classes    []string
	MultiLabel bool
	// Splits are train, val and test: images per class, for detection objects
	// per class.
	Splits []plot.Split
	// Images per split, in the order of Splits. Needed where the counts of the
	// classes add up to more: for multi-label data, objects and masks.
	Images []int
}

// Adapter is what was added to the model; Layers 0 means nothing was.
type Adapter struct {
	Method string // LoRA (default), DoRA, rsLoRA
	Rank   int
	Layers int
	Table  string // one line per layer, for a fixed-width font
}

// Evaluation is the score of one split. One of the results is set; of instances
// both Detection, for the boxes, and Masks.
type Evaluation struct {
	Split          string
	Images         int
	Resamples      int // of the bootstrap intervals
	Classification *metric.Classification
	MultiLabel     *metric.MultiLabel
	Detection      *Detection
	Masks          *Detection
	Segmentation   *metric.Segmentation
}

// Batch is a pair of sheets, of the same images.
type Batch struct{ Labels, Pred string }

// Skip is a file that was left out, and why.
type Skip struct{ File, Reason string }
