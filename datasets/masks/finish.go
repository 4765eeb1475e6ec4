package masks

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vislora/vislora/datasets"
)

// looked is an image with its mask, both of which can be used so far.
type looked struct {
	entry
	file datasets.FileInfo
	mask *pixels // without its image
	err  error
}

// finish decodes every mask, settles what the values mean, divides the samples
// and says what looks wrong.
func (r *reader) finish() (*Set, error) {
	slices.SortStableFunc(r.entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	all := len(r.entries) + len(r.set.Skipped)
	list, err := r.look()
	if err != nil {
		return nil, err
	}
	if err := r.settle(list); err != nil {
		return nil, err
	}
	hashes, err := r.samples(list)
	if err != nil {
		return nil, err
	}
	set := r.set
	set.Classes, set.CategoryIDs = r.table.names, r.table.ids
	set.Report(&r.problems)
	set.WarnOfSkipped(all)
	if err := set.Divide(hashes, r.opt); err != nil {
		return nil, err
	}
	set.WarnOfCopies(hashes)
	set.Samples = datasets.Fraction(set.Samples, datasets.Train, r.opt.Fraction, r.opt.Seed)
	set.Sort()
	set.WarnOfMissing()
	return &Set{Dataset: set, table: r.table}, nil
}

// look reads all images' headers and decodes all masks. Those that cannot be
// used are left out.
func (r *reader) look() ([]looked, error) {
	paths := make([]string, len(r.entries))
	for i, e := range r.entries {
		paths[i] = e.path
	}
	all := make([]looked, len(paths))
	for i, f := range datasets.Scan(paths, r.opt.Workers) {
		all[i] = looked{entry: r.entries[i], file: f}
	}
	workers := r.opt.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, len(all)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				l := &all[i]
				if l.file.Err != nil {
					continue
				}
				if l.mask, l.err = openMask(l.entry.mask, l.file.W, l.file.H); l.err == nil {
					l.mask.image = nil
				}
			}
		})
	}
	wg.Wait()
	var out []looked
	for _, l := range all {
		switch {
		case l.file.Err != nil:
			// The name stands in front of it already.
			r.set.Skip(l.name, strings.TrimPrefix(l.file.Err.Error(), "read image "+l.path+": "))
		case l.err != nil && l.file.Orientation >= 5:
			r.skipMask(&l, fmt.Errorf("%w (EXIF turns the image, orientation %d: turn its mask, too)", l.err, l.file.Orientation))
		case l.err != nil:
			r.skipMask(&l, l.err)
		default:
			out = append(out, l)
		}
	}
	return out, r.none(len(out))
}

// skipMask leaves an image out for its mask.
func (r *reader) skipMask(l *looked, err error) {
	reason := strings.TrimPrefix(err.Error(), "read image "+l.entry.mask+": ")
	r.set.Skip(l.name, fmt.Sprintf("its mask %s: %s", datasets.Relative(r.set.Root, l.entry.mask), reason))
}

// none is the error of a data set of which nothing is left.
func (r *reader) none(left int) error {
	switch {
	case left > 0:
		return nil
	case len(r.set.Skipped) == 0:
		return fmt.Errorf("read data %s: there are no images (%s)", r.set.Root, datasets.Extensions())
	}
	s := r.set.Skipped[0]
	return fmt.Errorf("read data %s: none of the %d images can be used: %s: %s", r.set.Root, len(r.set.Skipped), s.Name, s.Reason)
}

// samples makes the samples and returns the hashes of their images.
func (r *reader) samples(list []looked) (hashes [][32]byte, err error) {
	for i := range list {
		l := &list[i]
		classes, err := r.table.classes(l.mask)
		if err != nil {
			r.skipMask(l, err)
			continue
		}
		labels := []int{}
		for _, c := range classes {
			if c != Ignore {
				labels = append(labels, int(c))
			}
		}
		slices.Sort(labels)
		r.set.Samples = append(r.set.Samples, datasets.Sample{
			Path: l.path, Name: l.name, Mask: l.entry.mask, Split: l.split, W: l.file.W, H: l.file.H,
			Label: -1, Labels: slices.Compact(labels),
		})
		hashes = append(hashes, l.file.Hash)
		r.doubts(l, classes)
	}
	if err := r.none(len(r.set.Samples)); err != nil {
		return nil, err
	}
	return hashes, r.renumber()
}

// The kinds of problems with masks.
var (
	kindGrey    = datasets.Kind{Name: "mask-grey-colours", Action: datasets.ActionKept, Text: "masks of colours that are all grey, taken as values"}
	kindTurned  = datasets.Kind{Name: "mask-turned", Action: datasets.ActionKept, Text: "images that EXIF turns, their masks were taken to be upright"}
	kindIgnored = datasets.Kind{Name: "mask-ignored", Action: datasets.ActionKept, Text: "masks in which every pixel is ignored"}
	kindOrder   = datasets.Kind{Name: "palette-order", Action: datasets.ActionKept, Text: "palettes in another order than the classes, taken by their colours"}
	kindBinary  = datasets.Kind{Name: "mask-binary", Action: datasets.ActionKept, Text: "masks of 0 and 255 alone, of which 255 was taken as ignored"}
	kindAlone   = datasets.Kind{Name: "mask-without-image", Action: datasets.ActionSkipped, Text: "masks without an image"}
	kindBare    = datasets.Kind{Name: "object-without-outline", Action: datasets.ActionKept, Text: "objects without an outline, their boxes are ignored"}
)

// maskOf is the place of the mask of an image.
func (r *reader) maskOf(l *looked) datasets.Problem {
	name := datasets.Relative(r.set.Root, l.entry.mask)
	return datasets.Problem{Source: name, File: l.name, Place: name}
}

// doubts notes what is odd about a mask that can be read.
func (r *reader) doubts(l *looked, classes map[uint32]uint8) {
	mask := func() datasets.Problem { return r.maskOf(l) }
	if l.mask.colour && r.table.byColour == nil {
		r.problems.Add(kindGrey, mask)
	}
	if l.file.Orientation != 1 {
		r.problems.Add(kindTurned, func() datasets.Problem { return datasets.Problem{File: l.name, Place: l.name} })
	}
	known, differs := false, false
	for _, s := range l.mask.seen {
		c := classes[s.key]
		known = known || c != Ignore
		v, ok := r.table.byValue[s.key]
		differs = differs || ok && v != c
	}
	if !known {
		r.problems.Add(kindIgnored, mask)
	}
	if differs && !l.mask.colour {
		r.problems.Add(kindOrder, mask)
	}
}

// renumber brings the classes into the order of Options.Classes.
func (r *reader) renumber() error {
	want := r.opt.Classes
	if len(want) == 0 || slices.Equal(want, r.table.names) {
		return nil
	}
	to := make([]int, len(r.table.names))
	for c, n := range r.table.names {
		to[c] = slices.Index(want, n)
	}
	var unknown []string
	for i := range r.set.Samples {
		s := &r.set.Samples[i]
		for k, c := range s.Labels {
			if name := r.table.names[c]; to[c] < 0 && !slices.Contains(unknown, name) {
				unknown = append(unknown, name)
			}
			s.Labels[k] = to[c]
		}
		slices.Sort(s.Labels)
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("read data %s: %d of the classes are not in the list of classes (%s): %s", r.set.Root, len(unknown), datasets.Names(want), datasets.Names(unknown))
	}
	r.table.renumber(want, to)
	return nil
}
