package datasets

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
)

// The order in which [Stratify] counts the splits.
var splitNames = [3]string{Train, Val, Test}

// unit is what must stay on one side: a group, or a single file.
type unit struct {
	key   string
	items []int
	// count is the number of labels of each class and, at the end, of samples.
	count []float64
}

// Stratify puts every sample into train, val or test, by seed alone: classes
// keep their shares, and samples of one group stay together.
//
// Groups (and samples of several labels) go one by one, the largest first, to
// the split that lacks most of what they hold. The single files fill each
// class up: of n images round(n·val) are in val and round(n·test) in test, at
// least one each where that leaves one for training.
func Stratify(samples []Sample, classes int, val, test float64, seed uint64) {
	share := [3]float64{1 - val - test, val, test}
	singles, groups := units(samples, classes, seed)
	total := make([]float64, classes+1)
	var have [3][]float64
	for s := range have {
		have[s] = make([]float64, classes+1)
	}
	for _, u := range slices.Concat(singles, groups) {
		for c, n := range u.count {
			total[c] += n
		}
	}
	assign := func(u *unit, split int) {
		for _, i := range u.items {
			samples[i].Split = splitNames[split]
		}
		for c, n := range u.count {
			have[split][c] += n
		}
	}
	for _, u := range groups {
		assign(u, emptiest(u, have, total, share))
	}
	byClass := make([][]*unit, classes)
	for _, u := range singles {
		c := samples[u.items[0]].Label
		byClass[c] = append(byClass[c], u)
	}
	for c, list := range byClass {
		want := quota(total[c], share)
		for _, u := range list {
			switch {
			case have[1][c] < want[1]:
				assign(u, 1)
			case have[2][c] < want[2]:
				assign(u, 2)
			default:
				assign(u, 0)
			}
		}
	}
}

// units collects groups, the largest first, and single files, both shuffled by
// the seed in a way that does not depend on the order of the list.
func units(samples []Sample, classes int, seed uint64) (singles, groups []*unit) {
	byKey := map[string]*unit{}
	var all []*unit
	for i := range samples {
		s := &samples[i]
		key := "file\x00" + s.Name
		if s.Group != "" {
			key = "group\x00" + s.Group
		}
		u := byKey[key]
		if u == nil {
			u = &unit{key: key, count: make([]float64, classes+1)}
			byKey[key] = u
			all = append(all, u)
		}
		u.items = append(u.items, i)
		u.count[classes]++
		for _, c := range s.Classes() {
			u.count[c]++
		}
	}
	slices.SortFunc(all, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(keyHash(seed, a.key), keyHash(seed, b.key)), cmp.Compare(a.key, b.key))
	})
	for _, u := range all {
		if len(u.items) == 1 && samples[u.items[0]].Label >= 0 {
			singles = append(singles, u)
		} else {
			groups = append(groups, u)
		}
	}
	slices.SortStableFunc(groups, func(a, b *unit) int { return cmp.Compare(len(b.items), len(a.items)) })
	return singles, groups
}

// emptiest is the split that would be the least full with u, against its
// share; rare classes weigh more.
func emptiest(u *unit, have [3][]float64, total []float64, share [3]float64) int {
	best, bestCost := 0, math.Inf(1)
	for s := range have {
		if share[s] <= 0 {
			continue
		}
		cost := 0.0
		for c, n := range u.count {
			if n > 0 {
				cost += n / total[c] * (have[s][c] + n) / (total[c] * share[s])
			}
		}
		if cost < bestCost {
			best, bestCost = s, cost
		}
	}
	return best
}

// quota is how many of n images each split gets.
func quota(n float64, share [3]float64) (want [3]float64) {
	for s := 1; s < 3; s++ {
		if share[s] > 0 {
			want[s] = max(math.Round(n*share[s]), 1)
		}
	}
	for want[1]+want[2] >= n && want[1]+want[2] > 0 {
		if want[2] >= want[1] {
			want[2]--
		} else {
			want[1]--
		}
	}
	return want
}

// Fraction keeps a share of the samples of a split, class by class, at least
// one image of each. The other splits stay whole.
func Fraction(samples []Sample, split string, share float64, seed uint64) []Sample {
	if share >= 1 {
		return samples
	}
	byClass := map[int][]int{}
	for i, s := range samples {
		if s.Split == split {
			c := -1
			if l := s.Classes(); len(l) > 0 {
				c = l[0]
			}
			byClass[c] = append(byClass[c], i)
		}
	}
	drop := map[int]bool{}
	for _, list := range byClass {
		slices.SortFunc(list, func(a, b int) int {
			return cmp.Or(cmp.Compare(keyHash(seed+1, samples[a].Name), keyHash(seed+1, samples[b].Name)), cmp.Compare(a, b))
		})
		for _, i := range list[max(int(math.Round(float64(len(list))*share)), 1):] {
			drop[i] = true
		}
	}
	var out []Sample
	for i, s := range samples {
		if !drop[i] {
			out = append(out, s)
		}
	}
	return out
}

func keyHash(seed uint64, s string) uint64 {
	h := fnv.New64a()
	var b [8]byte
	for i := range b {
		b[i] = byte(seed >> (8 * i))
	}
	h.Write(b[:])
	h.Write([]byte(s))
	// FNV's high bits move little for short strings that differ at the end.
	v := h.Sum64()
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}
