package datasets

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxDepth is how deep folders are searched for images.
const maxDepth = 16

var extensions = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp"}

// Extensions are the endings of image files, for a message.
func Extensions() string { return strings.Join(extensions, " ") }

// IsImage tells an image by the ending of its name.
func IsImage(name string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(name)))
}

// IsHidden tells files and folders that operating systems leave behind.
func IsHidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.EqualFold(name, "Thumbs.db") ||
		strings.EqualFold(name, "desktop.ini") || name == "__MACOSX"
}

// IsFile tells whether a regular file is there.
func IsFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// IsDir tells whether a folder is there.
func IsDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// SplitName is train, val or test for the words that people use; "" for others.
func SplitName(s string) string {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "train", "training":
		return Train
	case "val", "valid", "validation", "dev":
		return Val
	case "test", "testing":
		return Test
	}
	return ""
}

// List returns the image files below dir, and the others, as names relative to
// it, with slashes. Links to files and, at the top, to folders are followed.
func List(dir string) (images, others []string, err error) {
	var walk func(rel string, depth int) error
	walk = func(rel string, depth int) error {
		items, err := os.ReadDir(filepath.Join(dir, filepath.FromSlash(rel)))
		if err != nil {
			return err
		}
		for _, it := range items {
			if IsHidden(it.Name()) {
				continue
			}
			name := path.Join(rel, it.Name())
			st, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
			switch {
			case err != nil:
				others = append(others, name) // a link that leads nowhere
			case st.IsDir():
				if link := it.Type()&os.ModeSymlink != 0; depth < maxDepth && (!link || depth == 0) {
					if err := walk(name, depth+1); err != nil {
						return err
					}
				}
			case IsImage(name):
				images = append(images, name)
			default:
				others = append(others, name)
			}
		}
		return nil
	}
	err = walk("", 0)
	return images, others, err
}

// Relative is the name of a file for people: relative to root where it lies
// below it, with slashes.
func Relative(root, file string) string {
	if rel, err := filepath.Rel(root, file); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return filepath.ToSlash(file)
}
