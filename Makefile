# vislora. Targets: setup build demo demo-detect demo-segment test test-all test-nocgo test-tiles race lint fuzz bench bench-all conformance matrix fmt generate env clean
#
# Every target makes the machine ready first (scripts/setup.sh, which does
# nothing when all is there) and builds with what is there: oneDNN and OpenCV
# where their packages are installed, portable Go otherwise. VIDEO=1 adds video.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: setup ready build demo demo-detect demo-segment test test-all test-nocgo test-tiles vet race lint fuzz bench bench-all fmt fmt-check generate env clean

FUZZTIME ?= 30s
VIDEO ?= 0
export VIDEO
# The release that understands Go 1.26.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0

# Evaluated when a recipe runs, after setup.
TAGS = $(shell VIDEO=$(VIDEO) scripts/native.sh)
PC = $(shell VIDEO=$(VIDEO) scripts/native.sh --pc)
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
CALLERS_PKG_CONFIG_PATH := $(PKG_CONFIG_PATH)
export PKG_CONFIG_PATH = $(PC)$(if $(CALLERS_PKG_CONFIG_PATH),:$(CALLERS_PKG_CONFIG_PATH))

setup:
	@scripts/setup.sh

ready:
	@scripts/setup.sh --auto

# bin/vislora, native where possible.
build: ready
	@tags="$(TAGS)"; \
	go build -buildvcs=false -tags "$$tags" -ldflags "-X main.version=$(VERSION)" -o bin/vislora ./cmd/vislora; \
	if [ -n "$$tags" ]; then echo "built bin/vislora (tags: $$tags)"; \
	else echo "built bin/vislora, portable: oneDNN and OpenCV are not installed here. It is right, but slower."; fi

# Fine-tunes, validates, predicts, exports and verifies the samples.
demo: build
	@scripts/demo.sh

# The same for boxes, and for classes of pixels.
demo-detect: build
	@scripts/demo_detect.sh

demo-segment: build
	@scripts/demo_segment.sh

# What every change must pass: both builds, under 12 minutes on 2 cores.
test: ready fmt-check vet
	@tags="$(TAGS)"; start=$$SECONDS; packages=./...; \
	if [ -n "$$tags" ]; then \
		echo "== tests (tags: $$tags)"; \
		go test -short -timeout 10m -tags "$$tags" ./...; \
		packages=$$(scripts/differing.sh "$$tags"); \
	fi; \
	echo "== tests (no tags, CGO_ENABLED=0)$${tags:+, of what that changes}"; \
	CGO_ENABLED=0 go test -short -timeout 10m $$packages; \
	echo "OK: vislora passed in $$((SECONDS - start)) s$${tags:+, native ($$tags) and}, portable"

# Everything, with the long suites and the tables that they print, and OpenCV's
# matrices counted (matprofile).
test-all: ready fmt-check vet
	@tags="$(TAGS)"; \
	VISLORA_LONG=1 go test -count=1 -v -timeout 120m -tags "$$tags" ./... | { grep -vE '^(=== |\s*--- PASS|PASS$$)' || true; }; \
	case "$$tags" in *gocv*) go test -count=1 -tags "$$tags,matprofile" ./internal/cv ;; esac; \
	CGO_ENABLED=0 VISLORA_LONG=1 go test -count=1 -timeout 120m ./...; \
	echo "OK: vislora passed everything"

# The portable build alone.
test-nocgo:
	@CGO_ENABLED=0 go vet ./...
	@CGO_ENABLED=0 go test -timeout 20m ./...

# What runs on AMX's tiles, on a processor that has bf16 in vectors but no tiles.
test-tiles: ready
	@grep -qm 1 avx512_bf16 /proc/cpuinfo || { echo "test-tiles: this processor has no avx512_bf16"; exit 1; }; \
	CGO_CFLAGS="-O2 -g -DVL_EMULATED_TILES" go test -short -count=1 -timeout 30m -tags "$(TAGS)" ./internal/kernels/... ./vision/engine

vet:
	@tags="$(TAGS)"; if [ -n "$$tags" ]; then go vet -tags "$$tags" ./...; fi
	@CGO_ENABLED=0 go vet ./...

# The race detector over the packages that use goroutines or locks.
race: ready
	@packages=$$(grep -rlE --include='*.go' '\bgo func|\bgo [a-zA-Z_.]+\(|\.Go\(|"sync(/atomic)?"' cmd datasets internal samples vision vit cnn lora 2>/dev/null \
		| xargs -n 1 dirname | sort -u | sed 's|^|./|' || true); \
	[ -n "$$packages" ] || { echo "race: no package uses goroutines"; exit 0; }; \
	CGO_ENABLED=1 go test -race -short -timeout 60m -tags "$(TAGS)" $$packages

lint: ready fmt-check vet
	@tags="$(TAGS)"; if [ -n "$$tags" ]; then go run $(STATICCHECK) -tags "$$tags" ./...; fi
	@CGO_ENABLED=0 go run $(STATICCHECK) ./...
	@echo "OK: lint"

# Each fuzz target for FUZZTIME (default 30s).
fuzz: ready
	@grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|^(.*)/[^/]*:[0-9]+:func |\1 |' | sort -u | \
	while read -r dir name; do \
		echo "== $$dir $$name ($(FUZZTIME))"; \
		CGO_ENABLED=0 go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "$$dir"; \
	done

# Speed and memory, beside PyTorch's where it is installed: three models, in 15
# minutes.
bench: build
	@scripts/bench.sh

# Every table of docs/benchmarks.md about speed, in 75 minutes; goes on where it
# was stopped, FRESH=1 begins again.
bench-all: build
	@scripts/bench_all.sh

fmt:
	@gofmt -l -w $$(scripts/gofiles.sh)

fmt-check:
	@bad=$$(gofmt -l $$(scripts/gofiles.sh)); [ -z "$$bad" ] || { echo "these files are not gofmt-formatted (make fmt):"; echo "$$bad"; exit 1; }

generate:
	@go generate ./...

# What a plain `go build` needs for the native build: eval "$$(make env)".
env:
	@echo "export PKG_CONFIG_PATH='$(PKG_CONFIG_PATH)'"
	@echo "export GOFLAGS='-tags=$(TAGS)'"

clean:
	@rm -rf bin

# ONNX's backend tests through the importer: the node tests beside the real
# data and Debian's libonnx-testdata, with the table in docs/conformance.md; or
# CASES=DIR, any folder of such cases.
.PHONY: conformance matrix
conformance:
	@scripts/setup.sh --auto libonnx-testdata
	@go run -tags "$(TAGS)" ./cmd/conformance $(if $(CASES),-cases "$(CASES)",-out docs/conformance.md)

# Exports torchvision's models and our own ViTs with PyTorch and runs each:
# docs/models.md. Takes up to 40 minutes.
matrix:
	@scripts/setup.sh --auto python3-torch python3-torchvision python3-onnx
	@go run -tags "$(TAGS)" ./cmd/matrix -out docs/models.md
