"""`conftest.py`: a short notebook's cells run again from the last to the first, and what they leave behind shows."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[1]


def cell(source, text="", *tags):
    outputs = [new_output("stream", text=f"{text}\n")] if text else []
    return new_code_cell(source, outputs=outputs, execution_count=1, metadata={"tags": list(tags)})


STUB = 'def f(*arguments):\n    return None\n\n\ncheck("PCK", f)'
SLIDER = cell("from ipywidgets import interact\n_ = interact(lambda x: None, x=(0, 9))")
VIEW = "interactive(children=(IntSlider(value=4, description='x', max=9), Output()), _dom_classes=('widget-interact',)…"
SLIDER.outputs = [new_output("display_data", {"text/plain": VIEW})]
DELETES = "try:\n    1 / 0\nexcept ArithmeticError as error:\n    pass"
PIECES = cell("print(1)\nprint(2)")
PIECES.outputs = [new_output("stream", text="1\n"), new_output("stream", text="2\n")]  # as a slow cell's are saved
NOTEBOOKS = {
    "1.1-good": [cell("a = [1, 2]"), cell("print(sum(a))", "3"), cell("b = sorted(a)[::-1]\nprint(b[0])", "2")],
    "1.2-another-thing": [cell("x = 1"), cell("print(x)", "1"), cell("x = 2")],
    "1.3-changed-in-place": [cell("a = []"), cell("a.append(1)\nprint(len(a))", "1")],
    "1.4-deleted": [cell("error = 0"), cell("print(error)", "0"), cell(DELETES)],
    "1.5-not-compared": [
        cell("a = 0"),
        cell("a += 1\nprint(a, '[timing]')", "7 [timing]"),
        cell("print(a)", "9", "nbval-ignore-output"),
        cell("raise SystemExit", "", "nbval-skip"),
    ],
    "1.6-exercise": [cell("from helpers.exercises import check"), cell(STUB, "PCK: not attempted yet."), SLIDER],
    "1.7-printed-in-pieces": [PIECES],
    "01-long": [cell("x = 1"), cell("print(x)", "1"), cell("x = 2")],
}
FAILURES = {  # of the second run; the first has none
    "1.2-another-thing": {"Cell 1 again"},
    "1.3-changed-in-place": {"Cell 1 again"},
    "1.4-deleted": {"Cell 1 again"},
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What came of each item, in order: notebook, item, outcome."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name, cells in NOTEBOOKS.items():
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "-p", "conftest", "--nbval", "-v", folder]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    return re.findall(r"(?m)([\w.-]+)\.ipynb::(Cell \d(?: again)?) ([A-Z]+)", said.split("= FAILURES =")[0])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_cells_run_again_from_the_last_to_the_first(outcomes, name):
    first = [f"Cell {number}" for number in range(len(NOTEBOOKS[name]))]
    again = [] if name == "01-long" else [f"{item} again" for item in reversed(first)]
    assert [item for notebook, item, _ in outcomes if notebook == name] == first + again


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_a_cell_leaves_behind_shows_where_another_meets_it(outcomes, name):
    failed = {item for notebook, item, outcome in outcomes if notebook == name and outcome == "FAILED"}
    assert failed == FAILURES.get(name, set())
