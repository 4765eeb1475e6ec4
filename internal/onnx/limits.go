package onnx

// Limits on what a file may declare. They are far above every model that can
// be trained on one machine, and keep a few hostile bytes from taking memory.
const (
	// maxDepth bounds the nesting of messages; one subgraph takes three levels.
	maxDepth = 64
	// maxRank bounds the number of dimensions of a tensor or value.
	maxRank = 32
	// maxElements bounds the elements of a tensor in the file; what is really
	// there is compared with what is declared besides.
	maxElements = 1 << 40
	// maxValueElements bounds the elements of a declared input or output whose
	// dimensions are all fixed.
	maxValueElements = 1 << 31
	// maxFileProto is the limit of protocol buffers on one message.
	maxFileProto = 1<<31 - 1

	// The decoded graph may take graphMemory + graphMemoryPerByte times the
	// file; costs per message are estimated before decoding.
	graphMemory        = 128 << 20
	graphMemoryPerByte = 8

	minOpset = 7  // older opsets broadcast by an attribute
	maxOpset = 21 // newest opset whose operators are known
)

// elements multiplies dimensions; ok is false when one is negative or the
// product, zeros left out, passes limit (so strides cannot overflow either).
func elements(dims []int64, limit int64) (n int64, ok bool) {
	product, zero := int64(1), false
	for _, d := range dims {
		switch {
		case d < 0 || d > limit/product:
			return 0, false
		case d == 0:
			zero = true
		default:
			product *= d
		}
	}
	if zero {
		return 0, true
	}
	return product, true
}
