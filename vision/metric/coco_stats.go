package metric

// COCOStats are the twelve figures of a COCO evaluation and the classes' own.
// AP is the mean over the thresholds 0.5, 0.55, …, 0.95 and over the classes
// that have ground truth in the range of sizes; AR is the mean of the highest
// recall. Small is up to 32² pixels, large from 96² on. What pycocotools writes
// as −1, because there is no ground truth, is Undefined.
type COCOStats struct {
	AP       Score `json:"AP"`
	AP50     Score `json:"AP50"` // at the threshold 0.5 alone
	AP75     Score `json:"AP75"`
	APSmall  Score `json:"AP_small"`
	APMedium Score `json:"AP_medium"`
	APLarge  Score `json:"AP_large"`
	AR1      Score `json:"AR_1"` // with one detection per image and class
	AR10     Score `json:"AR_10"`
	AR100    Score `json:"AR_100"`
	ARSmall  Score `json:"AR_small"`
	ARMedium Score `json:"AR_medium"`
	ARLarge  Score `json:"AR_large"`
	// PerClass holds, by class, those that were annotated or found.
	PerClass []COCOClass `json:"per_class"`
}

// COCOClass is the precision of one class.
type COCOClass struct {
	Class   int   `json:"class"`
	Objects int   `json:"objects"` // annotated, without crowds
	AP      Score `json:"AP"`      // Undefined without objects
	AP50    Score `json:"AP50"`
	AR100   Score `json:"AR_100"`
}

// Twelve is the figures in the order of pycocotools' COCOeval.stats.
func (s *COCOStats) Twelve() [12]Score {
	return [12]Score{
		s.AP, s.AP50, s.AP75, s.APSmall, s.APMedium, s.APLarge,
		s.AR1, s.AR10, s.AR100, s.ARSmall, s.ARMedium, s.ARLarge,
	}
}

// maxDetections is how many detections of an image and class are looked at.
const maxDetections = 100

// Evaluate scores what was added as pycocotools does: crowds and objects of
// other sizes are ignored and not missed, the best 100 detections per image and
// class are looked at, and equal scores keep the order of image ids and of the
// detections given. The size of an object is its annotated Area (that of its box
// or mask, if no object of the split has one); the size of a detection is that
// of its box or mask.
//
// It differs in one thing: an annotation with id 0 can be found like any other.
//
// Source: pycocotools 2.0, cocoeval.py.
func (e *COCOEval) Evaluate(kind COCOKind) (*COCOStats, error) {
	classes, cells, err := e.cells(kind, maxDetections)
	if err != nil {
		return nil, err
	}
	out := &COCOStats{}
	for _, set := range []struct {
		area   areaRange
		limit  int
		ap, ar *Score
	}{
		{areaAll, maxDetections, &out.AP, &out.AR100},
		{areaSmall, maxDetections, &out.APSmall, &out.ARSmall},
		{areaMedium, maxDetections, &out.APMedium, &out.ARMedium},
		{areaLarge, maxDetections, &out.APLarge, &out.ARLarge},
		{areaAll, 1, new(Score), &out.AR1},
		{areaAll, 10, new(Score), &out.AR10},
	} {
		var ap, ar []Score
		for _, class := range classes {
			if s, ok := scoreClass(cells[class], set.area, set.limit); ok {
				ap, ar = append(ap, overThresholds(s.precision)), append(ar, overThresholds(s.recall))
			}
		}
		*set.ap, *set.ar = mean(ap), mean(ar)
	}
	var ap50, ap75 []Score
	for _, class := range classes {
		c := COCOClass{Class: class, AP: Undefined, AP50: Undefined, AR100: Undefined}
		for _, cell := range cells[class] {
			c.Objects += cell.counted(areaAll)
		}
		if s, ok := scoreClass(cells[class], areaAll, maxDetections); ok {
			c.AP, c.AP50, c.AR100 = overThresholds(s.precision), Score(s.precision[0]), overThresholds(s.recall)
			ap50, ap75 = append(ap50, c.AP50), append(ap75, Score(s.precision[5]))
		}
		out.PerClass = append(out.PerClass, c)
	}
	out.AP50, out.AP75 = mean(ap50), mean(ap75)
	return out, nil
}

// overThresholds is the mean over the ten thresholds.
func overThresholds(v [10]float64) Score {
	var sum float64
	for _, x := range v {
		sum += x
	}
	return Score(sum / float64(len(v)))
}
