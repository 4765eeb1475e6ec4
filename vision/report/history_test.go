package report

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCSVKeepsEverything(t *testing.T) {
	h := History{Epochs: []EpochRow{
		{Epoch: 1, Time: 12.345678901234567, TrainLoss: 1. / 3, ValLoss: math.Pi, Score: 0.1, Second: 1, LR: 1e-3},
		{Epoch: 2, Time: 1e5, TrainLoss: math.SmallestNonzeroFloat64, ValLoss: math.NaN(), Score: math.NaN(), Second: math.NaN(), LR: 0},
		{Epoch: 3, Time: 1, TrainLoss: math.Inf(1), ValLoss: -0.5, Score: 1, Second: 1, LR: 1},
	}}
	path := filepath.Join(t.TempDir(), "results.csv")
	if err := WriteCSV(path, h); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if lines[0] != "epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0" {
		t.Errorf("header %q", lines[0])
	}
	if lines[1] != "1,12.345678901234567,0.3333333333333333,0.1,1,3.141592653589793,0.001" {
		t.Errorf("first line %q", lines[1])
	}
	if lines[2] != "2,100000,5e-324,,,,0" {
		t.Errorf("line without validation %q", lines[2])
	}
	if err := WriteCSV(path, History{Task: "detect"}); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(path); err != nil || string(b) != "epoch,time,train/loss,metrics/mAP50-95(B),metrics/mAP50(B),val/loss,lr/pg0\n" {
		t.Errorf("detection: %q %v", b, err)
	}
}
