package engine

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// ParseSize reads an amount of memory: 2GiB, 800MB, 1.5g, or plain bytes. Units
// of two letters are decimal, all others binary.
func ParseSize(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	number := strings.TrimRight(text, "bikmgt ")
	unit := strings.TrimSpace(text[len(number):])
	power := map[string]float64{"": 0, "b": 0, "k": 1, "kib": 1, "kb": 1, "m": 2, "mib": 2, "mb": 2, "g": 3, "gib": 3, "gb": 3, "t": 4, "tib": 4, "tb": 4}
	p, known := power[unit]
	step := 1024.0
	if len(unit) == 2 {
		step = 1000
	}
	v, err := strconv.ParseFloat(number, 64)
	v *= math.Pow(step, p)
	if err != nil || !known || !(v >= 1) || v > 1<<60 {
		return 0, fmt.Errorf("%q is no amount of memory: give one as 2GiB or 800MB", s)
	}
	return int64(v), nil
}

// sizeOf tells people an amount of memory.
func sizeOf(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return mebibytes(n)
}

// resident is the memory that this process holds; where the system does not
// tell, what Go has taken.
func resident() int64 {
	if n := field("/proc/self/status", "VmRSS:"); n > 0 {
		return n
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}

// available is the memory that is left on the machine, or in the control group
// that this process lives in; 0 where the system does not tell.
func available() int64 {
	left := field("/proc/meminfo", "MemAvailable:")
	b, _ := os.ReadFile("/proc/self/cgroup")
	for _, line := range strings.Split(string(b), "\n") {
		_, controllers, _ := strings.Cut(line, ":")
		controllers, path, ok := strings.Cut(controllers, ":")
		if !ok {
			continue
		}
		root, limit, used, cached := "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
		switch controllers {
		case "":
		case "memory": // version 1
			root, limit, used, cached = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		default:
			continue
		}
		// A limit may stand on any group above; in a container the path is another
		// one than here, and the root is the container's.
		for dir := path; ; dir = filepath.Dir(dir) {
			at := filepath.Join(root, dir)
			if most, now := number(filepath.Join(at, limit)), number(filepath.Join(at, used)); most > 0 && most < 1<<60 {
				free := most - now + field(filepath.Join(at, "memory.stat"), cached)
				if left == 0 || free < left {
					left = max(free, 1)
				}
			}
			if dir == "/" || dir == "." {
				break
			}
		}
	}
	return left
}

// number is what a file of one number holds, 0 without one.
func number(path string) int64 {
	b, _ := os.ReadFile(path)
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}

// field is the number behind a name in a file of lines, in bytes; 0 if there is
// none.
func field(path, name string) int64 {
	b, _ := os.ReadFile(path)
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != name {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		if len(f) > 2 && f[2] == "kB" {
			n <<= 10
		}
		return n
	}
	return 0
}
