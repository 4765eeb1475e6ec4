package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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

// place is where a run stood when its state was written.
type place struct {
	Epoch    int       `json:"epoch"` // epochs finished
	Step     int       `json:"step"`  // batches of the next epoch done
	Updates  int       `json:"updates"`
	LossSum  float64   `json:"loss_sum"`
	Images   int       `json:"images"`
	Best     float64   `json:"best"`
	BestLoss float64   `json:"best_loss"`
	BestAt   int       `json:"best_epoch"`
	Seconds  float64   `json:"seconds"`
	Rows     []Row     `json:"rows"`
	Pending  []float64 `json:"pending,omitempty"`
}

// Row is one epoch of results.csv.
type Row struct {
	Epoch                              int     `json:"epoch"`
	Time                               float64 `json:"time"`
	TrainLoss, Top1, Top5, ValLoss, LR float64
}

// MarshalJSON writes undefined numbers (an epoch without validation) as null.
func (r Row) MarshalJSON() ([]byte, error) {
	num := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	return json.Marshal(map[string]any{"epoch": r.Epoch, "time": r.Time, "train/loss": num(r.TrainLoss), "metrics/accuracy_top1": num(r.Top1),
		"metrics/accuracy_top5": num(r.Top5), "val/loss": num(r.ValLoss), "lr/pg0": num(r.LR)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Row) UnmarshalJSON(b []byte) error {
	var m map[string]*float64
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	num := func(key string) float64 {
		if m[key] == nil {
			return math.NaN()
		}
		return *m[key]
	}
	*r = Row{int(num("epoch")), num("time"), num("train/loss"), num("metrics/accuracy_top1"), num("metrics/accuracy_top5"), num("val/loss"), num("lr/pg0")}
	return nil
}

// writeWeights replaces a folder of weights whole: it is written beside and
// renamed, and its predecessor removed only then.
func writeWeights(dir string, write func(tmp string) error) (err error) {
	tmp, old := dir+".new", dir+".old"
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
	rt := lora.Runtime{Format: lora.RuntimeFormat, Task: string(task), BaseModel: base, Sites: map[string]lora.SiteTensors{}, Classes: n.Classes, Decoder: cv.DecoderName()}
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

// saveState writes the training state.
func saveState(dir string, p place, params []optim.Param, opt optim.Optimizer, ema *optim.EMA) error {
	f := &safetensors.File{Tensors: map[string]safetensors.Tensor{}, Metadata: map[string]string{}}
	add := func(name string, v []float32) {
		b := make([]byte, 4*len(v))
		for i, x := range v {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
		}
		f.Tensors[name] = safetensors.Tensor{DType: safetensors.F32, Shape: []int{len(v)}, Data: b}
	}
	for _, q := range params {
		add("param/"+q.Name, q.Value)
	}
	s := opt.State()
	f.Metadata["optimizer_step"] = fmt.Sprint(s.Step)
	for _, t := range s.Tensors {
		add("optimizer/"+t.Name, t.Values)
	}
	if ema != nil {
		s := ema.State()
		f.Metadata["ema_step"] = fmt.Sprint(s.Step)
		for _, t := range s.Tensors {
			add("ema/"+t.Name, t.Values)
		}
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f.Metadata["place"] = string(b)
	return safetensors.Write(filepath.Join(dir, StateFile), f)
}

// loadState restores what saveState wrote into the same parameters.
func loadState(dir string, params []optim.Param, opt optim.Optimizer, ema *optim.EMA) (p place, err error) {
	path := filepath.Join(dir, StateFile)
	f, err := safetensors.Read(path)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(f.Metadata["place"]), &p); err != nil {
		return p, fmt.Errorf("read %s: where it stood: %w", path, err)
	}
	get := func(name string, dst []float32) error {
		t, ok := f.Tensors[name]
		if !ok || len(t.Data) != 4*len(dst) {
			return fmt.Errorf("read %s: tensor %q is missing or has another size: the run was started with other settings", path, name)
		}
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
		}
		return nil
	}
	for _, q := range params {
		if err := get("param/"+q.Name, q.Value); err != nil {
			return p, err
		}
	}
	restore := func(kind string, s optim.State, load func(optim.State) error) error {
		if _, err := fmt.Sscan(f.Metadata[kind+"_step"], &s.Step); err != nil {
			return fmt.Errorf("read %s: the %s's step: %w", path, kind, err)
		}
		tensors := make([]optim.Tensor, len(s.Tensors))
		for i, t := range s.Tensors {
			tensors[i] = optim.Tensor{Name: t.Name, Values: make([]float32, len(t.Values))}
			if err := get(kind+"/"+t.Name, tensors[i].Values); err != nil {
				return err
			}
		}
		s.Tensors = tensors
		return load(s)
	}
	if err := restore("optimizer", opt.State(), opt.Load); err != nil {
		return p, err
	}
	if ema != nil {
		return p, restore("ema", ema.State(), ema.Load)
	}
	return p, nil
}
