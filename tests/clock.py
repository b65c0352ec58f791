"""The minutes that a reader needs for a notebook: `python tests/clock.py notebooks/*.ipynb` prints them.

Counted are words, lines of code, and of those the ones that only plot, exercises and figures. Solutions are not read.
"""

import re
import sys
from pathlib import Path

import nbformat

PLOTTING = re.compile(r"\b(draw|axes|fig|panels?|plt|ax)\b")


def minutes(notebook):
    text = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    read = [cell.source for cell in code if "solution" not in cell.metadata.get("tags", [])]
    lines = [line for source in read for line in source.splitlines() if line.strip()]
    plotting = sum(bool(PLOTTING.search(line)) for line in lines)
    figures = sum("image/png" in output.get("data", {}) for cell in code for output in cell.outputs)
    return (
        sum(len(source.split()) for source in text) / 200
        + (len(lines) - plotting) / 8
        + plotting / 24
        + 6.5 * (len(code) - len(read))  # an exercise has one solution
        + 0.5 * figures
        + 3  # to set up
    )


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        print(f"{path}: {minutes(nbformat.read(path, as_version=4)):.0f} minutes")
