package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
)

// doubtKinds are the kinds of doubts in the order in which they are told: about
// all of a kind, and about one of them.
var doubtKinds = []struct {
	kind, all string
	one       func(value float64) string
}{
	{datasets.Duplicate, "two boxes of one class at the same place, delete one", phrase("twice, overlap %.2f")},
	{datasets.Conflict, "two boxes of different classes at the same place, delete one", phrase("two classes, overlap %.2f")},
	{datasets.Loose, "boxes that do not fit their outline", phrase("box and outline, overlap %.2f")},
	{datasets.Whole, "boxes as large as their image", func(v float64) string { return percent(v) + " of the image" }},
	{datasets.Long, fmt.Sprintf("boxes more than %d times as long as wide", datasets.LongRatio), phrase("%.1f times as long as wide")},
	{datasets.Tiny, fmt.Sprintf("boxes less than %d pixels wide or high", datasets.TinySide), phrase("shorter side %.3g")},
	{doubtOneClass, "masks of one class alone", func(float64) string { return "nothing else" }},
	{doubtIgnored, "masks of which hardly anything counts", func(v float64) string { return percent(v) + " ignored" }},
}

func phrase(format string) func(float64) string {
	return func(v float64) string { return fmt.Sprintf(format, v) }
}

// String is the report for people.
func (c *DataCheck) String() string {
	var b strings.Builder
	classes := "1 class"
	if n := len(c.Classes); n != 1 {
		classes = fmt.Sprintf("%d classes", n)
	}
	fmt.Fprintf(&b, "%s: %s, %s", c.Data, c.what(), classes)
	for _, s := range c.order {
		fmt.Fprintf(&b, ", %d %s", c.Images[s], s)
	}
	fmt.Fprintf(&b, "\nwidth %d – %d (median %d), height %d – %d (median %d) pixels\n", c.Sizes[0][0], c.Sizes[0][2], c.Sizes[0][1], c.Sizes[1][0], c.Sizes[1][2], c.Sizes[1][1])
	if c.Enlarged > 0 {
		fmt.Fprintf(&b, "%s smaller than the input, to be enlarged\n", datasets.Count(c.Enlarged, "image"))
	}
	c.table(&b)
	if c.Boxes != nil {
		c.Boxes.text(&b)
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	for _, w := range c.doubtful() {
		fmt.Fprintf(&b, "doubtful: %s\n", w)
	}
	if n := len(c.Problems); n > 0 {
		fmt.Fprintf(&b, "%s in all, each with its file and id: --json\n", datasets.Count(n, "problem"))
	}
	for _, t := range c.Also {
		fmt.Fprintf(&b, "there are labels for --task %s too\n", t)
	}
	for _, p := range c.Pictures {
		fmt.Fprintf(&b, "picture: %s\n", p)
	}
	return b.String()
}

// what is the kind of data in a word or two.
func (c *DataCheck) what() string {
	switch c.Task {
	case vision.Detect:
		return "boxes (" + c.Format + ")"
	case vision.Instance:
		return "instances (" + c.Format + ")"
	case vision.Segment:
		if c.Format == kindMasks.format {
			return c.Format
		}
		return "masks painted from outlines (" + c.Format + ")"
	}
	return c.Format
}

// table has a line for every class.
func (c *DataCheck) table(b *strings.Builder) {
	wide := len("no object")
	for _, n := range c.Classes {
		wide = max(wide, len([]rune(n)))
	}
	row := func(name string, cells func(split string) []string) {
		line := fmt.Sprintf("%-*s", wide, name)
		for _, s := range c.order {
			for _, v := range cells(s) {
				line += fmt.Sprintf("  %6s", v)
			}
		}
		fmt.Fprintln(b, strings.TrimRight(line, " "))
	}
	row("class", func(s string) []string {
		switch {
		case c.Boxes != nil, c.Pixels != nil:
			return []string{s, "images"}
		}
		return []string{s}
	})
	for i, n := range c.Classes {
		row(n, func(s string) []string {
			images := fmt.Sprint(c.Splits[s][i])
			switch {
			case c.Boxes != nil:
				return []string{fmt.Sprint(c.Boxes.Objects[s][i]), images}
			case c.Pixels != nil:
				return []string{percent(c.Pixels.share(s, i)), images}
			}
			return []string{images}
		})
	}
	switch {
	case c.Boxes != nil:
		row("all", func(s string) []string {
			sum := 0
			for _, n := range c.Boxes.Objects[s] {
				sum += n
			}
			return []string{fmt.Sprint(sum), fmt.Sprint(c.Images[s])}
		})
		row("no object", func(s string) []string { return []string{"", fmt.Sprint(c.Boxes.Empty[s])} })
	case c.Pixels != nil:
		row("ignored", func(s string) []string {
			all := c.Pixels.Ignored[s]
			for _, n := range c.Pixels.Pixels[s] {
				all += n
			}
			return []string{percent(float64(c.Pixels.Ignored[s]) / float64(max(all, 1))), ""}
		})
	}
}

// percent is a share in few letters: small ones keep a digit.
func percent(v float64) string {
	switch {
	case v == 0:
		return "0 %"
	case v < .0001:
		return "<.01%"
	case v < .01:
		return fmt.Sprintf("%.2f %%", 100*v)
	}
	return fmt.Sprintf("%.1f %%", 100*v)
}

// text tells how large the boxes are and how many an image has.
func (c *BoxCheck) text(b *strings.Builder) {
	n := c.Areas.Small + c.Areas.Medium + c.Areas.Large
	p := c.PerImage
	fmt.Fprintf(b, "objects per image: %d – %d (median %d, mean %.1f)", p.Smallest, p.Most, p.Median, p.Mean)
	if c.Outlined > 0 {
		fmt.Fprintf(b, ", %d of %d with an outline", c.Outlined, n+c.Crowds)
	}
	if c.Crowds > 0 {
		fmt.Fprintf(b, ", %s not counted", datasets.Count(c.Crowds, "crowd"))
	}
	b.WriteByte('\n')
	if n == 0 {
		return
	}
	part := func(k int) string { return percent(float64(k) / float64(n)) }
	fmt.Fprintf(b, "sizes as COCO counts: %d small (up to 32² pixels, %s), %d medium (%s), %d large (from 96² on, %s)\n",
		c.Areas.Small, part(c.Areas.Small), c.Areas.Medium, part(c.Areas.Medium), c.Areas.Large, part(c.Areas.Large))
	b.WriteString("side of a box (root of its area) as a share of its image's:\n")
	histogram(b, c.Relative, func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) })
	if in := c.Input; in != nil {
		fmt.Fprintf(b, "in pixels of an input of %d×%d:\n", in.ImgSz, in.ImgSz)
		histogram(b, in.Pixels, func(v float64) string { return fmt.Sprintf("%.0f", v) })
	}
}

// histogram draws bins as bars, from the first to the last that is not empty.
func histogram(b *strings.Builder, bins []Bin, label func(float64) string) {
	most, first, last := 1, -1, 0
	for i, x := range bins {
		most = max(most, x.Count)
		if x.Count > 0 {
			if last = i; first < 0 {
				first = i
			}
		}
	}
	for _, x := range bins[max(first, 0) : last+1] {
		edge := "from " + label(x.From)
		if x.To > 0 {
			edge = label(x.From) + " – " + label(x.To)
		}
		bar := strings.Repeat("█", 40*x.Count/most)
		if bar == "" && x.Count > 0 {
			bar = "▏"
		}
		fmt.Fprintln(b, strings.TrimRight(fmt.Sprintf("  %12s  %6d  %s", edge, x.Count, bar), " "))
	}
}

// doubtful is a line for every kind of doubt.
func (c *DataCheck) doubtful() []string {
	var p datasets.Problems
	for _, k := range doubtKinds {
		for _, x := range c.Doubts {
			if x.Kind == k.kind {
				p.Add(datasets.Kind{Name: k.kind, Text: k.all}, func() datasets.Problem {
					return datasets.Problem{Place: x.place(c.Format) + " (" + x.about() + ")"}
				})
			}
		}
	}
	out := p.Warnings()
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	if b := c.Boxes; b != nil {
		if n := len(b.EmptyImages); n > 0 {
			add("images without an object, taken as background: %d of %d: %s", n, c.total(), datasets.Names(b.EmptyImages))
		}
		if b.Boxed > 0 {
			add("outlines that are no more than the box, not to learn masks from: %d of %d", b.Boxed, b.Boxed+b.Outlined)
		}
		if len(b.Rare) > 0 {
			add("classes with fewer than %d objects to learn from: %d of %d: %s", fewBoxes, len(b.Rare), len(c.Classes), datasets.Names(counted(c.Classes, b.Rare, "%d")))
		}
		if len(b.Crowded) > 0 {
			add("images with more than %d objects, of which training takes no more: %d: %s", mostObjects, len(b.Crowded), datasets.Names(counted(slices.Sorted(maps.Keys(b.Crowded)), b.Crowded, "%d")))
		}
		if in := b.Input; in != nil && in.Below2 > 0 {
			add("boxes less than 2 pixels wide or high in an input of %d×%d: %d, %d of them less than 1: nothing is left to see: use a larger --imgsz or cut the images into tiles", in.ImgSz, in.ImgSz, in.Below2, in.Below1)
		}
	}
	if m := c.Pixels; m != nil && len(m.Rare) > 0 {
		shares := map[string]string{}
		for n, v := range m.Rare {
			shares[n] = percent(v)
		}
		add("classes with less than %s of the pixels: %d of %d: %s", percent(fewPixels), len(m.Rare), len(c.Classes), datasets.Names(counted(c.Classes, shares, "%s")))
	}
	return out
}

func (c *DataCheck) total() (n int) {
	for _, k := range c.Images {
		n += k
	}
	return n
}

// counted lists the names that have a value, in their order, with it.
func counted[T any](names []string, values map[string]T, format string) (out []string) {
	for _, n := range names {
		if v, ok := values[n]; ok {
			out = append(out, fmt.Sprintf("%s ("+format+")", n, v))
		}
	}
	return out
}

// place says where a doubt is: "a.jpg: image 42: boxes 3 and 7".
func (c *CheckDoubt) place(format string) string {
	out := c.File
	if c.Image != nil {
		out += fmt.Sprintf(": image %d", *c.Image)
	}
	if len(c.Objects) == 0 {
		return out
	}
	noun := map[string]string{kindCOCO.format: "box", kindYOLO.format: "line"}[format]
	if noun == "" {
		noun = "object"
	}
	if len(c.Objects) == 1 {
		return fmt.Sprintf("%s: %s %d", out, noun, c.Objects[0])
	}
	plural := noun + "s"
	if noun == "box" {
		plural = "boxes"
	}
	return fmt.Sprintf("%s: %s %d and %d", out, plural, c.Objects[0], c.Objects[1])
}

// about says what a doubt is about: the classes, and the value in a phrase.
func (c *CheckDoubt) about() string {
	var out []string
	for _, n := range c.Names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	for _, k := range doubtKinds {
		if k.kind == c.Kind {
			out = append(out, k.one(c.Value))
		}
	}
	return strings.Join(out, ", ")
}
