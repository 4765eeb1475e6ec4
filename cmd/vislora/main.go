// Command vislora fine-tunes ONNX vision backbones with low-rank adapters on an
// ordinary CPU. See the README for the first two commands.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/vislora/vislora/vision/engine"
)

// version is set by the linker: -X main.version=….
var version = "dev"

// verb is one subcommand: one file, one function of package engine.
type verb struct {
	name, short string
	examples    []string
	run         func(ctx context.Context, e *env, args []string) error
}

// env is where a verb writes: results to out, words for people to err.
type env struct {
	out, err io.Writer
	fs       *flag.FlagSet
}

func (e *env) logf(format string, args ...any) { fmt.Fprintf(e.err, format+"\n", args...) }

// usageError makes the program exit with 2.
type usageError struct{ error }

var verbs []verb

func init() {
	verbs = []verb{trainVerb, valVerb, predictVerb, exportVerb, inspectVerb, benchVerb, runVerb, dataVerb, versionVerb, completionVerb}
}

func main() {
	engine.Version = version
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program: 0 done, 1 failed, 2 wrong usage.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		usage(stderr)
		if len(args) == 0 {
			return 2
		}
		return 0
	}
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == args[0] })
	if i < 0 {
		fmt.Fprintf(stderr, "vislora: unknown command %q\n", args[0])
		usage(stderr)
		return 2
	}
	v := verbs[i]
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	e := &env{out: stdout, err: stderr, fs: flag.NewFlagSet("vislora "+v.name, flag.ContinueOnError)}
	e.fs.SetOutput(io.Discard) // errors are told below
	e.fs.Usage = func() {}
	err := v.run(ctx, e, dashes(args[1:]))
	var wrong usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		v.help(e.fs, stderr)
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "vislora %s: %v\nTry: vislora %s --help\n", v.name, err, v.name)
		return 2
	case errors.Is(err, engine.ErrInterrupted):
		return 1
	}
	fmt.Fprintf(stderr, "vislora %s: %v\n", v.name, err)
	return 1
}

// help shows what a verb does, examples to paste, and its flags.
func (v verb) help(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", v.short)
	for _, x := range v.examples {
		fmt.Fprintf(w, "  %s\n", x)
	}
	fmt.Fprintln(w)
	var b bytes.Buffer
	fs.SetOutput(&b)
	fs.PrintDefaults()
	// As the examples write them.
	fmt.Fprint(w, strings.ReplaceAll("\n"+b.String(), "\n  -", "\n  --")[1:])
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "vislora fine-tunes ONNX vision backbones with low-rank adapters on a CPU.\n\nCommands:")
	for _, v := range verbs {
		fmt.Fprintf(w, "  %-11s %s\n", v.name, v.short)
	}
	fmt.Fprint(w, `
Start here:
  vislora train   --model backbone.onnx --data photos/
  vislora predict --weights runs/classify/train --source new_photos/
  vislora export  --weights runs/classify/train --out model.onnx --verify 10

vislora COMMAND --help tells more.
`)
}

// dashes lets users write exist_ok as well as exist-ok.
func dashes(args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		if strings.HasPrefix(a, "-") {
			name, value, eq := strings.Cut(a, "=")
			out[i] = strings.ReplaceAll(name, "_", "-")
			if eq {
				out[i] += "=" + value
			}
		}
	}
	return out
}

// parse parses flags; positional arguments may stand between them.
func (e *env) parse(args []string) (positional []string, err error) {
	for {
		if err := e.fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usageError{err}
		}
		if e.fs.NArg() == 0 {
			return positional, nil
		}
		positional = append(positional, e.fs.Arg(0))
		args = e.fs.Args()[1:]
	}
}

// none refuses positional arguments.
func none(positional []string) error {
	if len(positional) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", positional[0])}
	}
	return nil
}
