"""`make room`: a folder from which an empty environment installs everything without an index, and notebook 1.1 runs.

pytest --slow tests/test_room.py
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.once, pytest.mark.network, pytest.mark.slow]
OUT_OF_REACH = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """The folder, unpacked from the zip, elsewhere than it was made."""
    ignore = shutil.ignore_patterns(".git", ".venv", ".*_cache", "build", "__pycache__", "*.egg-info")
    folder = shutil.copytree(ROOT, tmp_path_factory.mktemp("room") / "copy", ignore=ignore)
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (folder / ".venv/.ready").touch()
    made = subprocess.run(["make", "room"], cwd=folder, capture_output=True, text=True)
    if "No matching distribution" in made.stderr:
        pytest.skip("the package index can't be reached")
    assert made.returncode == 0, made.stdout + made.stderr
    place = tmp_path_factory.mktemp("usb stick")  # with a space, as names of folders have
    with zipfile.ZipFile(folder / "build/room.zip") as archive:
        archive.extractall(place)
    shutil.rmtree(folder)
    return place / "room"


def test_it_has_no_cuda(room):
    wheels = [path.name for path in room.glob("wheels/*")]
    assert not [name for name in wheels if name.startswith(("nvidia", "triton"))]
    assert all(name.endswith(".whl") for name in wheels)


def test_an_empty_environment_installs_and_runs(room):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    environment |= OUT_OF_REACH | {"PYTHON": getattr(sys, "_base_executable", sys.executable)}
    installed = subprocess.run(["sh", room / "install.sh"], env=environment, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert "Everything works here." in installed.stdout
    path = next(room.glob("notebooks/1.1-*.ipynb"))
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.update({"execution_count": None, "outputs": []} if cell.cell_type == "code" else {})
    nbformat.write(notebook, path)
    run = [room / ".venv/bin/python", ROOT / "tests/run_notebooks.py", path]  # nbconvert can wait for ever at a slider
    executed = subprocess.run(run, env=environment, capture_output=True, text=True)
    assert executed.returncode == 0, executed.stderr
    cells = nbformat.read(path, as_version=4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")


def test_wheels_for_another_system_are_said(room, tmp_path):
    other = tmp_path / "room"
    (other / "wheels").mkdir(parents=True)
    (other / "wheels/torch-2.13.0-cp39-cp39-win_amd64.whl").touch()
    for name in ("install.sh", "requirements.txt"):
        shutil.copy(room / name, other)
    python = getattr(sys, "_base_executable", sys.executable)
    failed = subprocess.run(
        ["sh", other / "install.sh"], env=os.environ | {"PYTHON": python}, capture_output=True, text=True
    )
    assert failed.returncode == 1
    assert "wheels is for another system" in failed.stdout
    assert "torch-2.13.0-cp39-cp39-win_amd64.whl" in failed.stdout
