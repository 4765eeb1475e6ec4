package transform

import (
	"image"
	"math"
	"math/rand/v2"

	"github.com/vislora/vislora/vision"
)

// motion is the random affine map of one picture, about the centre of the
// input: enlarge by gain, turn and lean, translate.
type motion struct {
	gain float64
	turn affine // without translation
	x, y float64
}

// drawMotion draws what a asks for; w×h is the input.
func drawMotion(r *rand.Rand, a SceneAugment, w, h int) motion {
	m := motion{gain: 1, turn: scaling(1, 1)}
	about := func(v float64) float64 { return between(r, -v, v) }
	if a.Scale > 0 {
		m.gain += about(a.Scale)
	}
	if a.Degrees > 0 {
		s, c := math.Sincos(about(a.Degrees) * math.Pi / 180)
		m.turn = affine{c, s, 0, -s, c, 0}
	}
	if a.Shear > 0 {
		x, y := math.Tan(about(a.Shear)*math.Pi/180), math.Tan(about(a.Shear)*math.Pi/180)
		m.turn = affine{1, x, 0, y, 1, 0}.after(m.turn)
	}
	if a.Translate > 0 {
		m.x, m.y = about(a.Translate)*float64(w), about(a.Translate)*float64(h)
	}
	return m
}

// tile says where an image is drawn: resized to w×h pixels, then moved to the
// input.
type tile struct {
	w, h int
	move affine
}

// of maps the pixels of the image itself to the input.
func (t tile) of(im *vision.Image) affine {
	return t.move.after(scaling(float64(t.w)/float64(im.W), float64(t.h)/float64(im.H)))
}

// mirror flips the tile in an input of w×h.
func (t tile) mirror(w, h int, lr, ud bool) tile {
	if lr {
		t.move = affine{-1, 0, float64(w), 0, 1, 0}.after(t.move)
	}
	if ud {
		t.move = affine{1, 0, 0, 0, -1, float64(h)}.after(t.move)
	}
	return t
}

// size is that of an image that evaluation would resize to w×h.
func (m motion) size(w, h int) (int, int) {
	grow := func(n int) int { return max(int(math.Floor(float64(n)*m.gain+.5)), 1) }
	return grow(w), grow(h)
}

// at is a tile of w×h whose top left corner lies (x, y) from the input's
// centre before the picture is turned. Without a turn it comes to lie on whole
// pixels.
func (m motion) at(w, h int, x, y float64, input image.Point) tile {
	cx, cy := float64(input.X)/2+m.x, float64(input.Y)/2+m.y
	if m.turn == scaling(1, 1) {
		return tile{w, h, shifting(math.Floor(cx+x+.5), math.Floor(cy+y+.5))}
	}
	return tile{w, h, shifting(cx, cy).after(m.turn).after(shifting(x, y))}
}

// single places a w×h image as evaluation does, and moves it.
func (m motion) single(pre vision.Preprocess, w, h int) tile {
	p := Place(pre, w, h)
	input := image.Pt(pre.Size[1], pre.Size[0])
	x := m.gain * (float64(p.At.X-p.Window.Min.X) - float64(input.X)/2)
	y := m.gain * (float64(p.At.Y-p.Window.Min.Y) - float64(input.Y)/2)
	w, h = m.size(p.W, p.H)
	return m.at(w, h, x, y, input)
}

// quarter places a w×h image in one of the four fields of a mosaic that meet
// (x, y) from the input's centre: 0 and 1 above, 2 and 3 below.
func (m motion) quarter(pre vision.Preprocess, w, h, field int, x, y float64) tile {
	p := Place(pre, w, h)
	w, h = m.size(p.W, p.H)
	x, y = x*m.gain, y*m.gain
	if field%2 == 0 {
		x -= float64(w)
	}
	if field < 2 {
		y -= float64(h)
	}
	return m.at(w, h, x, y, image.Pt(pre.Size[1], pre.Size[0]))
}
