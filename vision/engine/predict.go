package engine

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// PredictConfig says what to predict.
type PredictConfig struct {
	Weights, Model, Names string
	// Source is an image, a folder (searched below), or a pattern.
	Source     string
	ImgSz      int
	Batch      int
	Threads    int
	Workers    int
	Top        int // classes drawn on each picture, default 5
	Preprocess PreprocessOptions
	Project    string // default runs/predict
	Name       string // default predict
	ExistOK    bool
	SaveJSON   bool
	SaveLogits bool
	// NoSave draws no pictures and makes no directory.
	NoSave bool
	Log    func(format string, args ...any)
}

// ImagePredictions is one image's result, as predictions.json has it.
type ImagePredictions struct {
	File        string              `json:"file"`
	Width       int                 `json:"width"`
	Height      int                 `json:"height"`
	Predictions []vision.Prediction `json:"predictions"`
	Logits      []float32           `json:"logits,omitempty"`
}

// Predictions is what Predict ends with.
type Predictions struct {
	Dir     string
	Images  []ImagePredictions
	Skipped []datasets.Skipped
}

// imageExtensions are those that the decoders read.
var imageExtensions = []string{".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}

// findImages lists what a source names, sorted.
func findImages(source string) ([]string, error) {
	if source == "" {
		return nil, errors.New("no source given: use --source FILE, FOLDER or a pattern")
	}
	st, err := os.Stat(source)
	switch {
	case err == nil && !st.IsDir():
		return []string{source}, nil
	case err == nil:
		var out []string
		err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !d.IsDir() && slices.Contains(imageExtensions, strings.ToLower(filepath.Ext(path))) && !strings.HasPrefix(d.Name(), ".") {
				out = append(out, path)
			}
			return nil
		})
		if err == nil && len(out) == 0 {
			err = fmt.Errorf("%s: no image in it (%s)", source, strings.Join(imageExtensions, " "))
		}
		return out, err
	}
	out, gerr := filepath.Glob(source)
	if gerr != nil {
		return nil, fmt.Errorf("source %q: %w", source, gerr)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("source %q: no such file, and no file matches it as a pattern", source)
	}
	return out, nil
}

// Predict classifies images, draws the answers on them and writes tables.
func Predict(ctx context.Context, c PredictConfig) (*Predictions, error) {
	if c.Top < 0 {
		return nil, fmt.Errorf("top is %d: use 1 or more", c.Top)
	}
	files, err := findImages(c.Source)
	if err != nil {
		return nil, err
	}
	l, err := OpenWeights(WeightsOptions{Weights: c.Weights, Model: c.Model, Names: c.Names, ImgSz: c.ImgSz, Preprocess: c.Preprocess})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if c.Log != nil {
		c.Log("input    %d×%d, %s, from %s", l.Height, l.Width, describePreprocess(l.Pre), l.Source)
		if l.Decoder != "" && l.Decoder != cv.DecoderName() {
			c.Log("note     trained with the image decoder %s, this build has %s: JPEG pixels differ a little", l.Decoder, cv.DecoderName())
		}
	}
	out := &Predictions{}
	var samples []datasets.Sample
	infos := datasets.Scan(files, c.Workers)
	for i, f := range files {
		if infos[i].Err != nil {
			out.Skipped = append(out.Skipped, datasets.Skipped{Name: f, Reason: infos[i].Err.Error()})
			continue
		}
		samples = append(samples, datasets.Sample{Path: f, Name: f, Label: -1, W: infos[i].W, H: infos[i].H, Index: len(samples)})
	}
	if len(samples) == 0 {
		return nil, fmt.Errorf("none of the %d images can be read: %s", len(files), firstReason(out.Skipped))
	}
	s, err := openSession(c.Threads)
	if err != nil {
		return nil, err
	}
	defer s.close()
	batch := min(max(c.Batch, 1), len(samples))
	if c.Batch == 0 {
		batch = min(16, len(samples))
	}
	ev := newEvaluator(l.Network, s, l.Pre, batch, c.Workers, nil)
	defer ev.close()
	sc, err := ev.logits(ctx, samples)
	if err != nil {
		return nil, err
	}
	out.Skipped = append(out.Skipped, sc.Skipped...)
	probs := l.probabilities(sc)
	for i, sm := range sc.Samples {
		ip := ImagePredictions{File: sm.Path, Width: sm.W, Height: sm.H}
		for k, p := range probs[i*sc.Classes : (i+1)*sc.Classes] {
			ip.Predictions = append(ip.Predictions, vision.Prediction{Class: k, Name: l.Classes[k], Score: p})
		}
		slices.SortStableFunc(ip.Predictions, func(a, b vision.Prediction) int { return cmp.Compare(b.Score, a.Score) })
		if c.SaveLogits {
			ip.Logits = slices.Clone(sc.Logits[i*sc.Classes : (i+1)*sc.Classes])
		}
		out.Images = append(out.Images, ip)
	}
	if c.NoSave {
		return out, nil
	}
	return out, out.save(c)
}

// probabilities turns logits into scores: a softmax over the classes, or, when
// several can be true of one image, a sigmoid for each. (Logits are the values
// before a model's own softmax, where it has one.)
func (l *Loaded) probabilities(s *scores) []float64 {
	p := make([]float64, len(s.Logits))
	for i := 0; i < len(p); i += s.Classes {
		row := s.Logits[i : i+s.Classes]
		if l.MultiLabel {
			for k, v := range row {
				p[i+k] = 1 / (1 + math.Exp(-float64(v)))
			}
			continue
		}
		top := slices.Max(row)
		sum := 0.0
		for k, v := range row {
			p[i+k] = math.Exp(float64(v - top))
			sum += p[i+k]
		}
		for k := range row {
			p[i+k] /= sum
		}
	}
	return p
}

func (p *Predictions) save(c PredictConfig) error {
	project, name := c.Project, c.Name
	if project == "" {
		project = filepath.Join("runs", "predict")
	}
	if name == "" {
		name = "predict"
	}
	dir, err := makeRunDir(project, name, c.ExistOK)
	if err != nil {
		return err
	}
	p.Dir = dir
	top := c.Top
	if top == 0 {
		top = 5
	}
	dec := cv.NewDecoder()
	defer dec.Close()
	used := map[string]int{}
	for _, im := range p.Images {
		pic := &vision.Image{}
		if err := dec.DecodeFile(pic, im.File); err != nil {
			return err
		}
		var lines []string
		for _, q := range im.Predictions[:min(top, len(im.Predictions))] {
			lines = append(lines, fmt.Sprintf("%s %.3f", q.Name, q.Score))
		}
		if pic, err = enlarged(pic); err != nil {
			return err
		}
		if err := cv.Annotate(pic, lines); err != nil {
			return err
		}
		base := strings.TrimSuffix(filepath.Base(im.File), filepath.Ext(im.File))
		if used[base]++; used[base] > 1 {
			base = fmt.Sprintf("%s_%d", base, used[base])
		}
		if err := cv.WriteFile(filepath.Join(dir, base+".jpg"), pic); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(p.Images, "", " ")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "predictions.json"), append(b, '\n')); err != nil {
		return err
	}
	var text strings.Builder
	w := csv.NewWriter(&text)
	_ = w.Write([]string{"file", "class", "name", "score"})
	for _, im := range p.Images {
		q := im.Predictions[0]
		_ = w.Write([]string{im.File, fmt.Sprint(q.Class), q.Name, fmt.Sprintf("%.6f", q.Score)})
	}
	w.Flush()
	return writeFile(filepath.Join(dir, "predictions.csv"), []byte(text.String()))
}

// readable is the shorter side below which a picture is enlarged before its
// answers are written on it.
const readable = 320

func enlarged(im *vision.Image) (*vision.Image, error) {
	k := (readable + min(im.W, im.H) - 1) / min(im.W, im.H)
	if k <= 1 {
		return im, nil
	}
	out := vision.NewImage(k*im.W, k*im.H)
	var r transform.Resizer
	return out, r.Resize(out, im, out.W, out.H, vision.Bicubic)
}
