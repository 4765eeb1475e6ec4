// Command draw draws the data sets of samples/: the image folders retail and
// microscopy, the pictures with objects of shelf, and those with masks of smear.
//
//	go run ./samples/draw -set retail -out samples/retail
//	go run ./samples/draw -set shelf  -out samples/shelf
//	go run ./samples/draw -set shelf  -sheet shelf.png        # a contact sheet
//
// An image depends on the seed, its set, split, class (in an image folder) and
// number, and on nothing else: any part of a set can be drawn alone. The files
// in the repository were drawn with seed 1.
package main

import (
	"flag"
	"fmt"
	"image"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/disintegration/imaging"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}

func run(args []string, words io.Writer) error {
	fs := flag.NewFlagSet("draw", flag.ContinueOnError)
	fs.SetOutput(words)
	name := fs.String("set", "retail", "what to draw: "+strings.Join(setNames(), ", "))
	out := fs.String("out", "", "folder to write the set into")
	seed := fs.Uint64("seed", 1, "seed of every image")
	sheet := fs.String("sheet", "", "write a contact sheet to this file; objects and masks are drawn into it")
	if err := fs.Parse(args); err != nil {
		return err
	}
	set, ok := drawn()[*name]
	if !ok {
		return fmt.Errorf("choose a set: %q is unknown; use one of %s", *name, strings.Join(setNames(), ", "))
	}
	if *out == "" && *sheet == "" {
		return fmt.Errorf("choose an output: give -out FOLDER or -sheet FILE")
	}
	if *sheet != "" {
		img, err := set.contactSheet(*seed)
		if err != nil {
			return err
		}
		if err := imaging.Save(img, *sheet); err != nil {
			return fmt.Errorf("write the contact sheet: %w", err)
		}
	}
	if *out == "" {
		return nil
	}
	n, err := set.write(*out, *seed)
	if err != nil {
		return err
	}
	fmt.Fprintf(words, "%s: %d images in %s\n", *name, n, *out)
	return nil
}

// picturer is a set that can be drawn.
type picturer interface {
	write(folder string, seed uint64) (int, error)
	contactSheet(seed uint64) (image.Image, error)
}

func drawn() map[string]picturer {
	all := map[string]picturer{}
	for name, s := range sets {
		all[name] = s
	}
	for name, s := range scenes {
		all[name] = s
	}
	return all
}

func setNames() []string { return slices.Sorted(maps.Keys(drawn())) }

// write draws the whole set into folder.
func (s dataSet) write(folder string, seed uint64) (int, error) {
	n := 0
	for _, sp := range s.splits {
		for _, class := range s.classes {
			dir := filepath.Join(folder, sp.name, class)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return n, fmt.Errorf("make a class folder: %w", err)
			}
			for i := range sp.count {
				jpg, err := s.encode(seed, sp.name, class, i)
				if err != nil {
					return n, err
				}
				if err := os.WriteFile(filepath.Join(dir, fileName(class, i)), jpg, 0o644); err != nil {
					return n, fmt.Errorf("write an image: %w", err)
				}
				n++
			}
		}
	}
	return n, nil
}

func fileName(class string, i int) string { return fmt.Sprintf("%s_%03d.jpg", class, i) }
