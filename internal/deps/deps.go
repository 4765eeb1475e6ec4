package deps

import (
	_ "github.com/chewxy/hm"
	_ "github.com/disintegration/imaging"
	_ "github.com/owulveryck/onnx-go"
	_ "github.com/yalue/onnxruntime_go"
	_ "go4.org/unsafe/assume-no-moving-gc"
	_ "gocv.io/x/gocv"
	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
	_ "golang.org/x/sys/unix"
	_ "gonum.org/v1/gonum/stat"
	_ "google.golang.org/protobuf/proto"
	_ "gopkg.in/yaml.v3"
	_ "gorgonia.org/gorgonia"
	_ "gorgonia.org/tensor"
)
