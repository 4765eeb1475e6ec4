package vm

import (
	"strings"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
)

// Packed is the memory of the copies that native kernels make of frozen weights:
// one for every direction that a weight is multiplied in. bytes tells those of a weight by
// its shape; slides: of a convolution whose map is as large as its result. memory holds
// what the leaves are bound to.
func (p *Program) Packed(memory map[*ops.Node]*buffer.Buffer, bytes func(shape []int, slides bool) int) int {
	type form struct {
		leaf *ops.Node
		kind string
	}
	seen := map[form]bool{}
	total := 0
	for _, s := range p.steps {
		if s.op == nil || !strings.HasPrefix(s.op.Name, "linear") && !strings.HasPrefix(s.op.Name, "conv") {
			continue
		}
		for _, in := range s.in[1:] {
			leaf := base(in)
			f := form{leaf, s.op.Name}
			if m := memory[leaf]; m == nil || !m.Frozen || len(m.Shape) < 2 || seen[f] {
				continue
			}
			seen[f] = true
			x, y := ops.Shape(s.in[0]), s.op.Out
			total += bytes(ops.Shape(leaf), len(x) == 4 && len(y) == 4 && x[1] == y[1] && x[2] == y[2])
		}
	}
	return total
}
