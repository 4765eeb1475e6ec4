package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/onnxpb"
)

// result is the outcome of one case.
type result struct {
	name, op string
	scope    string // why it was not run, "" if it was
	err      error
}

type report struct {
	collection string
	results    []result
}

// runCases runs all cases on all kernel sets; a case passes if it does on each.
func runCases(collection string, cases []testCase, sets []kernels.Kernels) *report {
	r := &report{collection: collection}
	ops := map[string]string{}
	for _, c := range cases {
		ops[c.name] = operatorOf(c)
	}
	for _, c := range cases {
		res := result{name: c.name, op: ops[c.name], scope: c.scope()}
		if base := expanded.ReplaceAllString(c.name, ""); base != c.name && ops[base] != "" {
			res.op = ops[base] // the function body of an operator counts to it
		}
		for _, k := range sets {
			if res.scope != "" || res.err != nil {
				break
			}
			if err := c.run(k); err != nil {
				res.err = fmt.Errorf("%w (%s kernels)", err, k.Name())
			}
		}
		r.results = append(r.results, res)
	}
	return r
}

var expanded = regexp.MustCompile(`_expanded.*$`)

// operatorOf is the operator of a case of one node, "several" otherwise.
func operatorOf(c testCase) string {
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(c.model, &m); err != nil {
		return "unreadable"
	}
	name := ""
	for _, n := range m.GetGraph().GetNode() {
		switch {
		case n.GetOpType() == "Constant":
		case name == "":
			name = n.GetOpType()
		case name != n.GetOpType():
			return "several"
		}
	}
	if name == "" {
		return "Constant"
	}
	return name
}

func (r *report) count() (passed, failed, out int) {
	for _, c := range r.results {
		switch {
		case c.scope != "":
			out++
		case c.err != nil:
			failed++
		default:
			passed++
		}
	}
	return passed, failed, out
}

func (r *report) summary() string {
	p, f, o := r.count()
	return fmt.Sprintf("%d passed, %d failed, %d out of scope", p, f, o)
}

func (r *report) failures() []result {
	return slices.DeleteFunc(slices.Clone(r.results), func(c result) bool { return c.err == nil })
}

// markdown writes docs/conformance.md.
func markdown(reports []*report, sets []kernels.Kernels) string {
	var b strings.Builder
	var names []string
	for _, k := range sets {
		names = append(names, k.Name())
	}
	b.WriteString("# Conformance\n\nMade by `make conformance`: do not edit.\n\n")
	b.WriteString("ONNX's backend tests, run through the path that a user's file takes: read, plan (shapes, constant folding, fusion), build, run. ")
	fmt.Fprintf(&b, "A case passes if it passes on every kernel set of the build, here: %s. Integers must be equal, floats within 0.1 %% ", strings.Join(names, ", "))
	b.WriteString("(all widths are computed in float32). Inputs that decide shapes are bound as constants before planning, as `vislora run` does.\n\n")
	b.WriteString("| collection | cases | in scope | passed | failed | out of scope |\n|---|---|---|---|---|---|\n")
	for _, r := range reports {
		p, f, o := r.count()
		fmt.Fprintf(&b, "| %s | %d | %d | %d (%.1f %%) | %d | %d |\n", r.collection, p+f+o, p+f, p, 100*float64(p)/float64(max(1, p+f)), f, o)
	}
	for _, r := range reports {
		fmt.Fprintf(&b, "\n## %s\n", r.collection)
		section(&b, r)
	}
	return b.String()
}

func section(b *strings.Builder, r *report) {
	b.WriteString("\n### Failures\n\n")
	if fails := r.failures(); len(fails) == 0 {
		b.WriteString("None.\n")
	} else {
		b.WriteString("| case | operator | cause |\n|---|---|---|\n")
		for _, f := range fails {
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.name, f.op, strings.NewReplacer("|", "\\|", "\n", " ").Replace(f.cause()))
		}
	}
	scopes, ops := map[string]int{}, map[string][2]int{}
	for _, c := range r.results {
		if c.scope != "" {
			scopes[c.scope]++
			continue
		}
		n := ops[c.op]
		n[1]++
		if c.err == nil {
			n[0]++
		}
		ops[c.op] = n
	}
	b.WriteString("\n### Out of scope\n\n| reason | cases |\n|---|---|\n")
	for _, why := range slices.Sorted(maps.Keys(scopes)) {
		fmt.Fprintf(b, "| %s | %d |\n", why, scopes[why])
	}
	b.WriteString("\n### Operators\n\n| operator | passed | of |\n|---|---|---|\n")
	for _, op := range slices.Sorted(maps.Keys(ops)) {
		fmt.Fprintf(b, "| %s | %d | %d |\n", op, ops[op][0], ops[op][1])
	}
}

// cause is the explanation of a failure, or its error where there is none.
func (r result) cause() string {
	if why := known[r.name]; why != "" {
		return why
	}
	if r.op == "ImageDecoder" {
		return "decodes files inside the graph; vislora decodes pictures before the graph, and `ImageDecoder` is not in it"
	}
	return r.err.Error()
}

// known explains failures that are no fault of the importer's.
var known = map[string]string{
	"test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True": "counts what ceil_mode adds beyond the padding into the mean; PyTorch and ONNX Runtime do not",

	"test_qlinearmatmul_2D_int8_float16": wraps,
	"test_qlinearmatmul_2D_int8_float32": wraps,
	"test_qlinearmatmul_3D_int8_float16": wraps,
	"test_qlinearmatmul_3D_int8_float32": wraps,

	"test_resize_downsample_scales_cubic_align_corners":  corners,
	"test_resize_downsample_scales_linear_align_corners": corners,

	"test_castlike_BFLOAT16_to_FLOAT":          contradicts,
	"test_castlike_BFLOAT16_to_FLOAT_expanded": contradicts,
	"test_castlike_FLOAT_to_BFLOAT16":          contradicts,
	"test_castlike_FLOAT_to_BFLOAT16_expanded": contradicts,

	"test_operator_addconstant": "float64 numbers beyond float32's range: vislora computes in float32",
}

const (
	wraps       = "expects int8 to wrap around where QuantizeLinear is specified to saturate"
	corners     = "aligns the corners of scale·length, a fraction; PyTorch and ONNX Runtime align the output's"
	contradicts = "the tensor given has another rank than the model declares for this input"
)
