package netpic_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/netpic"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
	"github.com/vislora/vislora/vision/build"
)

func plan(t *testing.T) *ir.Graph {
	t.Helper()
	m, err := onnx.Parse(onnxtest.New(17).Input("x", ir.Float, 1, 3, 8, 8).Init("w", []int{4, 3, 1, 1}, make([]float32, 12)).Init("w2", []int{4, 4, 1, 1}, make([]float32, 16)).
		NodeNamed("stem", "", "Conv", nil, []string{"x", "w"}, []string{"a"}).NodeNamed("", "", "Relu", nil, []string{"a"}, []string{"b"}).
		NodeNamed("<second> & last", "", "Conv", nil, []string{"b", "w2"}, []string{"c"}).NodeNamed("sum", "", "Add", nil, []string{"a", "c"}, []string{"y"}).
		Output("y", ir.Float, 1, 4, 8, 8).Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.Plan(onnx.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestSVG holds that the picture is well-formed XML with a box per node and
// input, a line per edge, and the sites marked.
func TestSVG(t *testing.T) {
	g := plan(t)
	site := build.Site{Path: "layer1.conv", Output: "c"}
	var b strings.Builder
	if err := netpic.SVG(&b, g, []build.Site{site}, netpic.Options{Title: "a & b", Marked: []string{"sum"}}); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the SVG is not well-formed: %v", err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			count[e.Name.Local]++
			for _, a := range e.Attr {
				if a.Name.Local == "class" {
					count["class "+a.Value]++
				}
			}
		}
	}
	// x → stem → Relu → second → sum, and stem → sum past two layers.
	if count["class node"]+count["class site"] != 5 || count["class site"] != 1 || count["path"] != 5 {
		t.Errorf("%d nodes, %d sites and %d edges, want 4, 1 and 5:\n%s", count["class node"], count["class site"], count["path"], b.String())
	}
	for _, want := range []string{"layer1.conv", "1×4×8×8", "&lt;second&gt; &amp; last", "#f4b6a8"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the SVG lacks %q", want)
		}
	}
}

// TestHTML holds that the page contains the picture and counts the sites.
func TestHTML(t *testing.T) {
	var b strings.Builder
	if err := netpic.HTML(&b, plan(t), []build.Site{{Path: "p", Output: "a"}}, netpic.Options{Title: "net"}); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); !strings.Contains(s, "<svg ") || !strings.Contains(s, "4 nodes, 1 adapter sites") || !strings.HasSuffix(s, "</html>\n") {
		t.Errorf("the page is\n%s", s)
	}
}
