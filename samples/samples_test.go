// Package samples_test checks what lies in this folder: the backbones and the
// data sets.
package samples_test

import (
	"bytes"
	"encoding/json"
	"image"
	_ "image/jpeg"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vislora/vislora/cnn"
	"github.com/vislora/vislora/datasets"
	"github.com/vislora/vislora/datasets/coco"
	"github.com/vislora/vislora/internal/onnx"
	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/vision"
	"github.com/vislora/vislora/vision/build"
	"github.com/vislora/vislora/vision/mask"
	"github.com/vislora/vislora/vit"
)

// TestBackbones opens both files as a user would: small, with their class
// names and preprocessing, recognised, every layer a named site.
func TestBackbones(t *testing.T) {
	for _, c := range []struct {
		name, classifier string
		annotate         func(*ir.Graph) (*build.Annotation, bool)
		features, sites  int // sites include the classifier
		paths            []string
	}{
		{"vit_64", "head", vit.Annotate, 96, 1 + 4*4 + 1,
			[]string{"patch_embed.proj", "blocks.0.attn.qkv", "blocks.1.attn.proj", "blocks.2.mlp.fc1", "blocks.3.mlp.fc2"}},
		{"resnet_64", "fc", cnn.Annotate, 96, 1 + 4*4 + 3 + 1,
			[]string{"conv1", "layer1.0.conv1", "layer2.0.downsample.0", "layer4.1.conv2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := onnx.Open(filepath.Join("backbones", c.name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Size >= 2_000_000 {
				t.Errorf("the file has %d bytes; it has to stay under 2 MB", m.Size)
			}
			var names []string
			if err := json.Unmarshal([]byte(m.Metadata["names"]), &names); err != nil || len(names) != 40 {
				t.Errorf("metadata \"names\": %d names, %v; want 40", len(names), err)
			}
			var p vision.Preprocess
			if err := json.Unmarshal([]byte(m.Metadata["vislora.preprocess"]), &p); err != nil {
				t.Fatalf("metadata \"vislora.preprocess\": %v", err)
			}
			if err := p.Validate(); err != nil || p.Size != [2]int{64, 64} || p.ResizeTo != 72 {
				t.Errorf("preprocessing %+v: %v", p, err)
			}
			norms := 0
			for _, n := range m.Graph.Nodes {
				if n.Op == "BatchNormalization" {
					norms++
				}
			}
			if want := map[string]int{"resnet_64": 20}[c.name]; norms != want {
				t.Errorf("%d BatchNormalization nodes in the file, want %d", norms, want)
			}
			g, err := m.Plan(onnx.PlanOptions{Batch: 3})
			if err != nil {
				t.Fatal(err)
			}
			a, ok := c.annotate(g)
			if !ok {
				t.Fatal("the architecture is not recognised")
			}
			if len(a.Sites) != c.sites {
				t.Errorf("%d sites, want %d", len(a.Sites), c.sites)
			}
			for _, path := range c.paths {
				if !slices.ContainsFunc(a.Sites, func(s build.Site) bool { return s.Path == path }) {
					t.Errorf("no site %s", path)
				}
			}
			if a.Classifier == nil {
				t.Fatal("no classifier")
			}
			if a.Classifier.Path != c.classifier || a.Classifier.In != c.features || a.Classes != 40 {
				t.Errorf("classifier %s from %d features to %d classes, want %s from %d to 40",
					a.Classifier.Path, a.Classifier.In, a.Classes, c.classifier, c.features)
			}
		})
	}
}

// TestDataSets counts the images of the image folders and decodes each.
func TestDataSets(t *testing.T) {
	for _, c := range []struct {
		name    string
		classes int
		counts  map[string]int // per class
	}{
		{"retail", 8, map[string]int{"train": 48, "val": 10, "test": 25}},
		{"microscopy", 5, map[string]int{"train": 60, "val": 14, "test": 36}},
	} {
		seen := make(map[string]string) // content → file
		for split, per := range c.counts {
			classes, err := os.ReadDir(filepath.Join(c.name, split))
			if err != nil {
				t.Fatal(err)
			}
			if len(classes) != c.classes {
				t.Errorf("%s/%s: %d classes, want %d", c.name, split, len(classes), c.classes)
			}
			for _, class := range classes {
				files, err := filepath.Glob(filepath.Join(c.name, split, class.Name(), "*.jpg"))
				if err != nil {
					t.Fatal(err)
				}
				if len(files) != per {
					t.Errorf("%s/%s/%s: %d images, want %d", c.name, split, class.Name(), len(files), per)
				}
				for _, file := range files {
					raw, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					if twin, ok := seen[string(raw)]; ok {
						t.Errorf("%s and %s are the same file", file, twin)
					}
					seen[string(raw)] = file
					img, _, err := image.Decode(strings.NewReader(string(raw)))
					if err != nil {
						t.Fatalf("%s: %v", file, err)
					}
					if img.Bounds().Dx() != 96 || img.Bounds().Dy() != 96 {
						t.Errorf("%s is %v, want 96×96", file, img.Bounds())
					}
				}
			}
		}
	}
}

// TestScenes opens the pictures with objects as a user would, and counts.
func TestScenes(t *testing.T) {
	for _, c := range []struct {
		name    string
		classes []string
		counts  map[string]int
		side    int
		objects [2]int // per picture
	}{
		{"shelf", []string{"bottle", "box", "can", "jar"}, map[string]int{"train": 60, "val": 20, "test": 20}, 192, [2]int{2, 8}},
		{"smear", []string{"red cell", "white cell"}, map[string]int{"train": 40, "val": 15, "test": 15}, 160, [2]int{1, 100}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := coco.Open(c.name, datasets.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(set.Warnings) > 0 || len(set.Skipped) > 0 {
				t.Errorf("warnings %q, left out %v", set.Warnings, set.Skipped)
			}
			if !slices.Equal(set.Classes, c.classes) {
				t.Errorf("classes %q, want %q", set.Classes, c.classes)
			}
			for split, want := range c.counts {
				samples := set.Split(split)
				if len(samples) != want {
					t.Errorf("%s: %d pictures, want %d", split, len(samples), want)
				}
				for _, s := range samples {
					if s.W != c.side || s.H != c.side {
						t.Errorf("%s is %d×%d, want %d×%d", s.Name, s.W, s.H, c.side, c.side)
					}
					if n := len(s.Objects); n < c.objects[0] || n > c.objects[1] {
						t.Errorf("%s has %d objects", s.Name, n)
					}
					for _, o := range s.Objects {
						if box, err := mask.ToBox(*o.RLE); err != nil || box != o.Box || float64(mask.Area(*o.RLE)) != o.Area {
							t.Errorf("%s: box %v and area %v do not fit the mask: %v, %v", s.Name, o.Box, o.Area, box, err)
						}
					}
				}
			}
			if n := size(t, c.name); n > 2_500_000 {
				t.Errorf("the set has %d bytes; it has to stay under 2.5 MB", n)
			}
		})
	}
}

// TestMasks looks at the masks of the smears: one for every image, of its size,
// with a palette, and every class in every split.
func TestMasks(t *testing.T) {
	for _, split := range []string{"train", "val", "test"} {
		images, err := filepath.Glob(filepath.Join("smear", split, "images", "*.jpg"))
		if err != nil {
			t.Fatal(err)
		}
		var seen [4]int
		for _, file := range images {
			name := strings.TrimSuffix(filepath.Base(file), ".jpg") + ".png"
			raw, err := os.ReadFile(filepath.Join("smear", split, "masks", name))
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			p, ok := img.(*image.Paletted)
			if !ok || len(p.Palette) != 4 || p.Rect != image.Rect(0, 0, 160, 160) {
				t.Fatalf("%s is a %T of %v", name, img, img.Bounds())
			}
			for _, k := range p.Pix {
				seen[k]++
			}
		}
		for k, n := range seen {
			if n == 0 {
				t.Errorf("%s: no pixel of class %d", split, k)
			}
		}
	}
}

// size adds up the files of a folder.
func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		n += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
