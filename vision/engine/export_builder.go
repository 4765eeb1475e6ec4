package engine

import (
	"fmt"

	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/ops"
	"github.com/vislora/vislora/vision/head"
)

const (
	// headPrefix begins the names of a new head's nodes and of the values between
	// them.
	headPrefix = "vislora_head/"
	// headOpset is the first opset whose arithmetic broadcasts, resizeOpset the
	// first one whose Resize says where pixels lie.
	headOpset   = 7
	resizeOpset = 11
)

// fileBuilder is the [head.Builder] that writes nodes into a file: operators of
// the default domain, in float32, in the form of the file's own opset. Its values
// are fileValues.
type fileBuilder struct {
	*grapher
	// param gives a parameter by its name.
	param func(name string) (head.Param, error)
	// sigmoid puts out probabilities instead of their logits.
	sigmoid bool
	// written are the parameters that stand in the file, by name and dimensions;
	// added lists them.
	written map[string]string
	added   []string
}

// fileValue is a map (N, C, H, W), or cells (N, A, C), in the file. dims are in
// the order of [head.Builder].
type fileValue struct {
	name string
	dims []int
}

func newFileBuilder(e *onnx.Editor, opset int, param func(string) (head.Param, error)) *fileBuilder {
	b := &fileBuilder{grapher: newGrapher(e, opset, headPrefix), param: param, written: map[string]string{}}
	if opset < headOpset {
		b.fail("arithmetic does not broadcast in opset %d: opset %d or later is needed; convert the model with onnx.version_converter", opset, headOpset)
	}
	return b
}

// fail keeps the first error.
func (g *grapher) fail(format string, a ...any) {
	if g.err == nil {
		g.err = fmt.Errorf(format, a...)
	}
}

func fileOf(x head.Value) fileValue { return x.(fileValue) }

// like is a map with the sizes of another; channels 0 keeps theirs.
func (v fileValue) like(name string, channels int) fileValue {
	d := append([]int{}, v.dims...)
	if channels > 0 {
		d[len(d)-1] = channels
	}
	return fileValue{name, d}
}

// parameter puts a parameter into the file, once, with the given dimensions or
// its own.
func (b *fileBuilder) parameter(name string, dims ...int) (string, []int) {
	p, err := b.param(name)
	if err != nil {
		b.fail("%w", err)
		return "", []int{1, 1, 1, 1}
	}
	if dims == nil {
		dims = p.Dims
	}
	key := fmt.Sprint(name, dims)
	if b.written[key] == "" && b.err == nil {
		own := name
		for i := 2; b.e.HasValue(own); i++ {
			own = fmt.Sprintf("%s_%d", name, i)
		}
		b.err = b.e.AppendInitializer(ir.FromFloat32s(own, p.Data, dims...))
		b.written[key] = own
		b.added = append(b.added, own)
	}
	return b.written[key], dims
}

func (b *fileBuilder) Shape(x head.Value) []int { return fileOf(x).dims }

func (b *fileBuilder) Conv(x head.Value, weight, bias string, a ops.ConvAttr) head.Value {
	v := fileOf(x)
	w, d := b.parameter(weight)
	kernel := [2]int{d[2], d[3]}
	y := fileValue{b.conv("Conv", v, w, bias, kernel, a), []int{v.dims[0], a.OutSize(0, v.dims[1], kernel[0]), a.OutSize(1, v.dims[2], kernel[1]), d[0]}}
	return y
}

func (b *fileBuilder) ConvTranspose(x head.Value, weight, bias string, a ops.ConvAttr, height, width int) head.Value {
	v := fileOf(x)
	w, d := b.parameter(weight)
	kernel := [2]int{d[2], d[3]}
	// The operator makes the smallest size that belongs to its input.
	for k, want := range [2]int{height, width} {
		if least := a.Stride[k]*(v.dims[1+k]-1) + a.Dilation[k]*(kernel[k]-1) + 1 - a.Pads[k] - a.Pads[k+2]; least != want {
			ops.Fail("export: a transposed convolution of %d cells to %d: its kernel and stride make %d", v.dims[1+k], want, least)
		}
	}
	return fileValue{b.conv("ConvTranspose", v, w, bias, kernel, a), []int{v.dims[0], height, width, d[1] * a.Groups}}
}

func (b *fileBuilder) conv(op string, x fileValue, w, bias string, kernel [2]int, a ops.ConvAttr) string {
	in := []string{x.name, w}
	if bias != "" {
		name, _ := b.parameter(bias)
		in = append(in, name)
	}
	list := func(v ...int) (out []int64) {
		for _, i := range v {
			out = append(out, int64(i))
		}
		return out
	}
	return b.node(op, ir.Attrs{"kernel_shape": list(kernel[:]...), "strides": list(a.Stride[:]...), "dilations": list(a.Dilation[:]...),
		"pads": list(a.Pads[:]...), "group": int64(a.Groups)}, in...)
}

// LayerNorm brings the channels last, where runtimes know the norm: as an
// operator from opset 17 on, before that by the nodes that PyTorch writes.
func (b *fileBuilder) LayerNorm(x head.Value, weight, bias string, epsilon float64) head.Value {
	v := fileOf(x)
	w, _ := b.parameter(weight)
	shift, _ := b.parameter(bias)
	y := b.transpose(v.name, 0, 2, 3, 1)
	if b.opset >= 17 {
		y = b.node("LayerNormalization", ir.Attrs{"axis": int64(-1), "epsilon": float32(epsilon)}, y, w, shift)
	} else {
		centred := b.op("Sub", y, b.reduce("ReduceMean", y, -1))
		variance := b.reduce("ReduceMean", b.op("Pow", centred, b.float(2)), -1)
		deviation := b.op("Sqrt", b.op("Add", variance, b.float(float32(epsilon))))
		y = b.op("Add", b.op("Mul", b.op("Div", centred, deviation), w), shift)
	}
	return v.like(b.transpose(y, 0, 3, 1, 2), 0)
}

func (b *fileBuilder) SiLU(x head.Value) head.Value {
	v := fileOf(x)
	return v.like(b.op("Mul", v.name, b.op("Sigmoid", v.name)), 0)
}

func (b *fileBuilder) unary(op string, x head.Value) head.Value {
	v := fileOf(x)
	return v.like(b.op(op, v.name), 0)
}

func (b *fileBuilder) ReLU(x head.Value) head.Value { return b.unary("Relu", x) }
func (b *fileBuilder) Tanh(x head.Value) head.Value { return b.unary("Tanh", x) }

func (b *fileBuilder) Scores(x head.Value) head.Value {
	if !b.sigmoid {
		return x
	}
	return b.unary("Sigmoid", x)
}

func (b *fileBuilder) Add(x, y head.Value) head.Value {
	v := fileOf(x)
	return v.like(b.op("Add", v.name, fileOf(y).name), 0)
}

func (b *fileBuilder) Concat(xs ...head.Value) head.Value { return b.joined(1, 3, xs) }

func (b *fileBuilder) Join(xs ...head.Value) head.Value { return b.joined(1, 1, xs) }

// joined concatenates along an axis of the file, which is another one of dims.
func (b *fileBuilder) joined(axis, of int, xs []head.Value) head.Value {
	y := fileOf(xs[0]).like("", 0)
	var names []string
	y.dims[of] = 0
	for _, x := range xs {
		names = append(names, fileOf(x).name)
		y.dims[of] += fileOf(x).dims[of]
	}
	if y.name = names[0]; len(names) > 1 {
		y.name = b.concat(axis, names...)
	}
	return y
}

// Nearest is a Resize where all cells repeat equally often. Elsewhere it reads by
// number: a runtime may round the place of a cell down by one.
func (b *fileBuilder) Nearest(x head.Value, height, width int) head.Value {
	v := fileOf(x)
	y := fileValue{v.name, []int{v.dims[0], height, width, v.dims[3]}}
	if h, w := v.dims[1], v.dims[2]; height%h == 0 && width%w == 0 && b.opset >= resizeOpset {
		y.name = b.resize(v.name, ir.Attrs{"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
			b.floats([]int{4}, 1, 1, float32(height/h), float32(width/w)))
		return y
	}
	for k, n := range [2]int{height, width} {
		index := make([]int64, n)
		for i := range index {
			index[i] = int64(i * v.dims[1+k] / n)
		}
		y.name = b.gather(y.name, b.ints(index...), 2+k)
	}
	return y
}

// Bilinear is a Resize, and before that operator says where pixels lie, two
// products with the matrices of what each row and column is made of.
func (b *fileBuilder) Bilinear(x head.Value, height, width int) head.Value {
	v := fileOf(x)
	if b.opset < resizeOpset {
		rows := b.floats([]int{height, v.dims[1]}, between(v.dims[1], height, false)...)
		columns := b.floats([]int{v.dims[2], width}, between(v.dims[2], width, true)...)
		return fileValue{b.op("MatMul", rows, b.op("MatMul", v.name, columns)), []int{v.dims[0], height, width, v.dims[3]}}
	}
	// A scale would be rounded, and the size with it; a size is of all axes.
	size := b.concat(0, b.slice(b.op("Shape", v.name), 0, 0, 2), b.ints(int64(height), int64(width)))
	none := ""
	if b.opset < 13 {
		none = b.floats([]int{0})
	}
	return fileValue{b.resize(v.name, ir.Attrs{"mode": "linear", "coordinate_transformation_mode": "half_pixel"}, none, size), []int{v.dims[0], height, width, v.dims[3]}}
}

// between is the matrix (to, from), or its transpose, that resizes a side
// linearly: the centre of cell i lies at (i+½)·from/to − ½.
func between(from, to int, transposed bool) []float32 {
	m := make([]float32, from*to)
	for i := range to {
		at := min(max((float64(i)+.5)*float64(from)/float64(to)-.5, 0), float64(from-1))
		low := int(at)
		for k, share := range [2]float64{1 - (at - float64(low)), at - float64(low)} {
			j := min(low+k, from-1)
			if transposed {
				m[j*to+i] += float32(share)
			} else {
				m[i*from+j] += float32(share)
			}
		}
	}
	return m
}

// resize is Resize by scales, or by a size behind scales that are empty.
func (b *fileBuilder) resize(x string, attrs ir.Attrs, to ...string) string {
	roi := "" // which these modes do not read
	if b.opset < 13 {
		roi = b.floats([]int{0})
	}
	return b.node("Resize", attrs, append([]string{x, roi}, to...)...)
}

func (b *fileBuilder) Halve(x head.Value) head.Value {
	v := fileOf(x)
	h, w := v.dims[1], v.dims[2]
	y := b.node("MaxPool", ir.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}, "pads": []int64{0, 0, int64(h % 2), int64(w % 2)}}, v.name)
	return fileValue{y, []int{v.dims[0], (h + 1) / 2, (w + 1) / 2, v.dims[3]}}
}

func (b *fileBuilder) Cells(x head.Value, per int) head.Value {
	v := fileOf(x)
	n, c := v.dims[1]*v.dims[2], v.dims[3]
	y := b.transpose(b.reshape(v.name, 0, int64(c), int64(n)), 0, 2, 1)
	if per > 1 {
		y = b.reshape(y, 0, int64(n*per), int64(c/per))
	}
	return fileValue{y, []int{v.dims[0], n * per, c / per}}
}

// grid makes a map of tokens (N, prefix + h·w, c), leaving out those before the
// grid.
func (b *fileBuilder) grid(tokens string, batch, prefix, h, w, c int) fileValue {
	if prefix > 0 {
		tokens = b.slice(tokens, 1, prefix, prefix+h*w)
	}
	return fileValue{b.reshape(b.transpose(tokens, 0, 2, 1), 0, int64(c), int64(h), int64(w)), []int{batch, h, w, c}}
}
