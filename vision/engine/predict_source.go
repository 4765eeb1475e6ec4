package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vislora/vislora/internal/cv"
)

// imageExtensions are those that the decoders read.
var imageExtensions = []string{".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}

// findImages lists the pictures that a source names, sorted.
func findImages(source string) ([]string, error) { return findFiles(source, imageExtensions) }

// findSources is [findImages] with the videos.
func findSources(source string) ([]string, error) {
	return findFiles(source, slices.Concat(imageExtensions, cv.VideoExtensions))
}

// findFiles lists what a source names, sorted: a file, the files of a pattern, or
// those of a folder that have one of the extensions.
func findFiles(source string, extensions []string) ([]string, error) {
	if source == "" {
		return nil, errors.New("no source given: use --source FILE, FOLDER or a pattern")
	}
	st, err := os.Stat(source)
	switch {
	case err == nil && !st.IsDir():
		return []string{source}, nil
	case err == nil:
		var out []string
		err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !d.IsDir() && slices.Contains(extensions, strings.ToLower(filepath.Ext(path))) && !strings.HasPrefix(d.Name(), ".") {
				out = append(out, path)
			}
			return nil
		})
		if err == nil && len(out) == 0 {
			err = fmt.Errorf("%s: no image in it (%s)", source, strings.Join(imageExtensions, " "))
		}
		return out, err
	}
	out, gerr := filepath.Glob(source)
	if gerr != nil {
		return nil, fmt.Errorf("source %q: %w", source, gerr)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("source %q: no such file, and no file matches it as a pattern", source)
	}
	return out, nil
}
