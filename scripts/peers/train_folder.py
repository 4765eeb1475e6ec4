#!/usr/bin/env python3
"""PyTorch peer for fine-tuning on an image folder, end to end from the JPEG files: the protocol of README.md.

  train_folder.py --check                                   logits against the stored reference tensors, then stop
  train_folder.py --method lora --targets qkv --dtype bf16  10 epochs on grocery_classify of the real data

DIR holds train/<class>/*, val/<class>/* and test/<class>/*; classes are the folders of train, in alphabetical order.
The real data is the folder VISLORA_TESTDATA (default: ../shared/real beside the repository).
The ONNX file is a ViT with the initializer names of vit_tiny_timmstyle there; its weights go into the ViT of nets.py.

Output: one JSON line per epoch and a final one.
  images_per_s  training images / epoch_wall_s; epoch_wall_s covers opening and decoding the files, augmentation and all steps
                (with workers also their start), not the validation (val_wall_s); cpu_s is the main process alone.
                Probe without augmentation: only epoch 1 reads the images, later ones use the kept features
  test_acc_*    top-1 on test, always in f32, at the last epoch and with the tensors of the best val epoch
                (highest val accuracy, ties by lower val loss); val in the training arithmetic (probe: f32)
  total_wall_s  from the start of the program to the end of both tests, imports included
  peak_rss_mb   of the main process; peak_rss_worker_mb of the largest loader process (shared pages counted in both)

Seeds: head and LoRA 100+seed, order of epoch e 7919*seed+e, augmentation 10007*seed+e.  With --workers 0 these are the very
streams of the recorded runs; with workers the augmentation draws other numbers (the same ones again for the same N).
Needs the Debian packages python3-torch python3-torchvision python3-onnx python3-numpy python3-pil (and libopenblas0-openmp, see README.md)."""
import argparse, contextlib, copy, glob, json, math, os, resource, subprocess, sys, time

import processor

HERE = os.path.dirname(os.path.abspath(__file__))
REAL = os.environ.get("VISLORA_TESTDATA") or os.path.join(HERE, "..", "..", "..", "shared", "real")

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument("--onnx", default="", help="default vit_tiny_timmstyle/*.onnx of the real data")
ap.add_argument("--data", default=os.path.join(REAL, "grocery_classify"))
ap.add_argument("--method", default="lora", choices=["probe", "lora", "full"])
ap.add_argument("--targets", default="qkv", help="qkv | all (every linear and the patch convolution), or a list of qkv,proj,mlp,patch")
ap.add_argument("--rank", type=int, default=8)
ap.add_argument("--alpha", type=float, default=0, help="0 = 2 * rank")
ap.add_argument("--epochs", type=int, default=10)
ap.add_argument("--stop-after", type=int, default=0, help="end after this many epochs of the schedule (for timing)")
ap.add_argument("--batch", type=int, default=16)
ap.add_argument("--lr", type=float, default=0, help="0 = 1e-3 lora, 1e-4 full, 1e-2 probe")
ap.add_argument("--weight-decay", type=float, default=.01)
ap.add_argument("--seed", type=int, default=0)
ap.add_argument("--dtype", default="f32", choices=["f32", "bf16"], help="bf16 = autocast; weights and optimiser state stay f32")
ap.add_argument("--no-augment", action="store_true", help="train on the evaluation image")
ap.add_argument("--threads", type=int, default=2)
ap.add_argument("--workers", type=int, default=0, help="loader processes")
ap.add_argument("--check", action="store_true", help="compare the logits with ref/ beside the ONNX file (at most 1e-4) and stop")
ap.add_argument("--isa", default="auto", choices=["auto", "avx512", "avx2", "default"], help="ATEN_CPU_CAPABILITY; auto: the best that the processor has")
ap.add_argument("--blas", default="openmp", choices=["openmp", "any"], help="any: take the installed flavour as it is")
ap.add_argument("--blas-dir", default=os.environ.get("PEER_BLAS_DIR", ""), help="folder with (or above) the openmp libopenblas.so.0")
ap.add_argument("--malloc", default="tuned", choices=["tuned", "glibc"], help="tuned: keep freed pages")
a = ap.parse_args()
if a.isa == "auto":
    a.isa = processor.best_isa()


def openmp_blas_dir():
    if a.blas_dir:
        hits = sorted(glob.glob(os.path.join(a.blas_dir, "**", "libopenblas.so.0"), recursive=True), key=lambda p: (p.count(os.sep), p))
        if not hits:
            sys.exit(f"no libopenblas.so.0 in or under {a.blas_dir}")
        return os.path.dirname(os.path.abspath(hits[0]))
    try:
        out = subprocess.run(["dpkg", "-L", "libopenblas0-openmp"], capture_output=True, text=True).stdout
    except OSError:
        return ""
    for line in out.splitlines():
        if line.endswith("/libopenblas.so.0") and "openmp" in line:
            return os.path.dirname(line)
    return ""


# The BLAS, the thread pools and the ISA can only be chosen before torch is loaded: set them and start again.
if "PEER_FOLDER_START" not in os.environ:
    t = str(a.threads)
    os.environ.update(PEER_FOLDER_START=str(time.time()), OMP_NUM_THREADS=t, OPENBLAS_NUM_THREADS=t, MKL_NUM_THREADS=t)
    if a.isa != "default":
        os.environ["ATEN_CPU_CAPABILITY"] = a.isa
    processor.tell_blas(a.isa)
    if a.malloc == "tuned":
        os.environ.update(MALLOC_MMAP_THRESHOLD_="4294967296", MALLOC_TRIM_THRESHOLD_="17179869184", MALLOC_TOP_PAD_="67108864")
    d = openmp_blas_dir() if a.blas == "openmp" else ""
    if d:
        os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, (d, os.environ.get("LD_LIBRARY_PATH"))))
    os.execv(sys.executable, [sys.executable] + sys.argv)
START = float(os.environ["PEER_FOLDER_START"])

import warnings
warnings.filterwarnings("ignore")
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
import PIL, torchvision.transforms as T
from PIL import Image

sys.dont_write_bytecode = True
sys.path.insert(0, HERE)
import nets

torch.set_num_threads(a.threads)
torch.zeros(2, 2) @ torch.zeros(2, 2)


def blas_flavour():
    """openmp | pthread | serial | unknown, from the libraries mapped into this process."""
    found = set()
    with open("/proc/self/maps") as f:
        for line in f:
            lib = line.split()[-1]
            if "openblas" in lib:
                real = os.path.realpath(lib)
                hit = [k for k in ("openmp", "pthread", "serial") if "openblas-" + k in real]
                base = os.path.basename(real)
                found.update(hit or (["openmp"] if base.startswith("libopenblaso") else ["pthread"] if base.startswith("libopenblasp") else []))
    return ",".join(sorted(found)) or "unknown"


def warn(text):
    print("!" * 100 + "\nWARNING: " + text + "\n" + "!" * 100, file=sys.stderr)


BLAS = blas_flavour()
if BLAS != "openmp":
    warn(f"OpenBLAS flavour is '{BLAS}', not 'openmp'. It keeps a second thread pool beside OpenMP: with 2 threads a ViT\n"
         "         step is SLOWER than with 1. These speeds must not be used as the peer's.\n"
         "         apt-get install libopenblas0-openmp  (or unpack it and pass --blas-dir)")
if a.isa == "avx512" and "avx512f" not in open("/proc/cpuinfo").read():
    warn("ATEN_CPU_CAPABILITY=avx512 was set, but this processor has no AVX-512: use --isa avx2.")


def check(net, path):
    d = os.path.join(os.path.dirname(path), "ref")
    worst = 0
    for run in json.load(open(os.path.join(d, "ref.json"))):
        i, o = run["inputs"][0], run["outputs"][0]
        x = torch.from_numpy(np.fromfile(os.path.join(d, i["file"]), "<f4").reshape(i["dims"]))
        r = np.fromfile(os.path.join(d, o["file"]), "<f4")
        with torch.no_grad():
            y = net(x).numpy().ravel()
            with torch.autocast("cpu", torch.bfloat16):
                b = net(x).float().numpy().ravel()
            m = copy.deepcopy(net)                             # fresh adapters must change nothing
            n = len(nets.inject(m, "all", 8, 16, "head"))
            l = m(x).numpy().ravel()
        err = float(abs(y - r).max())
        worst = max(worst, err, float(abs(l - r).max()))
        print(json.dumps(dict(check=i["file"], max_abs_f32=err, max_abs_bf16=round(float(abs(b - r).max()), 4), max_abs_fresh_lora=float(abs(l - r).max()),
              lora_sites=n, logits=[round(float(r.min()), 3), round(float(r.max()), 3)], top1=int(y.argmax()), top1_equal=bool(y.argmax() == r.argmax()))), flush=True)
    ok = worst <= 1e-4
    print(json.dumps(dict(check="ok" if ok else "FAILED", worst=worst, limit=1e-4, blas=BLAS)), flush=True)
    sys.exit(0 if ok else 1)


path = a.onnx or (sorted(glob.glob(os.path.join(REAL, "vit_tiny_timmstyle", "*.onnx"))) or sys.exit("no --onnx"))[0]
net, size = nets.load_vit(path)
if a.check:
    check(net, path)

norm = [T.ToTensor(), T.Normalize(.5, .5)]
bil = T.InterpolationMode.BILINEAR
eval_tf = T.Compose([T.Resize(size * 8 // 7, bil), T.CenterCrop(size)] + norm)
train_tf = T.Compose([T.RandomResizedCrop(size, scale=(.5, 1.), ratio=(3 / 4, 4 / 3), interpolation=bil), T.RandomHorizontalFlip()] + norm)
CLASSES = sorted(e.name for e in os.scandir(os.path.join(a.data, "train")) if e.is_dir())


class Folder(torch.utils.data.Dataset):
    def __init__(s, split, tf):
        s.tf, s.items = tf, []
        for i, c in enumerate(CLASSES):
            s.items += [(f, i) for f in sorted(glob.glob(os.path.join(glob.escape(os.path.join(a.data, split, c)), "*")))
                        if f.lower().endswith((".jpg", ".jpeg", ".png", ".bmp", ".webp"))]
        if not s.items:
            sys.exit(f"no images in {a.data}/{split}")

    def __len__(s):
        return len(s.items)

    def __getitem__(s, i):
        f, y = s.items[i]
        with Image.open(f) as im:
            return s.tf(im.convert("RGB")), y


class Order:
    """Batches of indices: the permutation of the current epoch, or the plain order."""
    def __init__(s, n, shuffle):
        s.n, s.shuffle, s.epoch = n, shuffle, 0

    def __len__(s):
        return math.ceil(s.n / a.batch)

    def __iter__(s):
        p = torch.randperm(s.n, generator=torch.Generator().manual_seed(7919 * a.seed + s.epoch)).tolist() if s.shuffle else list(range(s.n))
        return iter([p[i:i + a.batch] for i in range(0, s.n, a.batch)])


def loader(split, tf, shuffle=False, workers=0):
    ds = Folder(split, tf)
    return torch.utils.data.DataLoader(ds, batch_sampler=Order(len(ds), shuffle), num_workers=workers, persistent_workers=workers > 0 and shuffle,
                                       generator=torch.Generator().manual_seed(10007 * a.seed))   # not the global stream


train = loader("train", eval_tf if a.no_augment else train_tf, True, a.workers)
val, test = loader("val", eval_tf, workers=a.workers), loader("test", eval_tf, workers=a.workers)

torch.manual_seed(100 + a.seed)
net.head = nn.Linear(net.head.in_features, len(CLASSES))
a.lr = a.lr or dict(lora=1e-3, full=1e-4, probe=1e-2)[a.method]
sites = nets.inject(net, a.targets, a.rank, a.alpha or 2 * a.rank, "head") if a.method == "lora" else []
if a.method == "lora" and not sites:
    sys.exit(f"no layer matches --targets {a.targets}")
if a.method == "probe":
    for n, p in net.named_parameters():
        p.requires_grad_(n.startswith("head."))
params = [p for p in net.parameters() if p.requires_grad]
opt = torch.optim.AdamW(params, lr=a.lr, weight_decay=a.weight_decay)
plain = contextlib.nullcontext
amp = (lambda: torch.autocast("cpu", torch.bfloat16)) if a.dtype == "bf16" else plain
total = len(train) * a.epochs
warm = max(1, round(.1 * total))


def schedule(t):
    return (t + 1) / warm if t < warm else .5 * (1 + math.cos(math.pi * (t - warm) / max(1, total - warm)))


def evaluate(dl, ctx):
    out, ys = [], []
    with torch.no_grad():
        for x, y in dl:
            with ctx():
                out.append(net(x).float())
            ys.append(y)
    o, y = torch.cat(out), torch.cat(ys)
    return (o.argmax(1) == y).float().mean().item(), F.cross_entropy(o, y).item()


cache = {}                                                     # probe without augmentation: the features of each image, once


def features(x, idx):
    if a.no_augment and all(i in cache for i in idx):
        return torch.stack([cache[i] for i in idx])
    with torch.no_grad(), (plain() if a.no_augment else amp()):
        f = net.features(x).float()
    if a.no_augment:
        cache.update(zip(idx, f.clone()))
    return f


def epoch_batches():
    """(x, y, idx); x is None where the cache already has the features."""
    order = list(train.batch_sampler)
    if a.method == "probe" and a.no_augment and len(cache) == len(train.dataset):
        for idx in order:
            yield None, torch.tensor([train.dataset.items[i][1] for i in idx]), idx
    else:
        for (x, y), idx in zip(train, order):
            yield x, y, idx


def u():
    return sum(getattr(resource.getrusage(resource.RUSAGE_SELF), f) for f in ("ru_utime", "ru_stime"))


setup = time.time() - START
step, best, walls = 0, None, []
for e in range(min(a.stop_after or a.epochs, a.epochs)):
    train.batch_sampler.epoch = e
    losses, t0, c0 = [], time.perf_counter(), u()
    torch.manual_seed(10007 * a.seed + e)
    for x, y, idx in epoch_batches():
        for g in opt.param_groups:
            g["lr"] = a.lr * schedule(step)
        if a.method == "probe":
            o = net.head(features(x, idx))
        else:
            with amp():
                o = net(x)
        loss = F.cross_entropy(o.float(), y)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        losses.append(loss.item())
        step += 1
    wall, cpu = time.perf_counter() - t0, u() - c0
    walls.append(wall)
    t1 = time.perf_counter()
    acc, vl = evaluate(val, plain if a.method == "probe" else amp)
    if best is None or (acc, -vl) > best[0]:
        best = ((acc, -vl), e + 1, [p.detach().clone() for p in params])
    n = len(train.dataset)
    print(json.dumps(dict(epoch=e + 1, train_loss=round(sum(losses) / len(losses), 4), val_acc=round(acc, 4), val_loss=round(vl, 4), images_per_s=round(n / wall, 2),
          epoch_wall_s=round(wall, 2), val_wall_s=round(time.perf_counter() - t1, 2), cpu_s=round(cpu, 2), load=round(os.getloadavg()[0], 1))), flush=True)

t2 = time.perf_counter()
rss_train = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
last = tacc, tloss = evaluate(test, plain)
if best[1] != len(walls):
    with torch.no_grad():
        for p, q in zip(params, best[2]):
            p.copy_(q)
    last = evaluate(test, plain)
train._iterator = None                                         # ends the loader processes, so that their memory is counted
W = sorted(walls)
n = len(train.dataset)
r = dict(final=True, method=a.method, targets=a.targets if sites else None, sites=len(sites), rank=a.rank if sites else None, lr=a.lr, seed=a.seed,
    epochs=len(walls), schedule_epochs=a.epochs, batch=a.batch, dtype=a.dtype, augment=not a.no_augment, classes=len(CLASSES),
    images=[n, len(val.dataset), len(test.dataset)], val_acc=round(acc, 4), test_acc=round(tacc, 4), test_loss=round(tloss, 4), best_epoch=best[1],
    best_val_acc=round(best[0][0], 4), test_acc_best_val=round(last[0], 4), images_per_s=round(n / W[0], 2), images_per_s_median=round(n / W[len(W) // 2], 2),
    epoch_wall_s=round(W[0], 2), train_wall_s=round(sum(walls), 2), test_wall_s=round(time.perf_counter() - t2, 2), setup_wall_s=round(setup, 2),
    total_wall_s=round(time.time() - START, 2), peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), peak_rss_train_mb=rss_train,
    peak_rss_worker_mb=round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024) if a.workers else 0,
    trainable_params=sum(p.numel() for p in params), threads=a.threads, workers=a.workers, isa=a.isa, blas=BLAS, malloc=a.malloc,
    torch=torch.__version__, pillow=PIL.__version__)
print(json.dumps(r), flush=True)
