package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/vislora/vislora/vision/engine"
)

var predictVerb = verb{"predict", "classify images, find objects or classify pixels, and draw the answers", []string{
	"vislora predict --weights runs/classify/train --source new_photos/",
	"vislora predict --weights runs/detect/train --source new_photos/ --conf 0.4 --save-txt",
	"vislora predict --weights runs/detect/train --source belt.mp4 --vid-stride 5",
	"vislora predict --weights squeezenet.onnx --source 'photos/*.jpg' --names imagenet.txt --preset caffe",
}, runPredict}

func runPredict(ctx context.Context, e *env, args []string) error {
	var c engine.PredictConfig
	e.fs.StringVar(&c.Weights, "weights", "", "run directory, adapter folder or ONNX `file`")
	e.fs.StringVar(&c.Model, "model", "", "the base model, if it moved")
	e.fs.StringVar(&c.Source, "source", "", "image, video (.mp4 .avi .mkv .mov .webm, where built in: see vislora version), folder or pattern")
	e.fs.StringVar(&c.Names, "names", "", "class names of a bare model: `file`, coco80, voc21 or cifar10")
	e.fs.IntVar(&c.ImgSz, "imgsz", 0, "input size; 0 = the model's")
	e.fs.IntVar(&c.Batch, "batch", 0, "images per step; 0 = 16, and 4 with videos")
	e.fs.IntVar(&c.Threads, "threads", 0, "compute threads; 0 = one per processor")
	e.fs.StringVar(&c.DType, "dtype", engine.DTypeF32, engine.DTypeHelp)
	e.fs.IntVar(&c.Workers, "workers", 0, "image loading threads")
	e.fs.Float64Var(&c.Conf, "conf", .25, "lowest score of a box")
	e.fs.Float64Var(&c.IoU, "iou", .7, "overlap above which the lower of two boxes is dropped")
	e.fs.IntVar(&c.MaxDet, "max-det", 300, "most boxes of one picture")
	e.fs.BoolVar(&c.Agnostic, "agnostic", false, "boxes of different classes drop each other too")
	e.fs.Func("classes", "tell boxes of these `classes` only: names or numbers, separated by commas", func(s string) error {
		c.Only = strings.Split(s, ",")
		return nil
	})
	e.fs.IntVar(&c.VidStride, "vid-stride", 1, "take one `frame` in so many of a video")
	e.fs.BoolVar(&c.SaveFrames, "save-frames", false, "the frames of a video as pictures too, and their masks (classes of pixels)")
	e.fs.IntVar(&c.Tile, "tile", 0, "run pictures larger than so many pixels in overlapping tiles (classes of pixels); 0 = shrink them")
	e.fs.BoolVar(&c.Flip, "flip", false, "average with the mirrored picture (classes of pixels)")
	e.fs.IntVar(&c.MinArea, "min-area", 0, "remove regions of fewer pixels (classes of pixels)")
	e.fs.Float64Var(&c.PixelSize, "pixel-size", 0, "side of a pixel in `mm`, for areas in mm² (classes of pixels, masks of objects)")
	e.fs.BoolVar(&c.SaveTxt, "save-txt", false, "boxes, or outlines of masks, as YOLO labels in labels/")
	e.fs.BoolVar(&c.SaveConf, "save-conf", false, "the score behind each YOLO label")
	e.fs.BoolVar(&c.SaveCrop, "save-crop", false, "every box as a picture in crops/<class>/")
	e.fs.BoolVar(&c.SaveCOCO, "save-coco", false, "boxes and masks as COCO results in coco_results.json")
	e.fs.IntVar(&c.Top, "top", 5, "classes drawn and printed; at least 1")
	e.fs.StringVar(&c.Project, "project", "", "folder of results, default runs/predict")
	e.fs.StringVar(&c.Name, "name", "predict", "name of the result directory")
	e.fs.BoolVar(&c.ExistOK, "exist-ok", false, "write into an existing directory")
	e.fs.BoolVar(&c.SaveJSON, "save-json", false, "kept for users of other tools: predictions.json is always written")
	e.fs.BoolVar(&c.SaveLogits, "save-logits", false, "add raw values to predictions.json")
	e.fs.BoolVar(&c.NoSave, "nosave", false, "print only, write nothing")
	bind(e, "", reflect.ValueOf(&c.Preprocess).Elem())
	asJSON := e.fs.Bool("json", false, "print one JSON array on stdout")
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	if len(positional) == 1 && c.Source == "" {
		c.Source, positional = positional[0], nil
	}
	if err := none(positional); err != nil {
		return err
	}
	if c.Source == "" {
		return usageError{fmt.Errorf("no source given: use --source FILE, FOLDER or a pattern")}
	}
	if c.Top < 1 {
		return usageError{fmt.Errorf("--top is %d: use 1 or more", c.Top)}
	}
	if c.VidStride < 1 {
		return usageError{fmt.Errorf("--vid-stride is %d: use 1 or more", c.VidStride)}
	}
	c.Log = e.logf
	out := answerWriter{out: e.out, json: *asJSON}
	c.Each = out.write
	p, err := engine.Predict(ctx, c)
	if p == nil {
		return err
	}
	for _, s := range p.Skipped {
		e.logf("skipped  %s: %s", s.Name, s.Reason)
	}
	for _, v := range p.Videos {
		e.logf("video    %s", v)
	}
	if p.Dir != "" {
		e.logf("written  %s, %d images at %.1f images/s", p.Dir, p.Answered, float64(p.Answered)/p.Seconds)
	}
	return errors.Join(err, out.end())
}

// answerWriter prints answers as they come: a line each, or the elements of one
// JSON array.
type answerWriter struct {
	out  io.Writer
	json bool
	n    int
}

func (w *answerWriter) write(im engine.ImagePredictions, summary string) (err error) {
	w.n++
	switch {
	case w.json:
		var b []byte
		if b, err = json.Marshal(im); err != nil {
			return err
		}
		between := ","
		if w.n == 1 {
			between = "["
		}
		_, err = fmt.Fprintf(w.out, "%s%s", between, b)
	case im.Frame != nil:
		_, err = fmt.Fprintf(w.out, "%s frame %d (%.2f s)  %s\n", im.File, *im.Frame, *im.Time, summary)
	default:
		_, err = fmt.Fprintf(w.out, "%s  %s\n", im.File, summary)
	}
	return err
}

// end closes the array.
func (w *answerWriter) end() error {
	if !w.json {
		return nil
	}
	last := "]\n"
	if w.n == 0 {
		last = "[]\n"
	}
	_, err := io.WriteString(w.out, last)
	return err
}
