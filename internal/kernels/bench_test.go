package kernels_test

import (
	"testing"

	"github.com/vislora/vislora/internal/kernels"
	"github.com/vislora/vislora/internal/kernels/testkernel"
)

func BenchmarkMatMul(b *testing.B) { testkernel.BenchMatMul(b, kernels.Go{}) }

func BenchmarkConv(b *testing.B) { testkernel.BenchConv(b, kernels.Go{}) }

func BenchmarkRows(b *testing.B) { testkernel.BenchRows(b, kernels.Go{}) }
