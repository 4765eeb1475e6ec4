// Command draw draws the two image-folder data sets of samples/.
//
//	go run ./samples/draw -set retail     -out samples/retail
//	go run ./samples/draw -set microscopy -out samples/microscopy
//	go run ./samples/draw -set retail -sheet retail.png        # a contact sheet
//
// An image depends on the seed, its set, split, class and number, and on
// nothing else: any part of a set can be drawn alone. The files in the
// repository were drawn with seed 1.
package main

import (
	"flag"
	"fmt"
	"image"
	"image/color"
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
	name := fs.String("set", "retail", "what to draw: "+strings.Join(setNames(), " or "))
	out := fs.String("out", "", "folder for <split>/<class>/<class>_NNN.jpg")
	seed := fs.Uint64("seed", 1, "seed of every image")
	sheet := fs.String("sheet", "", "write a contact sheet to this file, one row per class")
	if err := fs.Parse(args); err != nil {
		return err
	}
	set, ok := sets[*name]
	if !ok {
		return fmt.Errorf("choose a set: %q is unknown; use %s", *name, strings.Join(setNames(), " or "))
	}
	if *out == "" && *sheet == "" {
		return fmt.Errorf("choose an output: give -out FOLDER or -sheet FILE")
	}
	if *sheet != "" {
		if err := imaging.Save(set.contactSheet(*seed, 14), *sheet); err != nil {
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

func setNames() []string { return slices.Sorted(maps.Keys(sets)) }

// write draws the whole set into folder.
func (s dataSet) write(folder string, seed uint64) (int, error) {
	n := 0
	for _, sp := range s.splits {
		for _, class := range s.classes {
			dir := filepath.Join(folder, sp.name, class)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return n, fmt.Errorf("make a class folder: %w", err)
			}
			for i := range sp.perClass {
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

// contactSheet shows the first training images of every class, one row each.
func (s dataSet) contactSheet(seed uint64, columns int) image.Image {
	const gap = 3
	sheet := imaging.New(columns*(side+gap)-gap, len(s.classes)*(side+gap)-gap, color.White)
	for row, class := range s.classes {
		for i := range columns {
			img := s.image(seed, "train", class, i)
			sheet = imaging.Paste(sheet, img, image.Pt(i*(side+gap), row*(side+gap)))
		}
	}
	return sheet
}
