//go:build !cgo || !gocv_specific_modules || !gocv_videoio

package cv

import (
	"errors"

	"github.com/vislora/vislora/vision"
)

// errNoVideo names the cure.
var errNoVideo = errors.New("this build reads no video: install libopencv-videoio-dev and rebuild with: make build VIDEO=1")

// VideoName tells what reads videos, or why nothing does.
func VideoName() (string, error) { return "", errNoVideo }

// Video is a video file; this build opens none.
type Video struct{ VideoInfo }

// OpenVideo reports how to get a build that reads videos.
func OpenVideo(string) (*Video, error) { return nil, errNoVideo }

// Next reads no frame.
func (*Video) Next(*vision.Image) (bool, error) { return false, errNoVideo }

// Skip passes over no frame.
func (*Video) Skip(int) error { return errNoVideo }

// Seconds is when the last frame is shown.
func (*Video) Seconds() float64 { return 0 }

// Close does nothing.
func (*Video) Close() {}

// VideoWriter is a video file that is written; this build makes none.
type VideoWriter struct{ Path string }

// CreateVideo reports how to get a build that writes videos.
func CreateVideo(string, int, int, float64) (*VideoWriter, error) { return nil, errNoVideo }

// Write writes no frame.
func (*VideoWriter) Write(*vision.Image) error { return errNoVideo }

// Close does nothing.
func (*VideoWriter) Close() error { return nil }
