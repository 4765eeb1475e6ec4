package onnx

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnxpb"
)

// The numbers of ModelProto.graph and GraphProto.initializer.
const (
	fieldGraph       protowire.Number = 7
	fieldInitializer protowire.Number = 5
)

// Write writes the model beside path under a temporary name, makes sure that
// it is on the disk, and renames it. A failed write leaves what was there.
func (e *Editor) Write(path string) (err error) {
	wrap := func(err error) error { return fmt.Errorf("write %s: %w", path, err) }
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return wrap(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := e.WriteTo(w); err != nil {
		return wrap(err)
	}
	if err := w.Flush(); err != nil {
		return wrap(err)
	}
	if err := f.Chmod(0o644); err != nil {
		return wrap(err)
	}
	if err := f.Sync(); err != nil {
		return wrap(err)
	}
	if err := f.Close(); err != nil {
		return wrap(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return wrap(err)
	}
	return nil
}

// Bytes is the file in memory.
func (e *Editor) Bytes() ([]byte, error) {
	var b bytes.Buffer
	_, err := e.WriteTo(&b)
	return b.Bytes(), err
}

// WriteTo puts the nodes in order, checks that every value is made once and
// every value read is made, and writes the model. Initializers go out one by
// one, those of the file straight from it, so that a large model is not held
// in memory again.
func (e *Editor) WriteTo(w io.Writer) (int64, error) {
	if err := e.settle(); err != nil {
		return 0, err
	}
	head, rest, err := e.marshalRest()
	if err != nil {
		return 0, err
	}
	inits := e.model.Graph.Initializer
	size := int64(len(rest))
	for _, p := range inits {
		n, err := e.tensorSize(p)
		if err != nil {
			return 0, err
		}
		size += int64(protowire.SizeTag(fieldInitializer) + protowire.SizeBytes(n))
	}
	if total := size + int64(len(head)) + 16; total > maxFileProto {
		return 0, fmt.Errorf("the model would have %d bytes, an ONNX file holds at most %d", total, maxFileProto)
	}
	out := &counter{w: w}
	out.write(head)
	out.write(protowire.AppendVarint(protowire.AppendTag(nil, fieldGraph, protowire.BytesType), uint64(size)))
	out.write(rest)
	for _, p := range inits {
		b, err := e.tensorBytes(p)
		if err != nil {
			return out.n, err
		}
		out.write(protowire.AppendVarint(protowire.AppendTag(nil, fieldInitializer, protowire.BytesType), uint64(len(b))))
		out.write(b)
	}
	return out.n, out.err
}

// counter counts what is written and stops at the first error.
type counter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counter) write(b []byte) {
	if c.err == nil {
		var n int
		n, c.err = c.w.Write(b)
		c.n += int64(n)
	}
}

// marshalRest encodes the model without its graph, and the graph without its
// initializers.
func (e *Editor) marshalRest() (head, rest []byte, err error) {
	g := e.model.Graph
	inits := g.Initializer
	defer func() { e.model.Graph, g.Initializer = g, inits }()
	opts := proto.MarshalOptions{Deterministic: true}
	g.Initializer = nil
	if rest, err = opts.Marshal(g); err != nil {
		return nil, nil, err
	}
	e.model.Graph = nil
	head, err = opts.Marshal(e.model)
	return head, rest, err
}

// verbatim is the file's own encoding of an initializer that still is as it
// was, nil for any other.
func (e *Editor) verbatim(p *onnxpb.TensorProto) []byte {
	s := e.stored[p]
	if s.blob == nil || s.external || s.renamed {
		return nil
	}
	return s.message
}

func (e *Editor) tensorSize(p *onnxpb.TensorProto) (int, error) {
	if b := e.verbatim(p); b != nil {
		return len(b), nil
	}
	if e.stored[p].blob == nil {
		return proto.Size(p), nil
	}
	full, err := e.load(p, e.stored[p].blob)
	if err != nil {
		return 0, err
	}
	return proto.Size(full), nil
}

func (e *Editor) tensorBytes(p *onnxpb.TensorProto) ([]byte, error) {
	if b := e.verbatim(p); b != nil {
		return b, nil
	}
	if b := e.stored[p].blob; b != nil {
		full, err := e.load(p, b)
		if err != nil {
			return nil, err
		}
		p = full
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(p)
}

// settle checks the graph and sorts its nodes.
func (e *Editor) settle() error {
	g := e.model.Graph
	sc := &scope{made: map[string]string{"": "nothing"}}
	initial := map[string]bool{}
	for _, p := range g.Initializer {
		initial[p.GetName()] = true
		if err := sc.make(p.GetName(), fmt.Sprintf("initializer %q", p.GetName())); err != nil {
			return editError(err)
		}
	}
	for _, v := range g.Input {
		if initial[v.GetName()] {
			continue
		}
		if err := sc.make(v.GetName(), fmt.Sprintf("input %q", v.GetName())); err != nil {
			return editError(err)
		}
	}
	sorting := make([]links, len(g.Node))
	for i, n := range g.Node {
		for _, o := range n.Output {
			if o == "" {
				continue
			}
			if err := sc.make(o, "node "+labelOf(n)); err != nil {
				return editError(err)
			}
		}
		sorting[i] = links{label: labelOf(n), inputs: reads(n), outputs: n.Output}
	}
	for i, l := range sorting {
		for _, in := range l.inputs {
			if !sc.has(in) {
				return fmt.Errorf("node %s reads %q, which nothing makes", sorting[i].label, in)
			}
		}
	}
	for _, v := range g.Output {
		if v.GetName() == "" || !sc.has(v.GetName()) {
			return fmt.Errorf("output %q is made by no node", v.GetName())
		}
	}
	order, err := topological(sorting)
	if err != nil {
		return editError(err)
	}
	sorted := make([]*onnxpb.NodeProto, len(order))
	for k, i := range order {
		sorted[k] = g.Node[i]
	}
	g.Node = sorted
	return nil
}

// editError drops the "read FILE" of errors that the reader's checks give.
func editError(err error) error {
	if f, ok := err.(*FormatError); ok {
		return fmt.Errorf("%s", f.Problem)
	}
	return err
}
