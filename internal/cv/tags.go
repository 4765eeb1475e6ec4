package cv

import (
	"fmt"
	"image"
	"slices"
)

// tag is a label with its place.
type tag struct {
	box  int
	text string
	at   image.Rectangle
}

// tagMargin is the paper left and right of a tag's text.
func tagMargin(height int) int { return max(height/4, 3) }

// placeTags finds places for the tags of boxes, in their order.
func placeTags(boxes []Box, frames []image.Rectangle, picture image.Rectangle, height int) []tag {
	var out []tag
	for i := range boxes {
		if frames[i].Empty() {
			continue
		}
		// Long names must not hide the picture.
		room := min(max(frames[i].Dx(), picture.Dx()*2/5), picture.Dx()) - 2*tagMargin(height)
		for _, text := range boxes[i].labels(room, height) {
			size := image.Pt(textWidth(text, height)+2*tagMargin(height), height+2)
			if at, ok := freePlace(frames[i], size, picture, out); ok {
				out = append(out, tag{i, text, at})
				break
			}
		}
	}
	return out
}

// labels are what the tag may say in so many pixels, the fullest first.
func (b *Box) labels(width, height int) []string {
	score := fmt.Sprintf("%.2f", b.Score)
	switch {
	case b.Score == 0 && b.Name == "":
		return nil
	case b.Score == 0:
		return []string{abridged(b.Name, width, height)}
	case b.Name == "":
		return []string{score}
	}
	return []string{abridged(b.Name, width-textWidth(" "+score, height), height) + " " + score, score}
}

// freePlace is the first place at a frame where a tag of a size lies in the
// picture and covers no other tag.
func freePlace(frame image.Rectangle, size image.Point, picture image.Rectangle, taken []tag) (image.Rectangle, bool) {
	left, right := frame.Min.X, frame.Max.X-size.X
	above, top, bottom, below := frame.Min.Y-size.Y, frame.Min.Y, frame.Max.Y-size.Y, frame.Max.Y
	for _, p := range []image.Point{
		{left, above}, {right, above}, {left, top}, {left, below}, {right, below},
		{right, top}, {left, bottom}, {right, bottom},
	} {
		// Sideways it may be moved: it still touches the frame.
		p.X = min(max(p.X, picture.Min.X), picture.Max.X-size.X)
		r := image.Rectangle{Min: p, Max: p.Add(size)}
		if r.In(picture) && !slices.ContainsFunc(taken, func(t tag) bool { return t.at.Overlaps(r) }) {
			return r, true
		}
	}
	return image.Rectangle{}, false
}

// abridged cuts a name in its middle until it fits: class names often differ at
// the end only.
func abridged(name string, width, height int) string {
	r := []rune(name)
	for n := len(r); n > 1; n-- {
		s := name
		if n < len(r) {
			s = string(r[:(n+1)/2]) + "…" + string(r[len(r)-n/2:])
		}
		if textWidth(s, height) <= width {
			return s
		}
	}
	return string(r[:min(1, len(r))])
}
