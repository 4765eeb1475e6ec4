package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vislora/vislora/cnn"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/head"
	"github.com/vislora/vislora/vit"
)

// Network is a base model with, perhaps, an adapter and a head of its own.
type Network struct {
	Model   *onnx.Model
	Picture onnx.Picture
	// outputs are those of the file, whatever vislora reads in their place.
	outputs []ir.Value
	// Height and Width are those of the input the network is planned for.
	Height, Width int
	Annotation    *build.Annotation
	Net           *build.Net
	// Classes names the logits; nil when nobody has said.
	Classes []string
	// MultiLabel is set when several classes can be true of one image.
	MultiLabel bool
	// Adapter and Plan are nil without an adapter.
	Adapter *lora.Adapter
	Plan    *lora.Plan
	// Head describes a new head; nil when the model's own classifier is used.
	Head *Head
	// headNames are the parameters of the head, in order.
	headNames []string

	options onnx.PlanOptions
	plans   map[int]*ir.Graph
	// saved maps parameters of the base model that train to the names they are
	// saved under; transposed marks linear weights stored (in, out), which are
	// saved (out, in) as PyTorch has them.
	saved map[string]savedAs
}

type savedAs struct {
	tensor     string
	transposed bool
}

// Head is what was put behind the base model: a linear layer on one of its
// values, or what makes boxes or classes of pixels.
type Head struct {
	Kind string `json:"kind"` // "linear", "detect" or "segment"
	// Features is the value it reads: pooled (N, C), or a map (N, C, H, W),
	// which is averaged first, or tokens (N, T, C), likewise.
	Features string `json:"features,omitempty"`
	In       int    `json:"in,omitempty"`
	Classes  int    `json:"classes"`
	// Detect is set for "detect", Segment for "segment".
	Detect  *DetectHead  `json:"detect,omitempty"`
	Segment *SegmentHead `json:"segment,omitempty"`
}

// denseHead is a head that reads maps or tokens.
type denseHead interface {
	// parts are its new modules; values lists what has to be built for it.
	parts(n *Network) ([]module, error)
	values(n *Network) []string
}

// dense is the head that reads maps, nil for a linear one.
func (h *Head) dense() denseHead {
	switch {
	case h == nil:
	case h.Detect != nil:
		return h.Detect
	case h.Segment != nil:
		return h.Segment
	}
	return nil
}

// NetworkOptions say how a model is opened.
type NetworkOptions struct {
	// Height and Width change the input's size; 0 keeps the file's.
	Height, Width int
	// KeepBatchNorm leaves batch normalisations trainable, for full fine-tuning.
	KeepBatchNorm bool
}

// OpenNetwork reads an ONNX model and recognises it.
func OpenNetwork(path string, o NetworkOptions) (*Network, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	n, err := newNetwork(m, o)
	if err != nil {
		m.Close()
		return nil, err
	}
	return n, nil
}

func newNetwork(m *onnx.Model, o NetworkOptions) (*Network, error) {
	outputs := slices.Clone(m.Graph.Outputs)
	if err := peel(m); err != nil {
		return nil, err
	}
	pic, err := m.Picture()
	if err != nil {
		return nil, err
	}
	n := &Network{Model: m, Picture: pic, outputs: outputs, plans: map[int]*ir.Graph{}, saved: map[string]savedAs{},
		options: onnx.PlanOptions{Height: o.Height, Width: o.Width, KeepBatchNorm: o.KeepBatchNorm}}
	one, err := n.plan(1)
	if err != nil {
		return nil, err
	}
	d := one.Types[pic.Name].Dims
	n.Height, n.Width = d[2], d[3]
	if pic.ChannelsLast {
		n.Height, n.Width = d[1], d[2]
	}
	n.Annotation = annotate(one)
	n.Net = build.NewNet(n.plan)
	return n, nil
}

func annotate(g *ir.Graph) *build.Annotation {
	if a, ok := vit.Annotate(g); ok {
		return a
	}
	if a, ok := cnn.Annotate(g); ok {
		return a
	}
	return cnn.Generic(g)
}

// plan caches the model's plans by batch size: they share all tensors.
func (n *Network) plan(batch int) (*ir.Graph, error) {
	if g := n.plans[batch]; g != nil {
		return g, nil
	}
	o := n.options
	o.Batch = batch
	g, err := n.Model.Plan(o)
	if err == nil {
		n.plans[batch] = g
	}
	return g, err
}

// Close gives the model's file back.
func (n *Network) Close() error { return n.Model.Close() }

// canonical returns a site's weight as (out, in) or (out, in/g, kH, kW).
func (n *Network) canonical(s build.Site) []float32 {
	t := n.Annotation.Graph.Tensors[s.Weight]
	w := t.Float32s()
	if s.Kind == build.KindLinear && !s.TransW {
		return transposed(w, s.In, s.Out)
	}
	return slices.Clone(w)
}

// transposed turns a (rows, cols) matrix into (cols, rows).
func transposed(w []float32, rows, cols int) []float32 {
	out := make([]float32, len(w))
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = w[i*cols+j]
		}
	}
	return out
}

// NewHead puts a fresh classifier on the pooled features, before the model's
// own classifier if it has one.
func (n *Network) NewHead(classes []string, seed uint64) error {
	feature, width, err := n.features()
	if err != nil {
		return err
	}
	n.Classes = classes
	n.Head = &Head{Kind: "linear", Features: feature, In: width, Classes: len(classes)}
	return n.addHead(&seed, nil, true)
}

// features finds the value a new head reads, and its width.
func (n *Network) features() (value string, width int, err error) {
	a := n.Annotation
	value = a.ClassifierInput
	if a.Classifier == nil || value == "" {
		value = a.Graph.Outputs[0].Name
		for _, f := range a.Features {
			if f.Kind == "pooled" {
				value = f.Value
			}
		}
	}
	switch d := a.Graph.Types[value].Dims; len(d) {
	case 2, 4:
		return value, d[1], nil
	case 3:
		return value, d[2], nil
	default:
		return "", 0, fmt.Errorf("%s: no features to put a classifier on: %s has shape %v", n.Model.Path, value, d)
	}
}

// KeepHead trains on with the model's own classifier.
func (n *Network) KeepHead(classes []string) error {
	c := n.Annotation.Classifier
	if c == nil {
		return fmt.Errorf("%s has no classifier to keep", n.Model.Path)
	}
	n.Classes = classes
	return n.trainModule(c.Path)
}

// trainModule makes a module's own parameters trainable.
func (n *Network) trainModule(path string) error {
	found := false
	for _, name := range sortedKeys(n.Annotation.Params) {
		if strings.HasPrefix(name, path+".") {
			found = true
			if err := n.train(name, nil); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("no parameters under %q", path)
	}
	return nil
}

// train makes a parameter of the base model trainable. values, in PyTorch's
// layout, replace its own unless nil.
func (n *Network) train(name string, values []float32) error {
	tensor := n.Annotation.Params[name]
	t := n.Annotation.Graph.Tensors[tensor]
	if t == nil {
		return fmt.Errorf("the model has no parameter %q", name)
	}
	as := savedAs{tensor: tensor, transposed: n.storedTransposed(tensor)}
	p, err := n.Net.Unfreeze(t, tensor)
	if err != nil {
		return err
	}
	n.saved[name] = as
	if values == nil {
		return nil
	}
	if len(values) != len(p.Data()) {
		return fmt.Errorf("%s has %d values, the model's has %d (%v)", name, len(values), len(p.Data()), t.Dims)
	}
	if as.transposed {
		values = transposed(values, t.Dims[1], t.Dims[0])
	}
	copy(p.Data(), values)
	return nil
}

// storedTransposed reports whether a tensor is a linear weight kept (in, out).
func (n *Network) storedTransposed(tensor string) bool {
	sites := n.Annotation.Sites
	if c := n.Annotation.Classifier; c != nil {
		sites = append(slices.Clone(sites), *c)
	}
	for _, s := range sites {
		if s.Weight == tensor && s.Kind == build.KindLinear {
			return !s.TransW
		}
	}
	return false
}

// TrainAll makes every parameter of the base model trainable.
func (n *Network) TrainAll() error {
	c := n.Annotation.Classifier
	_, used := n.reached()
	for _, name := range sortedKeys(n.Annotation.Params) {
		if n.Head != nil && c != nil && strings.HasPrefix(name, c.Path+".") || !used[n.Annotation.Params[name]] {
			continue // the new head stands in its place
		}
		if err := n.train(name, nil); err != nil {
			return err
		}
	}
	return nil
}

// reached tells which sites the outputs depend on, and which tensors: with a
// new head, parts of the base model are not computed.
func (n *Network) reached() (sites, tensors map[string]bool) {
	g := n.Annotation.Graph
	made := g.Producer()
	sites, tensors = map[string]bool{}, map[string]bool{}
	seen := map[*ir.Node]bool{}
	var walk func(v string)
	walk = func(v string) {
		node := made[v]
		if node == nil || seen[node] {
			return
		}
		seen[node] = true
		sites[build.SiteOf(node)] = true
		for _, in := range node.Inputs {
			if g.Tensors[in] != nil {
				tensors[in] = true
			}
			walk(in)
		}
	}
	for _, v := range n.until() {
		walk(v)
	}
	return sites, tensors
}

// sites are the layers that an adapter can be put on: those that are computed
// and do not train whole.
func (n *Network) sites() []build.Site {
	reached, _ := n.reached()
	whole := map[string]bool{}
	for name := range n.saved {
		if path, ok := strings.CutSuffix(name, ".weight"); ok {
			whole[path] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(n.Annotation.Sites), func(s build.Site) bool {
		return !reached[s.Output] || n.Head.dense() != nil && whole[s.Path]
	})
}

// AddAdapter plans and initialises a new adapter.
func (n *Network) AddAdapter(c *lora.Config, seed uint64) error {
	plan, err := lora.NewPlan(c, n.sites(), n.classifierPath())
	if err != nil {
		return err
	}
	a, err := lora.NewAdapter(plan, seed)
	if err != nil {
		return err
	}
	if c.UseDoRA {
		for _, s := range plan.Sites {
			if err := a.Layers[s.Site.Path].InitMagnitude(s.Site, n.canonical(s.Site)); err != nil {
				return err
			}
		}
	}
	if err := n.attach(a, plan, true); err != nil {
		return err
	}
	return n.trainExtras(c, plan)
}

func (n *Network) classifierPath() string {
	if c := n.Annotation.Classifier; c != nil {
		return c.Path
	}
	return ""
}

// trainExtras makes trainable what bias mode and modules_to_save ask for.
func (n *Network) trainExtras(c *lora.Config, plan *lora.Plan) error {
	for _, name := range sortedKeys(n.Annotation.Params) {
		module := name[:max(strings.LastIndexByte(name, '.'), 0)]
		if n.Head != nil && module == n.classifierPath() {
			continue
		}
		if plan.TrainsBias(name) || module != "" && c.SavesModule(module) {
			if err := n.train(name, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// attach puts an adapter's tensors into the network.
func (n *Network) attach(a *lora.Adapter, plan *lora.Plan, train bool) error {
	n.Adapter, n.Plan = a, plan
	for _, s := range plan.Sites {
		l := a.Layers[s.Site.Path]
		for _, p := range layerParts(l) {
			if _, err := n.Net.AddParam(build.AdapterParam(s.Site.Path, p.part), p.tensor.Data, train, p.tensor.Shape...); err != nil {
				return err
			}
		}
		dropout := a.Config.LoraDropout
		n.Net.Adapt(&build.Adapter{Site: s.Site, Rank: s.Rank, Scaling: l.Scaling, Dropout: dropout, DoRA: l.Magnitude != nil,
			Bias: l.BiasB != nil, DenseA: s.DenseA, Delta: s.Delta})
	}
	return nil
}

type layerPart struct {
	part   string
	tensor *lora.Tensor
}

func layerParts(l *lora.Layer) []layerPart {
	var out []layerPart
	for _, p := range []layerPart{{build.PartA, l.A}, {build.PartB, l.B}, {build.PartBiasB, l.BiasB}, {build.PartMagnitude, l.Magnitude}, {build.PartDelta, l.Delta}} {
		if p.tensor != nil {
			out = append(out, p)
		}
	}
	return out
}

// LoadAdapter reads an adapter's folder, PEFT's or ours, and puts it on the
// network. The runtime metadata is nil for a folder that PEFT wrote.
func (n *Network) LoadAdapter(dir string, train bool) (*lora.Runtime, error) {
	a, err := lora.Load(dir)
	if err != nil {
		return nil, err
	}
	rt, err := lora.ReadRuntime(dir)
	if errors.Is(err, fs.ErrNotExist) {
		rt = nil
	} else if err != nil {
		return nil, err
	}
	plan, err := a.Bind(n.Annotation.Sites)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if rt != nil {
		n.Classes, n.MultiLabel = rt.Classes, rt.MultiLabel
		if len(rt.Head) > 0 {
			n.Head = &Head{}
			if err := json.Unmarshal(rt.Head, n.Head); err != nil {
				return nil, fmt.Errorf("read the head in %s: %w", dir, err)
			}
			for _, v := range n.until() {
				if _, ok := n.Annotation.Graph.Types[v]; !ok {
					return nil, fmt.Errorf("%s: the head reads %q, which %s does not have", dir, v, n.Model.Path)
				}
			}
			values := map[string][]float32{}
			for name, t := range a.Saved {
				values[name] = t.Data
			}
			if err := n.addHead(nil, values, train); err != nil {
				return nil, fmt.Errorf("%s: %w", dir, err)
			}
		}
	}
	if err := n.attach(a, plan, train); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(a.Saved) {
		t := a.Saved[name]
		if slices.Contains(n.headNames, name) || t.Data == nil {
			continue
		}
		if err := n.train(name, t.Data); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		if !train {
			n.Net.Param(n.saved[name].tensor).Trainable = false
			n.Net.Param(n.saved[name].tensor).Value.Frozen = true
		}
	}
	return rt, nil
}

// collect copies the trained values back into the adapter, for saving.
func (n *Network) collect() {
	a := n.Adapter
	for path, l := range a.Layers {
		for _, p := range layerParts(l) {
			copy(p.tensor.Data, n.Net.Param(build.AdapterParam(path, p.part)).Data())
		}
	}
	if a.Saved == nil {
		a.Saved = map[string]*lora.Tensor{}
	}
	for name, as := range n.saved {
		p := n.Net.Param(as.tensor)
		data, dims := slices.Clone(p.Data()), slices.Clone(p.Dims)
		if as.transposed {
			data = transposed(data, dims[0], dims[1])
			dims[0], dims[1] = dims[1], dims[0]
		}
		a.Saved[name] = keepDType(a.Saved[name], data, dims)
	}
	for _, name := range n.headNames {
		p := n.Net.Param(name)
		a.Saved[name] = keepDType(a.Saved[name], slices.Clone(p.Data()), p.Dims)
	}
}

// keepDType keeps the element type that a tensor had in its file.
func keepDType(old *lora.Tensor, data []float32, dims []int) *lora.Tensor {
	t := lora.NewTensor(data, dims...)
	if old != nil {
		t.DType = old.DType
	}
	return t
}

// outputs are the nodes a program computes.
func (n *Network) logits(g *build.Graph) (*ops.Node, error) {
	if n.Head == nil {
		name := n.Annotation.Logits
		if name == "" {
			name = n.Annotation.Graph.Outputs[0].Name
		}
		y, err := g.Value(name)
		if err != nil {
			return nil, err
		}
		s := ops.Shape(y)
		k := 1
		for _, d := range s[1:] {
			k *= d
		}
		return g.Reshape(y, s[0], k), nil
	}
	f, err := n.pooled(g)
	if err != nil {
		return nil, err
	}
	return head.Classifier{In: n.Head.In, Classes: n.Head.Classes}.Logits(g.Graph, f, g.Leaf(head.Weight), g.Leaf(head.Bias)), nil
}

// pooled is what the head reads, as (N, C).
func (n *Network) pooled(g *build.Graph) (*ops.Node, error) {
	d := n.Annotation.Graph.Types[n.Head.Features].Dims
	switch len(d) {
	case 4:
		m, err := g.Map(n.Head.Features)
		if err != nil {
			return nil, err
		}
		return head.Pool(g.Graph, m), nil
	case 3:
		v, err := g.Value(n.Head.Features)
		if err != nil {
			return nil, err
		}
		return head.MeanTokens(g.Graph, v), nil
	}
	return g.Value(n.Head.Features)
}

// until lists what has to be built for the logits.
func (n *Network) until() []string {
	if d := n.Head.dense(); d != nil {
		return d.values(n)
	}
	if n.Head != nil {
		return []string{n.Head.Features}
	}
	if n.Annotation.Logits != "" {
		return []string{n.Annotation.Logits}
	}
	return []string{n.Annotation.Graph.Outputs[0].Name}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
