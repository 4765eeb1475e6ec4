//go:build cgo

package ort

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"
	"sync"

	api "github.com/yalue/onnxruntime_go"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// Session is a model loaded in ONNX Runtime. Run may be called from several
// goroutines; Close must come after the last of them.
type Session struct {
	path            string
	inputs, outputs []Port
	session         *api.DynamicAdvancedSession
}

// load brings ONNX Runtime into the process once. It stays until the process
// ends: unloading it under a live thread pool is not safe.
var load = sync.OnceValue(func() error {
	lib, err := Library()
	if err != nil {
		return err
	}
	api.SetSharedLibraryPath(lib)
	if err := api.InitializeEnvironment(); err != nil {
		return fmt.Errorf("ort: load %s: %v; version 1.20 or newer is needed: %w", lib, err, ErrUnavailable)
	}
	return nil
})

// Version returns the version of the library that is loaded.
func Version() (string, error) {
	if err := load(); err != nil {
		return "", err
	}
	return api.GetVersion(), nil
}

// OpenWith loads a model. Its errors wrap [ErrUnavailable] when ONNX Runtime
// itself is missing, and carry ONNX Runtime's own words when it refuses the
// file.
func OpenWith(path string, opts Options) (*Session, error) {
	if err := load(); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ort: open model: %w", err)
	}
	inputs, outputs, err := readSignature(data)
	if err != nil {
		return nil, fmt.Errorf("ort: open %s: %w", path, err)
	}
	so, err := sessionOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("ort: open %s: %w", path, err)
	}
	defer so.Destroy()
	// By path, not from data: external weights lie beside the file.
	session, err := api.NewDynamicAdvancedSession(path, names(inputs), names(outputs), so)
	if err != nil {
		return nil, fmt.Errorf("ort: open %s: %w", path, err)
	}
	return &Session{path: path, inputs: inputs, outputs: outputs, session: session}, nil
}

func sessionOptions(opts Options) (*api.SessionOptions, error) {
	so, err := api.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	level, known := map[Level]api.GraphOptimizationLevel{
		All:      api.GraphOptimizationLevelEnableAll,
		Extended: api.GraphOptimizationLevelEnableExtended,
		Basic:    api.GraphOptimizationLevelEnableBasic,
		Disabled: api.GraphOptimizationLevelDisableAll,
	}[opts.Level]
	switch {
	case !known:
		err = fmt.Errorf("optimisation level %d is not one of 0 to 3", opts.Level)
	case opts.Threads < 0:
		err = fmt.Errorf("%d threads is negative", opts.Threads)
	default:
		err = errors.Join(so.SetGraphOptimizationLevel(level), so.SetIntraOpNumThreads(opts.Threads), so.SetInterOpNumThreads(1))
	}
	if err != nil {
		return nil, errors.Join(err, so.Destroy())
	}
	return so, nil
}

// Inputs lists what Run needs.
func (s *Session) Inputs() []Port { return s.inputs }

// Outputs lists what Run returns.
func (s *Session) Outputs() []Port { return s.outputs }

// Close frees the model.
func (s *Session) Close() error {
	if s.session == nil {
		return nil
	}
	err := s.session.Destroy()
	s.session = nil
	return err
}

// Run feeds every input by name and returns every output. Inputs must have the
// element type of the model; a missing, extra or wrongly typed input is an
// error that names it. The results own their memory.
//
// A float16 output with a dynamic dimension other than the first (which is
// taken to be the first input's, the batch) cannot be returned.
func (s *Session) Run(feed map[string]*ir.Tensor) (map[string]*ir.Tensor, error) {
	if s.session == nil {
		return nil, fmt.Errorf("ort: run %s: the session is closed", s.path)
	}
	if err := s.checkFeed(feed); err != nil {
		return nil, fmt.Errorf("ort: run %s: %w", s.path, err)
	}
	in, out := make([]api.Value, len(s.inputs)), make([]api.Value, len(s.outputs))
	defer destroy(in)
	for i, p := range s.inputs {
		v, err := newValue(feed[p.Name])
		if err != nil {
			return nil, fmt.Errorf("ort: run %s: input %q: %w", s.path, p.Name, err)
		}
		in[i] = v
	}
	results := make([]*ir.Tensor, len(s.outputs))
	defer destroy(out)
	for i, p := range s.outputs {
		v, t, err := s.prepared(p, feed)
		if err != nil {
			return nil, fmt.Errorf("ort: run %s: output %q: %w", s.path, p.Name, err)
		}
		if v != nil {
			out[i], results[i] = v, t
		}
	}
	if err := s.session.Run(in, out); err != nil {
		var dim *api.BadShapeDimensionError
		if errors.As(err, &dim) && dim.DimensionSize == 0 {
			return nil, fmt.Errorf("ort: run %s: axis %d is 0: %w", s.path, dim.DimensionIndex, ErrEmpty)
		}
		return nil, fmt.Errorf("ort: run %s: %w", s.path, err)
	}
	named := make(map[string]*ir.Tensor, len(out))
	for i, p := range s.outputs {
		if results[i] == nil {
			t, err := fromValue(out[i])
			if err != nil {
				return nil, fmt.Errorf("ort: run %s: output %q: %w", s.path, p.Name, err)
			}
			results[i] = t
		}
		results[i].Name = p.Name
		named[p.Name] = results[i]
	}
	return named, nil
}

func (s *Session) checkFeed(feed map[string]*ir.Tensor) error {
	want := map[string]bool{}
	for _, p := range s.inputs {
		want[p.Name] = true
		t := feed[p.Name]
		if t == nil {
			return fmt.Errorf("input %q is missing; the model takes %s", p.Name, strings.Join(names(s.inputs), ", "))
		}
		if p.DType != ir.Undefined && t.DType != p.DType {
			return fmt.Errorf("input %q is %v, but the model takes %v", p.Name, t.DType, p.DType)
		}
	}
	var extra []string
	for name := range feed {
		if !want[name] {
			extra = append(extra, name)
		}
	}
	if len(extra) > 0 {
		sort.Strings(extra)
		return fmt.Errorf("the model has no input %q; it takes %s", extra[0], strings.Join(names(s.inputs), ", "))
	}
	return nil
}

func names(ports []Port) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = p.Name
	}
	return out
}

// destroy frees values. After a failed run the binding leaves nil pointers.
func destroy(values []api.Value) {
	for _, v := range values {
		if v != nil && !reflect.ValueOf(v).IsNil() {
			v.Destroy()
		}
	}
}
