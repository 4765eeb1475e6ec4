// Package safetensors reads and writes the safetensors container, in which
// PEFT and the rest of the Hugging Face world keep weights:
//
//	8 bytes   length n of the header, little-endian
//	n bytes   JSON: {"__metadata__": {…}, NAME: {"dtype", "shape", "data_offsets"}, …},
//	          padded with spaces to a multiple of 8
//	the rest  the tensors' bytes, little-endian and row-major, without gaps
//
// Reading is strict, because files come from strangers: every length is checked
// against the bytes at hand before anything is allocated for it, names may not
// repeat, and the tensors must cover the data exactly once. Writing is
// deterministic: the same tensors give the same bytes.
//
// Source: https://github.com/huggingface/safetensors#format
package safetensors

import (
	"fmt"
	"math"
	"slices"
)

// MaxHeader is the largest header accepted, the limit of the reference
// implementation (100 MB).
const MaxHeader = 100_000_000

// maxRank bounds the number of dimensions; nothing in use comes near it.
const maxRank = 32

// metadataKey is the one name that is not a tensor.
const metadataKey = "__metadata__"

// Tensor is one named array. Data is little-endian and row-major; in a file
// that was read it aliases the file's bytes and must not be written to.
type Tensor struct {
	DType DType
	Shape []int
	Data  []byte
}

// File is the contents of one container.
type File struct {
	// Metadata is the free text under "__metadata__"; nil when there is none.
	// PEFT and transformers want {"format": "pt"} there.
	Metadata map[string]string
	Tensors  map[string]Tensor
}

// Names returns the tensors' names, sorted.
func (f *File) Names() []string {
	names := make([]string, 0, len(f.Tensors))
	for n := range f.Tensors {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// bytesOf multiplies a shape by the size of its elements. It refuses negative
// dimensions and products that do not fit an int.
func bytesOf(d DType, shape []int) (int, error) {
	size := d.Size()
	if size == 0 {
		return 0, fmt.Errorf("dtype %q is not supported (known: %s)", string(d), known)
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("shape has %d dimensions, at most %d are allowed", len(shape), maxRank)
	}
	n := size
	for _, dim := range shape {
		switch {
		case dim < 0:
			return 0, fmt.Errorf("shape %v has the negative dimension %d", shape, dim)
		case dim > 0 && n > math.MaxInt/dim:
			return 0, fmt.Errorf("shape %v of %s overflows the address space", shape, d)
		}
		n *= dim
	}
	return n, nil
}
