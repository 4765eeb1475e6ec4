"""The pretext task of the sample backbones: 40 kinds of drawn things, 64x64 pixels, told apart by form alone.

20 flat shapes, 8 textures on a blob, 12 stroke letters.  Colours, ground, place, size, angle, shear, blur and noise are drawn
independently of the class, so a network learns outlines and textures and learns to ignore colour.  That is the point: the data
sets in samples/ need colour and fine structure, and a linear probe on these features does not have them.

draw(index, seed) is a pure function of its arguments (numpy's PCG64 and Pillow): the same images in any order, on any number
of processes."""
import math
import multiprocessing as mp
import os

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE, SCALE = 64, 2  # drawn at SCALE times the size, then averaged down
SHAPES = ("disc ring crescent half_disc oval square frame bar triangle diamond pentagon hexagon star5 star8 cross arrow heart drop "
          "corner tee").split()
TEXTURES = "stripes checks dots waves grid bricks rings speckle".split()
GLYPHS = dict(
    A=[[(-.6, .9), (0, -.9), (.6, .9)], [(-.38, .25), (.38, .25)]],
    E=[[(.5, -.9), (-.5, -.9), (-.5, .9), (.5, .9)], [(-.5, 0), (.35, 0)]],
    F=[[(.5, -.9), (-.5, -.9), (-.5, .9)], [(-.5, 0), (.35, 0)]],
    H=[[(-.55, -.9), (-.55, .9)], [(.55, -.9), (.55, .9)], [(-.55, 0), (.55, 0)]],
    K=[[(-.5, -.9), (-.5, .9)], [(.5, -.9), (-.5, .1), (.55, .9)]],
    M=[[(-.65, .9), (-.65, -.9), (0, .3), (.65, -.9), (.65, .9)]],
    N=[[(-.55, .9), (-.55, -.9), (.55, .9), (.55, -.9)]],
    S=[[(.5, -.65), (.2, -.9), (-.25, -.9), (-.5, -.6), (-.4, -.2), (.4, .2), (.5, .6), (.25, .9), (-.25, .9), (-.5, .65)]],
    V=[[(-.6, -.9), (0, .9), (.6, -.9)]],
    X=[[(-.55, -.9), (.55, .9)], [(.55, -.9), (-.55, .9)]],
    Y=[[(-.6, -.9), (0, 0), (.6, -.9)], [(0, 0), (0, .9)]],
    Z=[[(-.55, -.9), (.55, -.9), (-.55, .9), (.55, .9)]])
NAMES = SHAPES + TEXTURES + ["letter_" + g for g in GLYPHS]


def _turn(points, a, s=1.0):
    c, d = math.cos(a) * s, math.sin(a) * s
    return [(c * x - d * y, d * x + c * y) for x, y in points]


def _arc(r, a0, a1, n=40, cx=0.0, cy=0.0):
    return [(cx + r * math.cos(t), cy + r * math.sin(t)) for t in np.linspace(a0, a1, n)]


def _regular(n, r=1.0, phase=-math.pi / 2):
    return [(r * math.cos(phase + 2 * math.pi * k / n), r * math.sin(phase + 2 * math.pi * k / n)) for k in range(n)]


def _star(n, inner):
    outer, inn = _regular(n), _regular(n, inner, -math.pi / 2 + math.pi / n)
    return [p for pair in zip(outer, inn) for p in pair]


def outline(name, rng):
    """The polygons of a shape in [-1, 1]^2: filled ones, then holes."""
    two = 2 * math.pi
    if name == "disc":
        return [_arc(.9, 0, two)], []
    if name == "ring":
        return [_arc(.95, 0, two)], [_arc(rng.uniform(.45, .65), 0, two)]
    if name == "crescent":
        return [_arc(.95, 0, two)], [_arc(.8, 0, two, cx=rng.uniform(.35, .5))]
    if name == "half_disc":
        return [_arc(1, 0, math.pi, cy=-.4)], []
    if name == "oval":
        k = rng.uniform(.4, .6)
        return [[(x, y * k) for x, y in _arc(1, 0, two)]], []
    if name == "square":
        return [_regular(4, 1.1, math.pi / 4)], []
    if name == "frame":
        return [_regular(4, 1.15, math.pi / 4)], [_regular(4, rng.uniform(.55, .75), math.pi / 4)]
    if name == "bar":
        k = rng.uniform(.2, .35)
        return [[(-1, -k), (1, -k), (1, k), (-1, k)]], []
    if name == "triangle":
        return [_regular(3, 1.05)], []
    if name == "diamond":
        k = rng.uniform(.5, .65)
        return [[(0, -1), (k, 0), (0, 1), (-k, 0)]], []
    if name == "pentagon":
        return [_regular(5)], []
    if name == "hexagon":
        return [_regular(6)], []
    if name == "star5":
        return [_star(5, rng.uniform(.35, .5))], []
    if name == "star8":
        return [_star(8, rng.uniform(.5, .65))], []
    if name == "cross":
        k = rng.uniform(.22, .38)
        return [[(-k, -1), (k, -1), (k, -k), (1, -k), (1, k), (k, k), (k, 1), (-k, 1), (-k, k), (-1, k), (-1, -k), (-k, -k)]], []
    if name == "arrow":
        k = rng.uniform(.18, .32)
        return [[(-1, -k), (.1, -k), (.1, -.75), (1, 0), (.1, .75), (.1, k), (-1, k)]], []
    if name == "heart":
        t = np.linspace(0, two, 60)
        return [list(zip(np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 15))], []
    if name == "drop":
        return [[(0, -1.1)] + _arc(.65, -.5, math.pi + .5, cy=.35)], []
    if name == "corner":
        k = rng.uniform(-.4, 0)
        return [[(-.9, -.9), (k, -.9), (k, .9 + k - .9), (.9, .9 + k - .9), (.9, .9), (-.9, .9)]], []
    if name == "tee":
        k = rng.uniform(.2, .35)
        return [[(-.9, -.9), (.9, -.9), (.9, -.9 + 2 * k), (k, -.9 + 2 * k), (k, .9), (-k, .9), (-k, -.9 + 2 * k), (-.9, -.9 + 2 * k)]], []
    raise ValueError(name)


def texture(name, n, rng):
    """A weight in [0, 1] per pixel: the share of the second colour."""
    a, period = rng.uniform(0, math.pi), rng.uniform(.13, .26) * n
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    u, v = math.cos(a) * x + math.sin(a) * y + rng.uniform(0, n), -math.sin(a) * x + math.cos(a) * y + rng.uniform(0, n)
    fu, fv = u / period % 1, v / period % 1
    if name == "stripes":
        return (fu < .5).astype(np.float32)
    if name == "checks":
        return ((fu < .5) ^ (fv < .5)).astype(np.float32)
    if name == "dots":
        return ((fu - .5) ** 2 + (fv - .5) ** 2 < .1).astype(np.float32)
    if name == "waves":
        return (((u + .35 * period * np.sin(2 * math.pi * v / period / 1.6)) / period % 1) < .5).astype(np.float32)
    if name == "grid":
        return ((fu < .22) | (fv < .22)).astype(np.float32)
    if name == "bricks":
        row = np.floor(v / period * 1.8)
        return (((v / period * 1.8) % 1 < .25) | ((u / period * .8 + .5 * (row % 2)) % 1 < .12)).astype(np.float32)
    if name == "rings":
        c = rng.uniform(.3, .7, 2) * n
        return (np.hypot(x - c[0], y - c[1]) / period % 1 < .5).astype(np.float32)
    if name == "speckle":
        k = max(4, int(n / period * 2.2))
        m = Image.fromarray((rng.random((k, k)) * 255).astype(np.uint8)).resize((n, n), Image.BICUBIC)
        return (np.asarray(m) > 128).astype(np.float32)
    raise ValueError(name)


def _blob(rng):
    k = rng.integers(5, 9)
    r = rng.uniform(.7, 1.1, k)
    return [(r[i] * math.cos(2 * math.pi * i / k), r[i] * math.sin(2 * math.pi * i / k)) for i in range(k)]


def _colours(rng):
    """Ground, first and second colour; the first two are far enough apart in grey to be seen."""
    while True:
        c = rng.uniform(10, 245, (3, 3))
        grey = c @ np.array([.3, .59, .11])
        if abs(grey[0] - grey[1]) > 40 and abs(grey[1] - grey[2]) > 40:
            return c


def draw(index, seed):
    """Image `index` of the stream `seed`: (64, 64, 3) uint8 and its class, index mod 40."""
    rng = np.random.default_rng([seed, index])
    label = index % len(NAMES)
    name = NAMES[label]
    n = SIZE * SCALE
    ground, first, second = _colours(rng)
    img = np.broadcast_to(ground, (n, n, 3)).astype(np.float32)
    if rng.random() < .6:  # a slope of light
        a, k = rng.uniform(0, 2 * math.pi), rng.uniform(10, 60)
        y, x = np.mgrid[0:n, 0:n] / n - .5
        img = img + ((math.cos(a) * x + math.sin(a) * y) * k)[..., None]
    if rng.random() < .4:  # a cloudy ground
        m = Image.fromarray((rng.random((6, 6)) * 255).astype(np.uint8)).resize((n, n), Image.BICUBIC)
        img = img + ((np.asarray(m, np.float32) - 128) * rng.uniform(.1, .35))[..., None]
    size = rng.uniform(.26, .43) * n
    angle = rng.uniform(-.35, .35)
    shear = rng.uniform(-.2, .2)
    cx, cy = rng.uniform(.5 - .13, .5 + .13, 2) * n
    squash = rng.uniform(.85, 1.15)

    def place(points, size=size, cx=cx, cy=cy, angle=angle):
        return [(cx + size * (x + shear * y), cy + size * y * squash) for x, y in _turn(points, angle)]

    def paint(mask, colour):
        nonlocal img
        w = np.asarray(mask, np.float32)[..., None] / 255
        img = img * (1 - w) + colour * w

    for _ in range(rng.integers(0, 4)):  # small distractors of one colour
        m = Image.new("L", (n, n))
        a = rng.uniform(0, 2 * math.pi)
        d = rng.uniform(.42, .6) * n
        ImageDraw.Draw(m).polygon(place(_blob(rng), rng.uniform(.04, .12) * n, n / 2 + d * math.cos(a), n / 2 + d * math.sin(a), a), fill=255)
        paint(m, rng.uniform(10, 245, 3))
    m = Image.new("L", (n, n))
    d = ImageDraw.Draw(m)
    if name in SHAPES:
        fill, holes = outline(name, rng)
        if rng.random() < .3 and not holes:  # an outline instead of a surface
            width = int(rng.uniform(4, 8))
            for p in fill:
                q = place(p)
                d.line(q + q[:2], fill=255, width=width, joint="curve")
        else:
            for p in fill:
                d.polygon(place(p), fill=255)
            for p in holes:
                d.polygon(place(p), fill=0)
        paint(m, first)
    elif name in TEXTURES:
        d.polygon(place(_blob(rng), size * 1.2), fill=255)
        w = texture(name, n, rng)[..., None]
        paint(m, first * (1 - w) + second * w)
    else:
        width = int(rng.uniform(5, 14))
        for stroke in GLYPHS[name[-1]]:
            q = place(stroke)
            d.line(q, fill=255, width=width, joint="curve")
            for x, y in (q[0], q[-1]):
                d.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=255)
        paint(m, first)
    out = Image.fromarray(np.clip(img, 0, 255).astype(np.uint8)).resize((SIZE, SIZE), Image.BOX)
    if rng.random() < .4:
        out = out.filter(ImageFilter.GaussianBlur(rng.uniform(.3, 1.0)))
    px = np.asarray(out, np.float32)
    px = px + rng.normal(0, rng.uniform(0, 12), px.shape)
    return np.clip(px, 0, 255).astype(np.uint8), label


def _chunk(job):
    lo, hi, seed = job
    return np.stack([draw(i, seed)[0] for i in range(lo, hi)])


def draw_many(count, seed, processes=2):
    """count images (count, 64, 64, 3) uint8 and labels (count,) int64."""
    jobs = [(lo, min(lo + 500, count), seed) for lo in range(0, count, 500)]
    with mp.get_context("fork").Pool(processes) as pool:
        parts = pool.map(_chunk, jobs, chunksize=1)
    return np.concatenate(parts), np.arange(count) % len(NAMES)


def sheet(path, columns=40, rows=8, seed=1):
    """A contact sheet: one column per class."""
    out = Image.new("RGB", (columns * SIZE, rows * SIZE))
    for i in range(columns * rows):
        out.paste(Image.fromarray(draw(i, seed)[0]), (i % columns * SIZE, i // columns * SIZE))
    out.save(path)


if __name__ == "__main__":
    import sys
    sheet(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.getcwd(), "pretext.png"))
