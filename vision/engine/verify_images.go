package engine

import (
	"math/rand/v2"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/coco"
	"github.com/vislora/vislora/datasets/imagefolder"
	"github.com/vislora/vislora/datasets/voc"
	"github.com/vislora/vislora/datasets/yolo"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// verifyCase is one picture, as the network takes it and as the exported file
// does.
type verifyCase struct {
	w, h  int       // of the picture
	input []float32 // (H, W, C), normalised
	feed  map[string]*ir.Tensor
}

// verifySamples lists the images that an export is verified on. A detector takes
// a folder of images without boxes too.
func (l *Loaded) verifySamples(c ExportConfig) ([]datasets.Sample, error) {
	var d *datasets.Dataset
	var err error
	switch {
	case l.Task == vision.Classify:
		d, err = openData(c.Data, nil, imagefolder.Options{})
	case (l.Task == vision.Detect || l.Task == vision.Instance) && coco.Detects(c.Data) || yolo.Detects(c.Data) || voc.Detects(c.Data):
		d, err = openDetection(c.Data, datasets.Options{})
	default:
		files, err := findImages(c.Data)
		if err != nil {
			return nil, err
		}
		var samples []datasets.Sample
		for i, f := range files[:min(c.Verify, len(files))] {
			samples = append(samples, datasets.Sample{Path: f, Name: f, Index: i})
		}
		return samples, nil
	}
	if err != nil {
		return nil, err
	}
	split := c.Split
	if split == "" {
		split = d.Splits()[len(d.Splits())-1]
	}
	samples, err := d.Require(split)
	if err != nil {
		return nil, err
	}
	return samples[:min(c.Verify, len(samples))], nil
}

// verifyCases gives the network what the pipeline makes of a picture. The file
// gets the same, or the decoded picture itself where pixels names the input that
// takes it. Pictures are images of the data set, or noise.
func (l *Loaded) verifyCases(c ExportConfig, pixels string) (func(int) (verifyCase, error), int, error) {
	pipe, err := transform.Eval(l.Pre)
	if err != nil {
		return nil, 0, err
	}
	n := c.Verify
	decode := func(i int) (*vision.Image, error) { return noise(i, l.Height, l.Width), nil }
	if c.Data != "" {
		samples, err := l.verifySamples(c)
		if err != nil {
			return nil, 0, err
		}
		n = len(samples)
		decode = func(i int) (*vision.Image, error) { return cv.DecodeFile(samples[i].Path) }
	}
	worker := pipe.NewWorker()
	x := make([]float32, pipe.Len())
	var scratch []float32
	return func(i int) (verifyCase, error) {
		im, err := decode(i)
		if err != nil {
			return verifyCase{}, err
		}
		if err := worker.Apply(x, im, transform.Key{}); err != nil {
			return verifyCase{}, err
		}
		input := l.toInput(x, l.Pre, &scratch)
		if pixels != "" {
			return verifyCase{im.W, im.H, input, map[string]*ir.Tensor{pixels: pixelTensor(pixels, im)}}, nil
		}
		return verifyCase{im.W, im.H, input, map[string]*ir.Tensor{l.Picture.Name: l.feed(input)}}, nil
	}, n, nil
}

// noise is picture number i of a series whose sizes lie around h×w: smaller and
// larger, upright and lying.
func noise(i, h, w int) *vision.Image {
	rng := rand.New(rand.NewPCG(2, uint64(i)))
	side := func(n int) int { return max(1, n/2+rng.IntN(2*n)) }
	im := vision.NewImage(side(w), side(h))
	for k := range im.Pix {
		im.Pix[k] = uint8(rng.IntN(256))
	}
	return im
}

// pixelTensor is a picture as uint8 (1, H, W, 3).
func pixelTensor(name string, im *vision.Image) *ir.Tensor {
	return &ir.Tensor{Name: name, DType: ir.Uint8, Dims: []int{1, im.H, im.W, 3}, Raw: im.Pix}
}

// feed is a normalised picture as the file wants it.
func (l *Loaded) feed(x []float32) *ir.Tensor {
	h, w, ch := l.Height, l.Width, l.Picture.Channels
	dims := []int{1, h, w, ch}
	v := x
	if !l.Picture.ChannelsLast {
		dims = []int{1, ch, h, w}
		v = make([]float32, len(x))
		for p := range h * w {
			for k := range ch {
				v[k*h*w+p] = x[p*ch+k]
			}
		}
	}
	if l.fileFloat() != ir.Float16 {
		return ir.FromFloat32s(l.Picture.Name, v, dims...)
	}
	raw := make([]byte, 2*len(v))
	for i, f := range v {
		b := ir.FloatToHalf(f)
		raw[2*i], raw[2*i+1] = byte(b), byte(b>>8)
	}
	return &ir.Tensor{Name: l.Picture.Name, DType: ir.Float16, Dims: dims, Raw: raw}
}
