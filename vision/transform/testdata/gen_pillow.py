#!/usr/bin/python3
"""Writes pillow.json: CRC-32 of what Pillow 9.4 makes of a procedural image, for
every resize and colour operation that vision/transform reimplements, and of the float32
inputs (N, H, W, C) that torchvision 0.14 makes for evaluation.

    python3 vision/transform/testdata/gen_pillow.py
"""
import json, os, zlib
import numpy as np
from PIL import Image, ImageEnhance, ImageOps
import torchvision.transforms.functional as F
import torchvision.transforms.functional_pil as FP

def picture(w, h):
    """The same formula stands in pillow_test.go."""
    y, x = np.mgrid[0:h, 0:w]
    p = np.stack([x * 7 + y * 3 + (x * y) % 29 * 5, 255 - (x * 2 + y * 5) % 256 + (x * 31 + y * 17) % 23, (x * x + y * y * 3) // 7], -1) % 256
    p[h // 4 : h // 2, w // 3 : w // 2] = (250, 20, 30)
    p[h // 2 :, : w // 5] = 77
    return Image.fromarray(p.astype(np.uint8))

crc = lambda im: zlib.crc32(np.asarray(im).tobytes())
out = {"resize": [], "region": [], "color": []}
names = {"bilinear": 2, "bicubic": 3, "box": 4, "nearest": 0}
sizes = [(640, 480, 224, 224), (341, 256, 224, 224), (97, 61, 31, 29), (97, 61, 200, 150), (97, 61, 97, 20), (97, 61, 30, 61),
         (97, 61, 97, 61), (33, 7, 64, 64), (5, 300, 64, 64), (1, 1, 8, 8), (2, 3, 1, 1), (500, 375, 341, 256), (120, 119, 258, 256), (1024, 700, 64, 44)]
for n, f in names.items():
    for w, h, ow, oh in sizes:
        out["resize"].append({"filter": n, "from": [w, h], "to": [ow, oh], "crc": crc(picture(w, h).resize((ow, oh), f))})
    for box, to in [((10, 5, 80, 50), (64, 64)), ((0, 0, 97, 61), (50, 40)), ((33, 20, 97, 61), (128, 96))]:
        out["region"].append({"filter": n, "box": box, "to": to, "crc": crc(picture(97, 61).crop(box).resize(to, f))})
im = picture(97, 61)
def color(op, v, r):
    out["color"].append({"op": op, "value": v, "crc": crc(r)})
for v in (0.0, 0.1, 0.5, 0.87, 1.0, 1.27, 1.9):
    color("brightness", v, ImageEnhance.Brightness(im).enhance(v))
    color("contrast", v, ImageEnhance.Contrast(im).enhance(v))
    color("saturation", v, ImageEnhance.Color(im).enhance(v))
    color("sharpness", v, ImageEnhance.Sharpness(im).enhance(v))
for v in (-0.5, -0.2, -0.013, 0.0, 0.1, 0.37, 0.5):
    color("hue", v, FP.adjust_hue(im, v))
for v in (1, 4, 7, 8):
    color("posterize", v, ImageOps.posterize(im, v))
for v in (0.0, 100.5, 178.5, 255.0):
    color("solarize", v, F.solarize(im, v))
low = Image.fromarray((np.asarray(im) // 3 + 60).astype(np.uint8))
color("autocontrast", 0, ImageOps.autocontrast(low))
color("equalize", 0, ImageOps.equalize(low))
import torchvision.transforms as T
out["eval"] = []
for w, h in [(640, 480), (341, 256), (375, 500), (120, 119), (97, 300)]:
    for name, to, size, mean, std, f in [("imagenet", 256, 224, (.485, .456, .406), (.229, .224, .225), 2), ("clip", 224, 224, (.48145466, .4578275, .40821073), (.26862954, .26130258, .27577711), 3), ("inception", 73, 64, (.5,) * 3, (.5,) * 3, 2)]:
        t = T.Compose([T.Resize(to, interpolation=T.InterpolationMode.BILINEAR if f == 2 else T.InterpolationMode.BICUBIC), T.CenterCrop(size), T.ToTensor(), T.Normalize(mean, std)])
        x = t(picture(w, h)).permute(1, 2, 0).contiguous().numpy()
        out["eval"].append({"preset": name, "size": size, "from": [w, h], "crc": zlib.crc32(x.tobytes())})
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pillow.json"), "w") as f:
    f.write("{" + ",\n".join('"%s": [\n%s]' % (k, ",\n".join(json.dumps(e) for e in v)) for k, v in out.items()) + "}\n")
