"""A reader's way in: JupyterLab in a browser opens notebook 1.1, runs all cells and moves the first slider."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import nbformat
import pytest
from playwright.sync_api import sync_playwright

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]

# Asked of the page. JupyterLab draws only the cells in view, so the state comes from its model of the notebook.
KERNEL_IS_IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
RESULT = """() => {
    const cells = jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model).filter(cell => cell.outputs);
    const error = cells.flatMap(cell => cell.outputs.toJSON()).find(output => output.output_type === "error");
    const done = cells.every(cell => cell.executionCount && cell.executionState !== "running");
    return error ? error.traceback.join("\\n") : done && "done";
}"""
SCROLL_TO_WIDGET = """() => {
    const notebook = jupyterapp.shell.currentWidget.content;
    const holdsWidget = cell => JSON.stringify(cell.model.outputs?.toJSON() ?? "").includes("widget-view");
    return notebook.scrollToItem(notebook.widgets.findIndex(holdsWidget), "start");
}"""
PICTURE = """cell => {
    const picture = cell.querySelector(".jp-OutputArea img, .jp-OutputArea canvas");
    return picture && (picture.src || picture.toDataURL());
}"""
CHANGE = f"""([cell, before]) => {{
    const error = cell.querySelector("[data-mime-type$=err], [data-mime-type$=error]");
    return error ? error.innerText : ![null, before].includes(({PICTURE})(cell)) && "redrawn";
}}"""

pytestmark = [
    pytest.mark.once,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
]


@pytest.fixture
def address(tmp_path):
    """JupyterLab, serving a copy of notebook 1.1 without its outputs."""
    notebook = nbformat.read(next(NOTEBOOKS.glob("1.1-*.ipynb")), as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, tmp_path / "1.1.ipynb")

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=", f"--ServerApp.root_dir={tmp_path}"]
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "RUNTIME")}
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | folders, stdout=log, stderr=log)
    try:
        wait_for_answer(f"http://127.0.0.1:{port}/api/status", server)
        yield f"http://127.0.0.1:{port}/doc/tree/1.1.ipynb"
    finally:
        server.terminate()
        server.wait(30)


def wait_for_answer(url, server, seconds=120):
    for _ in range(seconds):
        assert server.poll() is None, "JupyterLab did not start"
        try:
            return urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(1)
    raise AssertionError(f"JupyterLab did not answer within {seconds} s")


def test_slider_redraws_its_figure(address, tmp_path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, args=FLAGS, headless=True
        )
        page = browser.pages[0]
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_function(KERNEL_IS_IDLE)

        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        result = page.wait_for_function(RESULT, timeout=300_000).json_value()
        assert result == "done", f"A cell fails:\n{result}"

        page.evaluate(SCROLL_TO_WIDGET)
        cell = page.locator(".jp-Cell:has(.jp-OutputArea img, .jp-OutputArea canvas):has(.widget-slider)").first
        before = cell.evaluate(PICTURE)
        cell.locator(".noUi-handle").first.press("ArrowRight")
        change = page.wait_for_function(CHANGE, arg=[cell.element_handle(), before]).json_value()
        assert change == "redrawn", f"The slider's cell fails:\n{change}"
        browser.close()
