package engine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/lora"
	"gopkg.in/yaml.v3"
)

// readArgs reads the settings that a run was started with.
func readArgs(dir string) (TrainConfig, error) {
	c := DefaultTrainConfig()
	b, err := os.ReadFile(filepath.Join(dir, "args.yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("resume %s: there is no run in it (no args.yaml): give the directory that the interrupted run printed", dir)
	}
	if err != nil {
		return c, fmt.Errorf("resume %s: %w", dir, err)
	}
	if err := yaml.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("resume %s: read args.yaml: %w", dir, err)
	}
	if c.LoRA == nil {
		c.LoRA = lora.DefaultConfig()
	}
	return c, nil
}

// movedTo takes over from now what may differ when a run goes on: where model
// and data are, how many threads work and in how much memory.
func (c TrainConfig) movedTo(now TrainConfig) TrainConfig {
	c.Resume, c.Log, c.Progress, c.plain = now.Resume, now.Log, now.Progress, now.plain
	if now.Model != "" {
		c.Model = now.Model
	}
	if now.Data != "" {
		c.Data = now.Data
	}
	if now.Threads != 0 {
		c.Threads = now.Threads
	}
	if now.Workers != 0 {
		c.Workers = now.Workers
	}
	if now.Cache != "" {
		c.Cache = now.Cache
	}
	if now.Recompute {
		c.Recompute = true
	}
	if now.CachePrefix != "" {
		c.CachePrefix = now.CachePrefix
	}
	if now.MaxMemory != "" {
		c.MaxMemory = now.MaxMemory
	}
	if now.MicroBatch != 0 {
		c.MicroBatch = now.MicroBatch
	}
	return c
}

// directory makes or finds the run directory and locks it.
func (r *run) directory() (unlock func(), err error) {
	c := &r.c
	if c.Resume != "" {
		r.dir = c.Resume
		if unlock, err = lockRun(r.dir); err != nil {
			return nil, err
		}
		if err = r.decided(); err != nil {
			unlock()
			return nil, err
		}
		return unlock, nil
	}
	project := c.Project
	if project == "" {
		project = filepath.Join("runs", c.Task)
	}
	if r.dir, err = makeRunDir(project, c.Name, c.ExistOK); err != nil {
		return nil, err
	}
	if unlock, err = lockRun(r.dir); err != nil {
		return nil, err
	}
	b, err := yaml.Marshal(c)
	if err == nil {
		err = writeFile(filepath.Join(r.dir, "args.yaml"), b)
	}
	if err == nil { // --exist-ok: another run's state must not be gone on with
		err = dropState(filepath.Join(r.dir, "weights", "last"))
	}
	if err != nil {
		unlock()
		os.Remove(r.dir) // unless something is in it
		return nil, fmt.Errorf("start run: %w", err)
	}
	return unlock, nil
}

// decided writes down what a resumed run does otherwise about memory, for the next time.
func (r *run) decided() error {
	was, err := readArgs(r.dir)
	if err != nil || was.Recompute == r.c.Recompute && was.MicroBatch == r.c.MicroBatch {
		return err
	}
	was.Recompute, was.MicroBatch = r.c.Recompute, r.c.MicroBatch
	b, err := yaml.Marshal(&was)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(r.dir, "args.yaml"), b)
}

// dropState removes a training state, where there is one.
func dropState(dir string) error {
	for _, d := range []string{dir, dir + ".old"} {
		if err := os.Remove(filepath.Join(d, StateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// begin records what the run is made of and restores a resumed one.
func (r *run) begin() (err error) {
	c := &r.c
	last := filepath.Join(r.dir, "weights", "last")
	if r.base, err = lora.DescribeBase(c.Model, last); err != nil {
		return err
	}
	if r.origin, err = r.describe(); err != nil {
		return err
	}
	if c.Resume == "" {
		return nil
	}
	last = weightsDir(last)
	if _, err := os.Stat(filepath.Join(last, StateFile)); errors.Is(err, fs.ErrNotExist) {
		c.logf("resumes  from the start: no checkpoint was written yet")
		return nil
	}
	if r.at, err = r.loadState(last, r.changed); err != nil {
		return err
	}
	c.logf("resumes  after epoch %d, step %d", r.at.Epoch, r.at.Step)
	return nil
}

// The keys of what a run was started on.
const (
	originSettings = "settings"
	originModel    = "model_sha256"
	originData     = "data_sha256"
	originCounts   = "data_images"
	originCompute  = "compute"
)

// describe says what the run is started on.
func (r *run) describe() (map[string]string, error) {
	settings, err := r.c.settings()
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", r.data.Classes)
	for _, s := range r.data.Samples {
		fmt.Fprintf(h, "%s %q %d %v\n", s.Split, s.Name, s.Label, s.Labels)
	}
	compute := fmt.Sprintf("%d threads, %s kernels", r.session.team.Size(), r.session.kernels.Name())
	if m := r.c.MicroBatch; m > 0 {
		compute += fmt.Sprintf(", batches in parts of %d", m)
	}
	return map[string]string{
		originSettings: settings,
		originModel:    r.base.SHA256,
		originData:     fmt.Sprintf("%x", h.Sum(nil)),
		originCounts:   fmt.Sprintf("%d train and %d val images, %d classes", len(r.data.Split(datasets.Train)), len(r.data.Split(datasets.Val)), len(r.data.Classes)),
		originCompute:  compute,
	}, nil
}

// changed refuses to go on with another model, other data or other settings
// than a run was started with.
func (r *run) changed(was map[string]string) error {
	c, now := &r.c, r.origin
	if was[originModel] != now[originModel] {
		return fmt.Errorf("resume %s: %s is another file than the run began with (SHA-256 %.12s…, was %.12s…): give the right one with --model, or start a new run", r.dir, c.Model, now[originModel], was[originModel])
	}
	if diff := differences(was[originSettings], now[originSettings]); len(diff) > 0 {
		return fmt.Errorf("resume %s: the settings in args.yaml changed since the run began: %s: put them back, or start a new run", r.dir, strings.Join(diff, ", "))
	}
	if was[originData] != now[originData] {
		return fmt.Errorf("resume %s: the data in %s changed since the run began (%s; was %s): put it back, or start a new run", r.dir, c.Data, now[originCounts], was[originCounts])
	}
	if was[originCompute] != now[originCompute] {
		c.logf("note     %s, the run began with %s: the last digits will differ from a run in one piece", now[originCompute], was[originCompute])
	}
	return nil
}

// movable are settings without influence on the result, or checked otherwise.
var movable = []string{"model", "data", "threads", "workers", "cache", "cache_prefix", "recompute", "max_memory", "micro_batch", "project", "name", "exist_ok"}

// settings are the settings that decide the result, as YAML.
func (c *TrainConfig) settings() (string, error) {
	b, err := yaml.Marshal(c)
	if err != nil {
		return "", err
	}
	var doc map[string]any
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return "", err
	}
	for _, k := range movable {
		delete(doc, k)
	}
	b, err = yaml.Marshal(doc)
	return string(b), err
}

// differences compares two YAML documents, key by key.
func differences(was, now string) []string {
	a, b := map[string]string{}, map[string]string{}
	for i, text := range []string{was, now} {
		var doc map[string]any
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			return []string{"they cannot be read"}
		}
		flatten("", doc, []map[string]string{a, b}[i])
	}
	var out []string
	for _, k := range sortedKeys(b) {
		if a[k] != b[k] {
			out = append(out, fmt.Sprintf("%s is %s, was %s", k, b[k], a[k]))
		}
	}
	return out
}

// flatten writes nested settings as "lora.r": "8".
func flatten(prefix string, v map[string]any, dst map[string]string) {
	for k, x := range v {
		if m, ok := x.(map[string]any); ok {
			flatten(prefix+k+".", m, dst)
			continue
		}
		dst[prefix+k] = fmt.Sprint(x)
	}
}
