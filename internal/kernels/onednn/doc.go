// Package onednn is the native implementation of [kernels.Kernels]: own C loops
// for matrix products, attention, what is bound by memory or by exp, and most
// convolutions; oneDNN 2.6 for the others; and the portable code for the rest. It is
// compiled with the build tag onednn and cgo; without them [New] says so.
//
// Unless [Share] says otherwise everything runs on the calling thread, with OpenMP off:
// an executor calls [LockThread] before it binds, and binds and runs on that thread.
// Frozen weights are packed once per [Kernels] and shared by its executors. The instruction set
// of the C loops is chosen at run time.
package onednn
