package datasets

import (
	"crypto/sha256"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/vislora/vislora/internal/cv"
)

// FileInfo is what a look at an image file tells without decoding it.
type FileInfo struct {
	W, H int
	// Orientation is EXIF's, 1 (upright) to 8; W and H are after it.
	Orientation int
	Hash        [sha256.Size]byte
	Err         error
}

// Scan reads files on several goroutines (all processors when workers is 0):
// it checks that each is a complete image and hashes its contents.
func Scan(paths []string, workers int) []FileInfo {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	out := make([]FileInfo, len(paths))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, len(paths)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(paths) {
					return
				}
				out[i] = inspect(paths[i])
			}
		})
	}
	wg.Wait()
	return out
}

func inspect(path string) (f FileInfo) {
	data, err := cv.ReadFile(path)
	if err != nil {
		return FileInfo{Err: err}
	}
	h, err := cv.ReadHeader(data)
	return FileInfo{W: h.W, H: h.H, Orientation: h.Orientation, Hash: sha256.Sum256(data), Err: err}
}
