package onnx

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// SetOperand gives input i of the node that makes nodeOutput another constant,
// of any shape. It takes the place of the initializer that the node reads, and
// its name, where nothing else reads that one; otherwise it is added under the
// tensor's own name, which must be free. It returns the name that it got.
func (e *Editor) SetOperand(nodeOutput string, i int, t *ir.Tensor) (string, error) {
	n, err := e.node(nodeOutput)
	if err != nil {
		return "", err
	}
	if i < 0 || i >= len(n.Input) {
		return "", fmt.Errorf("edit model: node %s has %d inputs, there is no input %d", labelOf(n), len(n.Input), i)
	}
	old := n.Input[i]
	p, err := e.initializer(old)
	if err != nil || e.readers(old) != 1 {
		if err := e.AppendInitializer(t); err != nil {
			return "", err
		}
		n.Input[i] = t.Name
		return t.Name, nil
	}
	own := tensorProto(t)
	own.Name = proto.String(old)
	proto.Reset(p)
	proto.Merge(p, own)
	delete(e.stored, p)
	in := e.model.Graph.Input
	if k := slices.IndexFunc(in, func(v *onnxpb.ValueInfoProto) bool { return v.GetName() == old }); k >= 0 {
		in[k] = onnxpb.NewValueInfo(old, int32(t.DType), t.Dims, nil)
	}
	return old, nil
}

// readers counts where a value is read: by nodes, in their subgraphs, and as an
// output of the graph.
func (e *Editor) readers(name string) (count int) {
	for _, n := range e.model.Graph.Node {
		for _, in := range reads(n) {
			if in == name {
				count++
			}
		}
	}
	for _, v := range e.model.Graph.Output {
		if v.GetName() == name {
			count++
		}
	}
	return count
}
