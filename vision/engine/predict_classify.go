package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// classAnswers are those of a classifier.
type classAnswers struct {
	loaded *Loaded
	top    int
}

func (l *Loaded) classAnswers(c PredictConfig) (answers, error) {
	top := c.Top
	if top == 0 {
		top = 5
	}
	return &classAnswers{l, min(top, len(l.Classes))}, nil
}

func (a *classAnswers) read(f *frame, to *answer) error {
	for k, p := range a.loaded.probability(nil, f.out) {
		to.Predictions = append(to.Predictions, vision.Prediction{Class: k, Name: a.loaded.Classes[k], Score: p})
	}
	slices.SortStableFunc(to.Predictions, func(a, b vision.Prediction) int { return cmp.Compare(b.Score, a.Score) })
	return nil
}

func (a *classAnswers) files(string, string, *answer) error { return nil }

func (a *classAnswers) lines(p []vision.Prediction) []string {
	var lines []string
	for _, q := range p[:a.top] {
		lines = append(lines, fmt.Sprintf("%s %.3f", q.Name, q.Score))
	}
	return lines
}

func (a *classAnswers) draw(im *vision.Image, of *answer) (*vision.Image, error) {
	im, _, err := enlarged(im)
	if err != nil {
		return nil, err
	}
	return im, cv.Annotate(im, a.lines(of.Predictions))
}

func (a *classAnswers) columns() []string { return []string{"class", "name", "score"} }

func (a *classAnswers) rows(p []vision.Prediction) [][]string {
	return [][]string{{fmt.Sprint(p[0].Class), p[0].Name, fmt.Sprintf("%.6f", p[0].Score)}}
}

func (a *classAnswers) summary(p []vision.Prediction) string { return strings.Join(a.lines(p), ", ") }

// probabilities are those of all samples, one after the other.
func (l *Loaded) probabilities(s *scores) []float64 {
	var p []float64
	for i := 0; i < len(s.Logits); i += s.Classes {
		p = l.probability(p, s.Logits[i:i+s.Classes])
	}
	return p
}

// probability appends what logits mean: a softmax over the classes, or, when
// several can be true of one image, a sigmoid for each. (Logits are the values
// before a model's own softmax, where it has one.)
func (l *Loaded) probability(p []float64, logits []float32) []float64 {
	if l.MultiLabel {
		for _, v := range logits {
			p = append(p, 1/(1+math.Exp(-float64(v))))
		}
		return p
	}
	top, sum, from := slices.Max(logits), 0.0, len(p)
	for _, v := range logits {
		e := math.Exp(float64(v - top))
		p, sum = append(p, e), sum+e
	}
	for i := from; i < len(p); i++ {
		p[i] /= sum
	}
	return p
}
