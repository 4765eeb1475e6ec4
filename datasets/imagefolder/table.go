package imagefolder

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// The names of columns, in any case.
var (
	fileColumns  = []string{"file", "file_name", "filename", "image", "image_path", "path", "img"}
	labelColumns = []string{"label", "labels", "class", "class_name", "category", "target"}
	splitColumns = []string{"split", "set", "subset"}
	groupColumns = []string{"group", "group_id", "patient", "patient_id", "subject", "store", "store_id"}
)

// row is one line of a table, with its number in the file.
type row struct {
	line  int
	cells []string
}

// readTable reads a CSV file: a column for the file, one for the label (or one
// of 0 and 1 for each class, or none and the folder is the class), and perhaps
// a split and a group.
func (r *reader) readTable(file string) error {
	header, rows, err := parse(file)
	if err != nil {
		return fmt.Errorf("read table %s: %w", file, err)
	}
	find := func(names []string) int {
		for _, n := range names {
			if i := slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(h, n) }); i >= 0 {
				return i
			}
		}
		return -1
	}
	fileAt, labelAt, splitAt, groupAt := find(fileColumns), find(labelColumns), find(splitColumns), find(groupColumns)
	if fileAt < 0 {
		return fmt.Errorf("read table %s: line 1: none of the columns %q names the file: call it one of %q", file, header, fileColumns)
	}
	var classAt []int
	if labelAt < 0 {
		classAt = r.binaryColumns(header, rows, []int{fileAt, splitAt, groupAt})
		for _, i := range classAt {
			r.declared = append(r.declared, header[i])
		}
		r.multi = len(classAt) > 0
	} else {
		r.multi = slices.ContainsFunc(rows, func(w row) bool { return strings.Contains(w.cells[labelAt], "|") })
	}
	files, err := newIndex(r.root, filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("read data: %w", err)
	}

	var errs []error
	bad := func(line int, format string, a ...any) {
		if len(errs) < 10 {
			errs = append(errs, fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, a...)))
		}
	}
	seen := map[string]int{}
	unlabelled := 0
	for _, w := range rows {
		e := entry{}
		if groupAt >= 0 {
			e.group = strings.TrimSpace(w.cells[groupAt])
		}
		if splitAt >= 0 {
			s := w.cells[splitAt]
			if e.split = datasets.SplitName(s); e.split == "" && strings.TrimSpace(s) != "" {
				bad(w.line, "the split is %q: use train, val or test", s)
				continue
			}
		}
		switch {
		case labelAt >= 0:
			e.labels = labels(w.cells[labelAt], r.multi)
			if len(e.labels) == 0 && !r.multi {
				unlabelled++
				continue
			}
		case r.multi:
			e.labels = []string{}
			for _, i := range classAt {
				if on, _ := binary(w.cells[i]); on {
					e.labels = append(e.labels, header[i])
				}
			}
		}
		name := strings.TrimSpace(w.cells[fileAt])
		e.path, e.name, err = files.find(name, e.split, e.labels)
		if err != nil {
			r.skip(name, fmt.Sprintf("line %d: %v", w.line, err))
			continue
		}
		if labelAt < 0 && !r.multi {
			e.labels = []string{path.Base(path.Dir(e.name))}
		}
		if e.split == "" && splitAt < 0 {
			e.split = datasets.SplitName(strings.SplitN(e.name, "/", 2)[0])
		}
		if was, ok := seen[e.name]; ok {
			bad(w.line, "%s stands in line %d already", e.name, was)
			continue
		}
		seen[e.name] = w.line
		r.entries = append(r.entries, e)
	}
	if len(errs) > 0 {
		return fmt.Errorf("read table %s: %w", file, errors.Join(errs...))
	}
	if unlabelled > 0 {
		r.warn("not used: %s of %s without a label", datasets.Count(unlabelled, "line"), filepath.Base(file))
	}
	return nil
}

// labels splits "a|b"; without multi the whole cell is one label.
func labels(cell string, multi bool) []string {
	parts := []string{cell}
	if multi {
		parts = strings.Split(cell, "|")
	}
	out := []string{}
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// binaryColumns are those that hold nothing but 0 and 1: the classes of a
// multi-label table. The others are named in a warning.
func (r *reader) binaryColumns(header []string, rows []row, taken []int) []int {
	var out []int
	var ignored []string
	for i, name := range header {
		if slices.Contains(taken, i) {
			continue
		}
		isClass := name != "" && len(rows) > 0
		for _, w := range rows {
			if _, ok := binary(w.cells[i]); !ok {
				isClass = false
				break
			}
		}
		if isClass {
			out = append(out, i)
		} else {
			ignored = append(ignored, fmt.Sprintf("%q", name))
		}
	}
	if len(ignored) > 0 {
		r.warn("not used: %s of the table with more than 0 and 1: %s", datasets.Count(len(ignored), "column"), datasets.Names(ignored))
	}
	return out
}

func binary(cell string) (on, ok bool) {
	switch strings.ToLower(strings.TrimSpace(cell)) {
	case "1", "1.0", "true":
		return true, true
	case "0", "0.0", "false", "":
		return false, true
	}
	return false, false
}

// parse reads a CSV file whose first line names the columns; the separator is
// the comma, semicolon or tabulator that the first line has most of.
func parse(file string) (header []string, rows []row, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	first, _ := bufio.NewReader(bytes.NewReader(data)).ReadString('\n')
	sep := ','
	for _, c := range ";\t" {
		if strings.Count(first, string(c)) > strings.Count(first, string(sep)) {
			sep = c
		}
	}
	c := csv.NewReader(bytes.NewReader(data))
	c.Comma, c.FieldsPerRecord, c.LazyQuotes = sep, -1, true
	for {
		cells, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		line, _ := c.FieldPos(0)
		if header == nil {
			for _, h := range cells {
				header = append(header, strings.TrimSpace(h))
			}
			continue
		}
		if len(cells) != len(header) {
			return nil, nil, fmt.Errorf("line %d has %d columns, the first line %d", line, len(cells), len(header))
		}
		rows = append(rows, row{line, cells})
	}
	if header == nil {
		return nil, nil, errors.New("the file is empty")
	}
	if len(rows) == 0 {
		return nil, nil, errors.New("there is no line below the column names")
	}
	return header, rows, nil
}
