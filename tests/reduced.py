"""Runs pytest as on a processor without the wider instructions, where the last bits of results differ.

It takes pytest's arguments: `python tests/reduced.py --nbval notebooks/1.1-find-keypoints.ipynb`.
"""

import os
import platform
import subprocess
import sys

import numpy as np


def environment():
    """The variables that switch them off in PyTorch, in NumPy and, on x86, in OpenBLAS; elsewhere fewer are needed."""
    variables = {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"}
    if wider := np.__config__.show(mode="dicts")["SIMD Extensions"].get("found"):
        variables["NPY_DISABLE_CPU_FEATURES"] = " ".join(wider)
    if platform.machine() in ("x86_64", "AMD64"):
        variables["OPENBLAS_CORETYPE"] = "Nehalem"
    return os.environ | variables


if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], env=environment()).returncode)
