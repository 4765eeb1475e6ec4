package mask_test

import (
	"fmt"

	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/mask"
)

func ExampleFromPolygons() {
	square := []float64{1, 1, 5, 1, 5, 4, 1, 4}
	m, err := mask.FromPolygons([][]float64{square}, 6, 8)
	if err != nil {
		fmt.Println(err)
		return
	}
	box, _ := mask.ToBox(m)
	fmt.Println(m.Counts, mask.Area(m), box.XYWH(), mask.Compress(m.Counts))
	// Output: [7 3 3 3 3 3 3 3 20] 12 [1 1 4 3] 73300000a0
}

func ExampleIoU() {
	a, _ := mask.FrBox(vision.XYWH(0, 0, 4, 4), 10, 10)
	b, _ := mask.FrBox(vision.XYWH(2, 0, 4, 4), 10, 10)
	iou, _ := mask.IoU([]vision.RLE{a}, []vision.RLE{b, b}, []bool{false, true})
	fmt.Printf("%.3f\n", iou)
	// Output: [[0.333 0.500]]
}
