#!/usr/bin/env bash
# Prints the repository's own Go files.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
find . \( -name third_party -o -name runs -o -name node_modules -o -name .git \) -prune -o -name '*.go' -print
