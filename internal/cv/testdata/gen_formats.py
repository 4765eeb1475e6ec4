#!/usr/bin/python3
"""Writes formats/: one small image per file format and pixel type, and the RGB
bytes that Pillow 9.4 decodes from it (EXIF orientation applied, alpha dropped).

    python3 internal/cv/testdata/gen_formats.py
"""
import json, os
import numpy as np
from PIL import Image, ImageOps

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "formats")
os.makedirs(here, exist_ok=True)
W, H = 26, 18
y, x = np.mgrid[0:H, 0:W]
rng = np.random.default_rng(3)
rgb = np.stack([x * 9, y * 13, (x + y) * 5], -1).clip(0, 255).astype(np.uint8)
rgb[4:9, 5:12] = (250, 30, 20)
rgb[10:16, 14:22] = rng.integers(0, 256, (6, 8, 3))
alpha = ((x * 11) % 256).astype(np.uint8)
files = {}

def save(name, im, want=None, **kw):
    p = os.path.join(here, name)
    im.save(p, **kw)
    got = Image.open(p)
    if want is None:
        want = np.asarray(ImageOps.exif_transpose(got).convert("RGB"))
    files[name] = [int(want.shape[1]), int(want.shape[0])]
    with open(p + ".rgb", "wb") as f:
        f.write(np.ascontiguousarray(want).tobytes())

im = Image.fromarray(rgb)
grey = im.convert("L")
g3 = np.repeat(np.asarray(grey)[..., None], 3, 2)
save("rgb.png", im)
save("grey.png", grey)
g16 = np.asarray(grey).astype(np.int32) * 256 + 77
save("grey16.png", Image.fromarray(g16, "I"), want=g3)
save("palette.png", im.quantize(16))
pal = im.quantize(16)
save("palette_transparent.png", pal, want=np.asarray(pal.convert("RGB")), transparency=3)
save("rgba.png", Image.fromarray(np.dstack([rgb, alpha])), want=rgb)
save("grey_alpha.png", Image.merge("LA", (grey, Image.fromarray(alpha))), want=g3)
save("bilevel.png", grey.convert("1"))
save("rgb.bmp", im)
save("palette.bmp", im.quantize(16))
save("rgb.tif", im, compression="raw")
save("lzw.tif", im, compression="tiff_lzw")
save("grey.tif", grey)
save("grey16.tif", Image.fromarray(g16.astype(np.uint16)), want=g3)
save("deflate.tif", im, compression="tiff_adobe_deflate")
save("rgba.tif", Image.fromarray(np.dstack([rgb, alpha * 0 + 255])), want=rgb)
save("rgba.bmp", Image.fromarray(np.dstack([rgb, alpha])), want=rgb)
save("rgba.webp", Image.fromarray(np.dstack([rgb, np.maximum(alpha, 1)])), want=rgb, lossless=True, exact=True)
save("lossless.webp", im, lossless=True)
save("lossy.webp", im, quality=80)
save("444.jpg", im, quality=90, subsampling=0)
save("420.jpg", im, quality=90)
save("progressive.jpg", im, quality=90, progressive=True, subsampling=0)
save("grey.jpg", grey, quality=90)
save("cmyk.jpg", im.convert("CMYK"), quality=95)
for o in range(1, 9):
    e = Image.Exif()
    e[274] = o
    save("orientation%d.jpg" % o, im, quality=90, subsampling=0, exif=e)
for o in (3, 6):
    e = Image.Exif()
    e[274] = o
    save("orientation%d.png" % o, im, exif=e)
    # Pillow 9.4 turns a TIFF when it loads it, and exif_transpose would turn it twice.
    turned = im.rotate({3: 180, 6: 270}[o], expand=True)
    save("orientation%d.tif" % o, im, want=np.asarray(turned), tiffinfo={274: o}, compression="raw")
# 16 bits of colour, which Pillow cannot write.
import struct, zlib
def chunk(k, b):
    return struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b))
raw = b"".join(b"\0" + (rgb[r].astype(">u2") * 256 + 200).astype(">u2").tobytes() for r in range(H))
with open(os.path.join(here, "rgb16.png"), "wb") as f:
    f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, 16, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
open(os.path.join(here, "rgb16.png.rgb"), "wb").write(rgb.tobytes())
files["rgb16.png"] = [W, H]
json.dump(files, open(os.path.join(here, "formats.json"), "w"), indent=1, sort_keys=True)
