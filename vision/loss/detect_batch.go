package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/ops"
)

// detection is what the losses of detectors have in common: predictions and
// targets of a shard, how its cells are matched, and the sums.
type detection[T buffer.Float] struct {
	env     *ops.Env
	cells   []cell
	n, m    int // images, rows of targets each
	row     int // columns of raw
	raw     []T
	targets []T
	grad    []T // nil: not wanted
	report  []T // nil: not wanted

	objects   []object // of one image
	match     []int32  // per cell of every image
	positives int
	parts     [PartPositives]float64
	totals    []float64
}

func newDetection[T buffer.Float](e *ops.Env, cells []cell) detection[T] {
	s, m := e.In[0].Shape, e.In[1].Shape[1]
	d := detection[T]{
		env: e, cells: cells, n: s[0], m: m, row: s[2], raw: buffer.Floats[T](e.In[0]), targets: buffer.Floats[T](e.In[1]),
		objects: make([]object, 0, m), match: make([]int32, s[0]*s[1]), totals: make([]float64, 1),
	}
	if e.Slots[0] != nil {
		d.grad = buffer.Floats[T](e.Slots[0])
	}
	if e.Slots[1] != nil {
		d.report = buffer.Floats[T](e.Slots[1])
	}
	return d
}

// image is what is predicted on one image.
func (d *detection[T]) image(i int) []T {
	n := len(d.cells) * d.row
	return d.raw[i*n : (i+1)*n]
}

// place is a cell's row of predictions and that of its gradient, cleared; nil if
// none is wanted.
func (d *detection[T]) place(i, a int) (x, g []T) {
	at := (i*len(d.cells) + a) * d.row
	if d.grad != nil {
		g = d.grad[at : at+d.row]
		clear(g)
	}
	return d.raw[at : at+d.row], g
}

func (d *detection[T]) readObjects(i int) {
	d.objects = d.objects[:0]
	targets := d.targets[i*d.m*5 : (i+1)*d.m*5]
	for row := range d.m {
		t := targets[5*row:]
		if class := int(t[0]); class >= 0 && t[3] > 0 && t[4] > 0 {
			x, y, w, h := float64(t[1]), float64(t[2]), float64(t[3])/2, float64(t[4])/2
			o := object{row: row, class: class, cx: x, cy: y}
			o.box.X1, o.box.Y1, o.box.X2, o.box.Y2 = x-w, y-h, x+w, y+h
			d.objects = append(d.objects, o)
		}
	}
}

// finish divides by the sum of a normaliser, at least 1, over all shards.
func (d *detection[T]) finish(normaliser float64) {
	d.totals[0] = normaliser
	d.env.Collective.Sum(d.totals)
	inv := 1 / max(1, d.totals[0])
	sum := 0.0
	for i := range d.parts {
		d.parts[i] *= inv
		sum += d.parts[i]
	}
	buffer.Floats[T](d.env.Out)[0] = T(sum)
	for i := range d.grad {
		d.grad[i] = T(float64(d.grad[i]) * inv)
	}
	if d.report != nil {
		for i, p := range d.parts {
			d.report[i] = T(p)
		}
		d.report[PartPositives] = T(d.positives)
	}
}

// logistic is the binary cross-entropy of logit j and a target; its derivative
// goes into g[j], when g is not nil.
func logistic[T buffer.Float](x, g []T, j int, target float64) float64 {
	z := float64(x[j])
	e := math.Exp(-math.Abs(z))
	if g != nil {
		p := 1 / (1 + e)
		if z < 0 {
			p = e / (1 + e)
		}
		g[j] = T(p - target)
	}
	return max(z, 0) - z*target + math.Log1p(e)
}
