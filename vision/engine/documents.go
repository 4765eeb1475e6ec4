package engine

import (
	"fmt"
	"math"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/transform"
)

// pictures keeps a few images of a run for its sheets.
type pictures struct {
	train [][]tile // the first batches, as the network saw them
}

type tile struct {
	image *vision.Image
	label string
}

// sheets is the number of training batches that are drawn.
const sheets = 3

// keepTrain keeps a batch of the first epoch as it went into the network.
func (p *pictures) keepTrain(r *run, b *datasets.Batch) {
	if len(p.train) >= sheets || b.Step != len(p.train) {
		return
	}
	var tiles []tile
	size := r.pipe.Len()
	for i := range min(b.N, 16) {
		im := vision.NewImage(r.pre.Size[1], r.pre.Size[0])
		transform.Denormalise(im, b.X[i*size:(i+1)*size], r.pre)
		label := "?"
		if k := b.Labels[i]; k >= 0 {
			label = r.data.Classes[k]
		}
		tiles = append(tiles, tile{im, label})
	}
	p.train = append(p.train, tiles)
}

func (p *pictures) keepVal(*Loaded, *scores) {}

// writeResults writes results.csv whole.
func writeResults(path string, rows []Row) error {
	var b strings.Builder
	b.WriteString("epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%d,%.2f,%s,%s,%s,%s,%s\n", r.Epoch, r.Time, number(r.TrainLoss), number(r.Top1), number(r.Top5), number(r.ValLoss), number(r.LR))
	}
	return writeFile(path, []byte(b.String()))
}

func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf("%.6g", v)
}

func (r *run) documents(v *Validation) error { return nil }
