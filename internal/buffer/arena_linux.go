package buffer

import "syscall"

func reserve(n int) ([]byte, error) {
	mem, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err == nil && n >= 4<<20 {
		// Large pages spare the TLB; a kernel without them says no, which is fine.
		_ = syscall.Madvise(mem, 14) // MADV_HUGEPAGE
	}
	return mem, err
}

func release(mem []byte) { _ = syscall.Munmap(mem) }
