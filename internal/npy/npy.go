// Package npy reads and writes NumPy's array files, in which `vislora run`
// takes and gives tensors.
//
// Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
package npy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/vislora/vislora/internal/onnx/ir"
)

var codes = map[string]ir.DType{"f4": ir.Float, "f8": ir.Double, "f2": ir.Float16, "i8": ir.Int64, "i4": ir.Int32, "i2": ir.Int16, "i1": ir.Int8,
	"u1": ir.Uint8, "u2": ir.Uint16, "u4": ir.Uint32, "u8": ir.Uint64, "b1": ir.Bool}

var header = regexp.MustCompile(`'descr':\s*'([<|>=])(\w\d)'.*'fortran_order':\s*(True|False).*'shape':\s*\(([^)]*)\)`)

// maxBytes bounds an array: a header is only a claim.
const maxBytes = 1 << 34

// Read reads an array in C order and little-endian.
func Read(path string) (*ir.Tensor, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	t.Name = path
	return t, nil
}

func parse(b []byte) (*ir.Tensor, error) {
	if len(b) < 10 || string(b[:6]) != "\x93NUMPY" {
		return nil, fmt.Errorf("not a .npy file")
	}
	n, at := int(binary.LittleEndian.Uint16(b[8:])), 10
	if b[6] >= 2 {
		if len(b) < 12 {
			return nil, fmt.Errorf("the file ends in its header")
		}
		n, at = int(binary.LittleEndian.Uint32(b[8:])), 12
	}
	if n < 0 || n > len(b)-at {
		return nil, fmt.Errorf("a header of %d bytes in a file of %d", n, len(b))
	}
	m := header.FindStringSubmatch(strings.ReplaceAll(string(b[at:at+n]), "\n", " "))
	if m == nil {
		return nil, fmt.Errorf("header %.80q is not understood", b[at:at+n])
	}
	d, ok := codes[m[2]]
	switch {
	case !ok:
		return nil, fmt.Errorf("element type %q is not supported", m[2])
	case m[1] == ">":
		return nil, fmt.Errorf("big-endian arrays are not supported: save with astype('<%s')", m[2])
	case m[3] == "True":
		return nil, fmt.Errorf("arrays in Fortran order are not supported: save np.ascontiguousarray(x)")
	}
	t := &ir.Tensor{DType: d, Dims: []int{}}
	size := d.Size()
	for _, s := range strings.Split(m[4], ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		v, err := strconv.Atoi(s)
		if err != nil || v < 0 || v > 0 && size > maxBytes/v {
			return nil, fmt.Errorf("shape (%s) is not possible", m[4])
		}
		t.Dims = append(t.Dims, v)
		size *= v
	}
	if size != len(b)-at-n {
		return nil, fmt.Errorf("%d bytes of data, shape (%s) needs %d", len(b)-at-n, m[4], size)
	}
	t.Raw = b[at+n:]
	return t, nil
}

// Encode is the file of a tensor.
func Encode(t *ir.Tensor) ([]byte, error) {
	code := ""
	for c, d := range codes {
		if d == t.DType {
			code = c
		}
	}
	if code == "" {
		return nil, fmt.Errorf("write .npy: element type %v has no NumPy code", t.DType)
	}
	order := "<"
	if t.DType.Size() == 1 {
		order = "|"
	}
	var shape strings.Builder
	for i, d := range t.Dims {
		fmt.Fprintf(&shape, "%d", d)
		if i+1 < len(t.Dims) || len(t.Dims) == 1 {
			shape.WriteByte(',')
		}
		if i+1 < len(t.Dims) {
			shape.WriteByte(' ')
		}
	}
	h := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }", order, code, shape.String())
	pad := 64 - (10+len(h)+1)%64
	h += strings.Repeat(" ", pad%64) + "\n"
	var out bytes.Buffer
	out.WriteString("\x93NUMPY\x01\x00")
	_ = binary.Write(&out, binary.LittleEndian, uint16(len(h)))
	out.WriteString(h)
	out.Write(t.Raw)
	return out.Bytes(), nil
}
