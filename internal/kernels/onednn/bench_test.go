package onednn

import (
	"testing"

	"github.com/vislora/vislora/internal/kernels/testkernel"
)

func BenchmarkMatMul(b *testing.B) { testkernel.BenchMatMul(b, locked(b)) }

func BenchmarkConv(b *testing.B) { testkernel.BenchConv(b, locked(b)) }

func BenchmarkRows(b *testing.B) { testkernel.BenchRows(b, locked(b)) }
