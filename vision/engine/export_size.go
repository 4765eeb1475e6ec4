package engine

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// sizePrefix begins the names of nodes that compute a shape which depends on the
// batch, and of the values between them.
const sizePrefix = "vislora_size/"

// otherSize reports whether the network is planned for another size of the
// picture than the file fixes.
func (n *Network) otherSize() bool {
	p := n.Picture
	return p.Height > 0 && p.Height != n.Height || p.Width > 0 && p.Width != n.Width
}

// heightAxis is the axis of the picture's height; the width is the next one.
func (n *Network) heightAxis() int {
	if n.Picture.ChannelsLast {
		return 1
	}
	return 2
}

// exportedPicture is the picture input as the exported file declares it: where
// the file fixes a size, and where fix is set, of the network's.
func (n *Network) exportedPicture(fix bool) ir.Value {
	v := n.pictureValue()
	v.Type.Dims = slices.Clone(v.Type.Dims)
	h := n.heightAxis()
	for i, side := range []int{n.Height, n.Width} {
		if fix || v.Type.Dims[h+i] > 0 {
			v.Type.Dims[h+i] = side
		}
	}
	return v
}

// resize writes into the file what planning rewrote for another size of the
// picture: shapes that the exporter wrote down as numbers, and a transformer's
// position embedding, interpolated. Outputs get their new shapes. A file with an
// open batch is planned for two, and what differs between the plans is left open.
func (m *merger) resize() error {
	n := m.n
	if !n.otherSize() {
		return nil
	}
	batches := []int{n.pictureValue().Type.Dims[0]}
	if batches[0] < 1 {
		batches = []int{1, 2}
	}
	var plans []*ir.Graph
	for _, b := range batches {
		g, err := n.plan(b)
		if err != nil {
			return fmt.Errorf("export %s at %d×%d pixels: %w", n.Model.Path, n.Height, n.Width, err)
		}
		plans = append(plans, g)
	}
	made := map[string]string{} // by contents: layers write the same shapes
	maker := n.Model.Graph.Producer()
	for i, r := range plans[0].Rewritten {
		node := maker[r.Node]
		if node == nil {
			return fmt.Errorf("export %s at %d×%d pixels: the node that makes %q stands in a branch of an If, where it cannot be rewritten: use a backbone without the If, or train at the size of the file, %d×%d, with --imgsz",
				n.Model.Path, n.Height, n.Width, r.Node, n.Picture.Height, n.Picture.Width)
		}
		if last := plans[len(plans)-1].Rewritten; len(plans) > 1 && (i >= len(last) || last[i].Node != r.Node || last[i].Input != r.Input) {
			return fmt.Errorf("export %s at %d×%d pixels: for batches of 1 and 2 different constants change, the first at %q", n.Model.Path, n.Height, n.Width, r.Node)
		} else if err := m.operand(node, r, last[i].Tensor, made); err != nil {
			return fmt.Errorf("export %s at %d×%d pixels: %w", n.Model.Path, n.Height, n.Width, err)
		}
	}
	for _, o := range n.Model.Graph.Outputs {
		is := plans[0].Types[o.Name].Dims
		o.Type.Dims = slices.Clone(o.Type.Dims)
		for a, d := range o.Type.Dims {
			if d > 0 && len(is) == len(o.Type.Dims) {
				o.Type.Dims[a] = is[a]
			}
		}
		if err := m.e.SetOutput(o.Name, o); err != nil {
			return err
		}
	}
	m.e.Prune()
	return nil
}

// operand gives a node of the file the constant that its plan has. two is the
// same one for twice the batch.
func (m *merger) operand(node *ir.Node, r ir.Rewrite, two *ir.Tensor, made map[string]string) error {
	t := *r.Tensor
	if !bytes.Equal(t.Raw, two.Raw) {
		one, twice := t.Int64s(), two.Int64s()
		var open []int
		for k := range one {
			if one[k] != twice[k] {
				open = append(open, k)
			}
		}
		if node.Op != "Reshape" || len(open) > 1 {
			name, err := m.perBatch(t.DType, one, twice)
			if err != nil {
				return err
			}
			return m.e.RedirectInput(r.Node, r.Input, name)
		}
		one[open[0]] = -1
		t = *ir.FromInt64s(t.Name, one, len(one))
	}
	key := fmt.Sprintf("%v %v %x", t.DType, t.Dims, t.Raw)
	if name := made[key]; name != "" {
		return m.e.RedirectInput(r.Node, r.Input, name)
	}
	t.Name = m.fresh(t.Name)
	name, err := m.e.SetOperand(r.Node, r.Input, &t)
	if err != nil {
		return err
	}
	if made[key] = name; name == t.Name {
		m.report.Added = append(m.report.Added, name)
	} else {
		m.report.Tensors = append(m.report.Tensors, name)
	}
	return nil
}

// perBatch computes lengths that are linear in the batch N from those for batches
// of 1 and 2:
//
//	l = (2·l₁ − l₂) + (l₂ − l₁)·N
func (m *merger) perBatch(d ir.DType, one, two []int64) (string, error) {
	opset := m.n.Model.Opset("")
	if opset < headOpset {
		return "", fmt.Errorf("a shape depends on the batch, and in opset %d arithmetic does not broadcast: opset %d or later is needed; convert the model with onnx.version_converter", opset, headOpset)
	}
	g := newGrapher(m.e, opset, sizePrefix)
	rest, slope := make([]int64, len(one)), make([]int64, len(one))
	for k := range one {
		slope[k] = two[k] - one[k]
		rest[k] = one[k] - slope[k]
	}
	batch := g.gather(g.op("Shape", m.n.Picture.Name), g.scalar(0), 0)
	out := g.op("Add", g.ints(rest...), g.op("Mul", g.ints(slope...), batch))
	if d != ir.Int64 {
		out = g.cast(out, d)
	}
	return out, g.err
}
