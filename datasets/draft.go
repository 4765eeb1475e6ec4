package datasets

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vislora/vislora/vision"
)

// Draft is a data set of images with objects as its annotation files describe
// it. [Draft.Finish] looks at the images and makes the data set.
type Draft struct {
	// Set has the root, the classes and the warnings so far.
	Set     *Dataset
	Options Options
	Images  []DraftImage
	// Problems are those of the annotations.
	Problems Problems
	// Where names an object for a message: "val.json: image 42: box 3".
	Where func(im *DraftImage, o *vision.Object) string
}

// DraftImage is one image of a [Draft].
type DraftImage struct {
	// Path, Name, Split and ID become those of the sample. Source is the
	// annotation file, for messages.
	Path, Name, Split, Source string
	ID                        int64
	// W and H are the size that the annotations are made for, 0 when it is not
	// known. Relative objects are in shares of the image's width and height.
	W, H     float64
	Relative bool
	Objects  []vision.Object
}

// Place is where an object is; without one, its image.
func (d *Draft) Place(im *DraftImage, o *vision.Object) Problem {
	p := Problem{Source: im.Source, File: im.Name, Place: im.Source + ": " + im.Name}
	if d.Set.ImageIDs {
		p.Image = new(im.ID)
	}
	if o != nil {
		p.Annotations, p.Place = []int64{o.ID}, d.Where(im, o)
	}
	return p
}

// The kinds of problems with the sizes of images.
var (
	kindSize   = Kind{"image-size-impossible", ActionKept, "impossible sizes of images, those of the files were used"}
	kindScaled = Kind{"image-size-differs", ActionKept, "images with another size than annotated, the annotations were scaled"}
)

// Finish reads every image file, brings the objects into its pixels, divides
// the samples and warns of what looks wrong. Images and objects that cannot be
// used are left out, counted and named.
func (d *Draft) Finish() (*Dataset, error) {
	set := d.Set
	if err := d.renumber(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(d.Images, func(a, b DraftImage) int { return cmp.Compare(a.Name, b.Name) })
	paths := make([]string, len(d.Images))
	for i, im := range d.Images {
		paths[i] = im.Path
	}
	all := len(d.Images) + len(set.Skipped)
	var hashes [][32]byte
	for i, f := range Scan(paths, d.Options.Workers) {
		im := &d.Images[i]
		if f.Err != nil {
			set.Skip(im.Name, strings.TrimPrefix(f.Err.Error(), "read image "+im.Path+": "))
			continue
		}
		sx, sy, err := d.scale(im, float64(f.W), float64(f.H))
		if err != nil {
			set.Skip(im.Name, err.Error())
			continue
		}
		s := Sample{Path: im.Path, Name: im.Name, Split: im.Split, ImageID: im.ID, W: f.W, H: f.H, Label: -1, Labels: []int{}}
		if !im.Relative && (sx != 1 || sy != 1) {
			s.Scale = [2]float64{sx, sy}
		}
		s.Objects = d.objects(im, f.W, f.H, sx, sy)
		for i := range s.Objects {
			s.Labels = append(s.Labels, s.Objects[i].Class)
		}
		slices.Sort(s.Labels)
		s.Labels = slices.Compact(s.Labels)
		set.Samples = append(set.Samples, s)
		hashes = append(hashes, f.Hash)
	}
	d.Images = nil
	if len(set.Samples) == 0 {
		if len(set.Skipped) == 0 {
			return nil, fmt.Errorf("read data %s: there are no images", set.Root)
		}
		s := set.Skipped[0]
		return nil, fmt.Errorf("read data %s: none of the %d images can be used: %s: %s", set.Root, len(set.Skipped), s.Name, s.Reason)
	}
	set.Report(&d.Problems)
	set.WarnOfSkipped(all)
	if err := set.Divide(hashes, d.Options); err != nil {
		return nil, err
	}
	set.WarnOfCopies(hashes)
	set.Samples = Fraction(set.Samples, Train, d.Options.Fraction, d.Options.Seed)
	set.Sort()
	d.warnOfBare()
	set.WarnOfMissing()
	return set, nil
}

// renumber brings the classes into the order of Options.Classes.
func (d *Draft) renumber() error {
	set, want := d.Set, d.Options.Classes
	if len(want) == 0 {
		if len(set.Classes) == 0 {
			return fmt.Errorf("read data %s: there are no classes", set.Root)
		}
		return nil
	}
	to := make([]int, len(set.Classes))
	ids := slices.Repeat([]int64{-1}, len(want))
	for c, name := range set.Classes {
		if to[c] = slices.Index(want, name); to[c] >= 0 && c < len(set.CategoryIDs) {
			ids[to[c]] = set.CategoryIDs[c]
		}
	}
	var unknown []string
	for i := range d.Images {
		for k := range d.Images[i].Objects {
			o := &d.Images[i].Objects[k]
			name := set.Classes[o.Class]
			if o.Class = to[o.Class]; o.Class < 0 && !slices.Contains(unknown, name) {
				unknown = append(unknown, name)
			}
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("read data %s: %d of the classes are not in the list of classes (%s): %s", set.Root, len(unknown), Names(want), Names(unknown))
	}
	if set.CategoryIDs != nil {
		set.CategoryIDs = ids
	}
	set.Classes = want
	return nil
}

// plausible is whether a side of an image can be one.
func plausible(v float64) bool { return v >= 1 && v <= 1<<20 }

// scale is the factor from annotated coordinates to pixels of the file. It is
// an error when the annotations belong to a picture of another shape.
func (d *Draft) scale(im *DraftImage, w, h float64) (sx, sy float64, err error) {
	switch {
	case im.Relative:
		return w, h, nil
	case im.W == 0 && im.H == 0, im.W == w && im.H == h:
		return 1, 1, nil
	case !plausible(im.W) || !plausible(im.H):
		d.Problems.Add(kindSize, func() Problem {
			p := d.Place(im, nil)
			p.What = fmt.Sprintf("%v×%v", im.W, im.H)
			return p
		})
		return 1, 1, nil
	}
	// The same picture, larger or smaller: each side within a pixel.
	if e := math.Abs(im.W*h-im.H*w) / math.Max(im.W, im.H); e > 1 {
		return 0, 0, fmt.Errorf("the file has %v×%v pixels, its annotations are for %v×%v: turn or replace the image", w, h, im.W, im.H)
	}
	d.Problems.Add(kindScaled, func() Problem {
		p := d.Place(im, nil)
		p.What = fmt.Sprintf("%v×%v, annotated for %v×%v", w, h, im.W, im.H)
		return p
	})
	return w / im.W, h / im.H, nil
}

// warnOfBare names the classes without any object.
func (d *Draft) warnOfBare() {
	n := make([]int, len(d.Set.Classes))
	for i := range d.Set.Samples {
		for _, o := range d.Set.Samples[i].Objects {
			n[o.Class]++
		}
	}
	var bare []string
	for c, name := range d.Set.Classes {
		if n[c] == 0 {
			bare = append(bare, name)
		}
	}
	if len(bare) > 0 {
		d.Set.Warn("classes without an object: %d of %d: %s", len(bare), len(n), Names(bare))
	}
}
