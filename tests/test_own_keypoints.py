"""The functions that notebook 5.1 defines, as `benchmarks.own_keypoints` runs them, and the figures committed."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from benchmarks import own_keypoints as benchmark
from helpers import checkpoints, coco, pages

NAMES = list(pages.CORNERS)


@pytest.fixture(scope="module")
def lesson():
    return benchmark.lesson()


def test_places_are_where_the_keypoints_are_in_the_crop(lesson):
    processor, y, x = lesson["processor"], *np.indices((320, 240))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        keypoints = rng.uniform(60, [180, 260], (4, 2))
        row = seed % 4
        dot = 255 * np.exp(-((x - keypoints[row, 0]) ** 2 + (y - keypoints[row, 1]) ** 2) / 72)
        image = Image.fromarray(dot.astype(np.uint8)).convert("RGB")
        view = lesson["training_view"](image, keypoints, np.full(4, 2), rng, processor, NAMES, augment=seed > 0)
        crop, places, known = view
        assert crop.shape == (3, 128, 96) and known.tolist() == [1, 1, 1, 1]
        x_in_crop, y_in_crop = place = places[row] / lesson["CELLS"]
        if 6 < x_in_crop < 89 and 6 < y_in_crop < 121:
            blurred = ndimage.gaussian_filter(crop.mean(0), 2)
            brightest = np.unravel_index(blurred.argmax(), blurred.shape)[::-1]
            np.testing.assert_allclose(place, brightest, atol=1.01)  # whole px, and noise


def test_without_augmentation_the_view_is_the_processors(lesson):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 15, 3), np.uint8)).resize((90, 120))
    given = lesson["processor"]([image], boxes=[[(0, 0, 90, 120)]], return_tensors="np")["pixel_values"][0]
    rng, corners = np.random.default_rng(0), np.array([[0, 0], [89, 0], [89, 119], [0, 119]], dtype=float)
    processor = lesson["processor"]
    crop, *_ = lesson["training_view"](image, corners, np.full(4, 2), rng, processor, NAMES, augment=False)
    (x, y), likeness = cv2.phaseCorrelate(*(np.float64(one.mean(0))[16:-16, 12:-12] for one in (crop, given)))
    assert np.hypot(x, y) < 0.8 and likeness > 0.8


def target(places):
    y, x = np.indices((32, 24))
    return np.exp(-((x - places[:, 0, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2) / 2)


def test_the_loss_is_least_at_the_target_and_masks_what_is_unknown(lesson):
    places = np.array([[3, 4], [20.5, 6.2], [12, 30], [-1e3, -1e3]])
    best, known = torch.tensor(target(places))[None], torch.ones(1, 4)
    least = lesson["loss_of"](best, torch.tensor(places)[None], known)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = best + 0.1 * torch.randn(best.shape, generator=generator)
        assert lesson["loss_of"](other, torch.tensor(places)[None], known) > least
    spoiled, known[0, 1] = best.clone(), 0
    spoiled[0, 1] = 7
    first, second = (lesson["loss_of"](maps, torch.tensor(places)[None], known) for maps in (best, spoiled))
    assert float(first) == pytest.approx(float(second))


def test_errors_are_in_px_of_the_crop_and_without_the_unknown(lesson):
    true = np.array([[10, 10], [50, 10], [50, 70], [10, 70]], dtype=float)
    samples = [
        coco.Sample(Image.new("RGB", (240, 320)), true, np.array([2, 2, 1, 0])),
        coco.Sample(Image.new("RGB", (240, 320)), None, None),
        coco.Sample(Image.new("RGB", (400, 100)), true, np.full(4, 2)),  # as high as 400 * 4 / 3 in the crop
    ]
    errors = lesson["errors_px"](np.array([true + np.array([3, 4]), true, true + np.array([3, 4])]), samples)
    np.testing.assert_allclose(errors[0], [5 * 128 / 400, 5 * 128 / 400, 5 * 128 / 400, np.nan])
    np.testing.assert_allclose(errors[1], 5 * 128 / (1.25 * 400 * 4 / 3))
    assert len(errors) == 2


def test_a_training_of_two_steps(tmp_path):
    benchmark.prepare(tmp_path, 6, 8)
    for way in benchmark.WAYS:
        row = benchmark.measured(tmp_path, 6, 2, way, seed=0)
        assert row["way"] == way and np.isfinite(row["median px"]) and 0 <= row["worst below 5 px"] <= 1


def test_the_committed_figures_are_complete_and_say_what_the_card_says():
    runs = json.loads((Path(checkpoints.find("body-pose")) / "fine-tuning.json").read_text())["runs"]
    sizes = {(run["pictures"], run["steps"]) for run in runs}
    assert sizes == {(count, benchmark.STEPS) for count in benchmark.COUNTS} | {(1000, n) for n in benchmark.LONGER}
    assert len(runs) == len(sizes) * len(benchmark.WAYS) * benchmark.SEEDS
    card = (Path(checkpoints.find("body-pose")) / "README.md").read_text()
    for way in benchmark.WAYS:
        (line,) = [line for line in card.splitlines() if line.startswith(f"| {way.replace('bundled', 'these')} |")]
        columns = [*((count, benchmark.STEPS) for count in benchmark.COUNTS), (1000, 240), (1000, 800)]
        for (count, steps), printed in zip(columns, line.split("|")[2:-1], strict=True):
            of_way = [run["median px"] for run in runs if [*run.values()][:3] == [count, steps, way]]
            assert printed.strip() == f"{np.median(of_way):.1f} px"
