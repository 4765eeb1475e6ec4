//go:build !linux

package buffer

import "unsafe"

func reserve(n int) ([]byte, error) {
	mem := make([]byte, n+Align)
	skip := int(-uintptr(unsafe.Pointer(&mem[0])) & (Align - 1))
	return mem[skip : skip+n : skip+n], nil
}

func release([]byte) {}
