package cnn_test

import (
	"fmt"
	"testing"

	"github.com/vislora/vislora/cnn"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision/build"
)

func TestDetectors(t *testing.T) {
	for file, want := range map[string]string{
		"yolox_nano/yolox_nano.onnx":            "yolox 80 0 at 0 [8:52×52 64 head.cls_preds.0] [16:26×26 64 head.cls_preds.1] [32:13×13 64 head.cls_preds.2]",
		"nanodet_m_320/nanodet_m_320.onnx":      "gfl 80 8 at 0.5 [8:40×40 96 head.gfl_cls.0] [16:20×20 96 head.gfl_cls.1] [32:10×10 96 head.gfl_cls.2]",
		"squeezenet1.1/squeezenet1.1_fp32.onnx": "none", "deeplabv3_mnv2_257/deeplab_v3_257.onnx": "none",
	} {
		if got := describe(annotate(t, plan(t, testdata.Real(t, file))).Detector); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

// TestNanoDetPlus: a fourth level tells it, and that it measures distances from
// corners. With other numbers of channels on a level it is nothing.
func TestNanoDetPlus(t *testing.T) {
	for _, c := range []struct {
		levels int
		last   int // channels of the coarsest level's distances
		want   string
	}{
		{3, 32, "gfl 5 8 at 0.5 [8:16×16 12 conv3] [16:8×8 12 conv5] [32:4×4 12 conv7]"},
		{4, 32, "gfl 5 8 at 0 [8:16×16 12 conv3] [16:8×8 12 conv5] [32:4×4 12 conv7] [64:2×2 12 conv9]"},
		{2, 28, "none"},
	} {
		g := newGraph(128)
		x := g.conv(g.conv("image", 8, 3, 2, 1, true), 12, 3, 2, 1, true)
		for i := range c.levels {
			box := 32
			if i == c.levels-1 {
				box = c.last
			}
			x = g.conv(x, 12, 3, 2, 1, true)
			y := g.conv(x, 5+box, 1, 1, 1, false)
			d := g.Types[y].Dims
			part := func(channels int) string {
				name := fmt.Sprintf("%s_%d", y, channels)
				g.Types[name] = ir.Type{DType: ir.Float, Dims: []int{d[0], channels, d[2], d[3]}, Known: true}
				return name
			}
			class, distances := part(5), part(box)
			g.Nodes = append(g.Nodes, &ir.Node{Op: "Split", Name: y + "/Split", Inputs: []string{y}, Outputs: []string{class, distances}})
			for _, v := range []string{g.same("Sigmoid", class), distances} {
				g.Outputs = append(g.Outputs, ir.Value{Name: v})
			}
		}
		if got := describe(annotate(t, g.Graph).Detector); got != c.want {
			t.Errorf("%d levels: %s, want %s", c.levels, got, c.want)
		}
	}
}

// TestYOLOs: heads whose files decode their boxes, in several spellings, and
// files that compute something else.
func TestYOLOs(t *testing.T) {
	for _, c := range []struct {
		y    onnxtest.YOLO
		want string
	}{
		{onnxtest.YOLO{Kind: "yolov8", Classes: 3, Size: 96}, "yolov8 3 16 at 0.5"},
		{onnxtest.YOLO{Kind: "yolov8", Classes: 64, Size: 64}, "yolov8 64 16 at 0.5"},
		{onnxtest.YOLO{Kind: "yolov8", Classes: 1, Size: 64, Bins: 5}, "yolov8 1 5 at 0.5"},
		{onnxtest.YOLO{Kind: "yolov8", Classes: 3, Size: 64, Twist: "matmul"}, "yolov8 3 16 at 0.5"},
		{onnxtest.YOLO{Kind: "yolov8", Classes: 3, Size: 64, Twist: "rows"}, "yolov8 3 16 at 0.5"},
		{onnxtest.YOLO{Kind: "yolov8", Classes: 3, Size: 64, Twist: "corner"}, "yolov8 3 16 at 0"},
		{onnxtest.YOLO{Kind: "yolov6", Classes: 3, Size: 64, Bins: 17}, "yolov8 3 17 at 0.5"},
		{onnxtest.YOLO{Kind: "yolov5", Classes: 3, Size: 96}, "yolov5 3 0 at 0"},
		{onnxtest.YOLO{Kind: "yolov5", Classes: 1, Size: 64}, "yolov5 1 0 at 0"},

		{onnxtest.YOLO{Kind: "yolov8", Classes: 3, Size: 64, Twist: "corners"}, "none"},
		{onnxtest.YOLO{Kind: "yolov8", Classes: 3, Size: 64, Twist: "reverse"}, "none"},
		{onnxtest.YOLO{Kind: "yolov8", Classes: 3, Size: 64, Twist: "exp"}, "none"},
		{onnxtest.YOLO{Kind: "yolov8", Classes: 3, Size: 64, Twist: "softmax"}, "none"},
		{onnxtest.YOLO{Kind: "yolov8", Classes: 3, Size: 64, Twist: "masks"}, "none"},
		{onnxtest.YOLO{Kind: "yolov5", Classes: 3, Size: 64, Twist: "exp"}, "none"},
	} {
		g := plan(t, c.y.Model().File(t))
		a, ok := cnn.Annotate(g)
		if !ok {
			a = cnn.Generic(g)
		}
		got := "none"
		if d := a.Detector; d != nil {
			got = fmt.Sprintf("%s %d %d at %v", d.Kind, d.Classes, d.Bins, d.At)
			for i, l := range d.Levels {
				if s := 8 << i; l.Stride != s || l.H != c.y.Size/s || l.W != l.H || g.Types[l.Class].Dims[2] != l.H {
					t.Errorf("%+v: level %d is %+v", c.y, i, l)
				}
				if d.Kind != build.DetectYOLOv5 {
					continue
				}
				for j, want := range onnxtest.YOLOAnchors[i] {
					if l.Anchors[j] != [2]float64{float64(want[0]), float64(want[1])} {
						t.Errorf("%+v: level %d has the anchors %v", c.y, i, l.Anchors)
					}
				}
			}
		}
		if got != c.want {
			t.Errorf("%+v: %s, want %s", c.y, got, c.want)
		}
		necks := ""
		for _, f := range a.Features {
			if f.Kind == "neck" {
				necks += fmt.Sprintf(" %d/%d", f.Channels, f.Stride)
			}
		}
		if necks != " 16/8 24/16 32/32" {
			t.Errorf("%+v: the neck is%s", c.y, necks)
		}
	}
}

func describe(d *build.Detector) string {
	if d == nil {
		return "none"
	}
	s := fmt.Sprintf("%s %d %d at %v", d.Kind, d.Classes, d.Bins, d.At)
	for _, l := range d.Levels {
		s += fmt.Sprintf(" [%d:%d×%d %d %s]", l.Stride, l.H, l.W, l.ClassChannels, l.Layers[len(l.Layers)-1])
	}
	return s
}
