package engine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/build"
)

// WeightsOptions say what to load and what a bare model does not carry.
type WeightsOptions struct {
	// Weights is a run directory, an adapter's folder, or an ONNX file.
	Weights string
	// Model is where the base model of an adapter is, if it moved.
	Model string
	// Names is a file with one class name per line, or a built-in list, for
	// models that carry none.
	Names string
	// ImgSz changes the input's size; 0 keeps it.
	ImgSz      int
	Preprocess PreprocessOptions
}

// Loaded is a network ready to predict.
type Loaded struct {
	*Network
	Pre vision.Preprocess
	// Source tells where the preprocessing came from.
	Source string
	// Dir is the adapter's folder, "" for a bare model.
	Dir     string
	Decoder string // that training used, "" when unknown
	Task    vision.Task
	// unnamed is set when the class names were made up.
	unnamed bool
}

// adapterDir finds the adapter's folder: the path itself, or the best weights
// of a run.
func adapterDir(path string) (string, error) {
	for _, d := range []string{path, weightsDir(filepath.Join(path, "weights", "best")), weightsDir(filepath.Join(path, "weights", "last"))} {
		if _, err := os.Stat(filepath.Join(d, lora.ConfigFile)); err == nil {
			return d, nil
		}
	}
	return "", fmt.Errorf("%s is neither a run directory nor an adapter's folder: there is no %s in it nor in weights/best", path, lora.ConfigFile)
}

// OpenWeights loads a run, an adapter or a bare model.
func OpenWeights(o WeightsOptions) (*Loaded, error) {
	if o.Weights == "" {
		return nil, fmt.Errorf("no weights given: use --weights RUN, an adapter's folder, or MODEL.onnx")
	}
	st, err := os.Stat(o.Weights)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return openBare(o)
	}
	dir, err := adapterDir(o.Weights)
	if err != nil {
		return nil, err
	}
	rt, err := lora.ReadRuntime(dir)
	base := o.Model
	if err == nil {
		if base, err = rt.BaseModel.Find(dir, o.Model); err != nil {
			return nil, err
		}
	} else if base == "" {
		return nil, fmt.Errorf("%s does not say which model it belongs to: use --model FILE.onnx", dir)
	} else {
		rt = nil
	}
	var size [2]int
	var pre vision.Preprocess
	if rt != nil && len(rt.Preprocess) > 0 {
		if err := json.Unmarshal(rt.Preprocess, &pre); err != nil {
			return nil, fmt.Errorf("read %s: preprocessing: %w", dir, err)
		}
		size = pre.Size
	}
	if o.ImgSz > 0 {
		size = [2]int{o.ImgSz, o.ImgSz}
	}
	n, err := OpenNetwork(base, NetworkOptions{Height: size[0], Width: size[1], KeepBatchNorm: rt != nil && rt.BatchNorm})
	if err != nil {
		return nil, err
	}
	l := &Loaded{Network: n, Pre: pre.Normalised(n.Height, n.Width), Source: "the adapter", Dir: dir, Task: vision.Classify}
	if err := l.finish(o, rt); err != nil {
		n.Close()
		return nil, err
	}
	return l, nil
}

func (l *Loaded) finish(o WeightsOptions, rt *lora.Runtime) error {
	if _, err := l.LoadAdapter(l.Dir, false); err != nil {
		return err
	}
	if rt != nil {
		l.Decoder, l.Task = rt.Decoder, vision.Task(rt.Task)
	}
	if rt == nil || len(rt.Preprocess) == 0 {
		var err error
		if l.Pre, l.Source, err = resolvePreprocess(l.Model, o.Preprocess, l.Height, l.Width); err != nil {
			return err
		}
	}
	return l.nameClasses(o)
}

func openBare(o WeightsOptions) (*Loaded, error) {
	n, err := OpenNetwork(o.Weights, NetworkOptions{Height: o.ImgSz, Width: o.ImgSz})
	if err != nil {
		return nil, err
	}
	n.MultiLabel = n.Model.Metadata[MetaMultiLabel] == "true"
	l := &Loaded{Network: n, Task: vision.Classify}
	if n.Head, err = n.fileHead(); err != nil {
		n.Close()
		return nil, err
	}
	if d := n.Annotation.Detector; d != nil && n.Head == nil {
		n.Head = &Head{Kind: "detect", Classes: d.Classes, Detect: &DetectHead{Kind: kindOwn}}
	}
	if n.Head != nil {
		if l.Task = vision.Detect; n.Head.Detect.Masks != nil {
			l.Task = vision.Instance
		}
	}
	n.exportedSegmenter()
	if sg := n.Annotation.Segmenter; sg != nil && l.Task == vision.Classify {
		l.Task = vision.Segment
		n.Head = &Head{Kind: "segment", Classes: sg.Classes, Segment: &SegmentHead{Kind: kindOwn}}
	}
	if l.Pre, l.Source, err = n.preprocess(l.Task, o.Preprocess); err == nil {
		err = l.nameClasses(o)
	}
	if err == nil {
		err = n.checkChannels()
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return l, nil
}

// exportedSegmenter recognises a file that vislora wrote, whatever its head is
// made of, also where it puts out classes: their logits stand before them.
func (n *Network) exportedSegmenter() {
	a := n.Annotation
	if a.Segmenter != nil || n.Model.Metadata[MetaTask] != string(vision.Segment) {
		return
	}
	out := a.Graph.Outputs[0].Name
	if m := a.Graph.Producer()[out]; m != nil && m.Op == "ArgMax" {
		out = m.In(0)
	}
	if t := a.Graph.Types[out]; len(t.Dims) == 4 && isFloat(t.DType) {
		a.Segmenter = &build.Segmenter{Classes: t.Dims[1], Output: out, Logits: out, Stride: max(1, n.Height/max(1, t.Dims[2]))}
	}
}

// nameClasses makes sure that every logit has a name.
func (l *Loaded) nameClasses(o WeightsOptions) error {
	width := l.width()
	names, source := l.Classes, "the adapter"
	if names == nil {
		names, source = modelClasses(l.Model), "the model's metadata"
	}
	if o.Names != "" {
		var err error
		if names, err = readNames(o.Names); err != nil {
			return err
		}
		source = o.Names
	}
	if names == nil {
		l.unnamed = true
		for i := range width {
			names = append(names, fmt.Sprintf("class %d", i))
		}
	}
	if width > 0 && len(names) != width {
		return fmt.Errorf("%s tells %d classes apart, %s has %d class names: give a list of %d with --names", o.Weights, width, source, len(names), width)
	}
	l.Classes = names
	return nil
}

// width is the number of logits.
func (n *Network) width() int {
	if n.Head != nil {
		return n.Head.Classes
	}
	if n.Annotation.Classes > 0 {
		return n.Annotation.Classes
	}
	d := n.Annotation.Graph.Types[n.until()[0]].Dims
	w := 1
	for _, v := range d[min(1, len(d)):] {
		w *= v
	}
	return w
}

// readNames reads a list of class names, one per line.
func readNames(path string) ([]string, error) {
	if list := builtinNames(path); list != nil {
		return list, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read class names: %w", err)
	}
	defer f.Close()
	var names []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" {
			names = append(names, line)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read class names %s: %w", path, err)
	}
	if names == nil {
		return nil, fmt.Errorf("read class names %s: the file is empty", path)
	}
	return names, nil
}

func kindFloat(t *ir.Tensor) bool {
	return t.DType == ir.Float || t.DType == ir.Float16 || t.DType == ir.Double || t.DType == ir.BFloat16
}
