package onnx

import (
	"fmt"
	"strings"

	"github.com/vislora/vislora/internal/onnx/ir"
)

func (m *Model) readOpsets() error {
	m.opsets = map[string]int{}
	for _, o := range m.proto.OpsetImport {
		domain, v := canonicalDomain(o.GetDomain()), o.GetVersion()
		if v < 1 || v > 1<<20 {
			return formatf("opset of domain %q is %d", domain, v)
		}
		if old, ok := m.opsets[domain]; ok && old != int(v) {
			return formatf("domain %q is imported twice, with opset %d and %d", domain, old, v)
		}
		m.opsets[domain] = int(v)
	}
	if _, ok := m.opsets[""]; !ok && m.IRVersion < 3 {
		m.opsets[""] = 1 // such files know no other
	}
	return nil
}

// checkOpset compares the opset of the default domain with what is known:
// newer ones are read as of the newest known, and ones before minOpset unless
// a node depends on what changed since.
func (m *Model) checkOpset() error {
	v, ok := m.opsets[""]
	switch {
	case !ok:
		for _, n := range m.proto.Graph.Node {
			if canonicalDomain(n.GetDomain()) == "" {
				return formatf("opset_import does not name the domain ai.onnx, to which node %s belongs", labelOf(n))
			}
		}
	case v > maxOpset:
		m.warnf("opset %d is newer than %d: operators are read as of opset %d", v, maxOpset, maxOpset)
	case v < minOpset:
		var old []string
		for _, n := range m.Graph.Nodes {
			if n.Domain == "" && changedMeaning(n, v) {
				old = append(old, fmt.Sprintf("%s (node %q)", n.Op, nodeLabel(n.Name, n.Outputs)))
			}
		}
		if len(old) > 0 {
			return unsupportedf("operators as they were in opset %d: %s; convert the model with onnx.version_converter or export it with opset %d or newer",
				v, strings.Join(old, ", "), minOpset)
		}
		m.warnf("opset %d is older than %d: operators are read as of opset %d", v, minOpset, minOpset)
	}
	return nil
}

// changedMeaning reports whether a node of an opset below 7 means something
// else than the same node in opset 7.
func changedMeaning(n *ir.Node, opset int) bool {
	switch n.Op {
	case "Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Greater", "Less", "Equal":
		return n.Attrs.Has("axis") // broadcasting from a given axis; without it, as today
	case "BatchNormalization":
		return n.Attrs.Int("spatial", 1) == 0
	case "PRelu": // a slope per channel without trailing dimensions
		return true
	case "Cast": // the type as a word
		return opset < 6
	case "Tile": // one axis, count and axis as inputs
		return opset < 6
	case "Reshape": // the shape as an attribute
		return opset < 5
	case "Concat": // along axis 1 unless said
		return opset < 4 && !n.Attrs.Has("axis")
	case "Pad", "Split", "LpPool", "GlobalLpPool": // attributes by other names, lengths as an input
		return opset < 2
	case "Upsample": // scales by other names
		return true
	}
	return false
}

// canonicalDomain is "" for the standard's operators, however they are called.
func canonicalDomain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// Opset is the version of an operator domain ("" is ai.onnx), 0 when the file
// does not import it.
func (m *Model) Opset(domain string) int { return m.opsets[canonicalDomain(domain)] }
