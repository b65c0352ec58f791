"""`helpers.faces` and the bundled `face-landmarks`: tables, boxes, decoding, and the two portraits labelled by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from skimage.feature import Cascade
from transformers import AutoImageProcessor, VitPoseForPoseEstimation, VitPoseImageProcessorPil
from transformers.models.vitpose.modeling_vitpose import VitPoseEstimatorOutput

from helpers import checkpoints, faces, media

PORTRAITS = ("astronaut", "grace_hopper")
FOLDER = Path(checkpoints.find("face-landmarks"))
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


# From a photograph, or the next frame of a film, to landmarks


@pytest.fixture(scope="module")
def network():
    model = VitPoseForPoseEstimation.from_pretrained(FOLDER).eval()
    return model, AutoImageProcessor.from_pretrained(FOLDER, backend="pil")


def unit(points):
    return np.linalg.norm(points[36] - points[45])


def test_the_spread_of_a_gaussian_is_its_width_and_the_limit_that_of_the_results():
    cells = np.arange(64)
    x, y = np.meshgrid(cells, cells)
    maps = [-((x - 30.3) ** 2 / (2 * across**2)) - (y - 28.9) ** 2 / (2 * down**2) for across, down in ((3, 4), (1, 1))]
    np.testing.assert_allclose(faces.spread_of(np.array(maps)[:, None]), [5, 2**0.5], rtol=1e-3)
    results = json.loads((FOLDER / "results.json").read_text())
    percentiles = [results[source]["spread in cells"]["percentile 99"] for source in ("youtube-faces", "helen")]
    assert pytest.approx(max(percentiles), abs=0.005) == faces.SPREAD_LIMIT


def test_the_second_look_is_a_look_into_the_box_of_the_first(network):
    photo, (box,) = media.photo("grace_hopper"), faces.face_boxes(media.photo("grace_hopper"), 60)
    first, _ = faces.find_landmarks(photo, [box], *network, looks=1)
    second, spread = faces.find_landmarks(photo, [faces.box_of(first[0])], *network, looks=1)
    again, spread_again = faces.find_landmarks(np.asarray(photo), [box], *network)
    np.testing.assert_allclose(again, second, atol=1e-3)
    np.testing.assert_allclose(spread_again, spread, atol=1e-4)
    assert not np.allclose(first, second, atol=0.1)


def test_the_crop_of_the_eyes_holds_both_with_room_and_is_about_half_as_long_as_that_of_the_face():
    for name in PORTRAITS:
        points = faces.hand_labels(name)[0]
        x, y, side, _ = faces.eyes_box(points)
        margin = (faces.CROP - 1) / 2 * side
        low, high = points[36:48].min(axis=0), points[36:48].max(axis=0)
        room = np.array([low - [x, y], [x + side, y + side] - high]) + margin
        assert room.min() > 0.06 * unit(points)  # a landmark of the second look is 4 % off
        assert 0.4 < side / faces.box_of(points)[2] < 0.6


def test_one_more_look_at_the_eyes_changes_them_alone_and_comes_from_their_box(network):
    photo, boxes = media.photo("astronaut"), [faces.box_of(faces.hand_labels("astronaut")[0])]
    (face,), spread = faces.find_landmarks(photo, boxes, *network, looks=1)
    (seen,), spread_again = faces.find_landmarks(photo, boxes, *network, looks=1, eyes=True)
    (closer,), _ = faces.find_landmarks(photo, [faces.eyes_box(face)], *network, looks=1)
    eyes = list(faces.GROUPS["eyes"])
    np.testing.assert_allclose(seen[eyes], closer[eyes], atol=1e-3)
    np.testing.assert_allclose(np.delete(seen, eyes, axis=0), np.delete(face, eyes, axis=0), atol=1e-3)
    np.testing.assert_allclose(spread_again, spread, atol=1e-4)
    assert not np.allclose(seen[eyes], face[eyes], atol=0.1)
    true = faces.hand_labels("astronaut")[0]
    assert np.linalg.norm(seen - true, axis=1)[eyes].mean() < 0.035 * unit(true)


def test_no_box_has_no_landmarks(network):
    landmarks, spreads = faces.find_landmarks(media.photo("coffee"), [], *network)
    assert landmarks.shape == (0, 68, 2) and spreads.shape == (0,)


def test_faces_are_found_and_patches_of_a_suit_are_not(network):
    photo = media.photo("astronaut")
    assert len(faces.face_boxes(photo)) == 3
    (found,) = faces.find_faces(photo, *network)
    true, _ = faces.hand_labels("astronaut")
    assert np.linalg.norm(found - true, axis=1).mean() < 0.06 * unit(true)
    with pytest.raises(faces.NoFace, match="the heatmaps are too wide"):
        faces.find_faces(photo.rotate(180), *network, smallest=60)


def test_a_face_is_followed_lost_and_found_again_and_the_detector_only_asked_where_it_is_needed(network, monkeypatch):
    asked = []
    detections = faces.detections
    monkeypatch.setattr(faces, "detections", lambda *given: asked.append(1) or detections(*given))
    true, before, found, detector = faces.hand_labels("astronaut")[0], None, [], []
    for shift in (0, 10, 25, None, None, 0):  # None: the picture without her
        frame = Image.new("RGB", (512, 512), (90, 90, 90)) if shift is None else Image.new("RGB", (512, 512))
        if shift is not None:
            frame.paste(media.photo("astronaut"), (shift, 0))
        before = faces.next_face(frame, before, *network)
        found.append(None if before is None else np.linalg.norm(before - true - [shift, 0], axis=1).mean() / unit(true))
        detector.append(len(asked))
    assert [error is None for error in found] == [False, False, False, True, True, False]
    assert max(error for error in found if error is not None) < 0.06
    assert detector == [1, 1, 1, 2, 3, 4]


def test_a_box_of_a_few_known_landmarks_is_theirs():
    landmarks = np.full((68, 2), np.nan)
    landmarks[:2] = [[20.0, 40.0], [70.0, 140.0]]
    np.testing.assert_allclose(faces.box_of(landmarks), [-17.5, 27.5, 125, 125])


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


def test_sapiens2_heatmaps_become_our_landmarks_in_pixels_and_what_it_lacks_is_nan():
    places = np.random.default_rng(0).uniform(20, 44, (308, 2))  # on maps of 64x64 cells; the crop is the box's 1.25
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    maps = np.exp(-((x - places[:, :1, None]) ** 2 + (y - places[:, 1:, None]) ** 2) / (2 * 2**2))
    heatmaps = torch.as_tensor(maps, dtype=torch.float32)[None]

    class Sapiens2:
        device = "cpu"

        def __call__(self, pixel_values):
            return VitPoseEstimatorOutput(heatmaps=heatmaps)

    processor = VitPoseImageProcessorPil(size={"height": 256, "width": 256})
    photo, box = Image.new("RGB", (300, 300)), (50.0, 60.0, 126.0, 126.0)
    (found,), (spread,) = faces.find_landmarks(photo, [box], Sapiens2(), processor, looks=1)
    known = list(faces.SAPIENS2)
    expected = places[list(faces.SAPIENS2.values())].mean(1) / 63 * 1.25 * 126 + [50, 60] + 63 - 1.25 * 63
    np.testing.assert_allclose(found[known], expected, atol=0.6)  # half of a cell: 2.5 px
    assert np.isnan(np.delete(found, known, 0)).all() and np.isnan(spread)
