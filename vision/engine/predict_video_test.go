package engine

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// needVideo skips where no video is built in, after a look at what users are told.
func needVideo(t *testing.T) {
	t.Helper()
	_, err := cv.VideoName()
	if err == nil {
		return
	}
	says(t, err, "libopencv-videoio-dev", "VIDEO=1")
	t.Skip("this build has no video: make test VIDEO=1")
}

// filmOf writes a film in which a square walks over a dark ground.
func filmOf(t *testing.T, dir, name string, frames int, fps float64) string {
	t.Helper()
	v, err := cv.CreateVideo(filepath.Join(dir, name), 128, 96, fps)
	if err != nil {
		t.Fatal(err)
	}
	for n := range frames {
		im := vision.NewImage(128, 96)
		for i := range im.Pix {
			im.Pix[i] = uint8(30 + i%11)
		}
		if err := cv.Rectangle(im, image.Rect(8*n, 30, 8*n+24, 54), cv.ClassColor(n%2), 0); err != nil {
			t.Fatal(err)
		}
		if err := v.Write(im); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return v.Path
}

// framesOf decodes all frames of a film.
func framesOf(t *testing.T, film string) (out []*vision.Image) {
	t.Helper()
	v, err := cv.OpenVideo(film)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for {
		im := &vision.Image{}
		ok, err := v.Next(im)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return out
		}
		out = append(out, im)
	}
}

// TestPredictVideo finds the same in the frames of a film as in pictures of them,
// for every task, and draws all of them.
func TestPredictVideo(t *testing.T) {
	needVideo(t)
	one := func(c *TrainConfig) { c.Epochs = 1 }
	for _, c := range []struct {
		task  string
		train func(t *testing.T) TrainConfig
	}{
		{"classify", func(t *testing.T) TrainConfig { return quick(t, sampleCNN, pictureFolder(t, 2, 6, 2), one) }},
		{"detect", func(t *testing.T) TrainConfig { return quickDetect(t, sampleCNN, shelfOf(t, 4, 2), one) }},
		{"segment", func(t *testing.T) TrainConfig { return quickSegment(t, sampleCNN, smearOf(t, 4, 2, false), one) }},
		{"instance", func(t *testing.T) TrainConfig {
			return quickInstance(t, sampleCNN, leavesOf(t, 4, 2, polygonOrRLE), one)
		}},
	} {
		t.Run(c.task, func(t *testing.T) {
			weights := mustTrain(t, c.train(t)).Dir
			source, pictures := t.TempDir(), t.TempDir()
			film := filmOf(t, source, "b_film", 11, 10)
			if err := os.WriteFile(filepath.Join(source, "a_broken.avi"), []byte(strings.Repeat("none", 999)), 0o644); err != nil {
				t.Fatal(err)
			}
			writePicture(t, filepath.Join(source, "c_picture.png"), image.NewRGBA(image.Rect(0, 0, 64, 64)))
			stills := framesOf(t, film)
			for i, im := range stills {
				if err := cv.WriteFile(filepath.Join(pictures, fmt.Sprintf("%02d.png", i)), im); err != nil {
					t.Fatal(err)
				}
			}
			predict := func(c PredictConfig) *Predictions {
				t.Helper()
				c.Weights, c.Threads, c.Project, c.Conf, c.MaxDet, c.SaveCOCO = weights, 2, t.TempDir(), .001, 3, true
				p, err := Predict(context.Background(), c)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			want := predict(PredictConfig{Source: pictures, NoSave: true})
			got := predict(PredictConfig{Source: source, VidStride: 3})
			if len(got.Images) != 5 || got.Answered != 5 || len(got.Skipped) != 1 || !strings.Contains(got.Skipped[0].Reason, "a_broken.avi") {
				t.Fatalf("%d answers, skipped %v; want frames 0, 3, 6, 9, a picture and a broken film", len(got.Images), got.Skipped)
			}
			for i, im := range got.Images[:4] {
				n := 3 * i
				if im.File != film || im.Frame == nil || *im.Frame != n || math.Abs(*im.Time-float64(n)/10) > .001 {
					t.Fatalf("answer %d is %s, frame %v at %v", i, im.File, im.Frame, im.Time)
				}
				if !samePredictions(im.Predictions, want.Images[n].Predictions) {
					t.Errorf("frame %d: %+v\nas a picture: %+v", n, im.Predictions, want.Images[n].Predictions)
				}
			}
			if got.Images[4].Frame != nil {
				t.Error("a picture has a frame")
			}
			checkVideoFiles(t, got, stills[0])

			all := predict(PredictConfig{Source: film, SaveFrames: true, Batch: 2})
			if n := len(framesOf(t, all.Videos[0])); n != 11 {
				t.Errorf("%d frames were drawn, want 11", n)
			}
			if pics, _ := filepath.Glob(filepath.Join(all.Dir, "b_film_*.jpg")); len(pics) != 11 {
				t.Errorf("%d pictures of frames, want 11", len(pics))
			}
		})
	}
}

// samePredictions allows for the order of sums in batches of other sizes.
func samePredictions(a, b []vision.Prediction) bool {
	return slices.EqualFunc(a, b, func(p, q vision.Prediction) bool {
		return p.Class == q.Class && math.Abs(p.Score-q.Score) < 1e-4 && (p.Box == nil) == (q.Box == nil)
	})
}

// checkVideoFiles compares the tables and the drawn film with the answers.
func checkVideoFiles(t *testing.T, p *Predictions, still *vision.Image) {
	t.Helper()
	if len(p.Videos) != 1 {
		t.Fatalf("videos %q, want one", p.Videos)
	}
	drawn := framesOf(t, p.Videos[0])
	if len(drawn) != 4 || drawn[0].W < still.W || drawn[0].H < still.H {
		t.Errorf("%d frames were drawn, the first of %d×%d pixels", len(drawn), drawn[0].W, drawn[0].H)
	}
	v, err := cv.OpenVideo(p.Videos[0])
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	if math.Abs(v.FPS-10./3) > .01 {
		t.Errorf("%.2f frames per second, want a third of 10", v.FPS)
	}
	b, err := os.ReadFile(filepath.Join(p.Dir, "predictions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []ImagePredictions
	if err := json.Unmarshal(b, &list); err != nil || !reflect.DeepEqual(list, p.Images) {
		t.Errorf("predictions.json: %v, %d answers, want %d", err, len(list), len(p.Images))
	}
	f, err := os.Open(filepath.Join(p.Dir, "predictions.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || !slices.Equal(rows[0][:3], []string{"file", "frame", "time"}) {
		t.Fatalf("predictions.csv: %v, %v", err, rows[:1])
	}
	for _, r := range rows[1:] {
		if film := cv.IsVideo(r[0]); film != (r[1] != "") || film != strings.Contains(r[2], ".") {
			t.Errorf("row %v", r)
		}
	}
	if b, err = os.ReadFile(filepath.Join(p.Dir, "coco_results.json")); err != nil {
		t.Fatal(err)
	}
	var results []struct {
		ID any `json:"image_id"`
	}
	if err := json.Unmarshal(b, &results); err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if id := r.ID.(string); id != "c_picture" && !strings.HasPrefix(id, "b_film_00000") {
			t.Errorf("image_id %q", id)
		}
	}
	hidden, _ := filepath.Glob(filepath.Join(p.Dir, ".*"))
	masks, _ := filepath.Glob(filepath.Join(p.Dir, "masks", "b_film*"))
	if len(hidden) > 0 || len(masks) > 0 {
		t.Errorf("left over: %q %q", hidden, masks)
	}
}

// TestPredictCutVideo answers what is left of a film and tells how much is
// missing; and large frames run in tiles.
func TestPredictCutVideo(t *testing.T) {
	needVideo(t)
	weights := mustTrain(t, quickSegment(t, sampleCNN, smearOf(t, 4, 2, false), func(c *TrainConfig) { c.Epochs = 1 })).Dir
	// MPEG-4 has no such rate, so that this is Motion JPEG, which is readable up
	// to the cut.
	film := filmOf(t, t.TempDir(), "film", 12, 123.4567)
	if filepath.Ext(film) != ".avi" {
		t.Skipf("%s is no .avi", film)
	}
	b, err := os.ReadFile(film)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.avi")
	if err := os.WriteFile(cut, b[:len(b)*2/3], 0o644); err != nil {
		t.Fatal(err)
	}
	answers := 0
	p, err := Predict(context.Background(), PredictConfig{Weights: weights, Source: cut, Threads: 2, Project: t.TempDir(), Tile: 64,
		Each: func(p ImagePredictions, _ string) error { answers++; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if p.Images != nil || answers != p.Answered || answers < 4 || answers > 11 || len(p.Skipped) != 1 || !strings.Contains(p.Skipped[0].Reason, fmt.Sprintf("after %d of the 12 frames", answers)) {
		t.Errorf("%d answers, %d given out, skipped %v", p.Answered, answers, p.Skipped)
	}
	if n := len(framesOf(t, p.Videos[0])); n != answers {
		t.Errorf("%d frames were drawn of %d", n, answers)
	}
	for _, empty := range []string{"text", ""} {
		path := filepath.Join(t.TempDir(), "no.mp4")
		if err := os.WriteFile(path, []byte(empty), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Predict(context.Background(), PredictConfig{Weights: weights, Source: path, Threads: 2, Project: t.TempDir()})
		says(t, err, "no.mp4", "damaged")
	}
	if _, err := Predict(context.Background(), PredictConfig{Weights: weights, Source: cut, VidStride: -1}); err == nil {
		t.Error("no error for a stride of -1")
	}
}
