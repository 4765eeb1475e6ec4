//go:build !linux

package main

import "errors"

func mountSmall(dir, size string) error { return errors.New("this test mounts a tmpfs of Linux") }

func remount(dir, size string) error { return nil }

func unmount(dir string) error { return nil }
