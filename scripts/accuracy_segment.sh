#!/usr/bin/env bash
# Trains segmenters on the real data with vislora's defaults and prints one line
# per run, then a table of means (figures of the test split at the best epoch
# by validation).
#
#   scripts/accuracy_segment.sh [OUT]   OUT collects the lines; finished runs are
#                                      not repeated (default runs/accuracy_segment.txt)
#   SEEDS="0 1" ONLY=DeepLab scripts/accuracy_segment.sh
# Needs bin/vislora (make build) and the real data (VISLORA_TESTDATA).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
real=${VISLORA_TESTDATA:-../shared/real}
out=${1:-runs/accuracy_segment.txt}
mkdir -p "$(dirname "$out")"
touch "$out"
[ -d "$real/wbc_segment" ] || { echo "accuracy: no real data at $real; set VISLORA_TESTDATA"; exit 1; }

field() { grep -o "\"$1\":[0-9.]*" | head -n 1 | cut -d: -f2; }

one() { # name, model, data, split, mode, seed, flags…
  local name=$1 model=$2 data=$3 split=$4 mode=$5 seed=$6
  shift 6
  case $name in *${ONLY:-}*) ;; *) return ;; esac
  grep -q "^$name $mode $seed " "$out" && return
  local dir start=$SECONDS m
  dir=$(mktemp -d)
  bin/vislora train --task segment --model "$model" --data "$data" --mode "$mode" --seed "$seed" --project "$dir" --name run "$@" 2>"$dir/log"
  local took=$((SECONDS - start))
  m=$(bin/vislora val --weights "$dir/run" --data "$data" --split "$split" --json)
  echo "$name $mode $seed $(field mIoU <<<"$m") $(field dice <<<"$m") $took" | tee -a "$out"
  rm -rf "$dir"
}

for seed in ${SEEDS:-0 1}; do
  for mode in lora linear-probe full; do
    one wbc/DeepLabv3 "$real/deeplabv3_mnv2_257/deeplab_v3_257.onnx" "$real/wbc_segment" test $mode "$seed" --preset inception
    one wbc/ViT-Tiny "$(ls "$real"/vit_tiny_timmstyle/*.onnx)" "$real/wbc_segment" test $mode "$seed" --preset inception
  done
done

echo
echo "| data / model | mode | seeds | mIoU | Dice | seconds |"
echo "|---|---|---|---|---|---|"
sort "$out" | awk '{k=$1" | "$2; n[k]++; a[k]+=$4; b[k]+=$5; s[k]+=$6}
  END {for (k in n) printf "| %s | %d | **%.3f** | %.3f | %.0f |\n", k, n[k], a[k]/n[k], b[k]/n[k], s[k]/n[k]}' | sort
