package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/npy"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
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
	s, err := openSession(1) // one shard: outputs need not have a batch axis
	if err != nil {
		return nil, err
	}
	defer s.close()
	r := newRunner(s.team, s.kernels, func(b int) (circ *circuit, err error) {
		defer ops.Recover(&err)
		g, err := n.Net.Build(build.Options{Batch: b})
		if err != nil {
			return nil, err
		}
		circ = &circuit{Graph: g}
		for _, o := range g.IR.Outputs {
			v, err := g.Value(o.Name)
			if err != nil {
				return nil, err
			}
			circ.outputs = append(circ.outputs, v)
		}
		return circ, nil
	})
	defer r.close()
	set, err := r.prepare(batch)
	if err != nil {
		return nil, err
	}
	sh := set.shards[0]
	for name, t := range inputs {
		mem := sh.input(sh.Inputs[name])
		if mem == nil {
			continue // the outputs do not depend on it
		}
		fill(mem, t, name == n.Picture.Name && !n.Picture.ChannelsLast)
	}
	if _, err := r.step(set); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return nil, err
	}
	for k, o := range sh.IR.Outputs {
		b, err := npy.Encode(tensorOf(sh.exec.Value(sh.outputs[k]), sh.IR.Types[o.Name]))
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

// fill copies a tensor into an input; pictures given (N, C, H, W) are turned
// channels-last.
func fill(mem *buffer.Buffer, t *ir.Tensor, planar bool) {
	if mem.Storage == buffer.I64 {
		copy(mem.I64(), t.Int64s())
		return
	}
	v := t.Float32s()
	if !planar || len(t.Dims) != 4 {
		copy(mem.F32(), v)
		return
	}
	d := t.Dims
	area := d[2] * d[3]
	for i := range d[0] {
		for c := range d[1] {
			for p := range area {
				mem.F32()[(i*area+p)*d[1]+c] = v[(i*d[1]+c)*area+p]
			}
		}
	}
}

func tensorOf(b *buffer.Buffer, t ir.Type) *ir.Tensor {
	if b.Storage == buffer.I64 {
		return ir.FromInt64s("", append([]int64(nil), b.I64()...), t.Dims...)
	}
	return ir.FromFloat32s("", append([]float32(nil), b.F32()...), t.Dims...)
}
