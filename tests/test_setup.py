"""What surrounds the notebooks: requirements, conda's file, the Makefile, the repository's address, the tools."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook
from nbval.plugin import get_sanitize_patterns
from packaging.requirements import Requirement
from reduced import environment

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
RANGES = [Requirement(line) for line in sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])]
PINS = {
    pin.name: pin
    for file in ("requirements.txt", "training/requirements.txt")
    for line in (ROOT / file).read_text().splitlines()
    if (text := line.split("#")[0].strip())
    for pin in [Requirement(text)]
}
COLAB = {  # in autumn 2026
    "ipywidgets": "7.7.1",
    "numpy": "2.1.0",
    "opencv-python-headless": "5.0.0",
    "torch": "2.11.0",
    "transformers": "5.15.0",
}


def make(*arguments, folder):
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path):
    """A copy of the project without what git, make and the tools keep in it, and without the weights."""
    ignore = shutil.ignore_patterns(".git", ".venv", ".*_cache", "build", "__pycache__", "*.egg-info", "*.safetensors")
    return shutil.copytree(ROOT, tmp_path / "copy", ignore=ignore)


@pytest.fixture
def python(tmp_path):
    """Makes a Python that is the real one but for the line of code that it runs first."""

    def pretend(line, version):
        script = tmp_path / "python"
        script.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" ||'
            f' exec {sys.executable} -c "import sys; {line}; exec(sys.argv[1])" "$2"\n'
        )
        script.chmod(0o755)
        return f"PYTHON={script}"

    return pretend


def test_pins_are_exact():
    assert all(re.fullmatch(r"==[0-9.]+", str(pin.specifier)) for pin in PINS.values()), "a pin reads name==version"


@pytest.mark.parametrize("allowed", RANGES, ids=lambda requirement: requirement.name)
def test_ranges_hold_the_tested_and_colabs_versions(allowed):
    tested = str(PINS[allowed.name].specifier).removeprefix("==")
    assert tested in allowed.specifier
    assert COLAB.get(allowed.name, tested) in allowed.specifier


def test_colabs_python_is_in_range():
    assert "3.13" in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_conda_environment_installs():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, nested = environment["dependencies"]
    assert "3.11.0" in Requirement(python).specifier
    assert pip == "pip"
    arguments = [word for line in nested["pip"] for word in shlex.split(line)]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-build-isolation", *arguments]
    replay = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert replay.returncode == 0, replay.stderr
    assert "Would install keypoint-tutorials" in replay.stdout


def test_setup_is_done_once(copy):
    assert "pip install" in make("--dry-run", "lab", folder=copy).stdout
    (copy / ".venv").mkdir()
    (copy / ".venv/.ready").touch()
    assert make("--dry-run", "lab", "LAB_FLAGS=--no-browser", folder=copy).stdout.splitlines() == [
        ".venv/bin/jupyter lab --LabApp.default_url=/lab/tree/notebooks/1.1-find-keypoints.ipynb --no-browser"
    ]


@pytest.mark.parametrize("target", ["lab", "test"])
@pytest.mark.parametrize(
    ("line", "version"),
    [("sys.version_info = (3, 9, 2)", "3.9.2"), ("sys.modules['ensurepip'] = None", "3.11.2")],
    ids=["old", "without venv"],
)
def test_unfit_python_gets_one_clear_line(copy, python, line, version, target):
    result = make(target, python(line, version), folder=copy)
    assert result.returncode
    assert len(result.stderr.splitlines()) == 1
    assert "Python 3.11 or later with its venv module is needed" in result.stderr
    assert f"says Python {version}." in result.stderr
    assert not (copy / ".venv").exists()


def test_fit_python_passes(copy, python):
    assert "pip install" in make("--dry-run", "lab", python("pass", "3.11.0"), folder=copy).stdout


def links(folder):
    """Each place that names this project's own repository: file, owner/name, tag, and for Colab the notebook."""
    installs = r"git\+https://github\.com/([\w.-]+/[\w.-]+)@([\w.]+)()"
    pulls = r"(?:repo=https://github\.com|/gh)/([\w.-]+/[\w.-]+?)(?:&branch=|/)(v[\w.]+)"
    pulls += r"[&?]urlpath=lab/tree/(?:keypoint-tutorials/)?([\w./-]+ipynb)"
    opens = r"colab\.[\w.]+/github/([\w.-]+/[\w.-]+)/blob/([\w.]+)/([\w./-]+)"
    for path in [
        folder / "README.md",
        folder / "WORKSHOP.md",
        folder / "tests/bootstrap_cell.ipy",
        *sorted(folder.glob("notebooks/*.ipynb")),
    ]:
        text = path.read_text(encoding="utf-8")
        yield from ((path.name, *found) for pattern in (installs, opens, pulls) for found in re.findall(pattern, text))


def test_links_agree():
    for name, repository, tag, notebook in links(ROOT):
        assert repository == REPOSITORY, f"{name} names {repository}; `make links REPO={REPOSITORY}` stamps every place"
        assert tag == f"v{PROJECT['version']}", f"{name} names {tag}, and pyproject.toml another version"
        assert (ROOT / notebook).exists(), f"{name} links to {notebook}, which doesn't exist"


def test_make_links_stamps_every_place(copy):
    before = list(links(copy))
    assert make("links", "REPO=a/b", folder=copy).returncode == 0
    assert list(links(copy)) == [(name, "a/b", tag, notebook) for name, _, tag, notebook in before]
    left = [path for path in copy.rglob("*") if path.is_file() and f"/{REPOSITORY}".encode() in path.read_bytes()]
    assert not left, "add these files to STAMPED in the Makefile"
    assert make("links", f"REPO={REPOSITORY}", folder=copy).returncode == 0
    assert (copy / "pyproject.toml").read_text() == (ROOT / "pyproject.toml").read_text()
    assert not list(copy.rglob("*.old"))


def test_make_links_asks_whose():
    assert "make links REPO=owner/name" in make("links", folder=ROOT).stderr


FEATURES = """
import numpy, torch
print(numpy.__config__.show(mode="dicts")["SIMD Extensions"].get("found", []), torch.backends.cpu.get_cpu_capability())
"""


def test_the_second_pass_has_the_wider_instructions_off():
    command = [sys.executable, "-c", FEATURES]
    off = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert off.stdout.split() == ["[]", "DEFAULT"], off.stderr


def test_the_second_pass_takes_pytests_arguments_and_returns_its_code(tmp_path):
    (tmp_path / "test_it.py").write_text("import os\ndef test_it():\n    assert os.environ['OMP_NUM_THREADS'] == '1'\n")
    command = [sys.executable, ROOT / "tests/reduced.py", tmp_path, "-k"]
    assert subprocess.run([*command, "test_it"], capture_output=True).returncode == 0
    assert subprocess.run([*command, "nothing"], capture_output=True).returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_every_sanitize_rule_is_read():
    text = (ROOT / "tests/sanitize.cfg").read_text()
    rules = dict(get_sanitize_patterns(text))
    assert len(rules) == text.count("\nregex:") > 0


@pytest.mark.parametrize(
    ("output", "kept"),
    [
        ("12 ms on one core [timing]\n3 corners\n", "[timing]\n3 corners\n"),
        ("after: 2.7 px (2.3 to 2.9) [trained here]\n4 corners\n", "[trained here]\n4 corners\n"),
        ("<Camera at 0x7f3a5c0e1d90>", "<Camera at 0xADDRESS>"),
        ("640 x 480 pixels, 0.12 px off, id 0x1f", "640 x 480 pixels, 0.12 px off, id 0x1f"),
    ],
)
def test_sanitize_leaves_out_only_what_differs_between_runs(output, kept):
    for pattern, replacement in get_sanitize_patterns((ROOT / "tests/sanitize.cfg").read_text()):
        output = re.sub(pattern, replacement, output)
    assert output == kept


def test_run_keeps_nothing_of_one_run(tmp_path):
    path = tmp_path / "slider.ipynb"
    source = "from ipywidgets import interact\n_ = interact(lambda x: print(x), x=(0, 9))"
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), path)
    subprocess.run([sys.executable, ROOT / "tests/run_notebooks.py", path], check=True, capture_output=True)
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[0].execution_count == 1
    assert list(notebook.cells[0].outputs[0].data) == ["text/plain"]
    assert "widgets" not in notebook.metadata
    assert "execution" not in notebook.cells[0].metadata


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_code_is_tidy(command):
    ruff = subprocess.run([sys.executable, "-m", "ruff", *command.split(), ROOT], capture_output=True, text=True)
    assert ruff.returncode == 0, f"`ruff check --fix` and `ruff format` mend most of it\n{ruff.stdout}{ruff.stderr}"
