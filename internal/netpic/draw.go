package netpic

import (
	"bufio"
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// The measures of the picture, in pixels.
const (
	boxWidth  = 190
	boxHeight = 34
	gapX      = 24
	gapY      = 26
	margin    = 20
	maxText   = 28 // characters of 11 pixel sans-serif in a box
)

// box is one node, input or output.
type box struct {
	title, detail string // two lines of text
	tip           string
	kind          kind
	site          bool
	layer, column int
	x, y          int
}

type edge struct{ from, to int }

type picture struct {
	boxes         []box
	edges         []edge
	width, height int
}

// layout puts every node one layer below the deepest of its inputs; within a
// layer, nodes stand in the order of the mean column of what they read.
func layout(g *ir.Graph, sites []build.Site, o Options) *picture {
	p := &picture{}
	bySite := map[string]build.Site{}
	for _, s := range sites {
		bySite[s.Output] = s
	}
	at := map[string]int{} // the box that makes a value
	for _, in := range g.Inputs {
		at[in.Name] = len(p.boxes)
		p.boxes = append(p.boxes, box{title: clip(in.Name), detail: shape(g.Types[in.Name]), tip: "input " + in.Name, kind: kinds[6]})
	}
	for _, n := range g.Nodes {
		i := len(p.boxes)
		b := box{title: n.Op, detail: shape(g.Types[n.Outputs[0]]), kind: kindOf(n.Op), tip: tip(g, n)}
		if s, ok := bySite[n.Outputs[0]]; ok {
			b.site, b.title, b.tip = true, clip(s.Path), "adapter site "+s.Path+"\n"+b.tip
			b.detail = n.Op + " " + b.detail
		}
		if slices.Contains(o.Marked, n.Name) && n.Name != "" || slices.Contains(o.Marked, n.Outputs[0]) {
			b.kind = kinds[7]
		}
		read := map[int]bool{}
		for _, name := range n.Inputs {
			if from, ok := at[name]; ok && !read[from] {
				read[from] = true
				p.edges = append(p.edges, edge{from, i})
				b.layer = max(b.layer, p.boxes[from].layer+1)
			}
		}
		p.boxes = append(p.boxes, b)
		for _, out := range n.Outputs {
			if out != "" {
				at[out] = i
			}
		}
	}
	p.place()
	return p
}

// place gives the boxes their columns and pixels.
func (p *picture) place() {
	var layers [][]int
	for i, b := range p.boxes {
		for len(layers) <= b.layer {
			layers = append(layers, nil)
		}
		layers[b.layer] = append(layers[b.layer], i)
	}
	sources := make([][]int, len(p.boxes))
	for _, e := range p.edges {
		sources[e.to] = append(sources[e.to], e.from)
	}
	columns := 1
	for _, l := range layers {
		mean := map[int]float64{}
		for _, i := range l {
			for _, s := range sources[i] {
				mean[i] += float64(p.boxes[s].column) / float64(len(sources[i]))
			}
		}
		slices.SortStableFunc(l, func(a, b int) int {
			switch {
			case mean[a] < mean[b]:
				return -1
			case mean[a] > mean[b]:
				return 1
			}
			return 0
		})
		for c, i := range l {
			p.boxes[i].column = c
		}
		columns = max(columns, len(l))
	}
	bow := 0
	for _, e := range p.edges {
		bow = max(bow, swing(p.boxes[e.to].layer-p.boxes[e.from].layer))
	}
	for i := range p.boxes {
		b := &p.boxes[i]
		b.x, b.y = margin+b.column*(boxWidth+gapX), margin+b.layer*(boxHeight+gapY)
	}
	p.width = 2*margin + columns*(boxWidth+gapX) + bow
	p.height = 2*margin + len(layers)*(boxHeight+gapY)
}

// swing is how far to the right an edge bows that passes over other layers.
func swing(layers int) int {
	if layers <= 1 {
		return 0
	}
	return 20 + min(6*layers, 140)
}

func (p *picture) svg(w *bufio.Writer, title string) {
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", p.width, p.height, p.width, p.height)
	fmt.Fprintf(w, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<g fill=\"none\" stroke=\"#888\">\n", html.EscapeString(title))
	for _, e := range p.edges {
		a, b := p.boxes[e.from], p.boxes[e.to]
		if s := swing(b.layer - a.layer); s > 0 {
			x := max(a.x, b.x) + boxWidth + s
			fmt.Fprintf(w, "<path d=\"M%d %dC%d %d %d %d %d %d\"/>\n", a.x+boxWidth, a.y+boxHeight/2, x, a.y+boxHeight/2, x, b.y+boxHeight/2, b.x+boxWidth, b.y+boxHeight/2)
			continue
		}
		fmt.Fprintf(w, "<path d=\"M%d %dL%d %d\"/>\n", a.x+boxWidth/2, a.y+boxHeight, b.x+boxWidth/2, b.y)
	}
	fmt.Fprint(w, "</g>\n")
	for _, b := range p.boxes {
		stroke, width, class := "#888", 1, "node"
		if b.site {
			stroke, width, class = siteInk, 3, "site"
		}
		fmt.Fprintf(w, "<g class=\"%s\"><title>%s</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\" fill=\"%s\" stroke=\"%s\" stroke-width=\"%d\"/>",
			class, html.EscapeString(b.tip), b.x, b.y, boxWidth, boxHeight, b.kind.fill, stroke, width)
		fmt.Fprintf(w, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text><text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"#666\">%s</text></g>\n",
			b.x+boxWidth/2, b.y+14, html.EscapeString(b.title), b.x+boxWidth/2, b.y+28, html.EscapeString(clip(b.detail)))
	}
	fmt.Fprint(w, "</svg>\n")
}

// clip shortens text to the width of a box; the end of a path says more than
// its start.
func clip(s string) string {
	r := []rune(s)
	if len(r) <= maxText {
		return s
	}
	return "…" + string(r[len(r)-maxText+1:])
}

func shape(t ir.Type) string {
	if !t.Known {
		return "shape follows from the data"
	}
	parts := make([]string, len(t.Dims))
	for i, d := range t.Dims {
		parts[i] = fmt.Sprint(d)
	}
	return strings.Join(parts, "×")
}

// tip is what is shown when pointing at a node.
func tip(g *ir.Graph, n *ir.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", n.Op, n.Name)
	for _, name := range n.Inputs {
		if t := g.Tensors[name]; t != nil {
			fmt.Fprintf(&b, "%s: %v %s\n", name, t.DType, shape(t.Type()))
		}
	}
	for _, name := range n.Outputs {
		if name != "" {
			fmt.Fprintf(&b, "→ %s %s\n", name, shape(g.Types[name]))
		}
	}
	return b.String()
}
