"""`helpers.movement`: the One-Euro filter, gaps, the main movement and repetitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import media
from helpers.bodies import ANGLES, COCO, limb_angles_deg
from helpers.movement import fill_gaps, main_movement, one_euro, repetitions

pytestmark = pytest.mark.filterwarnings("error")
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
    found = np.array(repetitions(signal, times)).reshape(-1, 3)
    assert len(found) == count
    np.testing.assert_allclose(found[:, 1], truth[:, 1], atol=0.2)
    assert (np.diff(found, axis=1) > 0).all() and (found[1:, 0] >= found[:-1, 2]).all()


@examples
@given(seeds, st.integers(1, 8))
def test_without_noise_starts_and_ends_are_where_a_tenth_of_the_way_is_done(seed, count):
    signal, times, truth = exercise(np.random.default_rng(seed), count, 60, noise=0)
    tenth = math.acos(0.8) / (2 * math.pi)  # of a repetition
    inside = np.diff(truth[:, [0, 2]]) * [tenth, 0, -tenth] + truth
    np.testing.assert_allclose(np.array(repetitions(signal, times)), inside, atol=0.1)


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
    found = np.array(repetitions(signal, times))
    np.testing.assert_allclose(found[:, 1], truth[:, 1], atol=0.35)


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
    slow = repetitions(signal, times, shortest_s=1.2)
    assert len(slow) == 5 and np.diff([r.middle_s for r in slow]).min() > 1.2


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


@pytest.mark.parametrize("signal", [np.zeros((5, 2)), np.full(5, np.nan), [np.nan, 1, np.nan, np.nan, np.nan]])
def test_a_signal_without_values_is_refused(signal):
    with pytest.raises(ValueError, match=r"must be \(frames,\), and hold two values. Was a person seen\?"):
        repetitions(signal, np.arange(5))


# The main movement


@examples
@given(seeds, st.integers(2, 6), st.floats(0, 0.2))
def test_the_main_movement_is_what_was_mixed_in(seed, count, missing):
    rng = np.random.default_rng(seed)
    signal, times, _ = exercise(rng, count, noise=0)
    weights = rng.normal(0, 1, 8)
    weights /= np.linalg.norm(weights)
    signals = (signal - signal[0])[:, None] * weights + rng.uniform(0, 180, 8) + rng.normal(0, 0.5, (len(times), 8))
    signals[rng.random(signals.shape) < missing] = np.nan
    found = main_movement(signals, times)
    known = np.isfinite(found)
    assert known.mean() > 0.8
    offset = np.median(found[known] - signal[known])
    np.testing.assert_allclose(np.median(np.abs(found[known] - signal[known] - offset)), 0, atol=2)
    assert len(repetitions(found, times)) == count


def test_one_change_of_posture_does_not_hide_the_movement():
    signal, times, _ = exercise(np.random.default_rng(0), 8, noise=0)
    signals = np.column_stack([signal / 2, signal / 2, *[np.interp(times, [4, 5], [0, 120])] * 4])
    assert len(repetitions(main_movement(signals, times), times)) == 8


def test_a_movement_is_low_at_its_ends_even_if_it_is_held_high_for_longer():
    times = np.arange(0, 20.5, 0.04)
    squats = np.clip(1.5 * np.sin(np.pi * times / 20.5 * 5) ** 2, 0, 1) * 90  # five, held
    knee = main_movement(np.column_stack([180 - squats, 170 - squats]), times)
    assert np.corrcoef(knee, squats)[0, 1] > 0.99 and len(repetitions(knee, times)) == 5


@pytest.mark.parametrize("seed", range(6))
def test_what_is_seen_stands_for_what_is_not_and_long_rests_are_low(seed):
    signal, times, _ = exercise(np.random.default_rng(seed), 3, rest=20, noise=0.02)
    for sign in (1, -1):
        whole = main_movement(sign * np.column_stack([signal] * 3), times)
        np.testing.assert_allclose(whole, 3**0.5 * (signal - np.median(signal)))
        holed = np.column_stack([signal] * 3)
        holed[::3, 0] = np.nan
        np.testing.assert_allclose(main_movement(sign * holed, times), whole, atol=2)


def test_a_movement_of_which_never_half_is_seen_is_nan():
    signals = np.tile(np.arange(100.0)[:, None], 5)
    hidden = (np.arange(5) - np.arange(100)[:, None]) % 5 > 1  # two of five signals are seen at a time, all in turn
    signals[hidden] = np.nan
    assert np.isnan(main_movement(signals, np.arange(100) / 50)).all()


def test_infinite_values_are_not_seen():
    times, values = np.arange(9) / 25, np.arange(9.0)
    values[4] = np.inf
    np.testing.assert_allclose(fill_gaps(values, times), np.arange(9))
    assert np.isnan(one_euro(values, times)[4]) and np.isfinite(one_euro(values, times)[5:]).all()


def test_signals_never_seen_are_left_out_and_none_at_all_is_refused():
    signal, times, _ = exercise(np.random.default_rng(0), 3)
    signals = np.column_stack([np.full(len(times), np.nan), signal])
    assert len(repetitions(main_movement(signals, times), times)) == 3
    for bad in (np.full((5, 3), np.nan), np.zeros(5), np.zeros((5, 0)), np.zeros((1, 3))):
        with pytest.raises(ValueError, match=r"must be \(frames, signals\), and one hold two values"):
            main_movement(bad, np.arange(len(bad)))
