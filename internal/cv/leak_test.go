//go:build cgo && gocv_specific_modules && matprofile

package cv

import (
	"testing"

	"gocv.io/x/gocv"

	"github.com/vislora/vislora/vision"
)

// Run with -tags "gocv_specific_modules matprofile". Go's collector does not
// see OpenCV's memory: what is not closed is lost.
func TestNoMatIsLeaked(t *testing.T) {
	before := gocv.MatProfile.Count()
	jpg, bad := read(t, "444.jpg"), read(t, "rgb.png")
	copy(bad[60:], "garbage garbage garbage garbage")
	d := NewDecoder()
	var im vision.Image
	out := vision.NewImage(9, 9)
	for range 20 {
		if err := d.Decode(&im, jpg); err != nil {
			t.Fatal(err)
		}
		if d.Decode(&im, bad) == nil {
			t.Fatal("a damaged image was decoded")
		}
		if err := d.Decode(&im, jpg); err != nil {
			t.Fatal(err)
		}
		if err := Warp(out, &im, Affine{1, 0, 0, 0, 1, 0}, true, Reflect, 0); err != nil {
			t.Fatal(err)
		}
		if err := Annotate(&im, []string{"a", "ä"}); err != nil {
			t.Fatal(err)
		}
		if err := DrawBoxes(&im, []Box{{Box: vision.XYWH(1, 1, 9, 9), Name: "a", Dashed: true}}); err != nil {
			t.Fatal(err)
		}
		if _, err := DrawLegend(&im, []int{1}, nil, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := EncodeJPEG(&im, 90); err != nil {
			t.Fatal(err)
		}
		if _, err := Montage([]Tile{{Image: &im, Caption: []string{"x"}}}, 1, 32); err != nil {
			t.Fatal(err)
		}
	}
	if open := gocv.MatProfile.Count() - before; open != 2 {
		t.Errorf("%d Mats are open, want the decoder's 2", open)
	}
	d.Close()
	if open := gocv.MatProfile.Count() - before; open != 0 {
		t.Errorf("%d Mats are still open", open)
	}
}
