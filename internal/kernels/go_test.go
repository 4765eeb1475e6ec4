package kernels_test

import (
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/testkernel"
)

func TestGoF64(t *testing.T) { testkernel.Run(t, kernels.Go{}, buffer.F64, 1e-12) }

func TestGoF32(t *testing.T) {
	eachISA(t, func(t *testing.T) { testkernel.Run(t, kernels.Go{}, buffer.F32, 1e-5) })
}

// eachISA runs a test in pure Go and on every instruction set that is there.
func eachISA(t *testing.T, test func(t *testing.T)) {
	for limit, name := range []string{"go", "avx2", "avx512"} {
		restore, ok := kernels.LimitISA(limit)
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			defer restore()
			test(t)
		})
	}
}

func TestCPU(t *testing.T) {
	if s := kernels.CPU(); !strings.HasSuffix(s, ")") || !strings.Contains(s, "(") {
		t.Errorf("CPU() = %q", s)
	}
}
