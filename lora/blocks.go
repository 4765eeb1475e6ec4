package lora

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vislora/vislora/vision/build"
)

// ParseBlocks reads numbers of blocks as people type them: "8-11", "0,5,11".
func ParseBlocks(s string) (Ints, error) {
	var out Ints
	for part := range strings.SplitSeq(s, ",") {
		from, to, is := strings.Cut(strings.TrimSpace(part), "-")
		if !is {
			to = from
		}
		a, err := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil || b < a || b > 1<<16 {
			return nil, fmt.Errorf("%q is no list of blocks: use numbers from 0 and ranges, as in 8-11 or 0,5,11", s)
		}
		for ; a <= b; a++ {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// blockOf is the first number in a path, −1 where there is none: 8 of
// "blocks.8.attn.qkv" and of "vit.encoder.layer.8.attention.q".
func blockOf(path string) int {
	for part := range strings.SplitSeq(path, ".") {
		if n, err := strconv.Atoi(part); err == nil {
			return n
		}
	}
	return -1
}

// keepBlocks takes the choices away that lie outside of c.Blocks.
func (c *Config) keepBlocks(sites []build.Site, choices []choice) error {
	if len(c.Blocks) == 0 {
		return nil
	}
	left, there := false, []int{}
	for i, s := range sites {
		b := blockOf(s.Path)
		if choices[i].wanted && b >= 0 && !slices.Contains(there, b) {
			there = append(there, b)
		}
		if !slices.Contains(c.Blocks, b) {
			choices[i] = choice{}
		}
		left = left || choices[i].wanted
	}
	if left {
		return nil
	}
	slices.Sort(there)
	return fmt.Errorf("no layer of target_modules %q lies in the blocks %v: there are some in the blocks %v", c.TargetModules, []int(c.Blocks), there)
}
