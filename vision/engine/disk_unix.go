//go:build linux || darwin

package engine

import "syscall"

// freeDisk is the room in a folder's file system, -1 where that is not known.
func freeDisk(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * int64(st.Bsize)
}
