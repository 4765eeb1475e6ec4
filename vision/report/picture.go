package report

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image"
	_ "image/jpeg" // the formats that runs write
	_ "image/png"
	"io/fs"
	"os"
	"path/filepath"
)

// picture is an image inside the page.
type picture struct {
	Src  template.URL
	Alt  string
	W, H int
	Dots bool // a plot, whose pixels are smaller than those of photographs
}

// Wide tells whether the picture needs the whole page.
func (p *picture) Wide() bool { return p.W > 1000 }

// album reads the pictures of a run directory. What is not there is left out;
// what cannot be read becomes a warning, for a report with a hole is better than
// none.
type album struct {
	dir      string
	warnings []string
}

// get is the picture, nil if there is none.
func (a *album) get(name, alt string) *picture {
	if name == "" {
		return nil
	}
	p, err := a.read(name, alt)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		a.warnings = append(a.warnings, fmt.Sprintf("The picture %s is missing in this report: %v.", name, err))
		return nil
	}
	return p
}

func (a *album) plot(name, alt string) *picture {
	p := a.get(name, alt)
	if p != nil {
		p.Dots = true
	}
	return p
}

func (a *album) read(name, alt string) (*picture, error) {
	if !filepath.IsLocal(name) {
		return nil, errors.New("it lies outside the run directory")
	}
	data, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil {
		return nil, err
	}
	// The whole of it: a browser would show a truncated file as broken.
	im, format, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return &picture{
		Src: template.URL("data:image/" + format + ";base64," + base64.StdEncoding.EncodeToString(data)),
		Alt: alt,
		W:   im.Bounds().Dx(),
		H:   im.Bounds().Dy(),
	}, nil
}
