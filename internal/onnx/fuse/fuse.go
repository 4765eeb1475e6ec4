package fuse

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// AttrSite is the attribute of Linear and Conv nodes that holds the output
// name of the MatMul, Gemm or Conv they were made from.
const AttrSite = "site"

// Options change what is fused.
type Options struct {
	// KeepBatchNorm leaves BatchNormalization after a convolution a node of
	// its own, so that its parameters and statistics can be trained.
	KeepBatchNorm bool
}

// A pass rewrites the graph in place and reports whether it changed anything.
type pass func(*ir.Graph) bool

// Run fuses the graph in place with default options. It fails only on a graph
// that is not in topological order.
func Run(g *ir.Graph) error { return RunWith(g, Options{}) }

// RunWith is [Run] with options.
func RunWith(g *ir.Graph, o Options) error {
	if err := checkOrder(g); err != nil {
		return err
	}
	// The order matters: activations come first, so that the "+3" of a hard
	// sigmoid is not taken for a convolution's shift.
	passes := []pass{dropDropout, fuseActivations, fuseLayerNorm, fuseLinear, fuseAttention,
		func(g *ir.Graph) bool { return fuseConv(g, o.KeepBatchNorm) }}
	for _, p := range passes {
		if p(g) {
			removeDead(g)
		}
	}
	return checkOrder(g)
}

// removeDead drops nodes none of whose outputs is read or is an output of the
// graph. Order is kept.
func removeDead(g *ir.Graph) {
	live := make(map[string]bool)
	for _, o := range g.Outputs {
		live[o.Name] = true
	}
	keep := make([]bool, len(g.Nodes))
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		for _, o := range n.Outputs {
			keep[i] = keep[i] || live[o]
		}
		if keep[i] {
			forEachRead(n, func(v string) { live[v] = true })
		}
	}
	out := g.Nodes[:0]
	for i, n := range g.Nodes {
		if keep[i] {
			out = append(out, n)
		}
	}
	clear(g.Nodes[len(out):])
	g.Nodes = out
}

// forEachRead calls f for every value that a node reads, those its subgraphs
// capture included. Names local to a subgraph are reported too: they cannot
// be mistaken for live values of the outer graph, as ONNX forbids shadowing.
func forEachRead(n *ir.Node, f func(string)) {
	for _, in := range n.Inputs {
		if in != "" {
			f(in)
		}
	}
	for _, sub := range n.Subgraphs {
		for _, sn := range sub.Nodes {
			forEachRead(sn, f)
		}
		for _, o := range sub.Outputs {
			f(o.Name)
		}
	}
}

// checkOrder reports the first node that reads a value made after it.
func checkOrder(g *ir.Graph) error {
	made := make(map[string]int)
	for i, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				made[o] = i + 1
			}
		}
	}
	for i, n := range g.Nodes {
		for _, in := range n.Inputs {
			if m := made[in]; m > i {
				return fmt.Errorf("fuse graph %q: node %d (%s %q) reads %q, which node %d makes; sort the graph first", g.Name, i, n.Op, n.Name, in, m-1)
			}
		}
	}
	return nil
}
