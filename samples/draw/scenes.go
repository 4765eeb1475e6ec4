package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// scene is a picture with what is known about it.
type scene struct {
	image  image.Image
	things []thing
	labels []uint8 // class of every pixel; nil when the set has none
}

// sceneSet is a data set of pictures with objects, or with the class of every
// pixel, that can be drawn.
type sceneSet struct {
	name    string
	about   string   // what the annotation files say about themselves
	classes []string // of the objects, in the order of their category ids
	labels  []string // of the pixels; nil: there are no masks
	palette []rgb    // of the masks, by class
	splits  []split
	quality [2]int
	images  string // folder of a split's images; %s is the split
	draw    func(d dice) (*scene, error)
}

var scenes = map[string]sceneSet{
	"shelf": {
		name: "shelf", about: "Shelves with bottles, boxes, cans and jars, drawn by samples/draw",
		classes: stocked,
		splits:  []split{{"train", 60}, {"val", 20}, {"test", 20}},
		quality: [2]int{68, 82},
		images:  "images/%s",
		draw:    drawAisle,
	},
	"smear": {
		name: "smear", about: "Blood smears with red and white cells, drawn by samples/draw",
		classes: cells,
		labels:  stained,
		palette: []rgb{grey(0), hsv(0, .7, .9), hsv(.58, .6, .95), hsv(.77, .75, .55)},
		splits:  []split{{"train", 40}, {"val", 15}, {"test", 15}},
		quality: [2]int{70, 84},
		images:  "%s/images",
		draw:    drawField,
	},
}

// seeded gives the random numbers of a seed.
func seeded(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))} }

// dice gives the random numbers of one picture.
func (s sceneSet) dice(seed uint64, split string, i int) dice {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%d", s.name, split, i)
	return dice{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// scene draws one picture.
func (s sceneSet) scene(seed uint64, split string, i int) (*scene, error) {
	sc, err := s.draw(s.dice(seed, split, i))
	if err != nil {
		return nil, fmt.Errorf("draw %s/%s %d: %w", s.name, split, i, err)
	}
	return sc, nil
}

// jpeg packs a picture.
func (s sceneSet) jpeg(sc *scene, seed uint64, split string, i int) ([]byte, error) {
	d := s.dice(seed^0x9e3779b97f4a7c15, split, i)
	q := s.quality[0] + d.IntN(s.quality[1]-s.quality[0]+1)
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, sc.image, &jpeg.Options{Quality: q}); err != nil {
		return nil, fmt.Errorf("encode %s/%s %d: %w", s.name, split, i, err)
	}
	return buf.Bytes(), nil
}

// folder is where the images of a split lie.
func (s sceneSet) folder(split string) string { return fmt.Sprintf(s.images, split) }

// stem is a picture's file name without its extension.
func stem(split string, i int) string { return fmt.Sprintf("%s_%03d", split, i) }

// write draws the whole set into folder and returns how many pictures it has.
func (s sceneSet) write(folder string, seed uint64) (int, error) {
	n := 0
	for _, sp := range s.splits {
		images := filepath.Join(folder, filepath.FromSlash(s.folder(sp.name)))
		all := newInstances(s)
		for i := range sp.count {
			sc, err := s.scene(seed, sp.name, i)
			if err != nil {
				return n, err
			}
			raw, err := s.jpeg(sc, seed, sp.name, i)
			if err != nil {
				return n, err
			}
			if err := save(filepath.Join(images, stem(sp.name, i)+".jpg"), raw); err != nil {
				return n, err
			}
			if s.labels != nil {
				if raw, err = s.png(sc); err != nil {
					return n, fmt.Errorf("encode %s/%s %d: %w", s.name, sp.name, i, err)
				}
				if err := save(filepath.Join(folder, sp.name, "masks", stem(sp.name, i)+".png"), raw); err != nil {
					return n, err
				}
			}
			if err := all.add(stem(sp.name, i)+".jpg", sc); err != nil {
				return n, err
			}
			n++
		}
		raw, err := all.json()
		if err != nil {
			return n, err
		}
		if err := save(filepath.Join(folder, "annotations", "instances_"+sp.name+".json"), raw); err != nil {
			return n, err
		}
	}
	if s.labels == nil {
		return n, nil
	}
	return n, save(filepath.Join(folder, "data.yaml"), s.yaml())
}

// save writes a file and the folders it lies in.
func save(file string, raw []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		return fmt.Errorf("write a file: %w", err)
	}
	return nil
}
