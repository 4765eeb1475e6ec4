package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/imagefolder"
	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// BenchDataConfig is a measurement of what comes before the network: files are
// read, decoded and augmented into batches.
type BenchDataConfig struct {
	Data    string // folder of class folders
	Batch   int    // default 8
	Threads int    // 0: one per processor
	ImgSz   int    // default 224
	Epochs  int    // default 3, of which the best counts
}

// DataBenchmark is one JSON line, with the keys of [Benchmark] where they mean
// the same.
type DataBenchmark struct {
	Model        string  `json:"model"` // the pipeline
	Mode         string  `json:"mode"`
	DType        string  `json:"dtype"`
	Batch        int     `json:"batch"`
	Threads      int     `json:"threads"`
	ImagesPerSec float64 `json:"images_per_s"`
	MsPerStep    float64 `json:"ms_per_step"`
	CPUMs        float64 `json:"cpu_ms_per_image"`
	PeakRSS      int     `json:"peak_rss_mb"`
	Images       int     `json:"images"`
	ImgSz        int     `json:"imgsz"`
	Decoder      string  `json:"decoder"`
}

// BenchData measures torchvision's usual training pipeline: a random resized
// crop, a flip every other time, colour jitter, normalised into (N, H, W, 3).
func BenchData(ctx context.Context, c BenchDataConfig) (*DataBenchmark, error) {
	if c.Batch <= 0 {
		c.Batch = 8
	}
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if c.ImgSz <= 0 {
		c.ImgSz = 224
	}
	if c.Epochs <= 0 {
		c.Epochs = 3
	}
	if c.Data == "" {
		return nil, errors.New("there are no pictures: name a folder of class folders with --data")
	}
	d, err := imagefolder.Open(c.Data, imagefolder.Options{Val: -1})
	if err != nil {
		return nil, err
	}
	c.Batch = max(min(c.Batch, len(d.Split(datasets.Train))), 1)
	pre, err := vision.Preset("imagenet")
	if err != nil {
		return nil, err
	}
	pre.Size = [2]int{c.ImgSz, c.ImgSz}
	pipe, err := transform.Train(pre, transform.Augment{Scale: [2]float64{.08, 1}, Ratio: [2]float64{3. / 4, 4. / 3}, HFlip: .5,
		Brightness: .4, Contrast: .4, Saturation: .4})
	if err != nil {
		return nil, err
	}
	// What the workers leave over (the collector) must not take a thread more.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.Threads))
	loader, err := datasets.NewLoader(datasets.LoaderConfig{Samples: d.Split(datasets.Train), Pipeline: pipe, Batch: c.Batch, Workers: c.Threads, Shuffle: true})
	if err != nil {
		return nil, err
	}
	out := &DataBenchmark{Model: "crop+flip+jitter", Mode: "data", DType: DTypeF32, Batch: c.Batch, Threads: c.Threads, ImgSz: c.ImgSz, Decoder: cv.DecoderName()}
	for epoch := range c.Epochs {
		images, wall, cpu, err := readEpoch(ctx, loader, epoch)
		if err != nil {
			return nil, err
		}
		if images == 0 {
			skipped, _ := loader.Skipped()
			return nil, fmt.Errorf("none of the images in %s can be read: %s", c.Data, firstReason(skipped))
		}
		n := float64(images)
		if rate := round(n/wall, 1); rate > out.ImagesPerSec {
			out.ImagesPerSec, out.MsPerStep = rate, round(wall/n*float64(c.Batch)*1e3, 2)
		}
		if ms := round(cpu/n*1e3, 3); epoch == 0 || ms < out.CPUMs {
			out.CPUMs = ms
		}
		out.Images = images
	}
	out.PeakRSS = peakRSS()
	return out, nil
}

// readEpoch reads all batches of an epoch.
func readEpoch(ctx context.Context, l *datasets.Loader, epoch int) (images int, wall, cpu float64, err error) {
	begun, before := time.Now(), cpuSeconds()
	e := l.Epoch(ctx, epoch, 0)
	defer e.Close()
	for {
		b, err := e.Next()
		if errors.Is(err, io.EOF) {
			return images, time.Since(begun).Seconds(), cpuSeconds() - before, nil
		}
		if err != nil {
			return 0, 0, 0, err
		}
		images += b.N
		e.Release(b)
	}
}
