package vision

// Prediction is one class with its score, as `predict` writes it: of an image;
// where objects are found, of one of them; where pixels are classified, of all
// its pixels.
type Prediction struct {
	Class int     `json:"class"`
	Name  string  `json:"name"`
	Score float64 `json:"score"`
	// Box is the object's left, top, width and height in pixels of the image.
	Box *[4]float64 `json:"box,omitempty"`
	// Area counts the pixels, AreaMM2 is in mm² where the size of a pixel is
	// known.
	Area    *int     `json:"area,omitempty"`
	AreaMM2 *float64 `json:"area_mm2,omitempty"`
	// Segmentation are the pixels.
	Segmentation *Segmentation `json:"segmentation,omitempty"`
}

// Segmentation is a mask in COCO's compressed form; package vision/mask reads
// Counts.
type Segmentation struct {
	Size   [2]int `json:"size"` // height, width
	Counts string `json:"counts"`
}
