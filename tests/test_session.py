"""`helpers.session`: segments, sets, walks and the live count, on movements made by formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import media
from helpers.bodies import COCO, limb_angles_deg
from helpers.session import count_live, segments, sets, walking

pytestmark = pytest.mark.filterwarnings("error")
examples = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
SQUAT, CURL, RAISE = ({4: 60, 5: 60, 6: 90, 7: 90}, {0: 110, 1: 110}, {2: 90, 3: 90, 8: 100, 9: 100})  # column: degrees


def film(rng, doing, fps=25.0, noise=2.0):
    """Angles (F, 10) of somebody who does one after the other, times (F,), and when each begins and ends.

    `doing` holds seconds of rest, and (columns, repetitions, seconds of each).
    """
    shares, spans, clock = [], [], 0.0
    for what in doing:
        if not isinstance(what, tuple):
            clock += what
            continue
        columns, count, seconds = what
        shares.append((columns, clock, count, seconds))
        spans.append((clock, clock + count * seconds))
        clock = spans[-1][1]
    times = np.arange(0, clock, 1 / fps)
    angles = 165 + rng.normal(0, noise, (len(times), 10))
    for columns, start, count, seconds in shares:
        phase = np.clip((times - start) / seconds, 0, count)
        for column, size in columns.items():
            angles[:, column] -= size * (1 - np.cos(2 * np.pi * phase)) / 2
    return angles, times, spans


@examples
@given(seeds, st.permutations([SQUAT, CURL, RAISE]), st.sampled_from([0.0, 0.5, 2.5, 6.0]))
def test_exercises_are_cut_where_one_ends_and_the_next_begins(seed, kinds, pause_s):
    rng = np.random.default_rng(seed)
    counts, seconds = rng.integers(3, 7, 3), rng.uniform(1.2, 3, 3)
    doing = [2.0, *(x for each in zip(kinds, counts, seconds, strict=True) for x in (each, pause_s)), 2.0]
    angles, times, spans = film(rng, doing)
    angles[rng.random(len(times)) < 0.1] = np.nan
    found = sets(angles, times)
    np.testing.assert_allclose([span for span, _ in found], spans, atol=0.5)
    assert [len(each) for _, each in found] == counts.tolist()


@pytest.mark.parametrize(("pause_s", "parts"), [(0.5, 1), (1.0, 1), (3.0, 2)])
def test_a_longer_pause_parts_one_exercise_and_a_short_one_does_not(pause_s, parts):
    angles, times, _ = film(np.random.default_rng(0), [2, (SQUAT, 4, 2.0), pause_s, (SQUAT, 3, 2.0), 2])
    found = sets(angles, times)
    assert len(found) == parts and sum(len(each) for _, each in found) == 7


@pytest.mark.parametrize("noise", [0, 2, 5])
def test_standing_for_a_minute_is_no_exercise_and_a_change_of_posture_neither(noise):
    rng = np.random.default_rng(0)
    times = np.arange(0, 60, 0.04)
    angles = 170 + rng.normal(0, noise, (len(times), 10)) + 3 * np.sin(times)[:, None]
    assert segments(angles, times) == []
    angles[:, 4:8] -= np.interp(times, [20, 21.5], [0, 80])[:, None]  # sits down
    assert segments(angles, times) == []


@pytest.mark.parametrize("hold_s", [1, 3, 10])
@pytest.mark.parametrize("count", [1, 4])
def test_a_pause_at_the_bottom_is_a_part_of_the_repetition(hold_s, count):
    rng, period = np.random.default_rng(0), hold_s + 3.0
    times = np.arange(0, count * period + 4, 0.04)
    phase = (times - 2) % period
    share = np.interp(phase, [0, 1, 1 + hold_s, 2 + hold_s, period], [0, 1, 1, 0, 0])
    share[(times < 2) | (times > 2 + count * period)] = 0
    angles = 165 + rng.normal(0, 2, (len(times), 10))
    angles[:, 4:8] -= 80 * share[:, None]
    assert [len(found) for _, found in sets(angles, times)] == [count]


def test_half_repetitions_are_counted_and_their_height_tells_them():
    rng = np.random.default_rng(0)
    half = {column: 0.55 * size for column, size in SQUAT.items()}
    doing = [2, *((kind, 1, 2.0) for kind in (SQUAT, half) * 4), 2]
    angles, times, _ = film(rng, doing)
    ((_, found),) = sets(angles, times)
    heights = np.array([one.height for one in found])
    assert (heights < 0.7 * heights[0]).tolist() == [False, True] * 4


def test_the_workout_film_is_cut_into_its_four_exercises_and_counted():
    truth = media.clip("workout")[1]
    found = sets(limb_angles_deg(truth["joints_3d"][:, COCO.limbs]), truth["times"])
    names = list(dict.fromkeys(one["exercise"] for one in truth["repetitions"]))
    true = [[one for one in truth["repetitions"] if one["exercise"] == name] for name in names]
    np.testing.assert_allclose(
        [span for span, _ in found], [(each[0]["start_s"], each[-1]["end_s"]) for each in true], atol=0.5
    )
    assert [len(each) for _, each in found] == [len(each) for each in true]


def test_too_little_to_cut_is_no_segment_and_wrong_shapes_are_refused():
    assert segments(np.full((50, 10), np.nan), np.arange(50) / 25) == segments(np.zeros((0, 10)), []) == []
    assert segments(np.full((2, 10), 100.0), [0, 0.04]) == segments(np.full((30, 10), 100.0), np.arange(30) / 25) == []
    with pytest.raises(ValueError, match=r"\(5, 3\) must be \(frames, angles\), left and right in turn"):
        segments(np.zeros((5, 3)), np.arange(5))
    with pytest.raises(ValueError, match=r"times must increase"):
        segments(np.zeros((3, 2)), [0, 1, 1])


# Walks

PERSON = np.array(  # limb joints (12, 3), m, y down, the hips' middle at the origin
    [
        (x * side, y, 0.0)
        for x, y in ((0.2, -0.5), (0.3, -0.2), (0.3, 0.05), (0.1, 0), (0.1, 0.42), (0.1, 0.84))
        for side in (1, -1)
    ]
)


def seen(place, times, f=600.0, noise=1.0):
    """Joints (F, 12, 2), px, of a person whose hips are at `place` (F, 3), m of a camera's frame."""
    joints = PERSON + np.asarray(place)[:, None]
    pixels = f * joints[..., :2] / joints[..., 2:]
    return pixels + np.random.default_rng(0).normal(0, noise, pixels.shape)


@pytest.mark.parametrize("scale", [1, 2.8])
@pytest.mark.parametrize(
    ("begin", "end"), [((-2, 0, 4), (1, 0, 4)), ((0, 0.2, 5), (0, 0.2, 1.8)), ((1, 0, 3), (-1, 0, 5))]
)
def test_a_walk_is_one_in_whatever_direction_and_what_comes_after_is_none(begin, end, scale):
    times = np.arange(0, 12, 0.04)
    place = np.stack([np.interp(times, [2, 5], ends) for ends in zip(begin, end, strict=True)], 1)
    walks = walking(scale * seen(place, times), times)
    assert walks[(times > 2.5) & (times < 4.5)].mean() > 0.8
    assert not walks[(times < 1) | (times > 6)].any()


@pytest.mark.parametrize(
    ("axis", "size_m"), [(1, 0.6), (0, 0.25), (2, 0.4)]
)  # a squat or a jump, lunges of either view
def test_what_comes_back_is_no_walk_and_neither_is_a_held_squat(axis, size_m):
    times = np.arange(0, 12, 0.04)
    place = np.tile([0.0, 0, 4], (len(times), 1))
    place[:, axis] += size_m * np.sin(np.pi * times / 2) ** 2 * (times < 10)
    place[:, 1] += 0.5 * ((times > 10) & (axis == 1))
    joints = seen(place, times)
    joints[np.random.default_rng(1).random(joints.shape[:2]) < 0.1] = np.nan
    joints[40:60] = np.nan
    assert not walking(joints, times).any()


# Live


@examples
@given(seeds, st.integers(2, 6), st.floats(1.4, 2.5))
def test_the_live_count_grows_is_a_little_late_and_ends_as_the_one_afterwards(seed, count, seconds):
    angles, times, _ = film(np.random.default_rng(seed), [2, (SQUAT, count, seconds), 3], fps=12)
    afterwards = [one for _, found in sets(angles, times) for one in found]
    lists = list(count_live(zip(times, angles, strict=True)))
    assert len(lists) == len(times) + 1 and len(lists[-1]) == len(afterwards) == count
    numbers = np.array([len(found) for found in lists])
    assert (np.diff(numbers) >= 0).all()
    for number, one in enumerate(afterwards, start=1):
        late = times[np.argmax(numbers[:-1] >= number)] - one.end_s
        assert 0.1 < late < 1


def test_a_film_that_ends_with_a_repetition_counts_it_and_old_frames_are_forgotten():
    angles, times, _ = film(np.random.default_rng(0), [2, (SQUAT, 3, 2.0)], fps=12)
    assert len(list(count_live(zip(times, angles, strict=True)))[-1]) == 3
    angles, times, _ = film(np.random.default_rng(0), [2, (SQUAT, 20, 2.0), 2], fps=12)
    assert len(list(count_live(zip(times, angles, strict=True), memory_s=15))[-1]) == 20
    assert list(count_live([])) == [[]]
