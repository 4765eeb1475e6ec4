package cnn_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/cnn"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/testdata"
	"github.com/vislora/vislora/vision/build"
)

// features writes all features as "kind channels/stride value".
func features(a *build.Annotation) []string {
	var out []string
	for _, f := range a.Features {
		out = append(out, fmt.Sprintf("%s %d/%d %s", f.Kind, f.Channels, f.Stride, f.Value))
	}
	return out
}

func checkFeatures(t *testing.T, name string, a *build.Annotation, want ...string) {
	t.Helper()
	if got := features(a); !slices.Equal(got, want) {
		t.Errorf("%s: features\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestFeaturesOfRealModels: every feature, with the value read off the graph.
func TestFeaturesOfRealModels(t *testing.T) {
	stage := func(i int) string {
		return fmt.Sprintf("/model/backbone/stages.%d/blocks/blocks.0/aggregation/aggregation.1/lab/Add_output_0", i)
	}
	for file, want := range map[string][]string{
		// Focus, dark2 to dark5; PAFPN's pan_out2, pan_out1, pan_out0.
		"yolox_nano/yolox_nano.onnx": {"map 16/2 687", "map 32/4 721", "map 64/8 781", "map 128/16 841", "map 256/32 886",
			"neck 64/8 956", "neck 128/16 990", "neck 256/32 1024"},
		// The stem and its pooling, stages 2 to 4 behind their last channel shuffle; PAN's sums.
		"nanodet_m_320/nanodet_m_320.onnx": {"map 24/2 424", "map 24/4 425", "map 116/8 528", "map 232/16 743", "map 464/32 846",
			"neck 96/8 861", "neck 96/16 867", "neck 96/32 873"},
		// Dilated from stride 8 on; what the ASPP reads is the backbone's last map.
		"deeplabv3_mnv2_257/deeplab_v3_257.onnx": {"map 8/2 MobilenetV2/expanded_conv/project/BatchNorm/FusedBatchNorm",
			"map 12/4 MobilenetV2/expanded_conv_2/add", "map 160/8 MobilenetV2/expanded_conv_16/project/BatchNorm/FusedBatchNorm"},
		// HGNetv2 Atto has three stages; stride 32 is made by the encoder.
		"deimv2_atto/deimv2_atto.onnx": {"map 32/2 /model/backbone/stem/Concat_2_output_0", "map 64/4 " + stage(0), "map 256/8 " + stage(1), "map 256/16 " + stage(2),
			"neck 64/16 /model/encoder/fpn_block/cv4/act/Mul_output_0", "neck 64/32 /model/encoder/pan_block/cv4/act/Mul_output_0"},
		// Separable convolutions 1×1 first; TFPN's top is its lateral convolution.
		"yunet_n/yunet_n_dynamic.onnx": {"map 16/2 215", "map 64/4 232", "map 64/8 241", "map 64/16 250", "map 64/32 263",
			"neck 64/8 279", "neck 64/16 269", "neck 64/32 263"},
	} {
		t.Run(strings.Split(file, "/")[0], func(t *testing.T) {
			g := plan(t, testdata.Real(t, file))
			a, ok := cnn.Annotate(g)
			if !ok {
				a = cnn.Generic(g)
			}
			checkFeatures(t, file, a, want...)
			for _, f := range a.Features {
				typ := g.Types[f.Value]
				if typ.DType != ir.Float || len(typ.Dims) != 4 || typ.Dims[1] != f.Channels {
					t.Errorf("%+v is %v", f, typ)
				}
			}
		})
	}
}

func (g graph) enlarge(x string) string {
	d := slices.Clone(g.Types[x].Dims)
	d[2], d[3] = 2*d[2], 2*d[3]
	return g.node("Resize", d, nil, x)
}

func (g graph) concat(in ...string) string {
	d := slices.Clone(g.Types[in[0]].Dims)
	for _, x := range in[1:] {
		d[1] += g.Types[x].Dims[1]
	}
	return g.node("Concat", d, nil, in...)
}

// residual is a block that halves the resolution, and one that keeps it.
func (g graph) residual(x string, c int) string {
	x = g.same("Relu", g.same("Add", g.conv(g.conv(x, c, 3, 2, 1, true), c, 3, 1, 1, false), g.conv(x, c, 1, 2, 1, false)))
	return g.same("Relu", g.same("Add", g.conv(g.conv(x, c, 3, 1, 1, true), c, 3, 1, 1, false), x))
}

// pyramid is a backbone of strides 2 to 16, its maps of strides 4, 8 and 16.
func (g graph) pyramid() (c [3]string) {
	x := g.conv("image", 8, 3, 2, 1, true)
	for i := range c {
		x = g.residual(x, 16<<i)
		c[i] = x
	}
	return c
}

// predict is a head of two branches that are joined, as YOLOX joins them.
func (g graph) predict(x string) {
	x = g.conv(x, 12, 1, 1, 1, true)
	a, b := g.conv(g.conv(x, 12, 3, 1, 1, true), 4, 1, 1, 1, false), g.conv(g.conv(x, 12, 3, 1, 1, true), 5, 1, 1, 1, false)
	g.Outputs = append(g.Outputs, ir.Value{Name: g.concat(a, g.same("Sigmoid", b))})
}

func backboneFeatures(c [3]string) []string {
	return []string{"map 8/2 1", "map 16/4 " + c[0], "map 32/8 " + c[1], "map 64/16 " + c[2]}
}

func TestHandMadeFPN(t *testing.T) {
	for _, smooth := range []bool{false, true} {
		g := newGraph(64)
		c := g.pyramid()
		var lateral, p [3]string
		for i, x := range c {
			lateral[i] = g.conv(x, 24, 1, 1, 1, false)
		}
		p[2] = lateral[2]
		for i := 1; i >= 0; i-- {
			p[i] = g.same("Add", lateral[i], g.enlarge(p[i+1]))
		}
		for i := range p {
			if smooth {
				p[i] = g.conv(p[i], 24, 3, 1, 1, false)
			}
			g.predict(p[i])
		}
		want := append(backboneFeatures(c), "neck 24/4 "+p[0], "neck 24/8 "+p[1], "neck 24/16 "+p[2])
		checkFeatures(t, fmt.Sprintf("FPN, smoothed %v", smooth), annotate(t, g.Graph), want...)
	}
}

// csp splits a map in two, works on one part, joins them and gathers.
func (g graph) csp(x string, c int) string {
	a, b := g.conv(x, c/2, 1, 1, 1, true), g.conv(x, c/2, 1, 1, 1, true)
	return g.conv(g.concat(g.conv(a, c/2, 3, 1, 1, true), b), c, 1, 1, 1, true)
}

func TestHandMadePAN(t *testing.T) {
	g := newGraph(64)
	c := g.pyramid()
	top := g.conv(c[2], 32, 1, 1, 1, true)
	middle := g.conv(g.csp(g.concat(g.enlarge(top), c[1]), 32), 16, 1, 1, 1, true)
	p0 := g.csp(g.concat(g.enlarge(middle), c[0]), 16)
	p1 := g.csp(g.concat(g.conv(p0, 16, 3, 2, 1, true), middle), 32)
	p2 := g.csp(g.concat(g.conv(p1, 32, 3, 2, 1, true), top), 64)
	for _, p := range []string{p0, p1, p2} {
		g.predict(p)
	}
	checkFeatures(t, "PAN", annotate(t, g.Graph), append(backboneFeatures(c), "neck 16/4 "+p0, "neck 32/8 "+p1, "neck 64/16 "+p2)...)
}

// TestPyramidMakesItsOwnTop: the lowest resolution comes from the lateral
// convolution and is not the backbone's.
func TestPyramidMakesItsOwnTop(t *testing.T) {
	g := newGraph(64)
	c := g.pyramid()
	lateral := g.conv(c[2], 24, 1, 1, 1, false)
	top := g.conv(lateral, 24, 3, 2, 1, true)
	p1 := g.same("Add", lateral, g.enlarge(top))
	p2 := g.same("Add", top, g.conv(p1, 24, 3, 2, 1, true))
	g.predict(p1)
	g.predict(p2)
	checkFeatures(t, "own top", annotate(t, g.Graph), append(backboneFeatures(c), "neck 24/16 "+p1, "neck 24/32 "+p2)...)
}

// TestDecodersAreNoNecks: what ends in one map (a U-Net, a DeepLab whose pooled
// context is enlarged) has no maps for heads besides it.
func TestDecodersAreNoNecks(t *testing.T) {
	g := newGraph(64)
	c := g.pyramid()
	x := g.conv(g.concat(g.enlarge(c[2]), c[1]), 32, 3, 1, 1, true)
	x = g.conv(g.concat(g.enlarge(x), c[0]), 16, 3, 1, 1, true)
	g.Outputs = []ir.Value{{Name: g.conv(x, 5, 1, 1, 1, false)}}
	checkFeatures(t, "U-Net", annotate(t, g.Graph), backboneFeatures(c)...)

	g = newGraph(64)
	c = g.pyramid()
	pooled := g.conv(g.pool(c[2]), 24, 1, 1, 1, true)
	d := slices.Clone(g.Types[c[2]].Dims)
	d[1] = 24
	x = g.concat(g.node("Resize", d, nil, pooled), g.conv(c[2], 24, 1, 1, 1, true))
	x = g.conv(g.conv(x, 24, 1, 1, 1, true), 5, 1, 1, 1, false)
	g.Outputs = []ir.Value{{Name: g.enlarge(x)}}
	checkFeatures(t, "ASPP", annotate(t, g.Graph), backboneFeatures(c)...)
}

// TestShuffledStagesEndWhole: the feature is the shuffled concatenation, not
// the branch that was worked on last.
func TestShuffledStagesEndWhole(t *testing.T) {
	g := newGraph(32)
	x := g.conv("image", 8, 3, 2, 1, true)
	var ends []string
	for _, c := range []int{8, 16} {
		a := g.conv(g.conv(x, c, 3, 2, g.Types[x].Dims[1], false), c, 1, 1, 1, true)
		b := g.conv(g.conv(g.conv(x, c, 1, 1, 1, true), c, 3, 2, c, false), c, 1, 1, 1, true)
		j := g.concat(a, b)
		d := g.Types[j].Dims
		s := g.node("Transpose", []int{d[0], c, 2, d[2], d[3]}, nil, g.node("Reshape", []int{d[0], 2, c, d[2], d[3]}, nil, j))
		x = g.node("Reshape", d, nil, s)
		ends = append(ends, x)
	}
	for range 2 { // heads read the last stage as it is
		g.Outputs = append(g.Outputs, ir.Value{Name: g.conv(g.conv(x, 12, 3, 1, 1, true), 4, 1, 1, 1, false)})
	}
	checkFeatures(t, "shuffle", annotate(t, g.Graph), "map 8/2 1", "map 16/4 "+ends[0], "map 32/8 "+ends[1])
}

// TestIntegersAreNoFeatures: a detector's labels are no vector to classify by.
func TestIntegersAreNoFeatures(t *testing.T) {
	g := newGraph(64)
	c := g.pyramid()
	labels := g.node("ArgMax", []int{2, 8}, nil, c[2])
	g.Types[labels] = ir.Type{DType: ir.Int64, Dims: []int{2, 8}, Known: true}
	g.Outputs = []ir.Value{{Name: labels}}
	a := annotate(t, g.Graph)
	checkFeatures(t, "labels", a, backboneFeatures(c)...)
	if a.Logits != "" {
		t.Errorf("labels were taken for logits %q", a.Logits)
	}
}
