//go:build cgo && gocv_specific_modules && gocv_videoio

package cv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vislora/vislora/vision"
)

// clip writes a video whose frames n are of one colour each, 10·n, and returns
// its file.
func clip(t *testing.T, frames, w, h int, fps float64) string {
	t.Helper()
	v, err := CreateVideo(filepath.Join(t.TempDir(), "clip"), w, h, fps)
	if err != nil {
		t.Fatal(err)
	}
	im := vision.NewImage(w, h)
	for n := range frames {
		for i := range im.Pix {
			im.Pix[i] = uint8(10 * n)
		}
		if err := v.Write(im); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Write(vision.NewImage(w+1, h)); err == nil {
		t.Error("a frame of another size was written")
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return v.Path
}

// Every frame comes back in its order with its time, of either format.
func TestVideoThereAndBack(t *testing.T) {
	all := videoFormats
	defer func() { videoFormats = all }()
	for _, f := range all {
		videoFormats = videoFormats[:0:0]
		videoFormats = append(videoFormats, f)
		t.Run(f.codec, func(t *testing.T) {
			fps := 12.5
			if f.whole {
				fps = 13
			}
			path := clip(t, 20, 97, 65, 12.5)
			if filepath.Ext(path) != f.ext {
				t.Fatalf("written as %s, want %s", path, f.ext)
			}
			v, err := OpenVideo(path)
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			if want := (VideoInfo{98, 66, fps, 20}); v.VideoInfo != want {
				t.Errorf("%+v, want %+v", v.VideoInfo, want)
			}
			var im vision.Image
			for n := 0; ; n++ {
				ok, err := v.Next(&im)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					if n != 20 {
						t.Errorf("%d frames, want 20", n)
					}
					break
				}
				// Both formats lose a little.
				if c := int(im.Pix[3*(30*im.W+30)]); c < 10*n-4 || c > 10*n+4 {
					t.Errorf("frame %d has the colour %d, want %d", n, c, 10*n)
				}
				if s := v.Seconds(); s < float64(n)/fps-.001 || s > float64(n)/fps+.001 {
					t.Errorf("frame %d is at %.3f s, want %.3f", n, s, float64(n)/fps)
				}
			}
		})
	}
}

func TestVideoSkip(t *testing.T) {
	v, err := OpenVideo(clip(t, 10, 64, 64, 25))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var im vision.Image
	for _, want := range []int{0, 4, 8} {
		if ok, err := v.Next(&im); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if c := int(im.Pix[0]); c < 10*want-4 || c > 10*want+4 {
			t.Errorf("the colour is %d, want that of frame %d", c, want)
		}
		if err := v.Skip(3); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := v.Next(&im); ok || err != nil {
		t.Errorf("after the end: %v, %v", ok, err)
	}
}

// A file that is no video is a named error; one that is cut off gives the frames
// that are there, or a named error.
func TestVideoDamaged(t *testing.T) {
	path := clip(t, 20, 64, 64, 25)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"empty.mp4": nil, "text.avi": []byte(strings.Repeat("no video ", 999)), "half.mp4": whole[:len(whole)/2]} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
		v, err := OpenVideo(p)
		if err == nil {
			v.Close()
			t.Errorf("%s was opened", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v: the file is not named", name, err)
		}
	}
	if _, err := OpenVideo(dir); err == nil {
		t.Error("a folder was opened")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".vislora-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
