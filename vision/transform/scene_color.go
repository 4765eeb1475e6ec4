package transform

import (
	"math/rand/v2"

	"github.com/vislora/vislora/vision"
)

// tint is a change of colour: hue by so many turns, saturation and value by
// factors. The zero value is no change.
type tint struct{ hue, saturation, value float32 }

func drawTint(r *rand.Rand, a SceneAugment) tint {
	if a.HSVH == 0 && a.HSVS == 0 && a.HSVV == 0 {
		return tint{}
	}
	return tint{
		hue:        float32(between(r, -a.HSVH, a.HSVH)),
		saturation: float32(between(r, 1-a.HSVS, 1+a.HSVS)),
		value:      float32(between(r, 1-a.HSVV, 1+a.HSVV)),
	}
}

// apply changes im in place. Unlike [Hue] it does not round on the way.
func (t tint) apply(im *vision.Image) {
	if t == (tint{}) {
		return
	}
	shift := 6 * t.hue
	for i := 0; i+2 < len(im.Pix); i += 3 {
		p := im.Pix[i : i+3 : i+3]
		r, g, b := p[0], p[1], p[2]
		most, least := max(r, g, b), min(r, g, b)
		v := min(float32(most)*t.value, 255)
		if most == least {
			u := uint8(v + .5)
			p[0], p[1], p[2] = u, u, u
			continue
		}
		c := float32(most - least)
		var h float32 // in sixths of a turn
		switch most {
		case r:
			h = (float32(g) - float32(b)) / c
		case g:
			h = 2 + (float32(b)-float32(r))/c
		default:
			h = 4 + (float32(r)-float32(g))/c
		}
		if h += shift; h < 0 {
			h += 6
		} else if h >= 6 {
			h -= 6
		}
		c = v * min(c/float32(most)*t.saturation, 1)
		p[0], p[1], p[2] = channel(h+5, v, c), channel(h+3, v, c), channel(h+1, v, c)
	}
}

// channel is red at h + 5, green at h + 3 and blue at h + 1: v less c as far as
// h, in sixths of a turn, is inside the third of the circle away from it.
func channel(h, v, c float32) uint8 {
	if h >= 6 {
		h -= 6
	}
	return uint8(v - c*max(min(h, 4-h, 1), 0) + .5)
}
