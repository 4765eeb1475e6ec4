package loss

import (
	"math"

	"github.com/vislora/vislora/internal/buffer"
	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/ops"
)

// detector is [Detect] bound to its memory.
type detector[T buffer.Float] struct {
	detection[T]
	c       DetectConfig
	k       int     // classes
	l1      []T     // nil: no such term
	matched []int64 // per cell of every image, a row of its targets; nil: not wanted

	assigner *assigner[T]
	iou      []float64 // per cell of every image
}

func newDetector[T buffer.Float](e *ops.Env, cells []cell, c DetectConfig) *detector[T] {
	s := e.In[0].Shape
	d := &detector[T]{
		detection: newDetection[T](e, cells), c: c, k: c.classes(s[2]),
		assigner: newAssigner[T](cells, s[2], c), iou: make([]float64, s[0]*s[1]),
	}
	if c.L1 != nil {
		d.l1 = buffer.Floats[T](e.In[2])
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
		d.add(i, hold)
	}
	d.finish(float64(d.positives))
}

// add matches one image and adds its terms, not yet normalised.
func (d *detector[T]) add(i int, hold bool) {
	cells := len(d.cells)
	match, iou := d.match[i*cells:(i+1)*cells], d.iou[i*cells:(i+1)*cells]
	d.readObjects(i)
	if !hold {
		d.positives += d.assigner.assign(d.image(i), d.objects, match, iou)
	}
	for a := range cells {
		x, g := d.place(i, a)
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
