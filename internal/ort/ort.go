// Package ort runs an ONNX file in ONNX Runtime, the reference that exported
// models are verified against. It is a judge, not an engine: nothing that
// trains or predicts depends on it.
//
// ONNX Runtime is a shared library that is loaded when the first session is
// opened, never linked. [Library] tells where it is looked for. A build without
// cgo compiles and says in [Open] that verification is absent.
package ort

import (
	"errors"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// ErrUnavailable is wrapped by every error that says that ONNX Runtime cannot
// be used here at all: built without cgo, library not found, library too old.
// Callers that only verify skip with its words; nothing is wrong with a model.
var ErrUnavailable = errors.New("ONNX Runtime verification is absent")

// ErrEmpty is wrapped by the error of a run one of whose outputs has no element:
// the Go binding cannot return it.
var ErrEmpty = errors.New("an output is empty, which the Go binding of ONNX Runtime cannot return")

// Level is how far ONNX Runtime rewrites the graph before running it.
type Level int

// The levels of ONNX Runtime. The zero value runs the file as it stands, unlike
// ONNX Runtime's own default (All): a judge must be right before it is fast, and
// version 1.20 computes a Pad that feeds an AveragePool wrongly at every other
// level.
const (
	Disabled Level = iota
	// Basic removes what is redundant and folds constants.
	Basic
	// Extended adds operator fusions.
	Extended
	// All adds layout changes.
	All
)

// Options configure a session. The zero value is ready to use.
type Options struct {
	// Level of graph optimisation. Default Disabled.
	Level Level
	// Threads within one operator. Default 0: ONNX Runtime decides.
	Threads int
}

// Port is one input or output of a model.
type Port struct {
	Name  string
	DType ir.DType
	// Dims has -1 for a dynamic dimension. It is empty for a scalar and when
	// Known is false.
	Dims []int
	// Known tells whether the file states the shape at all.
	Known bool
}

// Open makes a session with default options.
func Open(path string) (*Session, error) { return OpenWith(path, Options{}) }
