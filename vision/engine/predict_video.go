package engine

import (
	"fmt"
	"path/filepath"

	"github.com/vislora/vislora/internal/cv"
	"github.com/vislora/vislora/vision"
)

// frameName is what the files of a frame are called.
func frameName(video string, at int) string { return fmt.Sprintf("%s_%06d", video, at) }

// clip is a video whose frames are handed out, one in stride.
type clip struct {
	file, name string
	stride     int
	fps        float64 // of the frames that are handed out
	video      *cv.Video
	at         int // the number of the next frame
	seconds    float64
}

func openClip(file, name string, stride int) (*clip, error) {
	v, err := cv.OpenVideo(file)
	if err != nil {
		return nil, err
	}
	return &clip{file: file, name: name, stride: stride, fps: v.FPS / float64(stride), video: v}, nil
}

// next reads a frame. Where the video ends it reports false, with an error if
// its header promises more than was there.
func (c *clip) next(f *frame) (bool, error) {
	if c.at > 0 {
		if err := c.video.Skip(c.stride - 1); err != nil {
			return false, err
		}
	}
	ok, err := c.video.Next(f.image)
	switch {
	case err != nil:
		return false, err
	case !ok:
		return false, c.shortfall()
	}
	// A container without times, or with broken ones, has its frames evenly.
	if s := c.video.Seconds(); s > c.seconds {
		c.seconds = s
	} else if c.at > 0 {
		c.seconds = float64(c.at) / c.video.FPS
	}
	f.file, f.name, f.clip, f.at, f.seconds, f.ready = c.file, frameName(c.name, c.at), c, c.at, c.seconds, true
	c.at += c.stride
	return true, nil
}

// shortfall is an error if frames are missing. Some containers only estimate how
// many they hold, and of the last stride it is not known how many were there: one
// in a hundred may be missing.
func (c *clip) shortfall() error {
	switch promised := c.video.Frames; {
	case c.at == 0:
		return fmt.Errorf("read video %s: no frame of it can be read", c.file)
	case promised-c.at > promised/100:
		return fmt.Errorf("read video %s: it ends after %d of the %d frames that its header promises: it is cut off or damaged", c.file, c.at, promised)
	}
	return nil
}

// reel writes the drawn frames of one clip after the other, each to a video of
// its name.
type reel struct {
	dir  string
	of   *clip
	file *cv.VideoWriter
	done []string // the videos that are complete
}

// add appends a frame.
func (r *reel) add(c *clip, im *vision.Image) error {
	if r.of != c {
		if err := r.close(); err != nil {
			return err
		}
		w, err := cv.CreateVideo(filepath.Join(r.dir, c.name), im.W, im.H, c.fps)
		if err != nil {
			return err
		}
		r.of, r.file = c, w
	}
	return r.file.Write(im)
}

// close completes the video that is written.
func (r *reel) close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	if err == nil {
		r.done = append(r.done, r.file.Path)
	}
	r.of, r.file = nil, nil
	return err
}
