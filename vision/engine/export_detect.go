package engine

import (
	"encoding/json"
	"fmt"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
)

// detector writes what makes boxes: a new head, or new layers of the model's own,
// for classes or masks, whose output is put together again. With t, boxes are
// chosen inside the file, and with place they are put into pixels of the picture.
// Without any of it the file's outputs stay as they are.
func (m *merger) detector(t *thresholds, place *placing) (err error) {
	defer ops.Recover(&err)
	n := m.n
	d := n.Head.Detect
	if t == nil && !d.written() {
		return nil
	}
	opset := n.Model.Opset("")
	if t != nil && opset < boxOpset {
		return fmt.Errorf("boxes cannot be chosen inside the file: its opset is %d, and opset %d or later is needed; export without --nms, or convert the model with onnx.version_converter", opset, boxOpset)
	}
	b := newFileBuilder(m.e, opset, m.headParam)
	own := n.decoding()
	b.sigmoid = t == nil && (own == nil || own.Kind == build.DetectYOLOX)
	p, err := n.predictions(b, func(value string) (head.Value, error) { return m.read(b, value) })
	if err != nil {
		return err
	}
	rows := fileOf(p.rows)
	o := n.detectorOutput(p.levels)
	o.Value, o.Sigmoid, o.Format = rows.name, b.sigmoid || d.probabilities(), formatRows
	out := []fileOutput{{"output", rows.name, ir.Float, rows.dims}}
	if d.Kind == kindOwn {
		out[0].name = n.Model.Graph.Outputs[0].Name
	}
	if o.Masks != nil {
		v := fileOf(p.prototypes)
		o.Masks.Value = v.name
		out = append(out, fileOutput{"prototypes", v.name, ir.Float, []int{v.dims[0], v.dims[3], v.dims[1], v.dims[2]}})
	}
	a, k := o.rows(), o.Classes
	switch {
	case t != nil:
		o.Format, o.NMS = formatNMS, t.output(place != nil)
		c := b.suppressed(rows.name, o)
		if place != nil {
			if c, err = m.placed(c, place); err != nil {
				return err
			}
		}
		out = []fileOutput{{"boxes", c.boxes, ir.Float, []int{-1, 4}}, {"scores", c.scores, ir.Float, []int{-1}}, {"labels", c.labels, ir.Int64, []int{-1}}, {"images", c.images, ir.Int64, []int{-1}}}
		if o.Masks != nil {
			out = append(out, fileOutput{"masks", b.masks(rows.name, fileOf(p.prototypes), c, o, n.Height, n.Width), ir.Uint8, []int{-1, n.Height, n.Width}})
		}
	case own != nil && own.Kind == build.DetectYOLOv8: // decoded, as its file does
		if opset < boxOpset {
			return fmt.Errorf("the head's boxes cannot be decoded inside the file: its opset is %d, and opset %d or later is needed; convert the model with onnx.version_converter", opset, boxOpset)
		}
		o.Format = formatBoxes
		out[0].value, out[0].dims = b.centred(rows.name, o), []int{rows.dims[0], 4 + k, a}
	case o.Kind == build.DetectGFL:
		scores := b.op("Sigmoid", b.slice(rows.name, 2, 0, k))
		out[0].value = b.concat(2, scores, b.slice(rows.name, 2, k, o.columns()))
		o.Value, o.Sigmoid = out[0].value, true
	}
	if b.err != nil {
		return fmt.Errorf("write the detection head into %s: %w", n.Model.Path, b.err)
	}
	m.report.Added = append(m.report.Added, b.added...)
	m.sized = true
	names, err := m.outputs(out)
	if err != nil {
		return err
	}
	for i, v := range out {
		switch {
		case v.value == o.Value:
			o.Value = names[i]
		case o.Masks != nil && v.value == o.Masks.Value:
			o.Masks.Value = names[i]
		}
	}
	text, err := json.Marshal(o)
	m.e.SetMetadata(MetaDetector, string(text))
	return err
}

// headParam is a parameter of the new head.
func (m *merger) headParam(name string) (head.Param, error) {
	p := m.n.Net.Param(m.n.headName(name))
	if p == nil {
		return head.Param{}, fmt.Errorf("the head's parameter %s is missing", name)
	}
	return head.Param{Name: name, Dims: p.Dims, Data: p.Data()}, nil
}

// read is a value of the file as the head takes it: a map, a grid of tokens, or
// rows, in float32.
func (m *merger) read(b *fileBuilder, value string) (head.Value, error) {
	n := m.n
	if !m.e.HasValue(value) {
		return nil, fmt.Errorf("%s: the head reads %q, which the file itself does not have", n.Model.Path, value)
	}
	d := n.Annotation.Graph.Types[value].Dims
	batch := n.pictureValue().Type.Dims[0]
	f := n.feature(value)
	x := value
	if n.fileFloat() == ir.Float16 {
		x = b.cast(x, ir.Float)
	}
	switch {
	case len(d) == 4:
		return fileValue{x, []int{batch, d[2], d[3], d[1]}}, nil
	case len(d) == 3 && n.Head.Detect != nil && n.Head.Detect.Kind == kindFile:
		return fileValue{x, []int{batch, d[1], d[2]}}, nil
	case len(d) == 3 && f != nil && d[1] == f.Prefix+f.Grid[0]*f.Grid[1]:
		return b.grid(x, batch, f.Prefix, f.Grid[0], f.Grid[1], d[2]), nil
	}
	return nil, fmt.Errorf("%s: %q %v is no map and no grid of tokens", n.Model.Path, value, d)
}

// fileOutput is a value that becomes an output under a name, if it is free.
type fileOutput struct {
	name, value string
	dtype       ir.DType
	dims        []int // −1 is open: the batch, as many boxes as there are, or last the picture's size
}

// outputs puts values in the place of the graph's outputs, removes what is not
// used any more, and returns the names that they got.
func (m *merger) outputs(list []fileOutput) ([]string, error) {
	batch := "batch"
	if p := m.n.pictureValue().Type.Params; len(p) > 0 && p[0] != "" {
		batch = p[0]
	}
	var values []ir.Value
	for _, o := range list {
		t := ir.Type{DType: o.dtype, Dims: o.dims, Known: true, Params: make([]string, len(o.dims))}
		if t.Params[0] = batch; list[0].name == "boxes" {
			t.Params[0] = "boxes"
		}
		if k := len(o.dims); k > 2 && o.dims[k-1] < 0 {
			t.Params[k-2], t.Params[k-1] = "image_height", "image_width"
		}
		values = append(values, ir.Value{Name: o.value, Type: t})
	}
	m.e.SetOutputs(values...)
	m.e.Prune() // what had the names may go
	names := make([]string, len(list))
	for i, o := range list {
		name := o.name
		for k := 2; m.e.HasValue(name) && name != o.value; k++ {
			name = fmt.Sprintf("%s_%d", o.name, k)
		}
		if names[i] = name; name != o.value {
			if err := m.e.Rename(o.value, name); err != nil {
				return nil, err
			}
		}
	}
	return names, nil
}
