#!/usr/bin/env bash
# Trains the real backbones on the real data sets with vislora's defaults, in
# every mode, seeds 0 to 2, and prints one line per run and a table of means
# (test accuracy at the best epoch by validation).
#
#   scripts/accuracy.sh [OUT]        OUT collects the lines; finished runs are
#                                    not repeated (default runs/accuracy.txt)
# Needs bin/vislora (make build) and the real data (VISLORA_TESTDATA).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
real=${VISLORA_TESTDATA:-../shared/real}
out=${1:-runs/accuracy.txt}
seeds=${SEEDS:-0 1 2}
mkdir -p "$(dirname "$out")"
touch "$out"
[ -d "$real/grocery_classify" ] || { echo "accuracy: no real data at $real; set VISLORA_TESTDATA"; exit 1; }

field() { grep -o "\"$1\":[0-9.]*" | head -n 1 | cut -d: -f2; }

one() { # name, model, data, mode, seed, flags…
  local name=$1 model=$2 data=$3 mode=$4 seed=$5
  shift 5
  grep -q "^$name $mode $seed " "$out" && return
  local dir
  dir=$(mktemp -d)
  bin/vislora train --model "$model" --data "$data" --mode "$mode" --seed "$seed" --project "$dir" --name run "$@" 2>"$dir/log"
  local v t
  v=$(bin/vislora val --weights "$dir/run" --data "$data" --split val --json)
  t=$(bin/vislora val --weights "$dir/run" --data "$data" --split test --json)
  echo "$name $mode $seed $(field accuracy_top1 <<<"$v") $(field accuracy_top1 <<<"$t") $(field macro_f1 <<<"$t") $(field auroc <<<"$t") $(field seconds <"$dir/run/metrics.json" 2>/dev/null || echo -)" | tee -a "$out"
  rm -rf "$dir"
}

vit=$(ls "$real"/vit_tiny_timmstyle/*.onnx)
squeezenet=$real/squeezenet1.1/squeezenet1.1_fp32.onnx
for seed in $seeds; do
  for mode in lora linear-probe full; do
    one grocery/ViT-Tiny "$vit" "$real/grocery_classify" $mode "$seed" --preset inception
    one grocery/SqueezeNet "$squeezenet" "$real/grocery_classify" $mode "$seed" --preset caffe
    one wbc/ViT-Tiny "$vit" "$real/wbc_segment" $mode "$seed" --preset inception
  done
done

echo
echo "| data / model | mode | seeds | val | test accuracy | per seed | macro F1 | AUROC |"
echo "|---|---|---|---|---|---|---|---|"
sort "$out" | awk '{k=$1" | "$2; n[k]++; v[k]+=$4; t[k]+=$5; s[k]=s[k]" "sprintf("%.1f",100*$5); f[k]+=$6; a[k]+=$7}
  END {for (k in n) printf "| %s | %d | %.1f | **%.1f** |%s | %.1f | %.3f |\n", k, n[k], 100*v[k]/n[k], 100*t[k]/n[k], s[k], 100*f[k]/n[k], a[k]/n[k]}' | sort
