package coco

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/vislora/vislora/datasets"
)

// classes collects the categories of all annotation files. A class is known by
// its name; files made one by one may number them differently.
type classes struct {
	names    []string
	ids      []int64
	byName   map[string]int
	problems *datasets.Problems
}

func newClasses(p *datasets.Problems) *classes {
	return &classes{byName: map[string]int{}, problems: p}
}

// add enters the categories of a file and says which class each id is.
func (c *classes) add(file string, list []category) map[int64]int {
	of := map[int64]int{}
	for _, k := range list {
		if k.name == "" {
			k.name = strconv.FormatInt(k.id, 10)
			c.problems.Add(kindUnnamed, func() datasets.Problem {
				return datasets.Problem{Source: file, Place: file, What: fmt.Sprintf("category %d", k.id)}
			})
		}
		if was, ok := of[k.id]; ok {
			c.problems.Add(kindIDTwice, func() datasets.Problem {
				return datasets.Problem{Source: file, Place: file, What: fmt.Sprintf("category %d is %s and %s", k.id, c.names[was], k.name)}
			})
			continue
		}
		at, ok := c.byName[k.name]
		switch {
		case !ok:
			at = len(c.names)
			c.byName[k.name] = at
			c.names, c.ids = append(c.names, k.name), append(c.ids, k.id)
		case c.ids[at] != k.id:
			c.problems.Add(kindNameTwice, func() datasets.Problem {
				return datasets.Problem{Source: file, Place: file, What: fmt.Sprintf("%s is %d and %d", k.name, c.ids[at], k.id)}
			})
		}
		of[k.id] = at
	}
	return of
}

// sorted is the order by category id: the names, their ids, and the new place
// of each.
func (c *classes) sorted() (names []string, ids []int64, to []int) {
	order := make([]int, len(c.names))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c.ids[a], c.ids[b]) })
	to = make([]int, len(order))
	for at, i := range order {
		names, ids = append(names, c.names[i]), append(ids, c.ids[i])
		to[i] = at
	}
	return names, ids, to
}
