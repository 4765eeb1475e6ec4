package engine

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/vision"
)

// The keys that vislora writes into metadata_props.
const (
	MetaTask       = "vislora.task"
	MetaClasses    = "vislora.classes"    // JSON list of names
	MetaPreprocess = "vislora.preprocess" // JSON of vision.Preprocess
	MetaBase       = "vislora.base_sha256"
	MetaMultiLabel = "vislora.multi_label" // "true" when scores are sigmoids
	MetaDetector   = "vislora.detector"    // JSON of DetectorOutput
)

// resolvePreprocess finds how a picture becomes the model's input: what the
// user says, on top of what the model's metadata says, on top of a preset. The
// second result says where it came from.
func resolvePreprocess(m *onnx.Model, o PreprocessOptions, h, w int) (vision.Preprocess, string, error) {
	source := ""
	var p vision.Preprocess
	switch {
	case o.Preset != "":
		var err error
		if p, err = vision.Preset(o.Preset); err != nil {
			return p, "", err
		}
		source = "preset " + o.Preset
	case m.Metadata[MetaPreprocess] != "":
		if err := json.Unmarshal([]byte(m.Metadata[MetaPreprocess]), &p); err != nil {
			return p, "", fmt.Errorf("%s: metadata %s: %w", m.Path, MetaPreprocess, err)
		}
		source = "the model's metadata"
	default:
		p, _ = vision.Preset("imagenet")
		source = "preset imagenet (the model does not say; set --preset, --mean and --std if that is wrong)"
	}
	p = p.Normalised(h, w)
	var set []string
	three := func(name string, v []float64, dst *[3]float64) error {
		switch len(v) {
		case 0:
			return nil
		case 1:
			*dst = [3]float64{v[0], v[0], v[0]}
		case 3:
			copy(dst[:], v)
		default:
			return fmt.Errorf("%s has %d values: give 1 or 3", name, len(v))
		}
		set = append(set, name)
		return nil
	}
	if err := three("mean", o.Mean, &p.Mean); err != nil {
		return p, "", err
	}
	if err := three("std", o.Std, &p.Std); err != nil {
		return p, "", err
	}
	if o.Range != 0 {
		p.Range = o.Range
		set = append(set, "range")
	}
	for _, s := range []struct {
		name, v string
		dst     *string
	}{{"channels", strings.ToUpper(o.Channels), &p.Channels}, {"resize", o.Resize, &p.Resize}, {"interpolation", o.Interpolation, &p.Interpolation},
		{"rounding", o.Rounding, &p.Rounding}} {
		if s.v != "" {
			*s.dst = s.v
			set = append(set, s.name)
		}
	}
	if o.ResizeTo != 0 {
		p.ResizeTo = o.ResizeTo
		set = append(set, "resize_to")
	}
	if p.Resize == vision.ResizeShorter && p.ResizeTo == 0 {
		p.ResizeTo = max(h, w) * 8 / 7 // 256 for 224
	}
	if set != nil {
		source += ", given: " + strings.Join(set, ", ")
	}
	return p, source, p.Validate()
}

// modelClasses reads class names from the model's metadata: ours, or the key
// "names" that Ultralytics and others write (a JSON list or object, or a Python
// dict of index to name).
func modelClasses(m *onnx.Model) []string {
	for _, key := range []string{MetaClasses, "names", "classes", "labels"} {
		raw := m.Metadata[key]
		if raw == "" {
			continue
		}
		var list []string
		if json.Unmarshal([]byte(raw), &list) == nil {
			return list
		}
		var byIndex map[int]string
		if json.Unmarshal([]byte(raw), &byIndex) == nil || pythonDict(raw, &byIndex) {
			list = make([]string, len(byIndex))
			for i := range list {
				name, ok := byIndex[i]
				if !ok {
					return nil
				}
				list[i] = name
			}
			return list
		}
	}
	return nil
}

// pythonDict reads {0: 'person', 1: 'car'}.
func pythonDict(raw string, out *map[int]string) bool {
	raw = strings.TrimSpace(raw)
	if !strings.HasPrefix(raw, "{") || !strings.HasSuffix(raw, "}") {
		return false
	}
	*out = map[int]string{}
	for _, item := range strings.Split(raw[1:len(raw)-1], ", ") {
		k, v, ok := strings.Cut(item, ": ")
		var i int
		if _, err := fmt.Sscan(k, &i); !ok || err != nil {
			return false
		}
		(*out)[i] = strings.Trim(v, `'"`)
	}
	return true
}
