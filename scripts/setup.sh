#!/usr/bin/env bash
# Makes the machine ready: checks Go, installs the system packages of the native
# build and ONNX Runtime for verifying exports. Does nothing, in a fraction of a
# second, when all is there. What cannot be installed is said and left out: the
# portable build needs Go only.
#
#   setup.sh         tries everything that is missing
#   setup.sh --auto [PACKAGE…]
#                    the same, but does not try again what failed before (the
#                    other make targets call this), and the system packages
#                    that one target needs beside
# VISLORA_PORTABLE=1 installs nothing.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
auto=0
if [ "${1:-}" = --auto ]; then
  auto=1
  shift
fi
mkdir -p third_party

say() { printf 'setup: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

check_go() {
  local v
  if ! have go; then
    say "Go is not installed. vislora needs Go 1.26 or newer, and Debian's package is too old: install it from the Go project"
    exit 1
  fi
  # Inside the module, so that this is the toolchain that will really build.
  if ! v=$(go env GOVERSION 2>&1); then
    say "$v"
    say "vislora needs Go 1.26 or newer"
    exit 1
  fi
  if [ "$(printf 'go1.26\n%s\n' "$v" | sort -V | head -n 1)" != go1.26 ]; then
    say "Go is $v ($(command -v go)), but vislora needs go1.26 or newer, and Debian's package is too old: install it from the Go project"
    exit 1
  fi
}

# root runs a command with the rights to install packages, or fails at once.
root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    sudo "$@"
  else
    return 1
  fi
}

apt_install() {
  have apt-get || { say "no apt-get here"; return 1; }
  if [ "$(id -u)" != 0 ] && ! { have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }; then
    say "neither root nor sudo"
    return 1
  fi
  local log=third_party/apt.log
  say "installing $* (log: $log)"
  local get=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends install "$@")
  # The lists may be missing (fresh container) or older than the mirror.
  root "${get[@]}" >"$log" 2>&1 || { root apt-get -q update >>"$log" 2>&1 && root "${get[@]}" >>"$log" 2>&1; } || {
    grep -E '^(E|Err)' "$log" | head -n 3 >&2
    return 1
  }
}

# once NAME COMMAND…: runs it unless --auto and it failed before.
once() {
  local failed=third_party/.failed-$1
  shift
  if [ $auto = 1 ] && [ -f "$failed" ]; then
    return 1
  fi
  if "$@"; then
    rm -f "$failed"
  else
    date >"$failed"
    return 1
  fi
}

install_native() {
  local missing
  missing=$(scripts/native.sh --missing)
  # shellcheck disable=SC2086 # a list of packages
  apt_install ca-certificates $missing || {
    say "these system packages are missing: $missing"
    return 1
  }
  missing=$(scripts/native.sh --missing)
  [ -z "$missing" ] || { say "installed, but not usable: $missing (oneDNN must be version 2, OpenCV version 4)"; return 1; }
}

# The npm package brings the library for every platform; the others go.
ort_library() {
  local os arch
  case $(uname -s) in Linux) os=linux ;; Darwin) os=darwin ;; *) return 1 ;; esac
  case $(uname -m) in x86_64 | amd64) arch=x64 ;; aarch64 | arm64) arch=arm64 ;; *) return 1 ;; esac
  echo "third_party/onnxruntime/node_modules/onnxruntime-node/bin/napi-v3/$os/$arch"
}

ort_present() { ls "$1"/libonnxruntime.* >/dev/null 2>&1; }

install_ort() {
  local keep=$1 log=third_party/npm.log dir
  if ! have npm; then
    apt_install nodejs npm || { say "npm is not installed"; return 1; }
  fi
  mkdir -p third_party/onnxruntime
  cp scripts/onnxruntime/package.json scripts/onnxruntime/package-lock.json third_party/onnxruntime/
  say "fetching ONNX Runtime (npm onnxruntime-node, pinned; log: $log)"
  if ! npm ci --prefix third_party/onnxruntime --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
    grep -iE 'err' "$log" | head -n 3 >&2
    return 1
  fi
  for dir in third_party/onnxruntime/node_modules/onnxruntime-node/bin/napi-v3/*/*; do
    [ "$dir" = "$keep" ] || rm -rf "$dir"
  done
  ort_present "$keep" || { say "the npm package holds no library in $keep"; return 1; }
}

check_go
if [ "${VISLORA_PORTABLE:-}" = 1 ]; then
  [ $auto = 1 ] || say "VISLORA_PORTABLE=1: nothing is installed; the portable build needs Go only"
  exit 0
fi
ready=1
if [ -n "$(scripts/native.sh --missing)" ]; then
  once native install_native || {
    ready=0
    say "building without $(scripts/native.sh --missing): the result is right, but slower. 'make setup' tries again."
  }
fi
if lib=$(ort_library); then
  if ! ort_present "$lib"; then
    once ort install_ort "$lib" || {
      ready=0
      say "no ONNX Runtime: exports are not verified, and the tests that need it skip. 'make setup' tries again; VISLORA_ORT=FILE names a library you have."
    }
  fi
else
  say "ONNX Runtime has no package for $(uname -s) $(uname -m): exports are not verified, and the tests that need it skip."
fi
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || apt_install "$package" ||
    say "the package $package is missing: install it by hand"
done
[ $auto = 1 ] || [ $ready = 0 ] || say "ready ($(go env GOVERSION), tags: $(scripts/native.sh), ONNX Runtime: ${lib:-absent})"
exit 0
