package engine

import (
	"strings"
	"testing"
)

// Where nobody finds anything, nothing was shown to be equal, and that is said.
func TestVerificationOfNothing(t *testing.T) {
	v := Verification{Runtime: "ONNX Runtime 1.20.1", Images: 3, Boxes: &VerifiedBoxes{}}
	if s := v.String(); !strings.Contains(s, "nothing was compared") || !strings.Contains(s, "--data") {
		t.Error(s)
	}
	v.Boxes.Ours, v.Boxes.Theirs, v.Boxes.Matched = 2, 2, 2
	if s := v.String(); !strings.Contains(s, "agrees on 3 images: 2 of 2 boxes") {
		t.Error(s)
	}
}
