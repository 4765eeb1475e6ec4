package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/onnx/eval"
	"github.com/vislora/vislora/internal/onnx/ir"
)

// FormatError tells that a file breaks the ONNX standard or a limit that keeps
// hostile files from taking memory.
type FormatError struct {
	Path    string   // the file; empty for bytes in memory
	Where   []string // from the outside in: `node "conv1" (Conv)`, `attribute "value"`
	Problem string
}

func (e *FormatError) Error() string {
	return "read " + strings.Join(append(append([]string{pathOr(e.Path)}, e.Where...), e.Problem), ": ")
}

// UnsupportedOp is one operator that a graph needs and vislora lacks.
type UnsupportedOp struct {
	Op     string
	Domain string // "" is ai.onnx
	Node   string // the first node that uses it, by name or first output
	Opset  int    // of the domain, 0 if the file does not import it
	Count  int    // how many nodes use it
}

// UnsupportedError lists everything a model uses that vislora lacks, operators
// and other features, all at once.
type UnsupportedError struct {
	Path     string
	Ops      []UnsupportedOp
	Features []string // `initializer "w": sparse tensors`
}

func (e *UnsupportedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "import %s: ", pathOr(e.Path))
	if n := len(e.Ops); n > 0 {
		fmt.Fprintf(&b, "%d %s not supported: ", n, plural(n, "operator is", "operators are"))
		for i, o := range e.Ops {
			if i > 0 {
				b.WriteString(", ")
			}
			name := o.Op
			if o.Domain != "" {
				name = o.Domain + "." + o.Op
			}
			fmt.Fprintf(&b, "%s (opset %d, node %q", name, o.Opset, o.Node)
			if o.Count > 1 {
				fmt.Fprintf(&b, " and %d more", o.Count-1)
			}
			b.WriteString(")")
		}
		if len(e.Features) > 0 {
			b.WriteString("; ")
		}
	}
	if len(e.Features) > 0 {
		b.WriteString("not supported: " + strings.Join(e.Features, ", "))
	}
	return b.String()
}

// MissingOps lists the operators of g (not of its subgraphs) for which
// supported is false, one entry per operator in order of first use, and
// returns nil when there are none. Plan calls it once constants are folded.
func (m *Model) MissingOps(g *ir.Graph, supported func(op, domain string) bool) error {
	e := &UnsupportedError{Path: m.Path}
	type key struct{ op, domain string }
	at := map[key]int{}
	for _, n := range g.Nodes {
		if supported(n.Op, n.Domain) {
			continue
		}
		k := key{n.Op, n.Domain}
		i, seen := at[k]
		if !seen {
			i = len(e.Ops)
			at[k] = i
			e.Ops = append(e.Ops, UnsupportedOp{Op: n.Op, Domain: n.Domain, Node: nodeLabel(n.Name, n.Outputs), Opset: m.Opset(n.Domain)})
		}
		e.Ops[i].Count++
	}
	if len(e.Ops) == 0 {
		return nil
	}
	return e
}

// unsupported names the file in an error of the evaluator, and lists missing
// operators as [Model.MissingOps] does: one entry each, with the opset of its
// own domain.
func (m *Model) unsupported(err error) error {
	var missing *eval.UnsupportedError
	if !errors.As(err, &missing) {
		return inFile(m.Path, err)
	}
	e := &UnsupportedError{Path: m.Path}
	for _, o := range missing.Ops {
		i := slices.IndexFunc(e.Ops, func(u UnsupportedOp) bool { return u.Op == o.Op && u.Domain == o.Domain })
		if i < 0 {
			i = len(e.Ops)
			e.Ops = append(e.Ops, UnsupportedOp{Op: o.Op, Domain: o.Domain, Node: o.Node, Opset: m.Opset(o.Domain)})
		}
		e.Ops[i].Count++
	}
	return e
}

// nodeLabel is how messages call a node: its name, or its first output.
func nodeLabel(name string, outputs []string) string {
	if name != "" {
		return name
	}
	for _, o := range outputs {
		if o != "" {
			return o
		}
	}
	return ""
}

func formatf(format string, args ...any) error {
	return &FormatError{Problem: fmt.Sprintf(format, args...)}
}

func unsupportedf(format string, args ...any) error {
	return &UnsupportedError{Features: []string{fmt.Sprintf(format, args...)}}
}

// at puts a place before the error's own.
func at(where string, err error) error {
	var f *FormatError
	var u *UnsupportedError
	switch {
	case where == "":
	case errors.As(err, &f):
		f.Where = append([]string{where}, f.Where...)
	case errors.As(err, &u):
		for i := range u.Features {
			u.Features[i] = where + ": " + u.Features[i]
		}
	}
	return err
}

// inFile names the file in the error.
func inFile(path string, err error) error {
	var f *FormatError
	var u *UnsupportedError
	switch {
	case errors.As(err, &f):
		f.Path = path
	case errors.As(err, &u):
		u.Path = path
	}
	return err
}

func pathOr(path string) string {
	if path == "" {
		return "ONNX model"
	}
	return path
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
