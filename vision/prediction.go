package vision

// Prediction is one class with its score, as `predict --save-json` writes it.
type Prediction struct {
	Class int     `json:"class"`
	Name  string  `json:"name"`
	Score float64 `json:"score"`
}
