package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// cocoResults are the boxes and masks for tools that read COCO's results. The image's id is
// the number that its file is called, as COCO's are, or its name, of a video with
// the frame behind; the category's id is COCO's own for its 80 classes, else the
// class counted from 1.
func (im *ImagePredictions) cocoResults(ids []int64) []cocoResult {
	stem := strings.TrimSuffix(filepath.Base(im.File), filepath.Ext(im.File))
	var id any = stem
	if im.Frame != nil {
		id = frameName(stem, *im.Frame)
	} else if n, err := strconv.ParseInt(stem, 10, 64); err == nil {
		id = n
	}
	var out []cocoResult
	for _, q := range im.Predictions {
		if q.Box != nil || q.Segmentation != nil {
			out = append(out, cocoResult{id, ids[q.Class], q.Box, q.Segmentation, q.Score})
		}
	}
	return out
}

// categoryIDs numbers classes as COCO does.
func categoryIDs(classes []string) []int64 {
	ids := make([]int64, len(classes))
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	if slices.Equal(classes, builtinNames("coco80")) {
		// COCO left out eleven of its first 91 numbers.
		gaps, id := []int64{12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91}, int64(0)
		for i := range ids {
			for id++; slices.Contains(gaps, id); id++ {
			}
			ids[i] = id
		}
	}
	return ids
}

// boxFiles says what is written of a picture's boxes.
type boxFiles struct{ txt, conf, crop bool }

// write writes YOLO labels and crops.
func (s boxFiles) write(dir, name string, a *answer) error {
	if s.txt {
		var b strings.Builder
		for _, q := range a.Predictions {
			if q.Box == nil {
				continue
			}
			w, h := float64(a.Width), float64(a.Height)
			fmt.Fprintf(&b, "%d %.6f %.6f %.6f %.6f", q.Class, (q.Box[0]+q.Box[2]/2)/w, (q.Box[1]+q.Box[3]/2)/h, q.Box[2]/w, q.Box[3]/h)
			if s.conf {
				fmt.Fprintf(&b, " %.6f", q.Score)
			}
			b.WriteByte('\n')
		}
		labels := filepath.Join(dir, "labels")
		if err := os.MkdirAll(labels, 0o755); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(labels, name+".txt"), []byte(b.String())); err != nil {
			return err
		}
	}
	if !s.crop {
		return nil
	}
	for i, q := range a.Predictions {
		if q.Box == nil {
			continue
		}
		crop := cut(a.image, vision.XYWH(q.Box[0], q.Box[1], q.Box[2], q.Box[3]))
		crops := filepath.Join(dir, "crops", fileName(q.Name))
		if err := os.MkdirAll(crops, 0o755); err != nil {
			return err
		}
		if err := cv.WriteFile(filepath.Join(crops, fmt.Sprintf("%s_%d.jpg", name, i)), crop); err != nil {
			return err
		}
	}
	return nil
}

// fileName makes a class name one folder of that name.
func fileName(class string) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, class)
	if strings.Trim(s, ". ") == "" {
		return "_" + s
	}
	return s
}

// cut copies the pixels that a box touches, at least one.
func cut(im *vision.Image, b vision.Box) *vision.Image {
	b = b.Clip(float64(im.W), float64(im.H))
	x1, y1 := min(int(b.X1), im.W-1), min(int(b.Y1), im.H-1)
	x2, y2 := max(x1+1, min(int(b.X2+.999), im.W)), max(y1+1, min(int(b.Y2+.999), im.H))
	out := vision.NewImage(x2-x1, y2-y1)
	for y := range out.H {
		from := 3 * ((y1+y)*im.W + x1)
		copy(out.Pix[3*y*out.W:3*(y+1)*out.W], im.Pix[from:])
	}
	return out
}
