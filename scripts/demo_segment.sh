#!/usr/bin/env bash
# Classifies the pixels of the drawn blood smears of this repository: fine-tunes a
# small CNN with a new segmentation head, compares with the frozen backbone,
# validates, predicts masks and areas, exports, and verifies the file in ONNX
# Runtime. `make demo-segment` builds first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=bin/vislora
runs=${DEMO_RUNS:-runs/demo-segment}
data=samples/smear
train=(--task segment --model samples/backbones/resnet_64.onnx --data "$data" --imgsz 160 --batch 8 --epochs "${DEMO_EPOCHS:-40}" --project "$runs")
rm -rf "$runs"
mkdir -p "$runs"
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
iou() { grep -o '"mIoU":[0-9.]*' | head -n 1 | cut -d: -f2; }

start=$SECONDS
$bin version
say "A segmentation head on the frozen backbone"
$bin train "${train[@]}" --mode linear-probe --name probe
say "The same head with LoRA, rank 8, on the backbone"
$bin train "${train[@]}" --name lora
say "Both on smears that neither has seen"
probe=$($bin val --weights "$runs/probe" --data "$data" --split test --json | iou)
lora=$($bin val --weights "$runs/lora" --data "$data" --split test --json | iou)
$bin val --weights "$runs/lora" --data "$data" --split test
say "Masks and areas of the test images (a pixel is 0.25 µm wide), and the merged ONNX"
$bin predict --weights "$runs/lora" --source "$data/test/images" --project "$runs" --name predictions --pixel-size 0.00025 | tail -n 5
verify=(--verify 15 --data "$data")
if ! $bin version | grep -q 'verify   ONNX Runtime [0-9]'; then
  echo "ONNX Runtime is not installed here: the merged file is written and not verified"
  verify=()
fi
$bin export --weights "$runs/lora" --out "$runs/smear.onnx" "${verify[@]}"
awk -v p="$probe" -v l="$lora" 'BEGIN {
  printf "\nsmear: frozen backbone mIoU %.3f, LoRA %.3f: %+.1f points\n", p, l, 100*(l-p)
  exit !(l > p) }' || { echo "demo: LoRA should beat the frozen backbone here"; exit 1; }
say "Done in $((SECONDS - start)) s. Look at:"
echo "  $runs/lora/report.html      the report: curves, confusion matrix, mistakes"
echo "  $runs/predictions/          smears with the classes painted over them; masks/ holds them as PNG"
echo "  $runs/smear.onnx            logits of the classes from any runtime"
