package kernels_test

import (
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/testkernel"
)

func TestGoF64(t *testing.T) { testkernel.Run(t, kernels.Go{}, buffer.F64, 1e-12) }

func TestGoF32(t *testing.T) { testkernel.Run(t, kernels.Go{}, buffer.F32, 1e-5) }

func TestCPU(t *testing.T) {
	if s := kernels.CPU(); !strings.HasSuffix(s, ")") || !strings.Contains(s, "(") {
		t.Errorf("CPU() = %q", s)
	}
}
