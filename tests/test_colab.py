"""The core notebooks run without an error among Colab's versions of packages: `pytest --slow tests/test_colab.py`.

Two things differ from Colab. Python and torch are those of the environment that runs this test: another build of torch
would bring gigabytes of CUDA libraries. And torchvision, which needs its very torch, is stood in for by the five of its
functions that transformers' image processors call, written with torch; so these processors run, as on Colab, and not
the ones by Pillow that transformers takes where torchvision is missing. Digits may differ, and are not compared.
"""

import json
import os
import subprocess
import venv
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from run_notebooks import NotebookClient  # as mended there, or a slider can make it wait for ever

ROOT = Path(__file__).parents[1]
CORE = ["1.1", "1.2", "2.2", "2.5", "3.1", "3.4", "4.1", "4.4", "4.5"]
NOTEBOOKS = [path for number in CORE for path in ROOT.glob(f"notebooks/{number}-*.ipynb")]
USED = {"ipykernel", "ipython", "ipywidgets", "matplotlib", "numpy", "opencv-python", "pillow", "psutil"}
USED |= {"scikit-image", "scipy", "tqdm", "transformers"}
pytestmark = [pytest.mark.once, pytest.mark.network, pytest.mark.slow]

TORCHVISION = {
    "__init__.py": "",
    "io.py": "ImageReadMode = decode_image = None",
    "transforms/__init__.py": """
from enum import Enum
class InterpolationMode(Enum):
    NEAREST, NEAREST_EXACT, BILINEAR, BICUBIC = "nearest", "nearest-exact", "bilinear", "bicubic"
    BOX, HAMMING, LANCZOS = "box", "hamming", "lanczos"
""",
    "transforms/functional.py": "from torchvision.transforms.v2.functional import *",
    "transforms/v2/__init__.py": "",
    "transforms/v2/functional.py": """
import numpy, torch
from torch.nn.functional import interpolate
from torchvision.transforms import InterpolationMode
def pil_to_tensor(image):
    values = torch.from_numpy(numpy.array(image))
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1)
def resize(image, size, interpolation=InterpolationMode.BILINEAR, antialias=True):
    batch = image.reshape(-1, *image.shape[-3:]).float()
    smooth = {"antialias": antialias} if interpolation.value in ("bilinear", "bicubic") else {}
    resized = interpolate(batch, tuple(size), mode=interpolation.value, **smooth)
    if not image.is_floating_point():
        resized = resized.round().clamp(0, 255).to(image.dtype)
    return resized.reshape(*image.shape[:-2], *size)
def normalize(image, mean, std):
    mean, std = (torch.as_tensor(value, dtype=image.dtype).reshape(-1, 1, 1) for value in (mean, std))
    return (image - mean) / std
def rgb_to_grayscale(image, num_output_channels=1):
    gray = (image.float() * torch.tensor([0.2989, 0.587, 0.114]).reshape(3, 1, 1)).sum(-3, keepdim=True)
    return gray.to(image.dtype).expand(*image.shape[:-3], num_output_channels, *image.shape[-2:])
""",
}


def versions():
    """Colab's, of the packages that the notebooks use."""
    lines = (ROOT / "tests/colab.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if "==" in line and not line.startswith("#")]
    return [str(pin) for pin in pins if pin.name.lower() in USED]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """The environment of a kernel named `colab`."""
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env/bin/python"
    pins = [*versions(), f"torch=={metadata.version('torch').partition('+')[0]}"]
    (folder / "colab.txt").write_text("\n".join(pins))
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", folder / "colab.txt", *pins, ROOT]
    done = subprocess.run(install, capture_output=True, text=True)
    if "No matching distribution" in done.stderr or "NewConnectionError" in done.stderr:
        pytest.skip(f"the package index has not all of Colab's versions: {done.stderr[-500:]}")
    assert done.returncode == 0, done.stderr
    for name, text in TORCHVISION.items():
        file = folder / "standin/torchvision" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    info = folder / "standin/torchvision-0.26.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.26.0\n")
    (info / "RECORD").write_text("torchvision/__init__.py,,\n")
    spec = folder / "share/kernels/colab"
    spec.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    environment = {"PYTHONPATH": str(folder / "standin")}
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Colab", "env": environment}))
    before = os.environ.get("JUPYTER_PATH", "")
    os.environ["JUPYTER_PATH"] = str(folder / "share")
    yield python
    os.environ["JUPYTER_PATH"] = before


def test_the_versions_are_colabs(kernel):
    listed = subprocess.run([kernel, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    assert set(versions()) <= {line.lower() for line in listed.splitlines()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_core_notebook_runs(kernel, path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, kernel_name="colab", timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
