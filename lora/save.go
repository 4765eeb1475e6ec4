package lora

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vislora/vislora/internal/safetensors"
)

// Save writes the adapter into a folder, which is made if need be. Each of the
// two files replaces its predecessor whole; both are encoded before the first
// is touched, so a value that cannot be written leaves the folder as it was.
// What was loaded and not changed is written with the same keys, shapes, types,
// bytes and configuration.
func (a *Adapter) Save(dir string) error {
	f := &safetensors.File{Metadata: a.Metadata, Tensors: make(map[string]safetensors.Tensor)}
	for key, t := range a.tensors() {
		out, err := t.encode()
		if err != nil {
			return fmt.Errorf("save adapter to %s: %s: %w", dir, key, err)
		}
		f.Tensors[key] = out
	}
	config, err := a.Config.file()
	if err != nil {
		return fmt.Errorf("save adapter to %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := safetensors.Write(filepath.Join(dir, WeightsFile), f); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, ConfigFile), config)
}

// writeFile replaces a file atomically.
func writeFile(path string, b []byte) error {
	err := safetensors.WriteAtomic(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
