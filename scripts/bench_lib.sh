# Sourced by bench.sh and bench_all.sh: how both contestants are called, and how
# figures are read out of their JSON lines. BATCH, THREADS, STEPS, dtype and work
# (a folder for scratch) are the caller's.

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

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() { say "$@"; exit 1; }

# whole NAME…: dies unless these variables are whole numbers above 0.
whole() {
  local name
  for name in "$@"; do
    [[ ${!name} =~ ^[1-9][0-9]*$ ]] || die "$name is '${!name}': use a whole number above 0"
  done
}

has_bf16() { "$VISLORA" version | grep -q 'dtype bf16'; }
has_torch() { "$PYTHON" -c 'import torch, torchvision' 2>/dev/null; }

# quiet_machine: sets load and busy, and dies on a busy machine unless FORCE=1.
# Our own runs raise the load, so it is looked at once, before the first.
quiet_machine() {
  busy=0
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
}

# need_model NAME: exports it to MODEL_DIR if it is not there.
need_model() {
  [ -f "$MODEL_DIR/$1.onnx" ] && return
  has_torch || die "$MODEL_DIR/$1.onnx is not there, and without PyTorch it cannot be made (apt-get install python3-torch python3-torchvision python3-onnx)"
  say "exporting $1 to $MODEL_DIR"
  mkdir -p "$MODEL_DIR"
  # Into a folder beside first: an interrupted export leaves no half model.
  local part
  part=$(mktemp -d "$MODEL_DIR/.part-XXXXXX")
  if ! "$PYTHON" scripts/peers/make_models.py --out "$part" --names "$1" --dynamic-batch >"$part/log" 2>&1; then
    tail -n 5 "$part/log" >&2
    rm -rf "$part"
    die "export $1: see above"
  fi
  mv "$part/$1.onnx" "$MODEL_DIR/$1.onnx"
  rm -rf "$part"
}

# field NAME: the value of a key in a flat JSON line on stdin; nothing for null.
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^,}\"]*\).*/\1/p" | sed 's/^null$//; s/ *$//'; }

# median: of the numbers on stdin.
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# of FILE KEY: the median of a key over the runs, a dash where there is none.
of() {
  local v=
  [ ! -f "$1" ] || v=$(field "$2" <"$1" | median)
  echo "${v:-–}"
}

# of_word FILE KEY: a key of the first run that is no number.
of_word() { head -n 1 "$1" | field "$2"; }

# paired FILE FILE KEY: the median of the ratios of their lines. The two of a pair
# ran one after the other, so that what slows the machine for a while slows both.
paired() {
  local v=
  [ ! -f "$1" ] || [ ! -f "$2" ] || v=$(paste <(field "$3" <"$1") <(field "$3" <"$2") | awk '$1 > 0 && $2 > 0 { print $1 / $2 }' | median)
  if [ -n "$v" ]; then printf '%.2f' "$v"; else echo –; fi
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a + 0 > 0 && b + 0 > 0) printf "%.2f", a / b; else print "–" }'; }

# ours MODEL MODE TARGETS and theirs MODEL MODE TARGETS STEPS [OPTION] put the
# command into cmd. The same layers have other names: convs is our all-conv.
ours() {
  local targets=$3
  [ "$targets" != convs ] || targets=all-conv
  cmd=("$VISLORA" bench --model "$MODEL_DIR/$1.onnx" --mode "$2" --batch "$BATCH" --dtype "$dtype" --threads "$THREADS" --lora-targets "$targets" --lora-r 8 --steps "$STEPS" --max-seconds "$MAX_SECONDS")
}
theirs() {
  cmd=("$PYTHON" scripts/peers/peer_bench.py --model "$1" --mode "$2" --batch "$BATCH" --dtype "$dtype" --threads "$THREADS" --targets "$3" --rank 8 --steps "$4" --max-seconds "$MAX_SECONDS" ${5:+"$5"})
}

# layers MODEL: the targets of a model's kind.
layers() { case $1 in vit_*) echo all ;; *) echo convs ;; esac; }

# measure FILE KEY: runs cmd and appends its JSON line, which must have KEY.
measure() {
  local line
  if ! line=$("${cmd[@]}" 2>"$work/stderr"); then
    tail -n 20 "$work/stderr" >&2
    die "this failed: ${cmd[*]}"
  fi
  line=$(printf '%s\n' "$line" | grep '^{' | tail -n 1 || true)
  [ -n "$(printf '%s\n' "$line" | field "${2:-images_per_s}")" ] || die "this printed no figures: ${cmd[*]}"
  grep -h '^WARNING' "$work/stderr" >>"$work/warnings" || true
  printf '%s\n' "$line" >>"$1"
}

# machine [PEER FIGURES]: the rows that say where and with what was measured.
machine() {
  local cpu simd memory
  cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1)
  [ -n "$cpu" ] || cpu=$(sysctl -n machdep.cpu.brand_string 2>/dev/null || uname -m)
  simd=$(sed -n 's/^flags[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1 | tr ' ' '\n' | grep -xE 'avx2|avx512f|avx512_vnni|avx512_bf16|amx_bf16' | paste -sd ' ' || true)
  memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || true)
  echo "| | |"
  echo "|---|---|"
  echo "| machine | $cpu, $(nproc) threads${simd:+, $simd}${memory:+, $memory}, $(uname -s) |"
  echo "| date, load before | $(date -u +%Y-%m-%d), $load |"
  echo "| vislora | $("$VISLORA" version 2>/dev/null | head -n 1 || echo unknown), $("$VISLORA" version 2>/dev/null | sed -n 's/^kernels *//p') |"
  if [ -n "${1:-}" ] && [ -f "$1" ]; then
    echo "| peer | PyTorch $(field torch <"$1" | head -n 1), OpenBLAS $(field blas <"$1" | head -n 1), ISA $(field isa <"$1" | head -n 1) |"
  fi
}

# section NAME FILE TITLE: puts FILE between the marks of NAME in OUT; people
# write in that file too. Without marks it goes to the end, under TITLE.
section() {
  local page=$work/page
  mkdir -p "$(dirname "$OUT")"
  [ -f "$OUT" ] || printf '# Benchmarks\n' >"$OUT"
  if grep -q "^<!-- $1: begin" "$OUT" && grep -q "^<!-- $1: end" "$OUT"; then
    awk -v section="$2" -v name="$1" '
      index($0, "<!-- " name ": begin") == 1 { while ((getline line < section) > 0) print line; skip = 1 }
      !skip { print }
      index($0, "<!-- " name ": end") == 1 { skip = 0 }' "$OUT" >"$page"
  else
    { cat "$OUT"; printf '\n## %s\n\n' "$3"; cat "$2"; } >"$page"
  fi
  cp "$page" "$OUT.part"
  mv "$OUT.part" "$OUT"
  say "wrote $OUT"
}
