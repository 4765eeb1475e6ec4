package vision

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestPresetsAreValidAndSurviveJSON(t *testing.T) {
	for _, name := range PresetNames() {
		p, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Preprocess
		if err := json.Unmarshal(b, &q); err != nil || q != p {
			t.Errorf("%s: %s came back as %+v (%v)", name, b, q, err)
		}
	}
	if _, err := Preset("imagnet"); err == nil || !strings.Contains(err.Error(), "imagenet") {
		t.Errorf("an unknown preset should list the known ones: %v", err)
	}
}

func TestValidateNamesEveryProblem(t *testing.T) {
	p := Preprocess{
		Mean: [3]float64{math.NaN(), 0, 0}, Std: [3]float64{1, 0, -1}, Range: 2, Channels: "GRB",
		Size: [2]int{0, 1 << 20}, Resize: "zoom", Interpolation: "sinc", Rounding: "up", Align: "left",
	}
	err := p.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"mean[0]", "std[1]", "std[2]", "range is 2", "GRB", "height is 0", "width is 1048576", "zoom", "sinc", "rounding", "align"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	p, _ = Preset("imagenet")
	p.ResizeTo = 200
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "200, less than the crop of 224") {
		t.Errorf("crop larger than the image: %v", err)
	}
}

func TestNormalisedKeepsTheCropRatio(t *testing.T) {
	p, _ := Preset("imagenet")
	for _, c := range []struct{ h, w, to int }{{224, 224, 256}, {448, 448, 512}, {64, 64, 73}, {32, 64, 73}, {1, 1, 1}} {
		q := p.Normalised(c.h, c.w)
		if q.ResizeTo != c.to || q.Size != [2]int{c.h, c.w} {
			t.Errorf("%d×%d: resize_to %d, want %d", c.h, c.w, q.ResizeTo, c.to)
		}
		if err := q.Validate(); err != nil {
			t.Error(err)
		}
	}
	c, _ := Preset("cifar10")
	if q := c.Normalised(64, 48); q.ResizeTo != 0 || q.Size != [2]int{64, 48} {
		t.Errorf("stretch: %+v", q)
	}
}

func TestParseTask(t *testing.T) {
	for _, s := range []string{"classify", "detect", "segment", "instance"} {
		if got, err := ParseTask(s); err != nil || string(got) != s {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
	if _, err := ParseTask("pose"); err == nil {
		t.Error("pose should be unknown")
	}
}

func TestImageReset(t *testing.T) {
	im := NewImage(4, 2)
	im.Fill(1, 2, 3)
	c := im.Clone()
	first := &im.Pix[0]
	im.Reset(2, 2)
	if len(im.Pix) != 12 || &im.Pix[0] != first {
		t.Error("a smaller image should reuse the memory")
	}
	im.Reset(10, 10)
	if len(im.Pix) != 300 {
		t.Error("a larger image should get its own memory")
	}
	if r, g, b := c.At(3, 1); r != 1 || g != 2 || b != 3 || len(c.Pix) != 24 {
		t.Error("the clone should be untouched")
	}
}
