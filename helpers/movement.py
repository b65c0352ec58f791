"""Joints and angles over time: smoothing, filling gaps, the main movement and its repetitions."""

from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

PROMINENCE = 0.4  # of a signal's range, that a repetition has; chosen on half of the subjects of `benchmarks.counting`
_STEP_S = 0.01  # signals are resampled to this


def one_euro(values, times, min_cutoff_hz=1.0, beta=0.1, derivative_cutoff_hz=1.0):
    """The One-Euro filter (Casiez et al. 2012): smooths what is slow more than what is fast, frame by frame.

    Args:
        values: (F, ...), each column filtered by itself. NaN stays NaN and leaves the filter as it was; after a gap the
            time since the last value counts, so that the past counts the less the longer the gap was.
        times: (F,), s, increasing; they need not be regular.
        min_cutoff_hz: cut-off frequency at rest. Lower: less jitter.
        beta: by how many Hz the cut-off rises for each unit of the values per second. Higher: less lag.
        derivative_cutoff_hz: cut-off frequency for the speed.

    Returns (F, ...). Raises ValueError for other shapes, and for times that don't increase.
    """
    values, times = _over_time(values, times)
    shape = values.shape[1:]
    smooth, speed, last, result = np.full(shape, np.nan), np.zeros(shape), np.zeros(shape), np.full_like(values, np.nan)

    def share(cutoff_hz, elapsed):
        turns = 2 * np.pi * cutoff_hz * elapsed
        return turns / (turns + 1)

    for row, (value, time) in enumerate(zip(values, times, strict=True)):
        seen = np.isfinite(value)
        first = seen & np.isnan(smooth)
        smooth, last = np.where(first, value, smooth), np.where(first, time - 1, last)  # any time: the speed is 0
        change, elapsed = value - smooth, time - last
        speed = np.where(seen, speed + share(derivative_cutoff_hz, elapsed) * (change / elapsed - speed), speed)
        smooth = np.where(seen, smooth + share(min_cutoff_hz + beta * np.abs(speed), elapsed) * change, smooth)
        last = np.where(seen, time, last)
        result[row] = np.where(seen, smooth, np.nan)
    return result


def fill_gaps(values, times, longest_s=0.5):
    """Values (F, ...) with their short runs of NaN filled, each column by itself; `times` (F,), s, increasing.

    A gap lasts from the last value before it to the first one after it. Those of at most `longest_s` are filled by a
    piecewise cubic that stays between the two (PCHIP, Fritsch & Carlson 1980); longer ones, and those at either end,
    stay. Raises ValueError for other shapes, and for times that don't increase.
    """
    values, times = _over_time(values, times)
    result, index = np.ascontiguousarray(values), np.arange(len(times))
    for column in result.reshape(len(times), -1).T if values.size else ():
        seen = np.isfinite(column)
        if seen.sum() > 1:
            before = np.maximum.accumulate(np.where(seen, index, -1))
            after = np.minimum.accumulate(np.where(seen, index, len(index))[::-1])[::-1]
            short = ~seen & (before >= 0) & (after < len(index))
            short[short] = times[after[short]] - times[before[short]] <= longest_s + 1e-9  # sums of 1 / fps are inexact
            column[short] = PchipInterpolator(times[seen], column[seen])(times[short])
    return result


def main_movement(signals, times):
    """The one movement that explains most of signals (F, S) of one unit, such as joint angles -> (F,), that unit.

    The first principal component of the signals' changes over 0.3 s, so that a change of posture in between counts
    little. Signals are not standardised: the noise of joints that keep still must not grow as large as what moves. The
    sign is such that people begin and end low: repetitions are peaks. A frame goes by what was seen in it, and is NaN
    where that is less than half. `times` (F,), s, increasing.

    Raises ValueError for other shapes, times that don't increase, and if no signal holds two values.
    """
    signals, times = _over_time(signals, times)
    if signals.ndim != 2 or not (np.isfinite(signals).sum(0) > 1).any():
        raise ValueError(
            f"signals of shape {signals.shape} must be (frames, signals), and one hold two values. Was a person seen?"
        )
    values = signals[:, np.isfinite(signals).any(0)]
    seen = np.isfinite(values)
    values = values - np.nanmedian(values, axis=0)
    step = np.clip(round(0.3 / np.median(np.diff(times))), 1, len(times) - 1)
    change = np.nan_to_num(values[step:] - values[:-step])
    pairs = (seen[step:] & seen[:-step]).astype(float)  # of frames, in which both signals of a covariance were seen
    weights = np.linalg.eigh(change.T @ change / (pairs.T @ pairs).clip(1))[1][:, -1]
    known = seen @ weights**2
    movement = np.where(known >= 0.5, np.nan_to_num(values) @ weights / known.clip(0.5), np.nan)
    there = movement[known >= 0.5]
    if not len(there):
        return movement
    ends = np.median(np.concatenate([there[:3], there[-3:]]))
    return movement if ends < np.percentile(there, [5, 95]).mean() else -movement


class Repetition(NamedTuple):
    """When a movement leaves its base, when it is farthest from it, and when it is back; seconds."""

    start_s: float
    middle_s: float
    end_s: float


def repetitions(signal, times, prominence=None, smallest=20.0, shortest_s=0.5):
    """The repetitions in a signal (F,) whose peaks they are: a joint angle (or its negative), or `main_movement`.

    The signal is smoothed by a Gaussian, gaps are bridged by straight lines, and peaks are counted that stand out by
    `prominence` from both sides; from the recording's beginning or end, half of it is enough. A repetition starts and
    ends where the signal is 10 % of the way up from its lowest value before and after the peak.

    Args:
        times: (F,), s, increasing; they need not be regular.
        prominence: in the signal's unit; None for `PROMINENCE` of the range in which the signal is for 90 % of the
            time, and at least `smallest`.
        smallest: the least default prominence, so that standing still is no exercise. As it stands, degrees.
        shortest_s: the least time between two peaks; the Gaussian's standard deviation is a fifth of it.

    Returns a list of `Repetition`s, in the order of time.

    Raises ValueError for other shapes, times that don't increase, and a signal without two values.
    """
    signal, times = _over_time(signal, times)
    seen = np.isfinite(signal)
    if signal.ndim != 1 or seen.sum() < 2:
        raise ValueError(f"A signal of shape {signal.shape} must be (frames,), and hold two values. Was a person seen?")
    grid = np.arange(times[seen][0], times[seen][-1], _STEP_S)
    smooth = gaussian_filter1d(np.interp(grid, times[seen], signal[seen]), shortest_s / 5 / _STEP_S, mode="nearest")
    if prominence is None:
        prominence = max(smallest, PROMINENCE * np.ptp(np.percentile(smooth, [5, 95])))
    padded = np.concatenate([[smooth[0] - prominence / 2], smooth, [smooth[-1] - prominence / 2]])
    peaks = find_peaks(padded, prominence=prominence, distance=max(1, shortest_s / _STEP_S))[0] - 1
    found, ends = [], [0, *peaks, len(grid) - 1]
    for before, peak, after in zip(ends, peaks, ends[2:], strict=False):
        rise, fall = smooth[before : peak + 1][::-1], smooth[peak : after + 1]
        start, end = (np.argmax(side <= side.min() + 0.1 * np.ptp(side)) for side in (rise, fall))
        found.append(Repetition(*(float(grid[i]) for i in (peak - start, peak, peak + end))))
    return found


def _over_time(values, times):
    """A new array (F, ...) of the values, what is not finite NaN, and times (F,)."""
    values, times = np.asarray(values, dtype=float), np.asarray(times, dtype=float)
    if times.ndim != 1 or values.shape[:1] != times.shape:
        raise ValueError(
            f"values of shape {values.shape} need as many times, not {times.shape}: one for each frame, s."
        )
    if not (np.diff(times) > 0).all():
        row = int(np.argmin(np.diff(times) > 0))
        raise ValueError(f"times must increase, but {times[row + 1]} s follows {times[row]} s: drop one of the frames.")
    return np.where(np.isfinite(values), values, np.nan), times
