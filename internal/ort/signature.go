//go:build cgo

package ort

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// readSignature lists the inputs (without those that only name an initializer)
// and outputs of a serialised ModelProto. The Go binding has a call for this
// too, but it opens the model at the default optimisation level, whatever level
// was asked for, and panics on a scalar.
func readSignature(model []byte) (inputs, outputs []Port, err error) {
	const modelGraph, graphInitializer, graphInput, graphOutput = 7, 5, 11, 12
	weights := map[string]bool{}
	err = eachField(model, func(n protowire.Number, graph []byte) error {
		if n != modelGraph {
			return nil
		}
		return eachField(graph, func(n protowire.Number, v []byte) error {
			switch n {
			case graphInitializer:
				const tensorName = 8
				return eachField(v, func(n protowire.Number, name []byte) error {
					if n == tensorName {
						weights[string(name)] = true
					}
					return nil
				})
			case graphInput, graphOutput:
				p, err := readPort(v)
				if err != nil {
					return err
				}
				if n == graphInput {
					inputs = append(inputs, p)
				} else {
					outputs = append(outputs, p)
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, nil, err
	}
	fed := inputs[:0]
	for _, p := range inputs {
		if !weights[p.Name] {
			fed = append(fed, p)
		}
	}
	if len(outputs) == 0 {
		return nil, nil, fmt.Errorf("the file has no graph output; is it an ONNX model?")
	}
	return fed, outputs, nil
}

// readPort decodes a ValueInfoProto.
func readPort(b []byte) (p Port, err error) {
	const valueName, valueType, typeTensor, tensorElem, tensorShape, shapeDim = 1, 2, 1, 1, 2, 1
	err = eachField(b, func(n protowire.Number, v []byte) error {
		switch n {
		case valueName:
			p.Name = string(v)
		case valueType:
			return eachField(v, func(n protowire.Number, v []byte) error {
				if n != typeTensor {
					return nil
				}
				if e, ok := varintField(v, tensorElem); ok {
					p.DType = ir.DType(e)
				}
				return eachField(v, func(n protowire.Number, v []byte) error {
					if n != tensorShape {
						return nil
					}
					p.Known = true
					return eachField(v, func(n protowire.Number, v []byte) error {
						const dimValue = 1
						if n != shapeDim {
							return nil
						}
						d := -1
						if x, ok := varintField(v, dimValue); ok && int64(x) >= 0 {
							d = int(x)
						}
						p.Dims = append(p.Dims, d)
						return nil
					})
				})
			})
		}
		return nil
	})
	return p, err
}

// eachField calls f with every length-delimited field of a message.
func eachField(b []byte, f func(protowire.Number, []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("the file is not a valid protocol buffer: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return fmt.Errorf("the file is not a valid protocol buffer: %w", protowire.ParseError(n))
			}
			if err := f(num, v); err != nil {
				return err
			}
			b = b[n:]
			continue
		}
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return fmt.Errorf("the file is not a valid protocol buffer: %w", protowire.ParseError(n))
		}
		b = b[n:]
	}
	return nil
}

// varintField returns the last varint numbered want of a message.
func varintField(b []byte, want protowire.Number) (value uint64, found bool) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, false
		}
		b = b[n:]
		if num == want && typ == protowire.VarintType {
			value, n = protowire.ConsumeVarint(b)
			found = n >= 0
		} else {
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return 0, false
		}
		b = b[n:]
	}
	return value, found
}
