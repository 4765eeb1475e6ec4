package build_test

import (
	"testing"

	"github.com/vislora/vislora/internal/kernels"
)

func kernelSets(t testing.TB) []kernels.Kernels { return []kernels.Kernels{kernels.Go{}} }
