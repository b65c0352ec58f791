"""`helpers.lifter`: its input, geometry of lifting, bad input, and the bundled lifter."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from helpers import checkpoints, media
from helpers.bodies import COCO, FEWEST, LIMBS
from helpers.geometry import project
from helpers.lifter import BodyLifter, lift, lift_windows, lifter_inputs
from helpers.metrics import mpjpe_mm

pytestmark = pytest.mark.filterwarnings("error")
examples = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
K = np.array([[600.0, 0, 320], [0, 590, 240], [0, 0, 1]])
# A person who stands upright and faces the camera, one forearm raised to the side; the camera's axes, hips at 0.
STANDING = np.array(
    [
        *([0.18, -0.5, 0], [-0.18, -0.5, 0], [0.25, -0.23, 0.02], [-0.25, -0.23, 0.02], [0.28, 0.02, -0.05]),
        *([-0.45, -0.35, -0.05], [0.1, 0, 0], [-0.1, 0, 0], [0.11, 0.4, -0.02], [-0.11, 0.4, -0.02]),
        *([0.11, 0.82, 0.04], [-0.11, 0.82, 0.04]),
    ]
)


def ahead(distance):
    return np.array([0, 0, distance])


@pytest.fixture(scope="module")
def bundled():
    return BodyLifter.from_pretrained(checkpoints.find("body-lifter"))


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return BodyLifter(frames=5, width=16, blocks=1).eval()


# From pixels to the network's input


@examples
@given(seeds)
def test_known_intrinsics_make_the_place_in_the_image_a_turn_of_the_camera(seed):
    rng = np.random.default_rng(seed)
    turn = Rotation.from_euler("YXZ", rng.uniform(-1, 1, 3) * [25, 20, 0], degrees=True).as_matrix()
    body = STANDING + ahead(rng.uniform(2, 8))
    axis, off = (project(x, K)[None, None] for x in (body, body @ turn.T))
    (first, size1, turns1), (second, size2, turns2) = lifter_inputs(axis, K), lifter_inputs(off, K)
    view1, view2 = (joints @ turns[0].T for joints, turns in ((body, turns1), (body @ turn.T, turns2)))
    roll, pitch, yaw = Rotation.align_vectors(view2, view1)[0].as_euler("zxy", degrees=True)
    assert abs(pitch) < 1.5 and abs(yaw) < 1.5 and abs(roll) < 12  # both look at the person
    np.testing.assert_allclose(turns2[0] @ turns2[0].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turns2[0]) == pytest.approx(1)
    assert size2[0, 0] == pytest.approx(size1[0, 0], abs=0.02) and size1[0, 1] == 1
    assert first.shape == (1, 1, 12, 3) and (second[..., 2] == 1).all()
    np.testing.assert_allclose(
        (view2[:, :2] / view2[:, 2:]) / np.exp(size2[0, 0]) / 0.15, second[0, 0, :, :2], atol=1e-5
    )


def test_size_tells_the_distance_and_unknown_intrinsics_tell_nothing():
    sizes = [lifter_inputs(project(STANDING + ahead(d), K)[None, None], K)[1][0] for d in (3, 6)]
    assert sizes[0][0] - sizes[1][0] == pytest.approx(np.log(2), abs=0.02)
    pixels = project(STANDING + ahead(3), K)[None, None]
    joints, size, turns = lifter_inputs(pixels)
    other, _, _ = lifter_inputs(3 * pixels + [40, -7])
    np.testing.assert_allclose(joints, other, atol=1e-6)
    np.testing.assert_array_equal(size, [[0, 0]])
    np.testing.assert_array_equal(turns, [np.eye(3)])


@pytest.mark.parametrize("intrinsics", [None, K])
def test_what_is_not_seen_is_zero_whatever_it_holds(intrinsics):
    pixels = project(STANDING + ahead(3), K)[None, None].repeat(3, 1)
    pixels[0, 0], pixels[0, 1, [2, 5], 0], pixels[0, 2, 4] = np.nan, np.nan, np.inf
    joints, size, _ = lifter_inputs(pixels, intrinsics)
    assert np.isfinite(joints).all() and np.isfinite(size).all()
    gone = joints[0, ..., 2] == 0
    assert gone.sum() == 12 + 2 + 1 and not joints[0][gone].any()
    nothing, size, turns = lifter_inputs(np.full((1, 3, 12, 2), np.nan), intrinsics)
    assert not nothing.any() and np.isfinite(size).all() and np.isfinite(turns).all()


# Lifting


def test_lifting_is_the_same_for_the_mirror_image_and_all_over_the_image(untrained):
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.2, (7, 5, 12, 2))
    found = lift_windows(untrained, points)
    assert found.shape == (7, 12, 3)
    mirrored = lift_windows(untrained, (points * [-1, 1])[:, :, LIMBS.mirror])
    np.testing.assert_allclose(mirrored, (found * [-1, 1, 1])[:, LIMBS.mirror], atol=1e-6)
    np.testing.assert_allclose(lift_windows(untrained, 50 * points + 99), found, atol=1e-5)
    np.testing.assert_allclose(found[:, 6:8].mean(1), 0, atol=1e-6)


def test_the_output_turns_with_the_camera(untrained):
    pixels = project(STANDING + ahead(4), K)
    turn = Rotation.from_euler("y", 20, degrees=True).as_matrix()
    turned = project((STANDING + ahead(4)) @ turn.T, K)
    straight, aside = (lift(untrained, p[None], K)[0] for p in (pixels, turned))
    np.testing.assert_allclose(aside, straight @ turn.T, atol=2e-3)


def test_a_window_is_cut_in_seconds_and_ends_with_the_clip(untrained):
    pixels = project(STANDING + ahead(3), K)[None].repeat(40, 0) + np.arange(40)[:, None, None]
    slow = lift(untrained, pixels, K, np.arange(40) / 10)  # every frame
    np.testing.assert_allclose(
        lift(untrained, pixels.repeat(3, 0)[1:-1], K, np.arange(118) / 30)[3:-3:3], slow[1:-1], atol=1e-6
    )
    alone = pixels[:5].copy()
    np.testing.assert_allclose(lift(untrained, alone, K, np.arange(5) / 10)[2], slow[2], atol=1e-6)
    assert not np.allclose(lift(untrained, alone, K, np.arange(5) / 10)[4], slow[4], atol=1e-4)


def test_windows_are_cut_by_time_where_the_rate_falls(bundled):
    truth = media.clip("workout")[1]
    joints, clock = truth["joints_3d"][:, COCO.limbs], truth["times"]
    times = np.concatenate([clock[clock < 11], clock[clock >= 11][::4]])  # from 20 to 5 frames a second
    world, row = joints[np.isin(clock, times)], np.flatnonzero(np.isin(clock, times))
    camera = world @ truth["R"].T + truth["t"]
    pixels = project(camera.reshape(-1, 3), truth["K"]).reshape(-1, 12, 2)
    whole = project((joints @ truth["R"].T + truth["t"]).reshape(-1, 3), truth["K"]).reshape(-1, 12, 2)
    all_frames = lift(bundled, whole, truth["K"], clock)[row]
    by_time, by_rate = (
        np.mean(mpjpe_mm(lift(bundled, pixels, truth["K"], when), all_frames))
        for when in (times, np.linspace(times[0], times[-1], len(times)))
    )
    assert by_time < 6 and by_rate > 15
    np.testing.assert_allclose(lift(bundled, pixels, truth["K"], times)[:200], all_frames[:200], atol=1e-5)


def test_the_last_bits_of_a_time_and_a_missing_neighbour_change_little(untrained):
    pixels = project(STANDING + ahead(3), K)[None].repeat(40, 0) + np.arange(40)[:, None, None]
    times = np.arange(40) / 25  # 0.1 s lies between two frames
    found = lift(untrained, pixels, K, times)
    np.testing.assert_allclose(lift(untrained, pixels, K, times * (1 + 1e-9) + 1e3), found, atol=1e-5)
    late = np.where(np.arange(40) < 20, times, times + 20)  # nobody filmed in between
    cut = [lift(untrained, pixels[part], K, times[part]) for part in (slice(20), slice(20, None))]
    np.testing.assert_allclose(lift(untrained, pixels, K, late), np.concatenate(cut), atol=1e-5)


def test_frames_with_too_few_joints_are_nan_and_others_are_lifted(untrained):
    pixels = project(STANDING + ahead(3), K)[None].repeat(6, 0)
    pixels[2, : 13 - FEWEST], pixels[3, : 12 - FEWEST] = np.nan, np.nan
    found = lift(untrained, pixels, K, np.arange(6) / 25)
    np.testing.assert_array_equal(np.isnan(found).all((1, 2)), [False, False, True, False, False, False])
    assert np.isfinite(found[[0, 1, 3, 4, 5]]).all()


@pytest.mark.parametrize(
    ("joints", "how", "message"),
    [
        (np.zeros((12, 2)), {}, r"shape \(frames, 12, 2\), not \(12, 2\)"),
        (np.zeros((4, 17, 2)), {}, r"not \(4, 17, 2\): rows as in LIMBS.names"),
        (np.zeros((4, 12, 3)), {}, r"not \(4, 12, 3\)"),
        (np.zeros((0, 12, 2)), {"times": []}, r"none of 0 frames"),
        (
            np.full((4, 12, 2), np.nan),
            {"times": range(4)},
            r"Lifting needs 6 of the 12 joints in a frame; none of 4 frames has them",
        ),
        (np.zeros((4, 12, 2)), {}, r"4 frames need as many increasing times, s, not \(\)"),
        (np.zeros((4, 12, 2)), {"times": 25}, r"4 frames need as many increasing times, s, not \(\)"),
        (np.zeros((4, 12, 2)), {"times": [0, 1, 1, 2]}, r"4 frames need as many increasing times"),
        (np.zeros((4, 12, 2)), {"times": [0, 1, np.nan, 2]}, r"4 frames need as many increasing times"),
        (np.zeros((4, 12, 2)), {"times": range(4), "K": np.zeros((3, 3))}, r"K .* is singular"),
    ],
)
def test_bad_input_is_refused_in_words(untrained, joints, how, message):
    with pytest.raises(ValueError, match=message):
        lift(untrained, joints, **how)


# The bundled lifter


@pytest.mark.parametrize("intrinsics", [K, None])
def test_the_bundled_lifter_lifts_a_standing_person_and_knows_which_way_it_faces(bundled, intrinsics):
    for angle in (0, 60, 180):
        turned = STANDING @ Rotation.from_euler("y", angle, degrees=True).as_matrix().T
        found = lift(bundled, project(turned + ahead(3), K)[None], intrinsics)[0]
        assert mpjpe_mm(found, turned) < 80
        across = found[0] - found[1]
        assert across @ (turned[0] - turned[1]) > 0


def test_the_bundled_lifter_is_small():
    assert (Path(checkpoints.find("body-lifter")) / "model.safetensors").stat().st_size <= 1_000_000
