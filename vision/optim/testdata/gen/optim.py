#!/usr/bin/env python3
"""Writes ../torch.json: trajectories of torch.optim.AdamW and SGD.

Made with torch 1.13.1 (Debian's python3-torch). Seed 7, CPU, float32. Run:
  python3 optim.py > ../torch.json
"""
import json, math, torch

torch.manual_seed(7)
N, STEPS = 17, 25
start = torch.randn(N)
# Magnitudes over eight decades, zeros and sign changes: where eps, the bias
# corrections and the order of the operations show.
grads = [torch.randn(N) * 10.0 ** torch.linspace(-6, 2, N) * (torch.rand(N) > .2) for _ in range(STEPS)]
warm = 3
lrs = [1e-2 * ((t + 1) / warm if t < warm else .5 * (1 + math.cos(math.pi * (t - warm) / (STEPS - warm)))) for t in range(STEPS)]


def trajectory(make):
    p = torch.nn.Parameter(start.clone())
    o = make([p])
    out = []
    for g, lr in zip(grads, lrs):
        for group in o.param_groups:
            group["lr"] = lr
        p.grad = g.clone()
        o.step()
        out.append(p.detach().tolist())
    return out


norm = {}
for limit in (0.5, 1e6):
    p = [torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())]
    p[0].grad, p[1].grad = grads[0].clone(), grads[1].clone()
    total = torch.nn.utils.clip_grad_norm_(p, limit)
    norm[str(limit)] = {"norm": float(total), "grads": [q.grad.tolist() for q in p]}

cases = {
    "adamw": trajectory(lambda p: torch.optim.AdamW(p, lr=1, weight_decay=.01)),
    "adamw_nodecay": trajectory(lambda p: torch.optim.AdamW(p, lr=1, weight_decay=0)),
    "adamw_betas": trajectory(lambda p: torch.optim.AdamW(p, lr=1, betas=(.5, .9), eps=1e-3, weight_decay=.3)),
    "sgd": trajectory(lambda p: torch.optim.SGD(p, lr=1, weight_decay=0)),
    "sgd_momentum": trajectory(lambda p: torch.optim.SGD(p, lr=1, momentum=.9, weight_decay=.01)),
    "sgd_nesterov": trajectory(lambda p: torch.optim.SGD(p, lr=1, momentum=.9, nesterov=True, weight_decay=.01)),
}
print(json.dumps({"start": start.tolist(), "grads": [g.tolist() for g in grads], "lrs": lrs, "cases": cases, "clip": norm}))
