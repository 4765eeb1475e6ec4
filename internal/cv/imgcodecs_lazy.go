//go:build cgo && gocv_specific_modules && linux

package cv

// #cgo pkg-config: opencv4
// #cgo CXXFLAGS: -std=c++11 -O2
// #cgo LDFLAGS: -Wl,--as-needed -ldl
import "C"
