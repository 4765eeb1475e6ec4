package report

import (
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

func TestSheet(t *testing.T) {
	yes, no := true, false
	tiles := []Tile{
		{Image: drawing(64, 48, 0), Lines: []string{"Kiwi", "Kiwi 0.98"}, Good: &yes},
		{Image: drawing(48, 64, 1), Lines: []string{strings.Repeat("Very-Long-Name-", 20)}, Good: &no},
		{Image: drawing(500, 500, 2)},
	}
	path := filepath.Join(t.TempDir(), "sheet.png")
	if err := Sheet(path, tiles, 2); err != nil {
		t.Fatal(err)
	}
	im, err := cv.DecodeFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const cell = 320
	if want := 2*(cell+gap) + gap; im.W != want {
		t.Fatalf("the sheet is %d pixels wide, want %d", im.W, want)
	}
	// Row one carries a caption of at most mostRows lines, row two none.
	if want := gap + cell + gap + frame + 2 + mostRows*lineHeight + cell + gap; im.H != want {
		t.Errorf("the sheet is %d pixels high, want %d", im.H, want)
	}
	below := gap + cell + frame + 2
	first := image.Rect(0, below, gap+cell, below+2*lineHeight)
	second := image.Rect(gap+cell+gap, below, im.W, below+mostRows*lineHeight)
	if g, r := inked(im, first, green), inked(im, first, red); g < 50 || r != 0 {
		t.Errorf("caption of the right one: %d green and %d red pixels", g, r)
	}
	if g, r := inked(im, second, green), inked(im, second, red); r < 300 || g != 0 {
		t.Errorf("caption of the wrong one: %d green and %d red pixels", g, r)
	}
	if n := inked(im, image.Rect(im.W-gap+1, below, im.W, im.H), red); n != 0 {
		t.Errorf("%d pixels of the caption run over the edge", n)
	}
	// The frame surrounds its cell, the picture stands in the middle of it.
	if r, g, b := im.At(gap-frame, gap-frame); (color.NRGBA{r, g, b, 255}) != green {
		t.Errorf("the corner of the frame is %d %d %d", r, g, b)
	}
	if r, g, b := im.At(gap+cell/2, gap+20); r != 255 || g != 255 || b != 255 {
		t.Errorf("above the wide picture is %d %d %d, want white", r, g, b)
	}
	want, _, _ := drawing(64, 48, 0).At(32, 24)
	got, _, _ := im.At(gap+cell/2, gap+cell/2)
	if d := int(want) - int(got); d < -12 || d > 12 {
		t.Errorf("the middle of the picture has red %d, want about %d", got, want)
	}
	if _, g, _ := im.At(gap-frame, im.H-gap-10); g != 255 {
		t.Error("a picture that is neither right nor wrong has a frame")
	}
}

func inked(im *vision.Image, r image.Rectangle, c color.NRGBA) int {
	n := 0
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if r, g, b := im.At(x, y); r == c.R && g == c.G && b == c.B {
				n++
			}
		}
	}
	return n
}

// Small pictures do not fill a page, many columns stay readable.
func TestSheetSize(t *testing.T) {
	for _, c := range []struct{ side, tiles, columns, width int }{
		{16, 4, 2, 2*(leastCell+gap) + gap},
		{64, 4, 2, 2*(4*64+gap) + gap},
		{224, 16, 4, 4*(sheetWidth/4) + gap},
		{224, 16, 16, 16*(leastCell+gap) + gap},
		{224, 2, 8, 2*(mostCell+gap) + gap},
	} {
		im, err := sheet(manyTiles(c.side, c.tiles), c.columns)
		if err != nil {
			t.Fatal(err)
		}
		if im.W != c.width {
			t.Errorf("%d pictures of %d pixels in %d columns: %d pixels wide, want %d", c.tiles, c.side, c.columns, im.W, c.width)
		}
	}
}

func manyTiles(side, n int) []Tile {
	tiles := make([]Tile, n)
	for i := range tiles {
		tiles[i] = Tile{Image: drawing(side, side, i)}
	}
	return tiles
}

func TestSheetErrors(t *testing.T) {
	dir := t.TempDir()
	one := manyTiles(8, 1)
	for want, err := range map[string]error{
		"0 pictures in 2 columns":   Sheet(filepath.Join(dir, "a.png"), nil, 2),
		"1 pictures in 0 columns":   Sheet(filepath.Join(dir, "a.png"), one, 0),
		"picture 2 of 2 is empty":   Sheet(filepath.Join(dir, "a.png"), append(one, Tile{}), 2),
		`the extension is ".gif"`:   Sheet(filepath.Join(dir, "a.gif"), one, 2),
		"no such file or directory": Sheet(filepath.Join(dir, "absent", "a.png"), one, 2),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %q", err, want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestWrap(t *testing.T) {
	w, err := newWriter(textSize)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"", "Kiwi", "two words", "Arla-Standard-Milk-Ecological-Lactose-Free-1L 0.97", strings.Repeat("x", 200), "äöü ÄÖÜ " + strings.Repeat("ß", 60), "→ a/b_c.d"} {
		for _, width := range []int{40, 120, 300} {
			rows := w.wrap(s, width, 3)
			if len(rows) > 3 {
				t.Errorf("%q in %d pixels: %d rows", s, width, len(rows))
			}
			for _, row := range rows {
				if got := w.width(row); got > width {
					t.Errorf("%q in %d pixels: row %q has %d", s, width, row, got)
				}
			}
			// Nothing is lost but blanks at the breaks and what an ellipsis stands for.
			all := strings.ReplaceAll(strings.Join(rows, ""), " ", "")
			whole := strings.ReplaceAll(s, " ", "")
			if cut, ok := strings.CutSuffix(all, "…"); ok && strings.HasPrefix(whole, cut) && cut != whole {
				continue
			}
			if all != whole {
				t.Errorf("%q in %d pixels becomes %q", s, width, rows)
			}
		}
	}
	if got := strings.Join(w.wrap("Lactose-Free milk 0.97", 100, 3), "|"); got != "Lactose-Free|milk 0.97" {
		t.Errorf("breaks at %q", got)
	}
}
