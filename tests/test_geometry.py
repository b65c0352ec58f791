"""`helpers.geometry` against OpenCV, scikit-image and closed forms."""

from io import BytesIO

import cv2
import numpy as np
import pytest
import skimage.transform
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import ExifTags, Image
from scipy.spatial.transform import Rotation

from helpers import media
from helpers.geometry import (
    IDENTITY,
    NoPose,
    TooFewPoints,
    as_intrinsics,
    as_points,
    backproject,
    camera_pose,
    compose,
    fit_homography,
    inside,
    intrinsics_from_exif,
    invert,
    project,
    refine_pose,
    relative_pose,
    rescale,
    transform,
    triangulate,
    warp_points,
)
from helpers.views import random_homography

pytestmark = pytest.mark.filterwarnings("error")

SIZE = (480, 640)  # height, width
CORNERS = np.array([[0, 0], [639, 0], [639, 479], [0, 479]], dtype=float)
SQUARE = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], dtype=float)
seeds = st.integers(0, 2**32 - 1)
points_on_image = st_numpy.arrays(float, st.tuples(st.integers(0, 20), st.just(2)), elements=st.floats(0, 479))
examples = settings(max_examples=100, deadline=None, derandomize=True)


def homography_of(seed, **options):
    return random_homography(SIZE, np.random.default_rng(seed), **options)


K1 = np.array([[800, 0, 320], [0, 790, 240], [0, 0, 1]], dtype=float)
K2 = np.array([[600, 0, 300], [0, 620, 260], [0, 0, 1]], dtype=float)


def random_pose(rng):
    return Rotation.random(rng=rng).as_matrix(), rng.normal(0, 3, 3)


def four_by_four(pose):
    return np.vstack([np.column_stack(pose), [0, 0, 0, 1]])


def degrees_between(first, second):
    """The angle between two rotations, by OpenCV."""
    return np.degrees(np.linalg.norm(cv2.Rodrigues(first.T @ second)[0]))


def direction_between(first, second):
    """The angle in degrees between two vectors, by their unit vectors' difference: exact for small angles."""
    first, second = (vector / np.linalg.norm(vector) for vector in (first, second))
    return np.degrees(2 * np.arctan2(np.linalg.norm(first - second), np.linalg.norm(first + second)))


def two_views(rng, count=200, noise=0.0, wrong=0.0, baseline=0.7, points=None):
    """Matched pixels of two cameras that see points 4 m to 8 m away, the points in the first camera's frame, the pose.

    The first `wrong` of the matches are random.
    """
    if points is None:
        points = backproject(rng.uniform([20, 20], [620, 460], (count, 2)), rng.uniform(4, 8, count), K1)
    axis, direction = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    pose = Rotation.from_rotvec(10 * axis, degrees=True).as_matrix(), baseline * direction
    pixels1, pixels2 = (
        project(points, K, p) + rng.normal(0, noise, (count, 2)) for K, p in ((K1, IDENTITY), (K2, pose))
    )
    some = round(wrong * count)
    pixels2[:some] = rng.uniform(0, [640, 480], (some, 2))
    return pixels1, pixels2, points, pose


def one_view(rng, count=100, noise=0.0, wrong=0.0, flat=False):
    """Points of an object 2 m wide, where a camera 4 m to 6 m away sees them, the camera's pose; see `two_views`."""
    points = rng.uniform(-1, 1, (count, 3)) * [1, 1, not flat]
    turn = Rotation.from_euler("zyx", rng.uniform([-180, -60, -60], [180, 60, 60]), degrees=True)
    pose = turn.as_matrix(), np.array([0.2, -0.1, rng.uniform(4, 6)])
    pixels = project(points, K1, pose) + rng.normal(0, noise, (count, 2))
    some = round(wrong * count)
    pixels[:some] = rng.uniform(0, [640, 480], (some, 2))
    return points, pixels, pose


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


def test_as_points_takes_points_in_space():
    assert as_points([[1, 2, 3]], dimensions=3).tolist() == [[1, 2, 3]]
    assert as_points([], dimensions=3).shape == (0, 3)
    with pytest.raises(ValueError, match=r"corners must have shape \(N, 3\) with columns \(x, y, z\), not \(4, 2\)"):
        as_points(SQUARE, "corners", dimensions=3)
    with pytest.raises(ValueError, match=r"points holds NaN"):
        as_points([[0, 0, np.nan]], dimensions=3)


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


def test_four_matches_always_agree_and_a_fifth_confirms():
    corners = np.vstack([SQUARE, [[30, 80]]])
    assert fit_homography(SQUARE, 1.5 * SQUARE + 3)[0] is None
    estimate, inliers = fit_homography(corners, 1.5 * corners + 3)
    np.testing.assert_allclose(estimate, [[1.5, 0, 3], [0, 1.5, 3], [0, 0, 1]], atol=1e-6)
    assert inliers.all()


def test_the_target_of_a_homography_may_be_small_and_far_away():
    source = np.random.default_rng(0).uniform(0, [640, 480], (40, 2))
    metres = source * 0.0005 + [500_000, 5_400_000]
    estimate, inliers = fit_homography(metres - metres.mean(axis=0), source, threshold=1)
    assert inliers.all()
    np.testing.assert_allclose(warp_points(metres - metres.mean(axis=0), estimate), source, atol=1e-3)


# A resize


@pytest.mark.parametrize(("x", "y"), [(2, 2), (0.5, 0.25), (3, 1)])
def test_rescale_maps_centres_as_opencv_resizes(x, y):
    size = np.array([64, 48])  # width, height
    columns, rows = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    new_size = tuple((size * [x, y]).astype(int).tolist())
    old_x, old_y = (cv2.resize(values, new_size, interpolation=cv2.INTER_LINEAR) for values in (columns, rows))
    row, column = new_size[1] // 2, new_size[0] // 2  # away from the border, where OpenCV repeats it
    np.testing.assert_allclose(
        warp_points([[old_x[row, column], old_y[row, column]]], rescale(x, y)), [[column, row]], atol=1e-4
    )


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


# Cameras


def test_as_intrinsics_takes_lists():
    assert as_intrinsics([[800, 0, 320], [0, 790, 240], [0, 0, 1]]).tolist() == K1.tolist()


@pytest.mark.parametrize("bad", [np.eye(4), K1[:2], [800, 790, 320, 240], K1 * np.nan, K1 + np.inf])
def test_as_intrinsics_refuses_what_is_no_finite_3_by_3_matrix(bad):
    with pytest.raises(ValueError, match=r"K must be a finite \(3, 3\) matrix \[\[fx, 0, cx\]"):
        as_intrinsics(bad)


@pytest.mark.parametrize("bad", [np.zeros((3, 3)), np.diag([0, 790, 1]), np.diag([800, 790, 0]), np.ones((3, 3))])
def test_as_intrinsics_refuses_a_singular_matrix(bad):
    with pytest.raises(ValueError, match=r"is singular.*focal lengths are not 0"):
        as_intrinsics(bad)


@pytest.mark.parametrize("bad", [K1.T, 2 * K1])
def test_as_intrinsics_refuses_a_last_row_that_is_not_0_0_1(bad):
    with pytest.raises(ValueError, match="last row"):
        as_intrinsics(bad)


@examples
@given(seeds)
def test_poses_compose_and_invert_as_4_by_4_matrices_do(seed):
    rng = np.random.default_rng(seed)
    first, second, third = (random_pose(rng) for _ in range(3))
    composed = compose(second, first)
    np.testing.assert_allclose(four_by_four(composed), four_by_four(second) @ four_by_four(first), atol=1e-12)
    np.testing.assert_allclose(four_by_four(invert(first)), np.linalg.inv(four_by_four(first)), atol=1e-12)
    left, right = compose(third, composed), compose(compose(third, second), first)
    np.testing.assert_allclose(four_by_four(left), four_by_four(right), atol=1e-12)
    back = compose(invert(first), invert(second))
    np.testing.assert_allclose(four_by_four(invert(composed)), four_by_four(back), atol=1e-12)


@examples
@given(seeds)
def test_a_pose_and_its_inverse_compose_to_the_identity(seed):
    pose = random_pose(np.random.default_rng(seed))
    for nothing in (compose(pose, invert(pose)), compose(invert(pose), pose), compose(IDENTITY, IDENTITY)):
        np.testing.assert_allclose(four_by_four(nothing), np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(four_by_four(compose(pose, IDENTITY)), four_by_four(pose))


@examples
@given(seeds)
def test_transform_does_as_scipy_does(seed):
    rng = np.random.default_rng(seed)
    pose, points = random_pose(rng), rng.normal(0, 5, (7, 3))
    expected = Rotation.from_matrix(pose[0]).apply(points) + pose[1]
    np.testing.assert_allclose(transform(points, pose), expected, atol=1e-12)
    np.testing.assert_allclose(transform(expected, invert(pose)), points, atol=1e-12)
    np.testing.assert_allclose(transform(invert(pose)[1][None], pose), [[0, 0, 0]], atol=1e-12)  # where the camera is
    assert transform([], pose).shape == (0, 3)


@examples
@given(seeds)
def test_a_translation_may_be_a_column_as_opencv_returns_it(seed):
    points, pixels, (R, t) = one_view(np.random.default_rng(seed), count=3)  # as many as would broadcast unnoticed
    np.testing.assert_array_equal(transform(points, (R, t[:, None])), transform(points, (R, t)))
    np.testing.assert_allclose(project(points, K1, (R, t[:, None])), pixels, atol=1e-9)


@examples
@given(seeds)
def test_project_does_as_opencv_does(seed):
    points, _, pose = one_view(np.random.default_rng(seed), count=20)
    theirs = cv2.projectPoints(points, cv2.Rodrigues(pose[0])[0], pose[1], K1, None)[0][:, 0]
    np.testing.assert_allclose(project(points, K1, pose), theirs, atol=1e-6)


def test_project_by_hand():
    assert project([[0, 0, 2], [1, -0.5, 2]], K1).tolist() == [[320, 240], [720, 42.5]]
    skewed = [[800, 40, 320], [0, 790, 240], [0, 0, 1]]  # OpenCV has no skew
    assert project([[1, -0.5, 2]], skewed).tolist() == [[710, 42.5]]
    assert project([], K1).shape == (0, 2)


def test_points_that_are_not_before_the_camera_are_nowhere_without_a_warning():
    seen = project([[0, 0, 1], [0, 0, 0], [1, 2, 0], [1, 2, -3], [0, 0, -1e-300]], K1)
    assert np.isfinite(seen).all(axis=1).tolist() == [True, False, False, False, False]
    assert np.isnan(seen[1:]).all()
    turned = np.diag([-1.0, 1, -1]), np.array([0, 0, 5.0])  # faces the origin, from z = 5
    assert np.isnan(project([[0, 0, 0], [0, 0, 6]], K1, turned)).any(axis=1).tolist() == [False, True]


@examples
@given(seeds)
def test_backproject_undoes_project(seed):
    rng = np.random.default_rng(seed)
    pixels, depth, pose = rng.uniform(0, 480, (9, 2)), rng.uniform(0.1, 50, 9), random_pose(rng)
    points = backproject(pixels, depth, K2)
    np.testing.assert_allclose(points[:, 2], depth)
    np.testing.assert_allclose(points[:, :2] / depth[:, None], (pixels - [300, 260]) / [600, 620], atol=1e-12)
    np.testing.assert_allclose(project(points, K2), pixels, atol=1e-9)
    np.testing.assert_allclose(project(transform(points, invert(pose)), K2, pose), pixels, atol=1e-7)
    assert backproject([], [], K2).shape == (0, 3)


def test_cameras_name_what_is_wrong_with_their_input():
    with pytest.raises(ValueError, match=r"points must have shape \(N, 3\)"):
        project(SQUARE, K1)
    with pytest.raises(ValueError, match=r"points holds NaN"):
        project([[0, 0, np.nan]], K1)
    with pytest.raises(ValueError, match=r"K = .* is singular"):
        project([[0, 0, 1]], np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"K = .* is singular"):
        backproject(SQUARE, np.ones(4), np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"points must have shape \(N, 2\)"):
        backproject(np.ones((4, 3)), np.ones(4), K1)


# Triangulation


@examples
@given(seeds)
def test_project_then_triangulate_changes_nothing(seed):
    pixels1, pixels2, points, pose = two_views(np.random.default_rng(seed), count=20)
    np.testing.assert_allclose(triangulate(pixels1, pixels2, K1, K2, pose), points, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("seed", range(10))
def test_triangulate_solves_the_linear_equations_in_the_least_squares_sense(seed):
    pixels1, pixels2, points, pose = two_views(np.random.default_rng(seed), count=30, noise=1)
    found = triangulate(pixels1, pixels2, K1, K2, pose)
    for pixel1, pixel2, point in zip(pixels1, pixels2, found, strict=True):
        rows = []
        for (x, y), K, (R, t) in ((pixel1, K1, IDENTITY), (pixel2, K2, pose)):
            x, y = (x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1]
            P = np.column_stack([R, t])
            rows += [x * P[2] - P[0], y * P[2] - P[1]]  # Hartley & Zisserman 2004, section 12.2
        homogeneous = np.linalg.svd(rows)[2][-1]
        np.testing.assert_allclose(point, homogeneous[:3] / homogeneous[3], rtol=1e-6, atol=1e-6)
    error = np.median(np.linalg.norm(found - points, axis=1))
    assert 0 < error < 0.5  # z^2 / (f * baseline) = 0.1 m for a pixel, less where the camera moved along its axis


@examples
@given(seeds)
def test_lengths_are_in_the_unit_of_the_translation(seed):
    pixels1, pixels2, points, (R, t) = two_views(np.random.default_rng(seed), count=10)
    np.testing.assert_allclose(
        triangulate(pixels1, pixels2, K1, K2, (R, 1000 * t)), 1000 * points, rtol=1e-6, atol=1e-3
    )
    mirrored = triangulate(pixels1, pixels2, K1, K2, (R, -t))  # the other way: the rays meet behind both cameras
    np.testing.assert_allclose(mirrored, -points, rtol=1e-6, atol=1e-6)


def test_triangulate_names_what_is_wrong_with_its_input():
    pose = np.eye(3), np.array([1.0, 0, 0])
    assert triangulate([], [], K1, K2, pose).shape == (0, 3)
    with pytest.raises(ValueError, match=r"points1 has 4 points and points2 3: pass matched points"):
        triangulate(SQUARE, SQUARE[:3], K1, K2, pose)
    with pytest.raises(ValueError, match=r"points2 holds NaN"):
        triangulate(SQUARE, SQUARE * np.nan, K1, K2, pose)
    with pytest.raises(ValueError, match=r"points1 must have shape \(N, 2\)"):
        triangulate(np.ones((4, 3)), SQUARE, K1, K2, pose)
    with pytest.raises(ValueError, match=r"K = .* is singular"):
        triangulate(SQUARE, SQUARE, K1, np.zeros((3, 3)), pose)


def test_parallel_rays_meet_at_infinity_without_a_warning():
    assert not np.isfinite(triangulate([[320, 240]], [[320, 240]], K1, K1, (np.eye(3), np.array([1.0, 0, 0])))).all()


# Wrong matches


SOLVERS = {
    "homography": (fit_homography, 2),
    "relative pose": (lambda one, two: relative_pose(one, two, K1, K1), 2),
    "camera pose": (lambda one, two: camera_pose(one, two, K1), 3),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("count", "sets"), [(8, 100), (20, 50), (60, 20), (300, 5)])
def test_what_wrong_matches_agree_on_is_refused(solver, count, sets):
    function, dimensions = SOLVERS[solver]
    accepted = 0
    for seed in range(sets):
        rng = np.random.default_rng([seed, count])
        source = rng.uniform(0, 480, (count, 2)) if dimensions == 2 else rng.uniform(-1, 1, (count, 3))
        try:
            accepted += function(source, rng.uniform(0, [640, 480], (count, 2)))[0] is not None
        except NoPose:
            continue
    assert accepted <= 0.02 * sets  # the rule allows for one in ten, and counts many a group twice


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_share_of_right_matches_is_more_than_chance(solver):
    wrong = 120 if solver == "relative pose" else 180
    for seed in range(5):
        rng = np.random.default_rng(seed)
        if solver == "homography":
            source = rng.uniform(0, [640, 480], (210, 2))
            target = warp_points(source, homography_of(seed)) + rng.normal(0, 0.3, (210, 2))
        elif solver == "relative pose":
            points = backproject(rng.uniform([20, 20], [620, 460], (210, 2)), rng.uniform(4, 8, 210), K1)
            pose = Rotation.from_euler("y", 10, degrees=True).as_matrix(), np.array([0.7, 0.1, 0])
            source, target = (project(points, K1, p) + rng.normal(0, 0.1, (210, 2)) for p in (IDENTITY, pose))
        else:
            source, target, _ = one_view(rng, 210, noise=0.3)
        target[:wrong] = rng.uniform(0, [640, 480], (wrong, 2))
        inliers = SOLVERS[solver][0](source, target)[1]
        assert inliers[wrong:].mean() > 0.85 and inliers[:wrong].mean() < 0.15


def test_repeated_matches_count_once():
    pixels1, pixels2, points, _ = two_views(np.random.default_rng(0), count=12)
    with pytest.raises(NoPose, match="50 of 50 matches agree on a pose, as many as would by chance"):
        relative_pose(np.tile(pixels1[:5], (10, 1)), np.tile(pixels2[:5], (10, 1)), K1, K2)
    with pytest.raises(NoPose):
        camera_pose(np.tile(points[:3], (10, 1)), np.tile(pixels1[:3], (10, 1)), K1)
    assert fit_homography(np.tile(SQUARE, (10, 1)), np.tile(SQUARE + 1, (10, 1)))[0] is None
    assert relative_pose(np.tile(pixels1, (2, 1)), np.tile(pixels2, (2, 1)), K1, K2)[1].all()


# Relative pose


def essential(pose):
    x, y, z = pose[1]
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ pose[0]


def sampson_distances(pixels1, pixels2, pose):
    """In pixels, by the gradient of x2^T F x1 (Hartley & Zisserman 2004, equation 11.9)."""
    F = np.linalg.inv(K2).T @ essential(pose) @ np.linalg.inv(K1)
    x1, x2 = (np.column_stack([pixels, np.ones(len(pixels))]) for pixels in (pixels1, pixels2))
    gradient = np.column_stack([(x1 @ F.T)[:, :2], (x2 @ F)[:, :2]])
    return np.einsum("ni,ij,nj->n", x2, F, x1) / np.linalg.norm(gradient, axis=1)


def expected_spread(pixels1, pixels2, pose, noise):
    """The root mean square error in degrees of rotation and direction that noise in pixels leaves (Cramer-Rao)."""
    R, t = pose[0], pose[1] / np.linalg.norm(pose[1])
    across = np.linalg.svd(t[None])[2][1:]

    def moved(step):
        return Rotation.from_rotvec(step[:3]).as_matrix() @ R, t + step[3:] @ across

    steps = 1e-5 * np.eye(5)
    slopes = [
        (sampson_distances(pixels1, pixels2, moved(h)) - sampson_distances(pixels1, pixels2, moved(-h))) / 2e-5
        for h in steps
    ]
    variance = np.diag(noise**2 * np.linalg.inv(np.array(slopes) @ np.transpose(slopes)))
    return np.degrees(np.sqrt([variance[:3].sum(), variance[3:].sum()]))


def opencv_relative_pose(pixels1, pixels2, method):
    normal1, normal2 = (cv2.undistortPoints(p[:, None], K, None)[:, 0] for p, K in ((pixels1, K1), (pixels2, K2)))
    E, mask = cv2.findEssentialMat(normal1, normal2, np.eye(3), method, 0.9999, 1 / 700)
    _, R, t, _ = cv2.recoverPose(E, normal1, normal2, np.eye(3), mask=mask)
    return R, t.ravel()


def test_relative_poses_are_as_good_as_the_noise_allows_and_better_than_opencv_alone():
    ours, spread, ransac, magsac = [], [], [], []
    for seed in range(20):
        pixels1, pixels2, points, (R, t) = two_views(np.random.default_rng(seed), count=200, noise=0.3, wrong=0.3)
        clean = project(points, K1)[60:], project(points, K2, (R, t))[60:]
        spread.append(expected_spread(*clean, (R, t), 0.3))
        for errors, pose in (
            (ours, relative_pose(pixels1, pixels2, K1, K2)[0]),
            (ransac, opencv_relative_pose(pixels1, pixels2, cv2.RANSAC)),
            (magsac, opencv_relative_pose(pixels1, pixels2, cv2.USAC_MAGSAC)),
        ):
            errors.append([degrees_between(R, pose[0]), direction_between(t, pose[1])])
    relation = np.divide(ours, spread)
    assert (np.median(relation, axis=0) > 0.3).all()  # or the noise is not what was meant
    assert (np.median(relation, axis=0) < 1.2).all()
    # A wrong match now and then lies near its epipolar line by chance, and pulls.
    assert ((relation < 3).mean(axis=0) >= 0.85).all() and (np.array(ours) < [0.5, 3]).all()
    assert (np.median(ours, axis=0) <= np.median(ransac, axis=0)).all()
    assert (np.median(ours, axis=0) <= np.median(magsac, axis=0)).all()


@pytest.mark.parametrize("seed", range(5))
def test_relative_pose_sees_through_30_percent_of_wrong_matches(seed):
    pixels1, pixels2, _, true = two_views(np.random.default_rng(seed), noise=0.3, wrong=0.3)
    (R, t), inliers = relative_pose(pixels1, pixels2, K1, K2)
    assert R.shape == (3, 3) and t.shape == (3,)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)
    assert np.linalg.norm(t) == pytest.approx(1)
    assert inliers.dtype == bool and inliers.shape == (200,)
    assert inliers[60:].mean() > 0.9
    assert not inliers[np.abs(sampson_distances(pixels1, pixels2, true)) > 3].any()
    kept = triangulate(pixels1[60:], pixels2[60:], K1, K2, (R, t))
    assert (kept[:, 2] > 0).all() and (transform(kept, (R, t))[:, 2] > 0).all()


@pytest.mark.parametrize("seed", range(10))
def test_exact_matches_give_the_exact_relative_pose_and_swapped_ones_its_inverse(seed):
    pixels1, pixels2, _, true = two_views(np.random.default_rng(seed), count=30)
    pose, inliers = relative_pose(pixels1, pixels2, K1, K2)
    assert inliers.all()
    assert degrees_between(pose[0], true[0]) < 1e-4 and direction_between(pose[1], true[1]) < 1e-4
    swapped, _ = relative_pose(pixels2, pixels1, K2, K1)
    assert degrees_between(swapped[0], true[0].T) < 1e-4
    assert direction_between(swapped[1], invert(true)[1]) < 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_matches_on_a_wall_are_explained_exactly_by_one_of_the_two_poses_that_do(seed):
    rng = np.random.default_rng(seed)
    rays = backproject(rng.uniform([20, 20], [620, 460], (60, 2)), np.ones(60), K1)
    wall = 6 * rays / (rays @ [0.2, -0.3, 1])[:, None]
    pixels1, pixels2, _, _ = two_views(rng, 60, points=wall)
    pose, inliers = relative_pose(pixels1, pixels2, K1, K2)  # Longuet-Higgins 1986: planes are ambiguous
    assert inliers.all() and np.abs(sampson_distances(pixels1, pixels2, pose)).max() < 1e-6


def test_a_short_step_before_a_distant_scene_is_still_a_step():
    for seed in range(10):
        pixels1, pixels2, _, true = two_views(np.random.default_rng(seed), baseline=0.05)  # 80 to 160 baselines away
        pose, _ = relative_pose(pixels1, pixels2, K1, K2)
        assert degrees_between(pose[0], true[0]) < 1e-3 and direction_between(pose[1], true[1]) < 0.1


def test_a_camera_that_only_turns_has_its_rotation_found():
    for seed in range(10):
        pixels1, pixels2, _, true = two_views(np.random.default_rng(seed), baseline=0, noise=0.1)
        pose, _ = relative_pose(pixels1, pixels2, K1, K2)
        assert degrees_between(pose[0], true[0]) < 0.5


def test_relative_pose_is_repeatable():
    pixels1, pixels2, _, _ = two_views(np.random.default_rng(0), noise=0.3, wrong=0.3)
    first, second = (relative_pose(pixels1, pixels2, K1, K2) for _ in range(2))
    np.testing.assert_array_equal(four_by_four(first[0]), four_by_four(second[0]))
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("case", ["all in one place", "three different places", "all on a line", "many onto one place"])
def test_matches_that_fix_no_relative_pose_are_refused(case):
    with pytest.raises(NoPose):
        relative_pose(*DEGENERATE[case], K1, K2)


@pytest.mark.parametrize("count", range(5))
def test_too_few_matches_for_a_relative_pose_are_counted_and_come_with_a_remedy(count):
    points = LINE[:count]
    with pytest.raises(TooFewPoints, match=rf"relative pose needs at least 5 matches, got {count}: lower the keypoint"):
        relative_pose(points, points, K1, K2)


def test_relative_pose_names_what_is_wrong_with_its_input():
    with pytest.raises(ValueError, match=r"points1 has 20 points and points2 19: pass matched points"):
        relative_pose(LINE, LINE[1:], K1, K2)
    with pytest.raises(ValueError, match=r"points2 must have shape \(N, 2\)"):
        relative_pose(LINE, np.ones((20, 3)), K1, K2)
    with pytest.raises(ValueError, match=r"points1 holds NaN"):
        relative_pose(LINE * np.nan, LINE, K1, K2)
    for singular in ((np.zeros((3, 3)), K2), (K1, np.zeros((3, 3)))):
        with pytest.raises(ValueError, match=r"K = .* is singular"):
            relative_pose(LINE, LINE, *singular)
    with pytest.raises(ValueError, match=r"K must be a finite \(3, 3\) matrix"):
        relative_pose(LINE, LINE, K1, K2 * np.nan)


# Camera pose


def expected_shift(points, pose, noise):
    """The root mean square error of a camera's translation that noise in pixels leaves, by OpenCV's derivatives."""
    _, slopes = cv2.projectPoints(points, cv2.Rodrigues(pose[0])[0], pose[1], K1, None)
    return np.sqrt(noise**2 * np.diag(np.linalg.inv(slopes[:, :6].T @ slopes[:, :6]))[3:].sum())


@pytest.mark.parametrize("flat", [False, True])
def test_camera_poses_are_as_good_as_the_noise_allows_despite_40_percent_of_wrong_matches(flat):
    relation, turns = [], []
    for seed in range(20):
        points, pixels, (R, t) = one_view(np.random.default_rng(seed), noise=0.5, wrong=0.4, flat=flat)
        pose, inliers = camera_pose(points, pixels, K1)
        relation.append(np.linalg.norm(pose[1] - t) / expected_shift(points[40:], (R, t), 0.5))
        turns.append(degrees_between(pose[0], R))
        np.testing.assert_allclose(pose[0] @ pose[0].T, np.eye(3), atol=1e-12)
        assert inliers.dtype == bool and inliers.shape == (100,)
        assert inliers[40:].mean() > 0.8
        assert not inliers[np.linalg.norm(project(points, K1, (R, t)) - pixels, axis=1) > 4].any()
    assert np.sqrt(np.square(relation).mean()) < 2 and max(relation) < 5 and max(turns) < 1.5


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("count", [4, 5, 6, 30])
def test_exact_matches_give_the_exact_camera_pose(count, seed):
    points, pixels, true = one_view(np.random.default_rng(seed), count)
    pose, inliers = camera_pose(points, pixels, K1)
    assert inliers.all()
    np.testing.assert_allclose(four_by_four(pose), four_by_four(true), atol=1e-4)


@pytest.mark.parametrize("count", [4, 5, 6, 8, 30])
def test_exact_matches_on_a_plane_give_the_exact_camera_pose(count):
    for seed in range(10):
        points, pixels, true = one_view(np.random.default_rng(seed), count, flat=True)
        pose, _ = camera_pose(points, pixels, K1)
        np.testing.assert_allclose(four_by_four(pose), four_by_four(true), atol=1e-3)


def test_camera_pose_is_repeatable():
    points, pixels, _ = one_view(np.random.default_rng(0), noise=0.5, wrong=0.4)
    first, second = (camera_pose(points, pixels, K1) for _ in range(2))
    np.testing.assert_array_equal(four_by_four(first[0]), four_by_four(second[0]))
    np.testing.assert_array_equal(first[1], second[1])


@examples
@given(seeds)
def test_points_on_a_line_fix_no_camera_pose(seed):
    rng = np.random.default_rng(seed)
    start, step = rng.uniform(-1, 1, (2, 3))
    points = start + rng.uniform(-1, 1, (10, 1)) * step
    for line in (points, points + rng.normal(0, 1e-6, (10, 3)), np.full((10, 3), start)):
        with pytest.raises(NoPose, match="lie on a line, about which the camera may turn: add points"):
            camera_pose(line, rng.uniform(0, 480, (10, 2)), K1)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("count", [4, 5, 6])
def test_few_random_matches_give_no_camera_pose(count, seed):
    rng = np.random.default_rng(seed)
    with pytest.raises(NoPose, match=rf"of {count} matches agree on a pose, as many as would by chance"):
        camera_pose(rng.uniform(-1, 1, (count, 3)), rng.uniform(0, 480, (count, 2)), K1)


@pytest.mark.parametrize("flat", [False, True])
def test_map_coordinates_lose_nothing(flat):
    place = np.array([500_000, 5_400_000, 300])
    for seed in range(10):
        points, pixels, (R, t) = one_view(np.random.default_rng(seed), 30, flat=flat)
        pose, inliers = camera_pose(points + place, pixels, K1)
        assert inliers.all()
        np.testing.assert_allclose(invert(pose)[1] - place, invert((R, t))[1], atol=1e-5)
        start = pose[0], pose[1] + [0.01, 0, 0.02]
        for loss in ("linear", "cauchy"):
            refined = refine_pose(points + place, pixels, K1, start, loss)
            np.testing.assert_allclose(invert(refined)[1] - place, invert((R, t))[1], atol=1e-5)


def test_a_skewed_camera_is_undone():
    skewed = np.array([[800, 40, 320], [0, 790, 240], [0, 0, 1]], dtype=float)
    rng = np.random.default_rng(0)
    points, _, true = one_view(rng, 30)
    pixels = project(points, skewed, true)
    np.testing.assert_allclose(four_by_four(camera_pose(points, pixels, skewed)[0]), four_by_four(true), atol=1e-6)
    np.testing.assert_allclose(
        four_by_four(refine_pose(points, pixels, skewed, nearby(true, rng))), four_by_four(true), atol=1e-6
    )
    moved = Rotation.from_euler("y", 10, degrees=True).as_matrix() @ true[0], true[1] + [0.5, 0.2, 0]
    (R, t), _ = relative_pose(pixels, project(points, skewed, moved), skewed, skewed)
    step = compose(moved, invert(true))
    assert degrees_between(R, step[0]) < 1e-4 and direction_between(t, step[1]) < 1e-4


@pytest.mark.parametrize("case", ["three different places", "all seen in one place"])
def test_repeated_matches_that_fix_no_camera_pose_are_refused(case):
    points, pixels, _ = one_view(np.random.default_rng(0), 20)
    if case == "three different places":
        points, pixels = np.repeat(points[:3], 5, axis=0), np.repeat(pixels[:3], 5, axis=0)
    else:
        pixels = np.full((20, 2), 100.0)
    with pytest.raises(NoPose):
        camera_pose(points, pixels, K1)


@pytest.mark.parametrize("count", range(4))
def test_too_few_matches_for_a_camera_pose_are_counted(count):
    with pytest.raises(TooFewPoints, match=rf"camera's pose needs at least 4 matches, got {count}"):
        camera_pose(np.ones((count, 3)), SQUARE[:count], K1)


def test_camera_pose_names_what_is_wrong_with_its_input():
    points, pixels, _ = one_view(np.random.default_rng(0), 10)
    with pytest.raises(ValueError, match=r"points has 10 points and pixels 9: pass matched points"):
        camera_pose(points, pixels[1:], K1)
    with pytest.raises(ValueError, match=r"points must have shape \(N, 3\) with columns \(x, y, z\), not \(10, 2\)"):
        camera_pose(pixels, pixels, K1)
    with pytest.raises(ValueError, match=r"pixels must have shape \(N, 2\) with columns \(x, y\), not \(10, 3\)"):
        camera_pose(points, points, K1)
    with pytest.raises(ValueError, match=r"points holds NaN"):
        camera_pose(points * np.nan, pixels, K1)
    with pytest.raises(ValueError, match=r"pixels holds NaN"):
        camera_pose(points, pixels * np.nan, K1)
    with pytest.raises(ValueError, match=r"K = .* is singular"):
        camera_pose(points, pixels, np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"K must be a finite \(3, 3\) matrix"):
        camera_pose(points, pixels, K1[:2])


# Refinement


def nearby(pose, rng):
    return Rotation.from_rotvec(rng.normal(0, 0.05, 3)).as_matrix() @ pose[0], pose[1] + rng.normal(0, 0.1, 3)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_refine_pose_finds_the_minimum_that_opencv_finds(seed, flat):
    rng = np.random.default_rng(seed)
    points, pixels, true = one_view(rng, 12, noise=1, flat=flat)
    start = nearby(true, rng)
    pose = refine_pose(points, pixels, K1, start)
    turn, shift = cv2.solvePnPRefineLM(
        points, pixels, K1, None, cv2.Rodrigues(start[0])[0], start[1][:, None].copy(), (3, 500, 1e-15)
    )
    theirs = cv2.Rodrigues(turn)[0], shift.ravel()

    def squares(pose):
        return ((cv2.projectPoints(points, cv2.Rodrigues(pose[0])[0], pose[1], K1, None)[0][:, 0] - pixels) ** 2).sum()

    assert squares(pose) <= squares(theirs) * (1 + 1e-6)
    assert squares(pose) <= squares(true)
    np.testing.assert_allclose(pose[0] @ pose[0].T, np.eye(3), atol=1e-12)


@examples
@given(seeds)
def test_refine_pose_comes_back_to_the_pose_of_exact_matches(seed):
    rng = np.random.default_rng(seed)
    points, pixels, true = one_view(rng, 20)
    for start in (true, nearby(true, rng)):
        np.testing.assert_allclose(four_by_four(refine_pose(points, pixels, K1, start)), four_by_four(true), atol=1e-5)


def test_the_cauchy_loss_withstands_what_least_squares_does_not():
    rng = np.random.default_rng(0)
    points, pixels, true = one_view(rng, 30, noise=0.2)
    pixels[:4] += 25
    errors = {
        loss: np.linalg.norm(refine_pose(points, pixels, K1, nearby(true, rng), loss)[1] - true[1])
        for loss in ("linear", "cauchy")
    }
    assert errors["cauchy"] < 0.01 < 0.03 < errors["linear"]


def test_refine_pose_names_what_is_wrong_with_its_input():
    points, pixels, pose = one_view(np.random.default_rng(0), 10)
    with pytest.raises(ValueError, match=r"points has 10 points and pixels 9: pass matched points"):
        refine_pose(points, pixels[1:], K1, pose)
    with pytest.raises(ValueError, match=r"points must have shape \(N, 3\)"):
        refine_pose(pixels, pixels, K1, pose)
    with pytest.raises(ValueError, match=r"pixels holds NaN"):
        refine_pose(points, pixels * np.nan, K1, pose)
    with pytest.raises(ValueError, match=r"K = .* is singular"):
        refine_pose(points, pixels, np.zeros((3, 3)), pose)
    with pytest.raises(TooFewPoints, match=r"camera's pose needs at least 3 matches, got 2"):
        refine_pose(points[:2], pixels[:2], K1, pose)


# The camera that took a photograph


def taken(size, orientation=1, **tags):
    """The bytes of a JPEG of `size` = (width, height) as a camera saves it, with EXIF `tags` by their names."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base[name]: value for name, value in tags.items()})
    Image.new("RGB", size).save(data := BytesIO(), "jpeg", exif=exif)
    return data.getvalue()


def of_a_phone(size=(4032, 3024), **tags):
    return taken(size, ExifImageWidth=4032, ExifImageHeight=3024, FocalLength=4.25, FocalLengthIn35mmFilm=26, **tags)


# Photograph, focal length in 35 mm terms, and what gives the focal length in pixels without it: the focal length in mm
# and the size of a pixel in micrometres. Pixels and 35 mm terms as published, millimetres as the phones write them.
PHONES = {
    "Apple iPhone 7": ((4032, 3024), 28, 3.99, 1.22),
    "Apple iPhone XS": ((4032, 3024), 26, 4.25, 1.4),
    "Google Nexus 6P": ((4032, 3024), 26, 4.67, 1.55),
    "Samsung Galaxy S9": ((4032, 3024), 26, 4.3, 1.4),
    "Samsung Galaxy S21": ((4000, 3000), 26, 5.4, 1.8),
}


@pytest.mark.parametrize("orientation", [1, 6, 8])  # as held, and upright to either side
@pytest.mark.parametrize(("size", "of_35mm", "millimetres", "micrometres"), PHONES.values(), ids=PHONES)
def test_intrinsics_of_phones_are_right_to_3_percent(size, of_35mm, millimetres, micrometres, orientation):
    width, height = size
    tags = {"ExifImageWidth": width, "ExifImageHeight": height, "FocalLengthIn35mmFilm": of_35mm}
    photo = media.load(taken(size, orientation, FocalLength=millimetres, **tags))
    assert photo.size == (size if orientation == 1 else size[::-1])
    K = intrinsics_from_exif(photo)
    assert K[0, 0] == K[1, 1] == pytest.approx(millimetres / micrometres * 1000, rel=0.03)
    np.testing.assert_allclose(
        K, [[K[0, 0], 0, (photo.width - 1) / 2], [0, K[0, 0], (photo.height - 1) / 2], [0, 0, 1]]
    )


@pytest.mark.parametrize(
    ("resolution", "unit"), [(5728.177, 2), (5728.177, None), (2255.188, 3), (225.5188, 4), (0.2255188, 5)]
)
def test_intrinsics_from_the_resolution_of_the_sensor(resolution, unit):
    """5184 px on 22.99 mm, in pixels per inch, no unit, centimetre, millimetre and micrometre."""
    tags = {"FocalLength": 50.0, "FocalPlaneXResolution": resolution}
    tags |= {"FocalPlaneResolutionUnit": unit} if unit else {}
    whole = intrinsics_from_exif(Image.open(BytesIO(taken((5184, 3456), **tags))))
    assert whole[0, 0] == pytest.approx(50 * 5184 / 22.99, rel=1e-3)
    smaller = taken((1296, 864), 8, ExifImageWidth=5184, ExifImageHeight=3456, **tags)
    np.testing.assert_allclose(intrinsics_from_exif(media.load(smaller))[0, 0], whole[0, 0] / 4)


@pytest.mark.parametrize("orientation", [1, 6])
def test_intrinsics_of_a_resized_photograph_are_the_rescaled_ones(orientation):
    photo = media.load(of_a_phone(orientation=orientation))
    for size in ((photo.width // 4, photo.height // 4), (photo.width // 3, photo.height // 3)):
        small = photo.resize(size)
        expected = rescale(size[0] / photo.width, size[1] / photo.height) @ intrinsics_from_exif(photo)
        np.testing.assert_allclose(intrinsics_from_exif(small), expected, rtol=1e-12)
    saved = media.load(of_a_phone((1008, 756), orientation=orientation))  # by a program that leaves EXIF as it was
    np.testing.assert_allclose(intrinsics_from_exif(saved), intrinsics_from_exif(photo.resize(saved.size)))


def test_a_crop_is_noticed_by_its_proportions():
    photo = media.load(of_a_phone())
    with pytest.raises(ValueError, match=r"3000 x 3000 px, but 4032 x 3024 by EXIF: it was cropped\. Pass it uncr"):
        intrinsics_from_exif(photo.crop((500, 0, 3500, 3000)))
    intrinsics_from_exif(photo.crop((0, 0, 2016, 1512)))  # in the same proportions, it can't be


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"FocalLengthIn35mmFilm": 0},
        {"FocalLength": 4.25},
        {"FocalPlaneXResolution": 5728.0},
        {"FocalLength": 4.25, "FocalPlaneXResolution": 0.0},
    ],
)
def test_where_exif_lacks_the_focal_length_that_is_said(tags):
    with pytest.raises(ValueError, match=r"no focal length that helps in EXIF.* or calibrate"):
        intrinsics_from_exif(media.load(taken((40, 30), **tags)))
    with pytest.raises(ValueError, match="no focal length that helps"):
        intrinsics_from_exif(Image.new("RGB", (40, 30)))
    K = intrinsics_from_exif(media.load(taken((40, 30), **tags)), otherwise=28)
    np.testing.assert_allclose(K, [[28 * 50 / 43.2666, 0, 19.5], [0, 28 * 50 / 43.2666, 14.5], [0, 0, 1]], rtol=1e-5)


def test_what_exif_says_comes_before_what_is_assumed():
    for photo in (
        media.load(of_a_phone()),
        media.load(taken((400, 300), FocalLength=5.0, FocalPlaneXResolution=1000.0)),
    ):
        np.testing.assert_array_equal(intrinsics_from_exif(photo, otherwise=100), intrinsics_from_exif(photo))


def test_damaged_exif_is_said():
    image = Image.new("RGB", (40, 30))
    image.info["exif"] = b"Exif\0\0garbage"
    with pytest.raises(ValueError, match="EXIF can't be read"):
        intrinsics_from_exif(image)
