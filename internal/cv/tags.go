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
		for _, text := range boxes[i].labels() {
			text = shorten(text, picture.Dx()-2*tagMargin(height), height)
			size := image.Pt(textWidth(text, height)+2*tagMargin(height), height+2)
			if at, ok := freePlace(frames[i], size, picture, out); ok {
				out = append(out, tag{i, text, at})
				break
			}
		}
	}
	return out
}

// labels are what the tag may say, the fullest first.
func (b *Box) labels() []string {
	score := fmt.Sprintf("%.2f", b.Score)
	switch {
	case b.Score == 0 && b.Name == "":
		return nil
	case b.Score == 0:
		return []string{b.Name}
	case b.Name == "":
		return []string{score}
	}
	return []string{b.Name + " " + score, score}
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
