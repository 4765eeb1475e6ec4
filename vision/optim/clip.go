package optim

import "math"

// GradNorm is the Euclidean norm of all gradients together, summed in float64
// in the order of params. It is NaN or infinite when a gradient is.
func GradNorm(params []Param) float64 {
	var sum float64
	for i := range params {
		for _, g := range params[i].Grad {
			sum += float64(g) * float64(g)
		}
	}
	return math.Sqrt(sum)
}

// ClipGradNorm scales all gradients by maxNorm/(norm + 1e-6) when their global
// norm exceeds maxNorm, and returns the norm before clipping. A norm that is not
// finite leaves the gradients as they are: the caller must not take this step.
//
// Source: Pascanu et al. 2013, arXiv:1211.5063; constants of
// torch.nn.utils.clip_grad_norm_.
func ClipGradNorm(params []Param, maxNorm float64) float64 {
	norm := GradNorm(params)
	if !(norm > maxNorm) || math.IsInf(norm, 0) {
		return norm
	}
	scale := float32(maxNorm / (norm + 1e-6))
	if scale >= 1 {
		return norm
	}
	for i := range params {
		grad := params[i].Grad
		for j := range grad {
			grad[j] *= scale
		}
	}
	return norm
}
