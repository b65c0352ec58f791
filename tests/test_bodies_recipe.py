"""`training.bodies`, `benchmarks.bodies` and the bundled `body-pose`: views, losses, figures, a run of a few steps."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, VitPoseForPoseEstimation

from benchmarks import bodies as benchmark
from helpers import checkpoints, media
from helpers.bodies import COCO, LSP
from helpers.metrics import pck
from training import bodies as recipe
from training import body_pictures

FOLDER = Path(checkpoints.find("body-pose"))
# A standing figure, head to feet from 0 to 1
FIGURE = dict.fromkeys(("nose", "left eye", "right eye", "left ear", "right ear"), (0, 0.05))
for sign, side in ((1, "left"), (-1, "right")):
    parts = {"shoulder": (0.1, 0.2), "elbow": (0.15, 0.35), "wrist": (0.18, 0.5), "hip": (0.06, 0.5)}
    parts |= {"knee": (0.07, 0.73), "ankle": (0.08, 0.97)}
    FIGURE |= {f"{side} {part}": (sign * x, y) for part, (x, y) in parts.items()}
FIGURE = np.array([FIGURE[name] for name in COCO.names])


def drawn(rng, size=120):
    """A picture of a stick figure, and its joints (17, 2), px."""
    image = np.full((size, size, 3), rng.integers(0, 120, 3), np.uint8)
    joints = FIGURE * rng.uniform(0.6, 0.8) * size + [size / 2, 0.15 * size] + rng.normal(0, 1, (17, 2))
    for a, b in COCO.edges:
        cv2.line(image, *(np.round(joints[i]).astype(int).tolist() for i in (a, b)), (250, 220, 200), 3)
    return image, joints


def jpeg(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=92)
    return stream.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with the recipe's Parquet files, and shards as of `training.body_pictures`.

    In row 0 of `bodies.parquet` the ankles are exchanged, and the networks know better; of row 1 they know nothing.
    """
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    people, second, photos, others = [], [], [], []
    for number in range(12):
        image, joints = drawn(rng)
        labels = np.ones((14, 3))
        labels[LSP.limbs, :2], labels[12:, :2] = joints[COCO.limbs], joints[:2]
        labels[number % 12] = [np.nan, np.nan, 0]
        if number == 0:
            labels[[4, 5]] = labels[[5, 4]]  # left knee and ankle
        weights = np.full((17, 1), 0.0 if number == 1 else 0.9)
        second.append({"row": number, "joints": np.column_stack([joints, weights]).tolist()})
        weights[number % 17] = 0
        rows = {"image": {"bytes": jpeg(image), "path": "c.jpg"}, "joints": np.column_stack([joints, weights]).tolist()}
        others.append(rows | {"source": "abc"[number % 3], "split": ("train", "validation", "test")[number // 4]})
        split = "validation" if number > 8 else "train"
        people.append({"image": {"bytes": jpeg(image), "path": "b.jpg"}, "joints": labels.tolist(), "split": split})
        noise = rng.integers(0, 255, (90, 130, 3), dtype=np.uint8)
        photos.append({"image": {"bytes": jpeg(noise), "path": "p.jpg"}, "source": "bsds500", "split": split})
    files = {"bodies": people, "bodies_teacher": second[::-1], "people": others, "photos": photos}
    for name, rows in files.items():
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{name}.parquet")
    for split, count in (("train", 12), ("validation", 4)):
        pictures, joints = zip(*(drawn(rng) for _ in range(count)), strict=True)
        parts = [np.frombuffer(jpeg(image), np.uint8) for image in pictures]
        np.savez(
            folder / f"{split}-0000.npz",
            jpeg=np.concatenate(parts),
            ends=np.cumsum([len(part) for part in parts]),
            joints=np.float32(joints),
            visibility=rng.integers(0, 3, (count, 17), dtype=np.uint8),
        )
    return folder


def views(data, people=None, **shares):
    photos = body_pictures.load_photos(data, "train")
    people = people or recipe.load_photographed(data, ["people.parquet"])
    shares = {"real": 0.4, "empty": 0.1} | shares
    return recipe.Bodies(benchmark.load_renders(data, "train"), people, photos, **shares, seed=0)


# Views


def test_views_are_the_same_at_every_call_and_go_on_from_a_number(data):
    first, later = iter(views(data)), views(data)
    later.start = 3
    rows = [next(first) for _ in range(4)]
    for key, value in next(iter(later)).items():
        np.testing.assert_array_equal(value, rows[3][key])


def test_where_nobody_is_no_peak_is_wanted_and_where_no_label_is_nothing(data):
    for number in range(20):
        view = views(data, real=0, empty=1).view(np.random.default_rng(number))
        assert view["height"].max() == 0 and view["known"].min() == 1
        people = recipe.load_photographed(data, [], labels="stored")
        view = views(data, people, real=1, empty=0).view(np.random.default_rng(number))
        assert view["known"][:5].max() == 0 and 10 <= view["known"].sum() <= 12


def test_labels_that_sure_networks_contradict_are_mended_or_dropped(data):
    stored, mended, dropped = (recipe.load_photographed(data, [], labels) for labels in ("stored", "mended", "dropped"))
    knee, ankle = (COCO.names.index(f"left {joint}") for joint in ("knee", "ankle"))
    assert stored.joints[0, knee, 1] > stored.joints[0, ankle, 1]  # upside down
    assert mended.joints[0, knee, 1] < mended.joints[0, ankle, 1]
    assert mended.weights[0, knee] == pytest.approx(0.9) and not dropped.weights[0, [knee, ankle]].any()
    for people in (mended, dropped):
        others = [i for i in COCO.limbs if i not in (knee, ankle) and stored.weights[0, i]]
        np.testing.assert_array_equal(people.joints[0, others], stored.joints[0, others])
        assert people.weights[0, others].min() == 1 and people.weights[0, :5] == pytest.approx(0.9)
        np.testing.assert_array_equal(people.weights[1], stored.weights[1])


def test_sources_are_drawn_by_the_square_root_of_their_size(data):
    people = recipe.load_photographed(data, ["people.parquet"])
    sizes = [9, 2, 1]  # Leeds Sports Pose, then the sources a (rows 0 and 3) and c; of b nothing is known
    ends = [people.chances[:9].sum(), people.chances[[9, 11]].sum(), people.chances[10]]
    np.testing.assert_allclose(ends, np.sqrt(sizes) / np.sqrt(sizes).sum(), rtol=1e-6)


def test_places_are_where_the_processor_decodes_them(data, monkeypatch):
    for name in ("covered", "moving"):
        monkeypatch.setattr(recipe, name, lambda view, *_: view)
    monkeypatch.setattr(recipe.faces, "photometric", lambda view, rng: view)
    monkeypatch.setattr(recipe, "COCO", SimpleNamespace(mirror=np.arange(17)))
    y, x = np.indices((120, 120))
    slope = np.stack([2 * x, 2 * y, 0 * x], 2).astype(np.uint8)  # each pixel's colour says where it is
    joints = FIGURE * 80 + [60, 20]
    box = benchmark.box_of(joints)
    processor = AutoImageProcessor.from_pretrained(FOLDER, backend="pil")
    crop = processor([slope], boxes=[[box]], return_tensors="pt")["pixel_values"][0].numpy()
    seen = 255 * (crop[:2] * np.reshape(processor.image_std[:2], (2, 1, 1)))
    seen += 255 * np.reshape(processor.image_mean[:2], (2, 1, 1))
    row, column = 14, 9  # a peak in this cell
    heatmaps = torch.zeros(1, 1, 32, 24)
    heatmaps[0, 0, row, column] = 1
    output = SimpleNamespace(heatmaps=heatmaps)
    there = processor.post_process_pose_estimation(output, boxes=[[box]], kernel_size=3)[0][0]["keypoints"][0].numpy()
    pixel = np.array([column, row]) / recipe.CELLS
    colour = cv2.remap(np.float32(seen.transpose(1, 2, 0)), *np.float32(pixel[:, None, None]), cv2.INTER_LINEAR)[0, 0]
    np.testing.assert_allclose(colour / 2, there, atol=0.6)


# Losses


def target(places, height, sigma=1.0):
    y, x = (torch.arange(float(n)) for n in (32, 24))
    across, down = (
        torch.exp(-((cells - places[..., k, None]) ** 2) / (2 * sigma**2)) for k, cells in enumerate((x, y))
    )
    return height[..., None, None] * down[..., None] * across[..., None, :]


def test_losses_see_place_and_height_and_skip_what_is_unknown():
    places = torch.rand(2, 17, 2, generator=torch.Generator().manual_seed(0)) * 12 + 6
    height, known = torch.ones(2, 17), torch.ones(2, 17)
    height[0, :4], height[1, :4] = 0.5, 0
    batch = {"places": places, "height": height, "known": known}
    best = target(places, height).requires_grad_()
    perfect = recipe.losses(best, batch, 1.0, 1.0)
    sum(perfect.values()).backward()
    assert perfect["square"].item() < 1e-9 and best.grad.abs().max() < 1e-6  # both are least at the same place
    moved = recipe.losses(target(places + 2, height), batch, 1.0, 1.0)
    assert moved["entropy"] > perfect["entropy"] + 1
    louder = recipe.losses(target(places, torch.ones(2, 17)), batch, 1.0, 1.0)
    assert louder["square"].item() == pytest.approx(np.pi * (4 * 0.25 + 4) / 34, rel=1e-3)
    batch["known"][:, :4] = 0
    assert recipe.losses(target(places, torch.ones(2, 17)), batch, 1.0, 1.0)["square"].item() < 1e-9


def test_exchanged_sides_cost_and_the_right_ones_do_not():
    places = torch.full((1, 17, 2), 10.0)
    places[0, 5], places[0, 6] = torch.tensor([6.0, 8.0]), torch.tensor([16.0, 8.0])  # the shoulders, apart
    there = torch.ones(1, 17)
    right = target(places, there)
    wrong = right[:, COCO.mirror.tolist()]
    assert recipe.exchanged(right, places, there) < 1e-3 < 10 < recipe.exchanged(wrong, places, there)
    assert recipe.exchanged(wrong, places, 1 - there) == 0


# Figures


def test_boxes_hold_the_joints_and_scatter_as_told():
    joints = np.repeat(FIGURE[None] * 100, 2000, 0)
    boxes = benchmark.scattered(joints)
    size = 100 * np.ptp(FIGURE, axis=0).max() * benchmark.MARGIN
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    np.testing.assert_allclose(centres.std(0) / size, benchmark.JITTER[0], rtol=0.1)
    assert np.log(boxes[:, 3]).std() == pytest.approx(benchmark.JITTER[1], rel=0.1)
    average = benchmark.mean_pose(joints)
    np.testing.assert_allclose(benchmark.posed(average, np.array([benchmark.box_of(joints[0])]))[0], joints[0])


def test_auc_is_the_chance_that_the_right_one_scores_higher():
    rng = np.random.default_rng(0)
    right, scores = rng.random(300) < 0.6, rng.random(300)
    pairs = scores[right][:, None] > scores[~right]
    assert benchmark.auc(scores, right) == pytest.approx(pairs.mean())
    assert benchmark.auc(right + 0.1 * scores, right) == 1


def test_a_joint_is_exchanged_where_it_lies_on_the_other_side():
    true = np.repeat(FIGURE[None] * 100, 2, 0)
    found = true.copy()
    found[0, [9, 10]] = true[0, [10, 9]]  # the wrists
    assert benchmark.exchanged(found, true) == pytest.approx(2 / 24, abs=1e-4)
    found[1, 9] += 100  # wrong, but not exchanged
    assert benchmark.exchanged(found, true) == pytest.approx(2 / 24, abs=1e-4)


def test_the_threshold_is_the_lowest_that_leaves_enough_right():
    scores = np.linspace(0, 1, 2001)
    right = np.random.default_rng(0).random(2001) < scores
    level, share = benchmark.threshold(scores, right)
    assert right[scores >= level].mean() >= 0.9 > right[scores >= level - 0.01].mean()
    assert level == pytest.approx(0.8, abs=0.05) and share == pytest.approx(1 - level, abs=0.01)
    assert benchmark.threshold(scores, np.zeros(2001, bool))[1] == 0


# The whole recipe


def test_a_run_of_a_few_steps_ends_in_a_checkpoint_and_goes_on_where_it_was_stopped(data, tmp_path):
    out = tmp_path / "checkpoint"
    options = ["--data", data, "--pictures", data, "--work", tmp_path / "work", "--out", out, "--cpu", "--batch", 4]
    options += ["--hidden", 16, "--layers", 1, "--heads", 2]

    def train(minutes):
        recipe.main([str(option) for option in (*options, "--minutes", minutes)])
        return json.loads((out / "results.json").read_text()), (out / "model.safetensors").read_bytes()

    results, weights = train(0.01)
    assert results["steps"] >= 1 and not {"data", "pictures"} & results["options"].keys()
    assert train(0.01)[1] == weights  # the same command once more adds nothing
    longer, other = train(0.04)
    assert longer["steps"] > results["steps"] and other != weights
    model, report = VitPoseForPoseEstimation.from_pretrained(out, output_loading_info=True)
    assert not any(report.values()), report
    assert model.dtype == torch.float32 and list(model.config.id2label.values()) == list(COCO.names)

    results = benchmark.evaluate(out, data, data, every=100)
    assert results["renders"]["people"] <= 4 and results["photographs"]["people"] <= 3
    assert results["people, test"]["people"] <= 4 and "exchanged" in results["people, validation"]
    assert (
        results["score to believe"]["right"] == 0.9 and "PCK@0.1" in results["photographs, upright, confirmed joints"]
    )
    assert 0 <= results["film"]["all"]["PCK@0.2"] <= 1 and "median score" in results["nobody"]


def test_a_person_is_rendered_with_joints_in_the_picture(data):
    pytest.importorskip("pyvista", reason="rendering needs pip install -r training/requirements.txt")
    from training.mannequin import Renderer

    rng = np.random.default_rng(0)
    poses = [1000 * np.concatenate([FIGURE[None] * [1.7, -1.7], np.zeros((1, 17, 1))], 2) + [0, 1700, 0]]
    renderer = Renderer((body_pictures.SIZE,) * 2)
    stream = body_pictures.pictures(poses, body_pictures.load_photos(data, "train"), int(rng.integers(9)), renderer)
    shots = [next(stream) for _ in range(12)]
    renderer.close()
    assert np.mean([shot.visibility > 0 for shot in shots]) > 0.95
    assert np.mean([shot.mask.mean() for shot in shots]) > 0.02


# The bundled checkpoint


@pytest.fixture(scope="module")
def detector():
    return benchmark.Detector(FOLDER)


def test_the_bundled_checkpoint_finds_the_joints_of_the_film(detector):
    images, rows, joints, visibility = benchmark.film(every=40)
    found, scores = detector([images[row] for row in rows], np.array([benchmark.box_of(points) for points in joints]))
    assert pck(found, joints) > 0.85 and pck(found, joints, 0.1) > 0.75
    assert np.median(scores[visibility == 2]) > 0.35


def test_the_bundled_checkpoint_gives_low_scores_where_nobody_is(detector):
    photos = [media.photo(name).resize((192, 144)) for name in ("coffee", "grass", "page")]
    scores = detector(photos, np.array([[42, 0, 108, 144]] * 3))[1]
    assert np.median(scores) < 0.2
