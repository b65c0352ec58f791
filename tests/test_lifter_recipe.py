"""`training.lifter` and `benchmarks.lifter`: bodies, cameras, detections by closed forms, and a run of a few steps."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from scipy.spatial.transform import Rotation

from benchmarks import lifter as benchmark
from helpers import checkpoints
from helpers.bodies import LIMBS
from helpers.geometry import project
from helpers.lifter import BodyLifter
from training import lifter as recipe

DATA = Path(__file__).resolve().parents[2] / "shared/data"


def moving(rng, frames=40, size=1.0):
    """COCO-17 joints (frames, 17, 3) in metres, y up, of a figure that faces z, squats, and swings its arms."""
    time = np.linspace(0, rng.uniform(2, 5), frames) + rng.uniform(0, 6)
    bend, swing = 0.5 - 0.5 * np.cos(time), rng.uniform(0.3, 1.2) * np.sin(rng.uniform(1, 2) * time)
    zero = np.zeros(frames)
    joints = {"nose": [zero, 1.65 - 0.3 * bend, zero + 0.1]}
    for side, x in (("left", 1), ("right", -1)):
        joints[f"{side} eye"] = joints[f"{side} ear"] = [zero + 0.05 * x, 1.68 - 0.3 * bend, zero + 0.08]
        hip = np.array([zero + 0.1 * x, 0.9 - 0.3 * bend, -0.2 * bend])
        shoulder = hip + np.array([[0.08 * x], [0.5], [0]])
        elbow = shoulder + 0.27 * np.array([zero + 0.1 * x, -np.cos(swing * x), np.sin(swing * x)])
        wrist = elbow + 0.25 * np.array([zero, -np.cos(swing * x + 0.5), np.sin(swing * x + 0.5)])
        knee, ankle = (
            np.array([zero + 0.1 * x, 0.5 - 0.1 * bend, 0.15 * bend]),
            np.array([zero + 0.1 * x, 0.1 + zero, zero]),
        )
        parts = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        joints |= {f"{side} {k}": v for k, v in zip(parts, (shoulder, elbow, wrist, hip, knee, ankle), strict=True)}
    return size * np.array([joints[name] for name in benchmark.COCO.names]).transpose(2, 0, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with `motion.parquet`: five people to train on, two held out, of different sizes."""
    rng, rows = np.random.default_rng(0), []
    for person in range(7):
        for number in range(3):
            joints = 1000 * moving(rng, 40 + 5 * number, 0.8 + 0.07 * person)
            ok = np.ones(len(joints), bool)
            if number == 1:
                ok[7:9], joints[7:9] = False, 0
            row = {"clip": f"{person}_{number}", "subject": f"p{person}", "fps": (25.0, 30.0)[number % 2]}
            row |= {"split": "validation" if person > 4 else "train", "ok": ok.tolist()}
            rows.append(row | {"joints_mm": joints.reshape(len(joints), 51).astype(np.int16).tolist()})
    folder = tmp_path_factory.mktemp("data")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "motion.parquet")
    return folder


@pytest.fixture(scope="module")
def motion(data):
    return benchmark.load_motion(data, "train")


# Motion capture


def test_every_subject_is_scaled_to_one_size(motion, data):
    assert motion.joints.shape == (3 * 5 * 45, 12, 3)
    assert sorted(motion.size) == ["p0", "p1", "p2", "p3", "p4"]
    assert motion.size["p2"] / motion.size["p0"] == pytest.approx(0.94 / 0.8, rel=0.02)
    for name in motion.size:
        rows = (motion.subject == name) & motion.ok
        assert np.median(benchmark.body_length(motion.joints[rows])) == pytest.approx(benchmark.BODY_M, rel=1e-4)
    with pytest.raises(ValueError, match="No clips of split 'test'"):
        benchmark.load_motion(data, "test")


def test_windows_stay_in_their_clip_and_count_in_seconds(motion):
    rows = np.array([0, 20, 40, 41, 200])
    windows, there = motion.windows(rows, 5, 0.1)
    assert windows.shape == (5, 5, 12, 3)
    np.testing.assert_array_equal(windows[1, 2], motion.joints[20])
    np.testing.assert_array_equal(windows[1, 4], motion.joints[24])  # 25 frames a second: every second one
    np.testing.assert_array_equal(there[0], [False, False, True, True, True])
    np.testing.assert_array_equal(there[2], [False, False, True, True, True])  # 40 begins a clip
    np.testing.assert_array_equal(there[3], [False, False, True, True, False])  # 41 + 2 * 3: there it was not ok
    np.testing.assert_array_equal(windows[0, 0], motion.joints[0])
    np.testing.assert_array_equal(windows[3, 4], motion.joints[41])


def test_generated_people_do_exercises_and_are_scaled_like_recorded_ones(motion):
    made, again, other = (recipe.exercises(12, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(made.joints, again.joints)
    assert len(made.size) == 12 and made.size != other.size
    for name, size in made.size.items():
        rows = made.subject == name
        assert 0.7 * benchmark.BODY_M < size < 1.3 * benchmark.BODY_M
        assert np.median(benchmark.body_length(made.joints[rows])) == pytest.approx(benchmark.BODY_M, rel=1e-4)
        assert (np.ptp(made.joints[rows], axis=0) > 0.05).any()  # they move
        np.testing.assert_array_equal(made.ends[rows], [np.flatnonzero(rows)[[0, -1]]] * rows.sum())
    both = recipe.together(motion, made)
    rows = np.array([len(motion.ok), len(motion.ok) + 30])
    windows, there = both.windows(rows, 5, 0.1)
    np.testing.assert_array_equal(there[0], [False, False, True, True, True])  # the first clip of a made person
    np.testing.assert_array_equal(windows[1], made.joints[[26, 28, 30, 32, 34]])
    assert both.size == motion.size | made.size and len(both.subject) == len(both.ok) == len(both.fps)


# Cameras


@pytest.mark.parametrize(("view", "pointing"), [(0, [0, 0, -1]), (90, [1, 0, 0]), (180, [0, 0, 1]), (270, [-1, 0, 0])])
def test_a_person_faces_where_the_view_says(monkeypatch, view, pointing):
    monkeypatch.setattr(benchmark, "PITCH_DEG", (0, 0))
    monkeypatch.setattr(benchmark, "ROLL_DEG", (0, 0))
    body = moving(np.random.default_rng(0), 5)[:, benchmark.COCO.limbs]
    turn = Rotation.from_euler(
        "y", [[10], [130], [-70]], degrees=True
    ).as_matrix()  # whichever way they face in the world
    windows = body[None] @ turn.mT[:, None]
    np.testing.assert_allclose(benchmark.facing_deg(windows[:, 2]), [10, 130, -70], atol=1e-6)
    seen = benchmark.seen_from(windows, np.random.default_rng(0), 4.0, view)
    np.testing.assert_allclose(seen[:, 2, 6:8].mean(1), np.broadcast_to([0, 0, 4], (3, 3)), atol=1e-6)
    across, up = seen[:, 2, 6] - seen[:, 2, 7], seen[:, 2, 0] - seen[:, 2, 6]
    forward = np.cross(across, up)
    np.testing.assert_allclose(forward / np.linalg.norm(forward, axis=1, keepdims=True), [pointing] * 3, atol=0.2)
    assert (up[:, 1] < -0.4).all()  # y down


def test_cameras_are_rotations_and_positive_pitch_looks_down():
    turns = benchmark.cameras(np.array([0.0, 77, 180]), np.array([20.0, -5, 0]), np.array([0.0, 5, -3]))
    np.testing.assert_allclose(turns @ turns.mT, np.broadcast_to(np.eye(3), (3, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1)
    up = turns[0] @ [0, 1, 0]
    assert up[1] < -0.9 and up[2] == pytest.approx(-np.sin(np.deg2rad(20)))  # the head is nearer to the camera


def test_observed_is_the_projection_and_noise_is_in_shares_of_the_box(motion):
    rng = np.random.default_rng(0)
    windows = benchmark.seen_from(motion.windows(np.arange(0, 30), 3, 0.1)[0], rng, (2, 8), off_axis=0.3)
    exact = benchmark.observed(windows, rng, noise=0)
    np.testing.assert_allclose(exact[4, 1], project(windows[4, 1], np.eye(3)), atol=1e-6)
    side = (exact[:, 1].max(1) - exact[:, 1].min(1)).max(1)[:, None, None, None]
    repeated = np.repeat(windows, 40, 0)
    error = (benchmark.observed(repeated, rng, 0.02) - np.repeat(exact, 40, 0)) / np.repeat(side, 40, 0)
    assert error.std() == pytest.approx(0.02, rel=0.02)
    assert abs(np.corrcoef(error[:, 0].ravel(), error[:, 1].ravel())[0, 1]) < 0.02
    error = benchmark.observed(repeated, rng, 0.02, steady=1.0) - np.repeat(exact, 40, 0)
    np.testing.assert_allclose(error[:, 0], error[:, 1], atol=1e-6)
    gone = np.isnan(benchmark.observed(repeated, rng, missing=0.1))
    assert gone.mean() == pytest.approx(0.1, abs=0.01) and (gone.all(1) == gone.any(1)).all()


def test_baselines_are_what_they_say(motion):
    windows = benchmark.seen_from(motion.joints[motion.ok][:, None], np.random.default_rng(0))
    true = benchmark.root_relative(windows)
    model = BodyLifter(frames=1, width=8, blocks=1).eval()
    rows = np.flatnonzero(motion.ok)
    flat = benchmark.measure(model, motion, rows, baseline="z = 0", noise=0.0)
    assert flat["n"] == len(rows)
    depth = 1000 * np.abs(true[..., 2]).mean()
    assert flat["mpjpe"] == pytest.approx(depth, rel=0.15)  # what is lost is the depth, and some perspective
    centre = benchmark.measure(model, motion, rows, baseline=np.zeros((12, 3)))
    assert centre["mpjpe"] == pytest.approx(1000 * np.linalg.norm(true, axis=2).mean(), abs=0.1)


# Bodies


def test_proportions_change_bones_and_not_their_directions(motion):
    windows = motion.windows(np.arange(9, 29), 3, 0.1)[0]
    np.testing.assert_allclose(
        np.diff(recipe.proportioned(windows, np.ones((20, 7), np.float32)), axis=2), np.diff(windows, axis=2), atol=2e-2
    )
    factors = np.array([[1, 1, 1, 1, 1.3, 1, 1]] * 20, np.float32)  # forearms: no part of the body's length
    longer = recipe.proportioned(windows, factors)
    scale = benchmark.body_length(windows).mean(1) / benchmark.BODY_M
    for a, b in LIMBS.edges:
        before, after = (w[:, :, b] - w[:, :, a] for w in (windows, longer))
        forearm = "elbow" in LIMBS.names[a] and "wrist" in LIMBS.names[b]
        expected = before * (1.3 if forearm else 1) / scale[:, None, None]
        np.testing.assert_allclose(after, expected, atol=1e-5)
    everything = recipe.proportioned(windows, np.exp(np.random.default_rng(0).normal(0, 0.1, (20, 7))))
    np.testing.assert_allclose(benchmark.body_length(everything).mean(1), benchmark.BODY_M, rtol=1e-5)


def test_borrowed_arms_are_to_the_trunk_as_they_were(motion):
    windows = motion.windows(np.arange(9, 19), 3, 0.1)[0].astype(float)
    turn = Rotation.from_euler("YX", [70, 20], degrees=True).as_matrix()
    np.testing.assert_allclose(recipe.with_arms_of(windows, windows @ turn.T + [1, 2, 3]), windows, atol=1e-4)
    mixed = recipe.with_arms_of(windows, windows[::-1])
    np.testing.assert_array_equal(mixed[..., 6:, :], windows[..., 6:, :])
    for a, b in LIMBS.edges[:2]:
        lengths = [np.linalg.norm(w[..., a, :] - w[..., b, :], axis=-1) for w in (mixed, windows[::-1])]
        np.testing.assert_allclose(*lengths, rtol=1e-5)


def test_losses_are_distances_in_metres():
    true = torch.randn(4, 12, 3, generator=torch.Generator().manual_seed(0))
    moved = true + torch.tensor([0.03, 0.0, 0.04])
    loss = recipe.losses(moved, true, 1.0)
    assert loss["distance"].item() == pytest.approx(0.05, rel=1e-4) and loss["bones"].item() < 1e-6
    assert recipe.losses(2 * true, true, 0.5)["bones"].item() == pytest.approx(
        0.5 * np.mean([(true[:, a] - true[:, b]).norm(dim=1).mean().item() for a, b in LIMBS.edges[:8]]), rel=1e-4
    )


def test_a_batch_is_finite_and_its_joints_fit_its_truth(data):
    run = recipe.Run(recipe.parse(["--data", str(data), "--minutes", "0", "--cpu", "--work", str(data / "w")]))
    run.motion()
    batch = recipe.batch_of(run.trained, run.chances, run.options, np.random.default_rng(0))
    joints, size, true = (part.numpy() for part in batch)
    count = len(joints)  # windows in which too few joints are left are dropped
    assert 230 <= count <= 256 and joints.shape[1:] == (5, 12, 3) and size.shape == (count, 2)
    assert true.shape == (count, 12, 3) and np.abs(joints).max() < 50
    assert all(np.isfinite(part).all() for part in (joints, size, true))
    assert set(np.unique(joints[..., 2])) == {0, 1} and size[:, 1].mean() == pytest.approx(2 / 3, abs=0.01)
    seen = joints[:150, 2, :, 2] == 1
    both = [np.where(seen, xy, np.nan) for axis in (0, 1) for xy in (joints[:150, 2, :, axis], true[:150, :, axis])]
    for found, known in (both[:2], both[2:]):
        centred = [v - np.nanmedian(v, 1, keepdims=True) for v in (found, known)]
        assert np.corrcoef(*(v[seen] for v in centred))[0, 1] > 0.9


# The whole recipe


def test_a_run_of_a_few_steps_ends_in_a_checkpoint_and_goes_on_where_it_was_stopped(data, tmp_path):
    out = tmp_path / "checkpoint"
    options = ["--data", data, "--work", tmp_path / "work", "--out", out, "--cpu", "--batch", 16, "--width", 16]
    options += ["--people", 5]

    def train(minutes):
        recipe.main([str(option) for option in (*options, "--minutes", minutes)])
        return json.loads((out / "results.json").read_text()), (out / "model.safetensors").read_bytes()

    results, weights = train(0.01)
    assert results["steps"] >= 1 and results["judged on"] == "validation" and results["base"]["n"] == 2 * 133
    assert results["generated exercises of other people"]["n"] > 1000
    assert {"subject p5", "subject p6", "z = 0", "mean pose", "bones, percent", "missing 20 %"} <= results.keys()
    assert "data" not in results["options"]
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "results.json"}

    again, same = train(0.01)  # the same command once more adds nothing
    assert (again["steps"], same) == (results["steps"], weights)
    (out / "README.md").write_text("the card")
    longer, other = train(0.03)
    assert longer["steps"] > results["steps"] and other != weights
    assert (out / "README.md").read_text() == "the card"
    model = BodyLifter.from_pretrained(out, strict=True)
    assert model.frames == 5 and next(model.parameters()).dtype == torch.float32
    benchmark.main(["--data", str(data), "--checkpoint", str(out)])


def test_tuning_measures_on_training_people_that_are_held_out(data, tmp_path):
    run = recipe.Run(recipe.parse(["--data", str(data), "--work", str(tmp_path), "--minutes", "0", "--cpu", "--tune"]))
    run.motion()
    recorded = {name for name in run.trained.size if not name.startswith("made")}
    assert set(run.judged.size) == {"p4"} and recorded == {"p0", "p1", "p2", "p3"}
    made = np.char.startswith(run.trained.subject.astype(str), "made")
    assert run.chances.sum() == pytest.approx(1) and run.chances[made].sum() == pytest.approx(0.25)
    assert (run.chances[~run.trained.ok] == 0).all()


# The bundled lifter


def test_the_bundled_lifter_lifts_generated_people(data):
    model, motion = (
        BodyLifter.from_pretrained(checkpoints.find("body-lifter")),
        benchmark.load_motion(data, "validation"),
    )
    rows = np.flatnonzero(motion.ok)
    found, flat = (benchmark.measure(model, motion, rows, baseline=kind)["mpjpe"] for kind in (None, "z = 0"))
    assert found < 95 and found < 0.7 * flat  # no natural movements: worse than the card's figures


@pytest.mark.skipif(not DATA.exists(), reason="needs motion.parquet in ../shared/data")
def test_the_bundled_lifter_reaches_its_cards_figures():
    model, motion = (
        BodyLifter.from_pretrained(checkpoints.find("body-lifter")),
        benchmark.load_motion(DATA, "validation"),
    )
    found = benchmark.measure(model, motion, np.flatnonzero(motion.ok)[::4])
    card = json.loads((Path(checkpoints.find("body-lifter")) / "results.json").read_text())["base"]
    assert found["mpjpe"] == pytest.approx(card["mpjpe"], abs=1.5)
    assert found["pa"] == pytest.approx(card["pa"], abs=1.0)
