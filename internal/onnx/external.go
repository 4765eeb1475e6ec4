package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vislora/vislora/internal/onnx/ir"
	"github.com/vislora/vislora/internal/onnxpb"
)

// externals maps the files beside a model that hold its external data.
type externals struct {
	dir   string // the model's folder, "" when the model came without one
	files map[string][]byte
	unmap []func() error
}

// tensor returns the contents of a tensor whose external_data gives location,
// offset and length. The location must lie in the model's folder: no absolute
// path, no "..", no link that leads out. Offset and length are compared with
// the file's size and with what the dimensions need.
func (x *externals) tensor(p *onnxpb.TensorProto, dt ir.DType, n int64) ([]byte, error) {
	location, offset, length := "", int64(0), int64(-1)
	for _, kv := range p.ExternalData {
		var err error
		switch kv.GetKey() {
		case "location":
			location = kv.GetValue()
		case "offset":
			offset, err = strconv.ParseInt(kv.GetValue(), 10, 64)
		case "length":
			length, err = strconv.ParseInt(kv.GetValue(), 10, 64)
		}
		if err != nil {
			return nil, formatf("external data %s %q is not a number", kv.GetKey(), kv.GetValue())
		}
	}
	if location == "" {
		return nil, formatf("external data has no location")
	}
	data, err := x.file(location)
	if err != nil {
		return nil, err
	}
	need := n * int64(dt.Size())
	if length >= 0 && length != need || length < -1 {
		return nil, formatf("dimensions %v of %v need %d bytes, external data has length %d", p.Dims, dt, need, length)
	}
	if size := int64(len(data)); offset < 0 || offset > size || need > size-offset {
		return nil, formatf("external data %q has %d bytes, the tensor needs %d at offset %d: is the file complete?", location, size, need, offset)
	}
	return data[offset : offset+need : offset+need], nil
}

func (x *externals) file(location string) ([]byte, error) {
	if data, ok := x.files[location]; ok {
		return data, nil
	}
	if x.dir == "" {
		return nil, formatf("external data %q: the model was given without a folder to find it in", location)
	}
	local := filepath.FromSlash(strings.TrimPrefix(location, "./"))
	if !filepath.IsLocal(local) || strings.Contains(location, `\`) {
		return nil, formatf("external data %q lies outside the model's folder", location)
	}
	root, err := os.OpenRoot(x.dir)
	if err != nil {
		return nil, formatf("external data %q: %v", location, err)
	}
	defer root.Close()
	st, err := root.Stat(local) // refuses links that lead out of the folder
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, formatf("external data %q is missing: it belongs into the model's folder %s", location, x.dir)
	case err != nil:
		return nil, formatf("external data %q cannot be used: %v", location, err)
	case !st.Mode().IsRegular():
		return nil, formatf("external data %q is not a regular file", location)
	}
	f, err := root.Open(local)
	if err != nil {
		return nil, formatf("external data %q cannot be used: %v", location, err)
	}
	data, unmap, err := mapOpen(f)
	if err != nil {
		return nil, formatf("external data %q cannot be used: %v", location, err)
	}
	if x.files == nil {
		x.files = map[string][]byte{}
	}
	x.files[location] = data
	x.unmap = append(x.unmap, unmap)
	return data, nil
}

func (x *externals) close() error {
	var errs []error
	for _, u := range x.unmap {
		errs = append(errs, u())
	}
	x.unmap, x.files = nil, nil
	return errors.Join(errs...)
}
