#!/usr/bin/env bash
# Finds products on the drawn shelves of this repository: fine-tunes a small CNN
# with a new detection head, compares with the frozen backbone, validates,
# predicts, exports with non-maximum suppression inside, and verifies the file in
# ONNX Runtime. `make demo-detect` builds first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=bin/vislora
runs=${DEMO_RUNS:-runs/demo-detect}
data=samples/shelf
train=(--task detect --model samples/backbones/resnet_64.onnx --data "$data" --imgsz 192 --batch 8 --epochs "${DEMO_EPOCHS:-40}" --project "$runs")
rm -rf "$runs"
mkdir -p "$runs"
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
ap() { grep -o '"mAP50-95":[0-9.]*' | head -n 1 | cut -d: -f2; }

start=$SECONDS
$bin version
say "The data: 100 drawn shelves, 4 products"
$bin data check "$data" --out "$runs/check"
say "A detection head on the frozen backbone"
$bin train "${train[@]}" --mode linear-probe --name probe
say "The same head with LoRA, rank 8, on the backbone"
$bin train "${train[@]}" --name lora
say "Both on shelves that neither has seen"
probe=$($bin val --weights "$runs/probe" --data "$data" --split test --json | ap)
lora=$($bin val --weights "$runs/lora" --data "$data" --split test --json | ap)
$bin val --weights "$runs/lora" --data "$data" --split test
say "Boxes drawn on the test images, and the merged ONNX"
$bin predict --weights "$runs/lora" --source "$data/images/test" --project "$runs" --name predictions --save-txt --save-coco | tail -n 5
verify=(--verify 20 --data "$data")
if ! $bin version | grep -q 'verify   ONNX Runtime [0-9]'; then
  echo "ONNX Runtime is not installed here: the merged file is written and not verified"
  verify=()
fi
$bin export --weights "$runs/lora" --nms --out "$runs/shelf-nms.onnx" "${verify[@]}"
awk -v p="$probe" -v l="$lora" 'BEGIN {
  printf "\nshelf: frozen backbone mAP50-95 %.3f, LoRA %.3f: %+.1f points\n", p, l, 100*(l-p)
  exit !(l - p >= 0.02) }' || { echo "demo: LoRA should beat the frozen backbone by 2 points here"; exit 1; }
say "Done in $((SECONDS - start)) s. Look at:"
echo "  $runs/lora/report.html      the report: curves, confusion matrix, mistakes"
echo "  $runs/predictions/          shelves with the boxes drawn on them"
echo "  $runs/shelf-nms.onnx        boxes, scores, labels from any runtime"
