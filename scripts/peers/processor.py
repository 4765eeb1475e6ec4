"""What PyTorch has to be told of the processor before it is loaded."""
import os


def best_isa():
    """For ATEN_CPU_CAPABILITY: avx512 or avx2, default where the system does not say."""
    try:
        return "avx512" if " avx512f " in open("/proc/cpuinfo").read() else "avx2"
    except OSError:
        return "default"


def tell_blas(isa):
    """An OpenBLAS that is older than the processor takes the kernels of 2004."""
    if isa != "default":
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX" if isa == "avx512" else "Haswell")
