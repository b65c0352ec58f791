"""`training.faces`: labels, boxes, losses and the 3D shape against known truth, and a run of a few steps."""

import io
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from transformers import AutoImageProcessor, VitPoseForPoseEstimation

from benchmarks import face_labels
from benchmarks import faces as benchmark
from helpers import checkpoints
from helpers.face_model import Portrait, load
from helpers.faces import MIRROR, box_of, landmarks_of
from training import face_shape
from training import faces as recipe

# A drawn face in outer-eye distances, its origin between the eyes.
JAW = np.column_stack([-0.85 * np.cos(np.linspace(0, np.pi, 17)), 1.25 * np.sin(np.linspace(0, np.pi, 17))])
ARC = np.column_stack([np.linspace(-1, 1, 5), -0.1 * np.cos(np.linspace(-1, 1, 5) * np.pi / 2)])
EYE = np.column_stack([np.cos(np.arange(6) * np.pi / 3 + np.pi), -0.4 * np.sin(np.arange(6) * np.pi / 3)])
EYE[1:3, 1], EYE[4:, 1] = -0.4, 0.4
LIPS = np.column_stack([np.cos(np.arange(12) * np.pi / 6 + np.pi), np.sin(np.arange(12) * np.pi / 6 + np.pi)])
INNER = np.column_stack([np.cos(np.arange(8) * np.pi / 4 + np.pi), np.sin(np.arange(8) * np.pi / 4 + np.pi)])
NOSE = [[0, 0.05], [0, 0.2], [0, 0.35], [0, 0.5], [-0.15, 0.58], [-0.07, 0.62], [0, 0.64], [0.07, 0.62], [0.15, 0.58]]
EYES = [EYE * 0.14 + [-0.36, 0], EYE * 0.14 + [0.36, 0]]
BROWS = [ARC * [0.2, 1] + [-0.35, -0.2], ARC * [0.2, 1] + [0.35, -0.2]]
MOUTH = [LIPS * [0.3, 0.12] + [0, 0.9], INNER * [0.24, 0.06] + [0, 0.9]]
FLAT = np.concatenate([JAW, *BROWS, NOSE, *EYES, *MOUTH])


def drawn(rng, size=160, unit=50):
    """A photograph of a drawn face somewhere near its middle, and where its landmarks truly are."""
    angle, scale = np.deg2rad(rng.normal(0, 6)), unit * rng.uniform(0.8, 1.2)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = FLAT @ turn.T + size / 2 + [0, -0.35 * unit] + rng.normal(0, 4, 2)
    canvas = np.full((size, size, 3), rng.integers(30, 90, 3), np.uint8)

    def fill(rows, colour):
        outline = np.round(points[list(rows)] * 16).astype(np.int32)
        cv2.fillPoly(canvas, [outline], [int(c) for c in colour], lineType=cv2.LINE_AA, shift=4)

    fill(range(17), rng.integers(150, 220, 3))
    fill([0, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 16], canvas[tuple(points[30].astype(int)[::-1])])
    fill(range(36, 42), rng.integers(0, 60, 3))
    fill(range(42, 48), rng.integers(0, 60, 3))
    fill([31, 33, 35, 30], rng.integers(90, 130, 3))
    fill(range(48, 60), [rng.integers(120, 180), 40, 50])
    for row in (17, 22):
        cv2.polylines(canvas, [np.round(points[row : row + 5]).astype(np.int32)], False, (60, 40, 30), 2, cv2.LINE_AA)
    return canvas, points


# Labels


def test_mirroring_twice_changes_nothing():
    points = np.random.default_rng(0).uniform(0, 99, (3, 68, 2))
    np.testing.assert_allclose(face_labels.mirrored(face_labels.mirrored(points, 100), 100), points)
    np.testing.assert_allclose(face_labels.mirrored(points, 100)[:, 0], points[:, 16] * [-1, 1] + [99, 0])


def test_the_drawn_face_is_mirror_symmetric():
    np.testing.assert_allclose(face_labels.mirrored(FLAT, 1), FLAT, atol=1e-9)


def test_align_undoes_a_similarity():
    rng = np.random.default_rng(0)
    points, turn = rng.normal(size=(68, 2)), 3 * np.array([[0.8, -0.6], [0.6, 0.8]])
    np.testing.assert_allclose(face_labels.align(points, points @ turn.T + [5, 7])[:, :2], turn, atol=1e-9)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.04, 0.03), (-0.03, 0.02)])
def test_label_shift_finds_a_known_shift(shift):
    rng = np.random.default_rng(1)
    images, points = zip(*(drawn(rng) for _ in range(40)), strict=True)
    points = np.array(points)
    units = face_labels.eye_distance(points)[:, None, None]
    reference = (images[:20], points[:20])
    found = face_labels.label_shift(images[20:], points[20:] + np.array(shift) * units[20:], reference)
    np.testing.assert_allclose(found, shift, atol=0.005)
    # without a reference, up and down stay unknown
    assert face_labels.label_shift(images, points + np.array(shift) * units)[1] == 0

    sources = np.array(["helen"] * 20 + ["drawn"] * 20)
    parts = {"image": images, "landmarks": points.copy(), "source": sources}
    parts["landmarks"][:20] += 0.02 * units[:20]  # the reference itself is off, by the same across and down
    parts["landmarks"][20:] += np.array(shift) * units[20:]
    found = face_labels.shifts_of(parts | {"image": list(images)})
    np.testing.assert_allclose(found["helen"], 0.02, atol=0.005)
    np.testing.assert_allclose(found["drawn"], shift, atol=0.007)

    stored = {"source": np.array(["drawn"] * 40), "landmarks": points + np.array(shift) * units}
    np.testing.assert_allclose(face_labels.mend(stored, {"drawn": np.array(shift)})["landmarks"], points, atol=1e-9)


# Views


def test_landmarks_go_with_their_pixels_into_a_view():
    _, points = drawn(np.random.default_rng(0))
    marked = np.zeros((160, 160, 3), np.uint8)
    for i in (8, 30, 36, 45):
        cv2.circle(marked, np.round(points[i]).astype(int).tolist(), 3, (255, 255, 255), -1)
    data = {"image": [marked], "landmarks": points[None], "source": np.array(["drawn"])}
    views = recipe.Faces(data, 96, 0.5, 0)
    hits = []
    for seed in range(60):
        view = views.view(np.random.default_rng(seed))
        assert view["view"].shape == (3, 96, 96) and np.isfinite(view["view"]).all()
        places = view["places"][[8, 30, 36, 45]] * 95
        x, y = np.rint(places[((places >= 0) & (places <= 95)).all(1)]).astype(int).T
        brightness = view["view"].mean(0)
        hits += (brightness[y, x] > brightness.mean() + 0.3).tolist()
    assert np.mean(hits) > 0.85  # the rest is covered, dark, or blurred away


def test_narrow_eyes_are_shown_more_often_where_their_lids_are_labelled_well():
    images, points = zip(*(drawn(np.random.default_rng(seed)) for seed in range(4)), strict=True)
    points = np.array(points)
    for row in (1, 3):
        upper, lower = np.transpose(recipe.LIDS)
        points[row, upper] = points[row, lower] - [0, 0.5]
    sources = np.array(["helen", "helen", "drawn", "drawn"])
    views = recipe.Faces({"image": list(images), "landmarks": points, "source": sources}, 96, 0.5, 0)
    np.testing.assert_array_equal(views.chances > views.chances.min(), [False, True, False, False])
    exact = [views.view(np.random.default_rng(seed))["exact"] for seed in range(60)]
    assert 0.3 < np.mean(exact) < 0.7


def test_without_jitter_the_box_stays_and_with_it_scatters_as_told():
    box = box_of(FLAT * 50)
    np.testing.assert_allclose(benchmark.jittered(box, np.random.default_rng(0), 0), box)
    boxes = benchmark.boxes_of(np.repeat(FLAT[None] * 50, 2000, 0), 1.0)
    width = box[2] / (benchmark.MARGIN * benchmark.CASCADE[2])
    centres = (boxes[:, :2] + boxes[:, 2:] / 2 - box[:2] - box[2:] / 2) / width
    np.testing.assert_allclose(centres.std(0), benchmark.JITTER[:2], rtol=0.1)
    assert np.log(boxes[:, 2]).std() == pytest.approx(benchmark.JITTER[2], rel=0.1)
    np.testing.assert_array_equal(boxes, benchmark.boxes_of(np.repeat(FLAT[None] * 50, 2000, 0), 1.0))


# Losses and optimiser


EXACT = torch.ones(1)


def gaussians(places):
    """Heatmaps (1, 68, 16, 16) whose probabilities are Gaussians of one cell about places (68, 2), from 0 to 1."""
    cells = torch.arange(16.0)
    x, y = (torch.exp(-((cells - 15 * p[:, None]) ** 2) / 2) for p in places.T)
    return (y[:, :, None] * x[:, None] / (x.sum(1) * y.sum(1))[:, None, None])[None].clamp(min=1e-30)


def test_losses_vanish_where_the_heatmap_is_the_target():
    places = torch.rand(68, 2, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    target = gaussians(places)
    loss = recipe.losses(target.log(), places[None], EXACT, 1.0)
    assert all(loss[name].item() < 2e-3 for name in ("distance", "lids", "lips"))
    assert loss["entropy"].item() == pytest.approx(-(target * target.log()).sum().item() / 68, rel=1e-4)


def test_no_idea_costs_the_logarithm_of_the_cells_and_points_outside_nothing():
    places = torch.full((1, 68, 2), 0.5)
    places[0, 1] = torch.tensor([1.2, 0.5])
    loss = recipe.losses(torch.zeros(1, 68, 16, 16), places, EXACT, 1.0)
    assert loss["entropy"].item() == pytest.approx(np.log(256), rel=1e-5)
    assert loss["distance"].item() < 1e-4  # the mean of an even map is its middle


def test_an_eye_found_half_a_cell_too_open_costs_as_an_opening_and_a_shift_of_the_face_does_not():
    places = torch.rand(68, 2, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    open_ = places.clone()
    open_[[37, 38], 1] -= 0.5 / 15
    loss = recipe.losses(gaussians(open_).log(), places[None], EXACT, 1.0)
    assert loss["lids"].item() == pytest.approx(6 * 2 * 0.5 / 4, rel=1e-2)  # two of four openings, weight 6
    assert loss["lips"].item() < 1e-2
    assert recipe.losses(gaussians(open_).log(), places[None], 0 * EXACT, 1.0)["lids"] == 0  # labelled too roughly
    shifted = recipe.losses(gaussians(places + 0.5 / 15).log(), places[None], EXACT, 1.0)
    assert max(shifted["lids"].item(), shifted["lips"].item()) < 3e-2 < shifted["distance"].item()


# Acting


def test_acting_keeps_the_nose_and_lids_never_cross():
    landmarks = 50 * FLAT + 80
    mean = np.column_stack([FLAT, 0.3 * np.cos(FLAT[:, 0] * 2) * np.cos(FLAT[:, 1])])
    gaps = []
    for seed in range(200):
        moved = recipe.acting(landmarks, mean, np.random.default_rng(seed))
        np.testing.assert_allclose(moved[27:36], landmarks[27:36])
        upper, lower = np.transpose(recipe.LIDS)
        gaps.append((moved[lower] - moved[upper])[:, 1] / (landmarks[lower] - landmarks[upper])[:, 1])
    gaps = np.array(gaps)
    assert gaps.min() > -0.15 and gaps.max() > 1.3
    assert (gaps < 0.2).mean() > 0.15 and (gaps > 0.9).mean() > 0.2
    assert (np.abs(gaps[:, 0] - gaps[:, 2]) > 0.5).mean() > 0.1  # some wink
    eyes = range(36, 48)
    still = [recipe.acting(landmarks, mean, np.random.default_rng(seed), eyes=False)[eyes] for seed in range(50)]
    wide = [not np.allclose(points, landmarks[eyes]) for points in still]
    assert 0 < np.mean(wide) < 0.5  # "eyes wide" alone


def test_what_was_at_a_landmark_is_where_it_has_moved_to():
    rng = np.random.default_rng(0)
    places = 45 * FLAT + [64, 40]
    target = places + rng.normal(0, 0.7, places.shape)
    target[66] = target[62] + places[66] - places[62]  # the mouth opens no wider
    y, x = np.mgrid[:128, :128]
    view = np.stack([x, y, 0 * x], axis=2).astype(np.uint8)  # each pixel's colour says where it was
    bent = recipe.acted(view, places, target, rng).astype(np.float32)
    there = cv2.remap(bent, np.float32(target[:, None]), None, cv2.INTER_LINEAR)[:, 0, :2]
    assert np.abs(there - places).mean() < 0.5


def test_weights_for_another_size_keep_what_is_even_and_follow_what_rises():
    folder = checkpoints.find("face-landmarks")
    before = VitPoseForPoseEstimation.from_pretrained(folder)
    same = recipe.resized(folder, before.config.backbone_config.image_size)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), same.parameters(), strict=True))
    small = recipe.resized(folder, (96, 96))
    old, new = (m.backbone.embeddings.position_embeddings.detach() for m in (before, small))
    side = math.isqrt(old.shape[1] - 1)
    assert new.shape[1] == 1 + 6 * 6 and torch.equal(new[:, 0], old[:, 0])
    old, new = old[0, 1:].unflatten(0, (side, side)), new[0, 1:].unflatten(0, (6, 6))
    coarse = cv2.resize(old.numpy()[..., :4], (6, 6), interpolation=cv2.INTER_LINEAR)
    assert np.corrcoef(coarse.ravel(), new[..., :4].numpy().ravel())[0, 1] > 0.95
    assert small(torch.zeros(1, 3, 96, 96)).heatmaps.shape == (1, 68, 12, 12)


@pytest.mark.parametrize("shape", [(2, 24, 24), (3, 16, 48), (1, 48, 16)])
def test_orthogonal_keeps_directions_and_evens_out_lengths(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    result = recipe.orthogonal(matrices)
    lengths = torch.linalg.svdvals(result)
    assert lengths.max() < 1.3 and lengths.median() > 0.6
    inner = (u.mT @ result @ v.mT).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(inner.sort(descending=True)[0], lengths, rtol=1e-3, atol=1e-3)


# 3D shape


def rotations(count, rng):
    """Random head poses: yaw within 35, pitch and roll within 15 degrees."""
    yaw, pitch, roll = np.deg2rad(rng.uniform(-1, 1, (3, count)) * [[35], [15], [15]])
    zero, one = np.zeros(count), np.ones(count)
    y = np.array([[np.cos(yaw), zero, np.sin(yaw)], [zero, one, zero], [-np.sin(yaw), zero, np.cos(yaw)]])
    x = np.array([[one, zero, zero], [zero, np.cos(pitch), -np.sin(pitch)], [zero, np.sin(pitch), np.cos(pitch)]])
    z = np.array([[np.cos(roll), -np.sin(roll), zero], [np.sin(roll), np.cos(roll), zero], [zero, zero, one]])
    return np.einsum("abn,bcn,cdn->nad", z, x, y)


def test_shape_model_recovers_a_known_shape_and_mode_from_views():
    rng = np.random.default_rng(0)
    depth = 0.8 * FLAT[:, 0] ** 2 + 0.1 * FLAT[:, 1] ** 2
    depth[27:36] -= [0.1, 0.15, 0.25, 0.35, 0.1, 0.12, 0.15, 0.12, 0.1]  # the nose
    true = np.column_stack([FLAT, depth])
    true = (true - true.mean(0)) / np.linalg.norm(true[36] - true[45])
    opening = np.zeros((68, 3))
    opening[55:60, 1] = opening[65:68, 1] = 0.1  # the lower lip goes down
    opening -= opening.mean(0)
    strength = rng.normal(size=(400, 1, 1))
    views = ((true + strength * opening) @ rotations(400, rng).mT)[..., :2]
    views = views * rng.uniform(20, 90, (400, 1, 1)) + rng.uniform(0, 200, (400, 1, 2))
    mean, modes = face_shape.shape_model(views, modes=2)
    np.testing.assert_allclose(mean, (mean * [-1, 1, 1])[MIRROR], atol=1e-6)
    assert np.linalg.norm(mean[36] - mean[45]) == pytest.approx(1)
    assert np.corrcoef(mean[:, 2], true[:, 2])[0, 1] > 0.98
    assert np.abs(mean - true).max() < 0.08  # depth is the least certain
    cosine = (modes[0] * opening).sum() / np.linalg.norm(modes[0]) / np.linalg.norm(opening)
    assert abs(cosine) > 0.9
    report = face_shape.shape_report(mean, modes, views[:50])
    assert report["residual"]["with modes"] < 0.4 * report["residual"]["mean shape"]


@pytest.fixture(scope="module")
def population():
    """The bundled shape, labels of 80 persons, whose they are, and the modes (2, 204) that the persons differ by.

    They differ by modes 1 and 2; their labels, by mode 0, a turn, by modes 3 and 4, and half as much by mode 1.
    """
    rng, shape = np.random.default_rng(0), load_file(Path(checkpoints.find("face-landmarks")) / "shape.safetensors")
    mean, modes = shape["mean"].astype(float), shape["modes"].astype(float)
    natures = rng.normal(size=(80, 2)) * [1, 0.6]
    people = np.repeat(np.arange(80), rng.integers(2, 7, 80))
    weights = np.zeros((len(people), len(modes)))
    weights[:, 1:3] = natures[people]
    weights[:, [0, 1, 3, 4]] += rng.normal(size=(len(people), 4)) * [1, 0.5, 1, 1]
    views = ((mean + np.tensordot(weights, modes, 1)) @ rotations(len(people), rng).mT)[..., :2]
    views = views * rng.uniform(20, 90, (len(people), 1, 1)) + rng.uniform(0, 200, (len(people), 1, 2))
    deviations = (natures - natures.mean(0)) @ modes[1:3].reshape(2, -1) / 79**0.5
    _, lengths, directions = np.linalg.svd(deviations, full_matrices=False)
    return mean, modes, views, people, lengths[:2, None] * directions[:2]


def test_person_modes_are_what_people_differ_by_and_not_what_changes_within_them(population):
    mean, modes, views, people, true = population
    found = face_shape.person_modes(mean, modes, views, people, count=3)
    np.testing.assert_allclose(found, (found * [-1, 1, 1])[:, MIRROR], atol=1e-6)
    found = found.reshape(3, -1)
    lengths = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(lengths[:2], np.linalg.norm(true, axis=1), rtol=0.1)
    assert lengths[2] < 0.15  # modes 3 and 4 leave twice that in the persons' averages
    cosines = (found[:2] * true).sum(1) / lengths[:2] / np.linalg.norm(true, axis=1)
    assert (np.abs(cosines) > 0.95).all()


def test_persons_with_a_single_label_and_the_names_of_persons_do_not_matter(population):
    mean, modes, views, people, _ = population
    rng = np.random.default_rng(1)
    single = views[:20] + rng.normal(0, 20, (20, 68, 2))
    order = rng.permutation(len(people) + 20)
    names = np.array([f"person {i * 7919 % 101}" for i in people] + [f"stranger {i}" for i in range(20)])
    expected = face_shape.person_modes(mean, modes, views, people, 2)
    found = face_shape.person_modes(mean, modes, np.concatenate([views, single])[order], names[order], 2)
    signs = np.sign((found * expected).sum((1, 2), keepdims=True))
    np.testing.assert_allclose(found * signs, expected, atol=1e-6)


# The whole recipe


@pytest.fixture
def data(tmp_path):
    """A folder with `faces.parquet`: drawn faces of two sources and two splits."""
    rng, rows = np.random.default_rng(0), []
    for number in range(30):
        image, points = drawn(rng)
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=92)
        source, split = ("helen", "youtube-faces")[number % 2], "validation" if number >= 24 else "train"
        row = {"image": {"bytes": stream.getvalue(), "path": "face.jpg"}, "landmarks": points.tolist()}
        rows.append(row | {"identity": f"person {number // 2}", "source": source, "split": split})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "faces.parquet")
    return tmp_path


def test_a_run_of_a_few_steps_ends_in_a_checkpoint_and_goes_on_where_it_was_stopped(data, tmp_path, monkeypatch):
    work, out = tmp_path / "work", tmp_path / "checkpoint"
    monkeypatch.setattr(recipe, "cascade_relation", lambda faces: {"faces": len(faces["image"])})
    options = ["--data", data, "--work", work, "--out", out, "--cpu", "--batch", 4, "--size", 48, "--patch", 12]
    options += ["--hidden", 16, "--layers", 1, "--heads", 2]

    def train(minutes):
        recipe.main([str(option) for option in (*options, "--minutes", minutes)])
        return json.loads((out / "results.json").read_text()), (out / "model.safetensors").read_bytes()

    results, weights = train(0.01)
    assert results["steps"] >= 1 and results["judged on"] == "validation"
    assert {"helen", "youtube-faces", "shape", "cascade"} <= results.keys()
    assert results["helen"]["n"] == 3 and len(results["helen"]["landmarks"]) == 68
    assert "data" not in results["options"]

    again, same = train(0.01)  # the same command once more adds nothing
    assert (again["steps"], same) == (results["steps"], weights)
    longer, other = train(0.04)
    assert longer["steps"] > results["steps"] and other != weights

    options[3] = tmp_path / "elsewhere"  # a new run that begins, and ends, with those weights
    options += ["--weights", out]
    begun, same = train(0)
    assert (begun["began with"], same) == ("a finished checkpoint", other)

    model, report = VitPoseForPoseEstimation.from_pretrained(out, output_loading_info=True)
    assert not any(report.values()), report
    assert model.dtype == torch.float32 and model.config.id2label[8] == "chin"
    processor = AutoImageProcessor.from_pretrained(out, backend="pil")
    inputs = processor([Image.new("RGB", (80, 64))], boxes=[[[10, 10, 40, 40]]], return_tensors="pt")
    assert model(**inputs).heatmaps.shape == (1, 68, 8, 8)
    mean = load_file(out / "shape.safetensors")["mean"]
    np.testing.assert_allclose(mean, (mean * [-1, 1, 1])[MIRROR], atol=1e-5)


def test_yaw_is_positive_where_the_nose_points_to_the_right():
    depth = 0.8 * FLAT[:, 0] ** 2
    depth[30] -= 0.4
    shape = np.column_stack([FLAT, depth])
    shape -= shape.mean(0)
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    views = np.stack([shape, shape @ turn.T])[..., :2] * 40
    assert views[1, 30, 0] > views[0, 30, 0]  # the nose tip has moved to the right
    np.testing.assert_allclose(benchmark.yaws_deg(shape, np.zeros((0, 68, 3)), views), [0, 20], atol=1e-3)


def test_tuning_measures_on_training_people_that_are_held_out(data, tmp_path):
    options = ["--data", data, "--work", tmp_path / "w", "--minutes", "0", "--cpu", "--tune"]
    parser_run = recipe.Run(recipe.parse([str(option) for option in options]))
    parser_run.labels()
    trained, judged = (set(part["identity"]) for part in (parser_run.faces, parser_run.judged))
    assert judged and not trained & judged
    assert len(trained | judged) == 12


def test_decodings_agree_on_a_clear_heatmap():
    cells = np.arange(16)
    x, y = (np.exp(-((cells - centre) ** 2) / 2) for centre in (7.3, 9.6))
    heatmaps = np.log(y[:, None] * x + 1e-9)[None, None].repeat(3, 1)
    processor = AutoImageProcessor.from_pretrained(checkpoints.find("face-landmarks"), backend="pil")
    boxes = [np.array([10.0, 20.0, 40.0, 40.0])]
    mean = landmarks_of(heatmaps, boxes)
    np.testing.assert_allclose(benchmark.dark(processor)(heatmaps, boxes), mean, atol=0.3)
    np.testing.assert_allclose(benchmark.peak(heatmaps, boxes), mean, atol=50 / 15)


def test_of_a_known_blink_as_much_arrives_as_the_landmarks_follow_it(monkeypatch):
    images, true = zip(*(drawn(np.random.default_rng(seed)) for seed in range(3)), strict=True)
    true = np.array(true) + np.random.default_rng(0).normal(0, 0.3, (3, 68, 2))
    shut = {"right eye closed": 0.7, "left eye closed": 0.7}
    closed = np.array([Portrait(i, p, *load()).landmarks_at(shut) for i, p in zip(images, true, strict=True)])
    answers = iter([(true, true, true), (true, (true + closed) / 2, closed)])
    monkeypatch.setattr(benchmark, "looks", lambda folder, images, boxes: next(answers))
    result = benchmark.eyes_response(None, images, true, true + np.array([1, 0]), true)
    assert (result["two looks"]["blinks"], result["and one at the eyes"]["blinks"]) == pytest.approx((0.5, 1), abs=0.02)
    assert result["two looks"]["nme"] == pytest.approx(100 / benchmark.eye_distance(true).mean(), rel=0.1)
    assert result["and one at the eyes"]["nme"] == 0 and result["and one at the eyes"]["slope"] == 1


def test_measures_that_do_not_differ_have_no_slope():
    rng = np.random.default_rng(0)
    same = np.repeat(rng.uniform(0, 100, (1, 68, 2)), 3, axis=0)
    found = same + rng.normal(0, 1, same.shape)
    assert all(np.isnan([*answer.values()]).all() for answer in benchmark.response(found, same).values())
    turned = same + rng.normal(0, 5, same.shape)
    assert all(answer == {"slope": 1, "correlation": 1} for answer in benchmark.response(turned, turned).values())
