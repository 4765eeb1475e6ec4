package house

import (
	"slices"
	"testing"
)

// C stands in two packages, in files that the portable build leaves out.
func TestCgoOnlyInTwoPackages(t *testing.T) {
	tags := map[string]string{"internal/kernels/onednn": "onednn", "internal/cv": "gocv_specific_modules"}
	found := false
	for _, f := range repository(t) {
		if !slices.Contains(f.imports, "C") {
			continue
		}
		found = true
		tag, ok := tags[f.pkg]
		if !ok {
			t.Errorf(`%s: import "C" belongs into internal/kernels/onednn and internal/cv alone`, f.path)
			continue
		}
		if f.builtWith("cgo") || f.builtWith(tag) {
			t.Errorf("%s: needs the build constraint cgo && %s", f.path, tag)
		}
	}
	if !found {
		t.Error(`no file imports "C"; the walk is broken`)
	}
}

// OpenCV stands in one package. Untagged, gocv does not compile on Debian, and
// without cgo not at all.
func TestGocvOnlyInCV(t *testing.T) {
	const gocv = "gocv.io/x/gocv"
	found := false
	for _, f := range repository(t) {
		if !slices.Contains(f.imports, gocv) || f.pkg == "internal/deps" {
			continue
		}
		found = true
		if f.pkg != "internal/cv" {
			t.Errorf("%s: gocv belongs into internal/cv alone", f.path)
		}
		if f.builtWith("cgo") || f.builtWith("gocv_specific_modules") {
			t.Errorf("%s: needs the build constraint cgo && gocv_specific_modules", f.path)
		}
	}
	if !found {
		t.Error("no file imports gocv; the walk is broken")
	}
}

// A name that says nothing collects what belongs elsewhere.
func TestPackageNames(t *testing.T) {
	for _, f := range repository(t) {
		switch f.name {
		case "utils", "util", "common", "helpers", "misc":
			t.Errorf("%s: package %s says nothing about what it holds", f.path, f.name)
		}
	}
}

// gorgonia imports assume-no-moving-gc, whose older releases panic at start
// under a newer Go. Only a direct import keeps our pinned release in go.mod.
func TestNoMovingGCIsPinned(t *testing.T) {
	const dep = "go4.org/unsafe/assume-no-moving-gc"
	for _, f := range repository(t) {
		if f.blank[dep] && !f.test {
			return
		}
	}
	t.Errorf("no file imports %s as _; without it go.mod falls back to a release that panics at start", dep)
}
