package onednn

import (
	"runtime"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels/testkernel"
)

// locked makes a kernel set on a locked thread, or, in a build without oneDNN,
// checks that the error says what to do and skips.
func locked(t testing.TB) *Kernels {
	k, err := New()
	if !Available() {
		if err == nil || !strings.Contains(err.Error(), "-tags onednn") {
			t.Errorf("New() without oneDNN returns %v", err)
		}
		t.Skip("built without oneDNN")
	}
	if err != nil {
		t.Fatal(err)
	}
	LockThread()
	t.Cleanup(k.Close)
	t.Cleanup(runtime.UnlockOSThread)
	return k
}

// vectors is a kernel set for float32 as processors without tiles have it.
func vectors(t testing.TB) *Kernels {
	k := locked(t)
	k.parts = 0
	return k
}

func TestF32(t *testing.T) { testkernel.Run(t, vectors(t), buffer.F32, 1e-5) }

// F64 goes to the portable kernels.
func TestF64(t *testing.T) {
	if testing.Short() {
		t.Skip("internal/kernels runs the same code: make test-all")
	}
	testkernel.Run(t, locked(t), buffer.F64, 1e-12)
}

// TestLesserProcessors runs the suite on the C loops for AVX2 and for neither
// AVX, which a machine with more never picks by itself.
func TestLesserProcessors(t *testing.T) {
	k := vectors(t)
	defer k.limitISA(3)
	for limit, want := range []string{"baseline", "AVX2"} {
		k.limitISA(limit)
		if k.ISA() != want {
			t.Skipf("limit %d gives %s on this processor, want %s", limit, k.ISA(), want)
		}
		testkernel.Run(t, k, buffer.F32, 1e-5)
	}
}
