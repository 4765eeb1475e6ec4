#!/usr/bin/env python3
"""The cells of a row of bench_all.sh's roofline: roofline.py THREADS RATIO, with
lines of `vislora bench --profile` on stdin. Medians over the lines."""

import json
import statistics
import sys

PRODUCTS = ("linear", "conv", "lora", "matmul", "winograd")


def kind(name):
    if name.startswith("attention"):
        return "attention"
    return "products" if name.startswith(PRODUCTS) else "rest"


def cells(line, threads):
    peak = line["peak_gflops_per_s"] * 1e9
    ms = dict.fromkeys(("products", "attention", "rest"), 0.0)
    gflop = dict(ms)
    for op in line["profile"]:
        ms[kind(op["name"])] += op["ms"]
        gflop[kind(op["name"])] += op.get("gflop", 0)
    total = sum(ms.values())
    out = {
        "gflop": line["gflops"],
        "peak": threads * peak / 1e9,
        "step": line["gflops"] * 1e9 / (line["ms_per_step_median"] / 1e3) / (threads * peak),
    }
    for k in ms:
        out[k + "_time"] = ms[k] / total
        out[k] = gflop[k] * 1e9 / (ms[k] / 1e3) / peak if ms[k] else 0
    return out


def main():
    threads, ratio = int(sys.argv[1]), sys.argv[2]
    lines = [cells(json.loads(text), threads) for text in sys.stdin]
    m = {k: statistics.median(line[k] for line in lines) for k in lines[0]}
    of = lambda k: f"{m[k]:.0%} ({m[k + '_time']:.0%})" if m[k + "_time"] else "–"
    try:
        best = f"{float(ratio) / m['step']:.2f}"
    except ValueError:
        best = "–"
    print(" | ".join([f"{m['gflop']:.1f}", f"{m['peak']:.0f}", f"{m['step']:.0%}", of("products"), of("attention"), f"({m['rest_time']:.0%})", best]))


main()
