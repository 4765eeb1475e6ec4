// Package testdata finds the real models, images and reference tensors that
// tests compare with. They are not part of the repository.
package testdata

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Real returns the path of a file or folder under VISLORA_TESTDATA (default:
// ../shared/real beside the repository) and skips the test when it is absent.
func Real(t testing.TB, elem ...string) string {
	t.Helper()
	root := os.Getenv("VISLORA_TESTDATA")
	if root == "" {
		root = filepath.Join(repository(), "..", "shared", "real")
	}
	return need(t, root, elem)
}

// Peers is [Real] for the recordings of PyTorch and PEFT, which lie in "peers"
// beside the real data.
func Peers(t testing.TB, elem ...string) string {
	t.Helper()
	root := os.Getenv("VISLORA_TESTDATA")
	if root == "" {
		root = filepath.Join(repository(), "..", "shared", "real")
	}
	return need(t, filepath.Join(root, "..", "peers"), elem)
}

func need(t testing.TB, root string, elem []string) string {
	t.Helper()
	p := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no real data: %s is absent; set VISLORA_TESTDATA to the folder that holds it", filepath.Join(elem...))
	}
	return p
}

func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}
