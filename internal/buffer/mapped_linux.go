package buffer

import (
	"os"
	"syscall"
	"unsafe"
)

// giveBack drops the whole pages of data.
func giveBack(data []byte) {
	page := uintptr(os.Getpagesize())
	from := address(data)
	to := (from + uintptr(len(data))) / page * page
	if skip := (page - from%page) % page; from+skip < to {
		whole := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(data)), skip)), to-from-skip)
		_ = syscall.Madvise(whole, syscall.MADV_DONTNEED) // only memory is at stake
	}
}
