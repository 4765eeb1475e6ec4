"""Writes random polygons for polygons.c: "h w points x0 y0 …", one a line.

python3 polygons.py >cases; ./polygons <cases >results; paste -d' ' cases results >../polygons.txt
"""
import math
import random

random.seed(7)
for _ in range(120):
    h, w, k, kind = random.randint(1, 60), random.randint(1, 60), random.randint(3, 12), random.randrange(7)
    xy = []
    for i in range(k):
        xy += [
            lambda: (random.uniform(0, w), random.uniform(0, h)),
            lambda: (random.randint(0, w), random.randint(0, h)),
            lambda: (random.uniform(-w, 2 * w), random.uniform(-h, 2 * h)),
            lambda: (round(random.uniform(0, w) * 2) / 2, round(random.uniform(0, h) * 2) / 2),
            lambda: (w / 2 + w * 0.6 * math.cos(2 * math.pi * i / k), h / 2 + h * 0.6 * math.sin(2 * math.pi * i / k)),
            lambda: (random.choice([0, w / 2, w]), random.choice([0, h / 2, h])),
            lambda: (round(random.uniform(-3, w + 3), 1), round(random.uniform(-3, h + 3), 1)),
        ][kind]()
    print(h, w, k, *(repr(float(v)) for v in xy))
