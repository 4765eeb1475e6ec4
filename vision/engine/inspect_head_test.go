package engine

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInspectExported: a file that export wrote is described with what it puts
// out, and how.
func TestInspectExported(t *testing.T) {
	one := func(c *TrainConfig) { c.Epochs = 1 }
	export := func(weights string, c ExportConfig) *Inspection {
		t.Helper()
		c.Weights, c.Out = weights, filepath.Join(t.TempDir(), "x.onnx")
		if _, err := Export(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		in, err := Inspect(InspectConfig{Model: c.Out})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	shows := func(in *Inspection, words ...string) {
		t.Helper()
		for _, w := range words {
			if text := in.String(); !strings.Contains(text, w) {
				t.Errorf("nothing says %q:\n%s", w, text[:min(len(text), 1500)])
			}
		}
	}
	boxes := mustTrain(t, quickDetect(t, sampleCNN, shelfOf(t, 4, 2), one)).Dir
	rows := export(boxes, ExportConfig{})
	if d := rows.Detector; d == nil || d.Format != formatRows || d.Kind != "yolox" || d.Classes != 2 || d.NMS != nil || len(d.Outputs) != 1 {
		t.Fatalf("%+v", d)
	}
	shows(rows, "yolox of 2 classes", MetaDetector, "outputs (rows) ")
	chosen := export(boxes, ExportConfig{NMS: true, Conf: .4, MaxDet: 7, Agnostic: true})
	d := chosen.Detector
	if d == nil || d.NMS == nil || d.NMS.Conf != .4 || d.NMS.IoU != .7 || d.NMS.MaxDet != 7 || !d.NMS.Agnostic || !slices.Equal(d.Strides, rows.Detector.Strides) || len(d.Outputs) != 4 || d.Outputs[0] != "boxes (?, 4)" {
		t.Fatalf("%+v", d)
	}
	if chosen.Cost.GFLOPs != rows.Cost.GFLOPs {
		t.Errorf("%.3f GFLOP with the choice of boxes inside, %.3f without", chosen.Cost.GFLOPs, rows.Cost.GFLOPs)
	}
	shows(chosen, "outputs (nms) boxes (?, 4), ", "scores from 0.4 on", "at most 7 of an image, whatever their classes")

	shows(export(boxes, ExportConfig{NMS: true, EmbedPreprocessing: true}), "outputs (nms) boxes (?, 4), scores (?)", "in pixels of the picture")

	// Settings that nothing would read are refused.
	for _, c := range []ExportConfig{{Conf: .4}, {IoU: .5}, {MaxDet: 7}, {Agnostic: true}} {
		c.Weights, c.Out = boxes, filepath.Join(t.TempDir(), "x.onnx")
		_, err := Export(context.Background(), c)
		says(t, err, "add --nms")
	}

	objects := export(mustTrain(t, quickInstance(t, sampleCNN, leavesOf(t, 4, 2, polygonOrRLE), one)).Dir, ExportConfig{})
	if d := objects.Detector; d == nil || d.Masks == nil || len(d.Outputs) != 2 {
		t.Fatalf("%+v", d)
	}
	shows(objects, "masks of 32 prototypes at stride")

	for _, model := range []string{sampleCNN, sampleViT} {
		weights := mustTrain(t, quickSegment(t, model, smearOf(t, 4, 2, false), one)).Dir
		for output, argMax := range map[string]bool{"logits": false, "labels": true} {
			in := export(weights, ExportConfig{ArgMax: argMax})
			s := in.Pixels
			if s == nil || s.Output != output || s.Classes != len(in.Names) || s.Height != in.Shape[2] || s.Width != in.Shape[3] || s.Stride < 2 || s.Stride > 8 {
				t.Fatalf("%s, %s: %+v", model, output, s)
			}
			shows(in, output+" of 4 classes", "from a head of stride ")
			if in.Cost.Untrainable != "" {
				t.Errorf("%s, %s: %s", model, output, in.Cost.Untrainable)
			}
			if own := export(weights, ExportConfig{ArgMax: argMax, EmbedPreprocessing: true, OriginalSize: true}); !own.Pixels.OriginalSize || own.Pixels.Output != output || own.Pixels.Stride != s.Stride {
				t.Errorf("%s, %s: at the picture's size %+v", model, output, own.Pixels)
			}
			// What is described is what is read.
			l, err := OpenWeights(WeightsOptions{Weights: in.Path})
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
		}
	}
}
