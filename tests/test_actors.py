"""`helpers.actors`: what actors do against closed forms, and what is seen of them against the camera's model."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from helpers import actors
from helpers.actors import BODY, EXERCISES, G, crossing, in_camera, jump, recording, seen, squat, walk
from helpers.avatars import skeleton_of
from helpers.bodies import ANGLES, LIMBS, limb_angles_deg
from helpers.lifter import BODY_M

pytestmark = pytest.mark.filterwarnings("error")
K = np.array([[435, 0, 191.5], [0, 435, 143.5], [0, 0, 1]])


def at(joints, name):
    return joints[..., LIMBS.names.index(name), :]


def angle(joints, name):
    return limb_angles_deg(joints)[..., list(ANGLES).index(name)]


def hips(joints):
    return (at(joints, "left hip") + at(joints, "right hip")) / 2


def ankles_up(joints):
    return (at(joints, "left ankle") + at(joints, "right ankle"))[..., 1] / 2 - actors.ANKLE_M


# Squats


def test_the_actor_has_the_lifters_size_and_keeps_its_bones():
    trunk, thigh, shin = (np.linalg.norm(BODY.offsets[BODY.names.index(n)]) for n in ("Chest", "LeftLeg", "LeftFoot"))
    assert trunk + thigh + shin == pytest.approx(BODY_M, abs=1e-9)
    for each in (recording("squat", [2, 2]), recording("jumping jack", [1]), walk(), jump(0.3, tuck_m=0.1)):
        lengths = [np.linalg.norm(np.diff(each.joints[:, list(edge)], axis=1), axis=-1) for edge in LIMBS.edges[:8]]
        assert max(np.ptp(length) for length in lengths) < 1e-9
        np.testing.assert_allclose(skeleton_of(each.joints).offsets, BODY.offsets, atol=1e-6)


@pytest.mark.parametrize("bend", [0, 40, 115])
@pytest.mark.parametrize("lean", [0, 35, 65])
def test_knees_and_trunk_have_the_angles_asked_for(bend, lean):
    joints = squat(bend, lean, uneven=0.25)
    assert angle(joints, "left knee") == pytest.approx(180 - bend, abs=1e-5)
    assert angle(joints, "right knee") == pytest.approx(180 - 0.75 * bend, abs=1e-5)
    trunk = (at(joints, "left shoulder") + at(joints, "right shoulder")) / 2 - hips(joints)
    assert np.degrees(np.arctan2(trunk[2], trunk[1])) == pytest.approx(lean, abs=1e-9)
    assert min(at(joints, f"{side} ankle")[1] for side in ("left", "right")) == pytest.approx(actors.ANKLE_M)


def test_stance_and_knees_have_their_closed_forms():
    straight = squat(0, stance_deg=10)
    leg, wide = BODY_M - 0.49, 2 * 0.084
    assert np.ptp(straight[10:12, 0]) == pytest.approx(wide + 2 * leg * np.sin(np.radians(10)))
    inward = squat(90, knees_in_deg=20, stance_deg=0, thigh=0.5)  # thigh and shin at 45 degrees
    assert inward[8, 0] - inward[9, 0] == pytest.approx(wide - 2 * 0.42 * np.sin(np.pi / 4) * np.sin(np.radians(20)))
    parallel = squat(90, knees_in_deg=0, stance_deg=0, thigh=0.5)
    assert hips(parallel)[1] == pytest.approx(actors.ANKLE_M + leg / 2**0.5)
    assert hips(parallel)[2] == pytest.approx(-(0.42 - 0.414) / 2**0.5)


def test_frames_have_their_own_style():
    many = squat(np.array([30, 90]), 20, np.array([-12, 10]), np.array([0, 0.3]))
    np.testing.assert_allclose(many, [squat(30, 20, -12, 0), squat(90, 20, 10, 0.3)], atol=1e-12)


# Recordings


@pytest.mark.parametrize("fps", [20, 30])
def test_a_recording_holds_what_was_asked_for_when_it_says(fps):
    each = recording("squat", [2.0, 1.2, 3.0], depth=[1, 0.5, 0.8], hold_s=[0, 1, 0], rest_s=0.4, before_s=1.5, fps=fps)
    starts, middles, ends = np.array([row[1:4] for row in each.repetitions]).T
    np.testing.assert_allclose(starts, [1.5, 3.9, 6.5])
    np.testing.assert_allclose(middles, [2.5, 5.0, 8.0])
    np.testing.assert_allclose(ends, [3.5, 6.1, 9.5])
    assert len(each.times) == len(each.joints) == round(9.9 * fps)
    bend = 180 - angle(each.joints, "left knee")
    np.testing.assert_allclose(np.interp(middles, each.times, bend), [115, 57.5, 92], atol=0.2)
    np.testing.assert_allclose(bend[(each.times > 4.5 + 1e-6) & (each.times < 5.5 - 1e-6)], 57.5, atol=1e-4)
    rests = [*zip([0, *ends], [*starts, 9.9], strict=True)]
    assert all(bend[(each.times > a) & (each.times < b)].max() < 1e-4 for a, b in rests)
    assert bend[(each.times > 1.6) & (each.times < 3.4)].min() > 1


def test_standing_still_is_a_recording_without_repetitions():
    still = recording("squat", [], before_s=60)
    assert still.repetitions == [] and len(still.joints) == 1200
    np.testing.assert_allclose(still.joints, np.broadcast_to(squat(0.0), (1200, 12, 3)), atol=1e-12)


def test_elbows_and_knees_of_other_exercises_turn_as_far_as_asked_for():
    for exercise, name, far in (("curl", "elbow", 130), ("knee raise", "knee", 90)):
        each = recording(exercise, [2.0] * 4, depth=[1, 1, 0.5, 0.5])
        for row, done in enumerate(each.repetitions):
            inside = (each.times >= done.start_s) & (each.times <= done.end_s)
            for number, side in enumerate(("left", "right")):
                mine = exercise == "curl" or row % 2 == number
                bend = 180 - angle(each.joints[inside], f"{side} {name}")
                assert bend.max() == pytest.approx(mine * far * (1 if row < 2 else 0.5), abs=1e-4)
            assert done.side == (None if exercise == "curl" else ("left", "right")[row % 2])


def test_arms_are_raised_to_the_front_and_to_the_sides():
    front, jack = (recording(name, [2.0]).joints for name in ("arm raise", "jumping jack"))
    arm = 0.29 + 0.255
    for joints, away, turned_deg in ((front, 2, 170), (jack, 0, 150)):
        hand = at(joints, "left wrist") - at(joints, "left shoulder")
        np.testing.assert_allclose(hand[:, 1].max(), -arm * np.cos(np.radians(turned_deg)), atol=1e-9)
        np.testing.assert_allclose(hand[:, away].max(), arm, atol=0.01)
        np.testing.assert_allclose(hand[:, 2 - away], 0, atol=1e-9)
    feet = at(jack, "left ankle")[:, 0]
    legs = 0.084 + (BODY_M - 0.49) * np.sin(np.radians([7, 25]))
    np.testing.assert_allclose([feet.min(), feet.max()], legs, atol=1e-9)


def test_recordings_follow_one_another_without_a_jump():
    parts = [walk(), *(recording(name, [1.5, 2.0]) for name in EXERCISES)]
    both = sum(parts[1:], parts[0])
    assert [done.exercise for done in both.repetitions] == [name for name in EXERCISES for _ in range(2)]
    speeds = np.linalg.norm(np.diff(both.joints, axis=0), axis=-1) * both.fps
    assert speeds.max() < 6.5  # m/s, of a wrist in an arm raise
    seams = np.cumsum([len(part.joints) for part in parts])[:-1] - 1
    assert speeds[seams].max() < 0.2
    first = both.repetitions[2]
    assert first.start_s == pytest.approx(len(parts[0].joints) / 20 + len(parts[1].joints) / 20 + 1)
    with pytest.raises(ValueError, match="20 and 60 frames a second"):
        both + jump(0.3)


def test_an_unknown_exercise_is_named():
    with pytest.raises(ValueError, match="no exercise 'plank'; choose from: squat, arm raise"):
        recording("plank", [1])


@pytest.mark.parametrize("turn_deg", [-90, 0, 90])
def test_who_walks_in_comes_from_behind_and_ends_in_the_stance(turn_deg):
    each = walk(way_m=3, seconds=4, turn_deg=turn_deg)
    assert each.repetitions == []
    begin = Rotation.from_euler("y", turn_deg, degrees=True).apply([0, 0, -3])
    np.testing.assert_allclose(hips(each.joints[0])[[0, 2]], begin[[0, 2]], atol=1e-9)
    np.testing.assert_allclose(each.joints[-1], squat(0.0), atol=0.01)
    assert each.joints[:, 10:, 1].min(1) == pytest.approx(actors.ANKLE_M)
    ahead = (at(each.joints, "left knee") - at(each.joints, "left hip")) @ -begin / 3
    assert ahead.max() > 0.15 and ahead.min() < -0.15  # m


# Jumps


@pytest.mark.parametrize("height_m", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("tuck_m", [0, 0.05, 0.12])
def test_a_jump_flies_as_physics_has_it(height_m, tuck_m):
    each = jump(height_m, tiptoe_m=0.08, tuck_m=tuck_m, fps=500)
    (done,) = each.repetitions
    up, down = np.sqrt(2 * height_m / G), np.sqrt(2 * (height_m + tuck_m) / G)
    assert done.end_s - done.start_s == pytest.approx(up + down, abs=1e-12)
    assert done.middle_s - done.start_s == pytest.approx(up, abs=1e-12)
    high = hips(each.joints)[:, 1] - hips(each.joints)[0, 1]
    in_air = (each.times > done.start_s) & (each.times < done.end_s)
    t = each.times[in_air] - done.middle_s
    np.testing.assert_allclose(high[in_air], 0.08 + height_m - G * t**2 / 2, atol=1e-6)
    np.testing.assert_array_equal(ankles_up(each.joints) > 0.08 + 1e-6, in_air)
    assert ankles_up(each.joints).min() > -1e-6
    touch = np.flatnonzero(in_air)[-1]
    assert high[touch] == pytest.approx(0.08 - tuck_m, abs=0.01)
    knees = angle(each.joints, "left knee")
    assert knees[np.flatnonzero(in_air)[0]] == pytest.approx(180, abs=1)
    assert (knees[touch] < 170) == (tuck_m > 0)
    np.testing.assert_allclose(each.joints[[0, -1]], squat(np.zeros(2)), atol=1e-3)
    assert np.linalg.norm(np.diff(each.joints, axis=0), axis=-1).max() * 500 < 7  # no joint jumps from frame to frame


def test_flight_time_overstates_a_tucked_jump_by_what_the_course_says():
    def by_flight(tuck_m):
        (done,) = jump(0.3, tuck_m=tuck_m).repetitions
        return G * (done.end_s - done.start_s) ** 2 / 8

    assert by_flight(0) == pytest.approx(0.3, abs=1e-12)
    assert by_flight(0.05) - 0.3 == pytest.approx(0.0245, abs=0.0002)


def test_legs_that_would_have_to_be_too_short_are_refused():
    for style in ({"dip_m": 0.6}, {"dip_m": 0.05}, {"tuck_m": 0.4}):
        with pytest.raises(ValueError, match=r"dip_m must be from tiptoe_m to about 0\.5\d, not "):
            jump(0.3, **style)


# What a camera sees


def test_the_camera_sees_the_left_side_on_the_right_and_turns():
    joints = squat(np.array([0.0, 90.0]))
    front = in_camera(joints, away_m=3, camera_m=1)
    np.testing.assert_allclose(front, joints * [1, -1, -1] + [0, 1, 3])
    side = in_camera(joints, 90, away_m=3, camera_m=1)  # z now points to the image's right, x away from the camera
    np.testing.assert_allclose(side, np.stack([joints[..., 2], 1 - joints[..., 1], 3 + joints[..., 0]], -1), atol=1e-12)
    many = in_camera(joints[1], np.array([0, 90]), away_m=3, camera_m=1)
    np.testing.assert_allclose(many, [front[1], side[1]], atol=1e-12)


def test_what_is_seen_is_the_projection_with_the_noise_asked_for():
    joints = in_camera(recording("squat", [2] * 20).joints, 30)
    exact, scores = seen(joints, K, np.random.default_rng(0), noise_px=0)
    np.testing.assert_allclose(exact, (joints @ K.T)[..., :2] / joints[..., 2:], atol=1e-9)
    assert scores.min() >= 0.5 and scores.max() <= 0.9
    noisy, _ = seen(joints, K, np.random.default_rng(0), noise_px=2)
    assert (noisy - exact).std() == pytest.approx(2, rel=0.03)


def test_legs_are_lost_as_often_as_asked_for_and_have_low_scores():
    joints = in_camera(recording("squat", [2] * 40).joints)
    exact, _ = seen(joints, K, np.random.default_rng(0), noise_px=0)
    pixels, scores = seen(joints, K, np.random.default_rng(1), noise_px=0, lost=0.2)
    gone = scores < 0.25
    assert not gone[:, :8].any() and 0.13 < gone[:, 8:].mean() < 0.27
    np.testing.assert_array_equal(gone[:, 8:10], gone[:, 10:])  # a knee with its ankle
    assert (gone[:, 8] != gone[:, 9]).any()
    assert (pixels - exact)[gone].std() == pytest.approx(30, rel=0.1)
    np.testing.assert_array_equal(pixels[~gone], exact[~gone])
    again = seen(joints, K, np.random.default_rng(1), noise_px=0, lost=0.2)
    np.testing.assert_array_equal(again[0], pixels)


def test_who_is_outside_of_the_image_is_not_seen_there():
    joints = in_camera(walk().joints)
    pixels, scores = seen(joints, K, np.random.default_rng(0), noise_px=0, size=(384, 288))
    exact, _ = seen(joints, K, np.random.default_rng(0), noise_px=0)
    inside = ((exact >= 0) & (exact <= [383, 287])).all(-1)
    np.testing.assert_array_equal(scores >= 0.5, inside)
    assert not inside[0].any() and inside[-1].all()
    assert (pixels >= 0).all() and (pixels <= [384, 288]).all()


def test_who_crosses_is_reported_unless_hidden_by_someone_nearer():
    """Nearer people are larger; boxes are compared by counting the pixels that they share."""
    rng, hidden = np.random.default_rng(0), 0
    for _ in range(6):
        for reports in (scene := crossing(2, K, rng, noise_px=0, missed=0)):
            boxes = [np.zeros((600, 1400), bool) for _ in reports]
            for box, (_, joints) in zip(boxes, reports, strict=True):
                (left, top), (right, bottom) = np.rint(joints.min(0) + 300), np.rint(joints.max(0) + 300)
                box[int(top) - 200 : int(bottom) - 200, int(left) : int(right)] = True
            hidden += len(reports) < 2
            if len(reports) == 2:
                far, near = sorted(boxes, key=np.sum)
                assert (far & near).sum() < 0.8 * far.sum()  # by box, the smaller need not be the farther one
        assert len(scene) == 120 and len(scene[0]) == len(scene[-1]) == 2
    assert 10 < hidden < 400


def test_who_crosses_walks_on_and_is_missed_as_often_as_asked_for():
    scene = crossing(1, K, np.random.default_rng(0), noise_px=0, missed=0.2)
    assert 0.1 < 1 - sum(map(len, scene)) / 120 < 0.3
    x = np.array([joints[:, 0].mean() for ((_, joints),) in filter(None, scene)])
    steps = np.diff(x) * np.sign(x[-1] - x[0])
    assert (steps > -0.5).all() and abs(x[-1] - x[0]) > 4 * 435 / 7.6
    exact, noisy = (crossing(3, K, np.random.default_rng(3), noise_px=noise, missed=0) for noise in (0, 2))
    assert [len(a) for a in exact] == [len(b) for b in noisy]
    assert {who for reports in exact for who, _ in reports} == {0, 1, 2}
    orders = {tuple(who for who, _ in reports) for reports in exact if len(reports) == 3}
    assert len(orders) == 6
