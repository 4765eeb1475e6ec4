#!/usr/bin/env bash
# The main job on the samples of this repository: fine-tune a small ViT and a
# small residual CNN, compare with a linear probe, validate, predict, export,
# and verify the merged file in ONNX Runtime. `make demo` builds first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=bin/vislora
runs=${DEMO_RUNS:-runs/demo}
rm -rf "$runs"
mkdir -p "$runs"
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
accuracy() { grep -o '"accuracy_top1":[0-9.]*' | head -n 1 | cut -d: -f2; }

$bin version

one() { # set, backbone
  local set=$1 backbone=$2 data=samples/$1 model=samples/backbones/$2.onnx
  say "$set: a linear probe on the frozen $backbone"
  $bin train --model "$model" --data "$data" --mode linear-probe --project "$runs/$set" --name probe
  say "$set: LoRA, rank 8"
  $bin train --model "$model" --data "$data" --epochs 20 --project "$runs/$set" --name lora
  say "$set: both on images that neither has seen"
  local probe lora
  probe=$($bin val --weights "$runs/$set/probe" --data "$data" --split test --json | accuracy)
  lora=$($bin val --weights "$runs/$set/lora" --data "$data" --split test --json | accuracy)
  $bin val --weights "$runs/$set/lora" --data "$data" --split test
  say "$set: predictions drawn on the test images, and the merged ONNX"
  $bin predict --weights "$runs/$set/lora" --source "$data/test" --project "$runs/$set" --name predictions --top 3 | tail -n 5
  local verify=(--verify 20 --data "$data")
  if $bin version | grep -q 'verify   ONNX Runtime [0-9]'; then :; else
    echo "ONNX Runtime is not installed here: the merged file is written and not verified"
    verify=()
  fi
  $bin export --weights "$runs/$set/lora" --out "$runs/$set/$backbone-merged.onnx" "${verify[@]}"
  awk -v p="$probe" -v l="$lora" -v s="$set" 'BEGIN {
    printf "\n%s: linear probe %.1f %%, LoRA %.1f %%: %+.1f points\n", s, 100*p, 100*l, 100*(l-p)
    exit !(l - p >= 0.10) }' || { echo "demo: LoRA should beat the linear probe by 10 points here"; exit 1; }
}

start=$SECONDS
one retail vit_64
one microscopy resnet_64
say "Done in $((SECONDS - start)) s. Look at:"
for set in retail microscopy; do
  echo "  $runs/$set/lora/report.html        the report: metrics, curves, mistakes"
  echo "  $runs/$set/predictions/            pictures with the answers drawn on them"
  echo "  $runs/$set/*-merged.onnx           the file any runtime loads"
  echo "  $runs/$set/lora/weights/best/      the adapter, a PEFT folder"
done
