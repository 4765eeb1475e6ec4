package masks

import (
	"fmt"
	"strings"

	"github.com/vislora/vislora/datasets"
)

// ReadMask is the class of every pixel of a sample of the set, in rows from the
// top: H·W bytes that are indices into Classes or [Ignore]. It may be called by
// several goroutines.
//
// It reports an error for a mask that has changed since [Open]: one that is
// gone, of another size, or with a value or colour that is no class.
func (s *Set) ReadMask(sample datasets.Sample) ([]uint8, error) {
	out, err := s.read(&sample)
	if err != nil {
		file := sample.Mask
		if file == "" {
			file = "of " + sample.Path
		}
		return nil, fmt.Errorf("read mask %s: %s", file, strings.TrimPrefix(err.Error(), "read image "+file+": "))
	}
	return out, nil
}

func (s *Set) read(sample *datasets.Sample) ([]uint8, error) {
	if s.table == nil {
		return paint(sample)
	}
	p, err := openMask(sample.Mask, sample.W, sample.H)
	if err != nil {
		return nil, err
	}
	classes, err := s.table.classes(p)
	if err != nil {
		return nil, err
	}
	out := make([]uint8, p.w*p.h)
	return out, p.fill(out, classes)
}
