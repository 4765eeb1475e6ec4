package buffer

import (
	"sync"
	"unsafe"
)

// mappings are the files that are mapped for reading, by their first byte.
var mappings struct {
	sync.Mutex
	of map[uintptr]int
}

// Mapped registers memory that is a mapped file, until [Unmapped].
func Mapped(data []byte) {
	if len(data) == 0 {
		return
	}
	mappings.Lock()
	defer mappings.Unlock()
	if mappings.of == nil {
		mappings.of = map[uintptr]int{}
	}
	mappings.of[address(data)] = len(data)
}

// Unmapped ends what [Mapped] began.
func Unmapped(data []byte) {
	if len(data) == 0 {
		return
	}
	mappings.Lock()
	defer mappings.Unlock()
	delete(mappings.of, address(data))
}

func address(data []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(data))) }

// GiveBack tells the system that b will not be read soon, where it is part of a
// mapped file: its pages leave memory, and the next read brings them back. Other
// memory stays as it is.
func (b *Buffer) GiveBack() {
	from := uintptr(b.mem)
	to := from + uintptr(b.n*b.Storage.Size())
	mappings.Lock()
	defer mappings.Unlock()
	for at, n := range mappings.of {
		if from >= at && to <= at+uintptr(n) {
			giveBack(unsafe.Slice((*byte)(b.mem), to-from))
			return
		}
	}
}
