package main

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/onnxpb"
)

// outOfScopeOps are the operators that vislora leaves out on purpose.
var outOfScopeOps = map[string]string{
	"Bernoulli": "random operators", "RandomNormal": "random operators", "RandomNormalLike": "random operators",
	"RandomUniform": "random operators", "RandomUniformLike": "random operators", "Multinomial": "random operators",
	"StringNormalizer": "strings", "StringConcat": "strings", "StringSplit": "strings", "RegexFullMatch": "strings", "TfIdfVectorizer": "strings",
	"SequenceEmpty": "sequences", "SequenceInsert": "sequences", "SequenceErase": "sequences", "SequenceAt": "sequences", "SequenceConstruct": "sequences",
	"SequenceLength": "sequences", "SequenceMap": "sequences", "SplitToSequence": "sequences", "ConcatFromSequence": "sequences",
	"Optional": "optionals", "OptionalGetElement": "optionals", "OptionalHasElement": "optionals",
	"Loop": "Loop and Scan", "Scan": "Loop and Scan",
	"RNN": "recurrent networks", "LSTM": "recurrent networks", "GRU": "recurrent networks",
	"DFT": "signal processing", "STFT": "signal processing", "BlackmanWindow": "signal processing", "HannWindow": "signal processing",
	"HammingWindow": "signal processing", "MelWeightMatrix": "signal processing",
}

// outOfScopeNames marks the function bodies of such operators, and dropout with
// training_mode, which is random.
var outOfScopeNames = map[string]string{
	"hannwindow": "signal processing", "hammingwindow": "signal processing", "blackmanwindow": "signal processing",
	"training_dropout": "random operators",
}

// scope names the reason why a case is not run, "" if it is.
func (c testCase) scope() string {
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(c.model, &m); err != nil || m.Graph == nil {
		return ""
	}
	for part, why := range outOfScopeNames {
		if strings.Contains(c.name, part) {
			return why
		}
	}
	for _, v := range append(m.Graph.Input, m.Graph.Output...) {
		if why := typeScope(v.GetType()); why != "" {
			return why
		}
	}
	return nodesScope(m.Graph.Node)
}

func typeScope(t *onnxpb.TypeProto) string {
	switch {
	case t.GetSequenceType() != nil:
		return "sequences"
	case t.GetOptionalType() != nil:
		return "optionals"
	}
	return elementScope(t.GetTensorType().GetElemType())
}

func elementScope(d int32) string {
	switch onnxpb.TensorProto_DataType(d) {
	case onnxpb.TensorProto_STRING:
		return "strings"
	case 17, 18, 19, 20: // FLOAT8E4M3FN and its kin
		return "8-bit floats"
	case 21, 22: // UINT4, INT4
		return "4-bit integers"
	}
	return ""
}

func nodesScope(nodes []*onnxpb.NodeProto) string {
	for _, n := range nodes {
		switch d := n.GetDomain(); d {
		case "", "ai.onnx":
		case "ai.onnx.preview.training", "ai.onnx.training":
			return "training"
		default:
			return "domain " + d
		}
		if why := outOfScopeOps[n.GetOpType()]; why != "" {
			return why
		}
		for _, a := range n.Attribute {
			if a.GetName() == "to" && n.GetOpType() == "Cast" {
				if why := elementScope(int32(a.GetI())); why != "" {
					return why
				}
			}
			if a.G != nil {
				if why := nodesScope(a.G.Node); why != "" {
					return why
				}
			}
		}
	}
	return ""
}
