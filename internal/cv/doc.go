// Package cv decodes, warps, draws and encodes images. It is the only package
// that knows OpenCV, and the same functions exist in two builds:
//
//   - with the tag gocv_specific_modules (and cgo) gocv decodes, warps, draws
//     and encodes;
//   - without it image/*, golang.org/x/image and disintegration/imaging do.
//
// Both agree on the lossless formats. They differ on colour JPEGs, because
// Go's decoder upsamples chroma without interpolation: by less than one of 255
// in the mean and up to about 35 at edges. [DecoderName] says which build this
// is, and is written into every checkpoint. Two rarities differ as well:
// OpenCV blends a TIFF's transparent pixels with black where Go drops the
// alpha, and Go does not read bilevel BMPs.
//
// OpenCV aborts the process on some misuse, allocates whatever a header asks
// for, and decodes a truncated JPEG without an error. Hence every file first
// goes through [ReadHeader], which reads the structure of the file in Go.
package cv
