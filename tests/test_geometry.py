"""`helpers.geometry` against OpenCV, scikit-image and closed forms."""

import cv2
import numpy as np
import pytest
import skimage.transform
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from helpers.geometry import TooFewPoints, as_points, fit_homography, inside, random_homography, warp_points

pytestmark = pytest.mark.filterwarnings("error")

SIZE = (480, 640)  # height, width
CORNERS = np.array([[0, 0], [639, 0], [639, 479], [0, 479]], dtype=float)
SQUARE = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], dtype=float)
seeds = st.integers(0, 2**32 - 1)
points_on_image = st_numpy.arrays(float, st.tuples(st.integers(0, 20), st.just(2)), elements=st.floats(0, 479))
examples = settings(max_examples=100, deadline=None, derandomize=True)


def homography_of(seed, **options):
    return random_homography(SIZE, np.random.default_rng(seed), **options)


def corner_distances(first, second):
    return np.linalg.norm(warp_points(CORNERS, first) - warp_points(CORNERS, second), axis=1)


# Points


@examples
@given(seeds, points_on_image)
def test_warp_points_does_as_opencv_and_scikit_image_do(seed, points):
    homography = homography_of(seed)
    warped = warp_points(points, homography)
    assert warped.shape == points.shape
    if len(points):
        np.testing.assert_allclose(warped, cv2.perspectiveTransform(points[None], homography)[0], atol=1e-9)
        np.testing.assert_allclose(warped, skimage.transform.ProjectiveTransform(homography)(points), atol=1e-9)


@examples
@given(seeds, points_on_image)
def test_warping_there_and_back_changes_nothing(seed, points):
    homography = homography_of(seed)
    back = warp_points(warp_points(points, homography), np.linalg.inv(homography))
    np.testing.assert_allclose(back, points, atol=1e-7)


def test_warp_points_refuses_homogeneous_points():
    with pytest.raises(ValueError, match=r"shape \(N, 2\).*not \(4, 3\)"):
        warp_points(np.ones((4, 3)), np.eye(3))
    assert warp_points([], np.eye(3)).shape == (0, 2)


def test_a_point_on_the_horizon_goes_to_infinity_without_a_warning():
    homography = np.array([[1, 0, 0], [0, 1, 0], [0.01, 0, -1]])
    warped = warp_points([[100, 7], [0, 0]], homography)
    assert not np.isfinite(warped[0]).any()
    assert not inside(warped, SIZE)[0]


@examples
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 4))
def test_inside_agrees_with_the_pixels_of_an_image(height, width, margin):
    pixels = np.pad(np.ones((height, width), bool), 3)
    allowed = np.zeros_like(pixels)
    allowed[3 + margin : max(3 + height - margin, 0), 3 + margin : max(3 + width - margin, 0)] = True
    y, x = np.indices(pixels.shape).reshape(2, -1)
    np.testing.assert_array_equal(inside(np.column_stack([x, y]) - 3, (height, width), margin), allowed.ravel())


def test_inside_ends_at_the_centres_of_the_outer_pixels():
    points = [[-0.01, 5], [0, 5], [5, -0.01], [639, 479], [639.01, 5], [5, 479.01], [np.nan, 5], [np.inf, 5]]
    assert inside(points, SIZE).tolist() == [False, True, False, True, False, False, False, False]


def test_as_points_takes_lists_and_nothing_at_all():
    assert as_points([[1, 2]]).dtype == float
    for nothing in ([], np.zeros((0, 2)), np.zeros((0, 3))):
        assert as_points(nothing).shape == (0, 2)


@pytest.mark.parametrize("shape", [(8,), (4, 3), (2, 4, 2)])
def test_as_points_names_the_shape_it_was_given(shape):
    with pytest.raises(ValueError, match=r"mine must have shape \(N, 2\).*" + str(shape).replace("(", r"\(")[:-1]):
        as_points(np.ones(shape), "mine")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_as_points_refuses_what_is_not_a_place(bad):
    with pytest.raises(ValueError, match=r"points holds NaN or infinite.*drop those rows"):
        as_points([[0, 0], [bad, 1]])


# Random homographies


def test_random_homography_depends_on_the_seed_alone():
    np.testing.assert_array_equal(homography_of(3), homography_of(3))
    assert corner_distances(homography_of(3), homography_of(4)).min() > 1


def test_rotation_and_scale_fill_their_ranges_and_stay_within():
    turns, zooms = [], []
    for seed in range(300):
        homography = homography_of(seed, rotation_deg=25, scale=(0.75, 1.3), perspective=0, shift=0)
        np.testing.assert_allclose(warp_points([[319.5, 239.5]], homography), [[319.5, 239.5]], atol=1e-3)
        np.testing.assert_allclose(homography[2], [0, 0, 1], atol=1e-6)
        (a, b), (c, d) = homography[:2, :2]
        np.testing.assert_allclose([a, b], [d, -c], atol=1e-4)  # a similarity
        turns.append(np.rad2deg(np.arctan2(c, a)))
        zooms.append(np.hypot(a, c))
    assert -25.001 < min(turns) < -23 and 23 < max(turns) < 25.001
    assert 0.7499 < min(zooms) < 0.77 and 1.27 < max(zooms) < 1.3001


@examples
@given(seeds)
def test_perspective_and_shift_stay_within_their_ranges(seed):
    straight = {"rotation_deg": 0, "scale": (1, 1)}
    bent = warp_points(CORNERS, homography_of(seed, **straight, perspective=0.1, shift=0)) - CORNERS
    assert (np.abs(bent) <= [64.001, 48.001]).all()
    moved = warp_points(CORNERS, homography_of(seed, **straight, perspective=0, shift=0.08)) - CORNERS
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], (4, 2)), atol=1e-3)
    assert (np.abs(moved[0]) <= [51.201, 38.401]).all()


@examples
@given(seeds)
def test_random_homography_keeps_orientation_and_most_of_the_view(seed):
    homography = homography_of(seed)
    assert np.linalg.det(homography) > 0
    grid = np.stack(np.meshgrid(np.arange(0, 640, 20), np.arange(0, 480, 20)), -1).reshape(-1, 2)
    assert (np.column_stack([grid, np.ones(len(grid))]) @ homography[2] > 0).all()  # no horizon within the image
    assert inside(warp_points(grid, homography), SIZE).mean() > 0.4


# Fitting


@pytest.mark.parametrize("seed", range(10))
def test_fit_homography_sees_through_40_percent_of_outliers(seed):
    rng = np.random.default_rng(seed)
    true = random_homography(SIZE, rng)
    source = rng.uniform(0, [640, 480], (200, 2))
    target = warp_points(source, true)
    target[:80] = rng.uniform(0, [640, 480], (80, 2))
    estimate, inliers = fit_homography(source, target)
    assert corner_distances(estimate, true).max() < 0.1
    assert inliers.dtype == bool and inliers[80:].all()
    assert not inliers[np.linalg.norm(warp_points(source, true) - target, axis=1) > 6].any()


@pytest.mark.parametrize("seed", range(5))
def test_fit_homography_agrees_with_scikit_image_on_clean_matches(seed):
    rng = np.random.default_rng(seed)
    source = rng.uniform(0, [640, 480], (30, 2))
    target = warp_points(source, random_homography(SIZE, rng))
    estimate, inliers = fit_homography(source, target)
    assert inliers.all()
    theirs = skimage.transform.ProjectiveTransform.from_estimate(source, target)
    assert corner_distances(estimate, theirs.params).max() < 0.01


def test_fit_homography_is_repeatable():
    rng = np.random.default_rng(0)
    source, target = rng.uniform(0, 480, (2, 100, 2))
    first, second = (fit_homography(source, target) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_four_exact_matches_are_enough():
    estimate, inliers = fit_homography(SQUARE, 1.5 * SQUARE + 3)
    np.testing.assert_allclose(estimate, [[1.5, 0, 3], [0, 1.5, 3], [0, 0, 1]], atol=1e-6)
    assert inliers.all()


LINE = np.column_stack([np.arange(20.0), 2 * np.arange(20.0)])
DEGENERATE = {
    "all on a line": (LINE, LINE + 5),
    "all in one place": (np.full((20, 2), 5.0), np.full((20, 2), 7.0)),
    "three different places": (np.repeat(SQUARE[:3], 5, axis=0), np.repeat(SQUARE[:3], 5, axis=0) + 1),
    "many onto one place": (np.random.default_rng(0).uniform(0, 480, (20, 2)), np.full((20, 2), 7.0)),
    "a quadrilateral turned inside out": (SQUARE, SQUARE[[0, 2, 1, 3]]),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_matches_that_fix_no_homography_give_none_and_no_inliers(case):
    source, target = DEGENERATE[case]
    estimate, inliers = fit_homography(source, target)
    assert estimate is None
    assert inliers.tolist() == [False] * len(source)


@pytest.mark.parametrize("count", range(4))
def test_too_few_matches_are_counted_and_come_with_a_remedy(count):
    with pytest.raises(TooFewPoints, match=rf"at least 4 matches, got {count}: lower the keypoint threshold"):
        fit_homography(SQUARE[:count], SQUARE[:count])


def test_fit_homography_names_what_is_wrong_with_its_input():
    with pytest.raises(ValueError, match=r"source has 4 points and target 3: pass matched points"):
        fit_homography(SQUARE, SQUARE[:3])
    with pytest.raises(ValueError, match=r"target must have shape \(N, 2\)"):
        fit_homography(SQUARE, np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"source holds NaN"):
        fit_homography(SQUARE * np.nan, SQUARE)
