package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/imagefolder"
	"github.com/vislora/vislora/datasets/masks"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/metric"
)

// ValConfig says what to evaluate on what.
type ValConfig struct {
	Weights string
	Model   string
	Data    string
	Split   string // default val
	Names   string
	ImgSz   int
	Batch   int // default 16
	Threads int
	DType   string // f32 (default) or bf16
	Workers int
	// Seed and ValShare make an automatic split; 0 takes those that the
	// weights were trained with, so that no training image is validated on.
	Seed     uint64
	ValShare float64
	// PixelSize is the side of a pixel in mm, for distances of borders; 0: not
	// known.
	PixelSize  float64
	Bootstrap  int // resamples of the 95 % intervals, default 1000
	Preprocess PreprocessOptions
	Log        func(format string, args ...any)
}

// Metrics is metrics.json.
type Metrics struct {
	*metric.Classification `json:",omitempty"`
	MultiLabel             *metric.MultiLabel `json:"multi_label,omitempty"`
	// The keys of these stand beside the others.
	Detection       *DetectionMetrics    `json:"-"`
	Instances       *InstanceMetrics     `json:"-"`
	Segmentation    *metric.Segmentation `json:"-"`
	Task            string               `json:"task"`
	Model           string               `json:"model"`
	Data            string               `json:"data"`
	Split           string               `json:"split"`
	Images          int                  `json:"images"`
	Skipped         int                  `json:"skipped,omitempty"`
	Seed            uint64               `json:"seed"`
	Seconds         float64              `json:"seconds"`
	ImagesPerSec    float64              `json:"images_per_s"`
	PeakRSS         int                  `json:"peak_rss_mb"`
	TrainableParams int                  `json:"trainable_params"`
	TotalParams     int                  `json:"total_params"`
	Classes         []string             `json:"classes"`
}

// Validation is a split's metrics and what they were computed from.
type Validation struct {
	Metrics *Metrics
	scores  *scores // of a classifier
	found   *found  // by a detector
	eval    *metric.COCOEval
	// maskEval is that of masks, where objects have some.
	maskEval *metric.COCOEval
	pixels   *segmented // by a segmenter
	masks    *masks.Set
	loaded   *Loaded
	data     *datasets.Dataset
}

// Validate evaluates weights on a split of a data set.
func Validate(ctx context.Context, c ValConfig) (*Validation, error) {
	l, err := OpenWeights(WeightsOptions{Weights: c.Weights, Model: c.Model, Names: c.Names, ImgSz: c.ImgSz, Preprocess: c.Preprocess})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if c.Split == "" {
		c.Split = datasets.Val
	}
	if c.Data == "" {
		return nil, errors.New("no data given: use --data FOLDER")
	}
	c.splitAsTrained(l)
	switch l.Task {
	case vision.Detect, vision.Instance:
		return l.validateDetection(ctx, c)
	case vision.Segment:
		return l.validateSegmentation(ctx, c)
	}
	return l.validateClasses(ctx, c)
}

// validateClasses scores a classifier.
func (l *Loaded) validateClasses(ctx context.Context, c ValConfig) (*Validation, error) {
	names := l.Classes
	if l.unnamed {
		names = nil // told below
	}
	d, err := openData(c.Data, names, imagefolder.Options{Seed: c.Seed, Val: c.ValShare})
	if err != nil {
		return nil, err
	}
	if l.unnamed {
		return nil, fmt.Errorf("%s does not name its %d classes, so they cannot be matched with those of %s (%s): give them with --names FILE", c.Weights, l.width(), c.Data, datasets.Names(d.Classes))
	}
	samples, err := d.Require(c.Split)
	if err != nil {
		return nil, fmt.Errorf("%w: choose one with --split", err)
	}
	s, err := openSession(c.Threads, c.DType)
	if err != nil {
		return nil, err
	}
	defer s.close()
	batch := c.Batch
	if batch == 0 {
		batch = 16
	}
	ev := newEvaluator(l.Network, s, l.Pre, min(batch, len(samples)), c.Workers, nil)
	defer ev.close()
	sc, err := ev.logits(ctx, samples)
	if err != nil {
		return nil, err
	}
	if sc.Classes != len(d.Classes) {
		return nil, fmt.Errorf("the model gives %d logits, the data has %d classes: a bare backbone needs a head trained on this data", sc.Classes, len(d.Classes))
	}
	boot := c.Bootstrap
	if boot == 0 {
		boot = 1000
	}
	v := &Validation{scores: sc, loaded: l, data: d}
	m := l.metrics(c, len(sc.Samples), len(sc.Skipped), sc.Seconds, d.Classes)
	if m.Classification, m.MultiLabel, err = sc.score(d.Classes, d.MultiLabel, metric.Bootstrap{Resamples: boot, Seed: c.Seed}); err != nil {
		return nil, err
	}
	v.Metrics = m
	return v, nil
}

// metrics is what all tasks tell of a split.
func (l *Loaded) metrics(c ValConfig, images, skipped int, seconds float64, classes []string) *Metrics {
	m := &Metrics{Task: string(l.Task), Model: l.Model.Path, Data: c.Data, Split: c.Split, Images: images, Skipped: skipped, Seed: c.Seed,
		Seconds: round(seconds, 2), ImagesPerSec: round(float64(images)/seconds, 1), PeakRSS: peakRSS(), TotalParams: l.parameters(), Classes: classes}
	if l.Adapter != nil {
		m.TrainableParams = l.Adapter.Params()
	}
	return m
}

// splitAsTrained takes seed and share of an automatic split from the run that
// the weights belong to, where they are not given.
func (c *ValConfig) splitAsTrained(l *Loaded) {
	if l.Dir == "" {
		return
	}
	args, err := readArgs(filepath.Dir(filepath.Dir(l.Dir)))
	if err != nil { // an adapter without its run
		return
	}
	if c.Seed == 0 {
		c.Seed = args.Seed
	}
	if c.ValShare == 0 {
		c.ValShare = splitShare(args.ValShare)
	}
}

func round(v float64, digits int) float64 {
	p := math.Pow(10, float64(digits))
	return math.Round(v*p) / p
}

// summary is what an epoch's line needs.
func (s *scores) summary(d *datasets.Dataset) (top1, top5, loss float64, err error) {
	c, m, err := s.score(d.Classes, d.MultiLabel, metric.Bootstrap{})
	if err != nil {
		return 0, 0, 0, err
	}
	if m != nil { // mean average precision takes accuracy's place
		return float64(m.MAP), float64(m.ExactMatch), float64(m.Loss), nil
	}
	return float64(c.AccuracyTop1), float64(c.AccuracyTop5), float64(c.Loss), nil
}

// Table is the metrics for people.
func (m *Metrics) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, split %s: %d images, %.1f images/s\n", m.Data, m.Split, m.Images, m.ImagesPerSec)
	line := func(name string, v metric.Score, ci map[string]metric.Interval, key string) {
		if !v.Defined() {
			return
		}
		fmt.Fprintf(&b, "  %-18s %.4f", name, float64(v))
		if i, ok := ci[key]; ok && i[0].Defined() {
			fmt.Fprintf(&b, "   95 %% %.4f – %.4f", float64(i[0]), float64(i[1]))
		}
		b.WriteByte('\n')
	}
	var classes []metric.Class
	if c := m.Classification; c != nil {
		line("accuracy", c.AccuracyTop1, c.CI95, "accuracy_top1")
		line("accuracy top 5", c.AccuracyTop5, c.CI95, "accuracy_top5")
		line("balanced accuracy", c.BalancedAccuracy, c.CI95, "balanced_accuracy")
		line("macro F1", c.MacroF1, c.CI95, "macro_f1")
		line("AUROC", c.AUROC, c.CI95, "auroc")
		line("loss", c.Loss, c.CI95, "loss")
		classes = c.PerClass
	}
	if c := m.MultiLabel; c != nil {
		line("mAP", c.MAP, c.CI95, "mAP")
		line("AUROC", c.AUROC, c.CI95, "auroc")
		line("macro F1", c.MacroF1, c.CI95, "macro_f1")
		line("exact match", c.ExactMatch, c.CI95, "exact_match")
		classes = c.PerClass
	}
	switch {
	case m.Detection != nil:
		m.Detection.table(&b)
		return b.String()
	case m.Instances != nil:
		m.Instances.table(&b)
		return b.String()
	case m.Segmentation != nil:
		segmentationTable(&b, m.Segmentation)
		return b.String()
	}
	wide := 5
	for _, c := range classes {
		wide = max(wide, len([]rune(c.Name)))
	}
	fmt.Fprintf(&b, "  %-*s  images  sensitivity  specificity  precision      F1   AUROC\n", wide, "class")
	for _, c := range classes {
		fmt.Fprintf(&b, "  %-*s  %6d  %s  %s  %s  %s  %s\n", wide, c.Name, c.Support, cell(c.Sensitivity, 11), cell(c.Specificity, 11), cell(c.Precision, 9), cell(c.F1, 6), cell(c.AUROC, 6))
	}
	return b.String()
}

// cell is a number of a table, w wide.
func cell(v metric.Score, w int) string {
	if !v.Defined() {
		return strings.Repeat(" ", w-1) + "–"
	}
	return fmt.Sprintf("%*.4f", w, float64(v))
}

// JSON is the metrics as metrics.json has them.
func (m *Metrics) JSON() ([]byte, error) { return json.Marshal(m) }

// MarshalJSON puts the task's own figures beside the common ones.
func (m *Metrics) MarshalJSON() ([]byte, error) {
	type common Metrics
	switch {
	case m.Detection != nil:
		return json.Marshal(struct {
			*DetectionMetrics
			*common
		}{m.Detection, (*common)(m)})
	case m.Instances != nil:
		return json.Marshal(struct {
			*instanceFile
			*common
		}{m.Instances.file(), (*common)(m)})
	case m.Segmentation != nil:
		return json.Marshal(struct {
			*metric.Segmentation
			*common
			Images int `json:"images"` // both have it
		}{m.Segmentation, (*common)(m), m.Images})
	}
	return json.Marshal((*common)(m))
}

// peakRSS is the most memory this process has held, in MiB; 0 where the system
// does not tell.
func peakRSS() int { return int(field("/proc/self/status", "VmHWM:") >> 20) }
