package house

import (
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// file is what the tests of this package need of a Go file, whatever its build
// tags.
type file struct {
	path    string // relative to the root of the repository
	pkg     string // the folder: the import path without the module
	name    string // of the package
	test    bool
	imports []string
	blank   map[string]bool // imported as _
	build   constraint.Expr // nil: always built
}

// repository parses the head of every Go file.
func repository(t *testing.T) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	var out []file
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch name := d.Name(); {
			case name == "third_party", name == "runs", name == "node_modules", name == "testdata" && !hasTestdataPackage(path),
				strings.HasPrefix(name, ".") && name != "." && name != "..":
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parse(root, path)
		if err != nil {
			return err
		}
		out = append(out, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hasTestdataPackage tells our package internal/testdata from folders of test
// files.
func hasTestdataPackage(dir string) bool { return filepath.Base(filepath.Dir(dir)) == "internal" }

func parse(root, path string) (file, error) {
	ast, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return file{}, err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return file{}, err
	}
	rel = filepath.ToSlash(rel)
	f := file{
		path:  rel,
		pkg:   filepath.ToSlash(filepath.Dir(rel)),
		name:  ast.Name.Name,
		test:  strings.HasSuffix(path, "_test.go"),
		blank: map[string]bool{},
	}
	for _, spec := range ast.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, imp)
		f.blank[imp] = spec.Name != nil && spec.Name.Name == "_"
	}
	for _, group := range ast.Comments {
		for _, c := range group.List {
			if c.Pos() < ast.Package && constraint.IsGoBuild(c.Text) {
				if f.build, err = constraint.Parse(c.Text); err != nil {
					return file{}, err
				}
			}
		}
	}
	return f, nil
}

// builtWith tells whether the file takes part in a build with these tags.
func (f *file) builtWith(tags ...string) bool {
	return f.build == nil || f.build.Eval(func(tag string) bool {
		for _, t := range tags {
			if t == tag {
				return true
			}
		}
		return false
	})
}
