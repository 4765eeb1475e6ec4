// Package engine holds one function per verb of the command line: Train,
// Validate, Predict, Export, Inspect, Run, Bench.
package engine
