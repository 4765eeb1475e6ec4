package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/vislora/vislora/vision/engine"
)

// bar is a progress line, drawn only on a terminal.
type bar struct {
	w     io.Writer
	tty   bool
	last  time.Time
	drawn bool
}

func newBar(w io.Writer) *bar {
	f, ok := w.(*os.File)
	b := &bar{w: w}
	if ok {
		st, err := f.Stat()
		b.tty = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	return b
}

func (b *bar) show(p engine.Progress) {
	if !b.tty || time.Since(b.last) < 100*time.Millisecond && p.Step < p.Steps {
		return
	}
	b.last = time.Now()
	const width = 24
	full := width * p.Step / max(p.Steps, 1)
	fmt.Fprintf(b.w, "\r\x1b[Kepoch %d/%d %s%s %d/%d  loss %.4f  lr %.2e  %.1f images/s  %s left", p.Epoch, p.Epochs,
		strings.Repeat("█", full), strings.Repeat("░", width-full), p.Step, p.Steps, p.Loss, p.LR, p.ImagesPerSec, p.ETA.Round(time.Second))
	b.drawn = true
}

func (b *bar) clear() {
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.drawn = false
	}
}
