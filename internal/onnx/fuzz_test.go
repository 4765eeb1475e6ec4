package onnx

import (
	"bytes"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
)

// FuzzParse holds that no bytes make the importer panic, hang, or allocate
// more than its limits; and that what it reads can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add(conv().Bytes())
	f.Add(shared().Bytes())
	f.Add(relu().InitProto(external("w", "location", "weights.bin", "offset", "4")).Bytes())
	then := onnxtest.New(13).Node("Exp", nil, []string{"x"}, []string{"t"}).Output("t", ir.Float, 1)
	f.Add(onnxtest.New(13).Input("x", ir.Float, 1).Input("c", ir.Bool).
		Node("If", ir.Attrs{"then_branch": then, "else_branch": then}, []string{"c"}, []string{"y"}).Output("y", ir.Float, 1).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		var (
			m   *Model
			err error
		)
		used := allocated(func() { m, err = Parse(data, "") })
		if limit := uint64(2*graphMemory + 8*graphMemoryPerByte*len(data)); used > limit {
			t.Fatalf("%d bytes allocated for a file of %d", used, len(data))
		}
		if err != nil {
			return
		}
		m.NonFinite()
		e, err := Edit(m)
		if err != nil {
			t.Fatalf("edit what was read: %v", err)
		}
		e.Prune()
		out, err := e.Bytes()
		if err != nil {
			t.Fatalf("write what was read: %v", err)
		}
		again, err := Parse(out, "")
		if err != nil {
			t.Fatalf("read what was written: %v", err)
		}
		if len(again.Graph.Nodes) != len(m.Graph.Nodes) || len(again.Graph.Tensors) != len(m.Graph.Tensors) {
			t.Fatalf("%d nodes and %d tensors became %d and %d", len(m.Graph.Nodes), len(m.Graph.Tensors), len(again.Graph.Nodes), len(again.Graph.Tensors))
		}
		for name, x := range m.Graph.Tensors {
			if y := again.Graph.Tensors[name]; y == nil || !bytes.Equal(x.Raw, y.Raw) || x.DType != y.DType {
				t.Fatalf("tensor %q changed", name)
			}
		}
	})
}
