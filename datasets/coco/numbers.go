package coco

import (
	"bytes"
	"math"
	"strconv"
)

// number reads a JSON number, or a string that is one; false when it is
// neither. What [lenient] wrote for NaN is not a number.
func number(raw []byte) (float64, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) > 1 && raw[0] == '"' {
		raw = bytes.TrimSpace(raw[1 : len(raw)-1])
	}
	v, err := strconv.ParseFloat(string(raw), 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// integer reads an id: a whole number, or a string that is one.
func integer(raw []byte) (int64, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) > 1 && raw[0] == '"' {
		raw = bytes.TrimSpace(raw[1 : len(raw)-1])
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, true
	}
	v, ok := number(raw)
	if !ok || v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		return 0, false
	}
	return int64(v), true
}

// numbers reads [1, 2.5, …]. What is no number is NaN. false: it is not a flat
// list.
func numbers(raw []byte) ([]float64, bool) {
	lists, flat, ok := lists(raw)
	if !ok || !flat {
		return nil, false
	}
	return lists[0], true
}

// lists reads [[1, 2, …], …], or a flat list as the only one of them. The
// bytes are known to be JSON.
func lists(raw []byte) (out [][]float64, flat, ok bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) < 2 || raw[0] != '[' {
		return nil, false, false
	}
	rest := bytes.TrimSpace(raw[1 : len(raw)-1])
	if len(rest) == 0 || rest[0] != '[' {
		list, ok := flatList(rest)
		return [][]float64{list}, true, ok
	}
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, ']')
		if rest[0] != '[' || end < 0 {
			return nil, false, false
		}
		list, ok := flatList(bytes.TrimSpace(rest[1:end]))
		if !ok {
			return nil, false, false
		}
		out = append(out, list)
		rest = bytes.TrimSpace(rest[end+1:])
		if len(rest) > 0 {
			if rest[0] != ',' {
				return nil, false, false
			}
			rest = bytes.TrimSpace(rest[1:])
		}
	}
	return out, false, true
}

func flatList(raw []byte) ([]float64, bool) {
	if len(raw) == 0 {
		return []float64{}, true
	}
	if bytes.ContainsAny(raw, "[{") {
		return nil, false
	}
	out := make([]float64, 0, bytes.Count(raw, []byte(","))+1)
	for len(raw) > 0 {
		item := raw
		if i := bytes.IndexByte(raw, ','); i >= 0 {
			item, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		v, ok := number(item)
		if !ok {
			v = math.NaN()
		}
		out = append(out, v)
	}
	return out, true
}
