//go:build !unix

package onnx

import "os"

// mapFile reads the file where mapping is not available.
func mapFile(f *os.File, size int64) (data []byte, unmap func() error, err error) {
	return readFile(f, size)
}
