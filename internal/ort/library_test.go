package ort

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLibraryEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(LibraryEnv, filepath.Join(dir, "absent"))
	if _, err := Library(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), LibraryEnv) {
		t.Errorf("absent: %v", err)
	}
	t.Setenv(LibraryEnv, dir)
	if _, err := Library(); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "holds no") {
		t.Errorf("empty folder: %v", err)
	}
	for _, f := range fileNames() {
		name := strings.Replace(f, "*", "1.20.1", 1)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if lib, err := Library(); err != nil || filepath.Dir(lib) != dir {
		t.Errorf("got %q, %v", lib, err)
	}
}
