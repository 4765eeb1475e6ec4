package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// Options say for which input shapes a graph is planned, and how far constants
// may be folded.
type Options struct {
	// Inputs gives the dimensions of graph inputs by name. An input that is not
	// listed takes the file's, with Batch for its leading dimension.
	Inputs map[string][]int
	// Batch, if positive, is the leading dimension of the inputs that Inputs
	// does not list: of those where the file leaves it open, and of those where
	// it fixes it to the same batch as for the first input.
	Batch int
	// KeepLarge leaves a node on constants in the graph where folding it would
	// pass a limit. Without it that is an error.
	KeepLarge bool
	// MaxElements bounds a folded tensor, MaxBytes all of them together; the
	// defaults are 2^26 and 2^32.
	MaxElements int
	MaxBytes    int
}

const (
	defaultMaxElements = 1 << 26
	defaultMaxBytes    = 1 << 32
	maxFoldWork        = 1 << 33 // multiply-adds of one folded node
)

// Infer gives every value of a graph a static type for the given input shapes,
// folds what is constant and removes what does nothing. It changes the graph:
// pass a [Clone], which shares the tensors with the original.
//
// Afterwards:
//   - Types has every value. A value whose shape depends on the contents of an
//     image (behind NonZero, NonMaxSuppression and the like) has Known false.
//   - A node whose inputs are all constant, and Shape and Size of a static
//     value, have become Tensors. Identity, Cast, Transpose and the operators
//     that only reshape keep the tensor's Origin. Expand and Tile of a
//     parameter stay nodes, so that the parameter can be trained.
//   - An If whose condition is constant is replaced by its branch. Identity,
//     Dropout and casts between floating point types are gone: their consumers
//     read their input, and where they made an output of the graph, the node
//     that makes their input now has that name.
//   - Values of float16, bfloat16 and float64 that are not constant are float32:
//     such models run in float32.
//   - No node or tensor is left that the outputs do not need.
//
// If the file fixes the batch and another is asked for, shapes in which the file
// wrote its batch down (of Reshape, Expand, Resize, and constants that are
// concatenated) get the new one wherever it is plain which dimension is the
// batch; elsewhere the error says so.
//
// The same is done where the file fixes the height and width of a picture and
// others are asked for; there the position embedding of a vision transformer is
// interpolated besides (see respace.go).
//
// It returns an [UnsupportedError] listing every node with an unknown operator,
// a [DynamicError] where a convolution, pooling or normalisation gets a shape
// that depends on the data, and otherwise an error that names the first node that
// does not fit. The graph is then unusable.
func Infer(g *ir.Graph, o Options) (err error) {
	defer func() {
		if r := recover(); r != nil { // last defence: every check above this should have caught it
			err = fmt.Errorf("infer shapes: malformed graph: %v", r)
		}
	}()
	if o.MaxElements <= 0 {
		o.MaxElements = defaultMaxElements
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	inputs, fixed, err := bindInputs(g, o)
	if err != nil {
		return err
	}
	Prune(g)
	if err := sortNodes(g, nil); err != nil {
		return err
	}
	inf := &inferrer{g: g, o: o}
	spaced := inputs
	if fixed != nil {
		spaced = fixed
	}
	if size := otherSize(g.Inputs, spaced); size != nil {
		fixed, inf.respaced = size, true
	}
	if fixed != nil {
		first := &inferrer{g: Clone(g), o: o}
		if err := first.run(fixed); err != nil {
			return err
		}
		inf.base = first.shapes
	}
	if err := inf.run(inputs); err != nil {
		var missing *UnsupportedError
		if inf.respaced && !errors.As(err, &missing) {
			return hardCoded(err)
		}
		return err
	}
	return nil
}

// bindInputs settles the shape of every input, in order. If a batch that the
// file fixes is to change, fixed holds the shapes with the file's batch.
func bindInputs(g *ir.Graph, o Options) (shapes, fixed [][]int, err error) {
	for name := range o.Inputs {
		if !slices.ContainsFunc(g.Inputs, func(v ir.Value) bool { return v.Name == name }) {
			return nil, nil, fmt.Errorf("infer shapes: the graph has no input %q", name)
		}
	}
	old, batch := -1, -1 // the file's leading dimension, and the one asked for
	for i, v := range g.Inputs {
		dims, given := o.Inputs[v.Name]
		switch {
		case given && v.Type.Known && len(dims) != len(v.Type.Dims):
			return nil, nil, fmt.Errorf("infer shapes: input %q has rank %d, not the %d of %s", v.Name, len(v.Type.Dims), len(dims), shapeString(dims))
		case !given && !v.Type.Known:
			return nil, nil, fmt.Errorf("infer shapes: input %q has no shape in the file: give one", v.Name)
		case !given:
			dims = slices.Clone(v.Type.Dims)
			if len(dims) > 0 && o.Batch > 0 && (dims[0] == -1 || i == 0 || dims[0] == old) {
				dims[0] = o.Batch
			}
		}
		for a, d := range dims {
			if d == -1 {
				return nil, nil, fmt.Errorf("infer shapes: input %q %s: dimension %d%s is open in the file: give its size", v.Name, shapeString(dims), a, paramName(v.Type, a))
			}
			if d < 1 || d > math.MaxInt32 {
				return nil, nil, fmt.Errorf("infer shapes: input %q %s: dimension %d is %d, must be positive", v.Name, shapeString(dims), a, d)
			}
		}
		if len(dims) > 0 && v.Type.Known && (i == 0 || old < 0) {
			old, batch = v.Type.Dims[0], dims[0]
		}
		shapes = append(shapes, slices.Clone(dims))
	}
	if old <= 0 || old == batch {
		return shapes, nil, nil
	}
	for i, dims := range shapes {
		dims = slices.Clone(dims)
		if t := g.Inputs[i].Type; len(dims) > 0 && dims[0] == batch && (!t.Known || t.Dims[0] == old || t.Dims[0] == -1) {
			dims[0] = old
		}
		fixed = append(fixed, dims)
	}
	return shapes, fixed, nil
}

func paramName(t ir.Type, axis int) string {
	if axis < len(t.Params) && t.Params[axis] != "" {
		return " (" + t.Params[axis] + ")"
	}
	return ""
}
