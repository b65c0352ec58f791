"""`benchmarks.keypoints`: the protocol is fixed, a perfect detector gets full marks, SIFT gets what it should."""

import io
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import skimage.data
from PIL import Image

from benchmarks import keypoints as benchmark
from benchmarks import poses
from helpers.geometry import IDENTITY, inside, project, warp_points
from helpers.views import random_homography

DATA = Path(__file__).resolve().parents[2] / "shared/data"
PHOTOS = [skimage.data.coffee()[:240, :320], skimage.data.chelsea()[:240, 100:420]]


# Photographs


def test_photographs_are_cut_to_4_to_3_about_their_centre(tmp_path):
    rows = []
    for height, width in ((321, 481), (481, 321), (600, 800)):
        y, x = np.indices((height, width))
        disc = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) < 40  # a disc in the very middle
        stream = io.BytesIO()
        Image.fromarray(np.uint8(255 * disc)).convert("RGB").save(stream, "PNG")
        rows.append({"bytes": stream.getvalue(), "path": ""})
    table = pyarrow.table({"image": rows, "source": [""] * 3, "split": ["train", "validation", "validation"]})
    pyarrow.parquet.write_table(table, tmp_path / "photos.parquet")
    photos = list(benchmark.photographs(tmp_path))
    assert len(photos) == 2
    for photo, scale in zip(photos, (320 / 321, 320 / 800), strict=True):
        assert photo.shape == (240, 320, 3) and photo.dtype == np.uint8
        y, x = np.nonzero(photo[..., 0] > 127)
        np.testing.assert_allclose([x.mean(), y.mean()], [159.5, 119.5], atol=0.1)
        np.testing.assert_allclose([np.ptp(x) + 1, np.ptp(y) + 1], 80 * scale, atol=2)  # round, as it was


@pytest.mark.skipif(not (DATA / "photos.parquet").exists(), reason="needs photos.parquet, the photographs to train on")
def test_the_protocol_has_40_photographs_and_60_others_to_choose_recipes_by():
    test, validation = (list(benchmark.photographs(DATA, which)) for which in (benchmark.TEST, benchmark.VALIDATION))
    assert (len(test), len(validation)) == (40, 60)
    assert {photo.shape for photo in test + validation} == {(240, 320, 3)}
    assert {photo.dtype.name for photo in test} == {"uint8"}
    assert len({photo.tobytes() for photo in test + validation}) == 100
    assert min(photo.std() for photo in test) > 5


# Pairs


def test_pairs_are_the_same_every_time():
    first, second = list(benchmark.pairs(PHOTOS)), list(benchmark.pairs(PHOTOS))
    assert len(first) == 4
    for one, other in zip(first, second, strict=True):
        for array, again in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, again)


def test_warps_are_drawn_by_the_seeds_that_the_protocol_names():
    warps = [homography for _, _, homography in benchmark.pairs(PHOTOS)]
    for warp, (k, v) in zip(warps, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        drawn = random_homography(
            (240, 320), np.random.default_rng([7, k, v]), rotation_deg=25, scale=(0.75, 1.3), perspective=0.1
        )
        np.testing.assert_array_equal(warp, drawn)


def test_the_warped_image_is_where_the_homography_says():
    disc = np.zeros((240, 320, 3), np.uint8)
    y, x = np.indices((240, 320))
    disc[np.hypot(x - 160, y - 120) < 6] = 255
    for _, warped, homography in benchmark.pairs([disc]):
        bright = warped[..., 0] > warped.max() * 0.7
        centre = np.argwhere(bright).mean(0)[::-1]
        np.testing.assert_allclose(centre, warp_points([[160, 120]], homography)[0], atol=0.5)


# Figures


def answers(photos):
    """What a perfect detector says: 300 points of the first view, seen in both, at their exact place in the second."""
    for k, (_, _, homography) in enumerate(benchmark.pairs(photos)):
        rng = np.random.default_rng(k)
        points = rng.uniform(0, [319, 239], (2000, 2))
        points = points[inside(warp_points(points, homography), benchmark.SIZE)][:300]
        order = rng.permutation(300)
        yield points, np.eye(300)
        yield warp_points(points, homography)[order], np.eye(300)[order]


def test_a_perfect_detector_gets_full_marks():
    said = answers(PHOTOS)
    figures = benchmark.accuracy(lambda image, count: next(said), PHOTOS)
    assert figures.pop("points") == 300
    assert figures == dict.fromkeys(figures, 1.0)
    assert {"repeatability@3", "matching score", "MMA@3", "corner error <= 1 px"} <= set(figures)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_a_blind_detector_gets_no_marks_and_does_not_crash():
    figures = benchmark.accuracy(lambda image, count: (np.zeros((0, 2)), np.zeros((0, 32))), PHOTOS)
    assert figures["points"] == figures["corner error <= 3 px"] == 0
    assert np.isnan(figures["repeatability@3"])


def test_no_photographs_at_all_are_named():
    with pytest.raises(ValueError, match="no photographs"):
        benchmark.accuracy(benchmark.sift, [])


def test_a_detector_of_noise_is_seen_through():
    rng = np.random.default_rng(0)
    figures = benchmark.accuracy(lambda image, n: (rng.uniform(0, [319, 239], (n, 2)), rng.normal(size=(n, 8))), PHOTOS)
    # 300 discs of radius 3 on 240x320 pixels cover a tenth of them
    assert figures["repeatability@3"] == pytest.approx(1 - np.exp(-300 * np.pi * 9 / 76800), abs=0.04)
    assert figures["MMA@3"] < 0.05 and figures["corner error <= 5 px"] == 0


@pytest.mark.parametrize("detect", [benchmark.sift, benchmark.orb])
def test_detectors_return_as_many_points_as_asked_inside_the_image(detect):
    points, descriptors = detect(PHOTOS[0], 100)
    assert len(points) == len(descriptors) and 90 <= len(points) <= 100
    assert inside(points, benchmark.SIZE).all()
    no_points, no_descriptors = detect(np.zeros((240, 320, 3), np.uint8), 100)  # fit those of another image
    assert no_points.shape == (0, 2) and no_descriptors.shape == (0, descriptors.shape[1])


def test_sift_finds_the_disparity_of_the_motorcycle_pair_in_the_right_direction():
    figures = benchmark.motorcycle(benchmark.sift)
    assert 0.70 < figures["motorcycle <= 3 px"] < 0.80
    assert 400 < figures["motorcycle matches"] < 550


def test_exact_disparities_get_full_marks():
    left, _, disparity = skimage.data.stereo_motorcycle()
    y, x = np.argwhere(np.isfinite(disparity))[::500].T
    first = np.column_stack([x, y]).astype(float)
    second = first - np.column_stack([disparity[y, x], np.zeros(len(x))])
    codes = np.random.default_rng(0).normal(size=(len(x), 32))
    figures = benchmark.motorcycle(lambda image, count: (first if np.array_equal(image, left) else second, codes))
    assert figures == {"motorcycle <= 3 px": 1.0, "motorcycle matches": len(x)}


# The table


def test_markdown_has_a_line_a_detector_and_leaves_gaps():
    table = {"ours": {"MMA@3": 0.81249, "ms": 41.7}, "SIFT": {"MMA@3": None, "ms": 9.2}}
    assert benchmark.markdown(table).splitlines() == [
        "| | MMA@3 | ms |",
        "|---|---|---|",
        "| ours | 0.812 | 42 |",
        "| SIFT |  | 9 |",
    ]


# Poses


def test_scenes_of_poses_are_what_they_say():
    for flat in (False, True):
        pixels1, pixels2, points, pose = poses.scene(3, wrong=0.2, noise=0.5, flat=flat)
        for pixels, where in ((pixels1, IDENTITY), (pixels2, pose)):
            errors = (pixels - project(points, poses.K, where))[40:]
            assert errors.std() == pytest.approx(0.5, rel=0.1)
        assert np.median(np.linalg.norm(pixels2 - project(points, poses.K, pose), axis=1)[:40]) > 50
        flatness = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        assert (flatness[2] < 1e-6 * flatness[0]) == flat


@pytest.mark.parametrize("task", poses.TASKS)
def test_all_estimators_of_poses_find_easy_scenes(task):
    limit = {"relative pose, deg": 3, "absolute pose, mm": 10, "homography, px": 3}[task]
    rows = poses.measure(task, wrong=0.2, noise=0.5, scenes=4)
    assert list(rows) == ["before", "PoseLib", "OpenCV"]
    for row in rows.values():
        assert 0 < row["median"] < limit and row["failures"] == 0 and row["seconds"] > 0
