//go:build cgo && gocv_specific_modules && gocv_videoio

package cv

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"sync"

	"gocv.io/x/gocv"

	"github.com/vislora/vislora/vision"
)

// quiet keeps ffmpeg from writing about damaged files to stderr: they are told of
// by our own errors and counts. Who sets the variable gets ffmpeg's words.
var quiet = sync.OnceFunc(func() {
	const level = "OPENCV_FFMPEG_LOGLEVEL"
	if _, set := os.LookupEnv(level); !set {
		os.Setenv(level, "-8")
	}
})

// frameRate is a rate, or 30 in place of one that cannot be.
func frameRate(fps float64) float64 {
	if math.IsNaN(fps) || fps <= 0 || fps > 1000 {
		return 30
	}
	return fps
}

// VideoName tells what reads videos, or why nothing does.
func VideoName() (string, error) { return DecoderName() + " videoio", nil }

// Video reads the frames of a video file in their order. It belongs to one
// goroutine and is closed when it is done.
type Video struct {
	VideoInfo
	file     *gocv.VideoCapture
	bgr, rgb gocv.Mat
	path     string
}

// OpenVideo opens a video file. Only ffmpeg and OpenCV's own reader of Motion
// JPEG are asked: others take a name for a pattern of names, or write to stderr.
func OpenVideo(path string) (*Video, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read video: %w", err)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("read video %s: it is not a file", path)
	}
	oneThread()
	quiet()
	for _, api := range []gocv.VideoCaptureAPI{gocv.VideoCaptureFFmpeg, gocv.VideoCaptureOpencvMjpeg} {
		f, err := gocv.VideoCaptureFileWithAPI(path, api)
		if err != nil {
			f.Close()
			continue
		}
		v := &Video{file: f, path: path, VideoInfo: VideoInfo{
			W:      int(f.Get(gocv.VideoCaptureFrameWidth)),
			H:      int(f.Get(gocv.VideoCaptureFrameHeight)),
			FPS:    frameRate(f.Get(gocv.VideoCaptureFPS)),
			Frames: max(int(f.Get(gocv.VideoCaptureFrameCount)), 0),
		}}
		if v.W <= 0 || v.H <= 0 || v.H > MaxPixels/v.W {
			f.Close()
			return nil, fmt.Errorf("read video %s: its header says %d×%d pixels, the limit is %d megapixels", path, v.W, v.H, MaxPixels/1_000_000)
		}
		v.bgr, v.rgb = gocv.NewMat(), gocv.NewMat()
		return v, nil
	}
	return nil, fmt.Errorf("read video %s: it is damaged, or of a format that OpenCV's ffmpeg does not know", path)
}

// Next reads the next frame into dst, whose memory it reuses. It reports false
// where the video ends, or where nothing behind can be read any more.
func (v *Video) Next(dst *vision.Image) (bool, error) {
	if !v.file.Read(&v.bgr) || v.bgr.Empty() {
		return false, nil
	}
	if v.bgr.Type() != gocv.MatTypeCV8UC3 {
		return false, fmt.Errorf("read video %s: the frames are of OpenCV's type %v, want 8-bit colour", v.path, v.bgr.Type())
	}
	if err := gocv.CvtColor(v.bgr, &v.rgb, gocv.ColorBGRToRGB); err != nil {
		return false, fmt.Errorf("read video %s: %w", v.path, err)
	}
	pix, err := v.rgb.DataPtrUint8()
	if err != nil {
		return false, fmt.Errorf("read video %s: %w", v.path, err)
	}
	dst.Reset(v.rgb.Cols(), v.rgb.Rows())
	copy(dst.Pix, pix)
	return true, nil
}

// Skip passes over n frames, or to the end where there are fewer.
func (v *Video) Skip(n int) error {
	if err := v.file.Grab(n); err != nil {
		return fmt.Errorf("read video %s: %w", v.path, err)
	}
	return nil
}

// Seconds is when the last frame that was read is shown, 0 where the container
// does not tell.
func (v *Video) Seconds() float64 { return v.file.Get(gocv.VideoCapturePosMsec) / 1000 }

// Close frees OpenCV's memory.
func (v *Video) Close() {
	v.file.Close()
	v.bgr.Close()
	v.rgb.Close()
}

// VideoWriter writes frames of one size to a video file, which appears under its
// name when it is closed.
type VideoWriter struct {
	Path        string
	part        string // what it is called until then
	w, h        int    // of the frames
	file        *gocv.VideoWriter
	bgr, padded gocv.Mat
}

// videoFormats are tried in turn: MPEG-4 needs an encoder of ffmpeg, Motion JPEG
// is OpenCV's own.
var videoFormats = []struct {
	ext, codec string
	api        gocv.VideoCaptureAPI
	whole      bool // rates are rounded
}{
	{".mp4", "mp4v", gocv.VideoCaptureFFmpeg, false},
	{".avi", "MJPG", gocv.VideoCaptureOpencvMjpeg, true},
}

// CreateVideo begins a video of w×h pixels; path is without an extension, which
// is that of the first format that can be written here. Motion JPEG has whole
// frames per second.
func CreateVideo(path string, w, h int, fps float64) (*VideoWriter, error) {
	if w <= 0 || h <= 0 || h > MaxPixels/w {
		return nil, fmt.Errorf("write video %s: frames of %d×%d pixels", path, w, h)
	}
	oneThread()
	quiet()
	for _, f := range videoFormats {
		part := filepath.Join(filepath.Dir(path), ".vislora-"+filepath.Base(path)+f.ext)
		rate := frameRate(fps)
		if f.whole {
			rate = max(math.Round(rate), 1)
		}
		// MPEG-4 has no odd sides.
		file, err := gocv.VideoWriterFileWithAPI(part, f.api, f.codec, rate, w+w%2, h+h%2, true)
		if err == nil && file.IsOpened() {
			return &VideoWriter{Path: path + f.ext, part: part, w: w, h: h, file: file, bgr: gocv.NewMat(), padded: gocv.NewMat()}, nil
		}
		if file != nil {
			file.Close()
		}
		os.Remove(part)
	}
	return nil, fmt.Errorf("write video %s: no format can be written here: see whether the folder is writable", path)
}

// Write appends a frame. An odd side gets its last pixels twice.
func (v *VideoWriter) Write(im *vision.Image) error {
	if im.W != v.w || im.H != v.h {
		return fmt.Errorf("write video %s: a frame has %d×%d pixels, those before have %d×%d", v.Path, im.W, im.H, v.w, v.h)
	}
	err := withMat(im, func(m *gocv.Mat) error { return gocv.CvtColor(*m, &v.bgr, gocv.ColorRGBToBGR) })
	frame := v.bgr
	if err == nil && (v.w%2 == 1 || v.h%2 == 1) {
		err = gocv.CopyMakeBorder(v.bgr, &v.padded, 0, v.h%2, 0, v.w%2, gocv.BorderReplicate, color.RGBA{})
		frame = v.padded
	}
	if err == nil {
		err = v.file.Write(frame)
	}
	if err != nil {
		return fmt.Errorf("write video %s: %w", v.Path, err)
	}
	return nil
}

// Close ends the file and gives it its name.
func (v *VideoWriter) Close() error {
	err := v.file.Close()
	v.bgr.Close()
	v.padded.Close()
	// OpenCV does not tell of a full disk, but an empty file does.
	st, serr := os.Stat(v.part)
	if err = errors.Join(err, serr); err == nil && st.Size() == 0 {
		err = errors.New("nothing was written: see whether the disk is full")
	}
	if err == nil {
		err = os.Chmod(v.part, 0o644)
	}
	if err == nil {
		err = os.Rename(v.part, v.Path)
	}
	if err != nil {
		os.Remove(v.part)
		return fmt.Errorf("write video %s: %w", v.Path, err)
	}
	return nil
}
