package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnx/onnxtest"
)

// TestUsage: wrong use of the program exits with 2 and says how it is meant.
func TestUsage(t *testing.T) {
	model, data := backbone(6).File(t), photos(t)
	for _, c := range []struct {
		args  string
		words []string
	}{
		{"", []string{"Commands:", "vislora train"}},
		{"trian", []string{`unknown command "trian"`, "Commands:"}},
		{"train --modle x", []string{"not defined: -modle", "vislora train --help"}},
		{"train", []string{"--model", "--data"}},
		{"train --model M --data D extra", []string{`unexpected argument "extra"`}},
		{"train --model M --data D --epochs many", []string{"epochs", "many"}},
		{"train --model M --data D --epochs -1 --batch -1 --mode half", []string{"epochs is -1", "batch is -1", `mode is "half"`, "linear-probe"}},
		{"train --model M --data D --lr0 1e6", []string{"lr0 is 1e+06", "1000"}},
		{"train --model M --data D --lr0 NaN", []string{"lr0 is NaN"}},
		{"train --model M --data D --optimizer lion", []string{"optimizer", "lion", "adamw"}},
		{"train --model M --data D --mean 1,x", []string{"mean", "1,x"}},
		{"train --model M --data D --scale 1", []string{"scale", "two numbers"}},
		{"train --model M --data D --lora-targets qkv --lora-r 0", []string{"r is 0"}},
		{"train --model M --data D --lora-targets conv(1", []string{"target_modules", "conv(1", "missing closing )"}},
		{"train --cfg nowhere.yaml", []string{"nowhere.yaml"}},
		{"train --resume D --lr0 1 --epochs 3", []string{"--epochs, --lr0", "own settings"}},
		{"val --weights W", []string{"--data"}},
		{"predict --weights M --source", []string{"source"}},
		{"predict --weights M --source=", []string{"no source given", "--source FILE"}},
		{"predict --weights M --source D --top 0", []string{"--top is 0"}},
		{"export --weights M", []string{"--out"}},
		{"inspect", []string{"want one model"}},
		{"run M --out D", nil},
		{"run M --input x --out D", []string{"NAME=FILE.npy"}},
		{"data check", []string{"data check PATH"}},
		{"completion fish", []string{"fish", "bash"}},
	} {
		args := strings.Fields(c.args)
		for i := range args {
			args[i] = strings.NewReplacer("M", model, "D", data).Replace(args[i])
		}
		code := 2
		if strings.HasPrefix(c.args, "run M --out") {
			code, c.words = 1, []string{`no array for input "image"`, "--input image="}
		}
		t.Run(c.args, func(t *testing.T) { vislora(t, args...).says(t, code, c.words...) })
	}
}

// TestFailures: what is wrong with files exits with 1; nothing is left behind.
func TestFailures(t *testing.T) {
	model, data, dir := backbone(6).File(t), photos(t), t.TempDir()
	put := func(name string, b []byte) string {
		write(t, filepath.Join(dir, name), b)
		return filepath.Join(dir, name)
	}
	whole, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	unknown := onnxtest.New(13).Input("image", ir.Float, -1, 3, 32, 32).
		Node("Wobble", nil, []string{"image"}, []string{"a"}).NodeNamed("second", "com.acme", "Twist", nil, []string{"a"}, []string{"b"}).
		Node("Wobble", nil, []string{"b"}, []string{"y"}).Opset("com.acme", 2).Output("y", ir.Float, -1, 3, 32, 32).File(t)
	cycle := onnxtest.New(13).Input("image", ir.Float, -1, 3, 32, 32).
		Node("Add", nil, []string{"image", "b"}, []string{"a"}).Node("Relu", nil, []string{"a"}, []string{"b"}).Output("b", ir.Float, -1, 3, 32, 32).File(t)
	project := filepath.Join(dir, "runs")
	train := func(model, data string, more ...string) []string {
		return append([]string{"train", "--model", model, "--data", data, "--project", project, "--threads", "1", "--batch", "4", "--epochs", "2"}, more...)
	}
	names := put("names.txt", []byte("a\nb\nc\n"))
	onlyTrain := t.TempDir()
	write(t, filepath.Join(onlyTrain, "one", "1.png"), encoded(t, picture(0, 1), ".png"))
	for _, c := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"no such model", train(filepath.Join(dir, "none.onnx"), data), []string{"none.onnx", "no such file"}},
		{"model is a folder", train(dir, data), []string{dir}},
		{"model is text", train(put("text.onnx", []byte("this is not a model, it is text\n")), data), []string{"read", "text.onnx"}},
		{"model is empty", train(put("empty.onnx", nil), data), []string{"empty.onnx"}},
		{"model is truncated", train(put("cut.onnx", whole[:len(whole)*2/3]), data), []string{"read", "cut.onnx"}},
		{"cycle", train(cycle, data), []string{"cycle"}},
		{"operators that are missing", train(unknown, data), []string{"2 operators are not supported", "Wobble (opset 13, node \"Wobble_0\" and 1 more)", "com.acme.Twist (opset 2, node \"second\")"}},
		{"the same from inspect", []string{"inspect", unknown}, []string{"Wobble", "com.acme.Twist"}},
		{"no such data", train(model, filepath.Join(dir, "nowhere")), []string{"read data", "nowhere"}},
		{"data is a model", train(model, model), []string{"neither a folder nor a .csv"}},
		{"one class", train(model, onlyTrain), []string{"1 class", "at least two class folders"}},
		{"target that matches nothing", train(model, data, "--lora-targets", "covn1"), []string{`"covn1" matches none of the`, "near it", "conv1"}},
		{"pattern that matches nothing", train(model, data, "--lora-targets", ".*attn.*"), []string{"attn"}},
		{"r larger than the layer", train(model, data, "--lora-r", "512"), []string{"rank 512", "parameters", "adapts no layer"}},
		{"unknown preset", train(model, data, "--preset", "imgnet"), []string{"imgnet", "imagenet"}},
		{"mean of two values", train(model, data, "--mean", "1,2"), []string{"mean has 2 values", "1 or 3"}},
		{"name with a slash", train(model, data, "--name", "a/b"), []string{`"a/b"`, "--project"}},
		{"resume of nothing", []string{"train", "--resume", filepath.Join(dir, "no-run")}, []string{"resume", "no-run", "no run in it"}},
		{"resume of a data folder", []string{"train", "--resume", data}, []string{"no args.yaml"}},
		{"val of nothing", []string{"val", "--weights", filepath.Join(dir, "no-run"), "--data", data}, []string{"no-run"}},
		{"val of a folder without adapter", []string{"val", "--weights", data, "--data", data}, []string{"neither a run directory nor an adapter", "adapter_config.json"}},
		{"val of an unnamed model", []string{"val", "--weights", model, "--data", data}, []string{"does not name its 6 classes", "green, red", "--names"}},
		{"names of another number", []string{"predict", "--weights", model, "--source", data, "--names", names}, []string{"6 classes", "names.txt", "3 class names"}},
		{"names that are missing", []string{"predict", "--weights", model, "--source", data, "--names", filepath.Join(dir, "n.txt")}, []string{"class names", "n.txt"}},
		{"source without images", []string{"predict", "--weights", model, "--source", t.TempDir()}, []string{"no image in it", ".jpg"}},
		{"source that is missing", []string{"predict", "--weights", model, "--source", filepath.Join(dir, "x*.jpg")}, []string{"x*.jpg", "no file matches"}},
		{"source that is no image", []string{"predict", "--weights", model, "--source", names}, []string{"none of the 1 images", "names.txt"}},
		{"threads", []string{"predict", "--weights", model, "--source", data, "--threads", "100000"}, []string{"threads is 100000", "1024"}},
		{"peft export of a bare model", []string{"export", "--weights", model, "--format", "peft", "--out", filepath.Join(dir, "p")}, []string{"no adapter"}},
		{"export format", []string{"export", "--weights", model, "--format", "tflite", "--out", filepath.Join(dir, "p")}, []string{"tflite", "onnx or peft"}},
		{"export onto the base model", []string{"export", "--weights", model, "--out", model}, []string{"base model itself", "another name"}},
		{"export into a folder that is missing", []string{"export", "--weights", model, "--out", filepath.Join(dir, "no", "such", "m.onnx")}, []string{"m.onnx"}},
		{"array that is missing", []string{"run", model, "--input", "image=" + filepath.Join(dir, "x.npy"), "--out", dir}, []string{"x.npy"}},
		{"array that is text", []string{"run", model, "--input", "image=" + names, "--out", dir}, []string{"names.txt"}},
		{"input that is missing", []string{"run", model, "--input", "imgae=" + names, "--out", dir}, []string{`"image"`}},
		{"bench dtype", []string{"bench", "--model", model, "--dtype", "int4"}, []string{"int4"}},
		{"bench of pictures that are missing", []string{"bench", "--mode", "data", "--data", filepath.Join(dir, "no")}, []string{filepath.Join(dir, "no")}},
		{"bench mode", []string{"bench", "--model", model, "--mode", "fly"}, []string{"fly", "infer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := vislora(t, c.args...)
			r.says(t, 1, c.words...)
			if strings.TrimSpace(r.err) == "" {
				t.Error("nothing is said")
			}
			if _, err := os.Stat(project); err == nil {
				if left := leftovers(t, project); len(left) > 0 {
					t.Errorf("a run that could not start left %v", left)
				}
			}
		})
	}
	if now, err := os.ReadFile(model); err != nil || string(now) != string(whole) {
		t.Errorf("the base model changed: %v", err)
	}
}

// TestDoubtfulData: files that cannot be used are named and counted, and the
// run goes on with the others.
func TestDoubtfulData(t *testing.T) {
	data := photos(t)
	jpg := encoded(t, picture(0, 50), ".jpg")
	write(t, filepath.Join(data, "train/red/cut.jpg"), jpg[:len(jpg)/2])
	write(t, filepath.Join(data, "train/red/zero.jpg"), nil)
	write(t, filepath.Join(data, "train/green/text.png"), []byte("I am no picture\n"))
	write(t, filepath.Join(data, "train/green/huge.png"), hugePNG())
	if err := os.MkdirAll(filepath.Join(data, "train/blue"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "val/violet/1.png"), encoded(t, picture(2, 1), ".png"))
	copied, err := os.ReadFile(filepath.Join(data, "train/red/0.png"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "val/red/copy.png"), copied)
	words := []string{"train/red/cut.jpg", "train/red/zero.jpg", "0 bytes", "train/green/text.png", "text", "train/green/huge.png", "not used: 4 of",
		"train/blue has no images", "violet", "cannot be learnt", "leakage", "train/red/0.png = val/red/copy.png"}
	vislora(t, "data", "check", data).says(t, 0, words...)
	project := t.TempDir()
	r := vislora(t, "train", "--model", backbone(6).File(t), "--data", data, "--project", project, "--epochs", "1", "--batch", "4", "--threads", "1", "--mode", "linear-probe")
	r.says(t, 0, words...)
	var m struct {
		Images int `json:"images"`
	}
	b, err := os.ReadFile(filepath.Join(project, "train", "metrics.json"))
	if err != nil || json.Unmarshal(b, &m) != nil || m.Images != 6 {
		t.Errorf("val had %d images, want 6: %v", m.Images, err)
	}
	run := filepath.Join(project, "train")
	vislora(t, "val", "--weights", run, "--data", data, "--split", "test").says(t, 1, "no test split", "train, val", "--split")
	vislora(t, "val", "--weights", run, "--data", data, "--split", "tset").says(t, 1, "no tset split")
	write(t, filepath.Join(data, "val/octarine/1.png"), encoded(t, picture(2, 9), ".png"))
	vislora(t, "val", "--weights", run, "--data", data).says(t, 1, "octarine", "not in the list of classes", "green, red, violet")
	// predict names what it cannot read and goes on.
	p := vislora(t, "predict", "--weights", run, "--source", filepath.Join(data, "train"), "--nosave")
	p.says(t, 0, "skipped", "cut.jpg", "zero.jpg", "text.png", "huge.png", "0.png")
	if n := strings.Count(p.out, "\n"); n != 10 {
		t.Errorf("%d pictures were predicted, want 10:\n%s", n, p.out)
	}
}

func TestDivergingRate(t *testing.T) {
	model, data, project := backbone(6).File(t), photos(t), t.TempDir()
	r := vislora(t, "train", "--model", model, "--data", data, "--project", project, "--epochs", "12", "--batch", "4", "--threads", "1", "--lr0", "1000", "--warmup", "1", "--augment=false")
	r.says(t, 1, "diverged", "learning rate", "--lr0", "epoch")
	if strings.Contains(r.err, "last good weights are in") {
		must(t, "val", "--weights", filepath.Join(project, "train", "weights", "last"), "--data", data)
	}
}

// TestChangedModel: an adapter belongs to one file.
func TestChangedModel(t *testing.T) {
	tr := trainOnce(t)
	other := backbone(6).Metadata("note", "changed").File(t)
	vislora(t, "val", "--weights", tr.dir, "--data", tr.data, "--model", other).says(t, 1, other, "SHA-256", tr.model, "give that file")
	b, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	was, err := os.ReadFile(tr.model)
	if err != nil {
		t.Fatal(err)
	}
	write(t, tr.model, b)
	vislora(t, "predict", "--weights", tr.dir, "--source", tr.data).says(t, 1, "base model", tr.model, "SHA-256", "--model")
	vislora(t, "train", "--resume", tr.dir).says(t, 1, "resume", tr.model, "another file", "SHA-256")
	out := filepath.Join(t.TempDir(), "m.onnx")
	vislora(t, "export", "--weights", tr.dir, "--out", out).says(t, 1, "SHA-256")
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was exported all the same")
	}
	// The right file somewhere else is found when it is given.
	moved := filepath.Join(t.TempDir(), "moved.onnx")
	write(t, moved, was)
	if err := os.Remove(tr.model); err != nil {
		t.Fatal(err)
	}
	vislora(t, "val", "--weights", tr.dir, "--data", tr.data).says(t, 1, "absent", "--model")
	must(t, "val", "--weights", tr.dir, "--data", tr.data, "--model", moved)
}

func TestPlacesThatCannotBeWritten(t *testing.T) {
	model, data := backbone(6).File(t), photos(t)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, []byte("in the way"))
	args := []string{"train", "--model", model, "--data", data, "--epochs", "1", "--batch", "4", "--threads", "1"}
	vislora(t, append(args, "--project", file)...).says(t, 1, "run directory", file, "--project")
	vislora(t, append(args, "--project", filepath.Dir(file), "--name", "file", "--exist-ok")...).says(t, 1, file, "no folder", "--name")
	if b, _ := os.ReadFile(file); string(b) != "in the way" {
		t.Error("the file in the way was written to")
	}
	vislora(t, "predict", "--weights", model, "--source", data, "--project", file).says(t, 1, "run directory", file)
	if os.Getuid() != 0 {
		sealed := t.TempDir()
		if err := os.Chmod(sealed, 0o555); err != nil {
			t.Fatal(err)
		}
		vislora(t, append(args, "--project", sealed)...).says(t, 1, sealed, "permission denied", "--project")
	}
}

// TestTwoRunsInOneFolder: the second is refused while the first works.
func TestTwoRunsInOneFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("locks are those of Unix")
	}
	tr := trainOnce(t)
	f, err := os.OpenFile(filepath.Join(tr.dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	args, err := os.ReadFile(filepath.Join(tr.dir, "args.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	again := []string{"train", "--model", tr.model, "--data", tr.data, "--project", tr.project, "--epochs", "2", "--batch", "4", "--threads", "1", "--exist-ok"}
	vislora(t, again...).says(t, 1, tr.dir, "in use by another run", "--name")
	vislora(t, "train", "--resume", tr.dir).says(t, 1, "in use by another run")
	if now, _ := os.ReadFile(filepath.Join(tr.dir, "args.yaml")); string(now) != string(args) {
		t.Error("the second run wrote into the folder")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	must(t, again...)
}

// TestFullDisk trains onto a file system of 300 KB, of which a part is taken:
// there is no room for the first checkpoint, or for what comes after it. With
// room again the run goes on where it stood.
func TestFullDisk(t *testing.T) {
	for _, c := range []struct {
		filler int // KB
		words  []string
	}{{284, []string{"save ", "no space left on device", "what was saved before is whole", "--resume"}}, {190, []string{"no space left on device"}}} {
		mount := t.TempDir()
		if err := mountSmall(mount, "300k"); err != nil {
			t.Skipf("needs root and a tmpfs to mount: %v", err)
		}
		t.Cleanup(func() {
			if err := unmount(mount); err != nil {
				t.Error(err)
			}
		})
		model, data := backbone(6).File(t), photos(t)
		write(t, filepath.Join(mount, "filler"), make([]byte, c.filler<<10))
		vislora(t, "train", "--model", model, "--data", data, "--project", mount, "--epochs", "3", "--batch", "4", "--threads", "1", "--lora-r", "2").
			says(t, 1, append(c.words, mount)...)
		for _, f := range leftovers(t, mount) {
			if strings.HasSuffix(f, ".new") || strings.HasSuffix(f, ".tmp") || strings.Contains(filepath.Base(f), ".vislora-") {
				t.Errorf("left behind: %s", f)
			}
			if b := filepath.Base(f); b == "best" || b == "last" {
				must(t, "val", "--weights", f, "--data", data)
			}
		}
		if err := os.Remove(filepath.Join(mount, "filler")); err != nil {
			t.Fatal(err)
		}
		if err := remount(mount, "20m"); err != nil {
			t.Fatal(err)
		}
		must(t, "train", "--resume", filepath.Join(mount, "train"))
	}
}
