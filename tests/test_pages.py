"""`helpers.pages`: the corners that it states are those of the page in the picture."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers import pages

pytestmark = pytest.mark.once
PAPER = Image.new("RGB", (300, 420), "white")
DARK = Image.new("RGB", pages.SIZE, "black")
SEEDS = range(25)


def shot(page, seed, behind=DARK):
    image, corners, flags = pages.photograph(page, behind, np.random.default_rng(seed))
    return np.asarray(image, dtype=float), corners, flags


@pytest.mark.parametrize("seed", SEEDS)
def test_corners_enclose_the_page(seed):
    pixels, corners, flags = shot(PAPER, seed)
    if (flags == 1).any():
        pytest.skip("something hides a corner")
    inside = np.float32(
        [[cv2.pointPolygonTest(np.float32(corners), (x, y), True) for x in range(240)] for y in range(320)]
    )
    bright = pixels.mean(2) > pixels.mean(2).max() / 4  # lit from a side
    assert bright[inside > 3].mean() > 0.99 and bright[inside < -3].mean() < 0.01


def test_corners_are_in_the_order_of_their_names():
    page = np.zeros((420, 300, 3), np.uint8)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]])
    for (y, x), colour in zip([(0, 0), (0, 1), (1, 1), (1, 0)], colours, strict=True):
        page[210 * y : 210 * (y + 1), 150 * x : 150 * (x + 1)] = colour
    for seed in SEEDS:
        pixels, corners, flags = shot(Image.fromarray(page), seed)
        middle = corners.mean(0)
        for corner, flag, colour in zip(corners, flags, colours, strict=True):
            x, y = np.rint(corner + 0.4 * (middle - corner)).astype(int)
            if flag == 2 and 0 <= x < 240 and 0 <= y < 320:
                assert np.corrcoef(pixels[y, x], colour)[0, 1] > 0.9


def test_flags_say_what_is_seen():
    seen = [shot(PAPER, seed) for seed in range(150)]
    flags = np.array([flags for _, _, flags in seen])
    corners = np.array([corners for _, corners, _ in seen])
    within = ((corners >= 0) & (corners <= np.array(pages.SIZE) - 1)).all(2)
    np.testing.assert_array_equal(flags == 0, ~within)
    assert 0.03 < (flags == 1).any(1).mean() < 0.3 and 0.7 < within.mean() < 0.99


def test_pictures_and_labels_follow_from_the_seed(tmp_path):
    first, again, other = (pages.labelled(tmp_path / name, 6, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    for file in first.parent.iterdir():
        assert file.read_bytes() == (again.parent / file.name).read_bytes()
    assert first.read_text() != other.read_text()
    assert sorted(file.name for file in first.parent.iterdir()) == [*(f"000{n}.jpg" for n in range(6)), "labels.json"]


def test_what_is_kept_for_measuring_is_in_no_training_picture(tmp_path):
    assert not set(pages.TRAIN) & {*pages.HELD_OUT, *pages.HELD_OUT_PAGES}
    kinds = {}
    for name, held_out in (("train", False), ("test", True)):
        labels = json.loads(pages.labelled(tmp_path / name, 30, seed=3, held_out=held_out, empty=0.2).read_text())
        kinds[name] = {one["attributes"]["page"] for one in labels["annotations"]}
        assert 15 <= len(labels["annotations"]) < 30
    assert kinds == {"train": {"drawn"}, "test": {"drawn", *pages.HELD_OUT_PAGES}}
