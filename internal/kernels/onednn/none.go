//go:build !onednn || !cgo

package onednn

import (
	"errors"
	"runtime"

	"github.com/vislora/vislora/internal/kernels"
)

// Kernels stands in for the native kernels in a build without them.
type Kernels struct {
	kernels.Go
	parts int // stays 0; tests of both builds set it
}

// New returns an error: this build has no oneDNN.
func New() (*Kernels, error) {
	return nil, errors.New("kernels: built without oneDNN; rebuild with -tags onednn")
}

// NewBF16x2 returns the error of [New].
func NewBF16x2() (*Kernels, bool, error) {
	k, err := New()
	return k, false, err
}

// NewBF16 returns the error of [New].
func NewBF16() (*Kernels, bool, error) {
	k, err := New()
	return k, false, err
}

// PackedBytes is 0: nothing is copied.
func (k *Kernels) PackedBytes([]int, bool) int { return 0 }

// BF16 is false: there are no kernels for it.
func (k *Kernels) BF16() bool { return false }

// Available reports whether this build has oneDNN.
func Available() bool { return false }

// Tiles is false: there are no products of them.
func Tiles() bool { return false }

// LockThread wires the calling goroutine to its thread.
func LockThread() { runtime.LockOSThread() }

// Share does nothing in this build.
func Share(int) {}

// Close does nothing in this build.
func (k *Kernels) Close() {}

// ISA is empty: there are no C loops in this build.
func (k *Kernels) ISA() string { return "" }

func (k *Kernels) limitISA(int) {}
