package onnx

import (
	"container/heap"
	"fmt"
	"strings"
)

// links is what sorting needs of a node.
type links struct {
	label   string // for messages: `"conv1" (Conv)`
	inputs  []string
	outputs []string
}

// topological returns an order in which every node follows the nodes whose
// outputs it reads; among those that are ready the file's order is kept. Nodes
// on a cycle are named in the error. Values made by no node are taken as given.
func topological(nodes []links) ([]int, error) {
	maker := make(map[string]int, len(nodes))
	for i, n := range nodes {
		for _, o := range n.outputs {
			if o != "" {
				maker[o] = i
			}
		}
	}
	missing := make([]int, len(nodes)) // producers not yet placed
	readers := make([][]int, len(nodes))
	for i, n := range nodes {
		for _, in := range n.inputs {
			if p, ok := maker[in]; ok && in != "" {
				missing[i]++
				readers[p] = append(readers[p], i)
			}
		}
	}
	ready := &intHeap{}
	for i, k := range missing {
		if k == 0 {
			heap.Push(ready, i)
		}
	}
	order := make([]int, 0, len(nodes))
	for ready.Len() > 0 {
		i := heap.Pop(ready).(int)
		order = append(order, i)
		for _, r := range readers[i] {
			if missing[r]--; missing[r] == 0 {
				heap.Push(ready, r)
			}
		}
	}
	if len(order) < len(nodes) {
		return nil, cycle(nodes, maker, missing)
	}
	return order, nil
}

// cycle walks back from an unplaced node until it meets itself.
func cycle(nodes []links, maker map[string]int, missing []int) error {
	at := 0
	for missing[at] == 0 {
		at++
	}
	seen := map[int]int{}
	var path []int
	for {
		if first, ok := seen[at]; ok {
			path = path[first:]
			break
		}
		seen[at] = len(path)
		path = append(path, at)
		for _, in := range nodes[at].inputs {
			if p, ok := maker[in]; ok && in != "" && missing[p] > 0 {
				at = p
				break
			}
		}
	}
	if len(path) == 1 {
		return formatf("node %s reads its own output", nodes[path[0]].label)
	}
	var b strings.Builder
	for i := len(path) - 1; i >= 0; i-- { // in the direction of the data
		if i == len(path)-9 && i > 0 {
			fmt.Fprintf(&b, "… (%d more) → ", i)
			i = 0
		}
		fmt.Fprintf(&b, "%s → ", nodes[path[i]].label)
	}
	return formatf("nodes form a cycle: %s%s", b.String(), nodes[path[len(path)-1]].label)
}

type intHeap []int

func (h intHeap) Len() int           { return len(h) }
func (h intHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h intHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *intHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *intHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
