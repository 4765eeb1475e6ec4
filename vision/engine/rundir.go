package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// makeRunDir makes a fresh run directory: <project>/<name>, <name>2, <name>3 …
// Making it is atomic, so two runs started at once get two directories. With
// existOK <project>/<name> is taken as it is.
func makeRunDir(project, name string, existOK bool) (string, error) {
	if name == "" || name != filepath.Base(name) || name == "." || name == ".." {
		return "", fmt.Errorf("make run directory: the name is %q: use a plain folder name; --project says where it goes", name)
	}
	if err := os.MkdirAll(project, 0o755); err != nil {
		return "", fmt.Errorf("make run directory: %w: choose a folder that can be written to with --project", err)
	}
	for i := 1; ; i++ {
		dir := filepath.Join(project, name)
		if i > 1 {
			dir += fmt.Sprint(i)
		}
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make run directory: %w: choose a folder that can be written to with --project", err)
		}
		if existOK {
			if st, err := os.Stat(dir); err != nil || !st.IsDir() {
				return "", fmt.Errorf("make run directory: %s is there and is no folder: choose another --name", dir)
			}
			return dir, nil
		}
	}
}

// lockRun makes sure that only one process works in a run directory. The lock
// dies with the process.
func lockRun(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, ".lock")
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, fmt.Errorf("lock run directory: %w: it has to be writable; choose another --project or --name", err)
		}
		if err := flock(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s is in use by another run: wait for it, or choose another --name", dir)
		}
		// The last holder may have removed the file between the two calls: then
		// this is a lock on nothing.
		if sameAs(f, path) {
			return func() { os.Remove(path); f.Close() }, nil
		}
		f.Close()
	}
}

func sameAs(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// WriteFile writes a result to where a user wants it: beside and renamed, so that
// nobody reads half a file and a full disk leaves the last one. A link stays, and
// what is no file (a pipe, a terminal) is written to as it is.
func WriteFile(path string, data []byte) error {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return os.WriteFile(path, data, 0o644)
	}
	return writeFile(path, data)
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
