"""The rules that the notebooks keep. A rule yields one message per fault, which names the cell and the remedy."""

import re
from pathlib import Path

import nbformat
import pytest
from clock import minutes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from run_notebooks import picture

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
NAME = re.compile(r"0-preflight|[1-9]\.[1-9]-[a-z0-9-]+")
MINUTES = re.compile(r"(?m)^\| Minutes \| (\d+) to read and do, (\d+) s to run \|$")
BOOTSTRAP = (ROOT / "tests/bootstrap_cell.ipy").read_text().strip()
IGNORED = {"nbval-ignore-output", "nbval-skip"}
LINK = re.compile(r"""\]\(\s*<?([^)\s>]+)|\b(?:src|href)=["']([^"']+)""")
EXERCISE = re.compile(r"(?m)^check\(")
RULES = {"lesson": [], "preflight": []}


def rule(function):
    """For every notebook; `@lesson` for all but the pre-flight."""
    RULES["preflight"].append(function)
    return lesson(function)


def lesson(function):
    RULES["lesson"].append(function)
    return function


def cells(notebook, kind=None):
    """Yield each cell with the name by which a reader finds it."""
    for number, cell in enumerate(notebook.cells, 1):
        if kind in (None, cell.cell_type):
            first_line = cell.source.strip().split("\n")[0][:60]
            yield f"cell {number} ({first_line!r})", cell


def outputs(notebook):
    for name, cell in cells(notebook, "code"):
        for position, output in enumerate(cell.outputs):
            yield name, output, cell.outputs[position + 1 :]


def prose(text):
    """The text without its code, in which a # is no heading and a bracket no link."""
    return re.sub(r"(?ms)^\s*(```|~~~).*?^\s*\1|`[^`\n]*`", "", text)


def kind_of(path):
    return "preflight" if path.stem == "0-preflight" else "lesson"


def length(cell):
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def tags(cell):
    return set(cell.metadata.get("tags", []))


def broken_links(text, folder):
    for target in (a or b for a, b in LINK.findall(prose(text))):
        path = target.split("#")[0]
        if path and not re.match(r"[a-z]+:", path) and not (folder / path).exists():
            yield target


def images_without_alt(text):
    yield from re.findall(r"!\[\s*\]\([^)]*\)", prose(text))
    yield from re.findall(r"""<img(?![^>]*\balt=["'][^"'])[^>]*>""", prose(text))


@rule
def starts_with_the_bootstrap_cell(notebook, path):
    name, cell = next(cells(notebook, "code"), ("the notebook", None))
    if cell is None or cell.source.strip() != BOOTSTRAP:
        yield f"{name}: the first code cell must be the text of tests/bootstrap_cell.ipy; copy it there"


@rule
def is_executed_in_order(notebook, path):
    for expected, (name, cell) in enumerate(cells(notebook, "code"), 1):
        if cell.execution_count != expected:
            yield f"{name}: execution count {cell.execution_count} instead of {expected}; execute all with `make run`"


@rule
def shows_no_error_and_no_warning(notebook, path):
    for name, output, _ in outputs(notebook):
        if output.output_type == "error":
            yield f"{name}: it ends in {output.ename}: {output.evalue}; mend the cell and `make run`"
        elif output.get("name") == "stderr":
            yield f"{name}: it writes to stderr, {output.text[:80]!r}; solve the cause, or silence that one warning"


@rule
def stores_no_widget_state(notebook, path):
    if "widgets" in notebook.metadata:
        yield "metadata.widgets: GitHub refuses to show the notebook; execute it with `make run`, which leaves it out"


@rule
def describes_every_figure(notebook, path):
    for name, output, following in outputs(notebook):
        for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
            alt = output.metadata.get(kind, {}).get("alt")
            caption = following[0].get("data", {}).get("text/markdown", "") if following else ""
            if not alt:
                yield f"{name}: a figure without alt text; show it through helpers.draw, which asks for one"
            elif alt not in caption:
                yield f"{name}: no caption with the figure's alt text after it; show it through helpers.draw"


@rule
def describes_every_image_in_the_text(notebook, path):
    for name, cell in cells(notebook, "markdown"):
        for image in images_without_alt(cell.source):
            yield f"{name}: {image} has no alt text; say between its brackets what it shows"


@rule
def nests_its_headings(notebook, path):
    level = 0
    for name, cell in cells(notebook, "markdown"):
        for marks in re.findall(r"(?m)^(#{1,6})\s", prose(cell.source)):
            if len(marks) > level + 1 or (len(marks) == 1 and level):
                yield f"{name}: level {len(marks)} after level {level}; one heading of level 1, then skip none"
            level = len(marks)
    if notebook.cells[0].cell_type != "markdown" or not notebook.cells[0].source.startswith("# "):
        yield "cell 1: it must open with the title, a heading of level 1"


@rule
def keeps_code_cells_short(notebook, path):
    for name, cell in cells(notebook, "code"):
        if (lines := length(cell)) > 25:
            yield f"{name}: {lines} lines of code, and 25 are the most; split it, or move a function into helpers"


@lesson
def has_at_most_60_cells(notebook, path):
    if (count := len(notebook.cells)) > 60:
        yield f"all cells: {count}, and 60 are the most; join what makes sense only together, or leave something out"


@lesson
def states_its_minutes(notebook, path):
    """In "At a glance" those of the clock, to a tenth, and in the README the same."""
    at_a_glance = [cell.source for _, cell in cells(notebook, "markdown") if "At a glance" in cell.source]
    row = MINUTES.search(at_a_glance[0]) if at_a_glance else None
    if row is None:
        yield 'At a glance: its table needs a row "| Minutes | 35 to read and do, 20 s to run |"'
        return
    stated, computed = int(row[1]), minutes(notebook)
    if abs(stated - computed) > 0.1 * computed:
        yield f"At a glance: {stated} minutes, and by tests/clock.py it is {computed:.0f}; state those, or shorten"
    if stated > 40:
        yield f"At a glance: {stated} minutes, and 40 are the most; leave something out"
    readme = (path.parents[1] / "README.md").read_text(encoding="utf-8")
    after = [re.split(r"[|\n]|\]\(notebooks/", text)[0] for text in readme.split(f"](notebooks/{path.name})")[1:]]
    printed = [int(number) for text in after for number in re.findall(r"(\d+) min", text)]
    if printed != [stated]:
        yield f'README.md: after a link to {path.name}, in the same line, must stand "{stated} minutes"'


@lesson
def has_one_to_three_exercises(notebook, path):
    count = sum("solution" in tags(cell) for _, cell in cells(notebook, "code"))
    if not 1 <= count <= 3:
        yield f"all cells: {count} exercises with a solution; one is the fewest, three are the most"


@rule
def folds_its_solutions(notebook, path):
    for name, cell in cells(notebook, "code"):
        tagged, titled = "solution" in tags(cell), cell.source.startswith("#@title Solution\n")
        if tagged != titled:
            yield f"{name}: a solution has the tag `solution` and the first line `#@title Solution`; add the other one"
        if tagged and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            yield f"{name}: the solution lies open; set jupyter.source_hidden to true in the cell's metadata"
        if tagged and cell.metadata.get("cellView") != "form":
            yield f'{name}: the solution lies open on Colab; set cellView to "form" in the cell\'s metadata'


@lesson
def compares_its_outputs(notebook, path):
    code = [cell for _, cell in cells(notebook, "code")]
    ignored = [cell for cell in code if tags(cell) & IGNORED or re.search(r"(?m)^#\s*NBVAL_(IGNORE|SKIP)", cell.source)]
    if len(ignored) > 0.1 * len(code):
        yield f"all code cells: {len(ignored)} of {len(code)} are not compared, a tenth at most; round or assert"


@rule
def links_to_what_exists(notebook, path):
    for name, cell in cells(notebook, "markdown"):
        for target in broken_links(cell.source, path.parent):
            yield f"{name}: the link to {target} leads nowhere; correct it, relative to {path.parent.name}/"


@lesson
def shows_its_current_picture(notebook, path):
    file = path.parent / "images" / f"{path.stem}.png"
    if (image := picture(notebook)) is None:
        yield "all cells: no figure's cell is tagged `picture`; tag the one that the README shows"
    elif not file.exists() or file.read_bytes() != image:
        yield f"{file.name}: it is not the figure of the cell tagged `picture`; write it with `make run`"


@rule
def is_small_enough(notebook, path):
    if (size := path.stat().st_size / 1e6) > 1.5:
        yield f"the file: {size:.1f} MB, and 1.5 MB is the most; show fewer or smaller figures"


def faults(check, path):
    return list(check(nbformat.read(path, as_version=4), path))


@pytest.mark.parametrize(
    ("path", "check"),
    [
        pytest.param(path, check, id=f"{path.stem}-{check.__name__}")
        for path in NOTEBOOKS
        for check in RULES[kind_of(path)]
    ],
)
def test_notebook(path, check):
    assert not (found := faults(check, path)), f"{path.name} has {len(found)} fault(s):\n" + "\n".join(found)


def test_names_say_part_and_number():
    assert [path.name for path in NOTEBOOKS if not NAME.fullmatch(path.stem)] == []


def defined_twice(notebooks):
    """The functions of the notebooks (name -> notebook) that more than one defines, exercises apart, and where."""
    homes = {}
    for title, notebook in notebooks.items():
        code = [cell.source for _, cell in cells(notebook, "code") if "solution" not in tags(cell)]
        own = "\n".join(source for source in code if not EXERCISE.search(source))
        for name in sorted(set(re.findall(r"(?m)^def (\w+)", own))):
            homes.setdefault(name, []).append(title)
    return {name: where for name, where in homes.items() if len(where) > 1}


def test_no_function_is_defined_in_two_notebooks():
    books = {path.name: nbformat.read(path, as_version=4) for path in NOTEBOOKS if kind_of(path) == "lesson"}
    assert not (found := defined_twice(books)), f"move it into helpers, or give it another name if it differs: {found}"


def test_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not list(broken_links(text, ROOT)), "README.md links to files that don't exist"
    assert not list(images_without_alt(text)), "README.md has images without a text between their brackets"


# The rules themselves: each is seen to pass a good notebook and to find the fault that it is for.


def figure(alt="Two corners", caption="*Two corners*"):
    picture = new_output("display_data", {"image/png": "iVBORw0KGgo="}, metadata={"image/png": {"alt": alt}})
    return [picture, new_output("display_data", {"text/markdown": caption})]


def solution(**metadata):
    metadata = {"tags": ["solution"], "jupyter": {"source_hidden": True}, "cellView": "form"} | metadata
    return new_code_cell("#@title Solution\nanswer = 1", metadata=metadata)


def at_a_glance(stated="13 to read and do, 2 s to run"):
    return f"## At a glance\n\n| | |\n|---|---|\n| Minutes | {stated} |\n"


def good():
    """A notebook without a fault; cells 2 and 4 are the first of code, 6 is a solution."""
    shown = new_code_cell("show()", outputs=figure(), metadata={"tags": ["picture"]})
    code = [new_code_cell(BOOTSTRAP), shown, solution()]
    code += [new_code_cell(f"step({number})") for number in range(16 - len(code))]
    text = ["# Find a corner", "## Look\n\n[design](../README.md) ![a corner](corner.png)", "```\n# no heading\n```"]
    text += [at_a_glance()] + ["Why?"] * (len(code) - len(text) - 1)
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
    pairs = zip(map(new_markdown_cell, text), code, strict=True)
    return new_notebook(cells=[cell for pair in pairs for cell in pair])


def put(notebook, number, **changes):
    notebook.cells[number - 1].update(changes)


def skip_comparison(notebook):
    for number in (28, 30):
        put(notebook, number, metadata={"tags": ["nbval-ignore-output"]})


def say(stated):
    return lambda book: put(book, 7, source=at_a_glance(stated))


def add(count, make):
    return lambda book: book.cells.extend(make() for _ in range(count))


ERROR = new_output("error", ename="NameError", evalue="model_outputs", traceback=[])
WARNING = new_output("stream", name="stderr", text="UserWarning: old")
FAULTS = [
    (starts_with_the_bootstrap_cell, lambda book: put(book, 2, source="import sys"), r"cell 2 \('import sys'\)"),
    (starts_with_the_bootstrap_cell, lambda book: book.update(cells=book.cells[:1]), "the first code cell must be"),
    (is_executed_in_order, lambda book: put(book, 4, execution_count=None), "cell 4 .*None instead of 2"),
    (is_executed_in_order, lambda book: put(book, 6, execution_count=7), "cell 6 .*7 instead of 3"),
    (shows_no_error_and_no_warning, lambda book: put(book, 4, outputs=[ERROR]), "cell 4 .*NameError: model_outputs"),
    (shows_no_error_and_no_warning, lambda book: put(book, 4, outputs=[WARNING]), "cell 4 .*UserWarning"),
    (stores_no_widget_state, lambda book: book.metadata.update(widgets={}), "make run"),
    (describes_every_figure, lambda book: put(book, 4, outputs=figure(alt="")), "cell 4 .*without alt text"),
    (describes_every_figure, lambda book: put(book, 4, outputs=figure(caption="Look")), "cell 4 .*no caption"),
    (describes_every_figure, lambda book: put(book, 4, outputs=figure()[:1]), "cell 4 .*no caption"),
    (describes_every_image_in_the_text, lambda book: put(book, 3, source="![](corner.png)"), "cell 3 .*between its"),
    (describes_every_image_in_the_text, lambda book: put(book, 3, source='<img src="corner.png">'), "cell 3 "),
    (nests_its_headings, lambda book: put(book, 3, source="### Deep"), "cell 3 .*level 3 after level 1"),
    (nests_its_headings, lambda book: put(book, 5, source="# Again"), "cell 5 .*skip none"),
    (nests_its_headings, lambda book: put(book, 1, source="Find a corner"), "cell 1: .*title"),
    (keeps_code_cells_short, lambda book: put(book, 32, source="a = 1\n" * 26), "cell 32 .*26 lines"),
    (has_at_most_60_cells, add(29, new_markdown_cell), "61, and 60 are the most"),
    (states_its_minutes, lambda book: put(book, 7, source="## At a glance"), "needs a row"),
    (states_its_minutes, lambda book: put(book, 7, source=""), "needs a row"),
    (states_its_minutes, say("13 to read and do, a while to run"), "needs a row"),
    (states_its_minutes, say("10 to read and do, 2 s to run"), "10 minutes, and by tests/clock.py it is 13"),
    (states_its_minutes, say("15 to read and do, 2 s to run"), "15 minutes, and by tests/clock.py it is 13"),
    (states_its_minutes, say("12 to read and do, 2 s to run"), 'README.md: .*1.1-corner.* must stand "12 minutes"'),
    (states_its_minutes, add(5, solution), "13 minutes, and by tests/clock.py it is 45"),
    (states_its_minutes, say("41 to read and do, 2 s to run"), "41 minutes, and 40 are the most"),
    (has_one_to_three_exercises, lambda book: put(book, 6, metadata={}), "0 exercises"),
    (has_one_to_three_exercises, add(3, solution), "4 exercises"),
    (folds_its_solutions, lambda book: put(book, 6, source="answer = 1"), "cell 6 .*add the other one"),
    (folds_its_solutions, lambda book: put(book, 6, metadata={}), "cell 6 .*add the other one"),
    (folds_its_solutions, lambda book: put(book, 6, metadata=solution(jupyter={}).metadata), "cell 6 .*lies open"),
    (folds_its_solutions, lambda book: put(book, 6, metadata=solution(cellView="").metadata), "cell 6 .*Colab"),
    (compares_its_outputs, skip_comparison, "2 of 16"),
    (compares_its_outputs, lambda book: [put(book, n, source="# NBVAL_SKIP") for n in (28, 30)], "2 of 16"),
    (links_to_what_exists, lambda book: put(book, 3, source="[next](02.ipynb#start)"), "cell 3 .*02.ipynb#start"),
    (links_to_what_exists, lambda book: put(book, 3, source='<img src="gone.png">'), "cell 3 .*gone.png"),
    (shows_its_current_picture, lambda book: put(book, 4, metadata={}), "tagged `picture`"),
    (shows_its_current_picture, lambda book: book.cells[3].outputs[0].data.update({"image/png": "AAAA"}), "make run"),
    (is_small_enough, lambda book: put(book, 4, outputs=[new_output("stream", text="." * 1_500_000)]), "1.5 MB"),
]


@pytest.fixture
def shelf(tmp_path):
    """A folder of notebooks and its surroundings; saves a notebook there and returns its path."""
    readme = "| [Seek](notebooks/1.2-seek.ipynb), 7 minutes; [Corner](notebooks/1.1-corner.ipynb) <br> find, 13 min |"
    (tmp_path / "README.md").write_text(readme)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/corner.png").touch()
    (tmp_path / "notebooks/images").mkdir()
    (tmp_path / "notebooks/images/1.1-corner.png").write_bytes(picture(good()))

    def save(notebook):
        path = tmp_path / "notebooks/1.1-corner.ipynb"
        nbformat.write(notebook, path)
        return path

    return save


def test_a_good_notebook_passes(shelf):
    path = shelf(good())
    assert [fault for check in RULES["lesson"] for fault in faults(check, path)] == []


@pytest.mark.parametrize(("check", "spoil", "message"), FAULTS)
def test_a_fault_is_found(shelf, check, spoil, message):
    spoil(notebook := good())
    assert re.search(message, "\n".join(faults(check, shelf(notebook))))


def test_every_rule_is_tried():
    assert {check for check, _, _ in FAULTS} == set(RULES["lesson"])


def test_a_function_that_two_notebooks_define_is_found():
    books = {title: good() for title in ("seek", "find")}
    put(books["seek"], 8, source="def near(a, b):\n    return a - b\n\n\ndef once():\n    def inner(): ...\n")
    put(books["find"], 10, source="def near(points): ...\n\n\ndef inner(): ...\n")
    for book in books.values():
        put(book, 6, source="#@title Solution\ndef my_answer(): ...\n")
        put(book, 12, source='def my_answer(): ...\n\n\ncheck("answer", my_answer)')
    assert defined_twice(books) == {"near": ["seek", "find"]}


def test_the_clock_counts_what_is_read():
    text = new_markdown_cell("word " * 400)  # 2 minutes
    code = new_code_cell("a = 1\n\n" * 16 + "panel.plot(a)\n" * 24, outputs=[*figure(), *figure()])  # 2 + 1 + 1
    assert minutes(new_notebook(cells=[text, code, solution(), solution()])) == 6 + 2 * 6.5 + 3
    assert minutes(new_notebook(cells=[new_code_cell("paxes = figs = drawn = 1")])) == 3 + 1 / 8
