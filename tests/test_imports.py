"""`import helpers` is light, and refuses versions that are too old with the command that mends it."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import helpers

ROOT = Path(__file__).resolve().parents[1]


def run(code, *folders):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*folders, ROOT]))}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd="/")


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [("import helpers", set()), ("from helpers import checkpoints, media", {"numpy", "PIL", "huggingface_hub"})],
)
def test_import_is_light(statement, allowed):
    heavy = {"torch", "transformers", "cv2", "matplotlib", "skimage", "scipy", "numpy", "PIL", "huggingface_hub"}
    result = run(f"{statement}; import sys; print(*sys.modules)")
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) & heavy <= allowed


@pytest.mark.parametrize("version", ["4.57.1", "5.9", "5.14.9.dev0"])
def test_an_old_package_is_refused_with_its_remedy(tmp_path, version):
    folder = tmp_path / f"transformers-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n")
    result = run("import helpers", tmp_path)
    minimum = helpers.MINIMUM["transformers"]
    assert f"ImportError: These notebooks need transformers >= {minimum} (found {version})" in result.stderr
    assert f'pip install --upgrade "transformers>={minimum}"' in result.stderr


@pytest.mark.parametrize("version", ["5.15", "5.15.0+local", "5.16.0.dev0", "6.0rc1", "10"])
def test_a_newer_package_is_fine(tmp_path, version):
    folder = tmp_path / f"transformers-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n")
    assert run("import helpers", tmp_path).returncode == 0


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(helpers.MINIMUM, "no-such-package", "1.0")
    with pytest.raises(ImportError, match=r'no-such-package >= 1\.0 \(not installed\).*"no-such-package>=1\.0"'):
        helpers._check_versions()


def test_minimum_versions_are_those_of_the_project_file():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in dependencies)
    assert bounds == {**bounds, **helpers.MINIMUM}
