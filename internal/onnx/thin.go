package onnx

import (
	"fmt"
	"slices"

	onnxgo "github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnxpb"
)

// collected is one node as onnx-go hands it over.
type collected struct {
	op              string
	attrs           map[string]any
	inputs, outputs []string
}

// decodeNodes sends nodes through onnx-go and returns them in the same order.
// The copy that onnx-go sees holds no tensors, no types and no graph
// attributes; every node has a name and every output too, since onnx-go keys
// both by name. A panic of its becomes an error, and so does any difference
// between what it saw and what the file says.
func decodeNodes(gp *onnxpb.GraphProto, nodes []*onnxpb.NodeProto) ([]collected, error) {
	if len(nodes) == 0 { // an error for onnx-go, but a branch of an If may hold constants only
		return nil, nil
	}
	thin, err := proto.Marshal(thinModel(gp, nodes))
	if err != nil {
		return nil, formatf("copy the graph's nodes: %v", err)
	}
	c := &collector{pending: map[int64][]graph.WeightedEdge{}}
	if err := onnxGo(c, thin); err != nil {
		return nil, formatf("onnx-go: %v", err)
	}
	if len(c.nodes) != len(nodes) {
		return nil, formatf("onnx-go found %d nodes of %d", len(c.nodes), len(nodes))
	}
	for i, n := range nodes {
		got := &c.nodes[i]
		if len(n.Input) == 0 {
			got.inputs = nil // onnx-go invents one
		}
		for k, o := range n.Output {
			if o == "" && k < len(got.outputs) {
				got.outputs[k] = ""
			}
		}
		if got.op != n.GetOpType() || !slices.Equal(got.inputs, n.Input) || !slices.Equal(got.outputs, n.Output) {
			return nil, formatf("onnx-go reads node %s as %s %q → %q, the file has %q → %q",
				labelOf(n), got.op, got.inputs, got.outputs, n.Input, n.Output)
		}
	}
	return c.nodes, nil
}

func onnxGo(c *collector, model []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return onnxgo.NewModel(c).UnmarshalBinary(model)
}

func thinModel(gp *onnxpb.GraphProto, nodes []*onnxpb.NodeProto) *onnxpb.ModelProto {
	g := &onnxpb.GraphProto{Name: proto.String("thin")}
	for _, v := range gp.Input {
		g.Input = append(g.Input, &onnxpb.ValueInfoProto{Name: v.Name})
	}
	for _, v := range gp.Output {
		g.Output = append(g.Output, &onnxpb.ValueInfoProto{Name: v.Name})
	}
	for i, n := range nodes {
		t := &onnxpb.NodeProto{Name: proto.String(fmt.Sprintf("node_%d", i)), OpType: n.OpType, Input: n.Input}
		for k, o := range n.Output {
			if o == "" {
				o = fmt.Sprintf("vislora:absent:%d:%d", i, k)
			}
			t.Output = append(t.Output, o)
		}
		for _, a := range n.Attribute {
			if plainAttribute(a.GetType()) {
				t.Attribute = append(t.Attribute, a)
			}
		}
		g.Node = append(g.Node, t)
	}
	return &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g}
}

// plainAttribute reports whether onnx-go decodes attributes of the type.
func plainAttribute(t onnxpb.AttributeProto_AttributeType) bool {
	switch t {
	case onnxpb.AttributeProto_INT, onnxpb.AttributeProto_FLOAT, onnxpb.AttributeProto_STRING,
		onnxpb.AttributeProto_INTS, onnxpb.AttributeProto_FLOATS, onnxpb.AttributeProto_STRINGS:
		return true
	}
	return false
}

// collector is the backend that onnx-go builds into. It keeps the edge calls,
// not a graph: a graph has one edge between two nodes, and Mul(x, x) has two.
type collector struct {
	values  []*thinValue
	pending map[int64][]graph.WeightedEdge // of the node being built, by output
	nodes   []collected
}

// thinValue is a value of the graph; onnx-go calls values nodes.
type thinValue struct {
	id   int64
	name string
}

func (v *thinValue) ID() int64        { return v.id }
func (v *thinValue) SetName(n string) { v.name = n }
func (v *thinValue) GetName() string  { return v.name }

type thinEdge struct {
	from, to graph.Node
	weight   float64
}

func (e thinEdge) From() graph.Node         { return e.from }
func (e thinEdge) To() graph.Node           { return e.to }
func (e thinEdge) ReversedEdge() graph.Edge { return thinEdge{e.to, e.from, e.weight} }
func (e thinEdge) Weight() float64          { return e.weight }

func (c *collector) NewNode() graph.Node {
	v := &thinValue{id: int64(len(c.values))}
	c.values = append(c.values, v)
	return v
}

func (c *collector) AddNode(graph.Node) {}

func (c *collector) NewWeightedEdge(from, to graph.Node, weight float64) graph.WeightedEdge {
	return thinEdge{from, to, weight}
}

// SetWeightedEdge is called from an output to an input; the weight is the
// input's position.
func (c *collector) SetWeightedEdge(e graph.WeightedEdge) {
	c.pending[e.From().ID()] = append(c.pending[e.From().ID()], e)
}

// ApplyOperation ends a node, after the edges of all its outputs.
func (c *collector) ApplyOperation(o onnxgo.Operation, outputs ...graph.Node) error {
	n := collected{op: o.Name, attrs: o.Attributes}
	for i, out := range outputs {
		n.outputs = append(n.outputs, out.(*thinValue).name)
		if i == 0 {
			edges := c.pending[out.ID()]
			n.inputs = make([]string, len(edges))
			for _, e := range edges {
				k := int(e.Weight())
				if k >= len(edges) {
					return fmt.Errorf("%s: input %d of %d", o.Name, k, len(edges))
				}
				n.inputs[k] = e.To().(*thinValue).name
			}
		}
		delete(c.pending, out.ID())
	}
	c.nodes = append(c.nodes, n)
	return nil
}

// The rest of a directed graph, which the decoder never asks for.

func (c *collector) Node(id int64) graph.Node       { return c.values[id] }
func (c *collector) Nodes() graph.Nodes             { return graph.Empty }
func (c *collector) From(int64) graph.Nodes         { return graph.Empty }
func (c *collector) To(int64) graph.Nodes           { return graph.Empty }
func (c *collector) HasEdgeBetween(_, _ int64) bool { return false }
func (c *collector) HasEdgeFromTo(_, _ int64) bool  { return false }
func (c *collector) Edge(_, _ int64) graph.Edge     { return nil }
