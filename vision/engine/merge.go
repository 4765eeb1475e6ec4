package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
)

// Merged says what a merge did to the file.
type Merged struct {
	// Tensors lists the initializers (or Constant outputs) that changed, Added
	// those that were new: clones of shared weights, and the head.
	Tensors []string `json:"tensors"`
	Added   []string `json:"added,omitempty"`
	// MaxRounding is the largest error of storing a weight in 16 bits, relative
	// to the weight's largest value; 0 for float32 models.
	MaxRounding float64 `json:"max_rounding,omitempty"`
}

// outputs say what an exported file puts out beyond what a head does.
type outputs struct {
	nms    *thresholds // boxes are chosen inside the file
	place  *placing    // and put into pixels of the picture
	argMax bool        // classes of pixels and not their logits
	// original is filled in with the map that is then enlarged to the picture's own
	// size; nil where that is not asked for.
	original *pixelMap
}

// merge writes the network's adapter, trained parameters and head into an
// editor over the original file.
func (n *Network) merge(e *onnx.Editor, o outputs) (*merger, error) {
	m := &merger{n: n, e: e, report: &Merged{}, trained: map[string][]float32{}}
	for _, as := range n.saved {
		m.trained[as.tensor] = n.Net.Param(as.tensor).Data()
	}
	if err := m.resize(); err != nil {
		return nil, err
	}
	changed := map[string][]float32{}
	if n.Plan != nil {
		n.collect()
		for _, s := range n.Plan.Sites {
			if err := m.site(s, changed); err != nil {
				return nil, err
			}
		}
	}
	for name, data := range m.trained {
		if changed[name] == nil {
			changed[name] = data
		}
	}
	for _, name := range sortedKeys(changed) {
		if err := m.write(name, changed[name]); err != nil {
			return nil, err
		}
	}
	var err error
	switch h := n.Head; {
	case h == nil:
	case h.Detect != nil:
		err = m.detector(o.nms, o.place)
	case h.Segment != nil:
		err = m.segmenter(o)
	default:
		err = m.head()
	}
	slices.Sort(m.report.Tensors)
	return m, err
}

type merger struct {
	n       *Network
	e       *onnx.Editor
	report  *Merged
	trained map[string][]float32 // by planned tensor
	// sized is set when nodes were written for one size of the picture.
	sized bool
}

// site merges one adapter. No other node reads the weight: a weight that is
// applied in several places is not a site.
func (m *merger) site(s lora.Spec, changed map[string][]float32) error {
	g := m.n.Annotation.Graph
	w, bias := m.n.canonical(s.Site), []float32(nil)
	if t := m.trained[s.Site.Weight]; t != nil {
		if w = slices.Clone(t); s.Site.Kind == build.KindLinear && !s.Site.TransW {
			w = transposed(t, s.Site.In, s.Site.Out)
		}
	}
	if s.Site.Bias != "" {
		bias = g.Tensors[s.Site.Bias].Float32s()
		if t := m.trained[s.Site.Bias]; t != nil {
			bias = t
		}
	}
	out, err := lora.Merge(s.Site, m.n.Adapter.Layers[s.Site.Path], w, bias)
	if err != nil {
		return fmt.Errorf("merge %s: %w", s.Site.Path, err)
	}
	if out.AddedBias {
		return fmt.Errorf("merge %s: lora_bias gives a bias to a layer that has none; PEFT refuses this too", s.Site.Path)
	}
	merged := out.W
	if s.Site.Kind == build.KindLinear && !s.Site.TransW {
		merged = transposed(out.W, s.Site.Out, s.Site.In)
	}
	changed[s.Site.Weight] = merged
	if s.Site.Bias != "" && out.Bias != nil && !slices.Equal(out.Bias, bias) {
		changed[s.Site.Bias] = out.Bias
	}
	return nil
}

// readers counts the nodes of the plan that read a tensor.
func (m *merger) readers(tensor string) int {
	c := 0
	for _, n := range m.n.Annotation.Graph.Nodes {
		for _, in := range n.Inputs {
			if in == tensor {
				c++
			}
		}
	}
	return c
}

func (m *merger) fresh(name string) string {
	for i := 0; m.e.HasValue(name); i++ {
		name = fmt.Sprintf("%s_%d", name, i)
	}
	return name
}

// add appends an initializer of the given element type.
func (m *merger) add(name string, data []float32, d ir.DType, dims ...int) error {
	t := ir.FromFloat32s(name, data, dims...)
	if d == ir.Float16 {
		raw := make([]byte, 2*len(data))
		for i, v := range data {
			h := ir.FloatToHalf(v)
			raw[2*i], raw[2*i+1] = byte(h), byte(h>>8)
		}
		t = &ir.Tensor{Name: name, DType: ir.Float16, Dims: dims, Raw: raw}
	}
	m.report.Added = append(m.report.Added, name)
	return m.e.AppendInitializer(t)
}

// write puts a planned tensor's new values where they came from in the file.
func (m *merger) write(name string, data []float32) error {
	t := m.n.Annotation.Graph.Tensors[name]
	o := t.Origin
	if o == nil {
		return fmt.Errorf("merge %s: the model computes this tensor from others: it cannot be written back", name)
	}
	data = toOrigin(t, data)
	if m.sharedOrigin(name, o) {
		return m.split(name, t, data)
	}
	set := m.e.SetInitializer
	if o.Constant {
		set = m.e.SetConstant
	}
	r, err := set(o.Name, data)
	if err != nil {
		return err
	}
	if r.MaxValue > 0 {
		m.report.MaxRounding = max(m.report.MaxRounding, r.MaxAbs/r.MaxValue)
	}
	m.report.Tensors = append(m.report.Tensors, o.Name)
	return nil
}

// sharedOrigin reports whether another tensor of the plan comes from the same
// place in the file: exporters tie equal-valued parameters of different layers.
func (m *merger) sharedOrigin(name string, o *ir.Origin) bool {
	for other, t := range m.n.Annotation.Graph.Tensors {
		if other != name && t.Origin != nil && t.Origin.Name == o.Name && m.readers(other) > 0 {
			return true
		}
	}
	return false
}

// split writes an aliased parameter under a name of its own and gives it to the
// nodes that read this alias.
func (m *merger) split(name string, t *ir.Tensor, data []float32) error {
	if t.Origin.Perm != nil {
		return fmt.Errorf("merge %s: it is a transposed view of the shared %q", name, t.Origin.Name)
	}
	own := m.fresh(name + "_merged")
	if err := m.add(own, data, t.Origin.DType, t.Origin.Dims...); err != nil {
		return err
	}
	moved := 0
	for _, u := range m.e.Uses(name) {
		if err := m.e.RedirectInput(u.NodeOutput, u.Input, own); err != nil {
			return err
		}
		moved++
	}
	if moved == 0 {
		return fmt.Errorf("merge %s: no node of the file reads it directly", name)
	}
	return nil
}

// toOrigin undoes the transposition between the file's tensor and the planned
// one.
func toOrigin(t *ir.Tensor, data []float32) []float32 {
	o := t.Origin
	if o.Perm == nil {
		return data
	}
	dims := make([]int, len(o.Perm)) // of the transposed tensor
	strides := make([]int, len(o.Perm))
	for k, p := range o.Perm {
		dims[k] = o.Dims[p]
	}
	n := 1
	for k := len(dims) - 1; k >= 0; k-- {
		strides[k] = n
		n *= dims[k]
	}
	inv := make([]int, len(o.Perm))
	for k, p := range o.Perm {
		inv[p] = k
	}
	out := make([]float32, len(data))
	index := make([]int, len(dims))
	for i := range out {
		at := 0
		for a := range index {
			at += index[a] * strides[inv[a]]
		}
		out[i] = data[at]
		for a := len(index) - 1; a >= 0; a-- {
			if index[a]++; index[a] < o.Dims[a] {
				break
			}
			index[a] = 0
		}
	}
	return out
}

// head appends the new classifier as standard nodes and makes its logits the
// model's output.
func (m *merger) head() error {
	n, h := m.n, m.n.Head
	g := n.Annotation.Graph
	opset := n.Model.Opset("")
	value := h.Features
	dtype := n.fileFloat()
	node := func(op, in, out string, attrs ir.Attrs, more ...string) error {
		return m.e.AppendNode(&ir.Node{Op: op, Name: "/head/" + op, Inputs: append([]string{in}, more...), Outputs: []string{out}, Attrs: attrs})
	}
	old := n.Model.Graph.Outputs[0]
	output := old.Name
	if m.e.HasValue(output) && output != value { // the old classifier's value makes room
		if err := m.e.RemoveNode(output); err != nil {
			return err
		}
	} else if output == value {
		output = m.fresh("logits")
	}
	switch len(g.Types[value].Dims) {
	case 4:
		if err := node("GlobalAveragePool", value, "head_pool", nil); err != nil {
			return err
		}
		if err := node("Flatten", "head_pool", "head_features", ir.Attrs{"axis": int64(1)}); err != nil {
			return err
		}
		value = "head_features"
	case 3:
		attrs, more := ir.Attrs{"keepdims": int64(0)}, []string(nil)
		if opset >= 18 {
			more = []string{"head_axes"}
			if err := m.e.AppendInitializer(ir.FromInt64s("head_axes", []int64{1}, 1)); err != nil {
				return err
			}
		} else {
			attrs["axes"] = []int64{1}
		}
		if err := node("ReduceMean", value, "head_features", attrs, more...); err != nil {
			return err
		}
		value = "head_features"
	}
	if err := m.add(m.fresh(head.Weight), n.Net.Param(head.Weight).Data(), dtype, h.Classes, h.In); err != nil {
		return err
	}
	w := m.report.Added[len(m.report.Added)-1]
	if err := m.add(m.fresh(head.Bias), n.Net.Param(head.Bias).Data(), dtype, h.Classes); err != nil {
		return err
	}
	b := m.report.Added[len(m.report.Added)-1]
	if err := node("Gemm", value, output, ir.Attrs{"transB": int64(1)}, w, b); err != nil {
		return err
	}
	t := ir.Type{DType: dtype, Dims: []int{-1, h.Classes}, Known: true}
	if len(old.Type.Dims) > 0 {
		t.Dims[0] = old.Type.Dims[0]
	}
	t.Params = []string{"batch", ""}
	if len(old.Type.Params) > 0 && old.Type.Params[0] != "" {
		t.Params[0] = old.Type.Params[0]
	}
	if err := m.e.SetOutput(old.Name, ir.Value{Name: output, Type: t}); err != nil {
		return err
	}
	m.e.Prune()
	return nil
}

// fileFloat is the float type of the file's picture input.
func (n *Network) fileFloat() ir.DType {
	for _, in := range n.Model.Graph.Inputs {
		if in.Name == n.Picture.Name && in.Type.DType == ir.Float16 {
			return ir.Float16
		}
	}
	return ir.Float
}

// WriteMerged merges into a copy of the original file and writes it to path.
func (n *Network) WriteMerged(path string, metadata map[string]any) (*Merged, error) {
	return n.writeMerged(path, metadata, outputs{})
}

// writeMerged is [Network.WriteMerged] with other outputs, and lets edits change
// the file further; they are told its picture input.
func (n *Network) writeMerged(path string, metadata map[string]any, o outputs, edits ...func(*onnx.Editor, ir.Value) error) (*Merged, error) {
	e, err := onnx.Edit(n.Model)
	if err != nil {
		return nil, err
	}
	m, err := n.merge(e, o)
	if err != nil {
		return nil, err
	}
	picture := n.exportedPicture(m.sized)
	// Where the file prepares pictures itself, this is no input of its own.
	if has, err := embeddedIn(n.Model); err != nil {
		return nil, err
	} else if has == nil && !slices.Equal(picture.Type.Dims, n.pictureValue().Type.Dims) {
		if err := e.ReshapeInput(picture); err != nil {
			return nil, err
		}
	}
	for _, edit := range edits {
		if err := edit(e, picture); err != nil {
			return nil, err
		}
	}
	for _, k := range sortedKeys(metadata) {
		v, ok := metadata[k].(string)
		if !ok {
			b, err := json.Marshal(metadata[k])
			if err != nil {
				return nil, err
			}
			v = string(b)
		}
		e.SetMetadata(k, v)
	}
	if path == "" {
		return nil, errors.New("export: no file name given: use --out FILE")
	}
	return m.report, e.Write(path)
}
