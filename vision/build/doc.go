// Package build turns a planned ONNX graph into a gorgonia graph: named
// parameters, frozen or trainable; an operator for every node; low-rank
// adapters at the sites that are asked for.
//
// Layout is decided here, lazily: every value is a node plus the order in which
// its logical ONNX axes lie in memory. A Transpose is a change of that order
// and costs nothing until an operator needs another one, so convolution regions
// run channels-last whatever the exporter wrote, and the transposes around them
// cancel.
package build
