package ort

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// LibraryEnv names the environment variable that points to ONNX Runtime's
// shared library, or to a folder that holds it.
const LibraryEnv = "VISLORA_ORT"

// Library finds ONNX Runtime's shared library. It looks, in this order, at
//
//  1. $VISLORA_ORT, a file or a folder; if set, nothing else is tried,
//  2. third_party/onnxruntime, where `make setup` puts the npm package
//     onnxruntime-node, beside the executable and above it, and in the vislora
//     repository that holds the working directory,
//  3. the system's library folders.
//
// A working directory outside the repository is not searched: a library must
// not be loaded because of where somebody happened to stand.
func Library() (string, error) {
	if env := os.Getenv(LibraryEnv); env != "" {
		return fromEnv(env)
	}
	for _, root := range roots() {
		if lib := under(filepath.Join(root, "third_party", "onnxruntime")); lib != "" {
			return lib, nil
		}
	}
	for _, dir := range []string{
		"/usr/local/lib", "/usr/lib", "/usr/lib64", "/opt/onnxruntime/lib",
		"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/opt/homebrew/lib",
	} {
		if lib := newest(dir); lib != "" {
			return lib, nil
		}
	}
	return "", fmt.Errorf("ort: find %s: it is neither in third_party/onnxruntime nor in the system's library folders; run `make setup`, or set %s to the file: %w",
		fileNames()[0], LibraryEnv, ErrUnavailable)
}

func fromEnv(env string) (string, error) {
	info, err := os.Stat(env)
	if err != nil {
		return "", fmt.Errorf("ort: %s: %v: %w", LibraryEnv, err, ErrUnavailable)
	}
	if !info.IsDir() {
		return filepath.Abs(env)
	}
	if lib := under(env); lib != "" {
		return filepath.Abs(lib)
	}
	return "", fmt.Errorf("ort: %s: the folder %s holds no %s: %w", LibraryEnv, env, fileNames()[0], ErrUnavailable)
}

// roots are the folders that may hold third_party: those above the executable
// (bin/vislora in the repository) and the repository around the working
// directory (tests run in their package's folder).
func roots() []string {
	var out []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dir := filepath.Dir(exe)
		out = append(out, dir, filepath.Dir(dir))
	}
	if wd, err := os.Getwd(); err == nil {
		for dir := wd; ; dir = filepath.Dir(dir) {
			mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			if err == nil && bytes.HasPrefix(mod, []byte("module github.com/vislora/vislora\n")) {
				out = append(out, dir)
				break
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return out
}

// under looks into the layouts that people unpack: the npm package, a release
// archive (lib/), and the folder itself.
func under(dir string) string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	npm, _ := filepath.Glob(filepath.Join(dir, "node_modules", "onnxruntime-node", "bin", "napi-v*", runtime.GOOS, arch))
	slices.Sort(npm)
	slices.Reverse(npm)
	for _, d := range append(npm, filepath.Join(dir, "lib"), dir) {
		if lib := newest(d); lib != "" {
			return lib
		}
	}
	return ""
}

// newest returns the library with the longest version in dir: of a file and the
// links to it, the file.
func newest(dir string) string {
	for _, pattern := range fileNames() {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(found) > 0 {
			return slices.MaxFunc(found, func(a, b string) int {
				if len(a) != len(b) {
					return len(a) - len(b)
				}
				return bytes.Compare([]byte(a), []byte(b))
			})
		}
	}
	return ""
}

func fileNames() []string {
	switch runtime.GOOS {
	case "windows":
		return []string{"onnxruntime.dll"}
	case "darwin":
		return []string{"libonnxruntime.*.dylib", "libonnxruntime.dylib"}
	}
	return []string{"libonnxruntime.so.*", "libonnxruntime.so"}
}
