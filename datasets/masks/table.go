package masks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// mostClasses is how many classes fit into a byte beside [Ignore].
const mostClasses = Ignore

// table says which class the values and colours of masks stand for.
type table struct {
	names []string
	// ids are the values of the classes, the first of each that has several.
	ids      []int64
	byValue  map[uint32]uint8
	byColour map[uint32]uint8 // nil without a colour map
	// explicit: the file with the classes tells their values.
	explicit bool
	colours  string // the file with the colours, for messages
}

// voidNames are the names of pixels that are left out, in lower case.
var voidNames = []string{"ignore", "ignored", "void", "unlabeled", "unlabelled"}

func isVoid(name string) bool { return slices.Contains(voidNames, strings.ToLower(name)) }

// newTable numbers the classes of a list in its order. Entries of one name are
// one class.
func newTable(list []class) (*table, error) {
	t := &table{byValue: map[uint32]uint8{}}
	levels := greyLevels(list)
	for i, c := range list {
		n := uint8(Ignore)
		if !isVoid(c.name) {
			at := slices.Index(t.names, c.name)
			if at < 0 {
				at = len(t.names)
				t.names = append(t.names, c.name)
			}
			if at >= mostClasses {
				return nil, fmt.Errorf("line %d: more than %d classes: they have to fit into a byte beside the ignored one", c.line, mostClasses)
			}
			n = uint8(at)
		}
		value := i
		switch {
		case c.value >= 0:
			value, t.explicit = c.value, true
		case levels:
			value, t.explicit = c.colour&0xff, true
		}
		if _, ok := t.byValue[uint32(value)]; ok {
			return nil, fmt.Errorf("line %d: the value %d stands for two classes", c.line, value)
		}
		t.byValue[uint32(value)] = n
		if int(n) == len(t.ids) {
			t.ids = append(t.ids, int64(value))
		}
		if c.colour >= 0 {
			if err := t.colour(c, n); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// colour enters a colour of class n.
func (t *table) colour(c class, n uint8) error {
	if t.byColour == nil {
		t.byColour = map[uint32]uint8{}
	}
	if _, ok := t.byColour[uint32(c.colour)]; ok {
		return fmt.Errorf("line %d: the colour %s stands for two classes", c.line, colourText(uint32(c.colour)))
	}
	t.byColour[uint32(c.colour)] = n
	return nil
}

// greyLevels tells whether a list has nothing but different greys for colours:
// these are the values of grey masks.
func greyLevels(list []class) bool {
	for _, c := range list {
		if c.colour < 0 || c.value >= 0 || !isGrey(uint32(c.colour)) {
			return false
		}
	}
	return len(list) > 0
}

func isGrey(c uint32) bool { return c>>16 == c&0xff && c>>8&0xff == c&0xff }

func colourText(c uint32) string { return fmt.Sprintf("%d,%d,%d", c>>16, c>>8&0xff, c&0xff) }

// white tells the values that mean ignored where no list says otherwise: the
// highest of 8 and of 16 bits.
func white(v uint32) bool { return v == 255 || v == 65535 }

// classes is the class of each key of a mask. The error names a key that has
// none.
func (t *table) classes(p *pixels) (map[uint32]uint8, error) {
	out := map[uint32]uint8{}
	switch {
	case p.colour && t.byColour != nil:
		for _, s := range p.seen {
			c, ok := t.byColour[s.key]
			if !ok {
				return nil, fmt.Errorf("the colour %s at (%d, %d) is no class: it is not in %s", colourText(s.key), s.x, s.y, t.colours)
			}
			out[s.key] = c
		}
		return out, nil
	case p.colour:
		for _, s := range p.seen {
			if !isGrey(s.key) {
				return nil, fmt.Errorf("it has colours, %s at (%d, %d), and no file tells their classes: add a colors.txt, or save it as palette or grey", colourText(s.key), s.x, s.y)
			}
		}
	case t.byColour != nil:
		if out := t.paletted(p); out != nil {
			return out, nil
		}
	}
	for _, s := range p.seen {
		v := s.key
		if p.colour {
			v &= 0xff
		}
		c, ok := t.byValue[v]
		switch {
		case ok:
			out[s.key] = c
		case white(v):
			out[s.key] = Ignore
		default:
			return nil, fmt.Errorf("the value %d at (%d, %d) is no class: %s", v, s.x, s.y, t.describe())
		}
	}
	return out, nil
}

// paletted looks the colours of a palette up; nil unless all are known.
func (t *table) paletted(p *pixels) map[uint32]uint8 {
	if p.palette == nil {
		return nil
	}
	out := map[uint32]uint8{}
	for i, s := range p.seen {
		c, ok := t.byColour[p.palette[i]]
		if !ok {
			return nil
		}
		out[s.key] = c
	}
	return out
}

// describe lists the values of the classes.
func (t *table) describe() string {
	values := slices.Sorted(maps.Keys(t.byValue))
	if n := len(values); n > 0 && values[0] == 0 && int(values[n-1]) == n-1 {
		return fmt.Sprintf("there are %d, from 0", n)
	}
	return fmt.Sprintf("there are %s", valuesText(values))
}

func valuesText(values []uint32) string {
	var out []string
	for _, v := range values {
		out = append(out, strconv.Itoa(int(v)))
	}
	const most = 12
	if len(out) > most {
		return strings.Join(out[:most-2], ", ") + ", …, " + out[len(out)-1]
	}
	return strings.Join(out, ", ")
}

// renumber brings the classes into another order, to[c] ≥ 0 for those that are
// there; the values and colours of the others stand for no class any more.
func (t *table) renumber(want []string, to []int) {
	ids := slices.Repeat([]int64{-1}, len(want))
	for c, at := range to {
		if at >= 0 {
			ids[at] = t.ids[c]
		}
	}
	t.names, t.ids = want, ids
	for _, m := range []map[uint32]uint8{t.byValue, t.byColour} {
		for k, c := range m {
			switch {
			case c == Ignore:
			case to[c] >= 0:
				m[k] = uint8(to[c])
			default:
				delete(m, k)
			}
		}
	}
}
