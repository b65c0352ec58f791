"""Execute notebooks in place, for committing: without what belongs to this one run, its timestamps and its widgets.

The figure of the cell tagged `picture` becomes images/<notebook>.png, for the README and the notebook's own top.
"""

import base64
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.output_widget import OutputWidget

# What `interact` shows is dropped below. Sent back to the kernel, as nbclient does, it sometimes swallows the kernel's
# next reply, and the run waits for ever.
OutputWidget.send = lambda *_, **__: None


def picture(notebook):
    """The PNG bytes of the figure in the cell tagged `picture`; None where there is none."""
    for cell in notebook.cells:
        if "picture" in cell.metadata.get("tags", []):
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    return None


def run(path):
    notebook = nbformat.read(path, as_version=4)
    options = {"record_timing": False, "coalesce_streams": True}  # or a slow cell's text is saved in pieces
    NotebookClient(notebook, **options, resources={"metadata": {"path": path.parent}}).execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    nbformat.write(notebook, path)
    if image := picture(notebook):
        file = path.parent / "images" / f"{path.stem}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(image)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        print(f"Executing {path} ...", flush=True)
        run(path)
