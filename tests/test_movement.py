"""`helpers.movement`: the One-Euro filter, gaps, the main movement and repetitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from helpers import avatars, checkpoints, media
from helpers.bodies import ANGLES, COCO, limb_angles_deg, torso_length
from helpers.geometry import project
from helpers.lifter import BodyLifter, lift
from helpers.movement import fill_gaps, main_movement, one_euro, regularity, repetitions

pytestmark = pytest.mark.filterwarnings("error")
K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
MIRROR = np.arange(10) ^ 1  # left and right of `ANGLES` exchanged
examples = settings(max_examples=60, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def irregular(rng, count, fps=25.0):
    """Times of a variable frame rate, from 0.5 to 1.5 of the usual step."""
    return rng.uniform(-5, 5) + np.cumsum(rng.uniform(0.5, 1.5, count)) / fps


# Smoothing


class PaperFilter:
    """Algorithms 1 and 2 of Casiez, Roussel & Vogel (2012), for one number at a time."""

    def __init__(self, min_cutoff, beta, d_cutoff):
        self.min_cutoff, self.beta, self.d_cutoff = min_cutoff, beta, d_cutoff
        self.hat_x = self.hat_dx = None

    @staticmethod
    def alpha(rate, cutoff):
        tau, te = 1 / (2 * math.pi * cutoff), 1 / rate
        return 1 / (1 + tau / te)

    def __call__(self, x, rate):
        if self.hat_x is None:
            self.hat_x, self.hat_dx = x, 0.0
            return x
        dx = (x - self.hat_x) * rate
        a = self.alpha(rate, self.d_cutoff)
        self.hat_dx = a * dx + (1 - a) * self.hat_dx
        a = self.alpha(rate, self.min_cutoff + self.beta * abs(self.hat_dx))
        self.hat_x = a * x + (1 - a) * self.hat_x
        return self.hat_x


@examples
@given(seeds, st.floats(0.1, 5), st.floats(0, 2), st.floats(0.2, 3), st.floats(0, 0.5))
def test_one_euro_is_the_papers_on_what_is_seen(seed, min_cutoff, beta, d_cutoff, missing):
    rng = np.random.default_rng(seed)
    times = irregular(rng, 40)
    values = rng.normal(0, 3, (40, 2, 3)).cumsum(0)
    values[rng.random(values.shape) < missing] = np.nan
    found = one_euro(values, times, min_cutoff, beta, d_cutoff)
    for column in np.ndindex(2, 3):
        paper, last = PaperFilter(min_cutoff, beta, d_cutoff), None
        for row in range(40):
            x = values[row, *column]
            if np.isnan(x):
                assert np.isnan(found[row, *column])
                continue
            expected = paper(x, None if last is None else 1 / (times[row] - last))
            assert found[row, *column] == pytest.approx(expected, rel=1e-9, abs=1e-9)
            last = times[row]


def test_one_euro_takes_jitter_from_rest_keeps_up_with_speed_and_lets_a_long_gap_be():
    rng = np.random.default_rng(0)
    times = np.arange(200) / 25
    rest = 100 + rng.normal(0, 2, 200)
    assert one_euro(rest, times, beta=0)[50:].std() < 0.4 * rest.std()
    ramp = 100 * times
    lag = [(ramp - one_euro(ramp, times, beta=beta))[-1] for beta in (0, 0.1)]
    assert lag[0] == pytest.approx(100 / (2 * np.pi), rel=0.05) and lag[1] < 2.5
    step = np.where(times < 4, 0.0, 100)
    step[80:120] = np.nan  # from 3.2 to 4.8 s
    assert one_euro(step, times)[120] > 90


@examples
@given(seeds, st.sampled_from([2.8, 0.35, 1080 / 384]), st.floats(0.2, 3), st.floats(0, 20))
def test_with_the_bodys_scale_a_film_of_another_size_gives_the_same_joints_in_that_size(seed, factor, cutoff, beta):
    rng = np.random.default_rng(seed)
    times = irregular(rng, 40)
    joints = rng.uniform(0, 300, (17, 2)) + rng.normal(0, 3, (40, 17, 2)).cumsum(0)
    joints[rng.random((40, 17)) < 0.1] = np.nan
    small, large = (one_euro(x, times, cutoff, beta, scale=torso_length(x)) for x in (joints, factor * joints))
    np.testing.assert_allclose(large, factor * small, rtol=1e-9)
    expected = one_euro(joints, times, cutoff, beta / torso_length(joints))
    np.testing.assert_allclose(small, expected, rtol=1e-9)  # Hz for each torso per second


@pytest.mark.parametrize("shape", [(0,), (0, 17, 2)])
def test_nothing_is_smoothed_to_nothing(shape):
    assert one_euro(np.zeros(shape), []).shape == fill_gaps(np.zeros(shape), []).shape == shape


@pytest.mark.parametrize("function", [one_euro, fill_gaps, repetitions, main_movement])
def test_times_are_one_for_each_frame_and_increase(function):
    with pytest.raises(ValueError, match=r"values of shape \(4, 2\) need as many times, not \(3,\)"):
        function(np.zeros((4, 2)), [0, 1, 2])
    with pytest.raises(ValueError, match=r"need as many times, not \(\)"):
        function(np.zeros(4), 25)
    with pytest.raises(ValueError, match=r"times must increase, but 0\.1 s follows 0\.1 s: drop one of the frames"):
        function(np.zeros((4, 2)), [0, 0.1, 0.1, 0.2])
    with pytest.raises(ValueError, match=r"times must increase, but nan s follows 0\.1 s"):
        function(np.zeros((4, 2)), [0, 0.1, np.nan, 0.2])


# Gaps


@examples
@given(seeds, st.floats(0.05, 1.5), st.floats(0.1, 0.9))
def test_gaps_are_filled_if_they_are_short_and_inside_and_nothing_else_changes(seed, longest_s, missing):
    rng = np.random.default_rng(seed)
    times = irregular(rng, 60)
    values = rng.normal(0, 1, (60, 3))
    values[rng.random((60, 3)) < missing] = np.nan
    filled = fill_gaps(values, times, longest_s)
    for old, new in zip(values.T, filled.T, strict=True):
        seen = np.isfinite(old)
        np.testing.assert_array_equal(new[seen], old[seen])
        rows = np.flatnonzero(seen)
        for row in np.flatnonzero(~seen):
            before, after = rows[rows < row], rows[rows > row]
            if len(before) and len(after) and times[after[0]] - times[before[-1]] <= longest_s:
                low, high = sorted(old[[before[-1], after[0]]])
                assert low - 1e-9 <= new[row] <= high + 1e-9
            else:
                assert np.isnan(new[row])


def test_a_straight_line_is_filled_exactly_and_a_gap_of_just_the_longest_counts():
    times = np.arange(30) / 20
    values = 3 * times[:, None] + [0, 1]
    holed = values.copy()
    holed[[3, *range(13, 22)], 0] = np.nan
    assert times[22] - times[12] > 0.5  # by the rounding of 1.1 and 0.6
    np.testing.assert_allclose(fill_gaps(holed, times), values, atol=1e-12)
    assert np.isnan(fill_gaps(holed, times, 0.49)[13:22, 0]).all()
    assert np.isnan(holed[3, 0])  # the input is left as it was


# Repetitions


def exercise(rng, count, fps=25.0, rest=1.0, noise=0.05, pauses=True):
    """A signal with `count` repetitions of 100 +- 30 degrees and random tempo, and their starts, middles and ends."""
    durations = 1.6 / rng.uniform(0.6, 1.6, count)
    gaps = rng.uniform(0, 1.5, count + 1) if pauses else np.zeros(count + 1)
    gaps[[0, -1]] += rest
    starts = np.cumsum(gaps[:-1]) + np.cumsum([0, *durations[:-1]])
    times = np.arange(0, gaps.sum() + durations.sum(), 1 / fps)
    signal = np.full(len(times), rng.uniform(-300, 300))
    for start, duration in zip(starts, durations, strict=True):
        during = (times >= start) & (times <= start + duration)
        share = (1 - np.cos(2 * np.pi * (times[during] - start) / duration)) / 2
        signal[during] += 100 * rng.uniform(0.7, 1.3) * share
    truth = np.column_stack([starts, starts + durations / 2, starts + durations])
    return signal + rng.normal(0, 100 * noise, len(times)), times, truth


@settings(examples, max_examples=300)
@given(seeds, st.integers(0, 12), st.sampled_from([15, 25, 30, 60]), st.booleans())
def test_as_many_repetitions_come_out_as_went_in(seed, count, fps, pauses):
    signal, times, truth = exercise(np.random.default_rng(seed), count, fps, pauses=pauses)
    found = np.array([each[:3] for each in repetitions(signal, times)]).reshape(-1, 3)
    assert len(found) == count
    np.testing.assert_allclose(found[:, 1], truth[:, 1], atol=0.2)
    assert (np.diff(found, axis=1) > 0).all() and (found[1:, 0] >= found[:-1, 2]).all()


@examples
@given(seeds, st.integers(1, 8))
def test_without_noise_starts_and_ends_are_where_a_tenth_of_the_way_is_done(seed, count):
    signal, times, truth = exercise(np.random.default_rng(seed), count, 60, noise=0)
    tenth = math.acos(0.8) / (2 * math.pi)  # of a repetition
    inside = np.diff(truth[:, [0, 2]]) * [tenth, 0, -tenth] + truth
    np.testing.assert_allclose([each[:3] for each in repetitions(signal, times)], inside, atol=0.1)


@examples
@given(seeds, st.integers(2, 8), st.floats(-6, 6))
def test_drift_gaps_and_a_variable_frame_rate_change_nothing(seed, count, drift):
    rng = np.random.default_rng(seed)
    signal, regular, truth = exercise(rng, count, 100, noise=0.02)
    times = irregular(rng, int(25 * regular[-1]))
    times = times - times[0]
    times = times[times < regular[-1]]
    signal = np.interp(times, regular, signal) + drift * times
    for start in rng.uniform(0, times[-1], 4):
        signal[(times > start) & (times < start + 0.25)] = np.nan
    signal[rng.random(len(times)) < 0.1] = np.nan
    middles = [each.middle_s for each in repetitions(signal, times)]
    np.testing.assert_allclose(middles, truth[:, 1], atol=0.35)


def test_the_first_and_the_last_repetition_may_be_cut_in_their_first_and_last_half():
    times = np.arange(0, 8, 0.04)
    whole = 50 - 50 * np.cos(np.pi * times)  # 4 repetitions of 2 s
    for low, high, count in ((0, 8, 4), (0.6, 7.4, 4), (1.04, 6.96, 2), (0.5, 6.96, 3)):
        part = (times >= low) & (times <= high)
        assert len(repetitions(whole[part], times[part])) == count


@pytest.mark.parametrize("noise", [0, 1, 6])
def test_standing_still_is_no_exercise(noise):
    rng = np.random.default_rng(0)
    times = np.arange(0, 120, 0.04)
    still = 175 + rng.normal(0, noise, len(times)) + 3 * np.sin(times)
    assert repetitions(still, times) == []
    assert len(repetitions(still, times, prominence=1)) >= 19  # once it is asked for
    angles = 175 + rng.normal(0, noise, (len(times), 10))
    assert repetitions(main_movement(angles, times), times) == []


def test_peaks_nearer_than_the_shortest_repetition_are_one():
    times = np.arange(0, 9, 0.04)
    signal = 50 - 50 * np.cos(2 * np.pi * times / 0.9)
    assert len(repetitions(signal, times)) == 10
    for seed in range(8):  # equal peaks, and the last bits of another processor
        noise = np.random.default_rng(seed).normal(0, 1e-13, len(times))
        with pytest.warns(UserWarning, match=r"every 0\.90 s, too fast for shortest_s = 1\.2: .*, give 0\.63\."):
            slow = repetitions(signal + noise, times, shortest_s=1.2)
        np.testing.assert_allclose([r.middle_s for r in slow], np.arange(1.35, 9, 1.8), atol=0.02)


@pytest.mark.parametrize("period_s", [0.2, 0.3, 0.4])
def test_a_rhythm_too_fast_to_be_counted_is_said(period_s):
    times = np.arange(0, 9, 1 / 60)
    signal = 50 - 50 * np.cos(2 * np.pi * times / period_s)
    with pytest.warns(UserWarning, match=rf"every {period_s:.2f} s, too fast") as said:
        repetitions(signal, times)
    assert len(repetitions(signal, times, shortest_s=float(str(said[0].message)[:-1].split()[-1]))) == round(
        9 / period_s
    )


def test_few_repetitions_in_a_long_film_and_one_that_is_held_count():
    times = np.arange(0, 90, 0.04)
    signal = np.random.default_rng(0).normal(0, 4, len(times))
    for start in (30, 33):
        signal += 90 * np.clip(1.5 - np.abs(times - start - 1.5), 0, 1)
    signal += 90 * np.clip(10 - np.abs(times - 60), 0, 1)  # a plank
    found = repetitions(signal, times)
    assert len(found) == 3
    np.testing.assert_allclose([r.middle_s for r in found[:2]], [31.5, 34.5], atol=0.4)
    assert found[2].end_s - found[2].start_s == pytest.approx(19.8, abs=0.3)


def test_the_films_repetitions_are_counted_and_timed_from_its_angles():
    truth = media.clip("workout")[1]
    angles, times = limb_angles_deg(truth["joints_3d"][:, COCO.limbs]), truth["times"]
    for exercise, prefer in (("squat", "knee"), ("jumping jack", "arm"), ("arm raise", "arm")):
        reps = [r for r in truth["repetitions"] if r["exercise"] == exercise]
        part = (times >= reps[0]["start_s"] - 0.3) & (times <= reps[-1]["end_s"] + 0.3)
        signal = angles[part, list(ANGLES).index(f"left {prefer}")] * (-1 if prefer == "knee" else 1)
        for s in (signal, main_movement(angles[part], times[part])):
            found = repetitions(s, times[part])
            assert len(found) == len(reps), exercise
            np.testing.assert_allclose([r.middle_s for r in found], [r["middle_s"] for r in reps], atol=0.15)


@pytest.mark.parametrize(
    "signal", [np.zeros((5, 3)), np.full((5, 2), np.nan), np.full(5, np.nan), [np.nan, 1, np.nan, np.nan, np.nan]]
)
def test_a_signal_without_values_is_refused(signal):
    with pytest.raises(ValueError, match=r"must be \(frames,\), or .*, and hold two values. Was a person seen\?"):
        repetitions(signal, np.arange(5))


def test_no_repetition_is_carried_across_a_longer_gap():
    times = np.arange(0, 60, 0.04)
    signal = 50 - 50 * np.cos(np.pi * times)  # 30 repetitions of 2 s
    hidden = (times > 20.6) & (times < 40.4)  # from the way up of one to the way down of another
    found = repetitions(np.where(hidden, np.nan, signal), times)
    assert len(found) == 20 and max(one.end_s - one.start_s for one in found) < 2
    assert not any(one.start_s < 30 < one.end_s for one in found)
    shorter = (times > 20.6) & (times < 21.4)  # only the top
    assert len(repetitions(np.where(shorter, np.nan, signal), times)) == 30
    assert len(repetitions(np.where(shorter, np.nan, signal), times, longest_gap_s=0.5)) == 29
    there = ~hidden  # no frames at all, in place of frames without a person
    assert repetitions(signal[there], times[there]) == found


# How regular


@examples
@given(seeds, st.integers(4, 12), st.floats(0.75, 1))
def test_sets_are_regular_even_if_they_get_slower_and_shallower(seed, count, tiring):
    rng = np.random.default_rng(seed)
    ends = np.cumsum([1, *1.5 / tiring ** np.arange(count)])
    times = np.arange(0, ends[-1] + 1, 0.04)
    phase = np.interp(times, ends, np.arange(count + 1))
    signal = 100 * tiring ** np.floor(phase) * (1 - np.cos(2 * np.pi * phase)) / 2 + rng.normal(0, 2, len(times))
    found = repetitions(signal, times, prominence=12)
    assert len(found) in (count, sum(100 * tiring ** np.arange(count) > 20))
    expected = 2 * (1 - tiring) / (1 + tiring)
    np.testing.assert_allclose(regularity(found), expected, atol=0.13)


def test_what_is_no_exercise_is_irregular():
    changes = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        times = np.arange(0, 40, 0.04)
        noise = gaussian_filter1d(rng.normal(0, 1, (len(times), 10)), 12, axis=0)  # slow, and never twice the same
        changes.append(regularity(repetitions(main_movement(150 + 30 * noise / noise.std(), times), times)))
    assert np.median(np.array(changes), axis=0).min() > 0.15 and np.median(np.max(changes, axis=1)) > 0.35
    found = repetitions(100 * np.sin(times) ** 2, times)
    assert max(regularity(found)) < 0.02
    assert np.isnan(regularity(found[:2])).all() and np.isnan(regularity([])).all()


# The main movement


def pairs(left, right=None):
    """Signals as of `limb_angles_deg` from (F, P), or (F,), of the left side and of the right one."""
    left, right = (np.reshape(side, (len(left), -1)) for side in (left, left if right is None else right))
    return np.stack([left, right], 2).reshape(len(left), -1)


@examples
@given(seeds, st.integers(2, 6), st.floats(0, 0.2), st.sampled_from(["left", "right", "both"]))
def test_the_main_movement_is_what_was_mixed_in(seed, count, missing, side):
    rng = np.random.default_rng(seed)
    signal, times, _ = exercise(rng, count, noise=0)
    weights = rng.normal(0, 1, 5)
    weights /= np.linalg.norm(weights)
    moves, rests = (signal - signal[0])[:, None] * weights, np.zeros((len(times), 5))
    signals = pairs(*{"left": (moves, rests), "right": (rests, moves), "both": (moves, moves)}[side])
    signals += rng.uniform(0, 180, 10) + rng.normal(0, 0.5, signals.shape)
    signals[rng.random(signals.shape) < missing] = np.nan
    found = main_movement(signals, times)
    for column, name in enumerate(("left", "right")):
        known = np.isfinite(found[:, column])
        assert known.mean() > 0.6
        true = (signal - signal[0]) * (side in (name, "both"))
        np.testing.assert_allclose(np.median(np.abs(found[known, column] - true[known])), 0, atol=2)
    counted = repetitions(found, times)
    assert len(counted) == count and {one.side for one in counted} == {side}


def bumps(times, starts, last_s):
    share = np.clip((times[:, None] - starts) / last_s, 0, 1)
    return (0.5 - 0.5 * np.cos(2 * np.pi * share)).sum(1)


@pytest.mark.parametrize("last_s", [1.2, 1.9, 2.1, 2.6])  # a side rests in between, or starts before the other is back
@pytest.mark.parametrize(("size", "weaker"), [(90, 1), (90, 0.7), (30, 1)])
def test_left_and_right_in_turn_are_counted_each(last_s, size, weaker):
    times = np.arange(0, 44, 0.04)
    left, right = (size * bumps(times, first + 4.2 * np.arange(10), last_s) for first in (1, 3.1))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        signals = 150 + rng.normal(0, 2, (len(times), 10))
        signals[:, :2] -= np.column_stack([left, weaker * right])  # the elbows, in curls
        found = repetitions(main_movement(signals, times), times)
        assert [one.side for one in found] == ["left", "right"] * 10
        other = repetitions(main_movement(signals[:, MIRROR], times), times)  # the mirror image
        assert [one.side for one in other] == ["right", "left"] * 10


def test_one_side_up_while_the_other_is_down_is_counted_each():
    times = np.arange(0, 44, 0.04)
    level = np.clip(np.minimum(times - 1, 43 - times), 0, 1)
    for seed in range(6):
        signals = 170 + np.random.default_rng(seed).normal(0, 2, (len(times), 10))
        for column, sign in ((4, 1), (5, -1)):
            signals[:, column] -= 60 * level * (1 + sign * np.cos(2 * np.pi * times)) / 2
        found = repetitions(main_movement(signals, times), times)
        assert [one.side for one in found[1:-1]] == (["left", "right"] * 43)[: len(found) - 2] or [
            one.side for one in found[1:-1]
        ] == (["right", "left"] * 43)[: len(found) - 2]
        assert abs(len(found) - 84) <= 2  # 42 s, at whose ends it fades


@pytest.mark.parametrize("delay_s", [0, 0.1, 0.2])
def test_both_sides_at_once_are_one_even_if_one_of_them_is_late(delay_s):
    times = np.arange(0, 20, 0.04)
    for seed in range(6):
        signals = 150 + np.random.default_rng(seed).normal(0, 3, (len(times), 10))
        for column, late in ((6, 0), (7, delay_s)):
            signals[:, column] -= 80 * bumps(times - late, 1 + 1.8 * np.arange(10), 1.6)
        assert [one.side for one in repetitions(main_movement(signals, times), times)] == ["both"] * 10


def test_of_two_movements_that_are_equally_large_noise_chooses_none():
    times = np.arange(0, 44, 0.04)
    curls, knees = (60 * bumps(times, first + 4.2 * np.arange(10), 1.9) for first in (1, 3.1))
    for seed in range(12):
        signals = 150 + np.random.default_rng(seed).normal(0, 2, (len(times), 10))
        signals[:, 0] -= curls
        signals[:, 6] -= knees
        assert len(repetitions(main_movement(signals, times), times)) == 20


@pytest.fixture(scope="module")
def standing():
    truth = media.clip("workout")[1]
    return avatars.skeleton_of(avatars.upright(truth["joints_3d"][:, COCO.limbs] @ truth["R"].T))


@pytest.mark.parametrize("view_deg", [-45, 0, 20, 45, 70])
@pytest.mark.parametrize("exercise", ["curls", "high knees", "side raises"])
def test_in_turn_and_at_once_are_counted_from_every_side(standing, exercise, view_deg):
    times = np.arange(0, 24, 0.05)
    left, right = (bumps(times, first + 4.2 * np.arange(5), 1.9) for first in (1, 3.1))
    lifter = BodyLifter.from_pretrained(checkpoints.find("body-lifter")).eval()
    for shares, count, sides in (((left, right), 10, {"left", "right"}), ((left, left), 5, {"both"})):
        turns = {}
        for side, sign, share in (("Left", 1, shares[0]), ("Right", -1, shares[1])):
            turns |= {
                "curls": {f"{side}ForeArm": ("x", -130 * share)},
                "high knees": {f"{side}UpLeg": ("x", -90 * share), f"{side}Leg": ("x", 90 * share)},
                "side raises": {f"{side}Arm": ("z", 90 * sign * share)},
            }[exercise]
        joints = avatars.forward(standing, avatars.pose(turns))[:, avatars.LIMB_ROWS] * [1, -1, -1]
        joints = joints @ Rotation.from_euler("y", view_deg, degrees=True).as_matrix().T
        pixels = project(joints.reshape(-1, 3) - joints[0, 6:8].mean(0) + [0, 0, 4], K).reshape(-1, 12, 2)
        pixels += np.random.default_rng(0).normal(0, 1.5, pixels.shape)
        found = repetitions(main_movement(limb_angles_deg(lift(lifter, pixels, K, times)), times), times)
        assert len(found) == count and {one.side for one in found} == sides


def test_one_change_of_posture_does_not_hide_the_movement():
    signal, times, _ = exercise(np.random.default_rng(0), 8, noise=0)
    signals = pairs(np.column_stack([signal / 2, *[np.interp(times, [4, 5], [0, 120])] * 2]))
    assert len(repetitions(main_movement(signals, times), times)) == 8


def test_a_movement_is_low_at_its_ends_even_if_it_is_held_high_for_longer():
    times = np.arange(0, 20.5, 0.04)
    squats = np.clip(1.5 * np.sin(np.pi * times / 20.5 * 5) ** 2, 0, 1) * 90  # five, held
    knees = main_movement(np.column_stack([180 - squats, 170 - squats]), times)
    np.testing.assert_allclose(knees, np.column_stack([squats, squats]), atol=0.5)
    assert len(repetitions(knees, times)) == 5


@pytest.mark.parametrize("sign", [1, -1])
def test_while_it_is_going_on_only_the_beginning_is_low(sign):
    times = np.arange(0, 5.2, 0.04)  # two repetitions of 2 s, and in the middle of the third
    share = (1 - np.cos(np.pi * times)) / 2
    signals = 100 + sign * pairs(80 * share[times < 5.04])
    times = times[times < 5.04]
    whole = main_movement(signals, times, ended=False)
    np.testing.assert_allclose(whole, 80 * np.column_stack([share[: len(times)]] * 2), atol=0.5)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_seen_stands_for_what_is_not_and_long_rests_are_low(seed):
    signal, times, _ = exercise(np.random.default_rng(seed), 3, rest=20, noise=0.02)
    for sign in (1, -1):
        three = sign * np.column_stack([signal] * 3)
        whole = main_movement(pairs(three), times)
        rest = np.median([*signal[:3], *signal[-3:]])
        np.testing.assert_allclose(whole, 3**0.5 * np.column_stack([signal - rest] * 2), atol=1e-9)
        three[::3, 0] = np.nan
        np.testing.assert_allclose(main_movement(pairs(three), times), whole, atol=9)


def test_a_movement_of_which_never_half_is_seen_is_nan():
    signals = np.tile(np.arange(100.0)[:, None], 5)
    hidden = (np.arange(5) - np.arange(100)[:, None]) % 5 > 1  # two of five signals are seen at a time, all in turn
    signals[hidden] = np.nan
    assert np.isnan(main_movement(pairs(signals), np.arange(100) / 50)).all()


def test_half_of_what_counts_is_enough_whatever_the_last_bits():
    signal, times, _ = exercise(np.random.default_rng(0), 3, noise=0)
    for scale in (1, 1 + 1e-15, 1 - 1e-15):
        signals = pairs(np.column_stack([signal, scale * signal]))
        signals[10:20, 0] = np.nan
        assert np.isfinite(main_movement(signals, times)).all()


def test_infinite_values_are_not_seen():
    times, values = np.arange(9) / 25, np.arange(9.0)
    values[4] = np.inf
    np.testing.assert_allclose(fill_gaps(values, times), np.arange(9))
    assert np.isnan(one_euro(values, times)[4]) and np.isfinite(one_euro(values, times)[5:]).all()


def test_signals_never_seen_are_left_out_and_none_at_all_is_refused():
    signal, times, _ = exercise(np.random.default_rng(0), 3)
    signals = pairs(np.column_stack([np.full(len(times), np.nan), signal]))
    assert len(repetitions(main_movement(signals, times), times)) == 3
    signals[:, 1::2] = np.nan  # nor a side
    assert [one.side for one in repetitions(main_movement(signals, times), times)] == ["left"] * 3
    assert repetitions(main_movement(np.full((50, 4), 7.0), times[:50]), times[:50]) == []
    for bad in (np.full((5, 4), np.nan), np.zeros(5), np.zeros((5, 0)), np.zeros((5, 3)), np.zeros((1, 4))):
        with pytest.raises(
            ValueError, match=r"must be \(frames, signals\), left and right in turn, and one hold two v"
        ):
            main_movement(bad, np.arange(len(bad)))
