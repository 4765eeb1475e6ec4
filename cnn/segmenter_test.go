package cnn_test

import (
	"testing"

	"github.com/vislora/vislora/internal/testdata"
)

func TestSegmenter(t *testing.T) {
	a := annotate(t, plan(t, testdata.Real(t, "deeplabv3_mnv2_257/deeplab_v3_257.onnx")))
	s := a.Segmenter
	if s == nil {
		t.Fatal("DeepLab is not recognised")
	}
	if s.Classes != 21 || s.Layer != "logits.semantic" || s.ClassChannels != 256 || s.Stride != 8 || s.Output != "Upsample__306:0" || s.Logits != "logits/semantic/BiasAdd" {
		t.Errorf("%+v", s)
	}
	for _, other := range []string{"yolox_nano/yolox_nano.onnx", "squeezenet1.1/squeezenet1.1_fp32.onnx", "nanodet_m_320/nanodet_m_320.onnx"} {
		if a := annotate(t, plan(t, testdata.Real(t, other))); a.Segmenter != nil {
			t.Errorf("%s: %+v", other, a.Segmenter)
		}
	}
}
