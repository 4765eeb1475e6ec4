package datasets

import (
	"fmt"
	"strings"
)

// named is how many places of one kind of problem a warning names.
const named = 5

// Problems counts what is wrong with annotations, by kind, and remembers the
// first places of each.
type Problems struct {
	kinds []string
	count map[string]int
	where map[string][]string
}

// Add counts one problem. The place is made only where it will be named.
func (p *Problems) Add(kind string, where func() string) {
	if p.count == nil {
		p.count, p.where = map[string]int{}, map[string][]string{}
	}
	if p.count[kind] == 0 {
		p.kinds = append(p.kinds, kind)
	}
	p.count[kind]++
	if len(p.where[kind]) < named {
		p.where[kind] = append(p.where[kind], where())
	}
}

// Warnings are one line for each kind, in the order in which they came up:
// "kind: 7: the first places and 2 more".
func (p *Problems) Warnings() []string {
	var out []string
	for _, k := range p.kinds {
		text := strings.Join(p.where[k], ", ")
		if more := p.count[k] - len(p.where[k]); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, fmt.Sprintf("%s: %d: %s", k, p.count[k], text))
	}
	return out
}
