package metric

import "math"

// areaRange is a range of areas in pixels², both ends included.
type areaRange [2]float64

var (
	areaAll    = areaRange{0, 1e5 * 1e5}
	areaSmall  = areaRange{0, 32 * 32}
	areaMedium = areaRange{32 * 32, 96 * 96}
	areaLarge  = areaRange{96 * 96, 1e5 * 1e5}
)

func (r areaRange) holds(area float64) bool { return area >= r[0] && area <= r[1] }

// cocoThresholds are 0.5, 0.55, …, 0.95, with the rounding of
// numpy.linspace(.5, .95, 10).
var cocoThresholds = func() (t [10]float64) {
	low, high := .5, .95
	step := (high - low) / 9
	for i := range t {
		t[i] = low + float64(float64(i)*step)
	}
	t[9] = high
	return t
}()

// outcome is what became of a detection.
type outcome int8

const (
	wrong   outcome = iota // a false positive
	right                  // a true positive
	ignored                // neither
)

// match pairs detections with ground truth at one threshold. In the order of
// their scores each detection takes the ground truth that it overlaps most, of
// equals the last, among those that count and are free; if none reaches the
// threshold, among those that are ignored (crowds, other sizes), of which crowds
// are never used up. What matches an ignored one, or nothing and is itself of
// another size, is ignored.
//
// Source: pycocotools.cocoeval, COCOeval.evaluateImg.
func (c *cocoCell) match(threshold float64, area areaRange, out []outcome) {
	order := c.ignoredLast(area)
	used := make([]bool, len(c.gts))
	for i, d := range c.dets {
		best, at := math.Min(threshold, 1-1e-10), -1
		for _, j := range order {
			if used[j] && !c.gts[j].crowd {
				continue
			}
			if at >= 0 && !c.ignores(at, area) && c.ignores(j, area) {
				break
			}
			if c.iou[i][j] >= best {
				best, at = c.iou[i][j], j
			}
		}
		switch {
		case at < 0 && area.holds(d.area):
			out[i] = wrong
		case at < 0 || c.ignores(at, area):
			out[i] = ignored
		default:
			out[i] = right
		}
		if at >= 0 {
			used[at] = true
		}
	}
}

// ignores tells whether ground truth j is out of the evaluation.
func (c *cocoCell) ignores(j int, area areaRange) bool {
	return c.gts[j].crowd || !area.holds(c.gts[j].area)
}

// ignoredLast is the order of the ground truth with what is ignored behind the
// rest.
func (c *cocoCell) ignoredLast(area areaRange) []int {
	order := make([]int, 0, len(c.gts))
	for _, last := range [2]bool{false, true} {
		for j := range c.gts {
			if c.ignores(j, area) == last {
				order = append(order, j)
			}
		}
	}
	return order
}

// counted is the number of ground truths that count.
func (c *cocoCell) counted(area areaRange) int {
	var n int
	for j := range c.gts {
		if !c.ignores(j, area) {
			n++
		}
	}
	return n
}
