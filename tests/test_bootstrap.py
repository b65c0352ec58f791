"""The first cell of every notebook, run for real: on a stand-in for Colab it installs what is missing and no more."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[1]
CELL = ROOT / "tests/bootstrap_cell.ipy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MISSING = "tqdm"  # small, and Python only
VERSIONS = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
RUN_CELL = f"""
import sys, types
sys.modules["google.colab"] = types.ModuleType("google.colab")
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_cell(open({str(CELL)!r}).read()).raise_error()
import helpers
"""


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def colab(tmp_path):
    """A fresh virtual environment that sees the tested packages, without this project and without `MISSING`."""
    venv.create(tmp_path / "colab", with_pip=True)
    preinstalled = tmp_path / "preinstalled"
    preinstalled.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith((MISSING, "keypoint_tutorials", "__editable__", "pip")):
            (preinstalled / entry.name).symlink_to(entry)
    python = tmp_path / "colab/bin/python"
    run(python, "-m", "pip", "uninstall", "--yes", "setuptools")  # Python 3.11 brings an old one
    site_packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site_packages, "preinstalled.pth").write_text(str(preinstalled))
    return python


@pytest.fixture
def release(tmp_path):
    """Environment variables that lead git from the published address to a release of the working tree."""
    git = ["git", f"--git-dir={tmp_path / 'release.git'}", f"--work-tree={ROOT}"]
    author = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    run(*git, "init", "--quiet")
    run(*git, "add", "--all")
    run(*git, *author, "commit", "--quiet", "--message=release")
    run(*git, "tag", f"v{PROJECT['version']}")
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(tmp_path / 'release.git').as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": PROJECT["urls"]["Repository"],
    }


def test_cell_is_short():
    assert len(CELL.read_text().splitlines()) <= 8


def test_elsewhere_nothing_happens(tmp_path):
    environment = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "PATH": ""}
    assert run(sys.executable, "-m", "IPython", CELL, cwd=tmp_path, env=environment) == ""
    assert not (tmp_path / "versions.txt").exists()


@pytest.mark.network
@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_on_colab_what_is_missing_is_added_and_nothing_else_changes(colab, release, tmp_path):
    probe = [colab, "-m", "pip", "download", "--quiet", "--no-deps", "--retries=1", "--timeout=15", "--dest", tmp_path]
    if subprocess.run([*map(str, probe), MISSING], capture_output=True).returncode:
        pytest.skip("the package index can't be reached")
    before = json.loads(run(colab, "-I", "-c", VERSIONS))
    assert "torch" in before
    assert MISSING not in before

    path = f"{colab.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | release | {"PATH": path, "IPYTHONDIR": str(tmp_path / "ipython")}
    output = run(colab, "-c", RUN_CELL, cwd=tmp_path, env=environment)

    after = json.loads(run(colab, "-I", "-c", VERSIONS))
    added = {name: after[name] for name in after.keys() - before.keys()}
    assert added.pop(PROJECT["name"]) == PROJECT["version"], output
    assert added.keys() == {MISSING}, output
    assert {name: after[name] for name in before} == before
    helpers = Path(run(colab, "-I", "-c", "import helpers; print(helpers.__file__)")).parent
    assert helpers.is_relative_to(tmp_path / "colab")
    assert files(helpers) == files(ROOT / "helpers"), "package-data in pyproject.toml leaves some of these out"


def files(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
