package cnn

import (
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/fuse/layers"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// block is a stretch of the trunk: what lies between start (nil is the image)
// and end.
type block struct {
	start, end *ir.Node
	// join is the addition or concatenation, or the projection of an inverted
	// residual.
	join *ir.Node
}

// findTrunk lists the nodes that everything passes on the way to the features.
func (n *network) findTrunk() {
	if sink := n.sink(); sink != nil {
		n.trunk = n.flow.Trunk(sink)
	}
}

// sink is where the trunk ends: the classifier or the pooled vector; where
// there is none, as in a detector, the last activation or join of the lowest
// resolution before anything is enlarged.
func (n *network) sink() *ir.Node {
	f := n.flow
	if c := n.head.Classifier; c != nil {
		return c.Node
	}
	for _, v := range []string{n.head.Pooled, n.head.Logits} {
		if p := f.Producer(v); p != nil {
			return p
		}
	}
	var last *ir.Node
	low := 0
	for _, node := range f.Graph.Nodes {
		h, _, ok := n.size(node)
		if !ok || h < 2 || n.beyond[node] || last != nil && h > low {
			continue
		}
		if (layers.Activates(node) || n.joins(node) || last == nil) && !n.behindEnlarged(node) {
			last, low = node, h
		}
	}
	if last == nil {
		return nil
	}
	return n.extend(last)
}

// size is the height and width of a node's map (N, C, H, W). Channels-last maps
// are no maps here: what reads features expects channels first.
func (n *network) size(node *ir.Node) (h, w int, ok bool) {
	if len(node.Outputs) != 1 || n.channelsLast(node.Outputs[0]) {
		return 0, 0, false
	}
	d := n.flow.Dims(node.Outputs[0])
	if len(d) != 4 {
		return 0, 0, false
	}
	return d[2], d[3], true
}

// channelsLast follows a value back to the operation that tells its layout: a
// linear layer or layer norm works on the last axis, a transpose may swap, the
// rest of a network works channels first.
func (n *network) channelsLast(value string) bool {
	if last, ok := n.last[value]; ok {
		return last
	}
	last := false
	if node := n.flow.Producer(value); node != nil {
		switch {
		case node.Op == ir.Linear || node.Op == "LayerNormalization":
			last = true
		case node.Op == "Transpose":
			if p := node.Attrs.Ints("perm"); len(p) == 4 {
				switch last = n.channelsLast(node.In(0)); {
				case p[3] == 1: // (N, C, H, W) → (N, H, W, C)
					last = true
				case p[1] == 3:
					last = false
				}
			}
		case layers.Activates(node) || n.joins(node) || node.Op == "Mul" || node.Op == "Add" || node.Op == "Pad" || node.Op == "Slice" || node.Op == "Reshape":
			if in := n.flow.Computed(node); len(in) > 0 {
				last = n.channelsLast(in[0])
			}
		}
	}
	n.last[value] = last
	return last
}

// findBlocks cuts the trunk into blocks.
func (n *network) findBlocks() {
	for i, node := range n.trunk {
		if _, _, ok := n.size(node); !ok {
			continue
		}
		var b block
		switch {
		case n.joins(node):
			b = block{start: n.flow.Dominator(node), join: node}
		case n.projects(i):
			b = block{start: n.expansionStart(i), join: node}
		default:
			continue
		}
		b.end = n.extend(node)
		if n.hasLayer(b) {
			n.blocks = append(n.blocks, b)
		}
	}
}

// joins reports whether branches meet in a node.
func (n *network) joins(node *ir.Node) bool {
	return n.flow.IsAdd(node) || node.Op == "Concat" && len(n.flow.Computed(node)) > 1
}

// projects reports whether trunk node i is the linear projection that ends an
// inverted residual block without skip: 1×1, no activation after it, a
// depthwise convolution before it with nothing but gates between.
func (n *network) projects(i int) bool {
	l := n.byNode[n.trunk[i]]
	if l == nil || !l.Conv || l.Kernel != [2]int{1, 1} || l.Groups != 1 || l == n.head.Classifier {
		return false
	}
	v := l.Y
	for norm := n.flow.Only(v); layers.Normalises(norm); norm = n.flow.Only(v) {
		v = norm.Outputs[0]
	}
	for _, c := range n.flow.Consumers(v) {
		// A skip that starts here is the next block's; one that ends here makes
		// the addition the end of the block.
		if layers.Activates(c) || n.flow.IsAdd(c) && n.flow.Dominator(c) != n.flow.Producer(v) {
			return false
		}
	}
	if n.separates(n.byNode[n.flow.Only(v)]) {
		return false
	}
	return n.depthwiseBefore(i) >= 0
}

// separates reports whether a layer is the activated depthwise half of a
// separable convolution whose 1×1 half comes first, as in YuNet: one that keeps
// the resolution, because an inverted residual there would have a skip.
func (n *network) separates(l *layers.Layer) bool {
	return l != nil && depthwise(l) && l.Stride == [2]int{1, 1} && layers.Activates(n.flow.Only(l.Y))
}

// depthwiseBefore finds the depthwise convolution that trunk node i builds on,
// −1 if another layer comes first.
func (n *network) depthwiseBefore(i int) int {
	for j := i - 1; j >= 0; j-- {
		if l := n.byNode[n.trunk[j]]; l != nil {
			if depthwise(l) {
				return j
			}
			return -1
		}
		if n.joins(n.trunk[j]) {
			return -1
		}
	}
	return -1
}

// expansionStart is the trunk node before an inverted residual block: before
// its depthwise convolution, and before the 1×1 expansion if there is one.
func (n *network) expansionStart(i int) *ir.Node {
	first := n.depthwiseBefore(i)
	for j := first - 1; j >= 0; j-- {
		l := n.byNode[n.trunk[j]]
		if l == nil && (layers.Activates(n.trunk[j]) || layers.Normalises(n.trunk[j])) {
			continue
		}
		if l != nil && l.Conv && l.Kernel == [2]int{1, 1} && l.Out > l.In {
			first = j
		}
		break
	}
	if first == 0 {
		return nil
	}
	return n.trunk[first-1]
}

// extend moves a block's end over the activations, norms and moves (a channel
// shuffle) that alone read it, as far as the value is a map again.
func (n *network) extend(node *ir.Node) *ir.Node {
	end := node
	for next := n.flow.Only(node.Outputs[0]); next != nil; next = n.flow.Only(next.Outputs[0]) {
		if !layers.Activates(next) && !layers.Normalises(next) && !layers.Moves(next) {
			break
		}
		if _, _, ok := n.size(next); ok && (next.Op != "Transpose" || layers.Moves(n.flow.Producer(next.In(0)))) {
			h, w, _ := n.size(next)
			if eh, ew, _ := n.size(end); h == eh && w == ew {
				end = next
			}
		}
	}
	return end
}

// inside reports whether a node belongs to a block.
func (n *network) inside(b block, node *ir.Node, ancestors map[*ir.Node]bool) bool {
	if !ancestors[node] || node == b.start {
		return false
	}
	return b.start == nil || n.flow.Dominates(b.start, node)
}

func (n *network) hasLayer(b block) bool {
	up := n.flow.Ancestors(b.end)
	return slices.ContainsFunc(n.layers, func(l *layers.Layer) bool { return n.inside(b, l.Node, up) })
}

// maps lists the features of each resolution of the backbone, highest first:
// the end of its last block, or of what gathers a block's branches.
func (n *network) maps() []build.Feature {
	type level struct {
		stride int
		block  *block
		node   *ir.Node
	}
	var levels []level
	ends := make(map[*ir.Node]*block)
	for i, b := range n.blocks {
		ends[b.end] = &n.blocks[i]
	}
	for _, node := range n.trunk {
		h, _, ok := n.size(node)
		if !ok || h < 2 || n.isClassifier(node) || n.beyond[node] || layers.Moves(node) && ends[node] == nil {
			continue
		}
		stride, k := n.stride(h), len(levels)-1
		switch {
		case k < 0 || stride > levels[k].stride:
			if stride > 1 {
				levels = append(levels, level{stride, ends[node], node})
			}
		case stride == levels[k].stride && (ends[node] != nil || levels[k].block == nil):
			levels[k].block, levels[k].node = ends[node], node
		}
	}
	var out []build.Feature
	for _, l := range levels {
		if l.block != nil {
			l.node = n.gathered(*l.block)
		}
		v := l.node.Outputs[0]
		out = append(out, build.Feature{Value: v, Kind: "map", Channels: n.flow.Dims(v)[1], Stride: l.stride})
	}
	return out
}

// gathered is where a block of the backbone ends: for a concatenation, behind
// the convolutions that gather it.
func (n *network) gathered(b block) *ir.Node {
	if b.join.Op != "Concat" {
		return b.end
	}
	return n.gather(b.end, n.flow.Only)
}

// gather follows a concatenation of branches through the activated 1×1
// convolutions that gather it, as in CSP blocks (arXiv:1911.11929) and HGNet
// (which squeezes first), up to where the map is read by anything else. A
// convolution that widens the concatenation itself, or narrows what is gathered
// already, begins what comes next; one whose map is enlarged is a neck's.
func (n *network) gather(join *ir.Node, following func(value string) *ir.Node) *ir.Node {
	end := join
	for next := following(end.Outputs[0]); next != nil; next = following(next.Outputs[0]) {
		in := n.flow.Computed(next)
		l := n.byNode[next]
		switch {
		case layers.Normalises(next):
		case layers.Activates(next):
			if slices.ContainsFunc(n.flow.Consumers(next.Outputs[0]), enlarges) {
				return end
			}
			end = next
		case len(in) == 1 && (next.Op == "Mul" || next.Op == "Add") && end != join: // a learnt scale after the activation
			if n.flow.Producer(in[0]) == end {
				end = next
			}
		case l == nil || l == n.head.Classifier || !l.Conv || l.Kernel != [2]int{1, 1} || l.Groups != 1 || (end == join) == (l.Out > l.In):
			return end
		}
	}
	return end
}

// stride is the power of two nearest to input pixels per map pixel: maps of
// unpadded networks are a little smaller than input/stride.
func (n *network) stride(h int) int {
	ratio := float64(n.image[0]) / float64(h)
	if ratio <= 1 {
		return 1
	}
	return 1 << int(math.Round(math.Log2(ratio)))
}
