package onnx

import (
	"slices"

	"github.com/vislora/vislora/internal/onnxpb"
)

// reads lists the values that a node needs, subgraphs included.
func reads(n *onnxpb.NodeProto) []string {
	names := slices.Clone(n.Input)
	for _, a := range n.Attribute {
		if a.G != nil {
			names = append(names, freeVariables(a.G)...)
		}
		for _, sub := range a.Graphs {
			names = append(names, freeVariables(sub)...)
		}
	}
	return names
}

// live finds the nodes and values that the outputs need.
func (e *Editor) live() (nodes map[*onnxpb.NodeProto]bool, values map[string]bool) {
	maker := map[string]*onnxpb.NodeProto{}
	for _, n := range e.model.Graph.Node {
		for _, o := range n.Output {
			maker[o] = n
		}
	}
	nodes, values = map[*onnxpb.NodeProto]bool{}, map[string]bool{"": true}
	var todo []string
	for _, v := range e.model.Graph.Output {
		todo = append(todo, v.GetName())
	}
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if values[name] {
			continue
		}
		values[name] = true
		if n := maker[name]; n != nil && !nodes[n] {
			nodes[n] = true
			todo = append(todo, reads(n)...)
		}
	}
	return nodes, values
}

// Prune removes what the edits left without a reader: nodes, initializers,
// their entries among the inputs, and notes about values that are gone. What
// nothing read in the original file stays. It returns the names of the removed
// initializers and how many nodes went.
func (e *Editor) Prune() (initializers []string, nodes int) {
	g := e.model.Graph
	liveNodes, liveValues := e.live()
	before := len(g.Node)
	g.Node = slices.DeleteFunc(g.Node, func(n *onnxpb.NodeProto) bool { return !liveNodes[n] && !e.deadNodes[n] })
	for _, n := range g.Node { // the dead of old keep what they read
		for _, name := range reads(n) {
			liveValues[name] = true
		}
	}
	gone := map[string]bool{}
	g.Initializer = slices.DeleteFunc(g.Initializer, func(p *onnxpb.TensorProto) bool {
		name := p.GetName()
		if liveValues[name] || e.deadTensors[name] {
			return false
		}
		gone[name] = true
		initializers = append(initializers, name)
		delete(e.stored, p)
		return true
	})
	isGone := func(v *onnxpb.ValueInfoProto) bool { return gone[v.GetName()] }
	g.Input = slices.DeleteFunc(g.Input, isGone)
	made := map[string]bool{}
	for _, n := range g.Node {
		for _, o := range n.Output {
			made[o] = true
		}
	}
	for _, v := range g.Input {
		made[v.GetName()] = true
	}
	for _, p := range g.Initializer {
		made[p.GetName()] = true
	}
	g.ValueInfo = slices.DeleteFunc(g.ValueInfo, func(v *onnxpb.ValueInfoProto) bool { return !made[v.GetName()] })
	g.QuantizationAnnotation = slices.DeleteFunc(g.QuantizationAnnotation,
		func(a *onnxpb.TensorAnnotation) bool { return !made[a.GetTensorName()] })
	return initializers, before - len(g.Node)
}
