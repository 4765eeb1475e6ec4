package onnx_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vislora/vislora/internal/onnx"
)

// TestLargeModel opens and plans ViT-B/16 (330 MB) in under a second, in little
// more memory than the file: tensors stay in the map. The file is made by
// scripts/peers/make_models.py --names vit_base --dynamic-batch.
func TestLargeModel(t *testing.T) {
	path := filepath.Join(os.Getenv("VISLORA_MODELS"), "vit_base.onnx")
	st, err := os.Stat(path)
	if err != nil {
		t.Skip("VISLORA_MODELS holds no vit_base.onnx: see scripts/peers/make_models.py")
	}
	before := residentMB(t)
	start := time.Now()
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Plan(onnx.PlanOptions{Batch: 8}); err != nil {
		t.Fatal(err)
	}
	took, mb := time.Since(start), residentMB(t)-before
	t.Logf("%.0f MB file: opened and planned in %v, %d MB more resident", float64(st.Size())/1e6, took, mb)
	if took > time.Second {
		t.Errorf("import took %v, want under 1 s", took)
	}
	if limit := int(1.25 * float64(st.Size()) / (1 << 20)); mb > limit {
		t.Errorf("import took %d MB, want under %d", mb, limit)
	}
}

// residentMB is the resident memory of this process.
func residentMB(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc/self/status here")
	}
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb := 0
			for _, c := range strings.TrimSpace(rest) {
				if c < '0' || c > '9' {
					break
				}
				kb = 10*kb + int(c-'0')
			}
			return kb >> 10
		}
	}
	t.Skip("no VmRSS here")
	return 0
}
