package engine

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/coco"
	"github.com/vislora/vislora/datasets/voc"
	"github.com/vislora/vislora/datasets/yolo"
	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/loss"
	"github.com/vislora/vislora/vision/metric"
	"github.com/vislora/vislora/vision/transform"
)

// detect is the job of finding objects and their boxes.
type detect struct {
	eval    *evaluator
	objects int // rows of targets for one picture
	plain   *transform.ScenePipeline
	closed  bool
}

func (j *detect) scoreName() string { return "mAP50-95" }

// trials: average precision is no share of independent trials; the highest is
// the best.
func (j *detect) trials(*run) int { return math.MaxInt }

func (j *detect) evaluator() *evaluator { return j.eval }

func (j *detect) close() {
	if j.eval != nil {
		j.eval.close()
	}
}

// openDetection reads boxes in whatever format they are.
func openDetection(path string, o datasets.Options) (*datasets.Dataset, error) {
	for _, f := range []struct {
		detects func(string) bool
		open    func(string, datasets.Options) (*datasets.Dataset, error)
	}{{coco.Detects, coco.Open}, {yolo.Detects, yolo.Open}, {voc.Detects, voc.Open}} {
		if f.detects(path) {
			return f.open(path, o)
		}
	}
	return nil, fmt.Errorf("%s: no boxes found: expected COCO JSON, YOLO labels with a data.yaml, or Pascal VOC XML (docs/format/coco.md)", path)
}

func (j *detect) open(r *run) error {
	kept, err := j.read(r)
	if err != nil {
		return err
	}
	r.tellData()
	r.tellObjects()
	if err := r.net.NewDetectHead(r.data.Classes, kept, r.c.Seed); err != nil {
		return err
	}
	r.c.logf("head     %s", r.net.Head.Detect)
	return nil
}

// read reads the data. kept tells that its classes are the model's.
func (j *detect) read(r *run) (kept bool, err error) {
	c, n := &r.c, r.net
	o := datasets.Options{Seed: c.Seed, Fraction: c.Fraction, Val: splitShare(c.ValShare), Workers: c.Workers}
	if r.data, err = openDetection(c.Data, o); err != nil {
		return false, err
	}
	// The model's own classes are kept when they are the data's.
	names := modelClasses(n.Model)
	if c.Names != "" {
		if names, err = readNames(c.Names); err != nil {
			return false, err
		}
	}
	if det := n.Annotation.Detector; det != nil && len(names) == det.Classes && sameSet(names, r.data.Classes) {
		kept = true
		if !slices.Equal(names, r.data.Classes) {
			o.Classes = names
			if r.data, err = openDetection(c.Data, o); err != nil {
				return false, err
			}
		}
	}
	train, err := r.data.Require(datasets.Train)
	if err != nil {
		return false, err
	}
	found := 0
	for _, s := range train {
		found += len(s.Objects)
	}
	if found == 0 {
		return false, fmt.Errorf("%s: no object is annotated in the %d training images", c.Data, len(train))
	}
	return kept, nil
}

// tellObjects logs how many there are to learn from.
func (r *run) tellObjects() {
	found := 0
	for _, s := range r.data.Split(datasets.Train) {
		found += len(s.Objects)
	}
	r.c.logf("         %d objects in the training images", found)
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// mostObjects limits the targets of one picture.
const mostObjects = 300

func (j *detect) prepare(r *run, lc *datasets.LoaderConfig) (maker, error) {
	c := &r.c
	aug := c.Scene
	if !c.Augment {
		aug = transform.SceneAugment{}
	}
	var err error
	if lc.Scenes, err = transform.TrainScenes(r.pre, aug); err != nil {
		return nil, err
	}
	aug.Mosaic = 0
	if j.plain, err = transform.TrainScenes(r.pre, aug); err != nil {
		return nil, err
	}
	for _, s := range lc.Samples {
		j.objects = max(j.objects, len(s.Objects))
	}
	if c.Augment && c.Scene.Mosaic > 0 {
		j.objects *= 4
	}
	j.objects = min(max(j.objects, 1), mostObjects)
	lc.MaxObjects = j.objects
	j.eval = newEvaluator(r.net, r.session, r.pre, c.Batch, c.Workers, lc.Cache)
	return r.net.detectTrainer(j.objects), nil
}

// detectTrainer returns the maker of training circuits.
func (n *Network) detectTrainer(objects int) maker {
	return func(batch int) (c *circuit, err error) {
		defer ops.Recover(&err)
		g, err := n.Net.Build(build.Options{Batch: batch, Training: true, Until: n.until()})
		if err != nil {
			return nil, err
		}
		raw, prototypes, levels, err := n.raw(g)
		if err != nil {
			return nil, err
		}
		c = &circuit{Graph: g, outputs: nil}
		c.targets = g.Input("boxes", buffer.F32, false, batch, objects, 5)
		if d := n.ownDetector(); d != nil && d.Bins > 0 {
			c.loss = loss.DetectGFL(g.Graph, raw, c.targets, loss.GFLConfig{Levels: levels, Bins: d.Bins, At: d.At})
		} else {
			c.loss = loss.Detect(g.Graph, raw, c.targets, loss.DetectConfig{Levels: levels, Classes: n.Head.Classes})
		}
		if prototypes != nil {
			c.addMaskLoss(raw, prototypes, n.Head.Detect.Masks)
		}
		return c, c.differentiate(n.Net.Trainable())
	}
}

// atEpoch ends mosaics for the last epochs.
func (j *detect) atEpoch(r *run, epoch int) error {
	if j.closed || r.c.Scene.Mosaic == 0 || epoch < r.c.Epochs-r.c.CloseMosaic {
		return nil
	}
	j.closed = true
	return r.loader.SetScenes(j.plain)
}

func (j *detect) load(r *run, s *set, b *datasets.Batch, x []float32) {
	load(s, b.Boxes[:b.N*j.objects*5], func(c *circuit) *ops.Node { return c.targets })
}

func (j *detect) validate(ctx context.Context, r *run, samples []datasets.Sample, row *Row) error {
	found, err := j.eval.detections(ctx, samples, valThresholds)
	if err != nil {
		return err
	}
	e, err := found.evaluation()
	if err != nil {
		return err
	}
	s, err := e.Evaluate(metric.Boxes)
	if err != nil {
		return err
	}
	row.Score, row.Second = float64(s.AP), float64(s.AP50)
	return nil
}

// openFor opens a model for a task. A backbone that gets a new head on its maps
// is planned for larger pictures than it classified: objects and borders are
// small.
func openFor(t vision.Task, path string, size int, full bool) (*Network, error) {
	o := NetworkOptions{Height: size, Width: size, KeepBatchNorm: full}
	n, err := OpenNetwork(path, o)
	if err != nil || size != 0 || t == vision.Classify || n.Annotation.Detector != nil || t == vision.Segment && n.Annotation.Segmenter != nil {
		return n, err
	}
	want := 416
	if n.Annotation.Family == "vit" {
		want = 320 // attention costs the square of the tokens
	}
	if max(n.Height, n.Width) >= want {
		return n, nil
	}
	n.Close()
	o.Height, o.Width = want, want
	if n, err = OpenNetwork(path, o); err != nil {
		return nil, fmt.Errorf("%w (at %d×%d pixels, vislora's choice for this task: --imgsz chooses another size)", err, want, want)
	}
	return n, nil
}

// preprocess finds how a picture becomes the input for a task. A detector that
// is recognised brings its own; a classifier's is made to show the whole
// picture, its shape kept, on grey. A file that was exported for the task says
// what it wants.
func (n *Network) preprocess(t vision.Task, o PreprocessOptions) (vision.Preprocess, string, error) {
	known := ""
	if d := n.Annotation.Detector; (t == vision.Detect || t == vision.Instance) && d != nil && o.Preset == "" && n.Model.Metadata[MetaPreprocess] == "" {
		known = map[string]string{build.DetectYOLOX: "yolox", build.DetectGFL: "nanodet", build.DetectYOLOv8: "yolo", build.DetectYOLOv5: "yolo"}[d.Kind]
		o.Preset = known
	}
	p, source, err := resolvePreprocess(n.Model, o, n.Height, n.Width)
	if known != "" {
		source += ", because the head is of that kind"
	}
	if t != vision.Classify && p.Resize == vision.ResizeShorter && o.Resize == "" && n.Model.Metadata[MetaTask] != string(t) {
		p.Resize, p.ResizeTo, p.Pad = vision.ResizeLetterbox, 0, 114
	}
	return p, source, err
}
