package lora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
)

// maxConfig bounds adapter_config.json; PEFT's are about 1 KB.
const maxConfig = 16 << 20

// fields maps PEFT's keys to the fields of c.
func (c *Config) fields() map[string]any {
	return map[string]any{
		"peft_type": &c.PeftType, "base_model_name_or_path": (*nullString)(&c.BaseModel), "inference_mode": &c.InferenceMode,
		"r": &c.R, "lora_alpha": &c.LoraAlpha, "lora_dropout": &c.LoraDropout,
		"target_modules": &c.TargetModules, "exclude_modules": &c.ExcludeModules,
		"rank_pattern": &c.RankPattern, "alpha_pattern": &c.AlphaPattern,
		"modules_to_save": (*Strings)(&c.ModulesToSave), "bias": &c.Bias, "lora_bias": &c.LoraBias,
		"use_rslora": &c.UseRSLoRA, "use_dora": &c.UseDoRA, "init_lora_weights": &c.InitLoraWeights,
		"layers_to_transform": &c.LayersToTransform, "layers_pattern": &c.LayersPattern,
		"fan_in_fan_out": &c.FanInFanOut, marksKey: &c.Marks,
	}
}

const marksKey = "vislora"

// nullString is a string whose empty value is null in a file.
type nullString string

func (s nullString) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return encode(string(s))
}

// ParseConfig reads the contents of an adapter_config.json. Keys that are
// missing have PEFT's defaults. The values are not judged; see [Config.Validate].
func ParseConfig(b []byte) (*Config, error) {
	c := peftConfig()
	if err := c.UnmarshalJSON(b); err != nil {
		return nil, err
	}
	return c, nil
}

func readConfig(path string) (*Config, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxConfig {
		return nil, fmt.Errorf("read %s: %d bytes, the limit is %d: this is not an adapter configuration", path, st.Size(), maxConfig)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := ParseConfig(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

// UnmarshalJSON sets the fields that the object names and leaves the others as
// they are. All problems are reported at once.
func (c *Config) UnmarshalJSON(b []byte) error {
	members, err := parseObject(b)
	if err != nil {
		return err
	}
	if members == nil {
		return errors.New("the configuration is empty")
	}
	fields := c.fields()
	var errs []error
	for _, m := range members {
		dst, ok := fields[m.key]
		if !ok {
			continue
		}
		if err := json.Unmarshal(m.value, dst); err != nil {
			var t *json.UnmarshalTypeError
			if errors.As(err, &t) {
				err = fmt.Errorf("%s is not of type %s", m.value, t.Type)
			}
			errs = append(errs, fmt.Errorf("%s: %w", m.key, err))
		}
	}
	c.raw = members
	return errors.Join(errs...)
}

// MarshalJSON writes the keys of the file that was read in their order, each
// with the text it had unless the value was changed since, and then what is
// new. A configuration that comes from no file has all of Config's keys,
// sorted, as PEFT sorts its own.
func (c *Config) MarshalJSON() ([]byte, error) {
	current := c.fields()
	defaults := peftConfig().fields()
	out := make([]member, 0, len(current)+len(c.raw))
	for _, m := range c.raw {
		field, known := current[m.key]
		delete(current, m.key)
		if !known {
			out = append(out, m)
			continue
		}
		if m.key == marksKey && c.Marks == nil {
			continue
		}
		if was := reflect.New(reflect.TypeOf(field).Elem()); json.Unmarshal(m.value, was.Interface()) == nil &&
			same(was.Interface(), field) {
			out = append(out, m)
			continue
		}
		v, err := encode(field)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		out = append(out, member{m.key, v})
	}
	var added []member
	for key, field := range current {
		if key == marksKey && c.Marks == nil || c.raw != nil && same(field, defaults[key]) {
			continue
		}
		v, err := encode(field)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		added = append(added, member{key, v})
	}
	slices.SortFunc(added, func(a, b member) int { return strings.Compare(a.key, b.key) })
	return joinObject(append(out, added...))
}

// same compares two fields; lists of modules are sets, and no list is an
// empty one.
func same(a, b any) bool {
	switch a := a.(type) {
	case *Modules:
		return a.Equal(*b.(*Modules))
	case *Pattern[int]:
		return slices.Equal(*a, *b.(*Pattern[int]))
	case *Pattern[float64]:
		return slices.Equal(*a, *b.(*Pattern[float64]))
	case *Ints:
		return slices.Equal(*a, *b.(*Ints))
	case *Strings:
		return slices.Equal(*a, *b.(*Strings))
	}
	return reflect.DeepEqual(a, b)
}

func joinObject(members []member) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := encode(m.key)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// file is the text of adapter_config.json, indented as PEFT does it.
func (c *Config) file() ([]byte, error) {
	b, err := c.MarshalJSON() // json.Marshal would escape "<" in patterns
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
