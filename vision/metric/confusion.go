package metric

// Confusion counts images: Confusion[truth][prediction].
type Confusion [][]int

// NewConfusion makes an empty matrix for n classes.
func NewConfusion(n int) Confusion {
	c := make(Confusion, n)
	cells := make([]int, n*n)
	for i := range c {
		c[i] = cells[i*n : (i+1)*n : (i+1)*n]
	}
	return c
}

// Class holds the measures of one class against all others.
//
//	sensitivity = TP/(TP + FN)          (recall)
//	specificity = TN/(TN + FP)
//	precision   = TP/(TP + FP)
//	F1          = 2TP/(2TP + FP + FN)
type Class struct {
	Class       int    `json:"class"`
	Name        string `json:"name"`
	Support     int    `json:"support"` // images of the class in the split
	Sensitivity Score  `json:"sensitivity"`
	Specificity Score  `json:"specificity"`
	Precision   Score  `json:"precision"`
	F1          Score  `json:"f1"`
	AUROC       Score  `json:"auroc"`
	// AveragePrecision is given for multi-label tasks.
	AveragePrecision *Score `json:"average_precision,omitempty"`
	// CI95 holds intervals by the JSON names of the measures above.
	CI95 map[string]Interval `json:"ci95,omitempty"`
}

// PerClass derives each class's measures. F1 of a class without images is
// Undefined even when it was predicted, so that means skip it.
func (c Confusion) PerClass() []Class {
	var total int
	rows, cols := make([]int, len(c)), make([]int, len(c))
	for i := range c {
		for j, n := range c[i] {
			rows[i] += n
			cols[j] += n
			total += n
		}
	}
	out := make([]Class, len(c))
	for i := range c {
		tp := c[i][i]
		out[i] = binary(tp, cols[i]-tp, rows[i]-tp, total-rows[i]-cols[i]+tp)
		out[i].Class = i
	}
	return out
}

func binary(tp, fp, fn, tn int) Class {
	k := Class{
		Support:     tp + fn,
		Sensitivity: ratio(float64(tp), float64(tp+fn)),
		Specificity: ratio(float64(tn), float64(tn+fp)),
		Precision:   ratio(float64(tp), float64(tp+fp)),
		F1:          Undefined,
		AUROC:       Undefined,
	}
	if k.Support > 0 {
		k.F1 = ratio(float64(2*tp), float64(2*tp+fp+fn))
	}
	return k
}

// scores collects one measure of all classes.
func scores(classes []Class, of func(*Class) Score) []Score {
	out := make([]Score, len(classes))
	for i := range classes {
		out[i] = of(&classes[i])
	}
	return out
}

func sensitivity(c *Class) Score { return c.Sensitivity }
func f1(c *Class) Score          { return c.F1 }
func auroc(c *Class) Score       { return c.AUROC }
