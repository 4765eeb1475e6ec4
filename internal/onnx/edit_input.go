package onnx

import (
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// ReplaceInput puts another graph input in the place of old. The name old is
// free afterwards: until a node is appended that makes it, the model cannot be
// written. The new input may not have it.
func (e *Editor) ReplaceInput(old string, v ir.Value) error {
	g := e.model.Graph
	i := slices.IndexFunc(g.Input, func(p *onnxpb.ValueInfoProto) bool { return p.GetName() == old })
	if _, err := e.initializer(old); i < 0 || err == nil {
		return fmt.Errorf("edit model: there is no input %q", old)
	}
	if err := e.free(v.Name); err != nil {
		return err
	}
	g.Input[i] = onnxpb.NewValueInfo(v.Name, int32(v.Type.DType), v.Type.Dims, v.Type.Params)
	return nil
}

// ReshapeInput gives a graph input another type under the same name, such as
// another picture size. Notes about the shapes of values in between no longer
// hold and are removed.
func (e *Editor) ReshapeInput(v ir.Value) error {
	for i, in := range e.model.Graph.Input {
		if in.GetName() == v.Name {
			e.model.Graph.Input[i] = onnxpb.NewValueInfo(v.Name, int32(v.Type.DType), v.Type.Dims, v.Type.Params)
			e.model.Graph.ValueInfo = nil
			return nil
		}
	}
	return fmt.Errorf("edit model: there is no input %q", v.Name)
}
