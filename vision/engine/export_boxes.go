package engine

import (
	"math"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision/build"
)

// boxOpset is the first opset with all that makes boxes inside a file.
const boxOpset = 11

// corners makes boxes (N, A, 4), x and y of two corners in pixels of the
// network's input, of rows, as [head.Decode] does.
func (g *grapher) corners(rows string, o *DetectorOutput) string {
	first, strides, anchors := o.places()
	n := o.rows()
	place, stride := g.floats([]int{n, 2}, first...), g.floats([]int{n, 1}, strides...)
	from := func(x string, at int) string { return g.slice(x, 2, at, at+2) }
	mul, add, sub := g.binary("Mul"), g.binary("Add"), g.binary("Sub")
	var centre, half string
	switch o.Kind {
	case build.DetectGFL: // sides are the means of distributions
		k, bins := o.Classes, o.Bins
		distance := make([]float32, bins)
		for i := range distance {
			distance[i] = float32(i)
		}
		p := g.node("Softmax", ir.Attrs{"axis": int64(3)}, g.reshape(g.slice(rows, 2, k, k+4*bins), 0, int64(n), 4, int64(bins)))
		side := mul(g.reshape(g.sum(mul(p, g.floats([]int{bins}, distance...)), 3), 0, int64(n), 4), stride)
		point := mul(place, stride)
		return g.concat(2, sub(point, from(side, 0)), add(point, from(side, 2)))
	case build.DetectYOLOv5:
		p := g.op("Sigmoid", g.slice(rows, 2, 0, 4))
		twice := mul(p, g.float(2))
		size := from(twice, 2)
		centre = mul(sub(add(place, from(twice, 0)), g.float(.5)), stride)
		half = mul(mul(mul(size, size), g.floats([]int{n, 2}, anchors...)), g.float(.5))
	default:
		centre = mul(add(place, from(rows, 0)), stride)
		half = mul(mul(g.op("Exp", g.op("Min", from(rows, 2), g.float(maxLogSize))), stride), g.float(.5))
	}
	return g.concat(2, sub(centre, half), add(centre, half))
}

// maxLogSize is that of [head.Decode].
const maxLogSize = 12

func (g *grapher) binary(op string) func(a, b string) string {
	return func(a, b string) string { return g.op(op, a, b) }
}

// places are, for every row, the point that its box is relative to, in cells, its
// stride, and its anchor's size.
func (o *DetectorOutput) places() (points, strides, anchors []float32) {
	at := 0.
	if o.Kind == build.DetectGFL {
		at = o.At
	}
	for _, l := range o.Levels {
		for y := range l.Height {
			for x := range l.Width {
				for a := range max(1, len(l.Anchors)) {
					points = append(points, float32(float64(x)+at), float32(float64(y)+at))
					strides = append(strides, float32(l.Stride))
					if len(l.Anchors) > 0 {
						anchors = append(anchors, float32(l.Anchors[a][0]), float32(l.Anchors[a][1]))
					}
				}
			}
		}
	}
	return points, strides, anchors
}

// probability is the sigmoid, unless rows have it already.
func (g *grapher) probability(x string, o *DetectorOutput) string {
	if o.Sigmoid {
		return x
	}
	return g.op("Sigmoid", x)
}

// best is the class of the highest score of every row (N, A) and that score, 0
// where the box is no number.
func (g *grapher) best(rows, corners string, o *DetectorOutput) (label, score string) {
	from, to := o.scores()
	n := int64(o.rows())
	classes := g.slice(rows, 2, from, to)
	label = g.node("ArgMax", ir.Attrs{"axis": int64(2), "keepdims": int64(0)}, classes)
	score = g.probability(g.reduce("ReduceMax", classes, 2), o)
	if o.Kind != build.DetectGFL {
		score = g.op("Mul", score, g.probability(g.slice(rows, 2, 4, 5), o))
	}
	sum := g.sum(corners, 2)
	broken := g.op("Or", g.op("IsNaN", sum), g.op("IsInf", sum))
	return label, g.reshape(g.op("Where", broken, g.float(0), score), 0, n)
}

// selection is the boxes that a file chooses: boxes (M, 4), scores, labels and
// images (M), and rows (M), where theirs are among the rows of all images.
type selection struct {
	boxes, scores, labels, images, rows string
}

// suppressed are what non-maximum suppression leaves of rows, image by image,
// highest score first.
// It chooses as [head.Decode] and [head.NMS] do: of every row the best class
// alone, and of every image so many boxes over all classes.
func (g *grapher) suppressed(rows string, o *DetectorOutput) selection {
	n := int64(o.rows())
	corners := g.corners(rows, o)
	label, score := g.best(rows, corners, o)
	perClass := g.reshape(score, 0, 1, n)
	if !o.NMS.Agnostic {
		numbers := make([]int64, o.Classes)
		for i := range numbers {
			numbers[i] = int64(i)
		}
		of := g.constant(ir.FromInt64s("", numbers, 1, o.Classes, 1))
		perClass = g.op("Where", g.op("Equal", g.reshape(label, 0, 1, n), of), perClass, g.float(0))
	}
	// Runtimes keep what is above the threshold, we what is not below it.
	least := math.Nextafter32(float32(o.NMS.Conf), 0)
	kept := g.op("NonMaxSuppression", corners, perClass, g.ints(int64(o.NMS.MaxDet)), g.floats([]int{1}, float32(o.NMS.IoU)), g.floats([]int{1}, least))
	image := g.gather(kept, g.scalar(0), 1)
	at := g.op("Add", g.op("Mul", image, g.scalar(n)), g.gather(kept, g.scalar(2), 1))
	score = g.reshape(score, -1)

	// Image by image, highest score first: float64 holds both exactly.
	key := g.op("Sub", g.cast(g.gather(score, at, 0), ir.Double), g.op("Mul", g.cast(image, ir.Double), g.double(2)))
	sorted := g.fresh("TopK")
	order := g.named([]string{sorted, sorted + "_order"}, "TopK", ir.Attrs{"axis": int64(0)}, key, g.op("Shape", key))
	image, at = g.gather(image, order, 0), g.gather(at, order, 0)

	// The first boxes of every image.
	count := g.gather(g.op("Shape", rows), g.scalar(0), 0)
	mine := g.op("Equal", g.reshape(image, -1, 1), g.op("Range", g.scalar(0), count, g.scalar(1)))
	perImage := g.reshape(g.sum(g.cast(mine, ir.Int64), 0), -1)
	start := g.node("CumSum", ir.Attrs{"exclusive": int64(1)}, perImage, g.scalar(0))
	total := g.gather(g.op("Shape", image), g.scalar(0), 0)
	rank := g.op("Sub", g.op("Range", g.scalar(0), total, g.scalar(1)), g.gather(start, image, 0))
	first := g.op("Less", rank, g.scalar(int64(o.NMS.MaxDet)))
	pick := func(x string) string { return g.node("Compress", ir.Attrs{"axis": int64(0)}, x, first) }
	image, at = pick(image), pick(at)
	return selection{g.gather(g.reshape(corners, -1, 4), at, 0), g.gather(score, at, 0), g.gather(g.reshape(label, -1), at, 0), image, at}
}

// centred are boxes (N, 4+K, A) as Ultralytics' models put them out: centre, size
// and probabilities.
func (g *grapher) centred(rows string, o *DetectorOutput) string {
	corners := g.corners(rows, o)
	a, b := g.slice(corners, 2, 0, 2), g.slice(corners, 2, 2, 4)
	centre := g.op("Mul", g.op("Add", a, b), g.float(.5))
	from, to := o.scores()
	return g.transpose(g.concat(2, centre, g.op("Sub", b, a), g.probability(g.slice(rows, 2, from, to), o)), 0, 2, 1)
}
