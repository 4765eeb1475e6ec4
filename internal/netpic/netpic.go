// Package netpic draws a planned network as SVG or HTML: one box per node in
// layers from the input down, coloured by kind, with the sites that an adapter
// can be put on marked.
package netpic

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// Options choose what is said about a network.
type Options struct {
	Title string
	// Marked are nodes to warn of (no gradient, shapes that depend on the
	// data), by name or first output.
	Marked []string
}

// SVG draws the graph with its sites.
func SVG(w io.Writer, g *ir.Graph, sites []build.Site, o Options) error {
	p := layout(g, sites, o)
	b := bufio.NewWriter(w)
	p.svg(b, o.Title)
	return b.Flush()
}

// HTML is SVG inside a page that scrolls, with a legend.
func HTML(w io.Writer, g *ir.Graph, sites []build.Site, o Options) error {
	p := layout(g, sites, o)
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>\n<style>body{font:14px sans-serif;margin:1em;color:#222}"+
		".key{display:inline-block;padding:2px 8px;margin-right:6px;border:1px solid #888;border-radius:4px}</style></head><body>\n<h1>%s</h1>\n<p>",
		html.EscapeString(o.Title), html.EscapeString(o.Title))
	for _, k := range kinds {
		fmt.Fprintf(b, "<span class=\"key\" style=\"background:%s\">%s</span>", k.fill, k.name)
	}
	fmt.Fprintf(b, "<span class=\"key\" style=\"border:3px solid %s\">adapter site</span></p>\n<p>%d nodes, %d adapter sites. Point at a box for its name and shape.</p>\n",
		siteInk, len(g.Nodes), len(sites))
	p.svg(b, o.Title)
	fmt.Fprint(b, "</body></html>\n")
	return b.Flush()
}

// kind is how a group of operators looks.
type kind struct{ name, fill string }

// Light tints of Okabe and Ito's palette, which people with any colour vision
// can tell apart.
var kinds = []kind{
	{"convolution", "#b3d9ef"}, {"linear", "#b9e3d0"}, {"attention", "#f3d3a0"}, {"normalisation", "#eac7da"},
	{"activation", "#f2efc0"}, {"movement", "#ececec"}, {"other", "#ffffff"}, {"marked", "#f4b6a8"},
}

const siteInk = "#d55e00"

func kindOf(op string) kind {
	at := func(i int, list ...string) (kind, bool) {
		for _, l := range list {
			if strings.Contains(op, l) {
				return kinds[i], true
			}
		}
		return kind{}, false
	}
	for i, list := range [][]string{{"Conv"}, {"Linear", "MatMul", "Gemm", "Einsum"}, {"Attention"}, {"Norm", "LRN"},
		{"lu", "Sigmoid", "Tanh", "Softmax", "Hard", "Mish", "Clip", "Erf", "Soft"},
		{"Reshape", "Transpose", "Concat", "Slice", "Split", "Gather", "Expand", "Pad", "Flatten", "Squeeze", "Tile", "Space", "Resize", "Upsample"}} {
		if k, ok := at(i, list...); ok {
			return k
		}
	}
	return kinds[6]
}
