"""`helpers.checkpoints`: bundled folders, and the hub as a fake cache and a fake server on loopback present it."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import transformers

from helpers import checkpoints

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[1]
HUB_ID = "magic-leap-community/superpoint"
FIND_ON_HUB = """
from helpers import checkpoints
checkpoints.TIMEOUT_S = 1
try:
    print(checkpoints.find("superpoint", source="hub"))
except checkpoints.CheckpointUnavailable as error:
    print("unavailable:", error)
"""


def run(code, **environment):
    """What `code` prints in a Python of its own: huggingface_hub reads its settings once, when it is imported."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    environment = {**inherited, "PYTHONPATH": str(ROOT), "NO_PROXY": "*", **environment}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# Bundled

BUNDLED = [name for name, entry in checkpoints.TABLE.items() if entry.bundled_licence]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_folder_is_complete_small_and_free_of_pickles(name):
    folder = Path(checkpoints.find(name))
    files = {path.name for path in folder.iterdir()}
    assert {*checkpoints.TABLE[name].files, "config.json", "model.safetensors", "README.md"} <= files
    assert {Path(file).suffix for file in files} <= {".json", ".safetensors", ".md"}
    assert (folder / "model.safetensors").stat().st_size <= 6_000_000


@pytest.mark.parametrize("name", [name for name in BUNDLED if checkpoints.TABLE[name].hub_id])
def test_bundled_checkpoint_loads_through_the_class_of_the_table(name):
    folder = checkpoints.find(name)
    _, report = getattr(transformers, checkpoints.TABLE[name].model_class).from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(report.values()), report
    transformers.AutoImageProcessor.from_pretrained(folder)


def test_a_class_of_our_own_loads_all_of_its_weights_in_single_precision():
    module, name = checkpoints.TABLE["body-lifter"].model_class.rsplit(".", 1)
    model_class = getattr(importlib.import_module(module), name)
    model = model_class.from_pretrained(checkpoints.find("body-lifter"), strict=True)
    assert all(p.dtype == torch.float32 for p in model.parameters()) and not model.training


def test_what_is_not_on_the_hub_says_so_without_asking_it(monkeypatch):
    monkeypatch.setattr(checkpoints, "_hub", None)
    with pytest.raises(
        checkpoints.CheckpointUnavailable, match=r"'body-lifter' has no counterpart on the hub.*bundled"
    ):
        checkpoints.find("body-lifter", source="hub")


def test_what_is_not_bundled_says_so():
    with pytest.raises(checkpoints.CheckpointUnavailable, match=r"'person-boxes' is not bundled: use source=\"hub\""):
        checkpoints.find("person-boxes")


def test_incomplete_bundle_names_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_folder", lambda name: tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(checkpoints.CheckpointUnavailable, match=r"'superpoint'.*lacks preprocessor_config.*full clone"):
        checkpoints.find("superpoint")
    with pytest.raises(
        checkpoints.CheckpointUnavailable, match=r"'body-lifter'.*lacks model.safetensors.*repository\.$"
    ):
        checkpoints.find("body-lifter")


def test_unknown_name_and_source():
    with pytest.raises(ValueError, match=r"'superpont'; there are: .*superpoint"):
        checkpoints.find("superpont")
    with pytest.raises(ValueError, match=r"'web'; use \"bundled\" or \"hub\""):
        checkpoints.find("superpoint", source="web")


def test_the_readme_holds_the_current_table():
    readme = Path(__file__).parents[1] / "README.md"
    assert checkpoints.markdown_table() in readme.read_text(encoding="utf-8")


def test_markdown_table_has_a_row_for_each_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_folder", lambda name: tmp_path)
    assert "| absent, " in checkpoints.markdown_table()
    (tmp_path / "model.safetensors").write_bytes(bytes(1_234_567))
    header, rule, *rows = checkpoints.markdown_table().splitlines()
    assert len(rows) == len(checkpoints.TABLE)
    for name, row in zip(checkpoints.TABLE, rows, strict=True):
        assert row.count("|") == header.count("|") == rule.count("|")
        assert f"`{name}`" in row and (checkpoints.TABLE[name].hub_id or "| none |") in row
        assert ("1.2 MB, " if name in BUNDLED else "| none |") in row


# Hub: the cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A Hugging Face cache that holds a tiny random SuperPoint under the real id."""
    cache = tmp_path_factory.mktemp("cache")
    repository, commit = cache / f"models--{HUB_ID.replace('/', '--')}", "0123456789abcdef0123456789abcdef01234567"
    snapshot = repository / "snapshots" / commit
    config = transformers.SuperPointConfig(
        encoder_hidden_sizes=[4, 4, 4, 4], decoder_hidden_size=8, descriptor_decoder_dim=8
    )
    transformers.SuperPointForKeypointDetection(config).save_pretrained(snapshot)
    processor = {"image_processor_type": "SuperPointImageProcessor", "size": {"height": 48, "width": 64}}
    (snapshot / "preprocessor_config.json").write_text(json.dumps(processor))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return cache


def test_cached_checkpoint_is_found_and_loads_offline(cache):
    code = """
from helpers import checkpoints
from transformers import AutoImageProcessor, SuperPointForKeypointDetection
found = checkpoints.find("superpoint", source="hub")
model = SuperPointForKeypointDetection.from_pretrained(found)
processor = AutoImageProcessor.from_pretrained(found)
print(found, model.config.encoder_hidden_sizes, processor.size["height"])
"""
    assert run(code, HF_HUB_CACHE=str(cache), HF_HUB_OFFLINE="1") == f"{HUB_ID} [4, 4, 4, 4] 48"


def test_empty_cache_offline_gives_cause_and_remedy(tmp_path):
    message = run(FIND_ON_HUB, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    for part in ("unavailable:", HUB_ID, "offline mode", "HF_HUB_OFFLINE", f"hf download {HUB_ID}", "bundled"):
        assert part in message


@pytest.mark.parametrize("file", checkpoints.FILES)
def test_incomplete_cache_is_not_enough(cache, tmp_path, file):
    copy = shutil.copytree(cache, tmp_path / "cache")
    next(copy.rglob(file)).unlink()
    assert "offline mode" in run(FIND_ON_HUB, HF_HUB_CACHE=str(copy), HF_HUB_OFFLINE="1")


# Hub: the server


@pytest.fixture(scope="module")
def hub():
    """A stand-in for the hub; the first folder of the address chooses how it answers."""
    answers = {
        "open": (200, ""),
        "gated": (403, "GatedRepo"),
        "private": (401, "RepoNotFound"),
        "no-weights": (404, "EntryNotFound"),
        "broken": (500, ""),
    }
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            case = self.path.split("/")[1]
            if case == "silent":
                released.wait()
                return
            status, code = answers[case]
            if case == "no-weights" and not self.path.endswith("model.safetensors"):
                status, code = 200, ""
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", '"tag"')
            self.send_header("Content-Length", "2")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        released.set()
        running.shutdown()


def test_reachable_checkpoint_is_found_without_a_download(hub, tmp_path):
    assert run(FIND_ON_HUB, HF_HOME=str(tmp_path), HF_ENDPOINT=f"{hub}/open") == HUB_ID
    assert not list(tmp_path.rglob("*.json")) + list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("case", "cause", "remedy"),
    [
        ("gated", "gated", "hf auth login"),
        ("private", "not found on the hub, or is private", "hf auth login"),
        ("no-weights", "not found on the hub", "Look at https://huggingface.co/"),
        ("broken", "500", "hf download"),
        ("silent", "timed out", "Check the network"),
    ],
)
def test_refusals_give_cause_and_remedy(hub, tmp_path, case, cause, remedy):
    message = run(FIND_ON_HUB, HF_HOME=str(tmp_path), HF_ENDPOINT=f"{hub}/{case}")
    for part in ("unavailable:", HUB_ID, cause, remedy, "bundled"):
        assert part in message


def test_unreachable_hub_gives_cause_and_remedy(tmp_path):
    message = run(FIND_ON_HUB, HF_HOME=str(tmp_path), HF_ENDPOINT="http://127.0.0.1:9")
    for part in ("unavailable:", HUB_ID, "refused", "Check the network", "bundled"):
        assert part in message
