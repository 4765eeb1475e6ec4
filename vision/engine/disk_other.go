//go:build !linux && !darwin

package engine

// freeDisk is not known here.
func freeDisk(string) int64 { return -1 }
