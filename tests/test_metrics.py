"""`helpers.metrics` against hand-computed cases, closed forms, OpenCV and plain implementations by SciPy."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import COCOeval
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from helpers.geometry import IDENTITY
from helpers.metrics import (
    COCO_SIGMAS,
    add,
    corner_error,
    direction_error_deg,
    match_errors,
    matching_score,
    mean_matching_accuracy,
    nme,
    oks,
    pck,
    repeatability,
    reprojection_error,
    rotation_error_deg,
    torso_errors,
)
from helpers.views import random_homography

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


# Poses

K = np.array([[800, 0, 320], [0, 790, 240], [0, 0, 1.0]])


def turn(*rotvec_deg):
    return Rotation.from_rotvec(rotvec_deg, degrees=True).as_matrix()


def random_pose(rng):
    return Rotation.random(rng=rng).as_matrix(), rng.normal(0, 3, 3)


@examples
@given(seeds)
def test_the_rotation_error_does_as_scipy_and_the_trace_do(seed):
    rng = np.random.default_rng(seed)
    first, second = (Rotation.random(rng=rng) for _ in range(2))
    error = rotation_error_deg(first.as_matrix(), second.as_matrix())
    assert error == pytest.approx(np.degrees((second.inv() * first).magnitude()), abs=1e-9)
    trace = np.trace(second.as_matrix().T @ first.as_matrix())
    assert error == pytest.approx(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))), abs=1e-4)


@examples
@given(seeds)
def test_the_rotation_error_is_symmetric_zero_for_equals_and_the_same_from_every_side(seed):
    rng = np.random.default_rng(seed)
    first, second, third = (random_pose(rng)[0] for _ in range(3))
    error = rotation_error_deg(first, second)
    assert 0 <= error <= 180
    assert rotation_error_deg(first, first) == pytest.approx(0, abs=1e-12)
    assert rotation_error_deg(second, first) == pytest.approx(error, abs=1e-9)
    assert rotation_error_deg(third @ first, third @ second) == pytest.approx(error, abs=1e-9)
    assert error <= rotation_error_deg(first, third) + rotation_error_deg(third, second) + 1e-9


@pytest.mark.parametrize("angle", [0, 1e-6, 1e-3, 1, 90, 179.999999, 180])
def test_the_rotation_error_resolves_all_angles(angle):
    about = np.array([2, -1, 2]) / 3
    start = turn(20, 50, -70)
    assert rotation_error_deg(start @ turn(*angle * about), start) == pytest.approx(angle, rel=1e-6, abs=1e-12)


def test_what_is_no_rotation_has_no_rotation_error():
    for bad in (-np.eye(3), np.zeros((3, 3)), np.eye(4), np.zeros(3)):
        with pytest.raises(ValueError):
            rotation_error_deg(bad, np.eye(len(bad)))


@examples
@given(seeds, st.floats(1e-3, 1e3))
def test_the_direction_error_is_symmetric_and_ignores_lengths(seed, scale):
    first, second = np.random.default_rng(seed).normal(size=(2, 3))
    error = direction_error_deg(first, second)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert error == pytest.approx(np.degrees(np.arccos(cosine)), abs=1e-5)
    assert direction_error_deg(second, first) == pytest.approx(error)
    assert direction_error_deg(scale * first, second / scale) == pytest.approx(error)
    assert direction_error_deg(-first, second) == pytest.approx(180 - error)  # the sign counts
    assert direction_error_deg(first, scale * first) == pytest.approx(0, abs=1e-6)
    assert direction_error_deg(first, -scale * first) == pytest.approx(180)


@pytest.mark.parametrize("angle", [0, 1e-6, 1e-3, 1, 90, 179.999999, 180])
def test_the_direction_error_resolves_all_angles(angle):
    radians = np.deg2rad(angle)
    assert direction_error_deg([3 * np.cos(radians), 3 * np.sin(radians), 0], [5, 0, 0]) == pytest.approx(angle)


def test_a_translation_of_length_zero_has_no_direction():
    for pair in (([0, 0, 0], [1, 0, 0]), ([1, 0, 0], [0, 0, 0]), (np.zeros(3), np.zeros(3))):
        with pytest.raises(ValueError, match="length zero has no direction"):
            direction_error_deg(*pair)


def sight(seed):
    """Points before a camera, and its pose."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (15, 3)), (random_pose(rng)[0], np.array([0.1, -0.2, 5]))


@examples
@given(seeds, st.floats(-50, 50), st.floats(-50, 50))
def test_pixels_that_are_shifted_are_wrong_by_the_shift(seed, x, y):
    points, pose = sight(seed)
    pixels = cv2.projectPoints(points, cv2.Rodrigues(pose[0])[0], pose[1], K, None)[0][:, 0]
    assert reprojection_error(points, pixels, K, pose) == pytest.approx(0, abs=1e-9)
    assert reprojection_error(points, np.add(pixels, [x, y]), K, pose) == pytest.approx(np.hypot(x, y), abs=1e-9)


def test_the_reprojection_error_by_hand():
    points, pixels = [[0, 0, 1], [0, 0, 2]], [[320, 240], [320, 240]]
    assert reprojection_error(points, pixels, K) == 0
    assert reprojection_error(points, np.add(pixels, [3, 4]), K) == pytest.approx(5)
    assert reprojection_error(points, np.add(pixels, [[0, 0], [3, 4]]), K) == pytest.approx(np.sqrt(25 / 2))  # not 2.5
    one_metre_off = np.eye(3), np.array([1.0, 0, 0])  # 800 px at 1 m, 400 px at 2 m
    assert reprojection_error(points, pixels, K, one_metre_off) == pytest.approx(np.sqrt((800**2 + 400**2) / 2))


def test_a_point_behind_the_camera_has_no_reprojection_error():
    assert np.isnan(reprojection_error([[0, 0, 1], [0, 0, -1]], [[320, 240], [320, 240]], K))


def test_the_reprojection_error_names_what_is_wrong_with_its_input():
    points, pixels = [[0, 0, 1], [0, 0, 2]], [[320, 240], [320, 240]]
    with pytest.raises(ValueError, match=r"pixels holds NaN"):
        reprojection_error(points, np.full((2, 2), np.nan), K)
    with pytest.raises(ValueError, match=r"points must have shape \(N, 3\)"):
        reprojection_error(pixels, pixels, K)
    with pytest.raises(ValueError, match=r"K = .* is singular"):
        reprojection_error(points, pixels, np.zeros((3, 3)))


@pytest.mark.parametrize("counts", [(2, 1), (1, 2), (3, 2)])
def test_the_reprojection_error_of_points_without_a_partner_is_refused(counts):
    points, pixels = np.ones((counts[0], 3)), np.ones((counts[1], 2))
    with pytest.raises(ValueError, match=rf"{counts[0]} points and {counts[1]} pixels"):
        reprojection_error(points, pixels, K)


@examples
@given(seeds)
def test_add_does_as_scipy_does_and_is_symmetric(seed):
    rng = np.random.default_rng(seed)
    points, first, second = rng.normal(size=(20, 3)), random_pose(rng), random_pose(rng)
    distances = cdist(points @ first[0].T + first[1], points @ second[0].T + second[1]).diagonal()
    assert add(points, first, second) == pytest.approx(distances.mean())
    assert add(points, second, first) == pytest.approx(add(points, first, second))
    assert add(points, first, first) == 0


@examples
@given(seeds)
def test_add_of_a_shift_is_its_length(seed):
    rng = np.random.default_rng(seed)
    (R, t), points = random_pose(rng), rng.normal(size=(20, 3))
    assert add(points, (R, np.add(t, [0.3, -0.4, 1.2])), (R, t)) == pytest.approx(1.3)


def test_add_of_a_turn_is_the_chord_that_each_point_runs_through():
    points = [[1, 0, 5], [0, 3, 0], [0, 0, 7]]  # 1 m, 3 m and 0 m from the axis
    assert add(points, (turn(0, 0, 60), np.zeros(3)), IDENTITY) == pytest.approx((1 + 3 + 0) / 3)
    with pytest.raises(ValueError, match=r"points must have shape \(N, 3\)"):
        add([[1, 2]], IDENTITY, IDENTITY)


def test_no_points_have_no_error():
    assert np.isnan(reprojection_error([], [], K))
    assert np.isnan(add([], IDENTITY, IDENTITY))


# Landmarks


def test_nme_by_hand():
    true, found = np.zeros((68, 2)), np.zeros((68, 2))
    true[36], true[45] = found[36], found[45] = (
        [10, 20],
        [40, 60],
    )  # 37 and 46 in 300-W, which counts from 1: 50 px apart
    found[30] = [6, 8]
    assert nme(found, true) == pytest.approx(10 / 68 / 50)
    found[36] = [10, 0]  # the unit is the true distance, whatever was found
    assert nme(found, true) == pytest.approx((10 + 20) / 68 / 50)
    assert nme([[0, 0], [4, 0], [1, 1]], [[0, 0], [4, 0], [1, 3]], corners=(0, 1)) == pytest.approx(2 / 3 / 4)


@examples
@given(seeds)
def test_nme_does_as_scipy_does_and_knows_no_scale_place_or_turn(seed):
    rng = np.random.default_rng(seed)
    true, found = rng.uniform(0, 99, (2, 68, 2))
    expected = cdist(found, true).diagonal().mean() / cdist(true, true)[36, 45]
    assert nme(found, true) == pytest.approx(expected)
    angle, scale, place = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 10), rng.uniform(-99, 99, 2)
    R = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert nme(found @ R.T + place, true @ R.T + place) == pytest.approx(expected)


def test_nme_of_many_faces_is_one_number_for_each():
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 99, (2, 3, 68, 2))
    offsets = np.array([[0, 1, 2], [3, 4, 5]])
    unit = np.hypot(*np.moveaxis(true[..., 36, :] - true[..., 45, :], -1, 0))
    np.testing.assert_allclose(nme(true + offsets[..., None, None] * [0.6, 0.8], true), offsets / unit, atol=1e-12)
    assert np.shape(nme(true[0, 0], true[0, 0])) == ()


def test_nme_of_landmarks_without_a_partner_is_refused():
    with pytest.raises(ValueError, match="row by row"):
        nme(np.ones((1, 2)), np.random.default_rng(0).normal(size=(68, 2)))


# Object keypoint similarity


def people(seed, count=4):
    """True joints, found ones a few pixels off, areas, and which joints are visible."""
    rng = np.random.default_rng(seed)
    true, area = rng.uniform(0, 200, (count, 17, 2)), rng.uniform(500, 40000, count)
    visible = rng.random((count, 17)) < 0.7
    visible[:, 0] = True
    return true + rng.normal(0, 12, true.shape), true, area, visible


@examples
@given(seeds)
def test_oks_is_that_of_cocos_own_evaluation(seed):
    found, true, area, visible = people(seed)
    keypoints = np.dstack([true, 2 * visible])
    judge = COCOeval(iouType="keypoints")
    judge._gts[1, 1] = [
        {"keypoints": k.ravel(), "area": a, "bbox": [0, 0, 9, 9]} for k, a in zip(keypoints, area, strict=True)
    ]
    judge._dts[1, 1] = [{"keypoints": np.insert(k, 2, 1, axis=1).ravel(), "score": 1} for k in found]
    np.testing.assert_allclose(oks(found, true, area, visible), np.diag(judge.computeOks(1, 1)), rtol=1e-9)


def test_oks_by_hand_and_of_what_was_not_found():
    true = np.zeros((17, 2))
    off = true.copy()
    off[0] = [0.026 * 2 * 100, 0]  # one standard deviation of the nose, for an area of 100^2
    assert oks(true, true, 1e4) == 1
    assert oks(off, true, 1e4) == pytest.approx((16 + np.exp(-0.5)) / 17)
    assert oks(off, true, 1e4, visible=np.arange(17) == 0) == pytest.approx(np.exp(-0.5))
    off[0] = np.nan
    assert oks(off, true, 1e4) == pytest.approx(16 / 17)  # missed
    assert oks(true, off, 1e4) == 1  # not labelled
    assert np.isnan(oks(true, np.full((17, 2), np.nan), 1e4))
    assert COCO_SIGMAS.shape == (17,)


@pytest.mark.parametrize(
    ("found", "true", "area", "message"),
    [
        (np.zeros((14, 2)), np.zeros((14, 2)), 1, r"\(14, 2\), true ones \(14, 2\): both are \(\.\.\., 17, 2\)"),
        (np.zeros((2, 17, 2)), np.zeros((17, 2)), 1, r"\(2, 17, 2\), true ones \(17, 2\)"),
        (np.zeros((17, 2)), np.zeros((17, 2)), 0, r"area must be positive, not 0\.0"),
        (np.zeros((17, 2)), np.zeros((17, 2)), np.nan, r"area must be positive, not nan"),
    ],
)
def test_oks_refuses_what_is_no_person(found, true, area, message):
    with pytest.raises(ValueError, match=message):
        oks(found, true, area)


# Body joints


def body(seed=0):
    """Joints (17, 2) whose torso, from row 5 to row 12, is 50 px long."""
    joints = np.random.default_rng(seed).uniform(0, 200, (17, 2))
    joints[12] = joints[5] + (30, 40)
    return joints


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5])
def test_pck_of_evenly_spread_errors_is_alpha(alpha):
    true = np.stack([body(seed) for seed in range(100)])
    shares = (np.arange(1700).reshape(100, 17) + 0.5) / 1700  # of the torso
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, (100, 17))
    found = true + 50 * shares[..., None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    np.testing.assert_allclose(torso_errors(found, true), shares)
    assert pck(found, true, alpha) == pytest.approx(alpha, abs=1e-9)


def test_pck_counts_what_is_labelled_and_asked_for():
    true, found = body(), body()
    found[:4] += 11  # 15.6 px: beyond 10, within 20
    true[4] = found[6] = np.nan  # no label; not found
    assert pck(found, true, 0.2) == pytest.approx(11 / 16) and pck(found, true, 0.4) == pytest.approx(15 / 16)
    assert pck(found, true, 0.2, which=np.arange(17) < 4) == 0 and pck(found, true, 0.2, which=np.arange(17) > 6) == 1
    true[12] = np.nan
    assert np.isnan(pck(found, true))
    with pytest.raises(ValueError, match="row by row"):
        pck(found[:12], true)


def test_pck_ignores_where_and_how_large_the_person_is():
    true = body()
    found = true + np.random.default_rng(1).normal(0, 8, true.shape)
    assert 0 < pck(found, true) < 1 and pck(3 * found + 70, 3 * true + 70) == pck(found, true)
