package report

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
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
	Top1      float64 // accuracy, 0…1; multi-label runs: mean average precision
	Top5      float64 // accuracy, 0…1; multi-label runs: share of exact matches
	LR        float64 // at the end of the epoch
}

// History is the course of a run.
type History struct {
	Epochs []EpochRow
}

// column is one of the numbers of an [EpochRow].
type column struct {
	name  string
	value func(*EpochRow) *float64
}

// columns are those of results.csv behind the epoch, under the names that
// Ultralytics uses for classification.
var columns = []column{
	{"time", func(r *EpochRow) *float64 { return &r.Time }},
	{"train/loss", func(r *EpochRow) *float64 { return &r.TrainLoss }},
	{"metrics/accuracy_top1", func(r *EpochRow) *float64 { return &r.Top1 }},
	{"metrics/accuracy_top5", func(r *EpochRow) *float64 { return &r.Top5 }},
	{"val/loss", func(r *EpochRow) *float64 { return &r.ValLoss }},
	{"lr/pg0", func(r *EpochRow) *float64 { return &r.LR }},
}

// WriteCSV writes results.csv:
//
//	epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0
//
// Numbers keep all their digits, so that [ReadCSV] gives the same history back.
// NaN is an empty field.
func WriteCSV(path string, h History) error {
	var b strings.Builder
	b.WriteString("epoch")
	for _, c := range columns {
		b.WriteString("," + c.name)
	}
	b.WriteByte('\n')
	for _, row := range h.Epochs {
		b.WriteString(strconv.Itoa(row.Epoch))
		for _, c := range columns {
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

// ReadCSV reads what [WriteCSV] wrote, to go on with a run. Columns are found by
// their names; those that are missing are NaN, others are ignored.
func ReadCSV(path string) (History, error) {
	var h History
	f, err := os.Open(path)
	if err != nil {
		return h, fmt.Errorf("read results: %w", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.TrimLeadingSpace = true
	records, err := r.ReadAll()
	if err != nil {
		return h, fmt.Errorf("read results %s: %w", path, err)
	}
	if len(records) == 0 {
		return h, fmt.Errorf("read results %s: the file is empty", path)
	}
	at := map[string]int{}
	for i, name := range records[0] {
		at[strings.TrimSpace(name)] = i
	}
	epoch, ok := at["epoch"]
	if !ok {
		return h, fmt.Errorf("read results %s: the first line names no column epoch: %q", path, strings.Join(records[0], ","))
	}
	for i, rec := range records[1:] {
		var row EpochRow
		if row.Epoch, err = strconv.Atoi(strings.TrimSpace(rec[epoch])); err != nil {
			return h, fmt.Errorf("read results %s: line %d: epoch is %q, not a whole number", path, i+2, rec[epoch])
		}
		for _, c := range columns {
			v := c.value(&row)
			*v = math.NaN()
			k, ok := at[c.name]
			if !ok || strings.TrimSpace(rec[k]) == "" {
				continue
			}
			if *v, err = strconv.ParseFloat(strings.TrimSpace(rec[k]), 64); err != nil {
				return h, fmt.Errorf("read results %s: line %d: %s is %q, not a number", path, i+2, c.name, rec[k])
			}
		}
		h.Epochs = append(h.Epochs, row)
	}
	return h, nil
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
