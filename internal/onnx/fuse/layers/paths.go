package layers

import (
	"regexp"
	"slices"
	"strings"
)

// parameterSuffixes maps the endings of parameter names to what they mean.
// Longer endings come first.
var parameterSuffixes = []struct{ suffix, kind string }{
	{".in_proj_weight", "weight"}, {".in_proj_bias", "bias"}, // parameters of MultiheadAttention itself
	{".weight", "weight"}, {".bias", "bias"}, {".gamma", "weight"}, {".beta", "bias"},
	{"/weights", "weight"}, {"/weight", "weight"}, {"/kernel", "weight"}, {"/biases", "bias"}, {"/bias", "bias"},
	{"_weight", "weight"}, {"_bias", "bias"}, {"_kernel", "weight"}, {"_gamma", "weight"}, {"_beta", "bias"},
	{".w_0", "weight"}, {".b_0", "bias"}, {"_w_0", "weight"}, {"_b_0", "bias"}, {"_w", "weight"}, {"_b", "bias"},
}

// anonymous matches names that exporters and optimisers make up.
var anonymous = regexp.MustCompile(`^(onnx::|const_fold|const_|_v_|p2o\.|/?Constant|[^A-Za-z]*$)|::`)

// FromParameter splits a parameter's name into module path and kind ("weight"
// or "bias"). ok is false when the name says nothing.
func FromParameter(name string) (module, kind string, ok bool) {
	name = strings.TrimSuffix(name, ":0")
	if anonymous.MatchString(name) {
		return "", "", false
	}
	for _, p := range parameterSuffixes {
		if m, found := strings.CutSuffix(name, p.suffix); found {
			m = dotted(m)
			return m, p.kind, m != ""
		}
	}
	return "", "", false
}

// parameterName is a loose parameter's own dotted name ("vit.pos_embed"), ""
// when it was made up.
func parameterName(name string) string {
	name = strings.TrimSuffix(name, ":0")
	if anonymous.MatchString(name) {
		return ""
	}
	return dotted(name)
}

// operators at the end of TensorFlow node paths that are not part of the
// layer's name.
var tensorFlowTail = []string{"Relu", "Relu6", "BatchNorm", "FusedBatchNorm", "FusedBatchNormV3", "BiasAdd", "Conv2D",
	"MatMul", "separable_conv2d", "depthwise_conv2d", "add"}

// FromNode turns a node's name into a module path. op is the ONNX operator the
// node was exported as; "" stands for any.
func FromNode(name string, ops ...string) (string, bool) {
	name = strings.TrimSuffix(name, ":0")
	if name == "" || anonymous.MatchString(name) {
		return "", false
	}
	parts := strings.Split(strings.Trim(name, "/"), "/")
	last := parts[len(parts)-1]
	if op, number, found := strings.Cut(last, "_"); slices.Contains(ops, op) && (!found || digits(strings.Trim(number, "_"))) {
		parts = parts[:len(parts)-1]
	} else {
		for len(parts) > 1 && slices.Contains(tensorFlowTail, parts[len(parts)-1]) {
			parts = parts[:len(parts)-1]
		}
		// A single word is a name only if it does not end in a running number
		// of an exporter's: "Conv_12", "node_conv2d_3".
		if len(parts) == 1 {
			w := strings.TrimSuffix(parts[0], "_fwd")
			if strings.HasPrefix(w, "node_") || slices.ContainsFunc(ops, func(op string) bool { return strings.HasPrefix(w, op) }) {
				return "", false
			}
			parts[0] = w
		}
	}
	p := dotted(strings.Join(parts, "/"))
	return p, p != ""
}

// dotted joins the components of a path by dots. A component that extends the
// one before it ("layer1", "layer1.0") takes its place.
func dotted(path string) string {
	var out []string
	for _, c := range strings.Split(strings.Trim(path, "/"), "/") {
		switch {
		case c == "":
		case len(out) > 0 && strings.HasPrefix(c, out[len(out)-1]+"."):
			out[len(out)-1] = c
		default:
			out = append(out, c)
		}
	}
	return strings.Join(out, ".")
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
