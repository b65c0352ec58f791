"""WORKSHOP.md: the sums of its timetables, the minutes of its notebooks, and what it says of the core ones."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "WORKSHOP.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"(?m)^\| (\d+):(\d\d) \| (.*) \| (\d*) ?\|$")
TIMETABLES = [list(ROW.finditer(part)) for part in TEXT.split("| from | what | minutes |")[1:]]
CORE = {"1.1", "1.2", "2.2", "2.5", "3.1", "3.4", "4.1", "4.4", "4.5"}


def stated(notebook):
    """The minutes that the README, and so the notebook itself, states."""
    return int(re.search(rf"\]\(notebooks/{re.escape(notebook)}\), (\d+) minutes", README)[1])


@pytest.mark.parametrize("rows", TIMETABLES, ids=lambda rows: f"{len(rows)} rows")
def test_the_sums_are_right(rows):
    begins = [60 * int(row[1]) + int(row[2]) for row in rows]
    assert [int(row[4]) for row in rows[:-1]] == [after - before for before, after in pairwise(begins)]
    assert rows[-1][3] == "end"


@pytest.mark.parametrize("rows", TIMETABLES, ids=lambda rows: f"{len(rows)} rows")
def test_a_notebook_has_its_minutes(rows):
    for row in rows:
        for notebook in re.findall(r"\(notebooks/([1-9][^)]*)\)", row[3]):
            assert stated(notebook) <= int(row[4]) < stated(notebook) + 5, notebook


def test_nobody_sits_for_more_than_two_hours():
    for rows in TIMETABLES:
        together = 0
        for row in rows[:-1]:
            together = 0 if row[3] in ("break", "lunch") else together + int(row[4])
            assert together <= 125, row[0]


def test_the_day_holds_the_core_notebooks_and_each_has_its_notes():
    day = "".join(row[3] for row in TIMETABLES[2])
    assert set(re.findall(r"\*\*\[([\d.]+)\]", day)) == CORE
    notes = TEXT.partition("## Notes on the core notebooks")[2].partition("\n## ")[0]
    paragraphs = {text[2:5]: text for text in notes.strip().split("\n\n") if re.match(r"\*\*\d\.\d", text)}
    assert paragraphs.keys() == CORE
    for number, text in paragraphs.items():
        notebook = next(ROOT.glob(f"notebooks/{number}-*.ipynb")).read_text(encoding="utf-8")
        named = re.search(r"Exercise \*([^*]+)\*", text)[1]
        assert f'check(\\"{named}\\"' in notebook, f"{number} has no exercise {named!r}"
        assert all(part in text for part in ("Say first", "Rooms stall", "When late"))


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)[#)]", TEXT):
        assert (ROOT / target).exists(), target
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in TEXT.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings
