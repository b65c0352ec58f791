"""`helpers.keypoints` against closed forms, SciPy, OpenCV and the model itself; what is odd in transformers' model."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from transformers import AutoImageProcessor, SuperPointConfig, SuperPointForKeypointDetection
from transformers.models.superpoint.modeling_superpoint import SuperPointKeypointDescriptionOutput

from helpers import checkpoints
from helpers.keypoints import mutual_matches, refine, score_map, to_pixels

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
    expected = opencv_matches(first.astype(np.float32), second.astype(np.float32))
    assert as_set(mutual_matches(first.astype(np.uint8), second.astype(np.uint8))) == expected


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
