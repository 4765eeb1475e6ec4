package lora

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/safetensors"
)

// The files of an adapter's folder.
const (
	ConfigFile  = "adapter_config.json"
	WeightsFile = "adapter_model.safetensors"
)

// Load reads an adapter's folder, PEFT's or ours. Everything is checked that
// can be without the model: the configuration, that keys belong together, that
// shapes of A, B, magnitude and bias agree with each other and with the
// configured rank, that values are finite. See [Adapter.Bind] for the rest.
func Load(dir string) (*Adapter, error) {
	c, err := readConfig(filepath.Join(dir, ConfigFile))
	if err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("read %s:\n%w", filepath.Join(dir, ConfigFile), err)
	}
	path := filepath.Join(dir, WeightsFile)
	f, err := safetensors.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, e := os.Stat(filepath.Join(dir, "adapter_model.bin")); e == nil {
			return nil, fmt.Errorf("%w; adapter_model.bin is a Python pickle, which is not read: save the adapter again in PEFT with safe_serialization=True", err)
		}
	}
	if err != nil {
		return nil, err
	}
	a, err := assemble(c, f)
	if err != nil {
		return nil, fmt.Errorf("read %s:\n%w", path, err)
	}
	return a, nil
}

// assemble sorts the file's tensors into layers and saved parameters.
func assemble(c *Config, f *safetensors.File) (*Adapter, error) {
	a := &Adapter{Config: c, Layers: make(map[string]*Layer), Saved: make(map[string]*Tensor), Metadata: f.Metadata}
	var errs []error
	keys := make(map[string]string, len(f.Tensors)) // of saved parameters, by name
	for _, key := range f.Names() {
		t, err := decode(f.Tensors[key])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
			continue
		}
		if !strings.HasPrefix(key, prefix) {
			errs = append(errs, fmt.Errorf("%s does not begin with %q: this is not a file that PEFT wrote", key, prefix))
			continue
		}
		known, err := a.place(strings.TrimPrefix(key, prefix), t)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		if known || err != nil {
			continue
		}
		name := savedName(key)
		if other, dup := keys[name]; dup {
			errs = append(errs, fmt.Errorf("%s and %s are both the parameter %s", other, key, name))
		}
		keys[name], a.Saved[name] = key, t
	}
	if len(errs) == 0 {
		errs = a.check(keys)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return a, nil
}

// place puts the tensor of an adapted layer where it belongs; it returns false
// for any other tensor.
func (a *Adapter) place(name string, t *Tensor) (bool, error) {
	for _, s := range new(Layer).slots() {
		path, ok := strings.CutSuffix(name, s.key)
		if !ok {
			continue
		}
		if path == "" || t.Data == nil {
			return true, fmt.Errorf("%s of shape %v is no weight of a layer", t.DType, t.Shape)
		}
		l := a.Layers[path]
		if l == nil {
			l = &Layer{}
			a.Layers[path] = l
		}
		for _, own := range l.slots() {
			if own.key == s.key {
				*own.tensor = t
			}
		}
		return true, nil
	}
	if strings.Contains(name, ".lora_") {
		return true, errors.New("this kind of adapter weight is not known (wanted lora_A.weight, lora_B.weight, lora_B.bias, lora_magnitude_vector)")
	}
	return false, nil
}

// check completes the layers with rank and scaling and holds them against the
// configuration.
func (a *Adapter) check(keys map[string]string) []error {
	m, errs := compileMatcher(a.Config)
	if len(errs) > 0 {
		return errs
	}
	for _, path := range a.Paths() {
		l := a.Layers[path]
		if err := l.complete(path, a.Config, m); err != nil {
			errs = append(errs, err)
		}
	}
	for name, key := range keys {
		if want := a.savedKey(name); want != key {
			errs = append(errs, fmt.Errorf("%s should be %s: PEFT wraps adapted layers and no others", key, want))
		}
	}
	slices.SortFunc(errs, func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
	return errs
}

func (l *Layer) complete(path string, c *Config, m *matcher) error {
	at := func(key string) string { return prefix + path + key }
	if l.Delta != nil {
		if l.A != nil || l.B != nil || l.BiasB != nil || l.Magnitude != nil {
			return fmt.Errorf("%s stands beside other weights of the same layer", at(keyDelta))
		}
		return nil
	}
	if l.A == nil || l.B == nil {
		return fmt.Errorf("layer %s has only one of lora_A.weight and lora_B.weight", path)
	}
	sa, sb := l.A.Shape, l.B.Shape
	conv := len(sa) == 4
	if len(sa) != 2 && len(sa) != 4 || len(sa) != len(sb) || slices.Contains(sa, 0) || slices.Contains(sb, 0) {
		return fmt.Errorf("%s has shape %v and %s %v: wanted (r, in) and (out, r), or (r, in, kH, kW) and (out, r, 1, 1)", at(keyA), sa, at(keyB), sb)
	}
	r, out := sa[0], sb[0]
	if conv && (sb[2] != 1 || sb[3] != 1) || r%sb[1] != 0 || !conv && r != sb[1] {
		return fmt.Errorf("%s has shape %v, %s has %v: they do not share a rank", at(keyA), sa, at(keyB), sb)
	}
	want := m.rankOf(path)
	if c.Marks != nil && c.Marks.Sites[path].R > 0 {
		want = c.Marks.Sites[path].R
	}
	if r != want {
		return fmt.Errorf("%s has shape %v, so rank %d; %s gives this layer rank %d", at(keyA), sa, r, ConfigFile, want)
	}
	l.Rank, l.Alpha = r, m.alphaOf(path)
	l.Scaling = c.scaling(l.Alpha, r)
	if (l.Magnitude != nil) != c.UseDoRA {
		return fmt.Errorf("%s is %s, while use_dora is %t", at(keyMagnitude), presence(l.Magnitude), c.UseDoRA)
	}
	if (l.BiasB != nil) != c.LoraBias {
		return fmt.Errorf("%s is %s, while lora_bias is %t", at(keyBiasB), presence(l.BiasB), c.LoraBias)
	}
	if l.BiasB != nil && !slices.Equal(l.BiasB.Shape, []int{out}) {
		return fmt.Errorf("%s has shape %v, wanted %v", at(keyBiasB), l.BiasB.Shape, []int{out})
	}
	magnitude := []int{out}
	if conv {
		magnitude = []int{1, out, 1, 1}
	}
	if l.Magnitude != nil && !slices.Equal(l.Magnitude.Shape, magnitude) {
		return fmt.Errorf("%s has shape %v, wanted %v", at(keyMagnitude), l.Magnitude.Shape, magnitude)
	}
	return nil
}

func presence(t *Tensor) string {
	if t == nil {
		return "missing"
	}
	return "there"
}
