package datasets

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Config is a data set's YAML file with the keys of Ultralytics: path, train,
// val, test, names, nc.
type Config struct {
	File string
	// Names are the classes; nil when the file has none.
	Names []string
	// Splits are the files and folders of train, val and test as they are
	// written; see [Config.Find].
	Splits map[string][]string

	base string // the key path
}

// FindConfig is the YAML file of a folder: data.yaml or dataset.yaml, or the
// only one there is. "" when there is none.
func FindConfig(dir string) string {
	for _, n := range []string{"data.yaml", "dataset.yaml", "data.yml", "dataset.yml"} {
		if p := filepath.Join(dir, n); IsFile(p) {
			return p
		}
	}
	only := ""
	items, _ := os.ReadDir(dir)
	for _, it := range items {
		if IsConfig(it.Name()) && !IsHidden(it.Name()) {
			if only != "" {
				return ""
			}
			only = filepath.Join(dir, it.Name())
		}
	}
	return only
}

// IsConfig tells a YAML file by the ending of its name.
func IsConfig(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return ext == ".yaml" || ext == ".yml"
}

// ReadConfig reads a YAML file.
func ReadConfig(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read data set %s: %w", file, err)
	}
	var raw struct {
		Path              string
		Train, Val, Valid yaml.Node
		Test              yaml.Node
		Names             yaml.Node
		NC                *int `yaml:"nc"`
	}
	if err := yaml.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("read data set %s: %w", file, err)
	}
	c := &Config{File: file, base: raw.Path, Splits: map[string][]string{}}
	if raw.Val.Kind == 0 {
		raw.Val = raw.Valid
	}
	for split, n := range map[string]*yaml.Node{Train: &raw.Train, Val: &raw.Val, Test: &raw.Test} {
		switch n.Kind {
		case yaml.ScalarNode:
			if n.Tag != "!!null" && n.Value != "" {
				c.Splits[split] = []string{n.Value}
			}
		case yaml.SequenceNode:
			for _, v := range n.Content {
				if v.Kind != yaml.ScalarNode {
					return nil, fmt.Errorf("read data set %s: line %d: %s has to be a folder, a file, or a list of these", file, v.Line, split)
				}
				c.Splits[split] = append(c.Splits[split], v.Value)
			}
		case 0:
		default:
			return nil, fmt.Errorf("read data set %s: line %d: %s has to be a folder, a file, or a list of these", file, n.Line, split)
		}
	}
	if c.Names, err = classNames(&raw.Names); err != nil {
		return nil, fmt.Errorf("read data set %s: %w", file, err)
	}
	if raw.NC != nil && c.Names != nil && *raw.NC != len(c.Names) {
		return nil, fmt.Errorf("read data set %s: nc is %d, but there are %d names: correct nc or leave it out", file, *raw.NC, len(c.Names))
	}
	if raw.NC != nil && c.Names == nil && *raw.NC > 0 && *raw.NC <= mostClasses {
		for i := range *raw.NC {
			c.Names = append(c.Names, strconv.Itoa(i))
		}
	}
	return c, nil
}

const mostClasses = 100_000

// classNames reads a list of names, or a map from number to name; numbers that
// are left out are named by themselves.
func classNames(n *yaml.Node) ([]string, error) {
	var out []string
	switch n.Kind {
	case yaml.SequenceNode:
		for _, v := range n.Content {
			out = append(out, strings.TrimSpace(v.Value))
		}
	case yaml.MappingNode:
		at := map[int]string{}
		last := -1
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, err := strconv.Atoi(n.Content[i].Value)
			if err != nil || k < 0 || k >= mostClasses {
				return nil, fmt.Errorf("line %d: %q is no number of a class: use 0, 1, …", n.Content[i].Line, n.Content[i].Value)
			}
			at[k] = strings.TrimSpace(n.Content[i+1].Value)
			last = max(last, k)
		}
		for i := range last + 1 {
			name, ok := at[i]
			if !ok {
				name = strconv.Itoa(i)
			}
			out = append(out, name)
		}
	}
	seen := map[string]int{}
	for i, name := range out {
		if was, ok := seen[name]; ok {
			return nil, fmt.Errorf("classes %d and %d are both called %q", was, i, name)
		}
		seen[name] = i
	}
	return out, nil
}

// Root is the folder that holds the data: the key path where that exists, else
// the folder of the file. A path written on another machine does not.
func (c *Config) Root() string {
	dir := filepath.Dir(c.File)
	if c.base == "" {
		return dir
	}
	p := filepath.FromSlash(c.base)
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	if IsDir(p) {
		return p
	}
	return dir
}

// Find is where a file or folder of Splits lies. It is looked for below the
// root, below the folder of the YAML file, and without leading "../", which
// Roboflow writes.
func (c *Config) Find(name string) (string, error) {
	n := filepath.FromSlash(strings.ReplaceAll(name, `\`, "/"))
	if filepath.IsAbs(n) {
		if _, err := os.Stat(n); err == nil {
			return n, nil
		}
	}
	up := ".." + string(filepath.Separator)
	bare := n
	for strings.HasPrefix(bare, up) {
		bare = bare[len(up):]
	}
	for _, dir := range []string{c.Root(), filepath.Dir(c.File)} {
		for _, v := range []string{n, bare} {
			if _, err := os.Stat(filepath.Join(dir, v)); err == nil {
				return filepath.Join(dir, v), nil
			}
		}
	}
	return "", fmt.Errorf("read data set %s: there is no %s in %s", c.File, name, c.Root())
}
