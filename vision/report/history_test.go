package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCSVKeepsEverything(t *testing.T) {
	h := History{Epochs: []EpochRow{
		{Epoch: 1, Time: 12.345678901234567, TrainLoss: 1. / 3, ValLoss: math.Pi, Top1: 0.1, Top5: 1, LR: 1e-3},
		{Epoch: 2, Time: 1e5, TrainLoss: math.SmallestNonzeroFloat64, ValLoss: math.NaN(), Top1: math.NaN(), Top5: math.NaN(), LR: 0},
		{Epoch: 3, Time: 1, TrainLoss: math.Inf(1), ValLoss: -0.5, Top1: 1, Top5: 1, LR: 1},
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
	got, err := ReadCSV(path)
	if err != nil {
		t.Fatal(err)
	}
	// %v prints floats with all their digits, and NaN equal to itself.
	if fmt.Sprint(got) != fmt.Sprint(h) {
		t.Errorf("read back\n%v\nwant\n%v", got, h)
	}
}

func TestReadCSV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.csv")
	read := func(text string) (History, error) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return ReadCSV(path)
	}
	// Columns in another order, padded as Ultralytics does, one of them unknown.
	h, err := read("   lr/pg0, epoch,  other,  val/loss\n  0.5,  7, x,  \n")
	if err != nil || len(h.Epochs) != 1 || h.Epochs[0].Epoch != 7 || h.Epochs[0].LR != 0.5 || !math.IsNaN(h.Epochs[0].ValLoss) || !math.IsNaN(h.Epochs[0].TrainLoss) {
		t.Errorf("read %+v, %v", h, err)
	}
	for text, want := range map[string]string{
		"":                          "the file is empty",
		"a,b\n1,2\n":                `names no column epoch: "a,b"`,
		"epoch,time\n1,2\nx,3\n":    `line 3: epoch is "x", not a whole number`,
		"epoch,time\n1,fast\n":      `line 2: time is "fast", not a number`,
		"epoch,time\n1,2,3\n":       "wrong number of fields",
		"epoch,time\n\"1,2\n3,4\n5": "line",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "read results ") {
			t.Errorf("%q: error %v, want it to say %q", text, err, want)
		}
	}
	if _, err := ReadCSV(path + ".absent"); err == nil {
		t.Error("no error for a file that is not there")
	}
}
