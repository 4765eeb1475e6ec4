// Package onnxpb holds the protocol buffer messages of ONNX, generated from
// the standard's onnx.proto (release 1.12, Apache-2.0), and a few constructors.
//
// The file's package is renamed to vislora.onnx, since onnx-go
// registers the same messages under the name onnx, and two registrations of
// one name stop the program when it starts. Names of packages are not part of
// the wire format, so files are the same. Fields and element types that newer
// releases of the standard added are kept as unknown fields and written back.
package onnxpb

//go:generate go build -o /tmp/vislora-protoc/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
//go:generate protoc --plugin=/tmp/vislora-protoc/protoc-gen-go --go_out=. --go_opt=paths=source_relative --go_opt=Monnx.proto=github.com/vislora/vislora/internal/onnxpb onnx.proto
