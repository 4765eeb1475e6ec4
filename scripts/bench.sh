#!/usr/bin/env bash
# Measures `vislora bench` against PyTorch on this machine and writes
# docs/benchmarks.md: every configuration in PAIRS alternating runs, one after
# the other, medians over the runs, and the ratio ours ÷ peer. bench_all.sh
# measures everything else.
#
#   bench.sh              ViT-S, ResNet-50, MobileNetV2 (at most 15 minutes on two cores)
#   PAIRS=3               pairs of runs per configuration
#   STEPS=15 BATCH=8      steps per run, images per step
#   MAX_SECONDS=15        the timed steps of a run end after so long (at least 3)
#   THREADS=$(nproc)      of both contestants
#   MODELS="vit_tiny …"   of vit_tiny vit_small vit_base resnet18 resnet50
#                         mobilenet_v2 efficientnet_b0 convnext_tiny
#   MODES="train infer"
#   DTYPES="f32 bf16"     bf16 is left out where it is not faster than f32
#   MODEL_DIR=DIR         where the exported models are kept
#                         (default $TMPDIR/vislora-models)
#   OUT=FILE              instead of docs/benchmarks.md
#   VISLORA=PROGRAM       instead of bin/vislora
#   PYTHON=PROGRAM        one that has PyTorch
#   FORCE=1               although the machine is busy
#
# Without PyTorch the models must be in MODEL_DIR already; ours are then measured
# alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/bench_lib.sh

PAIRS=${PAIRS:-3}
STEPS=${STEPS:-15}
BATCH=${BATCH:-8}
MAX_SECONDS=${MAX_SECONDS:-15}
THREADS=${THREADS:-$(nproc)}
MODELS=${MODELS:-vit_small resnet50 mobilenet_v2}
MODES=${MODES:-train infer}
DTYPES=${DTYPES:-f32 bf16}

whole PAIRS STEPS BATCH THREADS MAX_SECONDS
for mode in $MODES; do
  case $mode in train | infer) ;; *) die "unknown mode '$mode': use train infer" ;; esac
done
for dtype in $DTYPES; do
  case $dtype in f32 | bf16) ;; *) die "unknown dtype '$dtype': use f32 bf16" ;; esac
done
[ -x "$VISLORA" ] || die "$VISLORA is not there: run 'make build' first"
has_bf16 || DTYPES=${DTYPES/bf16/}
quiet_machine

peer=1
if ! has_torch; then
  peer=0
  say "PyTorch is not installed (apt-get install python3-torch python3-torchvision libopenblas0-openmp): ours are measured alone"
fi

mkdir -p "$MODEL_DIR"
for m in $MODELS; do
  case $m in
    vit_tiny | vit_small | vit_base | resnet18 | resnet50 | mobilenet_v2 | efficientnet_b0 | convnext_tiny) ;;
    *) die "unknown model '$m': use vit_tiny vit_small vit_base resnet18 resnet50 mobilenet_v2 efficientnet_b0 convnext_tiny" ;;
  esac
  need_model "$m"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# best_layout MODEL: sets layout to the option with which the peer is fastest.
best_layout() {
  local few=$((STEPS < 5 ? STEPS : 5)) mode=${MODES%% *} plain last
  theirs "$1" "$mode" "$(layers "$1")" "$few"
  measure "$work/plain"
  theirs "$1" "$mode" "$(layers "$1")" "$few" --channels-last
  measure "$work/last"
  plain=$(tail -n 1 "$work/plain" | field images_per_s)
  last=$(tail -n 1 "$work/last" | field images_per_s)
  layout=$(awk -v a="$plain" -v b="$last" 'BEGIN { if (b > a) print "--channels-last" }')
  say "$1: the peer runs at $plain images/s, channels-last at $last"
}

: >"$work/warnings"
[ $busy = 0 ] || echo "Measured on a busy machine (load $load before the first run): the figures show that it works, not how fast" >>"$work/warnings"
: >"$work/table"
: >"$work/ratios"
for dtype in $DTYPES; do for m in $MODELS; do
  layout=
  [ $peer = 0 ] || best_layout "$m"
  for mode in $MODES; do
    we=$work/$m.$mode.$dtype.ours they=$work/$m.$mode.$dtype.peer
    for ((k = 1; k <= PAIRS; k++)); do
      ours "$m" "$mode" "$(layers "$m")"
      measure "$we"
      if [ $peer = 1 ]; then
        theirs "$m" "$mode" "$(layers "$m")" "$STEPS" "$layout"
        measure "$they"
      fi
    done
    row="| $m | $mode | $dtype | $(of "$we" images_per_s_median) | $(of "$we" images_per_s) | $(of "$we" peak_rss_mb) | $(of "$we" trainable_params)"
    if [ $peer = 1 ]; then
      r=$(ratio "$(of "$we" images_per_s_median)" "$(of "$they" images_per_s_median)")
      echo "$mode $dtype $r" >>"$work/ratios"
      row+=" | $(of "$they" images_per_s_median) | $(of "$they" images_per_s) | $(of "$they" peak_rss_mb) | $(of "$they" trainable_params) | ${layout:+channels-last} | **$r** | $(ratio "$(of "$we" images_per_s)" "$(of "$they" images_per_s)")"
      if [ "$mode" = train ] && [ "$(of "$we" trainable_params)" != "$(of "$they" trainable_params)" ]; then
        echo "$m: $(of "$we" trainable_params) parameters are trained here and $(of "$they" trainable_params) by the peer: not the same work" >>"$work/warnings"
      fi
      say "$m $mode $dtype: $(of "$we" images_per_s_median) images/s, the peer $(of "$they" images_per_s_median), ratio $r"
    else
      say "$m $mode $dtype: $(of "$we" images_per_s_median) images/s"
    fi
    echo "$row |" >>"$work/table"
  done
done; done

cat "$work"/*.peer >"$work/peers" 2>/dev/null || true
{
  echo "<!-- speed: begin, written by scripts/bench.sh -->"
  echo
  if [ $peer = 1 ]; then machine "$work/peers"; else machine; fi
  echo "| settings | 224×224, batch $BATCH, threads $THREADS, LoRA r 8 on all layers, of CNNs on all ungrouped convolutions, at most $STEPS steps after warm-up |"
  echo
  echo "One after the other, $PAIRS times; medians over the runs. \`median\` is images/s of a run's median step, \`best\` of its best one; MB is the peak of the whole process."
  echo
  if [ $peer = 1 ]; then
    echo "| model | mode | dtype | ours, median | ours, best | ours, MB | ours, trained | peer, median | peer, best | peer, MB | peer, trained | peer's layout | ours ÷ peer, median | ours ÷ peer, best |"
    echo "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|"
  else
    echo "| model | mode | dtype | median | best | MB | trained |"
    echo "|---|---|---|--:|--:|--:|--:|"
  fi
  cat "$work/table"
  echo
  if [ -s "$work/ratios" ]; then
    for mode in $MODES; do for dtype in $DTYPES; do
      awk -v mode="$mode" -v dtype="$dtype" '$1 == mode && $2 == dtype && $3 > 0 { s += log($3); n++ } END { if (n) printf "Geometric mean of the ratios, %s %s: **%.2f**\n\n", mode, dtype, exp(s / n) }' "$work/ratios"
    done; done
  fi
  if [ -s "$work/warnings" ]; then
    sort -u "$work/warnings" | sed 's/^/- /'
    echo
  fi
  # What one types, without the folders of this machine.
  m=${MODELS%% *} mode=${MODES%% *} dtype=${DTYPES%% *}
  if [ $peer = 1 ]; then
    # shellcheck disable=SC2016 # Markdown's backquotes
    echo 'The commands, for the first of them; the peer has `--channels-last` where the table says so:'
  else
    echo "The command, for the first of them:"
  fi
  echo
  echo '```'
  VISLORA=vislora MODEL_DIR=models ours "$m" "$mode" "$(layers "$m")"
  echo "${cmd[*]}"
  if [ $peer = 1 ]; then
    PYTHON=python3 theirs "$m" "$mode" "$(layers "$m")" "$STEPS"
    echo "${cmd[*]}"
  fi
  echo '```'
  echo "<!-- speed: end -->"
} >"$work/section"

section speed "$work/section" "Speed and memory"
