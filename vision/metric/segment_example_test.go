package metric_test

import (
	"fmt"

	"github.com/vislora/vislora/vision/metric"
)

func ExampleSegmentEval() {
	e, err := metric.NewSegmentEval([]string{"background", "cell"}, metric.SegmentOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	truth := []uint8{
		0, 0, 1, 1,
		0, 0, 1, metric.IgnoredPixel,
	}
	prediction := []uint8{
		0, 1, 1, 1,
		0, 1, 1, 0,
	}
	if err := e.Add(truth, prediction, 4, 2); err != nil {
		fmt.Println(err)
		return
	}
	s := e.Evaluate()
	fmt.Printf("mIoU %.3f, Dice %.3f, accuracy %.3f\n", s.MIoU, s.Dice, s.PixelAccuracy)
	for _, c := range s.PerClass {
		fmt.Printf("%s: IoU %.2f of %d pixels\n", c.Name, c.IoU, c.Pixels)
	}
	// Output:
	// mIoU 0.550, Dice 0.708, accuracy 0.714
	// background: IoU 0.50 of 4 pixels
	// cell: IoU 0.60 of 3 pixels
}
