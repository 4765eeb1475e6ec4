package datasets

import (
	"fmt"
	"strings"
)

// named is how many places of one kind of problem a warning names.
const named = 5

// What is done about a problem.
const (
	ActionSkipped = "skipped" // the file, the object or its mask is left out
	ActionClipped = "clipped" // it is cut to its image
	ActionKept    = "kept"    // it is used, perhaps with another meaning: the kind says how
)

// Kind is a kind of problem: a name for programs, what is done about it, and
// what stands before the number of them in a warning.
type Kind struct{ Name, Action, Text string }

// Problem is something that is wrong with an annotation or a file.
type Problem struct {
	// Kind is [Kind.Name], Action one of the Action constants.
	Kind   string `json:"kind"`
	Action string `json:"action"`
	// Source is the annotation file, File the picture relative to the data set's
	// root; "" where it is not known.
	Source string `json:"annotation_file,omitempty"`
	File   string `json:"file,omitempty"`
	// Image is its id in a COCO file. Annotations are the ids there; in YOLO's
	// files they are the lines, in Pascal VOC's the objects counted from 1.
	Image       *int64  `json:"image_id,omitempty"`
	Annotations []int64 `json:"annotation_ids,omitempty"`
	// What is wrong with this one; the words of its kind where there is no more
	// to say.
	What string `json:"what"`
	// Place says where it is in a warning: "val.json: image 42: box 3".
	Place string `json:"-"`
}

// Problems counts what is wrong with annotations, by kind, and remembers the
// first places of each, or all.
type Problems struct {
	// All remembers every place, not only those that a warning names.
	All bool

	kinds []Kind
	count map[string]int
	first map[string][]string // as they are told
	list  []Problem
}

// Add counts one problem. Its place is made only where it is remembered.
func (p *Problems) Add(k Kind, where func() Problem) {
	if p.count == nil {
		p.count, p.first = map[string]int{}, map[string][]string{}
	}
	if p.count[k.Name] == 0 {
		p.kinds = append(p.kinds, k)
	}
	p.count[k.Name]++
	name := len(p.first[k.Name]) < named
	if !name && !p.All {
		return
	}
	at := where()
	at.Kind, at.Action = k.Name, k.Action
	if at.What == "" {
		at.What = k.Text
	} else {
		at.Place += ": " + at.What
	}
	if name {
		p.first[k.Name] = append(p.first[k.Name], at.Place)
	}
	p.list = append(p.list, at)
}

// List is what is remembered, in the order in which it came up.
func (p *Problems) List() []Problem { return p.list }

// Warnings are one line for each kind, in the order in which they came up:
// "kind: 7: the first places and 2 more".
func (p *Problems) Warnings() []string {
	var out []string
	for _, k := range p.kinds {
		first := p.first[k.Name]
		text := strings.Join(first, ", ")
		if more := p.count[k.Name] - len(first); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, fmt.Sprintf("%s: %d: %s", k.Text, p.count[k.Name], text))
	}
	return out
}
