//go:build !amd64 || purego

package kernels

func bestISA() isa { return noSIMD }

const missing = "kernels: no assembly in this build"

func tile256(*tileArgs) { panic(missing) }
func tile512(*tileArgs) { panic(missing) }

func turn8(*float32, int, *float32, int, int) { panic(missing) }

func expRow(_, _ *float32, _ int, _, _ float32) float64 { panic(missing) }

func exp8(_, _, _ *float32, _ int)      { panic(missing) }
func sigmoid8(_, _, _ *float32, _ int)  { panic(missing) }
func silu8(_, _, _ *float32, _ int)     { panic(missing) }
func geluTanh8(_, _, _ *float32, _ int) { panic(missing) }
func gelu8(_, _, _ *float32, _ int)     { panic(missing) }

func add8(_, _, _ *float32, _ int)    { panic(missing) }
func sub8(_, _, _ *float32, _ int)    { panic(missing) }
func mul8(_, _, _ *float32, _ int)    { panic(missing) }
func mulAdd8(_, _, _ *float32, _ int) { panic(missing) }

func scale8(_, _ *float32, _ int, _ float32) { panic(missing) }

func clip8(_, _ *float32, _ int, _, _ float32)    { panic(missing) }
func between8(_, _ *float32, _ int, _, _ float32) { panic(missing) }

func dot8(_, _ *float32, _ int) float64          { panic(missing) }
func centre8(_, _, _ *float32, _ int, _ float32) { panic(missing) }
func max8(*float32, int) float32                 { panic(missing) }

func larger8(*float32, *uint8, *float32, int, uint8) { panic(missing) }

func taps8(_, _, _ *float32, _ *[2]int, _, _ int) { panic(missing) }

func moments8(*float32, int, float64) (_, _ float64)                     { panic(missing) }
func normal8(_, _, _, _ *float32, _ int, _, _ float64)                   { panic(missing) }
func normalSums8(_, _, _ *float32, _ int, _, _ float64) (_, _ float64)   { panic(missing) }
func normalBack8(_, _, _, _ *float32, _ int, _, _, _, _ float64, _ bool) { panic(missing) }
