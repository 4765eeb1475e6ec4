package engine

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/masks"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision/report"
)

// hasBackground tells whether class 0 is what is left over.
func hasBackground(classes []string) bool { return strings.EqualFold(classes[0], masks.Background) }

func (j *segment) label(r *run, b *datasets.Batch, i int, t *report.Tile) {
	h, w := r.pre.Size[0], r.pre.Size[1]
	t.Mask = &cv.Mask{W: w, H: h, Pix: slices.Clone(b.Mask[i*h*w : (i+1)*h*w]), Background: hasBackground(r.data.Classes)}
}

func (j *segment) document(r *run, v *Validation, e *report.Evaluation, d *report.Drawings) error {
	e.Segmentation = v.Metrics.Segmentation
	d.Segmentation = e.Segmentation
	return nil
}

func (j *segment) tiles(r *run, v *Validation) (labels, answers, mistakes []report.Tile, err error) {
	p := v.pixels
	background := hasBackground(r.data.Classes)
	tile := func(i int, answer bool) (report.Tile, error) {
		s := p.samples[i]
		im, err := cv.DecodeFile(s.Path)
		if err != nil {
			return report.Tile{}, err
		}
		t := report.Tile{Image: im, Lines: []string{filepath.Base(s.Name)}}
		m := p.found[i]
		if answer {
			t.Lines = append(t.Lines, fmt.Sprintf("mIoU %.3f", p.scores[i]))
		} else if m, err = v.masks.ReadMask(s); err != nil {
			return t, err
		}
		t.Mask = &cv.Mask{W: s.W, H: s.H, Pix: m, Background: background}
		return t, t.Shrink()
	}
	both := func(i int) {
		for answer, to := range map[bool]*[]report.Tile{false: &labels, true: &answers} {
			t, e := tile(i, answer)
			if e != nil {
				err = e
			}
			*to = append(*to, t)
		}
	}
	for _, i := range p.shown {
		if i < len(p.samples) && p.found[i] != nil {
			both(i)
		}
	}
	for _, i := range p.worst { // each beside its mask
		for _, answer := range []bool{false, true} {
			t, e := tile(i, answer)
			if e != nil {
				err = e
			}
			mistakes = append(mistakes, t)
		}
	}
	return labels, answers, mistakes, err
}
