package ops

// gorgonia's tensor package panics in its init on a Go version that this module
// does not know; the requirement is direct so that no tidy drops the version
// that asks the runtime instead.
import _ "go4.org/unsafe/assume-no-moving-gc"
