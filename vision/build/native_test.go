package build_test

import (
	"testing"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/onednn"
)

// kernelSets lists the kernel sets of this build.
func kernelSets(t testing.TB) []kernels.Kernels {
	sets := []kernels.Kernels{kernels.Go{}}
	if onednn.Available() {
		k, err := onednn.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		sets = append(sets, k)
	}
	return sets
}
