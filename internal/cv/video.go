package cv

import (
	"path/filepath"
	"slices"
	"strings"
)

// VideoExtensions are those of the files that are read as videos, where video is
// built in ([VideoName]).
var VideoExtensions = []string{".mp4", ".avi", ".mkv", ".mov", ".webm"}

// IsVideo tells by the extension.
func IsVideo(path string) bool {
	return slices.Contains(VideoExtensions, strings.ToLower(filepath.Ext(path)))
}

// VideoInfo is what the header of a video says, which need not be so.
type VideoInfo struct {
	W, H   int     // in pixels, as it is to be shown
	FPS    float64 // frames per second; 30 where the header tells none
	Frames int     // 0 where it is not known; some containers only have an estimate
}
