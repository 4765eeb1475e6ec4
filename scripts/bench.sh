#!/usr/bin/env bash
# Measures `vislora bench` against PyTorch on this machine and writes
# docs/benchmarks.md: every configuration in PAIRS alternating runs, one after
# the other, medians over the runs, and the ratio ours ÷ peer.
#
#   bench.sh              all configurations (about half an hour on two cores)
#   PAIRS=3               pairs of runs per configuration
#   STEPS=20 BATCH=8      steps per run, images per step
#   THREADS=$(nproc)      of both contestants
#   MODELS="vit_tiny …"   of vit_tiny vit_small resnet18 resnet50 mobilenet_v2
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

PAIRS=${PAIRS:-3}
STEPS=${STEPS:-20}
BATCH=${BATCH:-8}
THREADS=${THREADS:-$(nproc)}
MODELS=${MODELS:-vit_tiny vit_small resnet18 resnet50 mobilenet_v2}
MODES=${MODES:-train infer}
DTYPES=${DTYPES:-f32 bf16}
MODEL_DIR=${MODEL_DIR:-${TMPDIR:-/tmp}/vislora-models}
OUT=${OUT:-docs/benchmarks.md}
VISLORA=${VISLORA:-bin/vislora}
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  # Another python3 on PATH does not see Debian's torch.
  if ! "$PYTHON" -c 'import torch, torchvision' 2>/dev/null && [ -x /usr/bin/python3 ]; then
    PYTHON=/usr/bin/python3
  fi
fi

say() { printf 'bench: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

for n in "$PAIRS" "$STEPS" "$BATCH" "$THREADS"; do
  [[ $n =~ ^[1-9][0-9]*$ ]] || die "PAIRS, STEPS, BATCH and THREADS must be whole numbers above 0, not '$n'"
done
for mode in $MODES; do
  case $mode in train | infer) ;; *) die "unknown mode '$mode': use train infer" ;; esac
done
for dtype in $DTYPES; do
  case $dtype in f32 | bf16) ;; *) die "unknown dtype '$dtype': use f32 bf16" ;; esac
done
[ -x "$VISLORA" ] || die "$VISLORA is not there: run 'make build' first"
if ! "$VISLORA" version | grep -q 'dtype bf16'; then
  DTYPES=${DTYPES/bf16/}
fi

busy=0
# Our own runs raise the load, so it is looked at once, before the first.
if [ -r /proc/loadavg ]; then
  load=$(cut -d ' ' -f 1 /proc/loadavg)
elif load=$(uptime | sed 's/.*averages*: *//; s/[ ,].*//') && [ -n "$load" ]; then
  :
else
  load=0
fi
if awk -v l="$load" 'BEGIN { exit !(l > 0.5) }'; then
  [ "${FORCE:-}" = 1 ] || die "the machine is busy: load $load, more than 0.5. Its figures would be worth nothing. Wait, or set FORCE=1."
  say "the machine is busy (load $load); FORCE=1 goes on"
  busy=1
fi

peer=1
if ! "$PYTHON" -c 'import torch, torchvision' 2>/dev/null; then
  peer=0
  say "PyTorch is not installed (apt-get install python3-torch python3-torchvision libopenblas0-openmp): ours are measured alone"
fi

mkdir -p "$MODEL_DIR"
for m in $MODELS; do
  case $m in
    vit_tiny | vit_small | resnet18 | resnet50 | mobilenet_v2) ;;
    *) die "unknown model '$m': use vit_tiny vit_small resnet18 resnet50 mobilenet_v2" ;;
  esac
  [ -f "$MODEL_DIR/$m.onnx" ] && continue
  [ $peer = 1 ] || die "$MODEL_DIR/$m.onnx is not there, and without PyTorch it cannot be made (apt-get install python3-torch python3-torchvision python3-onnx)"
  say "exporting $m to $MODEL_DIR"
  # Into a folder beside first: an interrupted export leaves no half model.
  part=$(mktemp -d "$MODEL_DIR/.part-XXXXXX")
  if ! "$PYTHON" scripts/peers/make_models.py --out "$part" --names "$m" --dynamic-batch >"$part/log" 2>&1; then
    tail -n 5 "$part/log" >&2
    rm -rf "$part"
    die "export $m: see above"
  fi
  mv "$part/$m.onnx" "$MODEL_DIR/$m.onnx"
  rm -rf "$part"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# field NAME: the value of a key in a flat JSON line on stdin; nothing for null.
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^,}\"]*\).*/\1/p" | sed 's/^null$//; s/ *$//'; }

# median: of the numbers on stdin.
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# ours MODEL MODE and theirs MODEL MODE STEPS [OPTION] put the command into cmd.
ours() {
  cmd=("$VISLORA" bench --model "$MODEL_DIR/$1.onnx" --mode "$2" --batch "$BATCH" --dtype "$dtype" --threads "$THREADS" --lora-targets all --lora-r 8 --steps "$STEPS")
}
theirs() {
  local targets=all # of a ViT; a CNN has convolutions
  case $1 in vit_*) ;; *) targets=convs ;; esac
  cmd=("$PYTHON" scripts/peers/peer_bench.py --model "$1" --mode "$2" --batch "$BATCH" --dtype "$dtype" --threads "$THREADS" --targets "$targets" --rank 8 --steps "$3" ${4:+"$4"})
}

# measure FILE: runs cmd and appends its JSON line.
measure() {
  local line
  if ! line=$("${cmd[@]}" 2>"$work/stderr"); then
    tail -n 20 "$work/stderr" >&2
    die "this failed: ${cmd[*]}"
  fi
  line=$(printf '%s\n' "$line" | grep '^{' | tail -n 1 || true)
  [ -n "$(printf '%s\n' "$line" | field images_per_s)" ] || die "this printed no figures: ${cmd[*]}"
  grep -h '^WARNING' "$work/stderr" >>"$work/warnings" || true
  printf '%s\n' "$line" >>"$1"
}

# of FILE KEY: the median of a key over the runs, a dash where there is none.
of() {
  local v
  v=$(field "$2" <"$1" | median)
  echo "${v:-–}"
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else print "–" }'; }

# best_layout MODEL: sets layout to the option with which the peer is fastest.
best_layout() {
  local few=$((STEPS < 5 ? STEPS : 5)) mode=${MODES%% *} plain last
  theirs "$1" "$mode" "$few"
  measure "$work/plain"
  theirs "$1" "$mode" "$few" --channels-last
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
      ours "$m" "$mode"
      measure "$we"
      if [ $peer = 1 ]; then
        theirs "$m" "$mode" "$STEPS" "$layout"
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

cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1)
[ -n "$cpu" ] || cpu=$(sysctl -n machdep.cpu.brand_string 2>/dev/null || uname -m)
simd=$(sed -n 's/^flags[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1 | tr ' ' '\n' | grep -xE 'avx2|avx512f|avx512_vnni|avx512_bf16|amx_bf16' | paste -sd ' ' || true)
memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || true)
{
  echo "<!-- speed: begin, written by scripts/bench.sh -->"
  echo
  echo "| | |"
  echo "|---|---|"
  echo "| machine | $cpu, $(nproc) threads${simd:+, $simd}${memory:+, $memory}, $(uname -s) |"
  echo "| date, load before | $(date -u +%Y-%m-%d), $load |"
  echo "| vislora | $("$VISLORA" version 2>/dev/null | head -n 1 || echo unknown) |"
  if [ $peer = 1 ]; then
    echo "| peer | PyTorch $(cat "$work"/*.peer | field torch | head -n 1), OpenBLAS $(cat "$work"/*.peer | field blas | head -n 1), ISA $(cat "$work"/*.peer | field isa | head -n 1) |"
  fi
  echo "| settings | 224×224, batch $BATCH, threads $THREADS, LoRA r 8 on all layers, $STEPS steps after warm-up |"
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
  VISLORA=vislora MODEL_DIR=models ours "$m" "$mode"
  echo "${cmd[*]}"
  if [ $peer = 1 ]; then
    PYTHON=python3 theirs "$m" "$mode" "$STEPS"
    echo "${cmd[*]}"
  fi
  echo '```'
  echo "<!-- speed: end -->"
} >"$work/section"

# Only what stands between the marks is replaced: people write in that file too.
mkdir -p "$(dirname "$OUT")"
if [ -f "$OUT" ] && grep -q '^<!-- speed: begin' "$OUT" && grep -q '^<!-- speed: end' "$OUT"; then
  awk -v section="$work/section" '
    /^<!-- speed: begin/ { while ((getline line < section) > 0) print line; skip = 1 }
    !skip { print }
    /^<!-- speed: end/ { skip = 0 }' "$OUT" >"$work/page"
elif [ -f "$OUT" ]; then
  { cat "$OUT"; printf '\n## Speed and memory\n\n'; cat "$work/section"; } >"$work/page"
else
  { printf '# Benchmarks\n\n## Speed and memory\n\nMade by `make bench`; how to measure fairly is in scripts/peers/README.md.\n\n'; cat "$work/section"; } >"$work/page"
fi
cp "$work/page" "$OUT.part"
mv "$OUT.part" "$OUT"
say "wrote $OUT"
