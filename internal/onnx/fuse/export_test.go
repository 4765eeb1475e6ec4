package fuse

// Array and Interpret lend the test interpreter to external tests, which can
// read models: this package's own tests cannot import the reader.
type Array = array

// Interpret runs a graph.
var Interpret = run

// NewArray makes an array of the given values.
func NewArray(v []float64, dims ...int) Array { return array{dims, v} }

// Values is the array's contents.
func (a array) Values() []float64 { return a.v }
