package layers

import (
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// diamond is x → a → {b → c, d} → e → f; a and f read a weight, f by way of a
// node that reads nothing else.
func diamond() *ir.Graph {
	g := &ir.Graph{Tensors: map[string]*ir.Tensor{"w": {}}, Inputs: []ir.Value{{Name: "x"}}, Outputs: []ir.Value{{Name: "f"}}}
	for _, n := range [][]string{{"a", "x", "w"}, {"b", "a", "w"}, {"c", "b"}, {"d", "a"}, {"e", "c", "d"}, {"token", "w"}, {"f", "e", "token"}} {
		g.Nodes = append(g.Nodes, &ir.Node{Op: "Add", Name: n[0], Outputs: n[:1], Inputs: n[1:]})
	}
	return g
}

func TestDominators(t *testing.T) {
	g := diamond()
	f := NewFlow(g)
	node := map[string]*ir.Node{}
	for _, n := range g.Nodes {
		node[n.Name] = n
	}
	for n, want := range map[string]string{"b": "a", "c": "b", "d": "a", "e": "a", "f": "e"} {
		if got := f.Dominator(node[n]); got != node[want] {
			t.Errorf("dominator of %s is %v, want %s", n, got, want)
		}
	}
	if f.Dominator(node["a"]) != nil {
		t.Error("the first node has no dominator")
	}
	trunk := ""
	for _, n := range f.Trunk(node["f"]) {
		trunk += n.Name
	}
	if trunk != "aef" {
		t.Errorf("trunk %q, want aef", trunk)
	}
	if !f.Dominates(node["a"], node["c"]) || f.Dominates(node["d"], node["e"]) || !f.Dominates(node["e"], node["e"]) {
		t.Error("Dominates is wrong")
	}
	if !f.IsAdd(node["e"]) || f.IsAdd(node["f"]) {
		t.Error("only e adds two computed values")
	}
}
