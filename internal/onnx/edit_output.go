package onnx

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// SetOutputs makes these values the graph's outputs, in the place of all that
// there were.
func (e *Editor) SetOutputs(values ...ir.Value) {
	out := make([]*onnxpb.ValueInfoProto, len(values))
	for i, v := range values {
		out[i] = onnxpb.NewValueInfo(v.Name, int32(v.Type.DType), v.Type.Dims, v.Type.Params)
	}
	e.model.Graph.Output = out
}

// Rename gives a value that a node makes another name, which must be free, where
// it is made, where the main graph's nodes read it, and among the outputs.
func (e *Editor) Rename(old, name string) error {
	n, err := e.node(old)
	if err != nil {
		return err
	}
	if err := e.free(name); err != nil {
		return err
	}
	nodes := e.model.Graph.Node
	for _, r := range nodes {
		if slices.Contains(reads(r)[len(r.Input):], old) {
			return fmt.Errorf("edit model: a subgraph of node %s reads %q, which cannot be renamed", labelOf(r), old)
		}
	}
	replace := func(list []string) {
		for i, v := range list {
			if v == old {
				list[i] = name
			}
		}
	}
	for _, r := range nodes {
		replace(r.Input)
	}
	replace(n.Output)
	for _, v := range e.model.Graph.Output {
		if v.GetName() == old {
			v.Name = &name
		}
	}
	return nil
}
