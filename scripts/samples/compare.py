#!/usr/bin/env python3
"""Linear probe, LoRA and full fine-tuning of the sample backbones on the sample data sets, in PyTorch: are the sets hard enough?

  python3 scripts/samples/compare.py --sets retail,microscopy --backbones vit_64,resnet_64 --methods probe,lora,full --seeds 0,1,2

Weights are read from the ONNX files.  Protocol (vislora's defaults): AdamW, weight decay .01, lr 1e-3 lora, 1e-2 probe, 1e-4 full,
10 % warm-up, cosine to 0, batch 16; RandomResizedCrop(64, scale .5-1) and a horizontal flip in training; shorter side to 72 and
the middle 64x64 in validation; LoRA r 8, alpha 16 on every linear layer and convolution.  BatchNorm stays frozen but in full.
Test accuracy after the last epoch.  Prints one JSON line per run."""
import argparse
import glob
import json
import math
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.dont_write_bytecode = True
import numpy as np
import onnx
import onnx.numpy_helper
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = os.path.join(HERE, "..", "..", "samples")
sys.path.insert(0, HERE)
import nets

LR = dict(lora=1e-3, probe=1e-2, full=1e-4)


def backbone(name, folder):
    """The network with the ONNX file's weights, told by their names; a ViT's anonymous, transposed ones by their nodes' names."""
    p = onnx.load(os.path.join(folder, name + ".onnx"))
    w = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in p.graph.initializer}
    classes = len(json.loads({m.key: m.value for m in p.metadata_props}["names"]))
    model = nets.BACKBONES[name](classes)
    sd = {k: v for k, v in w.items() if not k.startswith("onnx::")}
    for n in p.graph.node:
        if n.op_type == "Identity" and n.input[0] in w:  # two BatchNorms that are summed learn one and the same bias
            sd[n.output[0]] = w[n.input[0]]
        if n.op_type == "MatMul" and n.input[1] in w:  # /blocks/blocks.0/attn/qkv/MatMul
            path = [s for s in n.name.split("/") if s][:-1]
            path = path[1:] if path[0] == "blocks" else path
            sd[".".join(path) + ".weight"] = w[n.input[1]].t().contiguous()
    missing, extra = model.load_state_dict(sd, strict=False)
    assert not extra and all("num_batches" in m for m in missing), (missing, extra)
    return model.eval()


def folder(root, split, classes):
    files = [(f, i) for i, c in enumerate(classes) for f in sorted(glob.glob(os.path.join(root, split, c, "*")))]
    return [Image.open(f).convert("RGB") for f, _ in files], torch.tensor([i for _, i in files])


def tensor(imgs):
    return (torch.from_numpy(np.stack([np.asarray(i) for i in imgs])).permute(0, 3, 1, 2).float() / 255 - .5) / .5


def middle(img):
    s = 72 / min(img.size)
    img = img.resize((round(img.width * s), round(img.height * s)), Image.BILINEAR)
    x, y = (img.width - 64) // 2, (img.height - 64) // 2
    return img.crop((x, y, x + 64, y + 64))


def cropped(img, rng):
    """RandomResizedCrop(64, scale (.5, 1), ratio (3/4, 4/3)) and a flip."""
    for _ in range(10):
        area = rng.uniform(.5, 1) * img.width * img.height
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if w <= img.width and h <= img.height:
            break
    else:
        w = h = min(img.size)
    x, y = rng.integers(0, img.width - w + 1), rng.integers(0, img.height - h + 1)
    img = img.resize((64, 64), Image.BILINEAR, box=(x, y, x + w, y + h))
    return img.transpose(Image.FLIP_LEFT_RIGHT) if rng.random() < .5 else img


def fine_tune(net, method, imgs, labels, epochs, batch, lr, seed):
    params = [p for p in net.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=lr, weight_decay=.01)
    per = math.ceil(len(imgs) / batch)
    steps, warm = per * epochs, max(1, per * epochs // 10)
    gain = lambda s: (s + 1) / warm if s < warm else .5 * (1 + math.cos(math.pi * (s - warm) / max(1, steps - warm)))
    sched = torch.optim.lr_scheduler.LambdaLR(opt, gain)
    rng = np.random.default_rng([seed, 1])
    for _ in range(epochs):
        net.train(method == "full")
        order = rng.permutation(len(imgs))
        for s in range(per):
            i = order[s * batch:(s + 1) * batch]
            loss = F.cross_entropy(net(tensor([cropped(imgs[j], rng) for j in i])), labels[i])
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            sched.step()
    return loss.item()


def accuracy(net, imgs, labels):
    net.eval()
    x = tensor([middle(i) for i in imgs])
    with torch.no_grad():
        return (torch.cat([net(x[i:i + 100]) for i in range(0, len(x), 100)]).argmax(1) == labels).float().mean().item()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", default=SAMPLES, help="folder that holds the sets")
    ap.add_argument("--onnx", default=os.path.join(SAMPLES, "backbones"))
    ap.add_argument("--sets", default="retail,microscopy")
    ap.add_argument("--backbones", default="vit_64,resnet_64")
    ap.add_argument("--methods", default="probe,lora,full")
    ap.add_argument("--seeds", default="0,1,2")
    ap.add_argument("--epochs", type=int, default=20)
    ap.add_argument("--batch", type=int, default=16)
    ap.add_argument("--lr", type=float, default=0, help="0 = the method's default")
    a = ap.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    for data in a.sets.split(","):
        root = os.path.join(a.data, data)
        classes = sorted(os.listdir(os.path.join(root, "train")))
        train, val, test = (folder(root, s, classes) for s in ("train", "val", "test"))
        for name in a.backbones.split(","):
            for method in a.methods.split(","):
                for seed in map(int, a.seeds.split(",")):
                    t0 = time.time()
                    net = backbone(name, a.onnx)
                    torch.manual_seed(100 + seed)
                    head = "head" if name.startswith("vit") else "fc"
                    setattr(net, head, nn.Identity())
                    if method == "lora":
                        nets.inject(net)
                    for p in net.parameters():
                        p.requires_grad_(method == "full" or p.requires_grad and method == "lora")
                    setattr(net, head, nn.Linear(net.dim, len(classes)))
                    loss = fine_tune(net, method, *train, a.epochs, a.batch, a.lr or LR[method], seed)
                    print(json.dumps(dict(set=data, backbone=name, method=method, seed=seed, epochs=a.epochs, batch=a.batch, train_loss=round(loss, 4),
                                          train=round(accuracy(net, *train), 4), val=round(accuracy(net, *val), 4),
                                          test=round(accuracy(net, *test), 4), seconds=round(time.time() - t0, 1))), flush=True)


if __name__ == "__main__":
    main()
