//go:build !amd64 || purego

package kernels

func bestISA() isa { return noSIMD }

const missing = "kernels: no assembly in this build"

func tile256(*tileArgs) { panic(missing) }

func tile512(*tileArgs) { panic(missing) }

func turn8(*float32, int, *float32, int, int) { panic(missing) }
