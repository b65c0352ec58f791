"""`make site`: each notebook is a page with described figures, folded solutions, and links that lead somewhere."""

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/[0-9].*.ipynb"))


class Page(HTMLParser):
    """What a page asks for: links, what the browser loads, pictures, names to jump to, and what is folded."""

    def __init__(self, path):
        super().__init__()
        self.path, self.links, self.loads, self.pictures, self.names, self.folded = path, [], [], [], set(), 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        self.names |= {a.get("id"), a.get("name")}
        self.folded += tag == "details" and "hide" in a.get("class", "")
        if tag == "a":
            self.links.append(a.get("href", ""))
        elif tag == "img":
            self.pictures.append(a)
            self.loads.append(a["src"])
        elif (tag == "script" and "src" in a) or (tag == "link" and a.get("rel") in ("stylesheet", "preload")):
            self.loads.append(a.get("src") or a["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages by their paths, built in a copy of the project with the packages of this environment."""
    ignore = shutil.ignore_patterns(".git", ".venv", ".*_cache", "build", "__pycache__", "*.safetensors", "*.mp4")
    folder = shutil.copytree(ROOT, tmp_path_factory.mktemp("site") / "copy", ignore=ignore)
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (folder / ".venv/.ready").touch()
    built = subprocess.run(["make", "site"], cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return {path: Page(path) for path in (folder / "build/site").rglob("*.html") if "_static" not in path.parts}


def page_of(site, notebook):
    return next(page for path, page in site.items() if path.stem == notebook.stem)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_page(site, notebook):
    page, cells = page_of(site, notebook), nbformat.read(notebook, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    alts = [output.metadata["image/png"]["alt"] for output in outputs if "image/png" in output.get("data", {})]
    assert [picture["alt"] for picture in page.pictures if "alt" in picture and picture["alt"] in alts] == alts
    assert all(picture.get("alt") for picture in page.pictures)
    assert page.folded == sum("solution" in cell.metadata.get("tags", []) for cell in cells)
    assert any("colab.research.google.com" in link and notebook.name in link for link in page.links)
    assert any(link.endswith(f"_sources/notebooks/{notebook.name}") for link in page.links), "no download"


def test_links_lead_somewhere(site):
    for path, page in site.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or not (to.path or to.fragment):
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            assert target.exists(), f"{path.name}: {link}"
            if to.fragment and target in site:
                assert unquote(to.fragment) in site[target].names, f"{path.name}: {link}"


def test_links_to_the_repository_lead_to_its_files(site):
    for path, page in site.items():
        for link in page.links:
            _, of_repository, file = link.partition("/keypoint-tutorials/blob/v")
            if of_repository and "colab" not in link:
                file = ROOT / file.partition("/")[2].partition("#")[0]
                assert file.exists(), f"{path.name}: {link}"


def test_nothing_is_loaded_from_elsewhere(site):
    for path, page in site.items():
        for load in page.loads:
            if not load.startswith("data:"):
                assert not urlsplit(load).netloc, f"{path.name} loads {load}"
                assert (path.parent / urlsplit(load).path).exists(), f"{path.name}: {load}"
