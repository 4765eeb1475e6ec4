package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// EpochRow is one finished epoch. What was not measured is NaN: the validation
// columns of a run without a validation split, the top-5 of two classes.
type EpochRow struct {
	Epoch     int     // counts from 1
	Time      float64 // seconds since the run began
	TrainLoss float64
	ValLoss   float64
	// Score and Second, 0…1, are top-1 and top-5 accuracy; in multi-label runs
	// mean average precision and the share of exact matches; in detection
	// mAP50-95 and mAP50; in segmentation mIoU and Dice.
	Score  float64
	Second float64
	LR     float64 // at the end of the epoch
}

// History is the course of a run.
type History struct {
	// Task names the columns; "" is classification.
	Task   string
	Epochs []EpochRow
}

// scores are the names of Score and Second in results.csv, by task, and for
// people.
var scores = map[string]struct{ csv, people [2]string }{
	"classify": {[2]string{"metrics/accuracy_top1", "metrics/accuracy_top5"}, [2]string{"top-1 accuracy", "top-5 accuracy"}},
	"detect":   {[2]string{"metrics/mAP50-95(B)", "metrics/mAP50(B)"}, [2]string{"mAP50-95", "mAP50"}},
	"segment":  {[2]string{"metrics/mIoU", "metrics/dice"}, [2]string{"mIoU", "Dice"}},
	"instance": {[2]string{"metrics/mAP50-95(M)", "metrics/mAP50-95(B)"}, [2]string{"mask mAP50-95", "box mAP50-95"}},
}

// multiLabelScores are those of classification with several labels.
var multiLabelScores = [2]string{"mAP", "exact match"}

// task is the history's, classification where it is not said.
func (h History) task() string {
	if _, ok := scores[h.Task]; ok {
		return h.Task
	}
	return "classify"
}

// column is one of the numbers of an [EpochRow].
type column struct {
	name  string
	value func(*EpochRow) *float64
}

// columns are those of results.csv behind the epoch, under Ultralytics' names.
func columns(task string) []column {
	names := scores[task].csv
	return []column{
		{"time", func(r *EpochRow) *float64 { return &r.Time }},
		{"train/loss", func(r *EpochRow) *float64 { return &r.TrainLoss }},
		{names[0], func(r *EpochRow) *float64 { return &r.Score }},
		{names[1], func(r *EpochRow) *float64 { return &r.Second }},
		{"val/loss", func(r *EpochRow) *float64 { return &r.ValLoss }},
		{"lr/pg0", func(r *EpochRow) *float64 { return &r.LR }},
	}
}

// WriteCSV writes results.csv:
//
//	epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0
//
// with the task's own metrics in the middle.
// Numbers keep all their digits. NaN is an empty field.
func WriteCSV(path string, h History) error {
	var b strings.Builder
	b.WriteString("epoch")
	cols := columns(h.task())
	for _, c := range cols {
		b.WriteString("," + c.name)
	}
	b.WriteByte('\n')
	for _, row := range h.Epochs {
		b.WriteString(strconv.Itoa(row.Epoch))
		for _, c := range cols {
			b.WriteByte(',')
			if v := *c.value(&row); !math.IsNaN(v) {
				b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		b.WriteByte('\n')
	}
	if err := writeFile(path, []byte(b.String())); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// series is one column over the epochs, and whether any of it is a number.
func (h History) series(value func(*EpochRow) *float64) (x, y []float64, ok bool) {
	for i := range h.Epochs {
		v := *value(&h.Epochs[i])
		x, y = append(x, float64(h.Epochs[i].Epoch)), append(y, v)
		ok = ok || finite(v)
	}
	return x, y, ok
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
