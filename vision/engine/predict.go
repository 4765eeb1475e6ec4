package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// PredictConfig says what to predict.
type PredictConfig struct {
	Weights, Model, Names string
	// Source is an image, a video where this build reads them, a folder (searched
	// below), or a pattern.
	Source  string
	ImgSz   int
	Batch   int // default 16, and 4 with a video among the sources
	Threads int
	DType   string // f32 (default) or bf16
	Workers int
	// VidStride takes one frame in so many of a video, default 1.
	VidStride int
	Top       int // classes drawn on each picture, default 5
	// Conf is the lowest score of a box that is kept, IoU the overlap above which
	// the lower of two boxes goes, MaxDet the most boxes of a picture. Agnostic
	// lets boxes of different classes drop each other. Zeros are .25, .7 and 300.
	Conf, IoU float64
	MaxDet    int
	Agnostic  bool
	// Tile runs pictures larger than so many pixels in overlapping tiles of that
	// size, Flip every picture mirrored as well, MinArea removes regions of fewer
	// pixels, PixelSize is in mm: of classes of pixels.
	Tile      int
	Flip      bool
	MinArea   int
	PixelSize float64
	// Only are the classes, by name or number, whose boxes are told; all when empty.
	Only       []string
	Preprocess PreprocessOptions
	Project    string // default runs/predict
	Name       string // default predict
	ExistOK    bool
	SaveJSON   bool
	SaveLogits bool
	// SaveTxt writes YOLO labels, SaveConf with the score behind; SaveCrop every
	// box as a picture; SaveCOCO coco_results.json.
	SaveTxt, SaveConf, SaveCrop, SaveCOCO bool
	// SaveFrames writes the drawn frames of a video as pictures too, and masks of
	// classes of pixels.
	SaveFrames bool
	// NoSave draws no pictures and makes no directory.
	NoSave bool
	// Each is given every answer, with its summary, in the order of the sources.
	// Then Predictions holds no Images: memory does not grow with their number.
	Each func(p ImagePredictions, summary string) error
	Log  func(format string, args ...any)
}

// ImagePredictions is one image's result, as predictions.json has it.
type ImagePredictions struct {
	File        string              `json:"file"`
	Frame       *int                `json:"frame,omitempty"` // of a video, from 0
	Time        *float64            `json:"time,omitempty"`  // when it is shown, in s
	Width       int                 `json:"width"`
	Height      int                 `json:"height"`
	Predictions []vision.Prediction `json:"predictions"`
	Logits      []float32           `json:"logits,omitempty"`
}

// Predictions is what Predict ends with.
type Predictions struct {
	Dir     string
	Images  []ImagePredictions // none with Each
	Skipped []datasets.Skipped
	// Answered counts the pictures and frames.
	Answered int
	// Videos are the files of drawn frames.
	Videos []string
	// Seconds is the time from the first picture read to the last one written.
	Seconds float64
	// Summaries are the answers for people, one for each of Images.
	Summaries []string
}

// answers is what a task makes of the network's output. read, draw and files
// are called from several goroutines.
type answers interface {
	// read makes predictions of the output for a picture.
	read(f *frame, a *answer) error
	// draw draws them on the picture, or on an enlarged copy.
	draw(im *vision.Image, a *answer) (*vision.Image, error)
	// files writes what belongs to one picture; name is without an extension.
	files(dir, name string, a *answer) error
	// columns and rows are predictions.csv, after the file's name.
	columns() []string
	rows(p []vision.Prediction) [][]string
	// summary tells people in one line.
	summary(p []vision.Prediction) string
}

// answer is that for one picture.
type answer struct {
	ImagePredictions
	image  *vision.Image
	labels []uint8 // the class of every pixel, where they are classified
	// masks are those of the predictions, where every object has one.
	masks []vision.RLE
	drawn *vision.Image // of a frame, for the video
}

// newAnswer begins the answer for a picture.
func newAnswer(f *frame, im *vision.Image) *answer {
	a := &answer{image: im, ImagePredictions: ImagePredictions{File: f.file, Width: im.W, Height: im.H}}
	if f.clip != nil {
		at, seconds := f.at, math.Round(f.seconds*1000)/1000
		a.Frame, a.Time = &at, &seconds
	}
	return a
}

// Predict runs a model over pictures, draws the answers on them and writes
// tables. When ctx ends early, what was answered by then is written and returned
// with the error.
func Predict(ctx context.Context, c PredictConfig) (*Predictions, error) {
	switch {
	case c.Top < 0:
		return nil, fmt.Errorf("top is %d: use 1 or more", c.Top)
	case c.Tile < 0 || c.Tile > 0 && c.Tile < 32:
		return nil, fmt.Errorf("tile is %d: use 32 pixels or more, or 0 for none", c.Tile)
	case c.MinArea < 0 || !(c.PixelSize >= 0):
		return nil, fmt.Errorf("min_area is %d and pixel_size %g: neither may be below 0", c.MinArea, c.PixelSize)
	case c.VidStride < 0:
		return nil, fmt.Errorf("vid_stride is %d: use 1 or more", c.VidStride)
	}
	t, err := c.thresholds()
	if err != nil {
		return nil, err
	}
	files, err := findSources(c.Source)
	if err != nil {
		return nil, err
	}
	videos := slices.ContainsFunc(files, cv.IsVideo)
	l, err := OpenWeights(WeightsOptions{Weights: c.Weights, Model: c.Model, Names: c.Names, ImgSz: c.ImgSz, Preprocess: c.Preprocess})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if c.Log != nil {
		c.Log("input    %d×%d, %s, from %s", l.Height, l.Width, describePreprocess(l.Pre), l.Source)
		if l.Decoder != "" && l.Decoder != cv.DecoderName() {
			c.Log("note     trained with the image decoder %s, this build has %s: JPEG pixels differ a little", l.Decoder, cv.DecoderName())
		}
	}
	s, err := openSession(c.Threads, c.DType)
	if err != nil {
		return nil, err
	}
	defer s.close()
	batch := c.Batch
	switch {
	case batch <= 0 && videos:
		batch = 4 // frames may be large, and three batches are on their way
	case batch <= 0:
		batch = 16
	}
	if !videos {
		batch = min(batch, len(files))
	}
	ev := newEvaluator(l.Network, s, l.Pre, batch, c.Workers, nil)
	defer ev.close()
	set, err := ev.run.prepare(ev.batch)
	if err != nil {
		return nil, err
	}
	if l.Task != vision.Segment && (c.Tile > 0 || c.Flip || c.MinArea > 0 || c.PixelSize > 0 && l.Task != vision.Instance) {
		return nil, fmt.Errorf("%s is trained to %s: tile, flip and min_area are for classes of pixels, pixel_size for these and for masks of objects", c.Weights, l.Task)
	}
	var task answers
	switch l.Task {
	case vision.Detect:
		task, err = l.boxAnswers(set.shards[0].levels, t, &c)
	case vision.Instance:
		task, err = l.instanceAnswers(set.shards[0].levels, t, &c)
	case vision.Segment:
		task, err = l.pixelAnswers(set.shards[0].circuit, &c)
	default:
		task, err = l.classAnswers(c)
	}
	if err != nil {
		return nil, err
	}
	p := &predicting{c: c, loaded: l, task: task, out: &Predictions{}, files: files, videos: videos, used: map[string]int{}, size: l.Pre.Size}
	start := time.Now()
	err = (&stream{evaluator: ev, mirror: c.Flip, next: p.next, answer: p.answer, commit: p.commit}).run(ctx)
	p.out.Seconds = time.Since(start).Seconds()
	nothing := err == nil && p.out.Answered == 0
	closed := p.close(!nothing)
	switch {
	case nothing && len(files) == 1 && videos:
		return nil, errors.New(p.out.Skipped[0].Reason)
	case nothing:
		return nil, fmt.Errorf("none of the %d images can be read: %s", len(files), firstReason(p.out.Skipped))
	case err != nil && videos:
		err = fmt.Errorf("after %d images and frames: %w", p.out.Answered, err)
	case err != nil:
		err = fmt.Errorf("after %d of %d images: %w", p.out.Answered, len(files), err)
	}
	return p.out, errors.Join(err, closed)
}

// predicting is the state of [Predict].
type predicting struct {
	c      PredictConfig
	loaded *Loaded
	task   answers
	out    *Predictions
	files  []string
	videos bool // among the files
	read   int

	used   map[string]int // their base names
	size   [2]int         // of the network's input
	tiles  *tiling        // of the picture that is handed out
	clip   *clip          // whose frames are handed out
	tables *tables
	reel   reel
}

// next hands out the pictures, one frame of a video after the other, and large
// ones in tiles.
func (p *predicting) next(f *frame) (bool, error) {
	if p.tiles != nil {
		p.tiles = p.tiles.next(f)
		return true, nil
	}
	found, err := p.source(f)
	if !found || err != nil || f.err != nil || p.c.Tile == 0 {
		return found, err
	}
	t, err := p.tile(f)
	switch {
	case err != nil:
		f.err = err
	case t != nil:
		p.tiles = t.next(f)
	}
	return true, nil
}

// source finds the next picture or frame and gives it a name to be written
// under: in a flat folder, two files of one name get numbers.
func (p *predicting) source(f *frame) (bool, error) {
	for {
		if p.clip != nil {
			ok, err := p.clip.next(f)
			if ok {
				return true, nil
			}
			f.file = p.clip.file
			p.clip.video.Close()
			p.clip = nil
			if err != nil {
				f.err = err
				return true, nil
			}
		}
		if p.read == len(p.files) {
			return false, nil
		}
		if p.read == 0 && !p.c.NoSave {
			if err := p.makeDir(); err != nil {
				return false, err
			}
		}
		f.file = p.files[p.read]
		f.name = strings.TrimSuffix(filepath.Base(f.file), filepath.Ext(f.file))
		if p.used[f.name]++; p.used[f.name] > 1 {
			f.name = fmt.Sprintf("%s_%d", f.name, p.used[f.name])
		}
		p.read++
		if !cv.IsVideo(f.file) {
			return true, nil
		}
		if p.clip, f.err = openClip(f.file, f.name, max(p.c.VidStride, 1)); f.err != nil {
			return true, nil
		}
	}
}

func (p *predicting) makeDir() (err error) {
	project, name := p.c.Project, p.c.Name
	if project == "" {
		project = filepath.Join("runs", "predict")
	}
	if name == "" {
		name = "predict"
	}
	if p.out.Dir, err = makeRunDir(project, name, p.c.ExistOK); err != nil {
		return err
	}
	p.reel.dir = p.out.Dir
	var ids []int64
	if p.c.SaveCOCO {
		ids = categoryIDs(p.loaded.Classes)
	}
	p.tables, err = openTables(p.out.Dir, p.task, p.videos, ids)
	return err
}

// close completes what is written, or removes the tables.
func (p *predicting) close(keep bool) error {
	if p.clip != nil {
		p.clip.video.Close()
	}
	err := p.reel.close()
	p.out.Videos = p.reel.done
	if p.tables != nil {
		err = errors.Join(err, p.tables.close(keep))
	}
	return err
}

// answer makes predictions of the network's output, and the files that belong to
// this picture alone.
func (p *predicting) answer(f *frame) error {
	if f.err != nil || f.tile != nil {
		return nil
	}
	a := newAnswer(f, f.image)
	f.made = a
	if err := p.task.read(f, a); err != nil {
		return fmt.Errorf("%s: %w", f.file, err)
	}
	if p.c.SaveLogits {
		a.Logits = slices.Clone(f.out)
	}
	return p.write(f.name, a)
}

// write writes the files of one picture. The drawn frame of a video is kept, to be
// written in the order of the frames.
func (p *predicting) write(name string, a *answer) error {
	if p.c.NoSave {
		return nil
	}
	if err := p.task.files(p.out.Dir, name, a); err != nil { // before the picture is drawn on
		return fmt.Errorf("%s: %w", a.File, err)
	}
	pic, err := p.task.draw(a.image, a)
	if err != nil {
		return fmt.Errorf("%s: %w", a.File, err)
	}
	if a.Frame != nil {
		if a.drawn = pic; !p.c.SaveFrames {
			return nil
		}
	}
	return cv.WriteFile(filepath.Join(p.out.Dir, name+".jpg"), pic)
}

// commit collects.
func (p *predicting) commit(f *frame) error {
	switch {
	case f.err != nil:
		p.out.Skipped = append(p.out.Skipped, datasets.Skipped{Name: f.file, Reason: f.err.Error()})
		return nil
	case f.tile != nil:
		if last, err := f.tile.add(f); !last || err != nil {
			return err
		}
		if err := p.tiled(f); err != nil {
			return err
		}
	}
	a := f.made.(*answer)
	p.out.Answered++
	if a.drawn != nil {
		if err := p.reel.add(f.clip, a.drawn); err != nil {
			return err
		}
	}
	if p.tables != nil {
		if err := p.tables.add(&a.ImagePredictions); err != nil {
			return err
		}
	}
	summary := p.task.summary(a.Predictions)
	if p.c.Each != nil {
		return p.c.Each(a.ImagePredictions, summary)
	}
	p.out.Images = append(p.out.Images, a.ImagePredictions)
	p.out.Summaries = append(p.out.Summaries, summary)
	return nil
}

// readable is the shorter side below which a picture is enlarged before its
// answers are drawn on it.
const readable = 320

// enlarged is the picture, or a copy that is some whole number of times as
// large.
func enlarged(im *vision.Image) (out *vision.Image, times int, err error) {
	k := (readable + min(im.W, im.H) - 1) / min(im.W, im.H)
	if k <= 1 {
		return im, 1, nil
	}
	out = vision.NewImage(k*im.W, k*im.H)
	var r transform.Resizer
	return out, k, r.Resize(out, im, out.W, out.H, vision.Bicubic)
}
