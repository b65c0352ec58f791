"""`helpers.keypoints` against closed forms, SciPy, OpenCV and the model itself; what is odd in transformers' model."""

import ast
import copy
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from transformers import (
    AutoImageProcessor,
    AutoModelForKeypointDetection,
    SuperPointConfig,
    SuperPointForKeypointDetection,
)
from transformers.models.superpoint.modeling_superpoint import SuperPointKeypointDescriptionOutput

from helpers import checkpoints, media
from helpers.geometry import inside, warp_points
from helpers.keypoints import Keypoints, detect, match_photos, mutual_matches, refine, score_map, sift, to_pixels
from helpers.views import rotation, warp

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 5000)
examples = settings(max_examples=100, deadline=None, derandomize=True)


def photo_of(width, height):
    return SimpleNamespace(width=width, height=height)


def processor(**options):
    return AutoImageProcessor.from_pretrained(checkpoints.find("superpoint"), backend="pil", **options)


@pytest.fixture
def model():
    """Small and random, but with scores that differ from pixel to pixel."""
    torch.manual_seed(0)
    config = SuperPointConfig(encoder_hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16, descriptor_decoder_dim=8)
    network = SuperPointForKeypointDetection(config).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return network


@pytest.fixture
def noise():
    return torch.rand(2, 1, 64, 96, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)


@torch.no_grad()
def integer_keypoints(network, image):
    """(x, y) in pixels of the network's input, for one image (3, H, W)."""
    relative = network(image[None]).keypoints[0].numpy()
    return np.rint(relative * [image.shape[2], image.shape[1]]).astype(int)


# To pixels


@examples
@given(sides, sides, st.integers(8, 700), st.integers(8, 700), seeds)
def test_the_centre_of_a_network_pixel_keeps_its_place_in_the_image(width, height, network_width, network_height, seed):
    place = np.random.default_rng(seed).uniform(0, 1, (5, 2))  # shares of the whole image, edge to edge
    relative = place - 0.5 / np.array([network_width, network_height])
    points = to_pixels(relative, photo_of(width, height), (network_height, network_width))
    np.testing.assert_allclose((points + 0.5) / [width, height], place, atol=1e-12)


@examples
@given(sides, sides, seeds)
def test_at_equal_sizes_the_network_pixels_are_the_image_pixels(width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, [width, height], (5, 2))
    points = to_pixels(pixels / [width, height], photo_of(width, height), (height, width))
    np.testing.assert_allclose(points, pixels, atol=1e-9)


def test_a_phone_photo_by_hand():
    # 4032 / 640 = 3024 / 480 = 6.3: network pixel 0 covers -0.5 to 5.8, so its centre is 2.65; pixel 320 is at 2018.65
    points = to_pixels([[0, 0], [0.5, 0.5], [639 / 640, 479 / 480]], photo_of(4032, 3024), (480, 640))
    np.testing.assert_allclose(points, [[2.65, 2.65], [2018.65, 1514.65], [4028.35, 3020.35]])


@pytest.mark.parametrize("size", [(1000, 750), (900, 1300), (320, 240)])
def test_a_blob_is_found_where_it_is_after_the_processor_has_resized_it(size):
    truth = np.array(size) * [0.31, 0.62] + 0.37
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    blob = np.exp(-((x - truth[0]) ** 2 + (y - truth[1]) ** 2) / (2 * 15**2))
    image = Image.fromarray(np.uint8(np.round(255 * blob))).convert("RGB")
    pixels = processor()(image, return_tensors="np").pixel_values[0, 0]
    row, column = ndimage.center_of_mass(pixels)
    assert pixels.shape == (480, 640)
    points = to_pixels([[column / 640, row / 480]], image, pixels.shape)
    np.testing.assert_allclose(points, [truth], atol=0.05)


def test_to_pixels_takes_tensors_and_no_points():
    image = photo_of(20, 10)
    assert to_pixels(torch.zeros(0, 2), image, (8, 8)).shape == (0, 2)
    points = to_pixels(torch.tensor([[0.5, 0.5]]), image, (10, 20))
    assert isinstance(points, np.ndarray) and points.tolist() == [[10, 5]]


# The score map


def test_score_map_holds_the_scores_that_the_model_returns(model, noise):
    model.keypoint_decoder.keypoint_threshold = 0.01
    with torch.no_grad():
        outputs = model(noise, output_hidden_states=True)
    maps = score_map(model, outputs.hidden_states[-1])
    assert maps.shape == (2, 64, 96) and not maps.requires_grad
    for b in range(2):
        real = outputs.mask[b].bool()
        assert real.sum() > 20
        x, y = (outputs.keypoints[b][real] * torch.tensor([96, 64])).round().long().T
        torch.testing.assert_close(maps[b, y, x], outputs.scores[b][real])


def test_keypoints_are_the_peaks_of_the_score_map(model, noise):
    model.keypoint_decoder.keypoint_threshold = 0.01
    with torch.no_grad():
        outputs = model(noise[:1], output_hidden_states=True)
    scores = score_map(model, outputs.hidden_states[-1])[0].numpy()
    found = {tuple(point) for point in integer_keypoints(model, noise[0]).tolist()}
    peaks = (scores == ndimage.maximum_filter(scores, 9, mode="constant")) & (scores > 0.01)
    peaks[:4], peaks[:, :4] = False, False
    assert {(x, y) for y, x in np.argwhere(peaks).tolist()} <= found  # and those that such a peak had hidden


def test_score_map_and_dustbin_add_up_to_one_in_each_cell(model, noise):
    with torch.no_grad():
        features = model(noise, output_hidden_states=True).hidden_states[-1]
        decoder = model.keypoint_decoder
        dustbin = decoder.conv_score_b(torch.relu(decoder.conv_score_a(features))).softmax(1)[:, 64]
    cells = score_map(model, features).reshape(2, 8, 8, 12, 8).sum((2, 4))
    torch.testing.assert_close(cells + dustbin, torch.ones(2, 8, 12))


# Refinement


def bump(centre, sigma, size=(24, 24)):
    y, x = np.indices(size)
    return np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * sigma**2))


# What the window of 5 pixels cuts off a bump pulls towards its middle: by 0.01, 0.02 and 0.05 px at the most.
@pytest.mark.parametrize(("sigma", "tolerance"), [(0.7, 0.01), (0.85, 0.02), (1.0, 0.05)])
@examples
@given(st.floats(9.5, 10.5), st.floats(11.5, 12.5))
def test_refine_finds_the_centre_of_a_gaussian(sigma, tolerance, x, y):
    peak = np.rint([[x, y]])
    assert np.abs(refine(peak, bump((x, y), sigma), radius=2) - [x, y]).max() < tolerance


@examples
@given(seeds, st.integers(0, 4))
def test_refine_is_the_centre_of_mass_of_the_window_at_the_border_too(seed, radius):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 1, (9, 12))
    points = np.column_stack([rng.integers(0, 12, 20), rng.integers(0, 9, 20)])
    for (x, y), refined in zip(points, refine(points, scores, radius), strict=True):
        top, left = max(y - radius, 0), max(x - radius, 0)
        row, column = ndimage.center_of_mass(scores[top : y + radius + 1, left : x + radius + 1])
        np.testing.assert_allclose(refined, [left + column, top + row], atol=1e-9)


def test_refine_leaves_points_alone_where_there_is_no_score():
    points = [[0, 0], [11, 8], [5, 4]]
    np.testing.assert_array_equal(refine(points, np.zeros((9, 12))), points)


def test_refine_takes_tensors_and_no_points():
    assert refine(torch.zeros(0, 2), torch.zeros(9, 12)).shape == (0, 2)
    np.testing.assert_allclose(refine(torch.tensor([[5.0, 4.0]]), torch.ones(9, 12)), [[5, 4]])


def test_refine_takes_keypoints_that_are_whole_but_for_their_rounding():
    np.testing.assert_allclose(refine([[5.0000004, 3.9999998]], np.ones((9, 12))), [[5, 4]], atol=1e-9)


@pytest.mark.parametrize("point", [(-1, 4), (12, 4), (5, -1), (5, 9)])
def test_refine_refuses_points_beside_the_score_map(point):
    with pytest.raises(ValueError, match=r"on the score map, \(height, width\) = \(9, 12\)"):
        refine([point], np.ones((9, 12)))


# Detectors


@pytest.fixture(scope="module")
def trained():
    return AutoModelForKeypointDetection.from_pretrained(checkpoints.find("superpoint")).eval()


def state(network, prepare):
    return str(network), {**vars(network.keypoint_decoder)}, network.config.to_dict(), prepare.to_dict()


def test_detect_finds_what_the_model_returns(trained):
    image, reference = media.photo("coffee"), copy.deepcopy(trained)
    decoder = reference.keypoint_decoder
    decoder.keypoint_threshold, decoder.nms_radius, decoder.max_keypoints = 0.001, 6, 200
    with torch.no_grad():
        outputs = reference(**processor()(image, do_grayscale=True, do_resize=False, return_tensors="pt"))
    expected = outputs.keypoints[0].numpy() * image.size
    found = detect(trained, processor(), image, 200, threshold=0.001, radius=6, subpixel=False)
    rows = [np.linalg.norm(expected - point, axis=1).argmin() for point in found.points]
    assert len(expected) == 200 and len(set(rows)) >= 198  # of those that are equally strong, others may be in
    kept = np.linalg.norm(expected[rows] - found.points, axis=1) < 1
    rows, found = np.array(rows)[kept], Keypoints(*(values[kept] for values in found))
    np.testing.assert_allclose(found.points, expected[rows], atol=1e-3)
    np.testing.assert_allclose(found.scores, outputs.scores[0].numpy()[rows], atol=1e-6)
    np.testing.assert_allclose(found.descriptors, outputs.descriptors[0].numpy()[rows], atol=1e-5)
    assert (np.diff(found.scores) < 2e-6).all()


def body(source, name):
    """The statements of a function, without its docstring."""
    (function,) = (part for part in ast.walk(ast.parse(source)) if getattr(part, "name", "") == name)
    documented = ast.get_docstring(function) is not None
    return [ast.unparse(part) for part in [function.args, *function.body[documented:]]]


def test_notebook_1_1_shows_what_detect_does():
    root = Path(__file__).parents[1]
    shown = nbformat.read(root / "notebooks/1.1-find-keypoints.ipynb", as_version=4).cells
    (cell,) = (cell.source for cell in shown if cell.cell_type == "code" and "def detect(" in cell.source)
    assert body(cell, "detect") == body((root / "helpers/keypoints.py").read_text(), "detect")


def test_detect_leaves_model_and_processor_as_they_were(trained):
    prepare, image = processor(), media.photo("coffee").resize((96, 64))
    before = state(trained, prepare)
    detect(trained, prepare, image, 5, threshold=0.3, radius=9, size=(64, 96))
    with pytest.raises(ValueError, match="nms_radius"):
        detect(trained, prepare, image, 5, radius=-7)  # transformers refuses it, half way
    assert state(trained, prepare) == before


def test_detect_gives_the_same_in_threads_with_different_knobs(trained):
    prepare, image = processor(), media.photo("coffee").resize((200, 160))
    knobs = [{"count": 20 * k, "radius": k} for k in range(1, 5)] * 3
    alone = [detect(trained, prepare, image, **knob) for knob in knobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda knob: detect(trained, prepare, image, **knob), knobs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.points, other.points, atol=1e-6)


def test_equal_scores_come_in_raster_order_and_the_border_stays_free():
    tile = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = Image.fromarray(np.tile(tile, (3, 4, 1)))  # repeats every 64 pixels, so the scores inside do, too
    torch.manual_seed(0)
    network = SuperPointForKeypointDetection(
        SuperPointConfig(encoder_hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16, descriptor_decoder_dim=8)
    ).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    found = detect(network, processor(), image, threshold=0.02, subpixel=False)
    keys = list(zip(-found.scores.round(6), *found.points[:, ::-1].T.round(), strict=True))
    assert keys == sorted(keys) and len(set(found.scores.round(6))) < len(keys) - 10
    assert inside(found.points, (192, 256), margin=3.99).all()


@pytest.mark.parametrize(
    ("size", "seen"),
    [(None, (300, 400)), (200, (152, 200)), ((240, 320), (240, 320)), (1000, (304, 400)), (5, (8, 8))],
)
def test_detect_shows_the_network_the_size_asked_for(trained, monkeypatch, size, seen):
    sizes, encoder = [], trained.encoder.forward

    def watch(pixels, **options):
        sizes.append(tuple(pixels.shape))
        return encoder(pixels, **options)

    monkeypatch.setattr(trained.encoder, "forward", watch)
    detect(trained, processor(), media.photo("coffee").resize((400, 300)), 10, size=size)
    assert sizes == [(1, 1, *seen)]


def test_detect_returns_pixels_of_the_photograph_whatever_the_network_sees(trained):
    y, x = np.indices((300, 400))
    board = np.where(((x + 0.5) // 50 + (y + 0.5) // 50) % 2, 220, 30)  # corners lie between pixels, at 49.5, 99.5 ...
    corners = np.stack(np.meshgrid(np.arange(1, 8), np.arange(1, 6)), -1).reshape(-1, 2) * 50 - 0.5
    image = Image.fromarray(board.astype(np.uint8)).convert("RGB")
    for size in (None, (600, 800), (240, 320), (240, 400)):
        distance, nearest = cKDTree(detect(trained, processor(), image, 200, size=size).points).query(corners)
        assert (distance < 2).mean() > 0.8
        found = detect(trained, processor(), image, 200, size=size).points[nearest]
        assert np.abs((found - corners)[distance < 2].mean(axis=0)).max() < 0.3


def test_detect_on_nothing(trained):
    found = detect(trained, processor(), Image.new("RGB", (96, 64), "gray"), threshold=0.5)
    assert found.points.shape == (0, 2) and found.scores.shape == (0,) and found.descriptors.shape[0] == 0


def test_sift_has_no_bias_under_rotation():
    image = media.photo("coffee").convert("L").resize((300, 200))
    for degrees in (90, 180):
        turn = rotation(image, degrees)
        points1, points2 = match_photos(sift, image, warp(image, turn))
        errors = points2 - warp_points(points1, turn)
        errors = errors[np.linalg.norm(errors, axis=1) < 2]
        assert len(errors) > 100
        assert np.abs(np.median(errors, axis=0)).max() < 0.05  # 0.5 px without enable_precise_upscale


def test_sift_is_opencvs_sorted_by_contrast():
    image = media.photo("coffee")
    found = sift(image, 100)
    detector = cv2.SIFT_create(enable_precise_upscale=True, contrastThreshold=0.01)
    theirs, descriptors = detector.detectAndCompute(np.asarray(image.convert("L")), None)
    strongest = sorted((keypoint.response for keypoint in theirs), reverse=True)[:100]
    np.testing.assert_allclose(found.scores, strongest, atol=1e-6)
    rows = [np.linalg.norm(descriptors - row, axis=1).argmin() for row in found.descriptors]
    np.testing.assert_allclose(found.points, [theirs[row].pt for row in rows])
    nothing = sift(Image.new("RGB", (90, 60)))
    assert nothing.points.shape == (0, 2) and nothing.descriptors.shape == (0, 128) and not len(nothing.scores)


def test_match_photos_returns_the_same_places(trained):
    image = media.photo("coffee").resize((300, 200))
    turn = rotation(image, 10)
    for detector in (sift, partial(detect, trained, processor(), count=300)):
        for ratio in (None, 0.8):
            points1, points2 = match_photos(detector, image, warp(image, turn), ratio=ratio)
            assert points1.shape == points2.shape and len(points1) > 30
            right = np.linalg.norm(warp_points(points1, turn) - points2, axis=1) < 3
            assert right.mean() > (0.6 if ratio is None else 0.8)
    empty = match_photos(sift, image, Image.new("RGB", (90, 60)))
    assert [points.shape for points in empty] == [(0, 2), (0, 2)]


# Matches


def descriptors(seed, dtype=np.float32):
    """Two sets of different sizes with 20 noisy copies among them."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(rng.integers(20, 60), 16)), rng.normal(size=(rng.integers(20, 60), 16))
    second[:20] = first[-20:] + rng.normal(0, 0.4, (20, 16))
    return first.astype(dtype), second.astype(dtype)


def opencv_matches(first, second):
    return {(m.queryIdx, m.trainIdx) for m in cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(first, second)}


def as_set(pairs):
    assert pairs.ndim == 2 and pairs.shape[1] == 2 and np.issubdtype(pairs.dtype, np.integer)
    assert len(pairs) == len(set(map(tuple, pairs.tolist())))
    return set(map(tuple, pairs.tolist()))


@examples
@given(seeds)
def test_mutual_matches_are_those_of_opencv(seed):
    first, second = descriptors(seed)
    assert as_set(mutual_matches(first, second)) == opencv_matches(first, second)


@examples
@given(seeds, st.floats(0.3, 1))
def test_the_ratio_test_is_that_of_opencv(seed, ratio):
    first, second = descriptors(seed)
    nearest = cv2.BFMatcher(cv2.NORM_L2).knnMatch(first, second, k=2)
    distinct = {(m.queryIdx, m.trainIdx) for m, n in nearest if m.distance < ratio * n.distance}
    assert as_set(mutual_matches(first, second, ratio=ratio)) == opencv_matches(first, second) & distinct


def test_descriptors_of_whole_numbers_match_as_in_opencv():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (80, 128)), rng.integers(0, 256, (70, 128))
    assert as_set(mutual_matches(first, second)) == opencv_matches(first.astype(np.float32), second.astype(np.float32))


@pytest.mark.parametrize("ratio", [None, 0.8])
def test_bytes_are_bits_and_match_by_hamming_distance_as_in_opencv(ratio):
    image = np.asarray(media.photo("coffee").convert("L"))
    first = np.unique(cv2.ORB_create(300).detectAndCompute(image, None)[1], axis=0)
    rng = np.random.default_rng(0)
    fallen = np.packbits(rng.random((*first.shape, 8)) < 0.1, axis=2)[..., 0]
    second = rng.permutation(first ^ fallen)
    distances = np.array([[cv2.norm(a, b, cv2.NORM_HAMMING) for b in second] for a in first])
    forward, backward = distances.argmin(1), distances.argmin(0)
    best, runner_up = np.sort(distances, axis=1)[:, :2].T
    keep = (backward[forward] == np.arange(len(first))) & (True if ratio is None else best < ratio * runner_up)
    assert keep.sum() > 20
    assert as_set(mutual_matches(first, second, ratio=ratio)) == {(i, forward[i]) for i in np.flatnonzero(keep)}


def test_bits_and_numbers_do_not_match():
    with pytest.raises(ValueError, match=r"One kind of descriptors is bits .* uint8 and float64"):
        mutual_matches(np.ones((3, 8), dtype=np.uint8), np.ones((3, 8)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_descriptors_that_are_no_numbers_are_named_by_their_row(bad):
    first, second = descriptors(0)
    second[[7, 9], 3] = bad
    with pytest.raises(ValueError, match="descriptors2 holds NaN or infinity in 2 rows, first in row 7: drop them"):
        mutual_matches(first, second)
    with pytest.raises(ValueError, match="descriptors1"):
        mutual_matches(second, first)


@pytest.mark.parametrize("size", [8, 128, 256])
def test_equal_descriptors_do_not_pass_the_ratio_test(size):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        first = rng.normal(size=(30, size)).astype(np.float32)
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        twice = np.vstack([first, first])[rng.permutation(60)]  # two candidates for each, both exact
        assert len(mutual_matches(first, twice, ratio=0.99)) == 0
        assert len(mutual_matches(first, first, ratio=0.99)) == 30


def test_of_equal_descriptors_the_first_counts():
    first = np.eye(4, dtype=np.float32)
    assert as_set(mutual_matches(np.vstack([first, first]), np.vstack([first, first]))) == {(k, k) for k in range(4)}


def test_blocks_change_nothing():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 9, (4000, 6))  # small whole numbers: exact distances, and many ties across the blocks
    second = rng.permutation(first)[:3500] + rng.integers(-1, 2, (3500, 6))
    distances = cdist(first, second, "sqeuclidean").round().astype(int)
    forward, backward = distances.argmin(1), distances.argmin(0)
    best, runner_up = np.partition(distances, 1, axis=1)[:, :2].T
    mutual = backward[forward] == np.arange(len(first))
    for ratio, keep in ((None, mutual), (0.8, mutual & (best < 0.64 * runner_up))):
        assert keep.sum() > 100 and len(first) * len(second) > 10_000_000
        assert as_set(mutual_matches(first, second, ratio)) == {(i, forward[i]) for i in np.flatnonzero(keep)}


def test_50_000_descriptors_fit_into_memory():
    first = np.random.default_rng(0).normal(size=(50_000, 4)).astype(np.float32)
    tracemalloc.start()
    pairs = mutual_matches(first[:2000], first)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6  # a block, however many rows there are; 2000 at once would need 400 MB, 50,000 need 10 GB
    assert (pairs[:, 0] == pairs[:, 1]).all() and len(pairs) == 2000


def test_matching_with_no_descriptors_gives_no_matches():
    some, none = np.ones((3, 8)), np.zeros((0, 8))
    for first, second in ((some, none), (none, some), (none, none)):
        for ratio in (None, 0.8):
            assert as_set(mutual_matches(first, second, ratio=ratio)) == set()


def test_a_single_candidate_passes_the_ratio_test():
    assert as_set(mutual_matches([[0.0, 1.0], [5.0, 5.0]], [[0.0, 1.1]], ratio=0.8)) == {(0, 0)}


@pytest.mark.parametrize(("shape1", "shape2"), [((5, 8), (4, 16)), ((5,), (4, 8)), ((5, 8), (0,))])
def test_descriptors_that_do_not_fit_are_named_by_their_shapes(shape1, shape2):
    with pytest.raises(ValueError) as error:
        mutual_matches(np.zeros(shape1), np.zeros(shape2))
    assert f"with one D, not {shape1} and {shape2}" in str(error.value)


# What transformers does. Where one of these fails, a newer version has changed it: then the notebook's demonstration of
# it goes, and the work-around in `to_pixels` and in the cells with it.


def test_transformers_truncates_post_processed_keypoints_to_int32():
    outputs = SuperPointKeypointDescriptionOutput(
        keypoints=torch.tensor([[[0.999, 0.5], [0.19, 0.34]]]),
        scores=torch.ones(1, 2),
        descriptors=torch.ones(1, 2, 8),
        mask=torch.ones(1, 2, dtype=torch.int),
    )
    points = processor().post_process_keypoint_detection(outputs, [(3, 10)])[0]["keypoints"]
    assert points.dtype == torch.int32
    assert points.tolist() == [[9, 1], [1, 1]]  # of 9.99, 1.5 and 1.9, 1.02


def test_transformers_uses_the_red_channel_alone_without_do_grayscale(model):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    other = pixels.copy()
    other[..., 1:] = rng.integers(0, 256, (64, 96, 2))

    def keypoints(array, **options):
        prepare = processor(do_resize=False, **options)
        return integer_keypoints(model, prepare(Image.fromarray(array), return_tensors="pt").pixel_values[0]).tolist()

    assert keypoints(pixels, do_grayscale=False) == keypoints(other, do_grayscale=False)
    assert keypoints(pixels, do_grayscale=True) != keypoints(other, do_grayscale=True)


def test_transformers_removes_keypoints_at_the_top_and_left_border_only(model, noise):
    decoder = model.keypoint_decoder
    decoder.keypoint_threshold, decoder.nms_radius = -1.0, 0  # every pixel is a keypoint
    points = integer_keypoints(model, noise[0])
    assert points.min(0).tolist() == [4, 4]
    assert points.max(0).tolist() == [95, 63]


def test_transformers_copies_the_knobs_out_of_the_configuration_once(model, noise):
    before = integer_keypoints(model, noise[0])
    model.config.max_keypoints, model.config.keypoint_threshold, model.config.nms_radius = 5, 0.5, 20
    np.testing.assert_array_equal(integer_keypoints(model, noise[0]), before)
    assert len(before) > 5
    model.keypoint_decoder.max_keypoints = 5
    assert len(integer_keypoints(model, noise[0])) == 5


def test_transformers_returns_an_empty_batch_without_keypoints(model, noise):
    model.keypoint_decoder.keypoint_threshold = 1.0
    with torch.no_grad():
        outputs = model(noise)
    assert outputs.keypoints.shape == (2, 0, 2) and outputs.descriptors.shape == (2, 0, 8)
