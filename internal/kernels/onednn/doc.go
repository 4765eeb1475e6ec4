// Package onednn is the native implementation of [kernels.Kernels]: oneDNN
// 2.6's primitives for matrix products and convolutions, own C loops for what
// is bound by memory or by exp, and the portable code for the rest. It is
// compiled with the build tag onednn and cgo; without them [New] says so.
//
// Everything runs on the calling thread, with OpenMP off: an executor calls
// [LockThread] before it binds and binds and runs on that thread. Frozen weights
// are packed once per [Kernels] and shared by its executors. The instruction set
// of the C loops is chosen at run time.
package onednn
