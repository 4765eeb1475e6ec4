package head

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/vislora/vislora/internal/ops"
)

// Param is one parameter of a head or neck. Data is dense and row-major; Init
// fills it.
type Param struct {
	Name string
	Dims []int
	Data []float32
}

// Leaf gives the graph's leaf of a parameter by its name.
type Leaf = func(name string) *ops.Node

// parameters is the list that a module is made of, and how each starts.
type parameters struct {
	list   []Param
	starts []start
}

// start is a normal distribution; without deviation it is a constant.
type start struct{ mean, deviation float64 }

// kaiming is N(0, 2/fanIn) (He et al. 2015, arXiv:1502.01852).
func kaiming(fanIn int) start { return start{deviation: math.Sqrt(2 / float64(fanIn))} }

func (p *parameters) add(name string, s start, dims ...int) {
	n := 1
	for _, d := range dims {
		n *= d
	}
	p.list = append(p.list, Param{name, dims, make([]float32, n)})
	p.starts = append(p.starts, s)
}

// Params lists the parameters in a fixed order. Their data may be read and
// written in place.
func (p *parameters) Params() []Param { return p.list }

// Init draws the values. Each parameter's stream depends on the seed and its
// name alone.
func (p *parameters) Init(seed uint64) {
	for i, q := range p.list {
		h := fnv.New64a()
		h.Write([]byte(q.Name))
		rng := rand.New(rand.NewPCG(seed, h.Sum64()))
		for j := range q.Data {
			q.Data[j] = float32(p.starts[i].mean)
			if d := p.starts[i].deviation; d > 0 {
				q.Data[j] += float32(rng.NormFloat64() * d)
			}
		}
	}
}
