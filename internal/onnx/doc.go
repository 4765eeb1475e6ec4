// Package onnx reads ONNX models into the intermediate representation of
// package ir, and edits and writes the original file.
//
// Reading has three steps. The file is mapped and scanned as wire format:
// every length, dimension and data size is checked before anything is
// allocated for it, and tensor contents stay where they are (scan.go). The
// rest, a few KB, is decoded with our own bindings. A thin copy of that, nodes
// and names only, goes through onnx-go into a collecting backend, which gives
// the nodes (thin.go); what onnx-go does not pass on (names, domains, tensor
// and graph attributes, dynamic dimensions) is joined from the bindings
// (graph.go). onnx-go is never given the file itself: it allocates whatever a
// file declares, drops dynamic dimensions, and knows neither float16 nor empty
// tensors.
//
// Errors are of two kinds: a [*FormatError] says where the file breaks the
// standard, an [*UnsupportedError] lists what it uses that vislora lacks.
package onnx
