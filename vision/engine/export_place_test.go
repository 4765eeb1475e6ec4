package engine

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/internal/ort"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision"
)

// TestExportPlacesBoxes chooses boxes behind embedded preprocessing, of every way
// to place a picture: ONNX Runtime gives those that predict finds, in pixels of
// the picture. So does the file when it is read back and written again, with its
// own choice of boxes and with another.
func TestExportPlacesBoxes(t *testing.T) {
	l := untrained(t, vision.Detect, sampleCNN, 96)
	for name, p := range placements() {
		t.Run(name, func(t *testing.T) {
			scale := float64(p.ResizeTo) / float64(p.Size[0])
			p.Size, p.ResizeTo, p.Interpolation = [2]int{96, 96}, int(96*scale), vision.Bilinear
			l.Pre = p
			cfg := ExportConfig{Out: filepath.Join(t.TempDir(), "model.onnx"), NMS: true, EmbedPreprocessing: true, Conf: .05, IoU: .6, MaxDet: 30, Verify: 5, Threads: 2}
			places(t, l, cfg)
			back, err := OpenWeights(WeightsOptions{Weights: cfg.Out})
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			if back.Task != vision.Detect || back.Pre != p {
				t.Errorf("read back: to %s, %+v", back.Task, back.Pre)
			}
			cfg.Out, cfg.EmbedPreprocessing, cfg.NMS = filepath.Join(t.TempDir(), "again.onnx"), false, false
			places(t, back, cfg)
			cfg.Out, cfg.NMS, cfg.Conf, cfg.Agnostic = filepath.Join(t.TempDir(), "other.onnx"), true, .1, true
			places(t, back, cfg)
		})
	}
}

// places exports, verifies where ONNX Runtime is there, and reads what the file
// says of its boxes.
func places(t *testing.T, l *Loaded, cfg ExportConfig) {
	t.Helper()
	x, err := l.exportONNX(t.Context(), cfg)
	if err != nil && !errors.Is(err, ort.ErrUnavailable) {
		t.Fatal(err)
	}
	if v := x.Verify; err == nil && (v.Boxes == nil || v.Boxes.Matched < 20) {
		t.Errorf("boxes: %+v", v.Boxes)
	}
	m, err := onnx.Open(cfg.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	o, err := detectorIn(m)
	if err != nil || o == nil || o.NMS == nil || o.NMS.Pixels != pixelsPicture {
		t.Errorf("the file says of its boxes %+v, %v", o, err)
	}
}

// TestEmbeddedBases trains on files that prepare pictures themselves: one that
// leaves its size open is fixed by a new head, and no file changes its size.
func TestEmbeddedBases(t *testing.T) {
	open, err := OpenWeights(WeightsOptions{Weights: testdata.Real(t, "yunet_n", "yunet_n_dynamic.onnx"), ImgSz: 96})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	open.Pre.Resize = vision.ResizeStretch
	cfg := ExportConfig{Out: filepath.Join(t.TempDir(), "base.onnx"), EmbedPreprocessing: true}
	if _, err := open.exportONNX(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	l := untrained(t, vision.Segment, cfg.Out, 96)
	again := ExportConfig{Out: filepath.Join(t.TempDir(), "segmenter.onnx"), Verify: 2, Threads: 2}
	x, err := l.exportONNX(t.Context(), again)
	if err != nil && !errors.Is(err, ort.ErrUnavailable) {
		t.Fatal(err)
	}
	if got := x.Preprocess.FeedsShape; !slices.Equal(got[2:], []int{96, 96}) {
		t.Errorf("the network's input is %v", got)
	}
	_, err = untrained(t, vision.Segment, cfg.Out, 128).exportONNX(t.Context(), again)
	says(t, err, "96×96", "128×128", "without it")
}

// TestPeelMovedBoxes refuses a file whose outputs are embedded nodes' without a
// word about the rows behind them.
func TestPeelMovedBoxes(t *testing.T) {
	meta := `{"embedded":true,"input":"image","feeds":"x","feeds_type":"float32","feeds_shape":[-1,3,8,8]}`
	b := onnxtest.New(13).Input("image", ir.Uint8, -1, -1, -1, 3).Metadata(MetaPreprocess, meta)
	b.NodeNamed(embedPrefix+"Cast_0", "", "Cast", ir.Attrs{"to": int64(ir.Float)}, []string{"image"}, []string{"x"})
	b.Node("Neg", nil, []string{"x"}, []string{"rows"})
	b.NodeNamed(embedPrefix+"Abs_1", "", "Abs", nil, []string{"rows"}, []string{"y"}).Output("y", ir.Float, -1, 3, 8, 8)
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	says(t, peel(m), "embedded nodes make outputs", MetaDetector)
}
