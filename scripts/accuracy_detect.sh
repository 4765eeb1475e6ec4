#!/usr/bin/env bash
# Trains detectors on the real data with vislora's defaults and prints one line
# per run, then a table of means (COCO figures of the test split at the best epoch
# by validation).
#
#   scripts/accuracy_detect.sh [OUT]   OUT collects the lines; finished runs are
#                                      not repeated (default runs/accuracy_detect.txt)
#   SEEDS="0 1" ONLY=yolox scripts/accuracy_detect.sh
# Needs bin/vislora (make build) and the real data (VISLORA_TESTDATA).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
real=${VISLORA_TESTDATA:-../shared/real}
out=${1:-runs/accuracy_detect.txt}
mkdir -p "$(dirname "$out")"
touch "$out"
[ -d "$real/bccd_coco" ] || { echo "accuracy: no real data at $real; set VISLORA_TESTDATA"; exit 1; }

field() { grep -o "\"$1\":[0-9.]*" | head -n 1 | cut -d: -f2; }

one() { # name, model, data, split, mode, seed, flags…
  local name=$1 model=$2 data=$3 split=$4 mode=$5 seed=$6
  shift 6
  case $name in *${ONLY:-}*) ;; *) return ;; esac
  grep -q "^$name $mode $seed " "$out" && return
  local dir start=$SECONDS m
  dir=$(mktemp -d)
  bin/vislora train --task detect --model "$model" --data "$data" --mode "$mode" --seed "$seed" --project "$dir" --name run "$@" 2>"$dir/log"
  local took=$((SECONDS - start))
  m=$(bin/vislora val --weights "$dir/run" --data "$data" --split "$split" --json)
  echo "$name $mode $seed $(field mAP50-95 <<<"$m") $(field mAP50 <<<"$m") $took" | tee -a "$out"
  rm -rf "$dir"
}

for seed in ${SEEDS:-0 1}; do
  for mode in lora linear-probe full; do
    one bccd/YOLOX-Nano "$real"/yolox_nano/yolox_nano.onnx "$real/bccd_coco" test $mode "$seed"
    one bccd/SqueezeNet "$real/squeezenet1.1/squeezenet1.1_fp32.onnx" "$real/bccd_coco" test $mode "$seed" --preset caffe
    one bccd/ViT-Tiny "$(ls "$real"/vit_tiny_timmstyle/*.onnx)" "$real/bccd_coco" test $mode "$seed" --preset inception
  done
done

echo
echo "| data / model | mode | seeds | mAP50-95 | mAP50 | seconds |"
echo "|---|---|---|---|---|---|"
sort "$out" | awk '{k=$1" | "$2; n[k]++; a[k]+=$4; b[k]+=$5; s[k]+=$6}
  END {for (k in n) printf "| %s | %d | **%.3f** | %.3f | %.0f |\n", k, n[k], a[k]/n[k], b[k]/n[k], s[k]/n[k]}' | sort
