#!/usr/bin/env bash
# Prints the packages whose tests the build tags $1 and CGO_ENABLED=0 without tags
# compile from different files, their own or those of a package they reach: of the
# others one run of the tests says all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
files='{{.ImportPath}} {{.GoFiles}} {{.CgoFiles}} {{.SFiles}} {{.TestGoFiles}} {{.XTestGoFiles}}'
reach='{{if .ForTest}}{{.ForTest}} {{join .Deps " "}}{{end}}'
differ=$(comm -3 <(go list -tags "$1" -f "$files" ./... | sort) <(CGO_ENABLED=0 go list -f "$files" ./... | sort) | awk '{print $1}' | sort -u)
# Package p's test depends on p itself, there as "p [p.test]".
go list -tags "$1" -test -f "$reach" ./... | awk -v differ="$differ" '
  BEGIN { n = split(differ, d, "\n"); for (i = 1; i <= n; i++) is[d[i]] }
  { for (i = 1; i <= NF; i++) if ($i in is) { print $1; next } }' | sort -u
