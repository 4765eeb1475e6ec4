//go:build unix

package onnx

import (
	"os"
	"syscall"

	"github.com/vislora/vislora/internal/buffer"
)

// mapFile maps a regular file for reading. unmap may be called once.
func mapFile(f *os.File, size int64) (data []byte, unmap func() error, err error) {
	if size == 0 {
		return nil, func() error { return nil }, nil
	}
	data, err = syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil { // some file systems cannot map
		return readFile(f, size)
	}
	buffer.Mapped(data)
	return data, func() error {
		buffer.Unmapped(data)
		return syscall.Munmap(data)
	}, nil
}
