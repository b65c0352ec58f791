"""`helpers.face_model`: the shape, expressions, frontal views, head angles and moving portraits against known truth."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from helpers import checkpoints, face_model, faces, media

FOLDER = Path(checkpoints.find("face-landmarks"))
MEAN, PEOPLE = face_model.load()
EXPRESSIONS = face_model.expression_modes(MEAN)
seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=40, deadline=None, derandomize=True)


# The 3D shape


def test_the_shape_is_symmetric_small_and_the_right_way_round():
    shape = load_file(FOLDER / "shape.safetensors")
    assert (FOLDER / "shape.safetensors").stat().st_size <= 100_000
    mean, modes = shape["mean"], shape["modes"]
    assert mean.shape == (68, 3) and modes.shape[1:] == (68, 3)
    assert np.linalg.norm(mean[36] - mean[45]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(mean, (mean * [-1, 1, 1])[faces.MIRROR], atol=1e-5)
    assert mean[45, 0] > mean[36, 0] and mean[8, 1] > mean[27, 1]  # x to the right of the image, y down
    assert mean[30, 2] < mean[[36, 45], 2].mean() < mean[[0, 16], 2].mean()  # z away from the viewer
    for mode in modes:  # every mode moves both sides alike, or exactly against each other
        other = (mode * [-1, 1, 1])[faces.MIRROR]
        assert min(np.linalg.norm(mode - other), np.linalg.norm(mode + other)) < 0.2 * np.linalg.norm(mode)


# Expressions, frontal views and head angles


def drawn_measures():
    """Landmarks whose measures are known, drawn with a ruler; everything else at the origin."""
    p = np.zeros((68, 2))
    p[36:42] = [[0, 0], [10, -4], [20, -6], [30, 0], [20, 2], [10, 3]]  # openings of 7 and 8 over a width of 30
    p[42:48] = [[70, 0], [80, -1], [90, -1], [100, 0], [90, 0], [80, 1]]  # 2 and 1, over 30
    p[17:27, 1] = np.arange(-29, -9, 2)  # 20 above the corners, on average
    p[[51, 62, 66, 57], 1] = [40, 46, 54, 64]
    p[48], p[54] = [30, 42], [70, 48]  # 6 above the middle of the mouth, on average
    return p, {"right eye": 15 / 60, "left eye": 3 / 60, "mouth": 0.08, "smile": 0.06, "brows": 0.2}


def similar(rng, points):
    """Points (N, 2) after a random turn, scale and shift."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T * rng.uniform(0.1, 300) + rng.uniform(-500, 500, 2)


def mirrored(points):
    return (points * [-1, 1] + [639, 0])[faces.MIRROR]


def rotation(yaw, pitch, roll):
    """Ry(-yaw) Rx(-pitch) Rz(roll)."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(np.deg2rad([yaw, pitch, roll])), np.sin(np.deg2rad([yaw, pitch, roll]))
    about_y, about_x = [[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]], [[1, 0, 0], [0, cp, sp], [0, -sp, cp]]
    return np.array(about_y) @ about_x @ [[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]


def person(rng):
    return MEAN + np.tensordot(rng.normal(size=len(PEOPLE)), PEOPLE, 1)


def view(rng, shape):
    """A scaled orthographic view of a head turned by up to 30 degrees about each axis."""
    return shape @ rotation(*rng.uniform(-30, 30, 3))[:2].T * rng.uniform(20, 200) + rng.uniform(0, 500, 2)


def values(landmarks):
    return np.array(list(face_model.measures(landmarks).values()))


def about_centroid(points):
    return points - points.mean(0)


@examples
@given(seeds)
def test_measures_are_those_of_the_ruler_however_the_photograph_is_turned_or_scaled(seed):
    points, expected = drawn_measures()
    assert face_model.measures(similar(np.random.default_rng(seed), points)) == pytest.approx(expected)


@examples
@given(seeds)
def test_measures_of_the_mirror_image_swap_the_eyes_and_keep_the_rest(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 639, (68, 2))
    here, there = face_model.measures(points), face_model.measures(mirrored(points))
    assert there == pytest.approx(here | {"right eye": here["left eye"], "left eye": here["right eye"]})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("right eye closed", {"right eye": -1}),
        ("left eye closed", {"left eye": -1}),
        ("eyes wide", {"right eye": 1, "left eye": 1}),
        ("brows up", {"brows": 1}),
        ("smile", {"smile": 1}),
        ("mouth open", {"mouth": 1}),
    ],
)
def test_a_measure_grows_with_its_expression_and_only_with_it(expression, expected):
    rest, half, full = (face_model.measures((MEAN + part * EXPRESSIONS[expression])[:, :2]) for part in (0, 0.5, 1))
    for name in rest:
        if name in expected:
            assert expected[name] * (half[name] - rest[name]) > 0.02
            assert expected[name] * (full[name] - half[name]) > 0.02
        else:
            assert full[name] == pytest.approx(rest[name], abs=0.025)  # the corners give way to the jaw a little
    if "closed" in expression:
        assert full[expression.removesuffix(" closed")] == pytest.approx(0, abs=1e-6)
        assert sum(full[name] != pytest.approx(rest[name], abs=1e-9) for name in rest) == 1


def test_expressions_are_mirror_symmetric_and_move_what_facs_says():
    facs = {1: "brows", 2: "brows", 5: "eyes", 12: "mouth", 25: "mouth", 26: "jaw", 43: "eyes", 45: "eyes", 46: "eyes"}
    assert EXPRESSIONS.keys() == face_model.ACTION_UNITS.keys()
    for name, mode in EXPRESSIONS.items():
        other = {"right eye closed": "left eye closed", "left eye closed": "right eye closed"}.get(name, name)
        np.testing.assert_allclose((mode * [-1, 1, 1])[faces.MIRROR], EXPRESSIONS[other], atol=1e-6)
        moved = {group for group, rows in faces.GROUPS.items() if mode[list(rows)].any()}
        numbers = [int(word) for word in face_model.ACTION_UNITS[name].replace(",", "").split() if word.isdigit()]
        assert moved == {facs[number] for number in numbers}


@examples
@given(seeds)
def test_frontal_finds_the_front_view_of_a_turned_person(seed):
    rng = np.random.default_rng(seed)
    shape = person(rng)
    errors = about_centroid(face_model.frontal(view(rng, shape), MEAN, PEOPLE)) - about_centroid(shape[:, :2])
    assert np.linalg.norm(errors, axis=1).max() < 0.02


def test_measures_of_frontal_views_are_much_nearer_the_truth_than_those_of_the_photographs():
    rng, raw, mended = np.random.default_rng(0), [], []
    for _ in range(60):
        shape = person(rng)
        landmarks = view(rng, shape)
        raw.append(values(landmarks) - values(shape[:, :2]))
        mended.append(values(face_model.frontal(landmarks, MEAN, PEOPLE)) - values(shape[:, :2]))
    raw, mended = np.abs(raw).mean(0), np.abs(mended).mean(0)
    assert (mended < 0.1 * raw).all(), (raw, mended)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_come_through_frontal_where_the_model_knows_them(expression):
    rng, errors = np.random.default_rng(0), []
    for _ in range(20):
        shape = person(rng) + EXPRESSIONS[expression]
        found = face_model.frontal(view(rng, shape), MEAN, np.concatenate([PEOPLE, list(EXPRESSIONS.values())]))
        errors.append(np.abs(values(found) - values(shape[:, :2])))
        assert np.linalg.norm(about_centroid(found) - about_centroid(shape[:, :2]), axis=1).mean() < 0.02
    assert np.mean(errors) < 0.0025


@examples
@given(seeds)
def test_frontal_knows_no_scale_place_or_turn_of_the_photograph_and_goes_with_its_mirror(seed):
    rng = np.random.default_rng(seed)
    landmarks = view(rng, person(rng))
    expected = face_model.frontal(landmarks, MEAN, PEOPLE)
    np.testing.assert_allclose(face_model.frontal(similar(rng, landmarks), MEAN, PEOPLE), expected, atol=1e-4)
    other = about_centroid(face_model.frontal(mirrored(landmarks), MEAN, PEOPLE))
    np.testing.assert_allclose(other, about_centroid(mirrored(expected)), atol=1e-4)


def test_frontal_leaves_a_front_view_as_it_is():
    found = face_model.frontal(MEAN[:, :2] * 80 + [200, 100], MEAN, PEOPLE)
    np.testing.assert_allclose(found, MEAN[:, :2], atol=1e-5)


@pytest.mark.parametrize(
    "measure", [face_model.measures, lambda p: face_model.frontal(p, MEAN, PEOPLE)], ids=["raw", "frontal"]
)
def test_landmarks_that_are_not_finite_or_not_68_are_refused(measure):
    landmarks = MEAN[:, :2] * 80
    for bad in (np.nan, np.inf):
        broken = landmarks.copy()
        broken[45, 1] = bad
        with pytest.raises(ValueError, match=r"Landmark 45 \(left eye outer corner\) is not finite"):
            measure(broken)
    for wrong in (landmarks[:67], landmarks[None], MEAN, []):
        with pytest.raises(ValueError, match=r"shape \(68, 2\)"):
            measure(wrong)


angles = st.tuples(st.floats(-170, 170), st.floats(-85, 85), st.floats(-170, 170))


@examples
@given(angles)
def test_head_angles_come_back_from_the_rotation_that_they_make(expected):
    found = face_model.head_angles_deg(rotation(*expected))
    assert list(found) == ["yaw", "pitch", "roll"]
    assert list(found.values()) == pytest.approx(expected, abs=1e-6)


def test_the_identity_is_a_frontal_head():
    assert list(face_model.head_angles_deg(np.eye(3)).values()) == [0, 0, 0]


@pytest.mark.parametrize("R", [np.full((3, 3), np.nan), np.eye(4), np.eye(3) * np.inf])
def test_what_is_no_rotation_has_no_angles(R):
    with pytest.raises(ValueError, match=r"R must be a rotation \(3, 3\) without NaN"):
        face_model.head_angles_deg(R)


@examples
@given(st.tuples(*[st.floats(2, 80) | st.floats(-80, -2)] * 3))
def test_signs_of_head_angles_are_seen_in_the_image(turn):
    R = cv2.Rodrigues(np.deg2rad(turn))[0]  # any rotation; its angles are unknown
    yaw, pitch, roll = face_model.head_angles_deg(R).values()
    head = MEAN @ R.T
    nose = R @ [0, 0, -1]
    assert np.sign(yaw) == np.sign(nose[0]) and np.sign(pitch) == -np.sign(nose[1])
    assert np.sign(roll) == np.sign(head[45, 1] - head[36, 1])  # the person's left eye is lower


@pytest.mark.parametrize("expected", [(25, 0, 0), (0, 20, 0), (0, 0, 15), (-30, 10, -20), (12, -25, 8)])
def test_the_pose_of_a_rendered_head_is_recovered(expected):
    K = np.array([[800, 0, 320], [0, 800, 240], [0, 0, 1.0]])
    x, y, z = K @ (rotation(*expected) @ MEAN.T + np.array([[0.3], [-0.2], [8]]))
    ok, vector, _ = cv2.solvePnP(MEAN, np.column_stack([x / z, y / z]), K, None)
    assert ok
    assert list(face_model.head_angles_deg(cv2.Rodrigues(vector)[0]).values()) == pytest.approx(expected, abs=0.01)


def test_the_nose_tip_moves_to_the_right_with_yaw_and_up_with_pitch():
    for angles, direction in (((20, 0, 0), [1, 0]), ((0, 20, 0), [0, -1])):
        moved = (MEAN @ rotation(*angles).T - MEAN)[30, :2] @ direction
        assert moved > 0.1


def test_warping_by_an_affine_map_is_opencvs_warp():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), (0, 0), 3)
    source = np.vstack([rng.uniform(10, 50, (20, 2)), [[0, 0], [79, 0], [0, 59], [79, 59]]])
    affine = np.array([[1.1, 0.1, -5], [-0.05, 0.95, 3]])
    bent = face_model.warp(image, source, source @ affine[:, :2].T + affine[:, 2])
    expected = cv2.warpAffine(image, affine, (80, 60))
    assert np.abs(bent[10:50, 10:70].astype(int) - expected[10:50, 10:70]).max() <= 2


def test_a_face_with_expressions_is_turned_after_them():
    moves = face_model.expression_modes(MEAN)
    np.testing.assert_allclose(face_model.head_rotation(25, -10, 8), rotation(25, -10, 8), atol=1e-12)
    wink = face_model.posed(MEAN, moves, {"right eye closed": 1, "smile": 0.5}, yaw=25, pitch=-10, roll=8)
    expected = (MEAN + moves["right eye closed"] + 0.5 * moves["smile"]) @ rotation(25, -10, 8).T
    np.testing.assert_allclose(wink, expected, atol=1e-12)
    np.testing.assert_array_equal(face_model.posed(MEAN, moves), MEAN)


@examples
@given(seeds)
def test_hidden_landmarks_of_a_person_of_the_model_are_filled_in(seed):
    rng = np.random.default_rng(seed)
    true = view(rng, person(rng))
    partly = np.where(np.isin(np.arange(68), list(faces.SAPIENS2))[:, None], true, np.nan)
    filled = face_model.fill_in(partly, MEAN, PEOPLE)
    assert np.linalg.norm(filled - true, axis=1).max() < 0.05 * np.ptp(true, axis=0).max()
    np.testing.assert_array_equal(filled[list(faces.SAPIENS2)], true[list(faces.SAPIENS2)])


@examples
@given(seeds)
def test_the_surface_lies_over_the_landmarks_again(seed):
    rng = np.random.default_rng(seed)
    landmarks = view(rng, person(rng))
    points, R, size = face_model.surface(landmarks, MEAN, PEOPLE)
    np.testing.assert_allclose(size * (points @ R.T)[:, :2] + landmarks.mean(0), landmarks, atol=1e-8)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)


@pytest.fixture(scope="module")
def moving():
    photo = media.photo("astronaut").crop((135, 25, 315, 205))
    landmarks = faces.hand_labels("astronaut")[0] - [135, 25]
    modes = np.concatenate([PEOPLE, list(EXPRESSIONS.values())])
    return face_model.Portrait(photo, landmarks, MEAN, modes)


def test_a_portrait_that_does_nothing_is_the_photograph(moving):
    np.testing.assert_allclose(moving.landmarks_at({}), moving.landmarks, atol=1e-9)
    off = np.abs(moving.picture({}).astype(int) - moving.image)
    assert off[1:-1, 1:-1].max() <= 1


def test_a_portrait_moves_as_told_and_its_border_stays(moving):
    shut = moving.landmarks_at({"right eye closed": 1, "left eye closed": 1})
    before, after = face_model.measures(moving.landmarks), face_model.measures(shut)
    assert after["right eye"] < 0.15 * before["right eye"] and after["left eye"] < 0.15 * before["left eye"]
    assert after["mouth"] == pytest.approx(before["mouth"], abs=0.01)
    turned = moving.landmarks_at({}, yaw=15)
    modes = np.concatenate([PEOPLE, list(EXPRESSIONS.values())])
    angle = [
        face_model.head_angles_deg(face_model.surface(p, MEAN, modes)[1])["yaw"] for p in (moving.landmarks, turned)
    ]
    assert angle[1] - angle[0] == pytest.approx(15, abs=1.5)
    picture = moving.picture({"smile": 1}, yaw=15)
    for rows, columns in ((1, slice(1, -1)), (-2, slice(1, -1)), (slice(1, -1), 1), (slice(1, -1), -2)):
        assert np.abs(picture[rows, columns].astype(int) - moving.image[rows, columns]).mean() < 6
    x, y = np.round(turned[30]).astype(int)  # the tip of the nose has the colour that it had
    was = np.round(moving.landmarks[30]).astype(int)
    nose = moving.picture({}, yaw=15)[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1))
    assert np.abs(nose - moving.image[was[1] - 1 : was[1] + 2, was[0] - 1 : was[0] + 2].mean((0, 1))).max() < 12
