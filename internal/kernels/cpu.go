package kernels

import (
	"bufio"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/cpu"
)

// CPU describes in words what the processor offers to the kernels, for
// `vislora version`: "AMD EPYC (amd64, AVX2, FMA, AVX-512, AVX-512 BF16)".
func CPU() string {
	parts := []string{runtime.GOARCH}
	for _, f := range []struct {
		has  bool
		name string
	}{
		{cpu.X86.HasAVX2, "AVX2"},
		{cpu.X86.HasFMA, "FMA"},
		{cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL, "AVX-512"},
		{cpu.X86.HasAVX512VNNI, "AVX-512 VNNI"},
		{cpu.X86.HasAVX512BF16, "AVX-512 BF16"},
		{cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16, "AMX BF16"},
		{cpu.ARM64.HasASIMD, "NEON"},
		{cpu.ARM64.HasSVE, "SVE"},
	} {
		if f.has {
			parts = append(parts, f.name)
		}
	}
	features := "(" + strings.Join(parts, ", ") + ")"
	if m := cpuModel(); m != "" {
		return m + " " + features
	}
	return "CPU " + features
}

// cpuModel is the processor's name where the system tells it.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
