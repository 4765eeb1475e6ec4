package safetensors

// DType is an element type as the header spells it.
type DType string

// The element types of the format that this package reads and writes. The
// 8-bit floats and unsigned 16- to 64-bit integers of newer writers are
// reported by name as unsupported.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

// known is the list for error messages, widest first.
const known = "F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL"

// Size is the number of bytes of one element, 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16, I16:
		return 2
	case I8, U8, Bool:
		return 1
	}
	return 0
}
