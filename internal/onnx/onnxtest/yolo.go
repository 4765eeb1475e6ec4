package onnxtest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vislora/vislora/internal/onnx/ir"
)

// YOLO describes a small detector with random weights: stages of strides 2 to 32,
// a pyramid down and up again, and a head whose boxes the file decodes, written
// as PyTorch's exporter writes YOLOv8, YOLOv6 and YOLOv5.
type YOLO struct {
	Kind    string // "yolov8", "yolov6" or "yolov5"
	Classes int
	Size    int // of the picture; a multiple of 32
	Bins    int // of a distribution. Default 16
	// Twist changes how the head computes: see the methods that read it.
	Twist string
}

// YOLOAnchors are the widths and heights of a YOLOv5's anchors, by level.
var YOLOAnchors = [3][3][2]float32{{{10, 13}, {16, 30}, {33, 23}}, {{30, 61}, {62, 45}, {59, 119}}, {{116, 90}, {156, 198}, {373, 326}}}

// Model writes the detector: input "images" (1, 3, Size, Size), output "output0".
func (y YOLO) Model() *Builder {
	if y.Bins == 0 {
		y.Bins = 16
	}
	b := &yolo{YOLO: y, Builder: New(13), rng: rand.New(rand.NewPCG(8, 8)), channels: map[string]int{"images": 3}}
	b.Input("images", ir.Float, 1, 3, y.Size, y.Size)
	x := b.act("model.0", "images", 8, 3, 2)
	x = b.act("model.1", x, 12, 3, 2)
	x = b.block("model.2", x, 12, true)
	p3 := b.block("model.4", b.act("model.3", x, 16, 3, 2), 16, true)
	p4 := b.block("model.6", b.act("model.5", p3, 24, 3, 2), 24, true)
	p5 := b.pool("model.9", b.block("model.8", b.act("model.7", p4, 32, 3, 2), 32, true), 32)
	f4 := b.block("model.12", b.cat(b.up(p5), p4), 24, false)
	f3 := b.block("model.15", b.cat(b.up(f4), p3), 16, false)
	o4 := b.block("model.18", b.cat(b.act("model.16", f3, 16, 3, 2), f4), 24, false)
	o5 := b.block("model.21", b.cat(b.act("model.19", o4, 24, 3, 2), p5), 32, false)
	maps := [3]string{f3, o4, o5}
	switch y.Kind {
	case "yolov8":
		b.yolov8(maps)
	case "yolov6":
		b.yolov6(maps)
	case "yolov5":
		b.yolov5(maps)
	default:
		panic("onnxtest: no detector " + y.Kind)
	}
	return b.Builder
}

// yolo is a detector being written.
type yolo struct {
	YOLO
	*Builder
	rng      *rand.Rand
	channels map[string]int
	values   int
}

// node adds a node of one output, whose name it makes.
func (b *yolo) node(op string, attrs ir.Attrs, in ...string) string {
	b.values++
	out := fmt.Sprintf("/%s_%d_output_0", op, b.values)
	b.Node(op, attrs, in, []string{out})
	b.channels[out] = b.channels[in[0]]
	return out
}

func (b *yolo) ints(v ...int64) string {
	b.values++
	name := fmt.Sprintf("ints_%d", b.values)
	b.InitInts(name, []int{len(v)}, v)
	return name
}

func (b *yolo) floats(dims []int, v ...float32) string {
	b.values++
	name := fmt.Sprintf("floats_%d", b.values)
	b.Init(name, dims, v)
	return name
}

// conv is a convolution that keeps the size, or halves it.
func (b *yolo) conv(name, x string, out, k, stride int) string {
	in := b.channels[x]
	w, bias := make([]float32, out*in*k*k), make([]float32, out)
	deviation := math.Sqrt(2 / float64(in*k*k))
	for i := range w {
		w[i] = float32(b.rng.NormFloat64() * deviation)
	}
	for i := range bias {
		bias[i] = float32(b.rng.NormFloat64() * .3)
	}
	b.Init(name+".weight", []int{out, in, k, k}, w).Init(name+".bias", []int{out}, bias)
	p := k / 2
	y := b.node("Conv", ir.Attrs{"kernel_shape": []int{k, k}, "strides": []int{stride, stride}, "pads": []int{p, p, p, p}}, x, name+".weight", name+".bias")
	b.channels[y] = out
	return y
}

// act is a convolution and SiLU.
func (b *yolo) act(name, x string, out, k, stride int) string {
	y := b.conv(name+".conv", x, out, k, stride)
	return b.node("Mul", nil, y, b.node("Sigmoid", nil, y))
}

func (b *yolo) cat(in ...string) string {
	y := b.node("Concat", ir.Attrs{"axis": 1}, in...)
	b.channels[y] = 0
	for _, v := range in {
		b.channels[y] += b.channels[v]
	}
	return y
}

func (b *yolo) up(x string) string {
	return b.node("Resize", ir.Attrs{"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, x, "", b.floats([]int{4}, 1, 1, 2, 2))
}

// block is a cross-stage block of one bottleneck: C2f in YOLOv8, C3 in YOLOv5.
func (b *yolo) block(name, x string, out int, add bool) string {
	half := out / 2
	bottleneck := func(x string) string {
		y := b.act(name+".m.0.cv2", b.act(name+".m.0.cv1", x, half, 3, 1), half, 3, 1)
		if add {
			y = b.node("Add", nil, x, y)
		}
		return y
	}
	if b.Kind == "yolov5" {
		return b.act(name+".cv3", b.cat(bottleneck(b.act(name+".cv1", x, half, 1, 1)), b.act(name+".cv2", x, half, 1, 1)), out, 1, 1)
	}
	x = b.act(name+".cv1", x, out, 1, 1)
	left, right := name+"/Split_output_0", name+"/Split_output_1"
	b.Node("Split", ir.Attrs{"axis": 1}, []string{x, b.ints(int64(half), int64(half))}, []string{left, right})
	b.channels[left], b.channels[right] = half, half
	return b.act(name+".cv2", b.cat(left, right, bottleneck(right)), out, 1, 1)
}

// pool is fast spatial pyramid pooling.
func (b *yolo) pool(name, x string, out int) string {
	x = b.act(name+".cv1", x, out/2, 1, 1)
	all := []string{x}
	for range 3 {
		x = b.node("MaxPool", ir.Attrs{"kernel_shape": []int{5, 5}, "strides": []int{1, 1}, "pads": []int{2, 2, 2, 2}}, x)
		all = append(all, x)
	}
	return b.act(name+".cv2", b.cat(all...), out, 1, 1)
}

// branch is two convolutions and the one that predicts.
func (b *yolo) branch(name, x string, width, out int) string {
	return b.conv(name+".2", b.act(name+".1", b.act(name+".0", x, width, 3, 1), width, 3, 1), out, 1, 1)
}

func (b *yolo) side(level int) int { return b.Size / (8 << level) }

// points are the cells' points in strides and the strides, (1, 2, A) and (1, A).
func (b *yolo) points() (points, strides string, cells int) {
	var x, y, s []float32
	at := float32(.5)
	if b.Twist == "corner" {
		at = 0
	}
	for l := range 3 {
		for i := range b.side(l) * b.side(l) {
			x, y, s = append(x, float32(i%b.side(l))+at), append(y, float32(i/b.side(l))+at), append(s, float32(int(8)<<l))
		}
	}
	return b.floats([]int{1, 2, len(x)}, append(x, y...)...), b.floats([]int{1, len(s)}, s...), len(s)
}

// boxes are distances (1, 4, A) around points, as centres and sizes in pixels.
// Twists: "corners" gives the corners instead.
func (b *yolo) boxes(distances string) string {
	points, strides, _ := b.points()
	lt := b.node("Slice", nil, distances, b.ints(0), b.ints(2), b.ints(1))
	rb := b.node("Slice", nil, distances, b.ints(2), b.ints(4), b.ints(1))
	first, second := b.node("Sub", nil, points, lt), b.node("Add", nil, points, rb)
	if b.Twist != "corners" {
		sum := b.node("Add", nil, first, second)
		first, second = b.node("Div", nil, sum, b.floats(nil, 2)), b.node("Sub", nil, second, first)
	}
	return b.node("Mul", nil, b.node("Concat", ir.Attrs{"axis": 1}, first, second), strides)
}

// project is the mean of distributions: (1, 4·Bins, A) to (1, 4, A). Twists:
// "matmul" multiplies with a vector, "reverse" counts the distances backwards,
// "exp" takes the exponential of a plain mean.
func (b *yolo) project(x string, cells int) string {
	weights := make([]float32, b.Bins)
	for i := range weights {
		weights[i] = float32(i)
		if b.Twist == "reverse" {
			weights[i] = float32(b.Bins - 1 - i)
		}
	}
	x = b.node("Reshape", nil, x, b.ints(1, 4, int64(b.Bins), int64(cells)))
	switch b.Twist {
	case "matmul":
		x = b.node("Softmax", ir.Attrs{"axis": 3}, b.node("Transpose", ir.Attrs{"perm": []int{0, 1, 3, 2}}, x))
		x = b.node("MatMul", nil, x, b.floats([]int{b.Bins, 1}, weights...))
	case "exp":
		x = b.node("Exp", nil, b.node("ReduceMean", ir.Attrs{"axes": []int{2}}, x))
	default:
		x = b.node("Softmax", ir.Attrs{"axis": 1}, b.node("Transpose", ir.Attrs{"perm": []int{0, 2, 1, 3}}, x))
		w := "model.22.dfl.conv.weight"
		b.Init(w, []int{1, b.Bins, 1, 1}, weights)
		x = b.node("Conv", ir.Attrs{"kernel_shape": []int{1, 1}}, x, w)
	}
	return b.node("Reshape", nil, x, b.ints(1, 4, int64(cells)))
}

// yolov8 joins distributions and classes of a level, then the levels, and takes
// them apart again. Twists: "rows" gives a row for each cell, "softmax" lets
// classes exclude each other, "masks" adds coefficients of masks.
func (b *yolo) yolov8(maps [3]string) {
	_, _, cells := b.points()
	var levels []string
	for i, x := range maps {
		name := fmt.Sprintf("model.22.cv%%d.%d", i)
		y := b.cat(b.branch(fmt.Sprintf(name, 2), x, 16, 4*b.Bins), b.branch(fmt.Sprintf(name, 3), x, 16, b.Classes))
		levels = append(levels, b.node("Reshape", nil, y, b.ints(1, int64(4*b.Bins+b.Classes), -1)))
	}
	b.Node("Split", ir.Attrs{"axis": 1}, []string{b.node("Concat", ir.Attrs{"axis": 2}, levels...), b.ints(int64(4*b.Bins), int64(b.Classes))}, []string{"distances", "classes"})
	scores := "classes"
	if b.Twist == "softmax" {
		scores = b.node("Softmax", ir.Attrs{"axis": 1}, scores)
	} else {
		scores = b.node("Sigmoid", nil, scores)
	}
	parts, rows := []string{b.boxes(b.project("distances", cells)), scores}, 4+b.Classes
	if b.Twist == "masks" {
		var masks []string
		for i, x := range maps {
			masks = append(masks, b.node("Reshape", nil, b.branch(fmt.Sprintf("model.22.cv4.%d", i), x, 16, 6), b.ints(1, 6, -1)))
		}
		parts, rows = append(parts, b.node("Concat", ir.Attrs{"axis": 2}, masks...)), rows+6
	}
	if b.Twist == "rows" {
		all := b.node("Concat", ir.Attrs{"axis": 1}, parts...)
		b.Node("Transpose", ir.Attrs{"perm": []int{0, 2, 1}}, []string{all}, []string{"output0"}).Output("output0", ir.Float, 1, cells, rows)
		return
	}
	b.Node("Concat", ir.Attrs{"axis": 1}, parts, []string{"output0"}).Output("output0", ir.Float, 1, rows, cells)
}

// yolov6 keeps distributions and classes apart, and gives rows with an
// objectness that is always 1.
func (b *yolo) yolov6(maps [3]string) {
	_, _, cells := b.points()
	var distances, classes []string
	for i, x := range maps {
		name := fmt.Sprintf("detect.%%s.%d", i)
		c, n := b.conv(fmt.Sprintf(name, "cls_preds"), b.act(fmt.Sprintf(name, "cls_convs"), x, 16, 3, 1), b.Classes, 1, 1), b.side(i)*b.side(i)
		d := b.conv(fmt.Sprintf(name, "reg_preds"), b.act(fmt.Sprintf(name, "reg_convs"), x, 16, 3, 1), 4*b.Bins, 1, 1)
		distances = append(distances, b.node("Reshape", nil, d, b.ints(-1, int64(4*b.Bins), int64(n))))
		classes = append(classes, b.node("Reshape", nil, b.node("Sigmoid", nil, c), b.ints(-1, int64(b.Classes), int64(n))))
	}
	flip := ir.Attrs{"perm": []int{0, 2, 1}}
	boxes := b.node("Transpose", flip, b.boxes(b.project(b.node("Concat", ir.Attrs{"axis": 2}, distances...), cells)))
	scores := b.node("Transpose", flip, b.node("Concat", ir.Attrs{"axis": 2}, classes...))
	ones := make([]float32, cells)
	for i := range ones {
		ones[i] = 1
	}
	b.Node("Concat", ir.Attrs{"axis": 2}, []string{boxes, b.floats([]int{1, cells, 1}, ones...), scores}, []string{"output0"}).Output("output0", ir.Float, 1, cells, 5+b.Classes)
}

// yolov5 predicts three boxes a cell. Twists: "exp" sizes boxes as YOLOv3 did.
func (b *yolo) yolov5(maps [3]string) {
	var levels []string
	rows := 0
	for i, x := range maps {
		n, width := b.side(i), 5+b.Classes
		rows += 3 * n * n
		var grid, anchors []float32
		for _, a := range YOLOAnchors[i] {
			for c := range n * n {
				grid, anchors = append(grid, float32(c%n)-.5, float32(c/n)-.5), append(anchors, a[:]...)
			}
		}
		y := b.conv(fmt.Sprintf("model.24.m.%d", i), x, 3*width, 1, 1)
		y = b.node("Transpose", ir.Attrs{"perm": []int{0, 1, 3, 4, 2}}, b.node("Reshape", nil, y, b.ints(1, 3, int64(width), int64(n), int64(n))))
		s := b.node("Sigmoid", nil, y)
		xy, wh, rest := fmt.Sprintf("xy%d", i), fmt.Sprintf("wh%d", i), fmt.Sprintf("rest%d", i)
		b.Node("Split", ir.Attrs{"axis": 4}, []string{s, b.ints(2, 2, int64(1+b.Classes))}, []string{xy, wh, rest})
		two, dims := b.floats(nil, 2), []int{1, 3, n, n, 2}
		centre := b.node("Mul", nil, b.node("Add", nil, b.node("Mul", nil, xy, two), b.floats(dims, grid...)), b.floats(nil, float32(int(8)<<i)))
		size := b.node("Pow", nil, b.node("Mul", nil, wh, two), two)
		if b.Twist == "exp" {
			size = b.node("Exp", nil, b.node("Slice", nil, y, b.ints(2), b.ints(4), b.ints(4)))
		}
		size = b.node("Mul", nil, size, b.floats(dims, anchors...))
		levels = append(levels, b.node("Reshape", nil, b.node("Concat", ir.Attrs{"axis": 4}, centre, size, rest), b.ints(1, int64(3*n*n), int64(width))))
	}
	b.Node("Concat", ir.Attrs{"axis": 1}, levels, []string{"output0"}).Output("output0", ir.Float, 1, rows, 5+b.Classes)
}
