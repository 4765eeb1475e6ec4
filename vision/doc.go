// Package vision holds the words that every part of vislora shares: what a
// model is for ([Task]), what an image is ([Image]), how its pixels become the
// model's input ([Preprocess]) and what comes out ([Prediction]). It depends on
// the standard library only.
package vision
