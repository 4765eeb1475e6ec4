package datasets

// Batch is a buffer of inputs with their labels. X may be memory of the
// executor: the workers write the pictures straight into it.
type Batch struct {
	// X is (N, H, W, 3), with room for as many pictures as a batch has.
	X []float32
	// N is the number of pictures; less than asked for in the last batch of an
	// epoch and where a picture could not be read.
	N int
	// Labels, Keys hold the class (−1 for none) and the index of each picture.
	Labels []int64
	Keys   []int64
	// Targets is (N, classes), 0 or 1, when the data set is multi-label.
	Targets []float32
	// Boxes are the objects of each picture, (N, M, 5), when the loader has
	// Scenes: class, centre x, y, width, height in pixels of the input. Rows
	// without an object have the class −1. The room is for as many pictures as
	// a batch has.
	Boxes []float32
	// Mask is the class of every pixel, (N, H, W), when the loader has Masks:
	// [transform.Void] where none is known. The room is for as many pictures as
	// a batch has.
	Mask []uint8
	// Shares are the masks of the objects in Boxes, (N, M, h, w), when the loader
	// has Shares: which part of each cell an object covers, in 255ths. All are 0
	// where only the box is known. The room is for as many pictures as a batch
	// has.
	Shares []uint8
	// Kept says that nothing but Labels, Keys and Targets was filled: see
	// [LoaderConfig].
	Kept bool
	// Epoch and Step say which batch it is; Step counts from 0.
	Epoch, Step int

	classes int
	objects int // M
	plane   int // pixels of one mask, 0 without masks
	covered int // cells of the masks of all objects of a picture, 0 without
	failed  []bool
	pending int
	done    chan struct{}
}

// BatchOver is a batch of n pictures with their inputs in memory that belongs to the
// caller. Targets are kept when classes is above 0.
func BatchOver(x []float32, n, classes int) *Batch {
	return &Batch{
		X: x, Labels: make([]int64, n), Keys: make([]int64, n), Targets: make([]float32, n*classes),
		classes: classes, failed: make([]bool, n), done: make(chan struct{}, 1),
	}
}

// label writes what belongs to a sample into slot i.
func (b *Batch) label(i int, s *Sample) {
	b.Labels[i], b.Keys[i] = int64(s.Label), int64(s.Index)
	if b.classes > 0 {
		t := b.Targets[i*b.classes:][:b.classes]
		clear(t)
		for _, c := range s.Classes() {
			t[c] = 1
		}
	}
}

// Moved is what moved with the pixels of picture i: its boxes, its mask and those
// of its objects, as far as the batch has them. A Kept batch lacks it.
func (b *Batch) Moved(i int) (boxes []float32, mask, shares []uint8) {
	return b.boxes(i), b.mask(i), b.shares(i)
}

// compact closes the gaps that pictures left which could not be read; the
// order of the others stays.
func (b *Batch) compact(size int) {
	to := 0
	for i := range b.N {
		if b.failed[i] {
			continue
		}
		if to != i {
			copy(b.X[to*size:][:size], b.X[i*size:][:size])
			copy(b.Targets[to*b.classes:][:b.classes], b.Targets[i*b.classes:][:b.classes])
			copy(b.boxes(to), b.boxes(i))
			copy(b.mask(to), b.mask(i))
			copy(b.shares(to), b.shares(i))
			b.Labels[to], b.Keys[to] = b.Labels[i], b.Keys[i]
		}
		to++
	}
	b.N = to
}
