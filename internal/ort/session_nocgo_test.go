//go:build !cgo

package ort

import (
	"errors"
	"strings"
	"testing"
)

// Without cgo everything compiles and says what is absent.
func TestAbsent(t *testing.T) {
	s, err := Open("model.onnx")
	if s != nil || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "built without cgo") {
		t.Errorf("Open: %v, %v", s, err)
	}
	if _, err := Version(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Version: %v", err)
	}
}
