#!/usr/bin/env python3
"""Trains the two sample backbones on the drawn pretext task and exports them: samples/backbones/{vit_64,resnet_64}.onnx.

  python3 scripts/samples/train_backbones.py                     both, into samples/backbones
  python3 scripts/samples/train_backbones.py --names vit_64 --out /tmp/b

Nobody has to run this: the files are in the repository.  Versions, time and accuracy: README.md beside this file.
Needs the Debian packages python3-torch python3-onnx python3-numpy python3-pil."""
import argparse
import json
import os
import sys
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a second pool of threads beside OpenMP's makes a ViT seven times slower
warnings.filterwarnings("ignore")
sys.dont_write_bytecode = True
import onnx
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import nets
import pretext

PREPROCESS = dict(mean=[.5] * 3, std=[.5] * 3, range=1, channels="RGB", size=[64, 64], resize="shorter", resize_to=72,
                  interpolation="bilinear")
# bf16: forward in autocast (twice as fast on a processor with AMX).  The CNN's strong decay keeps the kernels under a BatchNorm
# small (a third of what .05 leaves), so that an adapter of ordinary size changes something within a few hundred steps.
RECIPE = {"vit_64": dict(images=32000, epochs=10, lr=1.5e-3, weight_decay=.1, bf16=True),
          "resnet_64": dict(images=40000, epochs=5, lr=4e-3, weight_decay=.4, bf16=False)}


def tensor(px):
    return (torch.from_numpy(px).permute(0, 3, 1, 2).float() / 255 - .5) / .5


def shifted(x, gen):
    """A random crop of the image padded by 4 pixels: the only augmentation (letters may not be flipped)."""
    x = F.pad(x, (4, 4, 4, 4), mode="replicate")
    i, j = torch.randint(0, 9, (2,), generator=gen).tolist()
    return x[:, :, i:i + 64, j:j + 64]


def accuracy(model, px, labels):
    model.eval()
    with torch.no_grad():
        hits = sum((model(tensor(px[i:i + 200])).argmax(1) == labels[i:i + 200]).sum().item() for i in range(0, len(px), 200))
    return hits / len(px)


def train(name, px, labels, vpx, vlabels, seed, batch=64):
    recipe = RECIPE[name]
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed + 1)
    model = nets.BACKBONES[name](len(pretext.NAMES))
    plain = [p for p in model.parameters() if p.ndim < 2 or p is getattr(model, "pos_embed", None) or p is getattr(model, "cls_token", None)]
    ids = {id(p) for p in plain}
    groups = [dict(params=plain, weight_decay=0), dict(params=[p for p in model.parameters() if id(p) not in ids])]
    opt = torch.optim.AdamW(groups, lr=recipe["lr"], weight_decay=recipe["weight_decay"])
    steps = len(px) // batch * recipe["epochs"]
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, recipe["lr"], total_steps=steps, pct_start=.1, cycle_momentum=False)
    for epoch in range(recipe["epochs"]):
        model.train()
        order, total, t0 = torch.randperm(len(px), generator=gen), 0.0, time.time()
        for s in range(len(px) // batch):
            i = order[s * batch:(s + 1) * batch]
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe["bf16"]):
                logits = model(shifted(tensor(px[i.numpy()]), gen))
            loss = F.cross_entropy(logits.float(), labels[i], label_smoothing=.05)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            sched.step()
            total += loss.item()
        print(f"{name} epoch {epoch + 1}/{recipe['epochs']} loss {total / (s + 1):.3f} val {accuracy(model, vpx, vlabels):.4f} "
              f"{time.time() - t0:.0f} s", flush=True)
    return model.eval()


def export(name, model, path):
    """Opset 14, dynamic batch.  The CNN keeps its BatchNormalization nodes: TrainingMode.EVAL would fold them."""
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    mode = torch.onnx.TrainingMode.PRESERVE if name == "resnet_64" else torch.onnx.TrainingMode.EVAL
    torch.onnx.export(model, x, path, opset_version=14, training=mode, input_names=["input"], output_names=["logits"],
                      dynamic_axes=dict(input={0: "batch"}, logits={0: "batch"}))
    p = onnx.load(path)
    p.doc_string = "vislora sample backbone, trained on drawn shapes, textures and letters; Apache-2.0"
    for key, value in {"names": json.dumps(pretext.NAMES), "vislora.preprocess": json.dumps(PREPROCESS)}.items():
        p.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(p, full_check=True)
    onnx.save(p, path)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default=os.path.join(HERE, "..", "..", "samples", "backbones"))
    ap.add_argument("--names", default=",".join(nets.BACKBONES))
    ap.add_argument("--seed", type=int, default=0)
    a = ap.parse_args()
    torch.set_num_threads(2)
    os.makedirs(a.out, exist_ok=True)
    t0 = time.time()
    names = a.names.split(",")
    px, labels = pretext.draw_many(max(RECIPE[n]["images"] for n in names), a.seed)
    vpx, vlabels = pretext.draw_many(4000, a.seed + 1)
    labels, vlabels = torch.from_numpy(labels), torch.from_numpy(vlabels)
    print(f"drew {len(px)} + {len(vpx)} images in {time.time() - t0:.0f} s", flush=True)
    for name in names:
        t0, count = time.time(), RECIPE[name]["images"]
        model = train(name, px[:count], labels[:count], vpx, vlabels, a.seed)
        path = os.path.join(a.out, name + ".onnx")
        export(name, model, path)
        print(json.dumps(dict(name=name, pretext_accuracy=accuracy(model, vpx, vlabels), params=sum(p.numel() for p in model.parameters()),
                              bytes=os.path.getsize(path), seconds=round(time.time() - t0), torch=torch.__version__)), flush=True)


if __name__ == "__main__":
    main()
