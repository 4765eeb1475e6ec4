package ops_test

import (
	"testing"

	"github.com/vislora/vislora/internal/kernels"
)

func nativeKernels(t *testing.T) kernels.Kernels { return nil }
