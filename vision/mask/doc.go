// Package mask computes with binary masks as run lengths, the way COCO's
// maskApi does: the same rasterisation of polygons, the same IoU of crowds, the
// same compressed strings, bit for bit.
//
// A mask is a [vision.RLE]. Functions check what they are given and report an
// error for counts that do not fill the image, polygons without an area and the
// like; none of them panics. Where maskApi is undefined (runs of length zero in
// the middle of a mask), the result here is that of the mask's pixels.
//
// Source: Piotr Dollár and Tsung-Yi Lin 2015, the COCO API's maskApi
// (github.com/cocodataset/cocoapi), whose results were the specification.
package mask
