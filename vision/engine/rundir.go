package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// makeRunDir makes a fresh run directory: <project>/<name>, <name>2, <name>3 …
// Making it is atomic, so two runs started at once get two directories.
func makeRunDir(project, name string, existOK bool) (string, error) {
	if err := os.MkdirAll(project, 0o755); err != nil {
		return "", fmt.Errorf("make run directory: %w", err)
	}
	for i := 1; ; i++ {
		dir := filepath.Join(project, name)
		if i > 1 {
			dir += fmt.Sprint(i)
		}
		err := os.Mkdir(dir, 0o755)
		if err == nil || existOK && errors.Is(err, fs.ErrExist) {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make run directory: %w", err)
		}
	}
}

// lockRun makes sure that only one process works in a run directory. The lock
// dies with the process.
func lockRun(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock run directory: %w", err)
	}
	if err := flock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use by another run: wait for it, or choose another --name", dir)
	}
	return func() { f.Close(); os.Remove(filepath.Join(dir, ".lock")) }, nil
}

// writeFile writes a file beside and renames it.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
