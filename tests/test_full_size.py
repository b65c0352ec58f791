"""Notebook 04 with `SOURCE = "hub"`: its cells for person boxes, on a random network of the hub's class."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from helpers import checkpoints

NOTEBOOK = Path(__file__).parents[1] / "notebooks/04-fitness-tracking.ipynb"
NAMES = {0: "person", 1: "bicycle", 2: "ball"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An RT-DETR as on the hub, but small and random."""
    folder = tmp_path_factory.mktemp("person-boxes")
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=16, hidden_sizes=[32, 64, 128, 256], depths=[1] * 4, out_features=["stage2", "stage3", "stage4"]
    )
    config = transformers.RTDetrConfig(
        backbone_config=backbone, encoder_in_channels=[64, 128, 256], num_queries=30, decoder_layers=2, id2label=NAMES
    )
    torch.manual_seed(0)
    transformers.RTDetrForObjectDetection(config).save_pretrained(folder)
    transformers.RTDetrImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cells(folder):
    """What the notebook's cells define that load the detector and give boxes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "find", lambda name, source: {"person-boxes": folder}[name])
        known = {"SOURCE": "hub", "checkpoints": checkpoints, "np": np, "torch": torch}
        known |= {name: getattr(transformers, name) for name in ("AutoImageProcessor", "AutoModelForObjectDetection")}
        for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
            if cell.cell_type == "code" and "detector" in cell.source and "import" not in cell.source:
                exec(cell.source, known)
    return known


def test_the_cells_run_on_a_network_of_the_hubs_class(cells):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8))
    boxes = cells["person_boxes"](image, sure=0.0)
    assert boxes.ndim == 2 and boxes.shape[1] == 4 and np.isfinite(boxes).all()
    assert cells["person_boxes"](image, sure=1.0).shape == (0, 4)


def test_boxes_are_of_persons_alone_in_pixels_from_the_corner_and_the_largest_first(cells, monkeypatch):
    middles = torch.tensor([[0.25, 0.5, 0.1, 0.4], [0.5, 0.5, 0.5, 0.5], [0.7, 0.4, 0.2, 0.8], [0.5, 0.5, 1, 1]])
    logits = torch.full((1, 4, 3), -9.0)
    for row, (label, height) in enumerate(((0, 3.0), (1, 3.0), (0, 3.0), (0, -3.0))):  # the last is a person, hardly
        logits[0, row, label] = height
    found = SimpleNamespace(logits=logits, pred_boxes=middles[None])
    config = SimpleNamespace(id2label=NAMES)

    class Detector:
        def __call__(self, pixel_values, **_):
            assert pixel_values.shape == (1, 3, 640, 640)
            return found

    Detector.config = config
    monkeypatch.setitem(cells, "detector", Detector())
    boxes = cells["person_boxes"](Image.new("RGB", (200, 100)))
    np.testing.assert_allclose(boxes, [[120, 0, 40, 80], [40, 30, 20, 40]], atol=1e-3)
