package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/vislora/vislora/vision/metric"
)

// nbsp keeps a number and its unit on one line.
const nbsp = "\u00a0"

// none stands where there is no value.
const none = "–"

// percent is 0.9654 as "96.5 %".
func percent(v float64) string {
	if !finite(v) {
		return none
	}
	return strconv.FormatFloat(100*v, 'f', 1, 64) + nbsp + "%"
}

// decimal is 0.96543 as "0.965".
func decimal(v float64) string {
	if !finite(v) {
		return none
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// general is a number of unknown size in a few digits.
func general(v float64) string {
	if !finite(v) {
		return none
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// interval is "94.6–98.1" or "" where there is none. An interval of no width is
// none: every resample of 6 right answers of 6 is right, which says nothing about
// the seventh.
func interval(ci map[string]metric.Interval, key string, scale float64, digits int) string {
	i, ok := ci[key]
	if !ok || !finite(float64(i[0])) || !finite(float64(i[1])) || i[0] == i[1] {
		return ""
	}
	f := func(v metric.Score) string { return strconv.FormatFloat(scale*float64(v), 'f', digits, 64) }
	return f(i[0]) + "–" + f(i[1])
}

// thousands is 304908 as "304 908".
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + nbsp + s[i:]
	}
	return s
}

// millions is 5788234 as "5.8 million" and 61000 as "61 000".
func millions(n int) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f"+nbsp+"billion", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f"+nbsp+"million", float64(n)/1e6)
	}
	return thousands(n)
}

// duration is 252.4 seconds as "4 min 12 s".
func duration(seconds float64) string {
	if seconds < 10 {
		return strings.TrimSuffix(strconv.FormatFloat(seconds, 'f', 1, 64), ".0") + nbsp + "s"
	}
	d := time.Duration(math.Round(seconds)) * time.Second
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h > 0:
		return fmt.Sprintf("%d%sh %d%smin", h, nbsp, m, nbsp)
	case m > 0:
		return fmt.Sprintf("%d%smin %d%ss", m, nbsp, s, nbsp)
	}
	return fmt.Sprintf("%d%ss", s, nbsp)
}

// count is "1 image" or "3 images".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
		if strings.HasSuffix(what, "sss") { // class, classes
			what = strings.TrimSuffix(what, "s") + "es"
		}
	}
	return thousands(n) + nbsp + what
}
