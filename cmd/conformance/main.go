// Command conformance runs ONNX's own backend tests through the path that a
// user's file takes: read, plan, build, run on every kernel set of this build.
// It prints how many cases passed, failed and are out of scope, and writes the
// table per operator.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/onednn"
)

// debianCases is where Debian's package libonnx-testdata puts its cases.
const debianCases = "/usr/share/libonnx-testdata/data"

func main() {
	dir := flag.String("cases", "", "run the cases below this folder (or in this .tar.gz) instead of the usual collections")
	out := flag.String("out", "", "write the table to this Markdown file")
	verbose := flag.Bool("v", false, "print every failure")
	flag.Parse()
	if err := run(*dir, *out, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(dir, out string, verbose bool) error {
	sources := []source{{"the folder given", dir}}
	if dir == "" {
		sources = collections()
	}
	sets, done, err := kernelSets()
	if err != nil {
		return err
	}
	defer done()
	runtime.LockOSThread() // programs are bound to their thread
	defer runtime.UnlockOSThread()
	var reports []*report
	for _, s := range sources {
		cases, err := readCases(s.path)
		if err != nil {
			return fmt.Errorf("read cases %s: %w", s.path, err)
		}
		if len(cases) == 0 {
			return fmt.Errorf("read cases %s: found no model.onnx with a test_data_set_0 beside it", s.path)
		}
		r := runCases(s.name, cases, sets)
		reports = append(reports, r)
		if verbose {
			for _, f := range r.failures() {
				fmt.Printf("%s: %v\n", f.name, f.err)
			}
		}
		if dir == "" {
			fmt.Printf("%s: ", s.name)
		}
		fmt.Println(r.summary())
	}
	if out == "" {
		return nil
	}
	return os.WriteFile(out, []byte(markdown(reports, sets)), 0o644)
}

// source is a collection of cases.
type source struct{ name, path string }

// collections are the usual ones that are present: the node tests beside the
// real data (VISLORA_TESTDATA, ../shared/real by default) and Debian's.
func collections() []source {
	root := os.Getenv("VISLORA_TESTDATA")
	if root == "" {
		root = filepath.Join("..", "shared", "real")
	}
	var out []source
	for _, s := range []source{
		{"ONNX 1.16.0 node tests", filepath.Join(root, "onnx_node_tests_v1.16.0", "onnx_node_tests_v1.16.0.tar.gz")},
		{"Debian's libonnx-testdata", debianCases},
	} {
		if _, err := os.Stat(s.path); err == nil {
			out = append(out, s)
		} else {
			fmt.Fprintf(os.Stderr, "conformance: %s: %s is absent\n", s.name, s.path)
		}
	}
	return out
}

// kernelSets are the kernel sets of this build.
func kernelSets() (sets []kernels.Kernels, done func(), err error) {
	sets, done = []kernels.Kernels{kernels.Go{}}, func() {}
	if !onednn.Available() {
		return sets, done, nil
	}
	k, err := onednn.New()
	if err != nil {
		return nil, nil, err
	}
	return append(sets, k), func() { k.Close() }, nil
}
