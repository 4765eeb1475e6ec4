package cnn_test

import (
	"fmt"
	"testing"

	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision/build"
)

func TestDetectors(t *testing.T) {
	for file, want := range map[string]string{
		"yolox_nano/yolox_nano.onnx":            "yolox 80 0 [8:52×52 64 head.cls_preds.0] [16:26×26 64 head.cls_preds.1] [32:13×13 64 head.cls_preds.2]",
		"nanodet_m_320/nanodet_m_320.onnx":      "gfl 80 8 [8:40×40 96 head.gfl_cls.0] [16:20×20 96 head.gfl_cls.1] [32:10×10 96 head.gfl_cls.2]",
		"squeezenet1.1/squeezenet1.1_fp32.onnx": "none", "deeplabv3_mnv2_257/deeplab_v3_257.onnx": "none",
	} {
		if got := describe(annotate(t, plan(t, testdata.Real(t, file))).Detector); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

func describe(d *build.Detector) string {
	if d == nil {
		return "none"
	}
	s := fmt.Sprintf("%s %d %d", d.Kind, d.Classes, d.Bins)
	for _, l := range d.Levels {
		s += fmt.Sprintf(" [%d:%d×%d %d %s]", l.Stride, l.H, l.W, l.ClassChannels, l.Layers[len(l.Layers)-1])
	}
	return s
}
