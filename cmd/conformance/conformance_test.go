package main

import (
	"runtime"
	"testing"

	"github.com/vislora/vislora/internal/testdata"
)

// nodeTestFloor is what passes of the 1282 node tests of ONNX 1.16.0; it may
// rise, never fall.
const nodeTestFloor = 1072

// TestNodeTests runs ONNX's own tests on every kernel set of this build. What
// fails must be explained, and what is explained must fail.
func TestNodeTests(t *testing.T) {
	cases, err := readCases(testdata.Real(t, "onnx_node_tests_v1.16.0", "onnx_node_tests_v1.16.0.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	sets, done, err := kernelSets()
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := runCases("node tests", cases, sets)
	passed, failed, out := r.count()
	t.Log(r.summary())
	if passed < nodeTestFloor || passed+failed < 1086 || passed+failed+out != 1282 {
		t.Errorf("%d passed, %d failed, %d out of scope: want at least %d of 1282 passed and 1086 in scope", passed, failed, out, nodeTestFloor)
	}
	for _, c := range r.results {
		switch {
		case c.err == nil && c.scope == "" && known[c.name] != "" && known[c.name] != contradicts: // the older collection's
			t.Errorf("%s passes, but is listed as failing: %s", c.name, known[c.name])
		case c.err != nil && c.cause() == c.err.Error():
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
}
