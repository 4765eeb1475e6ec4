package engine

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// growing is a file that is written as answers come and gets its name when it is
// closed, so that nobody reads half of it.
type growing struct {
	path string
	file *os.File
	*bufio.Writer
}

func newGrowing(dir, name string) (*growing, error) {
	f, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return nil, err
	}
	return &growing{filepath.Join(dir, name), f, bufio.NewWriter(f)}, nil
}

// close gives the file its name, or removes it.
func (g *growing) close(keep bool) error {
	err := errors.Join(g.Flush(), g.file.Chmod(0o644), g.file.Close())
	if keep && err == nil {
		err = os.Rename(g.file.Name(), g.path)
	}
	if !keep || err != nil {
		os.Remove(g.file.Name())
	}
	return err
}

// tables are predictions.json, predictions.csv and, where it is asked for,
// coco_results.json. Nothing of them is kept in memory: a video may be long.
type tables struct {
	task       answers
	frames     bool // there are videos among the sources
	ids        []int64
	json, coco *growing
	csv        *csv.Writer
	csvFile    *growing
	images     int // written so far
	results    int
}

// openTables begins the tables; ids are those of COCO's categories, nil for no
// results.
func openTables(dir string, task answers, frames bool, ids []int64) (*tables, error) {
	t := &tables{task: task, frames: frames, ids: ids}
	var err error
	open := func(name string) (g *growing) {
		if err == nil {
			g, err = newGrowing(dir, name)
		}
		return g
	}
	t.json, t.csvFile = open("predictions.json"), open("predictions.csv")
	if ids != nil {
		t.coco = open("coco_results.json")
	}
	if err != nil {
		_ = t.close(false) // the first error tells more
		return nil, err
	}
	t.csv = csv.NewWriter(t.csvFile)
	head := []string{"file"}
	if frames {
		head = append(head, "frame", "time")
	}
	return t, t.csv.Write(append(head, task.columns()...))
}

// add writes the answer for one picture.
func (t *tables) add(im *ImagePredictions) error {
	b, err := json.MarshalIndent(im, " ", " ")
	if err != nil {
		return err
	}
	between := ",\n "
	if t.images++; t.images == 1 {
		between = "[\n "
	}
	if _, err := fmt.Fprintf(t.json, "%s%s", between, b); err != nil {
		return err
	}
	head := []string{im.File}
	switch {
	case im.Frame != nil:
		head = append(head, fmt.Sprint(*im.Frame), fmt.Sprintf("%.3f", *im.Time))
	case t.frames:
		head = append(head, "", "")
	}
	for _, row := range t.task.rows(im.Predictions) {
		if err := t.csv.Write(append(head[:len(head):len(head)], row...)); err != nil {
			return err
		}
	}
	if t.coco == nil {
		return nil
	}
	for _, r := range im.cocoResults(t.ids) {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		between := ","
		if t.results++; t.results == 1 {
			between = "["
		}
		if _, err := fmt.Fprintf(t.coco, "%s%s", between, b); err != nil {
			return err
		}
	}
	return nil
}

// close ends the tables; without keep they are removed.
func (t *tables) close(keep bool) error {
	var errs []error
	end := func(g *growing, n int, empty, last string) {
		if g == nil {
			return
		}
		if n == 0 {
			last = empty
		}
		_, err := g.WriteString(last)
		errs = append(errs, err, g.close(keep))
	}
	if t.csv != nil {
		t.csv.Flush()
		errs = append(errs, t.csv.Error())
	}
	end(t.json, t.images, "[]\n", "\n]\n")
	end(t.csvFile, 0, "", "")
	end(t.coco, t.results, "[]\n", "]\n")
	return errors.Join(errs...)
}
