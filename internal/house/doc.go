// Package house holds the tests that keep the repository's structure: which
// package may import which, where C and OpenCV may appear, what must be pinned.
// It exports nothing.
package house
