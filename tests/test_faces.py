"""`helpers.faces` and the bundled `face-landmarks`: tables, boxes, decoding, and the two portraits labelled by hand."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file
from skimage.feature import Cascade
from transformers import AutoImageProcessor, VitPoseForPoseEstimation

from helpers import checkpoints, faces, media

PORTRAITS = ("astronaut", "grace_hopper")
FOLDER = Path(checkpoints.find("face-landmarks"))
MEAN, PEOPLE = (load_file(FOLDER / "shape.safetensors")[name].astype(float) for name in ("mean", "people"))
EXPRESSIONS = faces.expression_modes(MEAN)
seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=40, deadline=None, derandomize=True)
# iBUG 300-W's own table of mirror partners, 0-based
JAW_AND_BROWS = [*range(16, -1, -1), *range(26, 16, -1)]
NOSE_AND_EYES = [27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
MOUTH = [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]


# Tables


def test_groups_cover_the_68_landmarks_once():
    assert [i for rows in faces.GROUPS.values() for i in rows] == list(range(68))


def test_names_differ_and_belong_to_their_groups():
    assert len(set(faces.NAMES)) == 68
    words = {"jaw": ("jaw", "chin"), "brows": ("brow",), "nose": ("nos",), "eyes": ("eye",), "mouth": ("mouth", "lip")}
    for group, rows in faces.GROUPS.items():
        assert all(any(word in faces.NAMES[i] for word in words[group]) for i in rows)


def test_mirror_is_an_involution_within_groups_and_ibugs_own():
    np.testing.assert_array_equal(faces.MIRROR[faces.MIRROR], np.arange(68))
    np.testing.assert_array_equal(faces.MIRROR, JAW_AND_BROWS + NOSE_AND_EYES + MOUTH)
    middle = [faces.NAMES[i] for i in np.flatnonzero(np.arange(68) == faces.MIRROR)]
    assert len(middle) == 10 and not any("left" in name or "right" in name for name in middle)


# Boxes and decoding


def test_the_box_is_centred_on_the_landmarks_and_a_quarter_longer():
    landmarks = np.tile([[20.0, 40.0], [70.0, 140.0]], (34, 1))
    np.testing.assert_allclose(faces.box_of(landmarks), [-17.5, 27.5, 125, 125])


def test_landmarks_are_the_mean_place_and_the_corners_of_the_map_those_of_the_crop():
    heatmaps = np.full((1, 4, 16, 16), -50.0)
    heatmaps[0, 0, 0, 0] = heatmaps[0, 1, 15, 15] = 10
    heatmaps[0, 2, 5, 8] = heatmaps[0, 2, 6, 8] = 10  # half-way between two cells
    heatmaps[0, 3] = 0
    found = faces.landmarks_of(heatmaps, [(100, 200, 80, 80)])
    expected = [[90, 190], [190, 290], [90 + 8 / 15 * 100, 190 + 5.5 / 15 * 100], [140, 240]]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_the_crop_of_the_processor_is_the_one_that_the_decoding_assumes():
    processor = AutoImageProcessor.from_pretrained(FOLDER, backend="pil")
    y, x = np.indices((300, 260), dtype=float)
    slope = np.stack([x / 2, y / 2, 0 * x], axis=-1).astype(np.uint8)  # each pixel's colour says where it is
    box = (60.0, 90.0, 100.0, 100.0)
    crop = processor([slope], boxes=[[box]], return_tensors="pt")["pixel_values"][0].numpy()
    mean, std = np.array(processor.image_mean), np.array(processor.image_std)
    size = crop.shape[-1]
    for row, column in [(0, 0), (0, size - 1), (size - 1, 0), (size // 2, size // 4)]:
        heatmap = np.full((1, 1, size, size), -50.0)
        heatmap[0, 0, row, column] = 50
        there = faces.landmarks_of(heatmap, [box])[0, 0]
        seen = 2 * 255 * (crop[:2, row, column] * std[:2] + mean[:2])
        np.testing.assert_allclose(seen, there, atol=2)


def detection(name):
    """The face box of a portrait by scikit-image's cascade, which finds exactly one face there."""
    cascade = Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    options = {"scale_factor": 1.2, "step_ratio": 1, "min_size": (60, 60), "max_size": (300, 300)}
    (face,) = cascade.detect_multi_scale(img=np.asarray(media.photo(name)), **options)
    return faces.box_of_detection(face["c"], face["r"], face["width"], face["height"])


@pytest.mark.parametrize("name", PORTRAITS)
def test_a_detection_gives_nearly_the_box_of_the_landmarks(name):
    box, true = detection(name), faces.box_of(faces.hand_labels(name)[0])
    assert np.abs(box[:2] + box[2:] / 2 - true[:2] - true[2:] / 2).max() < 0.1 * true[2]
    assert abs(np.log(box[2] / true[2])) < 0.15


# Detection


@pytest.fixture(scope="module")
def portrait():
    """The astronaut's face, and where it lies: x, y, width, height."""
    photo = media.photo("astronaut").crop((135, 25, 315, 205))
    cascade = Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    options = {"scale_factor": 1.2, "step_ratio": 1, "min_size": (60, 60), "max_size": (180, 180)}
    (face,) = cascade.detect_multi_scale(img=np.asarray(photo), **options)
    return photo, np.array([face["c"], face["r"], face["width"], face["height"]])


def overlap(a, b):
    """Intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    shared = np.prod((high - low).clip(0))
    return shared / (np.prod(a[2:]) + np.prod(b[2:]) - shared)


def test_detections_lie_where_other_options_of_the_cascade_find_the_face(portrait):
    photo, face = portrait
    (found,) = faces.detections(photo)
    assert overlap(found, face) > 0.75
    np.testing.assert_array_equal(faces.detections(np.asarray(photo)), [found])
    assert faces.detections(photo, int(1.2 * found[2])).shape == (0, 4)


def test_the_box_of_the_face_is_nearly_that_of_its_landmarks(portrait):
    (box,) = faces.face_boxes(portrait[0])
    assert overlap(box, faces.box_of(faces.hand_labels("astronaut")[0] - [135, 25])) > 0.75


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK"])
def test_pil_images_of_any_mode_will_do(portrait, mode):
    photo, face = portrait
    assert overlap(faces.detections(photo.convert(mode))[0], face) > 0.75


@pytest.mark.parametrize("shape", [(), (100,), (90, 90), (90, 90, 4), (1, 90, 90, 3)])
def test_what_is_no_rgb_image_is_refused(shape):
    with pytest.raises(ValueError, match=r"RGB array \(H, W, 3\)"):
        faces.face_boxes(np.zeros(shape, np.uint8))


def test_two_faces_are_found_once_each_the_largest_first(portrait):
    photo, _ = portrait
    both = Image.new("RGB", (360, 200), (90, 90, 90))
    both.paste(photo, (0, 10))
    both.paste(media.photo("grace_hopper").crop((120, 60, 420, 380)).resize((180, 192)), (180, 4))
    hopper, astronaut = faces.face_boxes(both)
    scale = [180 / 300, 192 / 320]
    assert overlap(hopper, faces.box_of((faces.hand_labels("grace_hopper")[0] - [120, 60]) * scale + [180, 4])) > 0.6
    assert overlap(astronaut, faces.box_of(faces.hand_labels("astronaut")[0] - [135, 15])) > 0.6
    assert hopper[2] > astronaut[2]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_portrait_on_its_side_or_head_is_refused_and_the_advice_helps(portrait, turns):
    photo, _ = portrait
    turned = photo.rotate(90 * turns, expand=True)
    with pytest.raises(faces.NoFace) as refusal:
        faces.face_boxes(turned)
    angle = int(re.search(r"use photo\.rotate\((\d+), expand=True\)", str(refusal.value))[1])
    assert angle == 360 - 90 * turns
    np.testing.assert_array_equal(faces.face_boxes(turned.rotate(angle, expand=True)), faces.face_boxes(photo))


def test_the_advice_is_to_turn_to_the_largest_face_not_to_the_first():
    lying = media.photo("grace_hopper").rotate(90, expand=True)  # on its head, the cascade sees a smaller one
    with pytest.raises(faces.NoFace, match=r"photo\.rotate\(270, expand=True\)"):
        faces.face_boxes(lying)


@pytest.mark.parametrize(
    "photo",
    [
        media.photo("coffee"),
        Image.new("RGB", (120, 80), (128, 128, 128)),
        Image.new("RGB", (23, 200)),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
    ],
    ids=["coffee", "gray", "narrow", "a pixel", "nothing"],
)
def test_a_photograph_without_a_face_is_refused(photo):
    height, width = np.shape(photo)[:2]
    with pytest.raises(faces.NoFace, match=f"No face was found in {width}x{height} pixels.*at least 40 pixels"):
        faces.face_boxes(photo)


def test_a_face_that_touches_the_border_or_is_cut_is_refused_and_room_helps(portrait):
    photo, landmarks = np.asarray(portrait[0]), faces.hand_labels("astronaut")[0] - [135, 25]
    (left, top), (right, bottom) = landmarks.min(0).astype(int), landmarks.max(0).astype(int)
    tight = photo[top:bottom, left:right]
    for cut in (tight, photo[:, (left + right) // 2 :], photo[: (top + bottom) // 2]):
        with pytest.raises(faces.NoFace, match="room around"):
            faces.face_boxes(cut)
    (box,) = faces.face_boxes(np.pad(tight, ((25, 25), (25, 25), (0, 0)), mode="edge"))
    assert overlap(box, faces.box_of(landmarks - [left, top] + 25)) > 0.65


def test_a_tiny_face_is_refused_and_a_smaller_limit_helps_down_to_24_pixels(portrait):
    photo, (_, _, width, _) = portrait
    small, tiny = (photo.resize(2 * (round(180 * pixels / width),)) for pixels in (32, 10))
    with pytest.raises(faces.NoFace, match="smaller `smallest`"):
        faces.face_boxes(small)
    assert overlap(faces.detections(small, 24)[0], portrait[1] * 32 / width) > 0.6
    for smallest in (24, 10, 0):
        with pytest.raises(faces.NoFace, match="at least 24 pixels"):
            faces.face_boxes(tiny, smallest)


# The portraits


@pytest.mark.parametrize("name", PORTRAITS)
def test_hand_labels_lie_as_a_face_does(name):
    points, uncertainty = faces.hand_labels(name)
    assert points.shape == (68, 2) and uncertainty.shape == (68,) and (uncertainty > 0).all()
    mirrored = points[faces.MIRROR] * [-1, 1]  # both are nearly frontal: a similarity lays one over the other
    a, b = ((p - p.mean(0)) @ [1, 1j] for p in (mirrored, points))
    rest = np.abs(a * (np.vdot(a, b) / np.vdot(a, a)) - b)
    assert rest.max() < 0.12 * np.linalg.norm(points[36] - points[45])


@pytest.mark.parametrize(("name", "limit"), [("astronaut", 0.045), ("grace_hopper", 0.075)])
def test_the_checkpoint_fits_a_portrait_that_it_was_never_trained_on(name, limit):
    true, _ = faces.hand_labels(name)
    processor = AutoImageProcessor.from_pretrained(FOLDER, backend="pil")
    model = VitPoseForPoseEstimation.from_pretrained(FOLDER).eval()
    box = detection(name)
    with torch.no_grad():
        heatmaps = model(**processor([media.photo(name)], boxes=[[box]], return_tensors="pt")).heatmaps
    (found,) = faces.landmarks_of(heatmaps, [box])
    errors = np.linalg.norm(found - true, axis=1) / np.linalg.norm(true[36] - true[45])
    assert errors.mean() < limit
    assert errors[list(faces.GROUPS["eyes"])].mean() < limit


def test_the_checkpoint_names_its_landmarks():
    model = VitPoseForPoseEstimation.from_pretrained(FOLDER)
    assert tuple(model.config.id2label.values()) == faces.NAMES
    assert model.dtype == torch.float32


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
    return np.array(list(faces.measures(landmarks).values()))


def about_centroid(points):
    return points - points.mean(0)


@examples
@given(seeds)
def test_measures_are_those_of_the_ruler_however_the_photograph_is_turned_or_scaled(seed):
    points, expected = drawn_measures()
    assert faces.measures(similar(np.random.default_rng(seed), points)) == pytest.approx(expected)


@examples
@given(seeds)
def test_measures_of_the_mirror_image_swap_the_eyes_and_keep_the_rest(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 639, (68, 2))
    here, there = faces.measures(points), faces.measures(mirrored(points))
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
    rest, half, full = (faces.measures((MEAN + part * EXPRESSIONS[expression])[:, :2]) for part in (0, 0.5, 1))
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
    assert EXPRESSIONS.keys() == faces.ACTION_UNITS.keys()
    for name, mode in EXPRESSIONS.items():
        other = {"right eye closed": "left eye closed", "left eye closed": "right eye closed"}.get(name, name)
        np.testing.assert_allclose((mode * [-1, 1, 1])[faces.MIRROR], EXPRESSIONS[other], atol=1e-6)
        moved = {group for group, rows in faces.GROUPS.items() if mode[list(rows)].any()}
        numbers = [int(word) for word in faces.ACTION_UNITS[name].replace(",", "").split() if word.isdigit()]
        assert moved == {facs[number] for number in numbers}


@examples
@given(seeds)
def test_frontal_finds_the_front_view_of_a_turned_person(seed):
    rng = np.random.default_rng(seed)
    shape = person(rng)
    errors = about_centroid(faces.frontal(view(rng, shape), MEAN, PEOPLE)) - about_centroid(shape[:, :2])
    assert np.linalg.norm(errors, axis=1).max() < 0.02


def test_measures_of_frontal_views_are_much_nearer_the_truth_than_those_of_the_photographs():
    rng, raw, mended = np.random.default_rng(0), [], []
    for _ in range(60):
        shape = person(rng)
        landmarks = view(rng, shape)
        raw.append(values(landmarks) - values(shape[:, :2]))
        mended.append(values(faces.frontal(landmarks, MEAN, PEOPLE)) - values(shape[:, :2]))
    raw, mended = np.abs(raw).mean(0), np.abs(mended).mean(0)
    assert (mended < 0.1 * raw).all(), (raw, mended)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_come_through_frontal_where_the_model_knows_them(expression):
    rng, errors = np.random.default_rng(0), []
    for _ in range(20):
        shape = person(rng) + EXPRESSIONS[expression]
        found = faces.frontal(view(rng, shape), MEAN, np.concatenate([PEOPLE, list(EXPRESSIONS.values())]))
        errors.append(np.abs(values(found) - values(shape[:, :2])))
        assert np.linalg.norm(about_centroid(found) - about_centroid(shape[:, :2]), axis=1).mean() < 0.02
    assert np.mean(errors) < 0.0025


@examples
@given(seeds)
def test_frontal_knows_no_scale_place_or_turn_of_the_photograph_and_goes_with_its_mirror(seed):
    rng = np.random.default_rng(seed)
    landmarks = view(rng, person(rng))
    expected = faces.frontal(landmarks, MEAN, PEOPLE)
    np.testing.assert_allclose(faces.frontal(similar(rng, landmarks), MEAN, PEOPLE), expected, atol=1e-4)
    other = about_centroid(faces.frontal(mirrored(landmarks), MEAN, PEOPLE))
    np.testing.assert_allclose(other, about_centroid(mirrored(expected)), atol=1e-4)


def test_frontal_leaves_a_front_view_as_it_is():
    found = faces.frontal(MEAN[:, :2] * 80 + [200, 100], MEAN, PEOPLE)
    np.testing.assert_allclose(found, MEAN[:, :2], atol=1e-5)


@pytest.mark.parametrize("measure", [faces.measures, lambda p: faces.frontal(p, MEAN, PEOPLE)], ids=["raw", "frontal"])
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
    found = faces.head_angles_deg(rotation(*expected))
    assert list(found) == ["yaw", "pitch", "roll"]
    assert list(found.values()) == pytest.approx(expected, abs=1e-6)


def test_the_identity_is_a_frontal_head():
    assert list(faces.head_angles_deg(np.eye(3)).values()) == [0, 0, 0]


@pytest.mark.parametrize("R", [np.full((3, 3), np.nan), np.eye(4), np.eye(3) * np.inf])
def test_what_is_no_rotation_has_no_angles(R):
    with pytest.raises(ValueError, match=r"R must be a rotation \(3, 3\) without NaN"):
        faces.head_angles_deg(R)


@examples
@given(st.tuples(*[st.floats(2, 80) | st.floats(-80, -2)] * 3))
def test_signs_of_head_angles_are_seen_in_the_image(turn):
    R = cv2.Rodrigues(np.deg2rad(turn))[0]  # any rotation; its angles are unknown
    yaw, pitch, roll = faces.head_angles_deg(R).values()
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
    assert list(faces.head_angles_deg(cv2.Rodrigues(vector)[0]).values()) == pytest.approx(expected, abs=0.01)


def test_the_nose_tip_moves_to_the_right_with_yaw_and_up_with_pitch():
    for angles, direction in (((20, 0, 0), [1, 0]), ((0, 20, 0), [0, -1])):
        moved = (MEAN @ rotation(*angles).T - MEAN)[30, :2] @ direction
        assert moved > 0.1


# The full-size model's points


def test_the_points_of_sapiens2_lie_where_the_documented_ones_do():
    table = faces.SAPIENS2
    documented = {48: 188, 54: 189, 36: 121, 45: 97, 39: 120, 42: 96, 30: 178, 8: 77}
    assert {row: table[row] for row in documented} == {row: (there, there) for row, there in documented.items()}
    assert not set(table) & {*range(8), *range(9, 17)}  # Sapiens2 has no outline of the jaw
    assert all(0 <= point < 308 for pair in table.values() for point in pair)
    single = [pair[0] for pair in table.values() if pair[0] == pair[1]]
    assert len(single) == len(set(single))
    assert {int(faces.MIRROR[row]) for row in table} == set(table)  # what it has on one side it has on the other


def test_warping_by_an_affine_map_is_opencvs_warp():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), (0, 0), 3)
    source = np.vstack([rng.uniform(10, 50, (20, 2)), [[0, 0], [79, 0], [0, 59], [79, 59]]])
    affine = np.array([[1.1, 0.1, -5], [-0.05, 0.95, 3]])
    bent = faces.warp(image, source, source @ affine[:, :2].T + affine[:, 2])
    expected = cv2.warpAffine(image, affine, (80, 60))
    assert np.abs(bent[10:50, 10:70].astype(int) - expected[10:50, 10:70]).max() <= 2
