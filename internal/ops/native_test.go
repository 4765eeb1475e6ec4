package ops_test

import (
	"testing"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/onednn"
)

// nativeKernels is the native kernel set where it is built in, nil elsewhere.
func nativeKernels(t *testing.T) kernels.Kernels {
	if !onednn.Available() {
		return nil
	}
	k, err := onednn.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}
