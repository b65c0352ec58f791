"""The pre-flight: everything passes where everything is there, and each failure is provoked and names its remedy."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file, save_file

from helpers import checkpoints, media, preflight

pytestmark = pytest.mark.once
Free = namedtuple("Free", "available free", defaults=[0])
NETWORKS = ("superpoint", "face-landmarks", "body-pose")
NOWHERE = checkpoints.Checkpoint(task="", model_class="")


def unreachable(*_, **__):
    raise ConnectionError("no route to the hub")


def read_only():
    raise PermissionError("read-only file system")


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """As if this project were installed: its tests run from a clone as well."""
    monkeypatch.setattr(
        metadata, "requires", lambda name: ["numpy>=2", "torch", "transformers", "scipy", "x; extra == 'y'"]
    )
    monkeypatch.setattr(checkpoints, "get_hf_file_metadata", unreachable)


def lines(capsys):
    passed = preflight.check()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(preflight.CHECKS) + 1
    assert (printed[-1] == "Everything works here.") == passed
    return {line.split()[1]: line for line in printed[:-1]}, printed[-1]


def without(package):
    def version(name, known=metadata.version):
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return known(name)

    return version


def damaged(folder, change):
    """Bundled checkpoints copied to a folder, the weights of each changed."""
    for name in NETWORKS:
        shutil.copytree(Path(checkpoints.__file__).parent / name, folder / name)
        change(folder / name / "model.safetensors")
    return lambda name: folder / name


def cut(weights):
    weights.write_bytes(weights.read_bytes()[:1000])


def zero(weights):
    save_file({name: value * 0 for name, value in load_file(weights).items()}, weights, {"format": "pt"})


def cut_film(folder):
    path = folder / "cut.mp4"
    path.write_bytes(media.clip("workout")[0].read_bytes()[:2000])
    return lambda name: (path, {})


PROVOKE = {  # the checks that fail, how, and what their lines say
    "an old package": (["packages"], lambda m, _: m.setattr(metadata, "requires", lambda _: ["numpy>=99"]),
                       r"numpy>=99 (found"),
    "no package": (["packages"], lambda m, _: m.setattr(metadata, "version", without("scipy")),
                   "scipy (not installed) needed. Run `make lab`"),
    "not installed": (["packages"], lambda m, _: m.setattr(metadata, "requires", without("keypoint-tutorials")),
                      "keypoint-tutorials is not installed. Run `make lab`"),
    "memory": (["memory"], lambda m, _: m.setattr(psutil, "virtual_memory", lambda: Free(1e9)),
               "1.0 GB are free, 2 are needed. Close"),
    "disk": (["disk"], lambda m, _: m.setattr(shutil, "disk_usage", lambda _: Free(0, 5e8)),
             "0.5 GB are free in"),
    "no folder": (["disk"], lambda m, _: m.setattr(preflight.tempfile, "TemporaryFile", read_only),
                  "can't be written to"),
    "no widgets": (["widgets"], lambda m, _: m.setitem(sys.modules, "ipywidgets", None),
                   "pip install --upgrade ipywidgets jupyterlab_widgets"),
    "no extension": (["widgets"], lambda m, _: m.setattr(metadata, "version", without("jupyterlab_widgets")),
                     "pip install --upgrade ipywidgets jupyterlab_widgets"),
    "no photographs": (["photographs"], lambda m, _: m.setattr(media, "find_spec", lambda _: None),
                       "pip install --force-reinstall scikit-image"),
    "a damaged film": (["film"], lambda m, folder: m.setattr(media, "clip", cut_film(folder)), "cut.mp4"),
    "no weights": (list(NETWORKS), lambda m, folder: m.setattr(checkpoints, "_folder", damaged(folder, Path.unlink)),
                   "lacks model.safetensors. Install from a full clone"),
    "cut weights": (list(NETWORKS), lambda m, folder: m.setattr(checkpoints, "_folder", damaged(folder, cut)),
                    "can't be loaded"),
    "weights of zero": (list(NETWORKS), lambda m, folder: m.setattr(checkpoints, "_folder", damaged(folder, zero)),
                        "lone the repository again."),
    "no lifter": (["body-lifter"], lambda m, _: m.setitem(checkpoints.TABLE, "body-lifter", NOWHERE),
                  "is not bundled"),
}  # fmt: skip


def test_everything_passes_and_the_hub_is_no_failure(capsys):
    found, _ = lines(capsys)
    assert {line[:4] for name, line in found.items() if name != "hub"} == {"ok  "}
    assert found["hub"].startswith("--") and "no route to the hub" in found["hub"]


@pytest.mark.parametrize("case", PROVOKE)
def test_a_failure_is_one_line_with_its_remedy(case, monkeypatch, capsys, tmp_path):
    failing, provoke, says = PROVOKE[case]
    others = [name for name in ("memory", "disk", "film") if name not in failing]  # the quick ones
    monkeypatch.setattr(preflight, "CHECKS", {name: preflight.CHECKS[name] for name in [*failing, *others]})
    provoke(monkeypatch, tmp_path)
    found, verdict = lines(capsys)
    assert [name for name, line in found.items() if line.startswith("FAIL")] == failing
    assert all(says in found[name] for name in failing)
    assert verdict == f"Not ready: {', '.join(failing)}."


@pytest.mark.parametrize(("code", "status"), [("", 0), ("psutil.virtual_memory = lambda: Free", 1)])
def test_the_exit_status_says_it(code, status):
    script = f"""
import psutil, runpy, sys
from importlib import metadata
class Free: available = 0
metadata.requires = lambda name: []
{code}
runpy.run_module("helpers.preflight", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True,
                          env=os.environ | {"HF_HUB_OFFLINE": "1"})  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
