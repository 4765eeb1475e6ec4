package metric_test

import (
	"fmt"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/metric"
)

func ExampleCOCOEval() {
	cat := vision.Object{Class: 0, Box: vision.XYWH(10, 10, 40, 40), Area: 1600}
	dog := vision.Object{Class: 1, Box: vision.XYWH(60, 10, 40, 40), Area: 1600}
	var e metric.COCOEval
	err := e.Add(1, 120, 80, []vision.Object{cat, dog}, []vision.Detection{
		{Class: 0, Score: .9, Box: cat.Box},
		{Class: 0, Score: .8, Box: dog.Box}, // takes the dog for a cat
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	stats, err := e.Evaluate(metric.Boxes)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("AP %.2f, AP50 %.2f, AP of cats %.2f\n", stats.AP, stats.AP50, stats.PerClass[0].AP)
	confusion, _ := e.Confusion(2, metric.DetectionThresholds{})
	fmt.Println(confusion)
	// Output:
	// AP 0.50, AP50 0.50, AP of cats 1.00
	// [[1 0 0] [1 0 0] [0 0 0]]
}
