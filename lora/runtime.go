package lora

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// RuntimeFile is the third file of a folder that vislora wrote. PEFT does not
// know it.
const RuntimeFile = "runtime_metadata.json"

// RuntimeFormat is the version of [Runtime] that this package writes.
const RuntimeFormat = 1

// Runtime is what it takes to use an adapter besides its weights: which model
// it belongs to, what the classes are called, how images are prepared.
type Runtime struct {
	// Format is RuntimeFormat.
	Format int `json:"format"`
	// Task is the task's name: classify, detect, segment, instance.
	Task      string    `json:"task"`
	BaseModel BaseModel `json:"base_model"`
	// Sites maps the path of every adapted layer to the model's own tensors.
	Sites map[string]SiteTensors `json:"sites"`
	// Classes are the class names in the order of the logits.
	Classes []string `json:"classes"`
	// MultiLabel is set when every class is a question of its own: scores are
	// sigmoids then, not a softmax.
	MultiLabel bool `json:"multi_label,omitempty"`
	// BatchNorm is set when batch normalisations were trained: they must not be
	// folded into their convolutions.
	BatchNorm bool `json:"batch_norm,omitempty"`
	// Preprocess is how an image becomes the input, as package vision encodes it.
	Preprocess json.RawMessage `json:"preprocess,omitempty"`
	// Decoder names the image decoder that training used ("gocv 4.6.0",
	// "portable"); decoders differ in single pixels.
	Decoder string `json:"decoder,omitempty"`
	// Head describes the task's head, as package vision/head encodes it.
	Head json.RawMessage `json:"head,omitempty"`
}

// BaseModel names the ONNX file that the adapter was trained on.
type BaseModel struct {
	// Given is the path as typed, Absolute the full one, Relative the one from
	// the adapter's folder, with slashes.
	Given    string `json:"given"`
	Absolute string `json:"absolute"`
	Relative string `json:"relative,omitempty"`
	// SHA256 is the hash of the file's bytes, in hexadecimal.
	SHA256 string `json:"sha256"`
}

// SiteTensors names the initializers of one layer in the ONNX file.
type SiteTensors struct {
	Weight string `json:"weight"`
	Bias   string `json:"bias,omitempty"`
	// Transposed is set when a linear weight is stored as (in, out).
	Transposed bool `json:"transposed,omitempty"`
}

// ReadRuntime reads runtime_metadata.json from an adapter's folder. A folder
// that PEFT wrote has none: the error is then fs.ErrNotExist.
func ReadRuntime(dir string) (*Runtime, error) {
	path := filepath.Join(dir, RuntimeFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Runtime{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if r.Format != RuntimeFormat {
		return nil, fmt.Errorf("read %s: format is %d, this vislora reads %d: use the version that wrote it", path, r.Format, RuntimeFormat)
	}
	return r, nil
}

// Write writes runtime_metadata.json into an adapter's folder, which is made
// if need be.
func (r *Runtime) Write(dir string) error {
	r.Format = RuntimeFormat
	path := filepath.Join(dir, RuntimeFile)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return writeFile(path, out.Bytes())
}

// DescribeBase records the model at path for an adapter in dir; it reads the
// whole file for its hash.
func DescribeBase(path, dir string) (BaseModel, error) {
	b := BaseModel{Given: path}
	var err error
	if b.SHA256, err = HashFile(path); err != nil {
		return b, err
	}
	if b.Absolute, err = filepath.Abs(path); err != nil {
		return b, err
	}
	absDir, err := filepath.Abs(dir)
	if err != nil {
		return b, err
	}
	// There is no relative path between two drives of Windows; then there is none.
	if rel, err := filepath.Rel(absDir, b.Absolute); err == nil {
		b.Relative = filepath.ToSlash(rel)
	}
	return b, nil
}

// Find returns the path of the base model for the adapter in dir. It looks at
// the recorded paths, then at model (what the user gave, "" for nothing), then
// beside the adapter, and takes the first file whose hash is the recorded one.
// A model that the user gave and that is another file is an error at once.
func (b BaseModel) Find(dir, model string) (string, error) {
	if model != "" {
		sum, err := HashFile(model)
		if err != nil {
			return "", err
		}
		if b.SHA256 != "" && sum != b.SHA256 {
			return "", fmt.Errorf("model %s has SHA-256 %s; the adapter in %s was trained on %s (%s): give that file", model, sum, dir, b.SHA256, b.Given)
		}
	}
	candidates := []string{b.Absolute}
	if b.Relative != "" {
		candidates = append(candidates, filepath.Join(dir, filepath.FromSlash(b.Relative)))
	}
	candidates = append(candidates, b.Given, model)
	if b.Given != "" {
		candidates = append(candidates, filepath.Join(dir, filepath.Base(b.Given)))
	}
	var tried []string
	for _, path := range candidates {
		if path == "" || slices.ContainsFunc(tried, func(t string) bool { return strings.HasPrefix(t, path+" ") }) {
			continue
		}
		sum, err := HashFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			tried = append(tried, path+" (absent)")
		case err != nil:
			tried = append(tried, fmt.Sprintf("%s (%v)", path, err))
		case b.SHA256 != "" && sum != b.SHA256:
			tried = append(tried, fmt.Sprintf("%s (another file: SHA-256 %.12s…, wanted %.12s…)", path, sum, b.SHA256))
		default:
			return path, nil
		}
	}
	return "", fmt.Errorf("find the base model of the adapter in %s: none of %s; give it with --model", dir, strings.Join(tried, ", "))
}

// HashFile is the SHA-256 of a file in hexadecimal.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
