package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/internal/safetensors"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/optim"
)

// StateFile holds what a resumed run needs besides the adapter: the trained
// tensors to the last bit, the optimiser, the moving average, and where it was.
const StateFile = "train_state.safetensors"

// timesFile holds the wall-clock times of a run. They stand apart, so that the
// state's bytes depend on the run's settings alone.
const timesFile = "train_times.json"

// place is where a run stood when its state was written.
type place struct {
	Epoch   int     `json:"epoch"` // epochs finished
	Step    int     `json:"step"`  // batches of the next epoch done
	Updates int     `json:"updates"`
	Pending int     `json:"pending"` // batches whose gradients wait for an update
	LossSum float64 `json:"loss_sum"`
	Images  int     `json:"images"`
	First   float64 `json:"first_loss"` // of the run, against which divergence is judged
	// High is the highest validation accuracy so far, with the loss of its
	// epoch HighAt (0: none yet); BestAt is the epoch whose weights are kept.
	High     undefined `json:"high"`
	HighLoss undefined `json:"high_loss"`
	HighAt   int       `json:"high_epoch"`
	BestAt   int       `json:"best_epoch"`
	Rows     []Row     `json:"rows"`
	Seconds  float64   `json:"-"`
}

// undefined is a number that may not be one; in JSON it is null then.
type undefined float64

// MarshalJSON writes null for what is not finite.
func (u undefined) MarshalJSON() ([]byte, error) {
	if v := float64(u); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return json.Marshal(v)
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads null as NaN.
func (u *undefined) UnmarshalJSON(b []byte) error {
	v := math.NaN()
	if string(b) != "null" {
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
	}
	*u = undefined(v)
	return nil
}

// judge compares the epoch that just ended with those before and reports
// whether its weights are the ones to keep. That is so while its accuracy, on n
// trials, lies within one standard error √(p(1−p)/n) of the highest
// p so far (Breiman et al. 1984, Classification and Regression Trees, §3.4.3):
// of epochs that so few images cannot tell apart, the later one was trained at
// a lower learning rate and varies less, where an early spike is mostly luck.
// Without a validation split every epoch is kept.
func (p *place) judge(r Row, n int) (keep bool) {
	high := float64(p.High)
	if p.HighAt == 0 || math.IsNaN(r.Score) || math.IsNaN(high) || r.Score > high || r.Score == high && r.ValLoss < float64(p.HighLoss) {
		high = r.Score
		p.High, p.HighLoss, p.HighAt = undefined(r.Score), undefined(r.ValLoss), r.Epoch
	}
	if math.IsNaN(r.Score) || r.Score >= high-math.Sqrt(high*(1-high)/float64(max(n, 1))) {
		p.BestAt = r.Epoch
		return true
	}
	return false
}

// times is timesFile.
type times struct {
	Seconds float64   `json:"seconds"`
	Epochs  []float64 `json:"epochs"` // seconds from the start to each epoch's end
}

// Row is one epoch of results.csv.
type Row struct {
	Epoch int
	Time  float64 // seconds since the start; kept in timesFile
	// Score is what the best epoch is chosen by, Second a measure beside it:
	// top-1 and top-5 accuracy; mAP50-95 and mAP50; mIoU and Dice.
	TrainLoss, Score, Second, ValLoss, LR float64
}

// MarshalJSON writes undefined numbers (an epoch without validation) as null,
// and no time.
func (r Row) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]undefined{"epoch": undefined(r.Epoch), "train/loss": undefined(r.TrainLoss), "score": undefined(r.Score),
		"second": undefined(r.Second), "val/loss": undefined(r.ValLoss), "lr/pg0": undefined(r.LR)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Row) UnmarshalJSON(b []byte) error {
	var m map[string]undefined
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	num := func(key string) float64 { return float64(m[key]) }
	*r = Row{Epoch: int(num("epoch")), TrainLoss: num("train/loss"), Score: num("score"), Second: num("second"), ValLoss: num("val/loss"), LR: num("lr/pg0")}
	return nil
}

// writeWeights replaces a folder of weights whole: it is written beside and
// renamed, and its predecessor removed only then.
func writeWeights(dir string, write func(tmp string) error) (err error) {
	tmp, old := dir+".new", dir+".old"
	if weightsDir(dir) == old { // left by a crash: the only copy there is
		if err := os.Rename(old, dir); err != nil {
			return err
		}
	}
	for _, d := range []string{tmp, old} {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
		}
	}()
	if err := write(tmp); err != nil {
		return err
	}
	if _, statErr := os.Stat(dir); statErr == nil {
		if err := os.Rename(dir, old); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return os.RemoveAll(old)
}

// weightsDir returns the folder of weights, or the predecessor that a crash
// between the two renames of writeWeights left.
func weightsDir(dir string) string {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir + ".old"); err == nil {
			return dir + ".old"
		}
	}
	return dir
}

// saveAdapter writes adapter, head and runtime metadata into a folder. base is
// the model's record made once per run.
func (n *Network) saveAdapter(dir string, base lora.BaseModel, task vision.Task, pre vision.Preprocess) error {
	if n.Adapter == nil {
		n.Adapter = &lora.Adapter{Config: lora.DefaultConfig(), Layers: map[string]*lora.Layer{}, Saved: map[string]*lora.Tensor{}, Metadata: map[string]string{"format": "pt"}}
	}
	n.collect()
	if n.Head != nil && !slices.Contains(n.Adapter.Config.ModulesToSave, "head") {
		n.Adapter.Config.ModulesToSave = append(n.Adapter.Config.ModulesToSave, "head")
	}
	if err := n.Adapter.Save(dir); err != nil {
		return err
	}
	rt := lora.Runtime{Format: lora.RuntimeFormat, Task: string(task), BaseModel: base, Sites: map[string]lora.SiteTensors{}, Classes: n.Classes, MultiLabel: n.MultiLabel, BatchNorm: n.options.KeepBatchNorm, Decoder: cv.DecoderName()}
	if n.Plan != nil {
		for _, s := range n.Plan.Sites {
			rt.Sites[s.Site.Path] = n.siteTensors(s)
		}
	}
	var err error
	if rt.Preprocess, err = json.Marshal(pre); err != nil {
		return err
	}
	if n.Head != nil {
		if rt.Head, err = json.Marshal(n.Head); err != nil {
			return err
		}
	}
	return rt.Write(dir)
}

func (n *Network) siteTensors(s lora.Spec) lora.SiteTensors {
	origin := func(name string) string {
		if t := n.Annotation.Graph.Tensors[name]; t != nil && t.Origin != nil {
			return t.Origin.Name
		}
		return name
	}
	st := lora.SiteTensors{Weight: origin(s.Site.Weight), Transposed: n.storedTransposed(s.Site.Weight)}
	if s.Site.Bias != "" {
		st.Bias = origin(s.Site.Bias)
	}
	return st
}

// training is what a checkpoint restores: the same tensors in the same order
// as when it was written.
type training struct {
	params []optim.Param
	opt    optim.Optimizer
	ema    *optim.EMA // nil: none
	// origin says what the run was started on; a resumed run must have the same.
	origin map[string]string
}

// saveState writes the training state.
func (t *training) saveState(dir string, p place) error {
	f := &safetensors.File{Tensors: map[string]safetensors.Tensor{}, Metadata: map[string]string{}}
	add := func(name string, v []float32) {
		b := make([]byte, 4*len(v))
		for i, x := range v {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
		}
		f.Tensors[name] = safetensors.Tensor{DType: safetensors.F32, Shape: []int{len(v)}, Data: b}
	}
	for _, q := range t.params {
		add("param/"+q.Name, q.Value)
		if p.Pending > 0 {
			add("grad/"+q.Name, q.Grad)
		}
	}
	s := t.opt.State()
	f.Metadata["optimizer_step"] = fmt.Sprint(s.Step)
	for _, v := range s.Tensors {
		add("optimizer/"+v.Name, v.Values)
	}
	if t.ema != nil {
		s := t.ema.State()
		f.Metadata["ema_step"] = fmt.Sprint(s.Step)
		for _, v := range s.Tensors {
			add("ema/"+v.Name, v.Values)
		}
	}
	maps.Copy(f.Metadata, t.origin)
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f.Metadata["place"] = string(b)
	if err := safetensors.Write(filepath.Join(dir, StateFile), f); err != nil {
		return err
	}
	w := times{Seconds: p.Seconds}
	for _, r := range p.Rows {
		w.Epochs = append(w.Epochs, r.Time)
	}
	if b, err = json.Marshal(w); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, timesFile), append(b, '\n'))
}

// loadState restores what saveState wrote into the same parameters. changed is
// asked first, with what the run was started on.
func (t *training) loadState(dir string, changed func(origin map[string]string) error) (p place, err error) {
	path := filepath.Join(dir, StateFile)
	f, err := safetensors.Read(path)
	if err != nil {
		return p, err
	}
	if err := changed(f.Metadata); err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(f.Metadata["place"]), &p); err != nil {
		return p, fmt.Errorf("read %s: where it stood: %w", path, err)
	}
	get := func(name string, dst []float32) error {
		v, ok := f.Tensors[name]
		if !ok || len(v.Data) != 4*len(dst) {
			return fmt.Errorf("read %s: tensor %q is missing or has another size: the run was started with other settings", path, name)
		}
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(v.Data[4*i:]))
		}
		return nil
	}
	for _, q := range t.params {
		if err := get("param/"+q.Name, q.Value); err != nil {
			return p, err
		}
		if p.Pending > 0 {
			if err := get("grad/"+q.Name, q.Grad); err != nil {
				return p, err
			}
		}
	}
	restore := func(kind string, s optim.State, load func(optim.State) error) error {
		if _, err := fmt.Sscan(f.Metadata[kind+"_step"], &s.Step); err != nil {
			return fmt.Errorf("read %s: the %s's step: %w", path, kind, err)
		}
		tensors := make([]optim.Tensor, len(s.Tensors))
		for i, v := range s.Tensors {
			tensors[i] = optim.Tensor{Name: v.Name, Values: make([]float32, len(v.Values))}
			if err := get(kind+"/"+v.Name, tensors[i].Values); err != nil {
				return err
			}
		}
		s.Tensors = tensors
		return load(s)
	}
	if err := restore("optimizer", t.opt.State(), t.opt.Load); err != nil {
		return p, err
	}
	if t.ema != nil {
		if err := restore("ema", t.ema.State(), t.ema.Load); err != nil {
			return p, err
		}
	}
	// Times are for people: a run goes on without them.
	var w times
	if b, err := os.ReadFile(filepath.Join(dir, timesFile)); err == nil && json.Unmarshal(b, &w) == nil {
		p.Seconds = w.Seconds
		for i := range min(len(p.Rows), len(w.Epochs)) {
			p.Rows[i].Time = w.Epochs[i]
		}
	}
	return p, nil
}
