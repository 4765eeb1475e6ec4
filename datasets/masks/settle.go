package masks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/vislora/vislora/datasets"
)

const (
	// mostLevels is how many greys can be drawn to be told apart.
	mostLevels = 8
	// mostUnnamed is how many values are taken for classes that nobody names.
	mostUnnamed = 64
)

// settle decides what the values in the masks stand for, as far as no file tells
// it.
func (r *reader) settle(list []looked) error {
	values := r.values(list)
	spread := isSpread(values)
	if r.table == nil {
		if err := r.unnamed(values, spread); err != nil {
			return err
		}
	}
	t := r.table
	if spread && !t.explicit && len(values) == len(t.names) && len(t.byValue) == len(t.names) {
		clear(t.byValue)
		for i, v := range values {
			t.byValue[v], t.ids[i] = uint8(i), int64(v)
		}
		t.explicit = true
		last := len(values) - 1
		r.set.Warn("the masks hold the values %s and no others: they were taken as the classes %s, also %d, which else means ignored: a classes.txt with lines like \"%d %s\" says it for sure",
			valuesText(values), datasets.Names(t.names), values[last], values[last], t.names[last])
	}
	for _, l := range list {
		if !l.mask.colour && !t.explicit && isSpread(keys(l.mask)) {
			r.problems.Add(kindBinary, func() datasets.Problem { return r.maskOf(&l) })
		}
	}
	return nil
}

// values are those of all masks of values.
func (r *reader) values(list []looked) []uint32 {
	all := map[uint32]bool{}
	for _, l := range list {
		if l.mask.colour && (r.table != nil && r.table.byColour != nil || !grey(l.mask)) {
			continue
		}
		for _, k := range keys(l.mask) {
			all[k] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func grey(p *pixels) bool {
	return !slices.ContainsFunc(p.seen, func(s spot) bool { return !isGrey(s.key) })
}

// keys are the values of a mask; of colours, their blue.
func keys(p *pixels) []uint32 {
	var out []uint32
	for _, s := range p.seen {
		if p.colour {
			s.key &= 0xff
		}
		out = append(out, s.key)
	}
	return out
}

// isSpread tells values that are spread evenly from 0 to the highest there is,
// such as 0 and 255, or 0, 128 and 255: greys to be looked at.
func isSpread(values []uint32) bool {
	n := len(values)
	if n < 2 || n > mostLevels || values[0] != 0 || !white(values[n-1]) {
		return false
	}
	for i, v := range values {
		// 127 and 128 are both half of 255.
		if d := int(v)*(n-1) - i*int(values[n-1]); d >= n || d <= -n {
			return false
		}
	}
	return true
}

// unnamed makes a class of every value, or gives the values the names of
// Options.Classes.
func (r *reader) unnamed(values []uint32, spread bool) error {
	var list []class
	add := func(name string, value int) {
		list = append(list, class{name: name, value: value, colour: -1, line: len(list) + 1})
	}
	want := r.opt.Classes
	byNumber := !slices.ContainsFunc(want, func(s string) bool { return !isNumber(s) })
	switch {
	case len(want) > 0 && byNumber:
		for _, s := range want {
			v, _ := strconv.Atoi(s)
			add(s, v)
		}
	case len(want) > 0:
		for _, s := range want {
			add(s, -1)
		}
	default:
		for _, v := range values {
			if spread || !white(v) {
				add(strconv.Itoa(int(v)), int(v))
			}
		}
	}
	switch {
	case len(list) == 0 && len(values) > 0:
		return fmt.Errorf("read data %s: the masks hold no value but %s, which means ignored: if it is a class, say so in a classes.txt with lines like \"255 cell\"", r.set.Root, valuesText(values))
	case len(list) == 0:
		// All masks have colours: each will be named.
	case len(list) > mostUnnamed && len(want) == 0:
		return fmt.Errorf("read data %s: the masks hold %d values (%s) and no file names the classes: list them in a classes.txt; values in between come from masks that were resized or saved as JPEG", r.set.Root, len(list), valuesText(values))
	case len(want) == 0:
		r.set.Warn("no file names the classes, they are called by their values: add a classes.txt, or a data.yaml with names")
		if len(list) == 1 {
			r.set.Warn("the masks hold one class, %s: there is nothing to tell apart", list[0].name)
		}
		if spread {
			r.set.Warn("the masks hold the values %s and no others: each was taken as a class, also %d, which else means ignored: a classes.txt says it for sure", valuesText(values), values[len(values)-1])
		}
	}
	var err error
	if r.table, err = newTable(list); err != nil {
		return fmt.Errorf("read data %s: classes: %w", r.set.Root, err)
	}
	return nil
}

func isNumber(s string) bool {
	v, err := strconv.Atoi(s)
	return err == nil && v >= 0 && v <= mostValue
}
