"""`benchmarks.counting`: recordings are joined as they were cut, scores are right, figures are as good as measured."""

from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from benchmarks import counting
from helpers import session
from helpers.bodies import limb_angles_deg

DATA = Path(__file__).resolve().parents[2] / "shared/data"
needs_data = pytest.mark.skipif(
    not (DATA / "motion.parquet").exists(), reason="needs motion.parquet, the motion capture to train on"
)


def written(folder, clips):
    """A `motion.parquet` of clips (name, subject, frames), whose joints hold the frame's number in its clip, in m."""
    rows = [
        {
            "clip": name,
            "subject": subject,
            "fps": 25.0,
            "joints_mm": np.repeat(1000 * np.arange(frames), 51).reshape(frames, 51).tolist(),
            "ok": [True] * (frames - 1) + [False],
        }
        for name, subject, frames in clips
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "motion.parquet")
    return folder


def test_repetitions_are_joined_in_their_order(tmp_path):
    clips = [(f"m03_s01_e{e:02d}", "uip001", 5 + e) for e in (2, 1, 10, *range(3, 10))]
    clips += [(f"m01_s02_e{e:02d}", "uip002", 4) for e in range(1, 11)]
    ((movement, joints, times),) = counting.recordings(written(tmp_path, clips), ["uip001"])
    assert movement == "inline lunge" and joints.shape == (105, 12, 3)
    expected = [n if n < 4 + e else np.nan for e in range(1, 11) for n in range(5 + e)]
    np.testing.assert_array_equal(joints[:, 0, 0], expected)
    np.testing.assert_allclose(times, np.arange(105) / 25)


def test_recordings_with_most_markers_lost_are_left_out_and_incomplete_ones_refused(tmp_path):
    lost = [(f"m01_s01_e{e:02d}", "uip001", 1) for e in range(1, 11)]
    assert list(counting.recordings(written(tmp_path, lost), ["uip001"])) == []
    with pytest.raises(ValueError, match=r"m01_s01 has 9 repetitions instead of 10"):
        list(counting.recordings(written(tmp_path, lost[1:]), ["uip001"]))


def test_scores_by_hand():
    assert counting.score([10, 9, 12, 0]) == {"MAE": pytest.approx(1.3 / 4), "OBO": 0.5, "n": 4}


def test_thresholds_count_each_fall_of_the_widest_angle_and_trip_over_noise():
    times = np.arange(500) / 25
    widest = 90 + 60 * np.cos(2 * np.pi * times / 2)
    angles = np.column_stack([np.full(500, 5.0), widest, widest / 9, np.full(500, 5.0)])
    angles[7] = np.nan
    assert counting.by_thresholds(angles, times) == 10
    noise = np.random.default_rng(0).normal(0, 15, angles.shape)
    assert counting.by_thresholds(angles + noise, times) > 10
    assert counting.counted(angles + noise, times) == 10


def test_nobody_is_both_tuned_on_and_held_out():
    assert not set(counting.TUNED) & set(counting.HELD_OUT) and len(counting.TUNED + counting.HELD_OUT) == 8


@needs_data
@pytest.mark.parametrize(("see", "mae", "obo"), [(counting.exact, 0.01, 1), (counting.noisy, 0.023, 0.949)])
def test_counts_of_people_held_out_are_as_good_as_measured(see, mae, obo):
    found = counting.counts(counting.counted, DATA, counting.HELD_OUT, see)
    figures = counting.score([*chain(*found.values())])
    assert figures["n"] == 39 and set(found) == set(counting.MOVEMENTS)
    assert figures["MAE"] <= mae and figures["OBO"] >= obo


@needs_data
def test_popular_thresholds_do_worse_and_lifted_joints_are_nearly_as_good():
    found = counting.counts(counting.by_thresholds, DATA, counting.HELD_OUT, counting.noisy)
    assert counting.score([*chain(*found.values())])["MAE"] > 0.2
    found = counting.counts(counting.counted, DATA, counting.HELD_OUT[-1:], counting.lifted)
    assert counting.score([*chain(*found.values())])["MAE"] <= 0.02


def test_joined_recordings_keep_their_frames_and_are_where_they_are_said_to_be():
    rng = np.random.default_rng(0)
    parts = [np.broadcast_to(rng.normal(0, 1, (12, 3)), (count, 12, 3)).copy() for count in (50, 75)]
    shapes = [part[0] - part[0, 6:8].mean(0) * [1, 0, 1] for part in parts]
    joints, times, spans = counting.joined(parts, [1, 2, 3], 25, rng, sway_m=1e-6)
    assert spans == [(1, 3), (5, 8)] and len(joints) == len(times) == 11 * 25
    for (start, end), shape in zip(spans, shapes, strict=True):
        inside = joints[(times >= start) & (times < end)]
        np.testing.assert_allclose(
            inside - inside[:1, 6:8].mean(1, keepdims=True) * [1, 0, 1], np.tile(shape, (len(inside), 1, 1)), atol=1e-4
        )
    assert np.linalg.norm(np.diff(joints, axis=0), axis=2).max() < 0.6  # the pose goes over, without a jump


def test_boundaries_by_hand():
    assert counting.boundaries([(0.4, 5.6), (9, 9.2)], [(0, 5), (6, 9.1)]).tolist() == [3, 4, 0]
    assert counting.boundaries([(0, 5), (7, 8)], [(0, 5)]).tolist() == [2, 2, 2]
    assert counting.boundaries([], [(0, 5)]).tolist() == [0, 2, 0]


def test_a_squat_half_as_deep_goes_half_of_the_way_and_comes_back():
    height = 1 - 0.4 * np.sin(np.linspace(0, np.pi, 61)) ** 2
    clip = np.tile(height[:, None, None], (1, 12, 3))
    half = counting.half_as_deep(clip)[:, 6, 1]
    assert half[0] == half[-1] == 1 and half.min() == pytest.approx(0.8, abs=0.03)


@needs_data
def test_sessions_of_people_held_out_are_cut_and_hard_cases_counted_as_measured():
    noisy, lifted = counting.noisy, counting.lifted
    for see, subjects, least, most in ((noisy, counting.HELD_OUT, 0.75, 24), (lifted, counting.HELD_OUT[-1:], 0.65, 6)):
        found = [
            counting.boundaries(session.segments(angles, times), spans)
            for angles, times, spans in counting.sessions(DATA, subjects, see)
        ]
        near, count, false = sum(found)
        assert count == 18 * len(subjects) and near / count >= least and false <= most
    for name, ways in counting.hard(DATA).items():
        counts = np.array([row for rows in ways.values() for row in rows])
        assert len(counts) == 5 and (counts[:, 1] == counts[:, 0]).sum() >= 4, name


@needs_data
def test_the_live_count_of_a_recording_ends_as_the_one_afterwards_and_is_half_a_second_late():
    for movement, joints, times in counting.recordings(DATA, counting.HELD_OUT[:1]):
        if movement in ("deep squat", "side lunge"):
            now, afterwards, late = counting.live(limb_angles_deg(joints), times)
            assert now == afterwards == 10 and 0.2 < np.median(late) < 0.6
