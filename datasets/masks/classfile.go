package masks

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// class is one entry of a list of classes.
type class struct {
	name   string
	value  int // −1 when the place in the list is the value
	colour int // 0xRRGGBB, −1 when there is none
	line   int
}

// The highest value that a pixel can have, and the longest list.
const (
	mostValue = 65535
	mostBytes = 1 << 20
)

// form is a way to write a class on a line. The groups of the pattern are called
// n (name), v (value), r, g, b.
type form struct {
	pattern *regexp.Regexp
	value   bool
	colour  bool
}

// The forms, in the order in which they are tried. A name alone fits no other.
var forms = func() (out []form) {
	const (
		sep = `[\s,;:]+`
		rgb = `(?P<r>\d+)[\s,;]+(?P<g>\d+)[\s,;]+(?P<b>\d+)`
	)
	for _, s := range []string{
		`(?P<n>[^:]+):` + rgb + `:[^:]*:[^:]*`,          // CVAT's labelmap.txt
		`(?P<v>\d+)` + sep + rgb + sep + `(?P<n>\D.*)`,  // 1 128 64 0 road
		rgb + sep + `(?P<n>\D.*)`,                       // 128 64 0 road
		`(?P<v>\d+)` + sep + `(?P<n>\D.*?)` + sep + rgb, // 1 road 128 64 0
		`(?P<n>.*\D.*?)` + sep + rgb,                    // road 128 64 0
		rgb,                                             // 128 64 0
		`(?P<v>\d+)` + sep + `(?P<n>.*\D.*)`,            // 1 road
		`(?P<n>.*\D.*?)\s*[,;\t]\s*(?P<v>\d+)`,          // road, 1
		`(?P<v>\d+)`,                                    // 1
		`(?P<n>.+)`,                                     // road
	} {
		out = append(out, form{
			pattern: regexp.MustCompile(`^` + s + `$`),
			value:   strings.Contains(s, "(?P<v>"), colour: strings.Contains(s, "(?P<r>"),
		})
	}
	return out
}()

// readClasses reads a list of classes: a table whose first line names the
// columns, or one class a line. The form has to be the same in all lines; lines
// that have no colours and not all a number are names.
func readClasses(file string) ([]class, error) {
	if st, err := os.Stat(file); err == nil && st.Size() > mostBytes {
		return nil, fmt.Errorf("read classes %s: %d bytes, the limit is %d", file, st.Size(), mostBytes)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read classes: %w", err)
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	out, ok, err := classTable(text, strings.EqualFold(filepath.Ext(file), ".csv"))
	if err == nil && !ok {
		out, err = classLines(text)
	}
	if err == nil {
		err = checkClasses(out)
	}
	if err != nil {
		return nil, fmt.Errorf("read classes %s: %w", file, err)
	}
	return out, nil
}

// classLines reads one class a line.
func classLines(text string) ([]class, error) {
	type line struct {
		text   string
		number int
		form   form
	}
	var lines []line
	for i, s := range strings.Split(text, "\n") {
		if s = strings.TrimSpace(s); s == "" || strings.HasPrefix(s, "#") {
			continue
		}
		at := slices.IndexFunc(forms, func(f form) bool { return f.pattern.MatchString(s) })
		lines = append(lines, line{s, i + 1, forms[at]})
	}
	plain := false
	for _, l := range lines {
		if first := lines[0].form; l.form.value != first.value || l.form.colour != first.colour {
			if l.form.colour != first.colour {
				return nil, fmt.Errorf("line %d: %q: some lines have a colour and some have none", l.number, l.text)
			}
			plain = true
		}
	}
	var out []class
	for i, l := range lines {
		c := class{name: l.text, value: -1, colour: -1, line: l.number}
		if !plain {
			if err := c.fill(l.form, l.text, i); err != nil {
				return nil, fmt.Errorf("line %d: %w", l.number, err)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// fill reads a line of a form, the entry number i.
func (c *class) fill(f form, text string, i int) error {
	m := f.pattern.FindStringSubmatch(text)
	group := func(name string) string {
		if k := f.pattern.SubexpIndex(name); k >= 0 {
			return m[k]
		}
		return ""
	}
	var err error
	if f.value {
		if c.value, err = number("value", group("v"), mostValue); err != nil {
			return err
		}
	}
	if f.colour {
		if c.colour, err = colour(group("r"), group("g"), group("b")); err != nil {
			return err
		}
	}
	if c.name = strings.TrimSpace(group("n")); c.name == "" {
		if c.name = strconv.Itoa(i); f.value {
			c.name = strconv.Itoa(c.value)
		}
	}
	return nil
}

func number(what, s string, most int) (int, error) {
	v, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || v < 0 || v > most {
		return 0, fmt.Errorf("the %s is %q: use 0 to %d", what, s, most)
	}
	return v, nil
}

func colour(parts ...string) (int, error) {
	out := 0
	for _, p := range parts {
		v, err := number("colour", p, 255)
		if err != nil {
			return 0, err
		}
		out = out<<8 | v
	}
	return out, nil
}

// The names of columns, in any case.
var (
	nameColumns  = []string{"name", "class", "class_name", "label", "category"}
	valueColumns = []string{"value", "pixel value", "pixel_value", "id", "index", "class_id", "label_id"}
	rgbColumns   = [3][]string{{"r", "red"}, {"g", "green"}, {"b", "blue"}}
)

// classTable reads a table; false when the first line names no columns.
func classTable(text string, single bool) ([]class, bool, error) {
	first, _, _ := strings.Cut(text, "\n")
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes, r.TrimLeadingSpace = ',', -1, true, true
	for _, c := range ";\t" {
		if strings.ContainsRune(first, c) && !strings.Contains(first, ",") {
			r.Comma, r.TrimLeadingSpace = c, c != '\t'
		}
	}
	header, err := r.Read()
	if err != nil {
		return nil, false, nil // no table; the lines will tell what is wrong
	}
	find := func(names []string) int {
		return slices.IndexFunc(header, func(h string) bool {
			return slices.Contains(names, strings.ToLower(strings.TrimSpace(h)))
		})
	}
	nameAt, valueAt := find(nameColumns), find(valueColumns)
	rgbAt := [3]int{find(rgbColumns[0]), find(rgbColumns[1]), find(rgbColumns[2])}
	hasColour := rgbAt[0] >= 0 && rgbAt[1] >= 0 && rgbAt[2] >= 0
	if nameAt < 0 || valueAt < 0 && !hasColour && !(single && len(header) == 1) {
		return nil, false, nil
	}
	rows, err := r.ReadAll()
	if err != nil {
		return nil, true, err
	}
	var out []class
	for i, row := range rows {
		c := class{value: -1, colour: -1, line: i + 2}
		if len(row) != len(header) {
			return nil, true, fmt.Errorf("line %d has %d columns, the first line %d", c.line, len(row), len(header))
		}
		c.name = strings.TrimSpace(row[nameAt])
		if valueAt >= 0 {
			c.value, err = number("value", row[valueAt], mostValue)
		}
		if hasColour && err == nil {
			c.colour, err = colour(row[rgbAt[0]], row[rgbAt[1]], row[rgbAt[2]])
		}
		if err != nil {
			return nil, true, fmt.Errorf("line %d: %w", c.line, err)
		}
		out = append(out, c)
	}
	return out, true, nil
}

// checkClasses reports an empty list and names that are empty or there twice
// without a value or a colour of their own.
func checkClasses(list []class) error {
	if len(list) == 0 {
		return fmt.Errorf("there are no classes in it")
	}
	seen := map[string]int{}
	for _, c := range list {
		if c.name == "" {
			return fmt.Errorf("line %d: the name is empty", c.line)
		}
		if was, ok := seen[c.name]; ok && c.value < 0 && c.colour < 0 {
			return fmt.Errorf("line %d: %q stands in line %d already", c.line, c.name, was)
		}
		seen[c.name] = c.line
	}
	return nil
}
