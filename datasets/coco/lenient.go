package coco

import (
	"bufio"
	"bytes"
	"io"
)

// lenient makes what Python's json module writes into JSON, byte for byte, so
// that offsets stay: NaN, Infinity and -Infinity become strings of their
// length, a byte order mark becomes blanks.
type lenient struct {
	r       *bufio.Reader
	n       int64 // bytes that came through
	quoted  bool
	escaped bool
	pending []byte
	one     [1]byte
}

func newLenient(r io.Reader) *lenient { return &lenient{r: bufio.NewReaderSize(r, 1<<16)} }

// constants are the words and what stands for them.
var constants = [][2][]byte{
	{[]byte("NaN"), []byte(`"?"`)},
	{[]byte("Infinity"), []byte(`"??????"`)},
	{[]byte("-Infinity"), []byte(`"???????"`)},
}

func (l *lenient) Read(p []byte) (int, error) {
	n := 0
	if l.n == 0 {
		if b, _ := l.r.Peek(3); bytes.Equal(b, []byte("\xef\xbb\xbf")) {
			_, _ = l.r.Discard(3)
			l.pending = []byte("   ")
		}
	}
	for n < len(p) {
		if len(l.pending) > 0 {
			k := copy(p[n:], l.pending)
			l.pending, n = l.pending[k:], n+k
			continue
		}
		// What is buffered already, up to the next byte that may matter.
		if l.r.Buffered() == 0 {
			if n > 0 {
				break
			}
			if _, err := l.r.Peek(1); err != nil {
				return 0, err
			}
		}
		b, _ := l.r.Peek(min(l.r.Buffered(), len(p)-n))
		k := l.plain(b)
		copy(p[n:], b[:k])
		_, _ = l.r.Discard(k)
		n += k
		if k < len(b) {
			l.pending = l.constant()
		}
	}
	l.n += int64(n)
	return n, nil
}

// plain is how many bytes go through as they are.
func (l *lenient) plain(b []byte) int {
	for i, c := range b {
		switch {
		case l.escaped:
			l.escaped = false
		case l.quoted && c == '\\':
			l.escaped = true
		case c == '"':
			l.quoted = !l.quoted
		case !l.quoted && (c == 'N' || c == 'I' || c == '-'):
			return i
		}
	}
	return len(b)
}

// constant takes a word that JSON has not, or the single byte that stands
// there.
func (l *lenient) constant() []byte {
	for _, c := range constants {
		if b, _ := l.r.Peek(len(c[0])); bytes.Equal(b, c[0]) {
			_, _ = l.r.Discard(len(b))
			return c[1]
		}
	}
	l.one[0], _ = l.r.ReadByte()
	return l.one[:]
}
