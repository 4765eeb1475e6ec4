package vision

// Prediction is one class with its score, as `predict` writes it, and where
// objects are found, one object.
type Prediction struct {
	Class int     `json:"class"`
	Name  string  `json:"name"`
	Score float64 `json:"score"`
	// Box is the object's left, top, width and height in pixels of the image.
	Box *[4]float64 `json:"box,omitempty"`
}
