//go:build !cgo

package ort

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// Session is a loaded model. This build cannot make one.
type Session struct{}

var errNoCgo = fmt.Errorf("ort: built without cgo; %w", ErrUnavailable)

// Version reports that this build has no ONNX Runtime.
func Version() (string, error) { return "", errNoCgo }

// OpenWith reports that this build has no ONNX Runtime.
func OpenWith(string, Options) (*Session, error) { return nil, errNoCgo }

// Inputs lists what Run needs.
func (*Session) Inputs() []Port { return nil }

// Outputs lists what Run returns.
func (*Session) Outputs() []Port { return nil }

// Run reports that this build has no ONNX Runtime.
func (*Session) Run(map[string]*ir.Tensor) (map[string]*ir.Tensor, error) { return nil, errNoCgo }

// Close does nothing.
func (*Session) Close() error { return nil }
