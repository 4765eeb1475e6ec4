package main

import (
	"context"
	"fmt"
	"strings"
)

var completionVerb = verb{"completion", "print shell completion for bash or zsh", []string{
	"source <(vislora completion bash)",
	"vislora completion zsh > ~/.vislora-completion.zsh",
}, runCompletion}

func runCompletion(_ context.Context, e *env, args []string) error {
	positional, err := e.parse(args)
	if err != nil {
		return err
	}
	shell := "bash"
	if len(positional) > 0 {
		shell = positional[0]
	}
	var names []string
	for _, v := range verbs {
		names = append(names, v.name)
	}
	// Flags come from each command's own help, so they are never out of date.
	const body = `_vislora() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "%s" -- "$cur"))
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$(vislora "${COMP_WORDS[1]}" --help 2>&1 | sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p')" -- "$cur"))
  else
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}
complete -o filenames -F _vislora vislora
`
	switch shell {
	case "bash":
	case "zsh":
		fmt.Fprintln(e.out, "autoload -U +X bashcompinit && bashcompinit")
	default:
		return usageError{fmt.Errorf("shell %q: use bash or zsh", shell)}
	}
	fmt.Fprintf(e.out, body, strings.Join(names, " "))
	return nil
}
