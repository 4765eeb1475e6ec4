package coco

import "github.com/vislora/vislora/datasets"

// The kinds of problems with annotation files.
var (
	kindImage      = datasets.Kind{Name: "image-without-id", Action: datasets.ActionSkipped, Text: "images left out, without id or file name"}
	kindImageTwice = datasets.Kind{Name: "image-id-twice", Action: datasets.ActionSkipped, Text: "images with the id of another one, left out"}
	kindFileTwice  = datasets.Kind{Name: "file-twice", Action: datasets.ActionKept, Text: "files listed twice, taken as one image"}
	kindNoImage    = datasets.Kind{Name: "annotation-without-image", Action: datasets.ActionSkipped, Text: "annotations left out, without an image"}
	kindNoCategory = datasets.Kind{Name: "annotation-without-category", Action: datasets.ActionSkipped, Text: "annotations left out, without a category"}
	kindNoBox      = datasets.Kind{Name: "annotation-without-box", Action: datasets.ActionSkipped, Text: "annotations left out, without a box"}
	kindOtherImage = datasets.Kind{Name: "annotation-of-unknown-image", Action: datasets.ActionSkipped, Text: "annotations left out, their image is not in the list of images"}
	kindOtherClass = datasets.Kind{Name: "annotation-of-unknown-category", Action: datasets.ActionSkipped, Text: "annotations left out, their category is not in the list of categories"}
	kindTwice      = datasets.Kind{Name: "annotation-twice", Action: datasets.ActionSkipped, Text: "annotations left out, they are there twice"}
	kindSameID     = datasets.Kind{Name: "annotation-id-twice", Action: datasets.ActionKept, Text: "annotations with the id of another one, both are kept"}
	kindMask       = datasets.Kind{Name: "mask-unreadable", Action: datasets.ActionSkipped, Text: "masks left out, not readable"}
	kindCategory   = datasets.Kind{Name: "category-without-id", Action: datasets.ActionSkipped, Text: "categories left out, without id"}
	kindUnnamed    = datasets.Kind{Name: "category-without-name", Action: datasets.ActionKept, Text: "categories without a name, called by their number"}
	kindIDTwice    = datasets.Kind{Name: "category-twice", Action: datasets.ActionSkipped, Text: "categories twice, the first counts"}
	kindNameTwice  = datasets.Kind{Name: "category-name-twice", Action: datasets.ActionKept, Text: "classes with two category ids, taken as one by their name"}
)
