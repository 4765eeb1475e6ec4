#!/usr/bin/env python3
"""What PyTorch takes from the start of the process to the label of one picture, imports included.

  predict_one.py --onnx vit.onnx --save vit.pt          once: the weights as torch keeps them
  predict_one.py --weights vit.pt --image photo.jpg     prints the number and the probability of the best class

The network is the ViT of nets.py, the picture's way into it that of train_folder.py (shorter side, centre crop, 0.5 / 0.5).
Needs the Debian packages python3-torch python3-torchvision (python3-onnx for --onnx)."""
import argparse, os, sys

import processor

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("--onnx", default="")
ap.add_argument("--save", default="")
ap.add_argument("--weights", default="")
ap.add_argument("--image", default="")
a = ap.parse_args()
processor.tell_blas(processor.best_isa())

import torch
from PIL import Image
from torchvision import transforms as T

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nets

if a.onnx:
    net, size = nets.load_vit(a.onnx)
    torch.save((net, size), a.save or sys.exit("--save FILE is missing"))
    sys.exit()
net, size = torch.load(a.weights)
to = T.Compose([T.Resize(size * 8 // 7), T.CenterCrop(size), T.ToTensor(), T.Normalize(.5, .5)])
with torch.inference_mode():
    p = net(to(Image.open(a.image).convert("RGB"))[None]).softmax(1)[0]
print(p.argmax().item(), round(p.max().item(), 3))
