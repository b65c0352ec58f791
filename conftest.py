"""Any cell can be run again: after the last cell of a lesson, nbval runs each once more, from last to first.

And tests that make whole environments, marked `slow`, run only with `--slow`.
"""

import re
from copy import deepcopy

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

LESSON = re.compile(r"[1-9]\.[1-9]-")  # part and number


class Again(IPyNbCell):
    """A cell's second run, in the same kernel, compared with the same saved outputs as the first."""

    def reportinfo(self):
        path, line, description = super().reportinfo()
        return path, line, f"{description} again"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if isinstance(collector, IPyNbFile) and LESSON.match(collector.path.name) and report.passed:
        for first in reversed(list(report.result)):
            # A copy, since nbval's comparison joins the pieces of a saved stream in place.
            same = {"cell_num": first.cell_num, "cell": deepcopy(first.cell), "options": first.options}
            report.result.append(Again.from_parent(collector, name=f"{first.name} again", **same))
    return report


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run what is marked slow, too: it installs environments")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="it installs an environment; pytest --slow runs it"))
