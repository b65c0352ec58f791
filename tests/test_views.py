"""`helpers.views` against OpenCV's projection, Pillow and known geometry; `media.motorcycle` against scikit-image."""

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from helpers import media
from helpers.geometry import backproject, inside, invert, project, transform, warp_points
from helpers.views import (
    cube,
    disturb,
    look_at,
    paste,
    place,
    random_homography,
    rotation,
    straightened,
    view_from,
    warp,
)

SIZE = (480, 640)  # height, width
CORNERS = np.array([[0, 0], [639, 0], [639, 479], [0, 479]], dtype=float)
K = np.array([[300, 0, 119.5], [0, 300, 99.5], [0, 0, 1]])
WHITE = Image.new("RGB", (240, 200), "white")
seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=100, deadline=None, derandomize=True)


def homography_of(seed, **options):
    return random_homography(SIZE, np.random.default_rng(seed), **options)


def corner_distances(first, second):
    return np.linalg.norm(warp_points(CORNERS, first) - warp_points(CORNERS, second), axis=1)


def dotted(size, points, sigma=2.0):
    """An image (width, height) with a bright dot at each point."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    values = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in points)
    return Image.fromarray(np.uint8(np.round(255 * np.clip(values, 0, 1)))).convert("RGB")


def middle_of(image, near, radius=12):
    """Centre of mass of an image's brightness near a place."""
    values = np.asarray(image.convert("L"), dtype=float)
    y, x = np.indices(values.shape)
    return np.array(ndimage.center_of_mass(np.where(np.hypot(x - near[0], y - near[1]) < radius, values, 0))[::-1])


def test_straightened_undoes_a_camera():
    card = Image.fromarray(np.random.default_rng(0).integers(0, 255, (15, 10, 3), np.uint8)).resize((200, 300))
    pose = Rotation.from_euler("xyz", [25, -15, 20], degrees=True).as_matrix(), np.array([0.05, 0, 1.6])
    near = np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])
    photo = place(Image.new("RGB", (640, 480)), card, 1.0, near, pose)
    plane = np.array([[-1, -1.5, 0], [1, -1.5, 0], [1, 1.5, 0], [-1, 1.5, 0]]) / 2
    sheet = straightened(photo, project(plane, near, pose))
    assert 150 < sheet.width < 400 and 1.2 < sheet.height / sheet.width < 1.8
    off = np.abs(np.asarray(sheet.resize(card.size), float) - np.asarray(card, float))[3:-3, 3:-3]
    assert off.mean() < 6
    turned = straightened(photo, project(np.roll(plane, -1, axis=0), near, pose))  # from the top right corner on
    assert np.abs(np.asarray(turned.rotate(-90, expand=True).resize(card.size), float) - np.asarray(card)).mean() < 8


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


# Warps and disturbances


def test_rotation_by_a_quarter_turn_is_pillows():
    image = media.photo("coffee").resize((200, 200))
    turned = np.asarray(warp(image, rotation(image, 90)), dtype=int)
    assert np.abs(turned - np.asarray(image.transpose(Image.Transpose.ROTATE_90)))[1:-1, 1:-1].max() <= 1
    assert rotation(image, 0).tolist() == np.eye(3).tolist()
    grown = warp_points([[99.5, 99.5], [109.5, 99.5]], rotation(image, 0, zoom=2))
    np.testing.assert_allclose(grown, [[99.5, 99.5], [119.5, 99.5]])


@pytest.mark.parametrize("seed", range(5))
def test_warp_moves_pixels_to_where_warp_points_moves_points(seed):
    points, homography = np.array([[200, 150], [420, 180], [330, 330]]), homography_of(seed)
    view = warp(dotted((640, 480), points, sigma=4), homography)
    for expected in warp_points(points, homography):
        np.testing.assert_allclose(middle_of(view, expected, radius=25), expected, atol=0.5)


def test_warp_makes_room():
    moved = warp(Image.new("RGB", (20, 10), "white"), [[1, 0, 5], [0, 1, 7], [0, 0, 1]], size=(30, 40))
    assert moved.size == (40, 30)
    assert np.argwhere(np.asarray(moved)[..., 0]).min(axis=0).tolist() == [7, 5]


def test_disturb_darkens_blurs_and_adds_noise_as_told():
    gray = Image.new("RGB", (300, 300), (100, 100, 100))
    assert np.asarray(disturb(gray, np.random.default_rng(0), light=0.5)).max() == 50
    noisy = np.asarray(disturb(gray, np.random.default_rng(0), noise=0.04), dtype=float)
    assert noisy.mean() == pytest.approx(100, abs=0.1) and noisy.std() == pytest.approx(0.04 * 255, rel=0.01)
    np.testing.assert_array_equal(noisy, np.asarray(disturb(gray, np.random.default_rng(0), noise=0.04)))
    square = np.zeros((101, 101, 3), dtype=np.uint8)
    square[30:71, 30:71] = 200
    blurred = np.asarray(disturb(Image.fromarray(square), np.random.default_rng(0), blur=3))[..., 0].astype(float)
    np.testing.assert_allclose(blurred, ndimage.gaussian_filter(square[..., 0].astype(float), 3), atol=2)
    photo = media.photo("coffee")
    np.testing.assert_array_equal(np.asarray(disturb(photo, np.random.default_rng(0))), np.asarray(photo))


def test_paste_lays_a_picture_where_its_homography_says():
    background = media.photo("coffee").resize((240, 200))
    picture = Image.new("RGB", (60, 40), "red")
    shown = np.asarray(paste(background, picture, np.array([[1, 0, 100], [0, 1, 80], [0, 0, 1.0]])))
    expected = np.array(background)
    expected[80:120, 100:160] = (255, 0, 0)
    np.testing.assert_array_equal(shown[82:118, 102:158], expected[82:118, 102:158])
    outside = np.ones((200, 240), dtype=bool)
    outside[79:121, 99:161] = False
    np.testing.assert_array_equal(shown[outside], expected[outside])
    far = paste(background, picture, np.array([[1, 0, 900], [0, 1, 80], [0, 0, 1.0]]))
    np.testing.assert_array_equal(np.asarray(far), np.asarray(background))


@pytest.mark.parametrize(("left", "width"), [(-30, 30), (100, 60), (200, 40)])
def test_paste_over_the_edge_is_cut_off(left, width):
    homography = np.array([[1, 0, left], [0, 1, 80], [0, 0, 1.0]])
    view = paste(Image.new("RGB", (240, 200)), Image.new("RGB", (60, 40), "white"), homography)
    assert (np.asarray(view)[..., 0] > 127).sum() == 40 * width


# Pictures in space


def card_pose(seed):
    turn = Rotation.from_rotvec(np.random.default_rng(seed).uniform(-40, 40, 3), degrees=True)
    return turn.as_matrix(), np.array([0.05, -0.03, 0.8])


@pytest.mark.parametrize("seed", range(5))
def test_place_puts_a_pictures_points_where_project_does(seed):
    places, pose = np.array([[50, 40], [150, 40], [50, 110], [150, 110], [100, 75]]), card_pose(seed)
    view = place(Image.new("RGB", WHITE.size), dotted((200, 150), places, sigma=5), 0.4, K, pose)
    metres = np.column_stack([(places - [99.5, 74.5]) * 0.4 / 200, np.zeros(5)])
    for expected in project(metres, K, pose):
        np.testing.assert_allclose(middle_of(view, expected), expected, atol=0.3)


def test_place_covers_the_pictures_outline():
    pose = card_pose(3)
    outline = project(np.array([[-0.2, -0.15, 0], [0.2, -0.15, 0], [0.2, 0.15, 0], [-0.2, 0.15, 0]]), K, pose)
    view = place(Image.new("RGB", WHITE.size), Image.new("RGB", (200, 150), "white"), 0.4, K, pose)
    assert np.asarray(view).mean() / 255 * 200 * 240 == pytest.approx(
        cv2.contourArea(outline.astype(np.float32)), rel=0.01
    )


@pytest.mark.parametrize("depth", [-1, 0.05])
def test_what_is_not_before_the_camera_is_not_placed(depth):
    pose = Rotation.from_euler("y", 60, degrees=True).as_matrix(), np.array([0, 0, depth])
    view = place(WHITE, Image.new("RGB", (20, 20)), 0.4, K, pose)
    np.testing.assert_array_equal(np.asarray(view), np.asarray(WHITE))


OUTWARD = np.array([[0, 0, -1], [1, 0, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 1, 0]])
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]])


@pytest.mark.parametrize("position", [(0, 0, -5), (3, -2, -4), (-3, 1, 4), (4, 3, 0.1), (-1, -4, -2)])
def test_a_cube_shows_the_sides_that_face_the_camera(position):
    sides, pose = [Image.new("RGB", (50, 50), tuple(colour)) for colour in COLOURS.tolist()], look_at(position)
    shown = np.asarray(cube(WHITE, sides, 1.0, K, pose))
    for outward, colour in zip(OUTWARD, COLOURS, strict=True):
        visible = outward @ position > 0.5  # the camera is beyond the plane of this side
        assert ((shown == colour).all(axis=2).sum() > 30) == visible
        if visible:  # and it is where it should be
            x, y = np.rint(project(outward[None] / 2, K, pose)[0]).astype(int)
            assert shown[y, x].tolist() == colour.tolist()


@pytest.mark.parametrize(
    ("position", "corner"),
    [
        ((0, 0, -4), (-0.25, -0.25, -0.5)),
        ((4, 0, 0), (0.5, -0.25, -0.25)),
        ((0, 0, 4), (0.25, -0.25, 0.5)),
        ((-4, 0, 0), (-0.5, -0.25, 0.25)),
    ],
)
def test_a_cubes_pictures_stand_upright_and_are_not_mirrored(position, corner):
    picture, pose = dotted((60, 60), [(14.5, 14.5)], sigma=4), look_at(position)  # a dot at the upper left
    view = cube(Image.new("RGB", WHITE.size), [picture] * 6, 1.0, K, pose)
    expected = project([corner], K, pose)[0]
    np.testing.assert_allclose(middle_of(view, expected, radius=15), expected, atol=0.5)


def test_a_cube_takes_six_pictures():
    with pytest.raises(ValueError, match="shorter"):
        cube(WHITE, [Image.new("RGB", (9, 9))] * 5, 1.0, K, look_at((0, 0, -5)))


@examples
@given(seeds)
def test_look_at_looks_there_and_stands_upright(seed):
    position, target = np.random.default_rng(seed).uniform(-5, 5, (2, 3))
    pose = look_at(position, target)
    np.testing.assert_allclose(pose[0] @ pose[0].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[0]) == pytest.approx(1)
    np.testing.assert_allclose(invert(pose)[1], position, atol=1e-9)
    np.testing.assert_allclose(transform(target[None], pose)[0], [0, 0, np.linalg.norm(target - position)], atol=1e-9)
    right, down, _ = pose[0]
    assert right[1] == pytest.approx(0, abs=1e-12) and down[1] > 0  # the horizon is level, and down is down


def test_look_at_straight_down_has_no_upright():
    with pytest.raises(ValueError, match="is straight along y: move the camera aside"):
        look_at([1, -2, 3], [1, 5, 3])


# New views


def wall(tilt_deg):
    """A photograph of a flat wall 3 m away, turned about the vertical, its depth, and the plane's normal."""
    photo, (y, x) = media.photo("brick").resize((240, 200)), np.indices((200, 240))
    rays = backproject(np.column_stack([x.ravel(), y.ravel()]), np.ones(x.size), K)
    normal = np.array([np.sin(np.radians(tilt_deg)), 0, np.cos(np.radians(tilt_deg))])
    return photo, (3 * normal[2] / (rays @ normal)).reshape(200, 240), normal


@pytest.mark.parametrize("tilt_deg", [0, 25])
def test_a_view_of_a_wall_is_its_homography(tilt_deg):
    photo, depth, normal = wall(tilt_deg)
    pose = Rotation.from_euler("yx", [8, -4], degrees=True).as_matrix(), np.array([-0.3, 0.1, 0.2])
    homography = K @ (pose[0] + np.outer(pose[1], normal) / (3 * normal[2])) @ np.linalg.inv(K)
    y, x = np.indices((200, 240))
    back = warp_points(np.column_stack([x.ravel(), y.ravel()]), np.linalg.inv(homography))
    shared = inside(back, (200, 240), margin=6).reshape(200, 240)
    view, expected = (np.asarray(v, dtype=float) for v in (view_from(photo, depth, K, pose), warp(photo, homography)))
    moved = np.asarray(warp(photo, np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1.0]]) @ homography), dtype=float)
    error, by_a_pixel = (np.abs(other - expected)[shared].mean() for other in (view, moved))
    assert shared.mean() > 0.5 and error < 0.4 * by_a_pixel


def test_the_nearer_thing_hides_the_farther_one():
    pixels, depth = np.full((200, 240, 3), 60, dtype=np.uint8), np.full((200, 240), 4.0)
    pixels[80:120, 100:140], depth[80:120, 100:140] = (255, 0, 0), 2.0  # a red square before a gray wall
    view = np.asarray(view_from(Image.fromarray(pixels), depth, K, (np.eye(3), np.array([-0.2, 0, 0]))))
    red = np.argwhere((view[..., 0] > 200) & (view[..., 1] < 40))
    np.testing.assert_allclose(red.mean(axis=0), [99.5, 119.5 - 300 * 0.2 / 2], atol=1)
    assert len(red) == pytest.approx(1600, rel=0.1)


def test_the_same_place_shows_the_same_photograph_and_gaps_in_the_depth_are_filled():
    photo, depth, _ = wall(10)
    holes = depth.copy()
    holes[50:60, 70:90], holes[100, 100] = np.nan, np.inf
    for known in (depth, holes, cv2.resize(depth, (480, 400), interpolation=cv2.INTER_NEAREST)):
        view = np.asarray(view_from(photo, known, K, (np.eye(3), np.zeros(3))), dtype=float)
        assert np.abs(view - np.asarray(photo))[5:-5, 5:-5].max() <= 1


def test_a_view_of_the_motorcycle_from_the_right_is_the_right_photograph():
    pair = media.motorcycle()
    shift = np.array([[1, 0, 31.086], [0, 1, 0], [0, 0, 1]])  # of the right camera's principal point
    view = warp(view_from(pair.left, pair.depth, pair.K_left, pair.pose), shift)
    ours, left, right = (np.asarray(image.convert("L"), dtype=float)[20:-20, 60:-60] for image in (view, *pair[:2]))
    assert np.median(np.abs(ours - right)) < 0.4 * np.median(np.abs(left - right))


# The motorcycle


def test_the_motorcycle_is_scikit_images_with_its_truth():
    pair, (left, right, disparity) = media.motorcycle(), skimage.data.stereo_motorcycle()
    np.testing.assert_array_equal(np.asarray(pair.left), left)
    np.testing.assert_array_equal(np.asarray(pair.right), right)
    known = np.isfinite(disparity)
    np.testing.assert_array_equal(np.isfinite(pair.disparity), known)
    np.testing.assert_array_equal(np.isfinite(pair.depth), known)
    np.testing.assert_array_equal(pair.disparity[known], disparity[known])
    y, x = np.argwhere(known)[::97].T
    points = backproject(np.column_stack([x, y]), pair.depth[y, x], pair.K_left)
    there = project(points, pair.K_right, pair.pose)
    np.testing.assert_allclose(there, np.column_stack([x - disparity[y, x], y]), atol=1e-3)
