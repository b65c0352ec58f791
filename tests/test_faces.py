"""`helpers.faces` and the bundled `face-landmarks`: tables, boxes, decoding, and the two portraits labelled by hand."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.numpy import load_file
from skimage.feature import Cascade
from transformers import AutoImageProcessor, VitPoseForPoseEstimation

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
