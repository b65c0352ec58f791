"""`helpers.metrics` against hand-computed cases, closed forms and a plain implementation by SciPy's distance matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from helpers.geometry import random_homography
from helpers.metrics import corner_error, match_errors, matching_score, mean_matching_accuracy, repeatability

pytestmark = pytest.mark.filterwarnings("error")

SIZE = (100, 200)  # height, width
SAME = np.eye(3)
seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=60, deadline=None, derandomize=True)


def shift(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def scene(seed):
    """Two sets of points in two views of different sizes, half of them in common, and the true homography."""
    rng = np.random.default_rng(seed)
    homography = random_homography(SIZE, rng)
    points1, points2 = rng.uniform(0, [199, 99], (30, 2)), rng.uniform(0, [149, 119], (25, 2))
    common = np.column_stack([points1[:15], np.ones(15)]) @ homography.T
    points2[:15] = common[:, :2] / common[:, 2:] + rng.normal(0, 1.5, (15, 2))
    return points1, points2, homography, SIZE, (120, 150)


# Repeatability


def test_equal_points_are_all_repeated():
    points = np.random.default_rng(0).uniform(0, 99, (50, 2))
    assert repeatability(points, points, SAME, SIZE, SIZE) == 1
    assert repeatability(points, points, SAME, SIZE, SIZE, eps=0) == 1


def test_points_far_apart_are_not_repeated():
    assert repeatability([[10, 10], [20, 10]], [[50, 50], [60, 50]], SAME, SIZE, SIZE) == 0
    assert repeatability([[10, 10]], [], SAME, SIZE, SIZE) == 0


def test_repeatability_by_hand():
    # both views: 2 of the 3 left points and 1 of the 2 right ones have a neighbour, so 3 of 5
    left, right = [[10, 10], [12, 10], [50, 50]], [[11, 10], [90, 90]]
    assert repeatability(left, right, SAME, SIZE, SIZE) == pytest.approx(3 / 5)
    # shifted 60 px: (150, 10) leaves the right view and (30, 10) was not in the left one, so neither counts
    left, right = [[10, 10], [20, 20], [150, 10]], [[70, 13], [30, 10]]
    assert repeatability(left, right, shift(60, 0), SIZE, SIZE) == pytest.approx(2 / 3)
    # sizes belong to their own image: (70, 60) lies outside a second view that is 50 px high
    assert repeatability([[70, 60], [5, 5]], [[5, 5]], SAME, SIZE, (50, 200)) == 1


def test_a_distance_of_exactly_eps_counts():
    assert repeatability([[10, 10]], [[13, 14]], SAME, SIZE, SIZE, eps=5) == 1
    assert repeatability([[10, 10]], [[13, 14]], SAME, SIZE, SIZE, eps=4.99) == 0


@examples
@given(seeds)
def test_repeatability_does_as_a_plain_implementation_does(seed):
    points1, points2, homography, size1, size2 = scene(seed)

    def warped(points, matrix):
        mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
        return mapped[:, :2] / mapped[:, 2:]

    def seen(points, size):
        return np.all((points >= 0) & (points <= [size[1] - 1, size[0] - 1]), axis=1)

    there, back = warped(points1, homography), warped(points2, np.linalg.inv(homography))
    seen1, seen2 = seen(there, size2), seen(back, size1)
    ahead = (cdist(there[seen1], points2[seen2]) <= 3).any(axis=1)
    behind = (cdist(back[seen2], points1[seen1]) <= 3).any(axis=1)
    assert repeatability(*scene(seed)) == pytest.approx((ahead.sum() + behind.sum()) / (len(ahead) + len(behind)))


@examples
@given(seeds)
def test_swapping_the_images_changes_nothing(seed):
    points1, points2, homography, size1, size2 = scene(seed)
    ahead = repeatability(points1, points2, homography, size1, size2)
    assert ahead == pytest.approx(repeatability(points2, points1, np.linalg.inv(homography), size2, size1))


def test_nothing_shared_has_no_repeatability():
    assert np.isnan(repeatability([[10, 10]], [[10, 10]], shift(1000, 0), SIZE, SIZE))
    assert np.isnan(repeatability([], [], SAME, SIZE, SIZE))


# Matches


def test_match_errors_by_hand():
    points1, points2 = [[0, 0], [10, 10], [20, 20]], [[10, 13], [3, 4]]
    errors = match_errors(points1, points2, [[0, 1], [1, 0], [2, 0]], SAME)
    np.testing.assert_allclose(errors, [5, 3, np.hypot(10, 7)])
    np.testing.assert_allclose(match_errors(points1, points2, [[0, 1]], shift(3, 4)), [0], atol=1e-12)
    assert match_errors(points1, points2, [], SAME).shape == (0,)
    assert match_errors([], [], np.zeros((0, 2), int), SAME).shape == (0,)


def test_mean_matching_accuracy_by_hand():
    assert mean_matching_accuracy([0, 3, 3.01, 10]) == 0.5
    assert mean_matching_accuracy([0, 3, 3.01, 10], threshold=5) == 0.75
    assert np.isnan(mean_matching_accuracy([]))


def test_matching_score_by_hand():
    # shared: 3 points and 2 points, so 2.5 on average; one of the two matches is right
    points1, points2 = [[10, 10], [50, 50], [80, 80]], [[10, 12], [150, 50]]
    score = matching_score(points1, points2, [[0, 0], [1, 1]], SAME, SIZE, SIZE)
    assert score == pytest.approx(1 / 2.5)
    # shifted 60 px, one point of either image leaves the other's view: 1.5 are left on average
    points1, points2 = [[10, 10], [150, 10]], [[70, 10], [30, 10], [100, 50]]
    assert matching_score(points1, points2, [[0, 0]], shift(60, 0), SIZE, SIZE) == pytest.approx(1 / 1.5)
    assert matching_score(points1, points2, [], shift(60, 0), SIZE, SIZE) == 0
    assert np.isnan(matching_score([], [], [], SAME, SIZE, SIZE))


# Homographies


@examples
@given(seeds)
def test_a_perfect_homography_has_no_corner_error(seed):
    homography = random_homography(SIZE, np.random.default_rng(seed))
    assert corner_error(homography, homography, SIZE) == 0
    assert corner_error(-2.5 * homography, homography, SIZE) == pytest.approx(0, abs=1e-9)  # scale means nothing


@examples
@given(st.floats(-500, 500), st.floats(-500, 500))
def test_the_corner_error_of_a_shift_is_its_length(x, y):
    assert corner_error(shift(x, y), SAME, SIZE) == pytest.approx(np.hypot(x, y))


def test_the_corner_error_of_a_zoom_uses_the_centres_of_the_corner_pixels():
    expected = (0 + 199 + 99 + np.hypot(199, 99)) / 4 * 0.5
    assert corner_error(np.diag([1.5, 1.5, 1]), SAME, SIZE) == pytest.approx(expected)


def test_no_estimate_is_infinitely_wrong():
    assert corner_error(None, SAME, SIZE) == np.inf
