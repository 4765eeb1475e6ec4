package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// detector is [Detect] bound to its memory.
type detector[T buffer.Float] struct {
	c       DetectConfig
	env     *ops.Env
	cells   []cell
	n, m, k int // images, rows of targets each, classes
	row     int // columns of raw: 5 + k, and what belongs to others
	raw     []T
	targets []T
	l1      []T     // nil: no such term
	grad    []T     // nil: not wanted
	report  []T     // nil: not wanted
	matched []int64 // per cell of every image, a row of its targets; nil: not wanted

	assigner  *assigner[T]
	objects   []object  // of one image
	match     []int32   // per cell of every image
	iou       []float64 // per cell of every image
	positives int
	parts     [PartPositives]float64
	totals    []float64
}

func newDetector[T buffer.Float](e *ops.Env, cells []cell, c DetectConfig) *detector[T] {
	s, m := e.In[0].Shape, e.In[1].Shape[1]
	d := &detector[T]{
		c: c, env: e, cells: cells, n: s[0], m: m, k: c.classes(s[2]), row: s[2], raw: buffer.Floats[T](e.In[0]), targets: buffer.Floats[T](e.In[1]),
		assigner: newAssigner[T](cells, s[2], c), objects: make([]object, 0, m),
		match: make([]int32, s[0]*s[1]), iou: make([]float64, s[0]*s[1]), totals: make([]float64, 1),
	}
	if c.L1 != nil {
		d.l1 = buffer.Floats[T](e.In[2])
	}
	if e.Slots[0] != nil {
		d.grad = buffer.Floats[T](e.Slots[0])
	}
	if e.Slots[1] != nil {
		d.report = buffer.Floats[T](e.Slots[1])
	}
	return d
}

// matching also writes which object each cell is matched to; out may be nil.
func (d *detector[T]) matching(out *buffer.Buffer) kernels.Run {
	if out != nil {
		d.matched = out.I64()
	}
	return d.run
}

func (d *detector[T]) run() {
	hold := d.c.hold != nil && *d.c.hold
	if !hold {
		d.positives = 0
	}
	d.parts = [PartPositives]float64{}
	for i := range d.n {
		d.image(i, hold)
	}
	d.finish()
}

// image matches one image and adds its terms, not yet normalised.
func (d *detector[T]) image(i int, hold bool) {
	cells, row := len(d.cells), d.row
	raw := d.raw[i*cells*row : (i+1)*cells*row]
	match, iou := d.match[i*cells:(i+1)*cells], d.iou[i*cells:(i+1)*cells]
	d.readObjects(i)
	if !hold {
		d.positives += d.assigner.assign(raw, d.objects, match, iou)
	}
	for a := range cells {
		x, g := raw[a*row:(a+1)*row], []T(nil)
		if d.grad != nil {
			g = d.grad[(i*cells+a)*row : (i*cells+a+1)*row]
			clear(g)
		}
		if match[a] == unmatched {
			d.parts[PartObjectness] += logistic(x, g, 4, 0)
			d.tell(i*cells+a, unmatched)
			continue
		}
		o := &d.objects[match[a]]
		d.tell(i*cells+a, o.row)
		d.parts[PartObjectness] += logistic(x, g, 4, 1)
		for k := range d.k {
			target := 0.0
			if k == o.class {
				target = iou[a]
			}
			d.parts[PartClass] += logistic(x, g, 5+k, target)
		}
		d.box(d.cells[a], o, x, g)
		d.distance(d.cells[a], o, x, g)
	}
}

func (d *detector[T]) tell(cell, row int) {
	if d.matched != nil {
		d.matched[cell] = int64(row)
	}
}

func (d *detector[T]) readObjects(i int) {
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

// box adds the loss of a matched cell's box.
func (d *detector[T]) box(c cell, o *object, x, g []T) {
	b := decode(c, x)
	loss, slope := 0.0, 0.0 // slope is dloss/d(IoU or GIoU)
	var dBox [4]float64
	if d.c.GIoU {
		loss, dBox = giouGrad(b, o.box)
		loss, slope = 1-loss, -1
	} else {
		loss, dBox = iouGrad(b, o.box)
		loss, slope = 1-loss*loss, -2*loss
	}
	d.parts[PartBox] += d.c.BoxWeight * loss
	if g == nil {
		return
	}
	for j, v := range c.toRaw(b, dBox, [2]float64{float64(x[2]), float64(x[3])}) {
		g[j] += T(d.c.BoxWeight * slope * v)
	}
}

// distance adds the L1 loss between a matched cell's raw box and what it would
// have to be.
func (d *detector[T]) distance(c cell, o *object, x, g []T) {
	if d.l1 == nil || d.l1[0] == 0 {
		return
	}
	weight := float64(d.l1[0])
	want := [4]float64{o.cx/c.stride - c.x, o.cy/c.stride - c.y, math.Log((o.box.X2 - o.box.X1) / c.stride), math.Log((o.box.Y2 - o.box.Y1) / c.stride)}
	for j, w := range want {
		diff := float64(x[j]) - w
		d.parts[PartL1] += weight * math.Abs(diff)
		if g != nil && diff != 0 {
			g[j] += T(math.Copysign(weight, diff))
		}
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

// finish divides by the number of matched cells in the batch of all shards.
func (d *detector[T]) finish() {
	d.totals[0] = float64(d.positives)
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
