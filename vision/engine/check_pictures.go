package engine

import (
	"fmt"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/masks"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/plot"
	"github.com/vislora/vislora/vision/report"
	"github.com/vislora/vislora/vision/transform"
)

// doubtImages is the number of doubts that are drawn.
const doubtImages = 12

// checkSheets collects the pictures of a check in a folder.
type checkSheets struct {
	dir   string
	data  *datasets.Dataset
	files []string
}

func newCheckSheets(c CheckConfig, d *datasets.Dataset) (*checkSheets, error) {
	return &checkSheets{dir: c.Out, data: d}, os.MkdirAll(c.Out, 0o755)
}

// image is that of a sample; false after a warning that there is none, which a
// quick check has not seen.
func (s *checkSheets) image(i int) (*vision.Image, bool) {
	im, err := cv.DecodeFile(s.data.Samples[i].Path)
	if err != nil {
		s.data.Warn("not drawn: %v", err)
	}
	return im, err == nil
}

// labels draws labels.png.
func (s *checkSheets) labels(d report.Drawings) error {
	pics, err := report.Plots(s.dir, d)
	if err == nil && pics.Labels != "" {
		s.files = append(s.files, filepath.Join(s.dir, pics.Labels))
	}
	return err
}

// sheet draws tiles with the names of their colours; without a tile an older
// sheet is removed, for it would be taken for this one's.
func (s *checkSheets) sheet(name string, tiles []report.Tile) error {
	to := filepath.Join(s.dir, name)
	if len(tiles) == 0 {
		_ = os.Remove(to)
		return nil
	}
	if err := drawSheet(to, tiles, s.data.Classes); err != nil {
		return err
	}
	s.files = append(s.files, to)
	return nil
}

// drawBoxCheck draws the classes and sizes of the boxes, random images, doubtful
// boxes, and what training makes of some images.
func drawBoxCheck(c CheckConfig, d *datasets.Dataset, doubts []datasets.Doubt) ([]string, error) {
	s, err := newCheckSheets(c, d)
	if err != nil {
		return nil, err
	}
	draw := report.Drawings{Classes: d.Classes}
	for _, split := range d.Splits() {
		counts := make([]int, len(d.Classes))
		for _, sm := range d.Split(split) {
			for _, o := range sm.Objects {
				if !o.Crowd {
					counts[o.Class]++
				}
			}
			draw.Boxes = append(draw.Boxes, report.LabelBoxes(sm.Objects, sm.W, sm.H)...)
		}
		draw.Counts = append(draw.Counts, plot.Split{Name: split, Counts: counts})
	}
	if err := s.labels(draw); err != nil {
		return nil, err
	}
	var tiles []report.Tile
	var scenes []transform.Scene
	for _, i := range randomly(len(d.Samples), doubtImages, c.Seed) {
		sm := &d.Samples[i]
		im, ok := s.image(i)
		if !ok {
			continue
		}
		lines := []string{path.Base(sm.Name), fmt.Sprintf("%s, %s", sm.Split, datasets.Count(len(sm.Objects), "object"))}
		t := report.Tile{Image: im, Boxes: boxesOf(sm.Objects, d.Classes), Lines: lines}
		if err := t.Shrink(); err != nil {
			return nil, err
		}
		tiles = append(tiles, t)
		if len(scenes) < 4 && len(sm.Objects) > 0 {
			scenes = append(scenes, transform.Scene{Image: im, Objects: sm.Objects})
		}
	}
	if err := s.sheet("samples.jpg", tiles); err != nil {
		return nil, err
	}
	if err := s.sheet("doubts.jpg", s.doubts(doubts)); err != nil || len(scenes) == 0 {
		return s.files, err
	}
	pre, err := vision.Preset("yolo")
	if err != nil {
		return nil, err
	}
	pre.Size = [2]int{416, 416}
	if c.ImgSz > 0 {
		pre.Size = [2]int{c.ImgSz, c.ImgSz}
	}
	page, err := transform.SceneSheet(scenes, pre, transform.DefaultSceneAugment(), c.Seed)
	if err != nil {
		return nil, err
	}
	to := filepath.Join(c.Out, "augmentation.jpg")
	return append(s.files, to), cv.WriteFile(to, page)
}

// boxesOf are objects as they are drawn, with the outlines that say more than the
// boxes.
func boxesOf(objects []vision.Object, names []string) []cv.Box {
	out := cv.Objects(objects, names, true)
	for i := range out {
		if !outlined(&objects[i]) {
			out[i].Polygons = nil
		}
	}
	return out
}

// randomly picks so many of n things at random, in their order.
func randomly(n, most int, seed uint64) []int {
	out := rand.New(rand.NewPCG(seed, 0)).Perm(n)[:min(most, n)]
	slices.Sort(out)
	return out
}

// chosen are the doubts that are drawn: as many of each kind as there is room
// for, spread over the data.
func chosen(doubts []datasets.Doubt, most int) (out []datasets.Doubt) {
	byKind := map[string][]datasets.Doubt{}
	for _, x := range doubts {
		byKind[x.Kind] = append(byKind[x.Kind], x)
	}
	room := map[string]int{}
	for left := min(most, len(doubts)); left > 0; {
		for _, k := range doubtKinds {
			if left > 0 && room[k.kind] < len(byKind[k.kind]) {
				room[k.kind]++
				left--
			}
		}
	}
	for _, k := range doubtKinds {
		list := byKind[k.kind]
		for _, i := range evenly(len(list), room[k.kind]) {
			out = append(out, list[i])
		}
	}
	return out
}

// doubts cuts doubtful boxes out of their images, with as much around them.
func (s *checkSheets) doubts(all []datasets.Doubt) (out []report.Tile) {
	d := s.data
	list := chosen(all, doubtImages)
	told := describeDoubts(d, list)
	for i, x := range list {
		im, ok := s.image(x.Sample)
		if !ok {
			continue
		}
		objects := d.Samples[x.Sample].Objects
		around := objects[x.Objects[0]].Box
		for _, k := range x.Objects[1:] {
			b := objects[k].Box
			around = vision.Box{X1: min(around.X1, b.X1), Y1: min(around.Y1, b.Y1), X2: max(around.X2, b.X2), Y2: max(around.Y2, b.Y2)}
		}
		cut, at := surroundings(im, around)
		t := report.Tile{Image: cut, Lines: []string{told[i].about(), path.Base(told[i].File)}}
		for k, b := range cv.Objects(objects, d.Classes, x.Kind == datasets.Loose) {
			move(&b, at)
			if slices.Contains(x.Objects, k) {
				b.Name = fmt.Sprintf("%s #%d", b.Name, objects[k].ID)
				t.Boxes = slices.Insert(t.Boxes, 0, b)
			} else if b.Box.Clip(float64(cut.W), float64(cut.H)).Area() > 0 {
				t.Boxes = append(t.Boxes, cv.Box{Box: b.Box, Dashed: true, Color: color.RGBA{160, 160, 160, 255}})
			}
		}
		out = append(out, t)
	}
	return out
}

// move brings a box into a cut that begins at a point.
func move(b *cv.Box, at [2]float64) {
	b.Mask = nil // is as large as the image
	b.Box = vision.Box{X1: b.Box.X1 - at[0], Y1: b.Box.Y1 - at[1], X2: b.Box.X2 - at[0], Y2: b.Box.Y2 - at[1]}
	moved := make([][]float64, len(b.Polygons))
	for i, p := range b.Polygons {
		for k, v := range p {
			moved[i] = append(moved[i], v-at[k%2])
		}
	}
	b.Polygons = moved
}

// surroundings cuts a box out of an image, with about as much around it as it is
// large, and says where the cut begins.
func surroundings(im *vision.Image, b vision.Box) (*vision.Image, [2]float64) {
	side := math.Max(2*math.Max(b.X2-b.X1, b.Y2-b.Y1), math.Max(.15*float64(max(im.W, im.H)), 48))
	span := func(middle float64, n int) (int, int) {
		low := math.Floor(min(max(middle-side/2, 0), math.Max(float64(n)-side, 0)))
		low = min(low, float64(n-1))
		return int(low), max(int(math.Ceil(min(low+side, float64(n)))), int(low)+1)
	}
	x0, x1 := span((b.X1+b.X2)/2, im.W)
	y0, y1 := span((b.Y1+b.Y2)/2, im.H)
	cut := vision.NewImage(x1-x0, y1-y0)
	for y := range cut.H {
		copy(cut.Pix[3*y*cut.W:][:3*cut.W], im.Pix[3*((y0+y)*im.W+x0):])
	}
	return cut, [2]float64{float64(x0), float64(y0)}
}

// drawMaskCheck draws the images of each class, random images with their masks,
// and doubtful masks.
func drawMaskCheck(c CheckConfig, d *masks.Set, found *MaskCheck) ([]string, error) {
	s, err := newCheckSheets(c, d.Dataset)
	if err != nil {
		return nil, err
	}
	draw := report.Drawings{Classes: d.Classes}
	for _, split := range d.Splits() {
		draw.Counts = append(draw.Counts, plot.Split{Name: split, Counts: d.Counts(split)})
	}
	if err := s.labels(draw); err != nil {
		return nil, err
	}
	add := func(to *[]report.Tile, i int, more ...string) error {
		sm := d.Samples[i]
		im, ok := s.image(i)
		if !ok {
			return nil
		}
		m, err := d.ReadMask(sm)
		lines := append([]string{path.Base(sm.Name), sm.Split}, more...)
		t := report.Tile{Image: im, Lines: lines, Mask: &cv.Mask{W: sm.W, H: sm.H, Pix: m, Background: hasBackground(d.Classes)}}
		if err == nil {
			err = t.Shrink()
		}
		*to = append(*to, t)
		return err
	}
	var random, odd []report.Tile
	for _, i := range randomly(len(d.Samples), doubtImages, c.Seed) {
		if err := add(&random, i); err != nil {
			return nil, err
		}
	}
	list := chosen(found.odd, doubtImages)
	for i, told := range describeDoubts(d.Dataset, list) {
		if err := add(&odd, list[i].Sample, told.about()); err != nil {
			return nil, err
		}
	}
	if err := s.sheet("samples.jpg", random); err != nil {
		return nil, err
	}
	err = s.sheet("doubts.jpg", odd)
	return s.files, err
}
