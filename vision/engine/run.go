package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vislora/vislora/internal/npy"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/lora"
	"github.com/vislora/vislora/vision/build"
)

// RunConfig runs a graph on given tensors.
type RunConfig struct {
	Model   string
	Adapter string            // folder, "" for none
	Inputs  map[string]string // input name → .npy file
	Out     string            // folder for one .npy per output
}

// RunGraph runs the whole graph, the file's own outputs included, on arrays,
// and writes its outputs as .npy files named after them ("/" becomes "_").
func RunGraph(c RunConfig) (written []string, err error) {
	var o NetworkOptions
	if c.Adapter != "" { // one that PEFT wrote has no runtime metadata
		if rt, err := lora.ReadRuntime(c.Adapter); err == nil {
			o.KeepBatchNorm = rt.BatchNorm
		}
	}
	n, err := OpenNetwork(c.Model, o)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	inputs := map[string]*ir.Tensor{}
	shapes := map[string][]int{}
	batch := 1
	for _, in := range n.Model.Graph.Inputs {
		path := c.Inputs[in.Name]
		if path == "" {
			return nil, fmt.Errorf("no array for input %q %v: use --input %s=FILE.npy", in.Name, in.Type.Dims, in.Name)
		}
		t, err := npy.Read(path)
		if err != nil {
			return nil, err
		}
		inputs[in.Name], shapes[in.Name] = t, t.Dims
		if in.Name == n.Picture.Name && len(t.Dims) == 4 {
			batch = t.Dims[0]
		}
	}
	for name := range c.Inputs {
		if inputs[name] == nil {
			return nil, fmt.Errorf("the model has no input %q; it has %s", name, strings.Join(sortedKeys(inputs), ", "))
		}
	}
	n.options.Shapes, n.plans = shapes, map[int]*ir.Graph{}
	if c.Adapter != "" {
		if _, err := n.LoadAdapter(c.Adapter, false); err != nil {
			return nil, err
		}
		if n.Head != nil {
			return nil, fmt.Errorf("%s has a head of its own: run is for the file's graph; use predict --save-logits", c.Adapter)
		}
	}
	s, err := openSession(1, DTypeF32) // one shard: outputs need not have a batch axis
	if err != nil {
		return nil, err
	}
	defer s.close()
	var outputs map[string]*ir.Tensor
	err = s.team.Do(1, func(int) error {
		g, err := n.Net.Build(build.Options{Batch: batch})
		if err != nil {
			return err
		}
		r, err := build.NewRunner(g, s.kernels)
		if err != nil {
			return err
		}
		defer r.Close()
		outputs, err = r.Run(inputs)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return nil, err
	}
	for _, o := range n.Model.Graph.Outputs {
		b, err := npy.Encode(outputs[o.Name])
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", o.Name, err)
		}
		path := filepath.Join(c.Out, strings.ReplaceAll(o.Name, "/", "_")+".npy")
		if err := writeFile(path, b); err != nil {
			return nil, err
		}
		written = append(written, path)
	}
	return written, nil
}
