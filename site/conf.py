"""Pages to read, from the notebooks' committed outputs: `make site`. Nothing is executed, nothing is fetched."""

import base64
import hashlib
import html
import re
import tomllib
from pathlib import Path

import nbformat
from docutils.nodes import SkipNode
from latex2mathml.converter import convert

PAGES = Path(__file__).resolve().parent  # `make site` copies the project's texts and notebooks here
PROJECT = tomllib.loads((PAGES / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = f"{PROJECT['urls']['Repository']}/blob/v{PROJECT['version']}"

project, author, release = "Keypoint tutorials", "", PROJECT["version"]
copyright = "Apache-2.0"
extensions = ["myst_nb"]
html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_theme_options = {
    "repository_url": PROJECT["urls"]["Repository"],
    "repository_branch": f"v{release}",
    "use_repository_button": True,
    "use_download_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "show_toc_level": 2,
}
html_show_sourcelink = html_show_copyright = False
html_math_renderer = "mathml"
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # from a content network otherwise
nb_mime_priority_overrides = [("html", "image/gif", 1)]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
exclude_patterns = ["README.md"]  # index.md includes it

BADGE = re.compile(r" ?\[!\[Open in Colab\][^)]*\)\]\([^)]*\)")
LINK = re.compile(r"(?<=\]\()([\w./-]+)(?=[#)])")
MOVED = "Open the notebook to move the slider.\n"


def lead(text, folder):
    """A text without badges; links to the README lead to the first page, those to what is no page to the repository."""

    def link(found):
        target = (folder / found[1]).resolve()
        if target == PAGES / "README.md":
            return "index.md"
        return found[1] if target.exists() else f"{SOURCES}/{target.relative_to(PAGES)}"

    return LINK.sub(link, BADGE.sub("", text))


def prepare(path):
    """A notebook for reading: solutions folded, set-up and badges left out, sliders said to be elsewhere."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = lead(cell.source, path.parent)
        elif "google.colab" in cell.source:
            cell.metadata["tags"] = ["remove-cell"]
        elif "solution" in cell.metadata.get("tags", []):
            cell.metadata.tags.append("hide-cell")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.get("text/plain", "").startswith("interactive("):
                data["text/plain"] = MOVED
            for kind in data.keys() & {"image/png", "image/gif"}:
                digest = hashlib.sha256(base64.b64decode(data[kind])).hexdigest()
                ALT[digest] = output.metadata.get(kind, {}).get("alt", "")
    nbformat.write(notebook, path)


def describe(app, pagename, templatename, context, doctree):
    """Give each figure of a page the alternative text that its notebook has for it."""
    context["body"] = re.sub(
        r'alt="[^"]*?([0-9a-f]{64})\.\w+"',
        lambda found: f'alt="{html.escape(ALT.get(found[1], ""))}"',
        context.get("body", ""),
    )


def formula(self, node):
    block = node.tagname == "math_block"
    text = convert(node.astext(), display="block" if block else "inline")
    self.body.append(f'<div class="formula">{text}</div>' if block else text)
    raise SkipNode


ALT = {}
for path in PAGES.glob("notebooks/*.ipynb"):
    prepare(path)
for path in PAGES.rglob("*.md"):
    path.write_text(lead(path.read_text(encoding="utf-8"), path.parent), encoding="utf-8")


def setup(app):
    app.connect("html-page-context", describe)
    app.add_html_math_renderer("mathml", inline_renderers=(formula, None), block_renderers=(formula, None))
