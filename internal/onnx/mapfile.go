package onnx

import (
	"fmt"
	"io"
	"os"
)

func readFile(f *os.File, size int64) (data []byte, unmap func() error, err error) {
	data = make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, nil, err
	}
	return data, func() error { return nil }, nil
}

// mapOpen maps an open file after making sure that it is a regular one (a
// pipe would wait for ever), and closes it.
func mapOpen(f *os.File) (data []byte, unmap func() error, err error) {
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", f.Name())
	}
	return mapFile(f, st.Size())
}
