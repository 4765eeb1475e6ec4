#!/usr/bin/env bash
# Measures everything that docs/benchmarks.md has a table for: steps of training
# with their memory, inference beside ONNX Runtime, threads, an epoch from JPEGs,
# the first label, loading, and the portable build. Ours and the peer run in
# turn; tables hold medians over the runs. At most 75 minutes on two cores.
#
#   bench_all.sh          goes on where it was stopped: what was measured is kept,
#                         a JSON line each, in STATE
#   FRESH=1               begins again
#   STATE=runs/bench-all  where the lines are kept
#   ROWS="steps …"        of steps roofline infer scaling epoch prefix start loading
#                         portable
#   PAIRS=2 STEPS=10 MAX_SECONDS=10 THREADS=$(nproc)   and MODEL_DIR, OUT,
#                         VISLORA, PYTHON, FORCE: as for bench.sh
#   VISLORA_TESTDATA=DIR  the real data; without it epoch and start are left out
#
# Needs PyTorch (python3-torch python3-torchvision python3-onnx
# libopenblas0-openmp); node and ONNX Runtime (make setup) for infer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/bench_lib.sh

PAIRS=${PAIRS:-2}
STEPS=${STEPS:-10}
MAX_SECONDS=${MAX_SECONDS:-10}
THREADS=${THREADS:-$(nproc)}
STATE=${STATE:-runs/bench-all}
# A row NAME has a function measure_NAME, whose files in STATE begin with NAME.,
# and one tell_NAME that writes its table. To add one, write the two and put its
# name here.
every="steps roofline infer scaling epoch prefix start loading portable"
ROWS=${ROWS:-$every}
real=${VISLORA_TESTDATA:-../shared/real}

whole PAIRS STEPS MAX_SECONDS THREADS
for row in $ROWS; do
  [[ " $every " == *" $row "* ]] || die "unknown row '$row': use $every"
done
[ -x "$VISLORA" ] || die "$VISLORA is not there: run 'make build' first"
has_torch || die "PyTorch is not installed: apt-get install python3-torch python3-torchvision python3-onnx libopenblas0-openmp"
dtypes=f32
! has_bf16 || dtypes="f32 bf16"
# Ours in sums of two bf16 stand beside a peer in f32.
all_dtypes=$dtypes
"$VISLORA" version | grep -q bf16x2 && all_dtypes="f32 bf16x2 bf16"
best_dtype=${dtypes##* }

[ "${FRESH:-}" != 1 ] || rm -rf "$STATE"
quiet_machine
mkdir -p "$STATE"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/warnings"
build=$(cksum <"$VISLORA")
if [ -f "$STATE/build" ] && [ "$build" != "$(cat "$STATE/build")" ]; then
  say "$STATE holds figures of another build, which are kept: FRESH=1 begins again"
  echo "Not all figures are of the same build" >>"$STATE/warnings"
fi
echo "$build" >"$STATE/build"
[ $busy = 0 ] || echo "Measured on a busy machine: the figures show that it works, not how fast" >>"$STATE/warnings"

# once KEY NUMBER [FIELD]: runs cmd unless its NUMBERth line is there already.
once() {
  local file=$STATE/$1 have=0
  [ ! -f "$file" ] || have=$(wc -l <"$file")
  [ "$have" -lt "$2" ] || return 0
  measure "$file" "${3:-images_per_s}"
  say "$1: $(tail -n 1 "$file" | field "${3:-images_per_s}") ${3:-images_per_s}"
}

# probe KEY: once, where a peer may fail: PyTorch has not every gradient in bf16.
probe() { (once "$1" 1) || echo '{"images_per_s": 0}' >"$STATE/$1"; }

# against KEY FIELD: the cells ours, peer and ratio (above 1 is in our favour) of
# a figure per second, or with "less" of one that should be small.
against() {
  local a=$STATE/$1.ours b=$STATE/$1.peer r
  if [ "${3:-}" = less ]; then r=$(paired "$b" "$a" "$2"); else r=$(paired "$a" "$b" "$2"); fi
  echo "$(of "$a" "$2") | $(of "$b" "$2") | **$r**"
}

# steps is what is trained: MODEL TARGETS BATCH, one a line.
steps() {
  local m b
  for m in vit_tiny vit_small vit_base; do for b in 8 16; do echo "$m all $b"; done; done
  for m in resnet18 resnet50 mobilenet_v2 efficientnet_b0 convnext_tiny; do echo "$m convs 8"; done
  echo "convnext_tiny all 8"
}

measure_steps() {
  local m targets k key layout plain last peer
  while read -r m targets BATCH; do
    need_model "$m"
    for dtype in $dtypes; do
      key=steps.$m.$targets.$BATCH.$dtype
      # The layout in which the peer is faster, found at the smallest batch.
      layout=$STATE/layout.$m.$targets.8.$dtype
      theirs "$m" train "$targets" 3 && probe "${layout##*/}.plain"
      theirs "$m" train "$targets" 3 --channels-last && probe "${layout##*/}.last"
      plain=$(of "$layout.plain" images_per_s) last=$(of "$layout.last" images_per_s) peer=$dtype
      if [ "$plain$last" = 00 ]; then # it does not train in this dtype at all
        peer=f32 layout=${layout%."$dtype"}.f32
        plain=$(of "$layout.plain" images_per_s) last=$(of "$layout.last" images_per_s)
      fi
      layout=$(awk -v a="$plain" -v b="$last" 'BEGIN { if (b > a) print "--channels-last" }')
      for ((k = 1; k <= PAIRS; k++)); do
        ours "$m" train "$targets" && once "$key.ours" "$k"
        if [ "$dtype" = f32 ] && [ "$all_dtypes" != "$dtypes" ]; then
          dtype=bf16x2 ours "$m" train "$targets" && once "${key%f32}bf16x2.ours" "$k"
        fi
        dtype=$peer theirs "$m" train "$targets" "$STEPS" "$layout" && once "$key.peer" "$k"
      done
    done
  done < <(steps)
}

tell_steps() {
  local m targets b dtype key a p t d
  echo "### A step of training"
  echo
  echo "LoRA r 8 with head, optimiser included, 224×224; \`all\`: every linear layer and ungrouped convolution but the classifier, \`convs\`: the convolutions alone. Images/s of the median step; MB is the peak of the whole process; allocations are Go's, a step."
  echo
  echo "| model | layers | batch | dtype | trained | ours | peer | ratio | ours, MB | peer, MB | ours ÷ peer | allocations |"
  echo "|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|"
  while read -r m targets b; do for dtype in $all_dtypes; do
    key=steps.$m.$targets.$b
    a=$STATE/$key.$dtype.ours p=$STATE/$key.${dtype/bf16x2/f32}.peer
    [ -f "$p" ] && [ -f "$a" ] || continue
    t=$(of "$a" trainable_params) d=$dtype
    [ "$t" = "$(of "$p" trainable_params)" ] || t="$t, the peer $(of "$p" trainable_params): not the same work"
    [ "$(of_word "$p" dtype)" = "$dtype" ] || d="$dtype, the peer $(of_word "$p" dtype)"
    echo "| $m | $targets | $b | $d | $t | $(of "$a" images_per_s_median) | $(of "$p" images_per_s_median) | **$(paired "$a" "$p" images_per_s_median)** | $(of "$a" peak_rss_mb) | $(of "$p" peak_rss_mb) | $(ratio "$(of "$a" peak_rss_mb)" "$(of "$p" peak_rss_mb)") | $(of "$a" allocs_per_step) |"
  done; done < <(steps)
}

# profiled is whose steps are looked into: MODEL TARGETS, one a line.
profiled() { printf '%s\n' 'vit_tiny all' 'vit_small all' 'vit_base all' 'resnet50 convs' 'mobilenet_v2 convs' 'convnext_tiny all'; }

measure_roofline() {
  local m targets k dtype BATCH=8
  while read -r m targets; do
    need_model "$m"
    for dtype in $dtypes; do for ((k = 1; k <= PAIRS; k++)); do
      ours "$m" train "$targets" && cmd+=(--profile) && once "roofline.$m.$targets.$dtype" "$k"
    done; done
  done < <(profiled)
}

tell_roofline() {
  local m targets dtype r
  echo "### What bounds a step"
  echo
  echo "A step of training, batch 8, as above. The peak is what all threads reach at once in products of 384×384 matrices; of it: what the kind of operator reaches, in brackets its share of the time. At the peak: the ratio above, if all products and attentions ran at the peak and the rest took no time. Convolutions count as products by their definition, though some take fewer multiplications (Winograd's)."
  echo
  echo "| model | layers | dtype | GFLOP a step | peak, GFLOP/s | step, of it | linear layers, convolutions | attention | the rest | at the peak |"
  echo "|---|---|---|--:|--:|--:|--:|--:|--:|--:|"
  while read -r m targets; do for dtype in $dtypes; do
    local key=$m.$targets.8.$dtype f=$STATE/roofline.$m.$targets.$dtype
    [ -f "$f" ] || continue
    r=$(paired "$STATE/steps.$key.ours" "$STATE/steps.$key.peer" images_per_s_median)
    echo "| $m | $targets | $dtype | $("$PYTHON" scripts/roofline.py "$THREADS" "$r" <"$f") |"
  done; done < <(profiled)
}

measure_infer() {
  local m k dtype
  if ! command -v node >/dev/null || [ ! -d third_party/onnxruntime/node_modules ]; then
    say "no node or no ONNX Runtime (make setup): infer is left out"
    return
  fi
  for m in vit_tiny vit_small resnet18 resnet50; do
    need_model "$m"
    for BATCH in 1 8; do for ((k = 1; k <= PAIRS; k++)); do
      for dtype in $all_dtypes; do
        STEPS=200 MAX_SECONDS=6 ours "$m" infer "" && once "infer.$m.$BATCH.$dtype.ours" "$k"
      done
      cmd=(node scripts/peers/ort_bench.js --model "$MODEL_DIR/$m.onnx" --batch "$BATCH" --threads "$THREADS" --steps 200 --max-seconds 6)
      once "infer.$m.$BATCH.peer" "$k"
    done; done
  done
}

tell_infer() {
  local m b dtype peer
  echo "### Inference beside ONNX Runtime"
  echo
  echo "Images/s of the median step; ONNX Runtime computes in f32."
  echo
  echo "| model | batch | dtype | ours | ONNX Runtime | ratio | ours, MB | ONNX Runtime, MB |"
  echo "|---|--:|---|--:|--:|--:|--:|--:|"
  for m in vit_tiny vit_small resnet18 resnet50; do for b in 1 8; do for dtype in $all_dtypes; do
    local a=$STATE/infer.$m.$b.$dtype.ours peer=$STATE/infer.$m.$b.peer
    [ -f "$peer" ] && [ -f "$a" ] || continue
    echo "| $m | $b | $dtype | $(of "$a" images_per_s_median) | $(of "$peer" images_per_s_median) | **$(paired "$a" "$peer" images_per_s_median)** | $(of "$a" peak_rss_mb) | $(of "$peer" peak_rss_mb) |"
  done; done; done
}

measure_scaling() {
  local m k n dtype=$best_dtype BATCH=8
  for m in vit_small resnet50 mobilenet_v2; do
    need_model "$m"
    for ((k = 1; k <= PAIRS; k++)); do for n in 1 2; do
      THREADS=$n ours "$m" train "$(layers "$m")" && once "scaling.$m.$n.ours" "$k"
    done; done
  done
}

tell_scaling() {
  local m
  echo "### One thread and two"
  echo
  echo "A step of training, $best_dtype, batch 8, images/s of the median step."
  echo
  echo "| model | 1 thread | 2 threads | ratio |"
  echo "|---|--:|--:|--:|"
  for m in vit_small resnet50 mobilenet_v2; do
    local a=$STATE/scaling.$m.1.ours b=$STATE/scaling.$m.2.ours
    [ -f "$b" ] || continue
    echo "| $m | $(of "$a" images_per_s_median) | $(of "$b" images_per_s_median) | **$(paired "$b" "$a" images_per_s_median)** |"
  done
}

vit() { find "$real/vit_tiny_timmstyle" -maxdepth 1 -name '*.onnx' 2>/dev/null | sed -n 1p; }
picture() { find "$real/grocery_classify/test" -name '*.jpg' 2>/dev/null | sort | sed -n 1p; } # head would break the pipe
have_real() { [ -n "$(vit)" ] && [ -n "$(picture)" ] || { say "no real data at $real (VISLORA_TESTDATA): this row is left out"; return 1; }; }

# one_epoch TARGETS and peer_epoch TARGETS print a JSON line with the seconds of
# one epoch, validation included.
one_epoch() {
  "$VISLORA" train --model "$(vit)" --data "$real/grocery_classify" --preset inception --epochs 1 --batch 16 --lora-r 8 --lora-targets "$1" \
    --threads "$THREADS" --dtype "$best_dtype" --project "$work/epoch" --name run --exist-ok >&2 2>&1
  echo "{\"seconds\": $(tail -n 1 "$work/epoch/run/results.csv" | awk -F, '{ printf "%.2f", $2 }'), \"peak_rss_mb\": $(sed 's/,$//' "$work/epoch/run/metrics.json" | field peak_rss_mb)}"
}

peer_epoch() {
  VISLORA_TESTDATA=$real "$PYTHON" scripts/peers/train_folder.py --method lora --targets "$1" --epochs 1 --batch 16 --threads "$THREADS" --dtype "$best_dtype" >"$work/peer_epoch"
  local e
  e=$(grep '"epoch":' "$work/peer_epoch" | tail -n 1)
  echo "{\"seconds\": $(awk -v a="$(field epoch_wall_s <<<"$e")" -v b="$(field val_wall_s <<<"$e")" 'BEGIN { print a + b }'), \"peak_rss_mb\": $(tail -n 1 "$work/peer_epoch" | field peak_rss_train_mb)}"
}

measure_epoch() {
  local targets k
  have_real || return 0
  for targets in qkv all; do for ((k = 1; k <= PAIRS; k++)); do
    cmd=(one_epoch "$targets") && once "epoch.$targets.$best_dtype.ours" "$k" seconds
    cmd=(peer_epoch "$targets") && once "epoch.$targets.$best_dtype.peer" "$k" seconds
  done; done
}

tell_epoch() {
  local targets
  echo "### One epoch of photographs"
  echo
  echo "ViT-Tiny on grocery (406 photographs to train on, 58 to validate), from the JPEG files, random resized crop and flip, LoRA r 8, batch 16, $best_dtype; the peer is scripts/peers/train_folder.py."
  echo
  echo "| layers | ours, s | peer, s | ratio | ours, MB | peer, MB |"
  echo "|---|--:|--:|--:|--:|--:|"
  for targets in qkv all; do
    local key=epoch.$targets.$best_dtype
    [ -f "$STATE/$key.peer" ] || continue
    echo "| $targets | $(against "$key" seconds less) | $(of "$STATE/$key.ours" peak_rss_mb) | $(of "$STATE/$key.peer" peak_rss_mb) |"
  done
}

# kept WHERE: a JSON line with the median seconds of the epochs after the first,
# adapters in the last 4 of 12 blocks, the values before them kept or made again.
kept() {
  "$VISLORA" train --model "$(vit)" --data "$real/grocery_classify" --preset inception --epochs 4 --batch 16 --lora-r 8 --lora-targets all --lora-layers 8-11 \
    --augment=false --cache-prefix "$1" --threads "$THREADS" --dtype "$best_dtype" --project "$work/kept" --name run --exist-ok >&2 2>&1
  echo "{\"seconds\": $(awk -F, 'NR > 2 { print $2 - last } { last = $2 }' "$work/kept/run/results.csv" | median | xargs printf %.2f), \"peak_rss_mb\": $(sed 's/,$//' "$work/kept/run/metrics.json" | field peak_rss_mb)}"
}

measure_prefix() {
  local k where
  have_real || return 0
  for ((k = 1; k <= PAIRS; k++)); do for where in off ram disk; do
    cmd=(kept "$where") && once "prefix.$where" "$k" seconds
  done; done
}

tell_prefix() {
  local where
  echo "### A kept prefix"
  echo
  echo "ViT-Tiny on grocery, LoRA r 8 on all layers of the last 4 of 12 blocks, no augmentation, batch 16, $best_dtype: seconds of an epoch after the first, validation included, and the peak of the whole run."
  echo
  echo "| \`--cache-prefix\` | s | off ÷ this | MB | this ÷ off |"
  echo "|---|--:|--:|--:|--:|"
  for where in off ram disk; do
    local a=$STATE/prefix.off b=$STATE/prefix.$where
    [ -f "$b" ] || continue
    echo "| $where | $(of "$b" seconds) | **$(paired "$a" "$b" seconds)** | $(of "$b" peak_rss_mb) | $(ratio "$(of "$b" peak_rss_mb)" "$(of "$a" peak_rss_mb)") |"
  done
}

# timed COMMAND…: a JSON line with the milliseconds that it takes, the best of 5.
timed() {
  local k from best=
  for k in 1 2 3 4 5; do
    from=${EPOCHREALTIME/[.,]/}
    "$@" >/dev/null 2>"$work/timed" || { cat "$work/timed" >&2; return 1; }
    best=$(awk -v b="$best" -v t="$((${EPOCHREALTIME/[.,]/} - from))" 'BEGIN { t /= 1000; print (b == "" || t < b) ? t : b }')
  done
  echo "{\"ms\": $best}"
}

measure_start() {
  local k names=$work/names.txt
  have_real || return 0
  seq 0 199 >"$names"
  "$PYTHON" scripts/peers/predict_one.py --onnx "$(vit)" --save "$work/vit.pt" 2>"$work/stderr"
  for ((k = 1; k <= PAIRS; k++)); do
    cmd=(timed "$VISLORA" predict --weights "$(vit)" --names "$names" --preset inception --source "$(picture)" --nosave) && once start.ours "$k" ms
    cmd=(timed "$PYTHON" scripts/peers/predict_one.py --weights "$work/vit.pt" --image "$(picture)") && once start.peer "$k" ms
  done
}

tell_start() {
  echo "### From the start of the process to the first label"
  echo
  echo "ViT-Tiny, one JPEG, \`vislora predict --nosave\` and scripts/peers/predict_one.py, imports included; the best of five, in ms."
  echo
  echo "| ours | peer | ratio |"
  echo "|--:|--:|--:|"
  echo "| $(against start ms less) |"
}

measure_loading() {
  local k n workers pictures=$MODEL_DIR/pictures
  for n in 1 2; do for ((k = 1; k <= PAIRS; k++)); do
    # The peer makes the pictures, so it runs first. Torch's second thread is a
    # second process.
    workers=$((n > 1 ? n : 0))
    cmd=("$PYTHON" scripts/peers/peer_bench.py --mode data --data "$pictures" --pipelines crop+flip+jitter --threads 1 --workers "$workers") && once "loading.$n.peer" "$k"
    cmd=("$VISLORA" bench --mode data --data "$pictures" --batch 32 --threads "$n") && once "loading.$n.ours" "$k"
  done; done
}

tell_loading() {
  local n
  echo "### Loading"
  echo
  echo "400 JPEGs of 500×400 pixels: decoded, random resized crop to 224, flip, colour jitter (.4, .4, .4), normalised into a batch; images/s. The peer is torchvision with Pillow."
  echo
  echo "| threads | ours | peer | ratio | ours, CPU ms an image | peer, CPU ms an image |"
  echo "|--:|--:|--:|--:|--:|--:|"
  for n in 1 2; do
    [ -f "$STATE/loading.$n.peer" ] || continue
    echo "| $n | $(against "loading.$n" images_per_s) | $(of "$STATE/loading.$n.ours" cpu_ms_per_image) | $(of "$STATE/loading.$n.peer" cpu_ms_per_image) |"
  done
}

measure_portable() {
  local k dtype=f32 BATCH=8 portable=$STATE/vislora-portable
  need_model vit_tiny
  [ -x "$portable" ] || CGO_ENABLED=0 go build -buildvcs=false -o "$portable" ./cmd/vislora
  for ((k = 1; k <= PAIRS; k++)); do
    VISLORA=$portable ours vit_tiny train all && once portable.go.ours "$k"
    ours vit_tiny train all && once portable.native.ours "$k"
  done
}

tell_portable() {
  local a=$STATE/portable.native.ours b=$STATE/portable.go.ours
  echo "### The portable build"
  echo
  echo "A step of training of ViT-Tiny, f32, batch 8, LoRA r 8 on all layers: images/s of the median step without cgo and with oneDNN."
  echo
  echo "| native | portable | portable ÷ native |"
  echo "|--:|--:|--:|"
  echo "| $(of "$a" images_per_s_median) | $(of "$b" images_per_s_median) | **$(paired "$b" "$a" images_per_s_median)** |"
}

for row in $ROWS; do
  "measure_$row"
done
cat "$work/warnings" >>"$STATE/warnings"

# All that is in STATE is told, whatever was asked for now.
cat "$STATE"/steps.*.peer >"$work/peers" 2>/dev/null || true
{
  echo "<!-- all: begin, written by scripts/bench_all.sh -->"
  echo
  machine "$work/peers"
  echo
  echo "Ours and the peer one after the other, $PAIRS times: medians over the runs, and of the pairs' ratios; above 1 is in our favour."
  for row in $every; do
    compgen -G "$STATE/$row.*" >/dev/null || continue
    echo
    "tell_$row"
  done
  if [ -s "$STATE/warnings" ]; then
    echo
    sort -u "$STATE/warnings" | sed 's/^/- /'
  fi
  echo "<!-- all: end -->"
} >"$work/section"
section all "$work/section" "Everything"
