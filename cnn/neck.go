package cnn

import (
	"cmp"
	"slices"

	"github.com/vislora/vislora/internal/onnx/fuse/layers"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// findNeck tells the nodes that are no part of the backbone: what depends on an
// enlarged map, or on the linear projection that an enlarged map is joined
// with. Where a detector makes its own lowest resolution from such a projection
// (DEIM's small encoders) that map is not the backbone's.
func (n *network) findNeck() {
	// What went through tokens (a decoder with queries) is a pyramid's no more.
	n.enlarged = n.descendants(enlarges, func(node *ir.Node) bool { return len(n.flow.Dims(node.Outputs[0])) >= 4 })
	lateral := make(map[*ir.Node]bool)
	for _, node := range n.flow.Graph.Nodes {
		in := n.flow.Computed(node)
		if !n.joins(node) || !slices.ContainsFunc(in, func(v string) bool { return enlarges(n.flow.Producer(v)) }) {
			continue
		}
		for _, v := range in {
			if p := n.flow.Producer(v); p != nil && !n.enlarged[p] {
				if l := n.lateral(p); l != nil {
					lateral[l.Node] = true
				}
			}
		}
	}
	n.beyond = n.descendants(func(node *ir.Node) bool { return enlarges(node) || lateral[node] }, func(*ir.Node) bool { return true })
}

// descendants tells the nodes that are, or depend on, one that is asked for,
// by way of nodes that pass it on.
func (n *network) descendants(asked, passes func(*ir.Node) bool) map[*ir.Node]bool {
	below := make(map[*ir.Node]bool)
	for _, node := range n.flow.Graph.Nodes {
		if asked(node) || passes(node) && slices.ContainsFunc(n.flow.Computed(node), func(v string) bool { return below[n.flow.Producer(v)] }) {
			below[node] = true
		}
	}
	return below
}

func enlarges(node *ir.Node) bool {
	if node == nil {
		return false
	}
	switch node.Op {
	case "Resize", "Upsample", "ConvTranspose", "DepthToSpace":
		return true
	}
	return false
}

// lateral returns the 1×1 convolution without activation whose map, perhaps
// normalised, a node makes. The projection that ends an inverted residual looks
// the same but belongs to the backbone.
func (n *network) lateral(node *ir.Node) *layers.Layer {
	for layers.Normalises(node) {
		node = n.flow.Producer(node.In(0))
	}
	l := n.byNode[node]
	if l == nil || !l.Conv || l.Kernel != [2]int{1, 1} || l.Groups != 1 || n.afterDepthwise(l.X) {
		return nil
	}
	return l
}

// afterDepthwise follows a value back through activations, norms and gates to
// the layer that made it.
func (n *network) afterDepthwise(value string) bool {
	node := n.flow.Producer(value)
	if node == nil {
		return false
	}
	if l := n.byNode[node]; l != nil {
		return depthwise(l)
	}
	if layers.Activates(node) || layers.Normalises(node) || node.Op == "Mul" {
		return slices.ContainsFunc(n.flow.Computed(node), n.afterDepthwise)
	}
	return false
}

// neck lists the maps that a pyramid (FPN, PAN) hands to its heads, highest
// resolution first. A decoder that ends in a single map is no pyramid.
func (n *network) neck() []build.Feature {
	ends := make(map[int]*ir.Node) // by height
	var sources []*ir.Node
	for _, node := range n.flow.Graph.Nodes {
		if !n.fuses(node) {
			continue
		}
		h, _, _ := n.size(node)
		ends[h] = n.handed(node)
		for _, v := range n.flow.Computed(node) {
			if p := n.flow.Producer(v); enlarges(p) {
				sources = append(sources, n.flow.Producer(p.In(0)))
			}
		}
	}
	// The top of a pyramid that only goes down is enlarged but joined by nothing.
	for _, node := range sources {
		if h, _, ok := n.mapSize(node); ok && ends[h] == nil {
			ends[h] = n.top(node)
		}
	}
	var out []build.Feature
	for h, node := range ends {
		if node == nil || !n.headReads(node) {
			continue
		}
		v := node.Outputs[0]
		out = append(out, build.Feature{Value: v, Kind: "neck", Channels: n.flow.Dims(v)[1], Stride: n.stride(h)})
	}
	if len(out) < 2 {
		return nil
	}
	slices.SortFunc(out, func(a, b build.Feature) int { return cmp.Compare(a.Stride, b.Stride) })
	return out
}

// mapSize is size for a node that may be absent; a pooled vector is no map.
func (n *network) mapSize(node *ir.Node) (h, w int, ok bool) {
	if node == nil {
		return 0, 0, false
	}
	h, w, ok = n.size(node)
	return h, w, ok && h >= 2
}

// fuses reports whether maps of several resolutions, an enlarged one among
// them, meet in a node: the branches pass another resolution on their way from
// where they part. Pooled vectors (a gate, an image pooling) are no resolution.
func (n *network) fuses(node *ir.Node) bool {
	h, w, ok := n.mapSize(node)
	if !ok || !n.enlarged[node] || !n.joins(node) {
		return false
	}
	from := n.flow.Dominator(node)
	seen := map[*ir.Node]bool{from: true, nil: true}
	stack := []*ir.Node{node}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		if ah, aw, ok := n.mapSize(at); ok && (ah != h || aw != w) {
			return true
		}
		for _, v := range n.flow.Computed(at) {
			stack = append(stack, n.flow.Producer(v))
		}
	}
	return false
}

// handed is where the block behind a fusion ends: in its last join, and the
// convolutions that gather it.
func (n *network) handed(fusion *ir.Node) *ir.Node {
	join := fusion
	for _, node := range n.flow.Graph.Nodes {
		// The join of a head's predictions is behind all layers.
		if node != fusion && n.joins(node) && n.sameSize(node, fusion) && n.flow.Dominates(fusion, node) && !n.fuses(node) &&
			n.allPass(fusion, node) && n.layerBehind(node) {
			join = node
		}
	}
	end := n.extend(join)
	if join.Op == "Concat" {
		return n.gather(end, n.onward)
	}
	return n.smoothed(end)
}

// smoothed follows an FPN's map through the convolution without activation that
// smooths it (Lin et al., arXiv:1612.03144).
func (n *network) smoothed(end *ir.Node) *ir.Node {
	next := n.onward(end.Outputs[0])
	l := n.byNode[next]
	if l == nil || !l.Conv || l.Groups != 1 || l.Out != l.In || l.Kernel == [2]int{1, 1} || !n.sameSize(next, end) {
		return end
	}
	for norm := n.flow.Only(next.Outputs[0]); layers.Normalises(norm); norm = n.flow.Only(next.Outputs[0]) {
		next = norm
	}
	for _, c := range n.flow.Consumers(next.Outputs[0]) {
		if layers.Activates(c) || layers.Moves(c) {
			return end
		}
	}
	return next
}

// top follows the map that is enlarged first back to where a head reads it too.
func (n *network) top(node *ir.Node) *ir.Node {
	for at := node; at != nil && n.sameSize(at, node); at = n.flow.Producer(at.In(0)) {
		if reads := n.onward(at.Outputs[0]); at == node && reads != nil || len(n.flow.Consumers(at.Outputs[0])) > 1 {
			return n.smoothed(at)
		}
		if n.byNode[at] == nil && !layers.Activates(at) && !layers.Normalises(at) {
			return nil
		}
	}
	return nil
}

// behindEnlarged reports whether a map was made, at its own resolution, from one
// that is enlarged: at the top of a pyramid that is a head's.
func (n *network) behindEnlarged(node *ir.Node) bool {
	seen := map[*ir.Node]bool{node: true}
	stack := []*ir.Node{node}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, v := range n.flow.Computed(at) {
			p := n.flow.Producer(v)
			if seen[p] || !n.sameSize(p, node) {
				continue
			}
			if slices.ContainsFunc(n.flow.Consumers(v), enlarges) {
				return true
			}
			seen[p] = true
			stack = append(stack, p)
		}
	}
	return false
}

// onward is the one consumer of a map that keeps its resolution, nil if there
// are several or none.
func (n *network) onward(value string) *ir.Node {
	var one *ir.Node
	for _, c := range n.flow.Consumers(value) {
		if !n.sameSize(c, n.flow.Producer(value)) {
			continue
		}
		if one != nil {
			return nil
		}
		one = c
	}
	return one
}

// headReads reports whether a map becomes an output, or a list of places
// (N, T, C), without going through another resolution or another fusion.
func (n *network) headReads(from *ir.Node) bool {
	read := false
	n.walk(from, func(node *ir.Node) bool {
		if _, _, ok := n.mapSize(node); node != from && ok && (!n.sameSize(node, from) || n.fuses(node)) {
			return false
		}
		read = read || len(n.flow.Dims(node.Outputs[0])) == 3 || slices.ContainsFunc(node.Outputs, n.flow.Graph.IsOutput)
		return !read
	})
	return read
}

func (n *network) sameSize(a, b *ir.Node) bool {
	ah, aw, ok := n.mapSize(a)
	bh, bw, bok := n.mapSize(b)
	return ok && bok && ah == bh && aw == bw
}

// allPass reports whether every path from a node to an output passes another.
func (n *network) allPass(from, gate *ir.Node) bool {
	free := true
	n.walk(from, func(node *ir.Node) bool {
		if node == gate {
			return false
		}
		if slices.ContainsFunc(node.Outputs, n.flow.Graph.IsOutput) {
			free = false
		}
		return free
	})
	return free
}

// layerBehind reports whether another layer that reads a map of the picture's
// shape depends on a node. What a file computes of predictions has layers too
// (the mean of a distribution, as a convolution), but no such maps.
func (n *network) layerBehind(from *ir.Node) bool {
	found := false
	n.walk(from, func(node *ir.Node) bool {
		if l := n.byNode[node]; l != nil && node != from {
			d := n.flow.Dims(l.X)
			found = found || len(d) == 4 && d[2]*n.image[1] == d[3]*n.image[0]
		}
		return !found
	})
	return found
}

// walk visits a node and what depends on it, as far as visit lets it go on.
func (n *network) walk(from *ir.Node, visit func(*ir.Node) bool) {
	seen := make(map[*ir.Node]bool)
	stack := []*ir.Node{from}
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[node] {
			continue
		}
		seen[node] = true
		if !visit(node) {
			continue
		}
		for _, o := range node.Outputs {
			stack = append(stack, n.flow.Consumers(o)...)
		}
	}
}
