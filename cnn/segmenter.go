package cnn

import "github.com/vislora/vislora/vision/build"

// segmenter recognises a semantic segmentation head: from the first output back
// through what chooses, normalises, turns and enlarges, it comes to a 1×1
// convolution to the classes. nil if there is none.
func (n *network) segmenter() *build.Segmenter {
	g := n.flow.Graph
	if len(g.Outputs) == 0 {
		return nil
	}
	value := g.Outputs[0].Name
	output := "" // the last map of logits
	for range len(g.Nodes) {
		l := n.predicts(value)
		node := n.flow.Producer(value)
		if node == nil {
			return nil
		}
		if l != nil {
			d := n.flow.Dims(value)
			if !isMap(d) || l.Out < 2 {
				return nil
			}
			if output == "" {
				output = value
			}
			return &build.Segmenter{Classes: l.Out, Output: output, Logits: value, ClassInput: l.X, ClassChannels: l.In, Layer: l.Path, Stride: n.stride(d[2])}
		}
		switch node.Op {
		case "ArgMax", "Softmax", "LogSoftmax", "Cast":
			output = "" // logits come before
		case "Squeeze", "Unsqueeze", "Identity", "Transpose":
		case "Resize", "Upsample":
			if output == "" && isMap(n.flow.Dims(value)) {
				output = value
			}
		default:
			return nil
		}
		value = node.In(0)
	}
	return nil
}

// isMap tells whether dims are of a map (N, C, H, W) with more than one cell.
func isMap(d []int) bool { return len(d) == 4 && d[2] > 1 && d[3] > 1 }
