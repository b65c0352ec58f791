"""Notebooks with `SOURCE = "hub"`: their cells for it run on small random networks of the hub's classes."""

import json
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from helpers import checkpoints

JOINTS = Path(__file__).parents[1] / "notebooks/4.1-joints.ipynb"
FACES = JOINTS.with_name("3.2-measure-landmarks.ipynb")
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
    """What notebook 4.1's cells define that load the detector and give boxes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "find", lambda name, source: {"person-boxes": folder}[name])
        known = {"SOURCE": "hub", "checkpoints": checkpoints, "np": np, "torch": torch}
        known |= {name: getattr(transformers, name) for name in ("AutoImageProcessor", "AutoModelForObjectDetection")}
        for cell in nbformat.read(JOINTS, as_version=4).cells:
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


# Notebooks of part 3


@pytest.fixture(scope="module")
def sapiens2(tmp_path_factory):
    """A Sapiens2 for poses as on the hub, but small and random."""
    folder = tmp_path_factory.mktemp("sapiens2")
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    heads = {"num_key_value_heads_per_layer": [4, 4], "num_first_full_attention_layers": 1}
    head = {"upsample_out_channels": [16, 16], "conv_out_channels": [16]}
    config = transformers.Sapiens2Config(**size, **heads, head_config=head, image_size=[256, 192], num_labels=308)
    torch.manual_seed(0)
    transformers.Sapiens2ForPoseEstimation(config).save_pretrained(folder)
    processor = {"image_processor_type": "Sapiens2ImageProcessor", "size": {"height": 256, "width": 192}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def test_section_5_of_notebook_3_2_measures_a_network_of_the_hubs_class(sapiens2, monkeypatch, capsys):
    find = checkpoints.find
    monkeypatch.setattr(checkpoints, "find", lambda name, source="bundled": sapiens2 if source == "hub" else find(name))
    code = [cell.source for cell in nbformat.read(FACES, as_version=4).cells if cell.cell_type == "code"]
    known = {}
    for text in (*code[1:3], *(source for source in code if "SAPIENS2" in source)):
        exec(text.replace('SOURCE = "bundled"', 'SOURCE = "hub"'), known)
    assert capsys.readouterr().out.count("Sapiens2, ") == 2
    points = known["points"]
    missing = np.isnan(points).all(1)
    assert points.shape == (68, 2) and set(np.flatnonzero(~missing)) == set(known["known"])
    x, y, side, _ = known["face_box"]["grace_hopper"]
    assert (np.abs(points[~missing] - [x + side / 2, y + side / 2]) < 1.5 * side).all()
