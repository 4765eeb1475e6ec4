package report

import (
	"bytes"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"context"

)

var scenes = map[string]scene{
	"twelve": {classes: 12, epochs: 10, images: 400, sure: 4},
}

func TestX(t *testing.T) {
	_ = bytes.NewReader
	_ = io.EOF
	_ = url.Parse
	_ = exec.Command
	_ = regexp.MustCompile
	_ = time.Now
	_ = context.Background
	_ = strings.Contains
	for name, s := range map[string]scene{
		"twelve": {classes: 12, epochs: 10, images: 400, sure: 4, test: true},
		"two": {classes: 2, epochs: 1, images: 30, sure: 3},
		"noval": {classes: 5, epochs: 3, noVal: true},
		"hundred": {classes: 100, epochs: 10, images: 900, sure: 4},
		"multi": {classes: 6, epochs: 10, images: 300, sure: 2, multi: true},
	} {
		dir := filepath.Join("/tmp/rep", name)
		os.MkdirAll(dir, 0o755)
		r := s.run(t, dir)
		if err := HTML(dir, r); err != nil {
			t.Fatal(err)
		}
	}
}
