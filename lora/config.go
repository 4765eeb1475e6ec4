package lora

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Config is an adapter's configuration. Fields, JSON and YAML names are those
// of PEFT's LoraConfig. Keys of a file that are not among them are kept and
// written back as they were.
type Config struct {
	// R is the rank of the update, default 8.
	R int `yaml:"r"`
	// LoraAlpha sets the scaling: LoraAlpha/R, or LoraAlpha/√R with UseRSLoRA.
	// The default is 16 here, 8 in PEFT: a file without it means 8.
	LoraAlpha float64 `yaml:"lora_alpha"`
	// LoraDropout is the probability with which an element of A's input is
	// zeroed in training, default 0.
	LoraDropout float64 `yaml:"lora_dropout"`
	// TargetModules chooses the layers to adapt, ExcludeModules takes some away.
	TargetModules  Modules `yaml:"target_modules"`
	ExcludeModules Modules `yaml:"exclude_modules"`
	// RankPattern and AlphaPattern give single layers their own R and
	// LoraAlpha. A key is a regular expression for the path or for its end
	// after a dot; the first that matches wins.
	RankPattern  Pattern[int]     `yaml:"rank_pattern"`
	AlphaPattern Pattern[float64] `yaml:"alpha_pattern"`
	// ModulesToSave are trained as a whole and saved with the adapter; a name
	// means every module whose path ends in it. The head of a task is saved
	// whether it is listed or not.
	ModulesToSave []string `yaml:"modules_to_save"`
	// Bias trains the model's own biases: "none", "all" or "lora_only".
	Bias string `yaml:"bias"`
	// LoraBias gives B a bias.
	LoraBias bool `yaml:"lora_bias"`
	// UseRSLoRA scales by alpha/√r, so that large ranks learn as fast as small.
	UseRSLoRA bool `yaml:"use_rslora"`
	// UseDoRA trains a magnitude per output channel beside the direction.
	UseDoRA bool `yaml:"use_dora"`
	// InitLoraWeights is how A and B begin, default "true".
	InitLoraWeights Init `yaml:"init_lora_weights"`
	// LayersToTransform keeps the targets of a list in these blocks only, the
	// index being what stands in the path after a name of LayersPattern. PEFT
	// wants a name before that: "vit.layer.3.q", not "layer.3.q".
	LayersToTransform Ints    `yaml:"layers_to_transform"`
	LayersPattern     Strings `yaml:"layers_pattern"`
	// Blocks keeps the adapters in these blocks of the model alone, however the
	// targets are chosen; see [ParseBlocks]. PEFT does not have it: a file that it
	// led to names the layers one by one.
	Blocks Ints `yaml:"blocks,omitempty"`
	// FanInFanOut says that the PyTorch layer kept its weight as (in, out). A
	// and B do not depend on it, so it is carried along and has no effect.
	FanInFanOut bool `yaml:"fan_in_fan_out"`

	// BaseModel is base_model_name_or_path, free text.
	BaseModel string `yaml:"-"`
	// PeftType is "LORA".
	PeftType string `yaml:"-"`
	// InferenceMode is true in files: PEFT loads them frozen.
	InferenceMode bool `yaml:"-"`
	// Marks tells which layers of the adapter PEFT cannot run; nil if none.
	Marks *Marks `yaml:"-"`

	// raw is the file's own text, key by key; it is never changed.
	raw []member
}

// DefaultConfig returns vislora's defaults: r 8, alpha 16, no targets yet.
func DefaultConfig() *Config {
	c := peftConfig()
	c.LoraAlpha = 16
	return c
}

// peftConfig holds what a key that is missing from a file means.
func peftConfig() *Config {
	return &Config{R: 8, LoraAlpha: 8, Bias: "none", InitLoraWeights: "true", PeftType: "LORA", InferenceMode: true}
}

// Clone returns a copy that shares nothing that is ever changed.
func (c *Config) Clone() *Config {
	d := *c
	d.TargetModules.List = slices.Clone(c.TargetModules.List)
	d.ExcludeModules.List = slices.Clone(c.ExcludeModules.List)
	d.RankPattern = slices.Clone(c.RankPattern)
	d.AlphaPattern = slices.Clone(c.AlphaPattern)
	d.ModulesToSave = slices.Clone(c.ModulesToSave)
	d.LayersToTransform = slices.Clone(c.LayersToTransform)
	d.LayersPattern = slices.Clone(c.LayersPattern)
	d.Blocks = slices.Clone(c.Blocks)
	return &d
}

// SavesModule reports whether modules_to_save names the module at path. Like
// PEFT it asks only how the path ends: "head" also names "aux_head".
func (c *Config) SavesModule(path string) bool {
	return slices.ContainsFunc(c.ModulesToSave, func(m string) bool { return strings.HasSuffix(path, m) })
}

// marksFormat is the version of [Marks].
const marksFormat = 1

// Marks is the key "vislora" of adapter_config.json. PEFT ignores it.
type Marks struct {
	// Format is the version of these marks, 1.
	Format int `json:"format"`
	// Sites lists the layers whose adapter is not one of PEFT's.
	Sites map[string]Mark `json:"sites"`
}

// Mark says why one layer's adapter is not one of PEFT's.
type Mark struct {
	// NotPEFT holds "grouped", "dilated" or "delta".
	NotPEFT []string `json:"not_peft"`
	// R is the rank in the file, which may be above the configuration's
	// because it is a multiple of Groups; 0 for a delta.
	R        int   `json:"r,omitempty"`
	Groups   int   `json:"groups,omitempty"`
	Dilation []int `json:"dilation,omitempty"`
}

// Init is init_lora_weights:
//
//	true       A uniform in ±1/√fan_in (Kaiming, a = √5), B zero
//	gaussian   A normal with standard deviation 1/r, B zero
//	false      A and B both uniform in ±1/√fan_in: the model changes at once
//
// PEFT's other names (pissa, olora, eva …) are read and kept; an adapter
// cannot be started with them here.
type Init string

// MarshalJSON writes true and false as booleans.
func (i Init) MarshalJSON() ([]byte, error) { return encode(i.value()) }

// MarshalYAML writes true and false as booleans.
func (i Init) MarshalYAML() (any, error) { return i.value(), nil }

func (i Init) value() any {
	switch i {
	case "true":
		return true
	case "false":
		return false
	}
	return string(i)
}

// UnmarshalJSON reads a boolean or a name.
func (i *Init) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case bool:
		*i = Init(fmt.Sprint(v))
	case string:
		*i = Init(v)
	default:
		return errors.New("wanted true, false or a name")
	}
	return nil
}

// UnmarshalYAML reads a boolean or a name; both are scalars in YAML.
func (i *Init) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: wanted true, false or a name", n.Line)
	}
	*i = Init(n.Value)
	return nil
}

// Ints is a list of integers that may stand in a file as a single one.
type Ints []int

// UnmarshalJSON reads a list, a number or null.
func (v *Ints) UnmarshalJSON(b []byte) error { return listOrOne(b, (*[]int)(v), "integer") }

// UnmarshalYAML reads a list, a number or null.
func (v *Ints) UnmarshalYAML(n *yaml.Node) error { return nodeListOrOne(n, (*[]int)(v), "integer") }

// Strings is a list of strings that may stand in a file as a single one.
type Strings []string

// UnmarshalJSON reads a list, a string or null.
func (v *Strings) UnmarshalJSON(b []byte) error { return listOrOne(b, (*[]string)(v), "string") }

// UnmarshalYAML reads a list, a string or null.
func (v *Strings) UnmarshalYAML(n *yaml.Node) error {
	return nodeListOrOne(n, (*[]string)(v), "string")
}

func listOrOne[T any](b []byte, dst *[]T, what string) error {
	*dst = nil
	if json.Unmarshal(b, dst) == nil { // null leaves it nil
		return nil
	}
	var one T
	if json.Unmarshal(b, &one) != nil {
		return fmt.Errorf("wanted a list of %ss, one %s or null", what, what)
	}
	*dst = []T{one}
	return nil
}

func nodeListOrOne[T any](n *yaml.Node, dst *[]T, what string) error {
	*dst = nil
	if n.ShortTag() == "!!null" {
		return nil
	}
	var one T
	if n.Kind == yaml.ScalarNode && n.Decode(&one) == nil {
		*dst = []T{one}
		return nil
	}
	if n.Decode(dst) != nil {
		return fmt.Errorf("line %d: wanted a list of %ss, one %s or null", n.Line, what, what)
	}
	if len(*dst) == 0 { // what null is written as
		*dst = nil
	}
	return nil
}
