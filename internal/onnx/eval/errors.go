package eval

import (
	"fmt"
	"strings"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// UnsupportedOp is a node whose operator is not known here.
type UnsupportedOp struct {
	Op, Domain, Node string
	Opset            int
}

// UnsupportedError lists every node of a graph that cannot be run.
type UnsupportedError struct{ Ops []UnsupportedOp }

func (e *UnsupportedError) Error() string {
	var b strings.Builder
	b.WriteString("unsupported operators:")
	for i, op := range e.Ops {
		if i > 0 {
			b.WriteByte(',')
		}
		if i == 8 {
			fmt.Fprintf(&b, " and %d more nodes", len(e.Ops)-i)
			break
		}
		b.WriteByte(' ')
		if op.Domain != "" {
			b.WriteString(op.Domain + ".")
		}
		fmt.Fprintf(&b, "%s (opset %d", op.Op, op.Opset)
		if op.Node != "" {
			fmt.Fprintf(&b, ", node %s", op.Node)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// DynamicError says that a node needs a static shape and gets a value whose
// shape depends on the image's contents.
type DynamicError struct {
	Node, Op string // the node that needs a shape
	Value    string // its input
	// Source describes the node that made the shape dynamic.
	Source string
}

func (e *DynamicError) Error() string {
	return fmt.Sprintf("node %s: %s: the shape of its input %q depends on the data, because of %s", e.Node, e.Op, e.Value, e.Source)
}

// describe names a node for an error: "node /head/Reshape".
func describe(n *ir.Node) string {
	switch {
	case n.Name != "":
		return "node " + n.Name
	case len(n.Outputs) > 0 && n.Outputs[0] != "":
		return "node making " + n.Outputs[0]
	}
	return "unnamed node"
}

// shapeString writes a shape as (8,196,192).
func shapeString(dims []int) string {
	s := fmt.Sprint(dims)
	return "(" + strings.ReplaceAll(s[1:len(s)-1], " ", ",") + ")"
}
