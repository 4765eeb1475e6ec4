#!/usr/bin/env bash
# Does bfloat16 cost accuracy? Trains ViT-Tiny on grocery by LoRA with the
# defaults, in f32 and in bf16 with the same seeds, and prints the test
# accuracies, the mean of the differences of the pairs, and its standard error.
#
#   scripts/accuracy_dtype.sh [OUT]  OUT collects the lines; finished runs are
#                                    not repeated (default runs/accuracy_dtype.txt)
#   SEEDS="0 1 2 3 4"
# Needs bin/vislora (make build), the real data (VISLORA_TESTDATA), and a
# processor on which bf16 is used: on others both would be f32.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
real=${VISLORA_TESTDATA:-../shared/real}
out=${1:-runs/accuracy_dtype.txt}
seeds=${SEEDS:-0 1 2 3 4}
if ! bin/vislora version | grep -q 'dtype bf16'; then
  echo "accuracy_dtype: --dtype bf16 runs in f32 here, so there is nothing to compare: $(bin/vislora version | sed -n 's/^kernels *//p')" >&2
  exit 1
fi
[ -d "$real/grocery_classify" ] || { echo "accuracy_dtype: no real data at $real; set VISLORA_TESTDATA" >&2; exit 1; }
mkdir -p "$(dirname "$out")"
touch "$out"

for seed in $seeds; do for dtype in f32 bf16; do
  grep -q "^$seed $dtype " "$out" && continue
  dir=$(mktemp -d)
  bin/vislora train --model "$(ls "$real"/vit_tiny_timmstyle/*.onnx)" --data "$real/grocery_classify" --preset inception --seed "$seed" --dtype "$dtype" --project "$dir" --name run 2>"$dir/log"
  # Both are scored in f32: training alone differs.
  echo "$seed $dtype $(bin/vislora val --weights "$dir/run" --data "$real/grocery_classify" --split test --json | grep -o '"accuracy_top1":[0-9.]*' | head -n 1 | cut -d: -f2)" | tee -a "$out"
  rm -rf "$dir"
done; done

echo
awk '{ a[$2, $1] = $3; seed[$1] = 1 } END {
  for (s in seed) if (("f32", s) in a && ("bf16", s) in a) { n++; f += a["f32", s]; b += a["bf16", s]; d = a["bf16", s] - a["f32", s]; sum += d; sq += d * d }
  if (n) printf "%d pairs: f32 %.2f %%, bf16 %.2f %%, bf16 − f32 %+.2f ± %.2f points\n", n, 100 * f / n, 100 * b / n, 100 * sum / n, (n > 1 ? 100 * sqrt((sq - sum * sum / n) / (n - 1) / n) : 0) }' "$out"
