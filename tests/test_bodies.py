"""`helpers.bodies` and the metrics of joints: tables, boxes, angles, errors in 3D."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from transformers import AutoImageProcessor, VitPoseForPoseEstimation

from helpers import checkpoints, media
from helpers.bodies import (
    ANGLES,
    COCO,
    FEWEST,
    LIMBS,
    LSP,
    MEDIAPIPE,
    NoPerson,
    angle_deg,
    box_of,
    find_joints,
    follow,
    joints_in_film,
    limb_angles_deg,
    sure_score,
    torso_length,
)
from helpers.metrics import mpjpe_mm, pa_mpjpe_mm, pck

pytestmark = pytest.mark.filterwarnings("error")
examples = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
# A person who stands upright and faces the camera, one forearm raised to the side; the camera's axes, hips at 0.
STANDING = np.array(
    [
        *([0.18, -0.5, 0], [-0.18, -0.5, 0], [0.25, -0.23, 0.02], [-0.25, -0.23, 0.02], [0.28, 0.02, -0.05]),
        *([-0.45, -0.35, -0.05], [0.1, 0, 0], [-0.1, 0, 0], [0.11, 0.4, -0.02], [-0.11, 0.4, -0.02]),
        *([0.11, 0.82, 0.04], [-0.11, 0.82, 0.04]),
    ]
)


# Tables


@pytest.mark.parametrize(("layout", "count"), [(LIMBS, 12), (COCO, 17), (LSP, 14), (MEDIAPIPE, 33)])
def test_layouts_hold_each_joint_once_and_mirror_back(layout, count):
    assert len(layout.names) == len(set(layout.names)) == count
    np.testing.assert_array_equal(layout.mirror[layout.mirror], np.arange(count))
    for name, other in zip(layout.names, layout.mirror, strict=True):
        swapped = {"left": "right", "right": "left"}.get(name.split()[0], name.split()[0])
        assert layout.names[other].split()[0] == swapped
    edges = {frozenset(edge) for edge in layout.edges}
    assert len(edges) == len(layout.edges) and {frozenset(layout.mirror[list(edge)]) for edge in edges} == edges
    assert set(itertools.chain(*edges)) == set(range(count))
    for a, b in layout.edges[:8]:
        assert (layout.names[a].split()[0], layout.names[a].split()[1], layout.names[b].split()[1]) in {
            (side, *bone)
            for side in ("left", "right")
            for bone in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
        }


def test_layouts_are_those_of_coco_and_of_leeds_sports_poses():
    assert COCO.names[:7] == (
        "nose",
        "left eye",
        "right eye",
        "left ear",
        "right ear",
        "left shoulder",
        "right shoulder",
    )
    assert COCO.names[-2:] == ("left ankle", "right ankle")
    assert LSP.names == (
        *("right ankle", "right knee", "right hip", "left hip", "left knee", "left ankle"),
        *("right wrist", "right elbow", "right shoulder", "left shoulder", "left elbow", "left wrist"),
        *("neck", "head top"),
    )


def test_mediapipes_names_and_connections_are_those_of_its_documentation():
    assert MEDIAPIPE.names[:11] == (
        *("nose", "left eye inner", "left eye", "left eye outer", "right eye inner", "right eye", "right eye outer"),
        *("left ear", "right ear", "mouth left", "mouth right"),
    )
    rest = ("shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hip", "knee", "ankle", "heel", "foot index")
    assert MEDIAPIPE.names[11:] == tuple(f"{side} {part}" for part in rest for side in ("left", "right"))
    # fmt: off
    connections = {  # mp.solutions.pose.POSE_CONNECTIONS
        (0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10), (11, 12), (11, 13), (13, 15),
        (15, 17), (15, 19), (15, 21), (17, 19), (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20), (11, 23),
        (12, 24), (23, 24), (23, 25), (24, 26), (25, 27), (26, 28), (27, 29), (28, 30), (29, 31), (30, 32), (27, 31),
        (28, 32),
    }
    # fmt: on
    assert {tuple(sorted(edge)) for edge in MEDIAPIPE.edges} == connections


def test_the_same_limbs_are_read_from_either_layout():
    for layout in (COCO, LSP, MEDIAPIPE):
        assert tuple(layout.names[row] for row in layout.limbs) == LIMBS.names
    np.testing.assert_array_equal(COCO.limbs, np.arange(5, 17))


# Boxes and angles


def test_a_box_holds_the_joints_seen_and_a_margin_of_its_longer_side():
    joints = np.full((17, 2), np.nan)
    joints[:6] = [[10, 20], [30, 20], [30, 120], [10, 120], [20, 50], [12, 70]]
    np.testing.assert_allclose(box_of(joints), [-5, 5, 50, 130])
    np.testing.assert_allclose(box_of(joints, margin=0), [10, 20, 20, 100])
    joints[6] = [500, np.nan]  # not seen
    np.testing.assert_allclose(box_of(joints, margin=0), [10, 20, 20, 100])


@pytest.mark.parametrize("shape", [(17, 3), (2, 17, 2), (17,)])
def test_a_box_is_of_one_persons_places_in_the_image(shape):
    with pytest.raises(ValueError, match=rf"shape \(N, 2\), px, not {re.escape(str(shape))}: one person's, x and y w"):
        box_of(np.zeros(shape))


@pytest.mark.parametrize("seen", [0, FEWEST - 1])
def test_too_few_joints_are_no_person(seen):
    joints = np.full((17, 2), np.nan)
    joints[:seen] = 1
    with pytest.raises(NoPerson, match=rf"{seen} of 17 joints were seen, and a person's box needs {FEWEST}: look"):
        box_of(joints)
    assert issubclass(NoPerson, ValueError)


@examples
@given(seeds, st.floats(0, 180), st.sampled_from([2, 3]))
def test_an_angle_is_the_one_it_was_made_with(seed, degrees, dimensions):
    rng = np.random.default_rng(seed)
    radians = math.radians(degrees)
    a, c = np.array([[1, 0, 0], [math.cos(radians), math.sin(radians), 0]]) * rng.uniform(0.01, 9, (2, 1))
    if dimensions == 3:
        turn = Rotation.random(rng=rng)
        a, c = turn.apply([a, c])
    b = rng.normal(0, 2, dimensions)
    found = angle_deg(b + a[:dimensions], b, b + c[:dimensions])
    assert found == pytest.approx(degrees, abs=1e-5 if min(degrees, 180 - degrees) < 1e-3 else 1e-9, rel=1e-9)


def test_an_angle_is_nan_where_it_has_no_arms_or_a_point_is_missing():
    a, b = np.array([[1.0, 0], [0, 0], [np.nan, 0], [1e-9, 0]]), np.zeros((4, 2))
    np.testing.assert_allclose(angle_deg(a, b, [[0, 5], [0, 5], [0, 5], [0, 5]]), [90, np.nan, np.nan, 90])
    assert angle_deg([1.0, 0], [0, 0], [1, 1e-9]) == pytest.approx(math.degrees(1e-9))  # the arc cosine says 0


def test_the_films_own_joints_have_the_angles_that_they_were_made_with():
    truth = media.clip("workout")[1]
    angles = limb_angles_deg(truth["joints_3d"][:, COCO.limbs])
    assert angles.shape == (truth["frames"], len(ANGLES)) and next(iter(ANGLES)) == "left elbow"
    for part in ("left elbow", "right elbow", "left knee", "right knee"):
        turns = truth["angles_deg"][:, truth["angle_names"].index(part.replace(" ", "_"))]
        bent = np.degrees(Rotation.from_euler("ZXY", turns, degrees=True).magnitude())
        np.testing.assert_allclose(angles[:, list(ANGLES).index(part)], 180 - bent, atol=0.1)


def test_every_angle_is_between_three_joints_of_its_own_side():
    for name, rows in ANGLES.items():
        joints = [LIMBS.names[row] for row in rows]
        assert {joint.split()[0] for joint in joints} == {name.split()[0]}
        assert joints[1] == name.replace("arm", "shoulder")
    with pytest.raises(ValueError, match=r"\(\.\.\., 12, 2 or 3\), not \(4, 17, 2\): pick them by `COCO.limbs`"):
        limb_angles_deg(np.zeros((4, 17, 2)))


# Metrics


@examples
@given(seeds)
def test_mpjpe_is_the_mean_distance_once_the_hips_are_together(seed):
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 0.4, (12, 3))
    offset = np.zeros((12, 3))
    offset[[0, 9]] = [[0.03, 0, 0.04], [0, 0.12, 0]]  # 50 and 120 mm, neither is a hip
    assert mpjpe_mm(true + offset + rng.normal(0, 9, 3), true) == pytest.approx(170 / 12)
    offset[6] = [0.012, 0, 0]  # moves the root by 6 mm
    expected = [np.linalg.norm(row - [0.006, 0, 0]) for row in offset]
    assert mpjpe_mm(true + offset, true) == pytest.approx(1000 * np.mean(expected))
    assert mpjpe_mm(true + offset, true, root=(8,)) == pytest.approx((50 + 120 + 12) / 12)


@examples
@given(seeds)
def test_pa_mpjpe_forgets_shift_turn_and_size_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 0.4, (2, 3, 12, 3))
    turn = Rotation.random(rng=rng).as_matrix()
    moved = rng.uniform(0.2, 4) * true @ turn.T + rng.normal(0, 3, 3)
    np.testing.assert_allclose(pa_mpjpe_mm(moved, true), np.zeros((2, 3)), atol=1e-9)
    assert (pa_mpjpe_mm(moved * [-1, 1, 1], true) > 20).all()  # a mirror image is another body


def test_pa_mpjpe_agrees_with_scipys_rotation_and_is_a_minimum():
    rng = np.random.default_rng(1)
    for _ in range(20):
        true, found = rng.normal(0, 0.4, (2, 12, 3))
        a, b = found - found.mean(0), true - true.mean(0)
        turn, _ = Rotation.align_vectors(b, a)
        turned = turn.apply(a)
        scale = (turned * b).sum() / (a**2).sum()
        expected = 1000 * np.linalg.norm(scale * turned - b, axis=1).mean()
        assert pa_mpjpe_mm(found, true) == pytest.approx(expected)

    def squares(p, a=a, b=b):
        return ((p[3] * Rotation.from_rotvec(p[:3]).apply(a) + p[4:] - b) ** 2).sum()

    start = [*turn.as_rotvec(), scale, 0, 0, 0]
    assert minimize(squares, start).fun == pytest.approx(squares(start), rel=1e-6)


def test_metrics_say_what_is_wrong_and_leave_nan_where_a_joint_is_missing():
    with pytest.raises(ValueError, match=r"shape \(11, 3\), true ones \(12, 3\)"):
        mpjpe_mm(STANDING[:11], STANDING)
    with pytest.raises(ValueError, match=r"\(12, 2\).*\(\.\.\., N, 3\)"):
        pa_mpjpe_mm(STANDING[:, :2], STANDING[:, :2])
    holed = np.stack([STANDING, STANDING])
    holed[1, 3] = np.nan
    for metric in (mpjpe_mm, pa_mpjpe_mm):
        np.testing.assert_array_equal(np.isnan(metric(holed, [STANDING, STANDING])), [False, True])


# A person in a film


@pytest.fixture(scope="module")
def network():
    folder = checkpoints.find("body-pose")
    model = VitPoseForPoseEstimation.from_pretrained(folder).eval()
    return model, AutoImageProcessor.from_pretrained(folder, backend="pil")


@pytest.fixture(scope="module")
def film():
    """Every fifth of the workout film's first frames, and the true joints in them."""
    path, truth = media.clip("workout")
    frames = list(itertools.islice(media.frames(path), 60))[::5]
    return frames, truth["joints"][:60:5].astype(float)


def at(frame, joints, corner, scale=1.0, size=(1200, 700)):
    """The frame, and joints in it, elsewhere on a larger picture."""
    picture = Image.new("RGB", size, frame.getpixel((5, 5)))
    picture.paste(frame.resize((round(frame.width * scale), round(frame.height * scale)), Image.Resampling.BOX), corner)
    return picture, (joints + 0.5) * scale - 0.5 + corner


def test_joints_are_the_same_in_a_larger_picture(network, film):
    frames, true = film
    small, _ = find_joints(*network, frames[:2], [box_of(joints, 0.06) for joints in true[:2]])
    assert pck(small, true[:2], 0.1) > 0.9
    large = [frame.resize((4 * frame.width, 4 * frame.height), Image.Resampling.BICUBIC) for frame in frames[:2]]
    boxes = np.array([box_of(joints, 0.06) for joints in true[:2]])
    boxes[:, :2] = (boxes[:, :2] + 0.5) * 4 - 0.5
    boxes[:, 2:] *= 4
    found, _ = find_joints(*network, large, boxes)
    assert np.median(np.linalg.norm((found + 0.5) / 4 - 0.5 - small, axis=-1)) < 0.5  # px of the small one


def test_a_box_that_is_much_larger_than_the_picture_leaves_something_of_it_to_look_at(network, film):
    frames, _ = film
    for image in (frames[0], frames[0].crop((0, 0, 5, 5))):
        joints, scores = find_joints(*network, [image], [(-9e4, -9e4, 1.5e5, 2e5)])
        assert np.isfinite(joints).all() and (scores < 0.28).all()


def test_the_mean_with_the_mirror_image_does_not_know_left_from_right(network, film):
    frames, true = film
    flipped = frames[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    box = np.round(box_of(true[0], 0.06))
    other = np.array([frames[0].width - box[0] - box[2], *box[1:]])
    found, scores = find_joints(*network, [frames[0]], [box], mirror=True)
    back, same = find_joints(*network, [flipped], [other], mirror=True)
    clear = scores[0] > 0.5
    expected = [frames[0].width - 1, 0] + back[0, COCO.mirror] * [-1, 1]
    assert np.median(np.linalg.norm(expected - found[0], axis=1)[clear]) < 1.5  # px
    np.testing.assert_allclose(same[0, COCO.mirror], scores[0], atol=0.15)


def test_the_score_to_believe_comes_with_the_checkpoint(network):
    assert sure_score(network[0]) == network[0].config.sure_score
    assert sure_score(VitPoseForPoseEstimation(type(network[0].config)(num_labels=17))) == 0.3


def test_a_person_is_followed_without_a_box_to_begin_with(network, film):
    frames, true = film
    sights = list(follow(*network, frames))
    assert pck(np.array([sight.joints for sight in sights]), true) > 0.9
    assert not any(sight.lost or sight.jumped for sight in sights)


def test_a_small_crouching_person_in_a_corner_is_found_by_the_first_look(network, film):
    frames, true = film
    lowest = np.argmax(true[:, 0, 1])
    for corner in ((10, 140), (400, 60)):
        picture, joints = at(frames[lowest], true[lowest], corner, scale=0.7, size=(700, 350))
        (sight,) = follow(*network, [picture])
        assert not sight.lost and pck(sight.joints, joints) > 0.85


def test_a_person_who_leaves_is_lost_and_found_again_and_elsewhere_it_is_a_jump(network, film):
    frames, true = film
    pictures, joints = zip(*(at(frames[k], true[k], (20, 200)) for k in range(6)), strict=True)
    empty = [Image.new("RGB", pictures[0].size, pictures[0].getpixel((5, 5)))] * 2
    moved, other = at(frames[6], true[6], (780, 200))
    sights = list(follow(*network, [*pictures[:3], *empty, *pictures[3:], moved]))
    assert [sight.lost for sight in sights] == [False] * 3 + [True] * 2 + [False] * 4
    assert [sight.jumped for sight in sights] == [False] * 8 + [True]
    seen = [sights[k].joints for k in (0, 1, 2, 5, 6, 7, 8)]
    assert pck(np.array(seen), np.array([*joints, other])) > 0.9


def test_where_no_joint_is_sure_all_frames_are_lost_and_none_is_missing(network, film):
    sights = list(follow(*network, film[0][:2], sure=9.0))
    assert [sight.lost for sight in sights] == [True, True] and sights[0].joints.shape == (17, 2)


def test_the_joints_of_a_film_are_those_that_follow_finds_with_the_doubtful_ones_left_out(network):
    frames = list(itertools.islice(media.frames(media.clip("workout")[0]), 48, 60, 3))
    joints, scores, times = joints_in_film(*network, iter(frames))
    sights = list(follow(*network, frames))
    np.testing.assert_allclose(times, [2.4, 2.55, 2.7, 2.85], atol=1e-6)
    np.testing.assert_array_equal(scores, [sight.scores for sight in sights])
    sure = scores >= sure_score(network[0])
    np.testing.assert_array_equal(joints[sure], np.array([sight.joints for sight in sights])[sure])
    assert np.isnan(joints[~sure]).all() and 0 < (~sure).mean() < 0.5
    with pytest.raises(NoPerson, match="None of 4 frames shows 6 joints"):
        joints_in_film(*network, frames, sure=9.0)


def test_what_was_seen_before_a_film_breaks_is_kept(network, film):
    def breaking():
        yield from film[0][:2]
        raise media.MediaError("cut short")

    seen = []
    with pytest.raises(media.MediaError):
        for sight in follow(*network, breaking()):
            seen.append(sight)
    assert len(seen) == 2


def test_the_torso_goes_from_shoulder_to_opposite_hip_in_the_median_of_what_is_seen():
    joints = np.full((5, 17, 2), np.nan)
    assert np.isnan(torso_length(joints))
    joints[:3, 5], joints[:3, 12] = (0, 0), (30, 40)  # left shoulder, right hip
    joints[3, 5], joints[3, 12] = (0, 0), (300, 400)
    assert torso_length(joints) == 50
    assert torso_length(joints[:, COCO.limbs], LIMBS) == 50
