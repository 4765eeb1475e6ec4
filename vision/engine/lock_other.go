//go:build !unix

package engine

import "os"

func flock(*os.File) error { return nil }
