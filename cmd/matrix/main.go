// Command matrix exports torchvision's classifiers and our own ViTs with
// PyTorch, one after the other, and runs each through vislora: forward against
// PyTorch, adapter sites, training steps, the merged file in ONNX Runtime. It
// writes docs/models.md. Files are deleted as it goes.
//
// It needs Debian's python3-torch, python3-torchvision and python3-onnx.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// allModels are the names that make_models.py exports.
const allModels = "vit_tiny,vit_small,vit_base,resnet18,resnet50,resnext50_32x4d,mobilenet_v2,mobilenet_v3_small,mobilenet_v3_large,efficientnet_b0," +
	"convnext_tiny,densenet121,squeezenet1_1,shufflenet_v2_x1_0,regnet_y_400mf,googlenet,inception_v3,mnasnet1_0,vgg11_bn,alexnet,vit_b_16,swin_t,maxvit_t"

// export is one way of exporting a model. Only the full one trains and merges.
type export struct {
	opset   int
	dynamic bool
	full    bool
}

func (e export) String() string {
	if e.dynamic {
		return fmt.Sprintf("opset %d, dynamic batch", e.opset)
	}
	return fmt.Sprintf("opset %d, fixed batch", e.opset)
}

var exports = []export{{13, true, true}, {13, false, false}, {11, true, false}, {16, true, false}}

func main() {
	names := flag.String("names", allModels, "models, separated by commas")
	out := flag.String("out", "", "write the table to this Markdown file")
	python := flag.String("python", "/usr/bin/python3", "the Python that has PyTorch")
	script := flag.String("script", filepath.Join("scripts", "peers", "make_models.py"), "the exporter")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, strings.Split(*names, ","), *python, *script, *out); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, python, script, out string) error {
	runtime.LockOSThread() // programs are bound to their thread
	defer runtime.UnlockOSThread()
	k, done, err := bestKernels()
	if err != nil {
		return err
	}
	defer done()
	start := time.Now()
	var rows []*row
	bad := 0
	for _, name := range names {
		r := &row{name: name, forward: map[export]cell{}}
		rows = append(rows, r)
		for _, e := range exports {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := exportAndCheck(ctx, r, e, python, script, k); err != nil {
				return fmt.Errorf("%s, %v: %w", name, e, err)
			}
		}
		fmt.Fprintf(os.Stderr, "%s\n", r)
		if !r.ok() {
			bad++
		}
	}
	if out != "" {
		if err := os.WriteFile(out, []byte(markdown(rows, k.Name(), time.Since(start))), 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%d of %d models pass every check, %.0f s\n", len(rows)-bad, len(rows), time.Since(start).Seconds())
	return nil
}

// exportAndCheck runs the exporter into a folder of its own, checks what it
// made, and deletes it.
func exportAndCheck(ctx context.Context, r *row, e export, python, script string, k kernelSet) error {
	dir, err := os.MkdirTemp("", "vislora-matrix-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := []string{script, "--out", dir, "--names", r.name, "--opset", fmt.Sprint(e.opset)}
	if e.dynamic {
		args = append(args, "--dynamic-batch")
	}
	cmd := exec.CommandContext(ctx, python, args...)
	words, err := cmd.CombinedOutput()
	if err != nil {
		text := string(words)
		if i := strings.Index(text, "REFUSED"); i >= 0 { // PyTorch itself cannot export it
			line, _, _ := strings.Cut(text[i:], "\n")
			r.forward[e] = cell{refused: strings.TrimSpace(strings.TrimPrefix(line, "REFUSED"))}
			return nil
		}
		return fmt.Errorf("run %s: %w: %s", script, err, strings.TrimSpace(text))
	}
	r.check(dir, e, k)
	return nil
}
