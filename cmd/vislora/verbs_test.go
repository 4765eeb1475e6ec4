package main

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/npy"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/testdata"
)

// Every verb says what it does and shows two commands to paste.
func TestHelp(t *testing.T) {
	for _, v := range verbs {
		for _, flag := range []string{"--help", "-h"} {
			r := vislora(t, v.name, flag)
			r.says(t, 0, v.short)
			if n := strings.Count(r.err, "\n  vislora "+v.name) + strings.Count(r.err, "source <(vislora "+v.name); n < 2 {
				t.Errorf("%s: %d examples, want 2:\n%s", v.name, n, r.err)
			}
		}
		if len(v.short) == 0 || len(v.short) > 80 {
			t.Errorf("%s: its line in the list is %q", v.name, v.short)
		}
		vislora(t, "--help").says(t, 0, v.name, v.short)
	}
	// Every setting of train is explained.
	for _, line := range strings.Split(vislora(t, "train", "--help").err, "\n") {
		if strings.HasPrefix(line, "  -") && strings.HasSuffix(strings.TrimSpace(line), " ") {
			t.Errorf("no words for %q", line)
		}
	}
}

func TestCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	for _, shell := range []string{"bash", "zsh"} {
		r := must(t, "completion", shell)
		for _, v := range verbs {
			if !strings.Contains(r.out, v.name) {
				t.Errorf("%s: %s is not completed", shell, v.name)
			}
		}
		if shell == "zsh" {
			continue
		}
		file := filepath.Join(t.TempDir(), "completion.bash")
		write(t, file, []byte(r.out))
		if out, err := exec.Command(bash, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		// And it does complete, verbs and flags.
		dir := t.TempDir()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "vislora"), []byte("#!/bin/sh\n"+asProgram+"=1 exec "+self+" \"$@\"\n"))
		if err := os.Chmod(filepath.Join(dir, "vislora"), 0o755); err != nil {
			t.Fatal(err)
		}
		for words, want := range map[string]string{"vislora tr": "train", "vislora train --lora-al": "--lora-alpha", "vislora val --spl": "--split"} {
			script := `source "$1"; COMP_WORDS=(` + words + `); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _vislora; echo "${COMPREPLY[@]}"`
			cmd := exec.Command(bash, "-c", script, "bash", file)
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != want {
				t.Errorf("%q completes to %q, want %q (%v)", words, out, want, err)
			}
		}
	}
}

// Flag beats file beats default, and a run's args.yaml is such a file.
func TestConfigFile(t *testing.T) {
	model, data, project := backbone(6).File(t), photos(t), t.TempDir()
	cfg := filepath.Join(t.TempDir(), "settings.yaml")
	write(t, cfg, []byte("model: "+model+"\ndata: "+data+"\nproject: "+project+"\nepochs: 2\nbatch: 4\nthreads: 1\nlr0: 0.004\naug:\n  hflip: 0.25\npreprocess:\n  preset: inception\n  mean: [0.1, 0.2, 0.3]\nlora:\n  r: 2\n  target_modules: [conv1, conv2]\n"))
	must(t, "train", "--cfg", cfg, "--epochs", "1", "--lora-alpha", "6", "--exist_ok")
	args := filepath.Join(project, "train", "args.yaml")
	read := func() string {
		b, err := os.ReadFile(args)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := read()
	for _, want := range []string{"epochs: 1\n", "batch: 4\n", "lr0: 0.004\n", "hflip: 0.25\n", "preset: inception\n", "mean: [0.1, 0.2, 0.3]\n", "r: 2\n", "lora_alpha: 6\n", "- conv1\n", "exist_ok: true\n", "weight_decay: 0.01\n"} {
		if !strings.Contains(first, want) {
			t.Errorf("args.yaml has no %q:\n%s", want, first)
		}
	}
	metrics := func() map[string]any {
		b, err := os.ReadFile(filepath.Join(project, "train", "metrics.json"))
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	loss := metrics()["loss"]
	must(t, "train", "--cfg="+args) // as it was
	if again := read(); again != first {
		t.Errorf("args.yaml fed back became\n%s\nit was\n%s", again, first)
	}
	if now := metrics()["loss"]; now != loss {
		t.Errorf("the same settings gave the loss %v, then %v", loss, now)
	}
	for _, one := range []string{"-cfg=", "-cfg "} { // one dash is the same flag
		a := append([]string{"train"}, strings.Fields(one+cfg)...)
		must(t, append(a, "--epochs", "1", "-exist_ok")...)
	}
	for text, words := range map[string][]string{
		"epoch: 3\n":                 {"settings.yaml", "line 1", "epoch", "is not a setting"},
		"epochs: many\n":             {"settings.yaml", "line 1", "many"},
		"epochs: [\n":                {"settings.yaml"},
		"lora: 3\n":                  {"settings.yaml"},
		"lora:\n  rank: 8\n":         {"rank"},
		"":                           {"--model"},
		"lora:\n":                    {"--model"},
		"epochs: -1\nlr0: -1\n":      {"epochs is -1", "lr0 is -1"},
		"aug:\n  hflip: 2\n":         {"hflip"},
		"mean: [1]\n":                {"mean", "is not a setting"},
		"preprocess:\n  mean: one\n": {"one"},
	} {
		write(t, cfg, []byte(text))
		vislora(t, "train", "--cfg", cfg).says(t, 2, words...)
	}
}

// What is printed for programs is one JSON value on stdout.
func TestJSON(t *testing.T) {
	tr := trainOnce(t, "--json")
	out := filepath.Join(t.TempDir(), "merged.onnx")
	for _, c := range []struct {
		args []string
		keys []string
	}{
		{[]string{"inspect", tr.model, "--json"}, []string{"path", "architecture", "sites", "features", "preprocess", "operators", "opset"}},
		{[]string{"val", "--weights", tr.dir, "--data", tr.data, "--json"}, []string{"accuracy_top1", "accuracy_top5", "balanced_accuracy", "macro_f1", "auroc", "loss", "per_class", "task", "model", "data", "split", "images", "seed", "seconds", "images_per_s", "peak_rss_mb", "trainable_params", "total_params"}},
		{[]string{"data", "check", tr.data, "--json"}, []string{"classes", "splits", "images", "sizes", "warnings"}},
		{[]string{"export", "--weights", tr.dir, "--out", out, "--json"}, []string{"out", "format", "bytes", "merged"}},
		{[]string{"bench", "--model", tr.model, "--batch", "2", "--threads", "1", "--steps", "2", "--lora-targets", "all", "--lora-r", "2"}, []string{"model", "mode", "dtype", "batch", "threads", "rank", "images_per_s", "ms_per_step", "peak_rss_mb", "trainable_params", "cpu_ms_per_image", "allocs_per_step"}},
		{[]string{"bench", "--model", tr.model, "--mode", "infer", "--batch", "2", "--threads", "1", "--steps", "9", "--max-seconds", "1e-9", "--profile"}, []string{"profile", "peak_gflops_per_s"}},
		{[]string{"bench", "--mode", "data", "--data", tr.data, "--threads", "1"}, []string{"images_per_s", "cpu_ms_per_image", "images", "decoder"}},
		{[]string{"train", "--model", tr.model, "--data", tr.data, "--project", tr.project, "--epochs", "1", "--batch", "4", "--mode", "linear-probe", "--json"}, []string{"dir", "best", "metrics"}},
	} {
		var m map[string]any
		r := must(t, c.args...)
		if err := json.Unmarshal([]byte(r.out), &m); err != nil {
			t.Errorf("%v: %v\n%s", c.args, err, r.out)
			continue
		}
		for _, k := range c.keys {
			if _, ok := m[k]; !ok {
				t.Errorf("%s has no %q", c.args[0], k)
			}
		}
	}
	var list []struct {
		File          string
		Width, Height int
		Predictions   []struct {
			Class int
			Name  string
			Score float64
		}
		Logits []float64
	}
	r := must(t, "predict", "--weights", tr.dir, "--source", filepath.Join(tr.data, "val"), "--nosave", "--save-logits", "--json")
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || len(list) != 4 || list[0].Width != 64 || len(list[0].Predictions) != 2 || len(list[0].Logits) != 2 ||
		list[0].Predictions[0].Score < list[0].Predictions[1].Score {
		t.Errorf("%v %+v", err, list)
	}
	// The merged file alone, without the run, predicts the same.
	bare := must(t, "predict", "--weights", out, "--source", filepath.Join(tr.data, "val"), "--nosave")
	with := must(t, "predict", "--weights", tr.dir, "--source", filepath.Join(tr.data, "val"), "--nosave")
	if bare.out != with.out || !strings.Contains(bare.out, "green") {
		t.Errorf("the merged file predicts\n%sthe run\n%s", bare.out, with.out)
	}
}

func TestVersion(t *testing.T) {
	must(t, "version").says(t, 0, "vislora ", "kernels", "images", "verify", "cpu")
}

// TestRunRealModel runs a trained SqueezeNet on a recorded input.
func TestRunRealModel(t *testing.T) {
	dir := testdata.Real(t, "squeezenet1.1")
	b, err := os.ReadFile(filepath.Join(dir, "ref", "ref.json"))
	if err != nil {
		t.Fatal(err)
	}
	type value struct {
		Name, Type, File string
		Dims             []int
		Stride           int
	}
	var refs []struct {
		Model           string
		Inputs, Outputs []value
	}
	if err := json.Unmarshal(b, &refs); err != nil {
		t.Fatal(err)
	}
	floats := func(v value) []float32 {
		b, err := os.ReadFile(filepath.Join(dir, "ref", v.File))
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, len(b)/4)
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		return out
	}
	ran := 0
	for _, ref := range refs {
		if ref.Inputs[0].Type != "float32" || ref.Outputs[0].Stride > 1 {
			continue
		}
		ran++
		in, out := ref.Inputs[0], t.TempDir()
		b, err := npy.Encode(ir.FromFloat32s("", floats(in), in.Dims...))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(out, "x.npy"), b)
		must(t, "run", filepath.Join(dir, ref.Model), "--input", in.Name+"="+filepath.Join(out, "x.npy"), "--out", out)
		got, err := npy.Read(filepath.Join(out, strings.ReplaceAll(ref.Outputs[0].Name, "/", "_")+".npy"))
		if err != nil {
			t.Fatal(err)
		}
		want := floats(ref.Outputs[0])
		y := got.Float32s()
		if len(y) != len(want) {
			t.Fatalf("%s: %d values, want %d", in.File, len(y), len(want))
		}
		var diff, top float64
		for i := range want {
			diff, top = math.Max(diff, math.Abs(float64(y[i]-want[i]))), math.Max(top, math.Abs(float64(want[i])))
		}
		if !(diff <= 1e-4*top) {
			t.Errorf("%s: off by %.2g of the range", in.File, diff/top)
		}
	}
	if ran == 0 {
		t.Error("no reference was compared")
	}
	// What does not fit is told with both shapes.
	small := filepath.Join(t.TempDir(), "small.npy")
	b, err = npy.Encode(ir.FromFloat32s("", make([]float32, 12), 1, 12))
	if err != nil {
		t.Fatal(err)
	}
	write(t, small, b)
	vislora(t, "run", filepath.Join(dir, refs[1].Model), "--input", refs[1].Inputs[0].Name+"="+small, "--out", t.TempDir()).says(t, 1, refs[1].Inputs[0].Name, "12")
}
