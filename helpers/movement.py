"""Joints and angles over time: smoothing, filling gaps, the main movement and its repetitions."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

PROMINENCE = 0.4  # of a signal's range, that a repetition has; chosen on half of the subjects of `benchmarks.counting`
STEP_S = 0.01  # signals are resampled to this
_SIDES = ("left", "right")
_DIGITS = 6  # and rounded to these, so that the last bits decide nothing
_POWERS = 8  # a component of half the variance is then down to 0.4 %, and one of 0.95 still at 66 %


def one_euro(values, times, min_cutoff_hz=1.0, beta=0.1, derivative_cutoff_hz=1.0, scale=1.0):
    """The One-Euro filter (Casiez et al. 2012): smooths what is slow more than what is fast, frame by frame.

    Args:
        values: (F, ...), each column filtered by itself. NaN stays NaN and leaves the filter as it was; after a gap the
            time since the last value counts, so that the past counts the less the longer the gap was.
        times: (F,), s, increasing; they need not be regular.
        min_cutoff_hz: cut-off frequency at rest. Lower: less jitter.
        beta: by how many Hz the cut-off rises for each `scale` per second. Higher: less lag.
        derivative_cutoff_hz: cut-off frequency for the speed.
        scale: a length in the values' unit, such as `bodies.torso_length`, so that one `beta` does the same to a film
            of any resolution; 5 is then about what 0.1 is in pixels where a torso has 50.

    Returns (F, ...). Raises ValueError for other shapes, and for times that don't increase.
    """
    values, times = over_time(values, times)
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
        smooth = np.where(seen, smooth + share(min_cutoff_hz + beta / scale * np.abs(speed), elapsed) * change, smooth)
        last = np.where(seen, time, last)
        result[row] = np.where(seen, smooth, np.nan)
    return result


def fill_gaps(values, times, longest_s=0.5):
    """Values (F, ...) with their short runs of NaN filled, each column by itself; `times` (F,), s, increasing.

    A gap lasts from the last value before it to the first one after it. Those of at most `longest_s` are filled by a
    piecewise cubic that stays between the two (PCHIP, Fritsch & Carlson 1980); longer ones, and those at either end,
    stay. Raises ValueError for other shapes, and for times that don't increase.
    """
    values, times = over_time(values, times)
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


def main_movement(signals, times, ended=True):
    """How far either side is in the one movement that explains most of signals of one unit, such as joint angles.

    Left and right share the weights: the first principal component of both sides' changes over 0.3 s, so that a change
    of posture counts little, once smoothed, so that noise does. Signals are not standardised: the noise of joints that
    keep still must not grow as large as what moves. Power iteration from the mean displacement keeps both of two
    components that are about equal, where noise would choose one. People begin and end low: repetitions are peaks.
    While it is still going on (not `ended`), only the beginning is low.

    Args:
        signals: (F, 2 P), left and right in turn, as `bodies.limb_angles_deg` has them; NaN where not seen.
        times: (F,), s, increasing; they need not be regular.

    Returns (F, 2), left and right, in the signals' unit, about 0 where the recording begins and ends. A frame goes by
    what was seen in it, and a side is NaN where that is less than half.

    Raises ValueError for other shapes, times that don't increase, and if no signal holds two values.
    """
    signals, times = over_time(signals, times)
    if signals.ndim != 2 or signals.shape[1] % 2 or not (np.isfinite(signals).sum(0) > 1).any():
        raise ValueError(
            f"signals of shape {signals.shape} must be (frames, signals), left and right in turn, and one hold two "
            "values. Was a person seen?"
        )
    for column in signals.T:
        there = column[np.isfinite(column)]
        column -= np.median([*there[:3], *there[-3 if ended else len(there) :]]) if len(there) else 0
    sides, smooth = (x.reshape(len(x), -1, 2) for x in (signals, smoothed(signals, times, 0.1)[1]))
    step = min(round(0.3 / STEP_S), len(smooth) - 1)
    change, away = (np.concatenate([x[..., 0], x[..., 1]]) for x in (smooth[step:] - smooth[:-step], smooth))
    seen, change = np.isfinite(change).astype(float), np.nan_to_num(change)
    covariance = change.T @ change / (seen.T @ seen).clip(1)
    weights = np.nan_to_num(away).sum(0) / np.isfinite(away).sum(0).clip(1)
    for _ in range(_POWERS):
        weights = covariance @ weights + 1e-9  # of signals that keep still, any
        weights /= np.linalg.norm(weights)
    known = weights**2 @ np.isfinite(sides)
    return np.where(known > 0.5 - 1e-6, weights @ np.nan_to_num(sides) / known.clip(0.4), np.nan)  # half is enough


class Repetition(NamedTuple):
    """When a movement leaves its base, when it is farthest from it, and when it is back; seconds.

    `height` is how far it goes, in the signal's unit; `side` is "left", "right" or "both", None without sides.
    """

    start_s: float
    middle_s: float
    end_s: float
    height: float = np.nan
    side: str | None = None


def repetitions(signal, times, prominence=None, smallest=20.0, shortest_s=0.5, longest_gap_s=2.0):
    """The repetitions in a signal whose peaks they are: a joint angle (or its negative), or `main_movement`.

    The signal is smoothed by a Gaussian, gaps are bridged by straight lines, and peaks are counted that stand out by
    `prominence` from both sides; from a beginning or end, of the recording or of a longer gap, half of it is enough. Of
    peaks nearer than `shortest_s` the highest counts, and the earliest of those equal to a hundredth of the prominence.
    A repetition starts and ends where the signal is 10 % of the way up from its lowest value before and after the peak.

    Each side's repetitions count: in turn they are two. At once, when one side is at least half of its way up while the
    other is at its peak, they are one.

    Args:
        signal: (F,), or (F, 2), left and right; NaN where not seen.
        times: (F,), s, increasing; they need not be regular.
        prominence: in the signal's unit; None for `PROMINENCE` of the range in which the signal, or the side that moves
            more, is for 90 % of the time, and at least `smallest`.
        smallest: the least default prominence, so that standing still is no exercise. As it stands, degrees.
        shortest_s: the least time between two peaks of a side; the Gaussian's standard deviation is a fifth of it.
        longest_gap_s: no repetition is carried across a longer time in which nothing was seen.

    Returns a list of `Repetition`s, in the order of their middles. Warns of a rhythm that is faster than `shortest_s`.

    Raises ValueError for other shapes, times that don't increase, and a signal without two values.
    """
    signal, times = over_time(signal, times)
    if signal.shape[1:] not in ((), (2,)) or np.isfinite(signal).sum(0).max() < 2:
        raise ValueError(
            f"A signal of shape {signal.shape} must be (frames,), or (frames, 2) for left and right, and hold two "
            "values. Was a person seen?"
        )
    found, fast = (_count(signal, times, prominence, smallest, s, longest_gap_s) for s in (shortest_s, shortest_s / 3))
    for side in {one.side for one in fast}:
        slow, quick = ([one for one in some if one.side == side] for some in (found, fast))
        period = np.median(np.diff([one.middle_s for one in quick])) if len(quick) > 3 else np.inf
        if period < shortest_s and len(quick) > 1.5 * len(slow) and regularity(quick).period < 0.25:
            warnings.warn(
                f"Something moves every {period:.2f} s, too fast for shortest_s = {shortest_s}: if that is the "
                f"exercise, give {0.7 * period:.2f}.",
                stacklevel=2,
            )
    return found


def _count(signal, times, prominence, smallest, shortest_s, longest_gap_s):
    grid, sides = smoothed(signal.reshape(len(times), -1), times, shortest_s / 5, longest_gap_s)
    if prominence is None:
        ranges = [
            np.ptp(np.percentile(side[np.isfinite(side)], [5, 95])) for side in sides.T if np.isfinite(side).any()
        ]
        prominence = max(smallest, PROMINENCE * max(ranges))
    found, merged = [], []  # repetitions, their peaks' rows in the grid, and what is half of the way up
    for name, side in zip((None,) if signal.ndim == 1 else _SIDES, sides.T, strict=True):
        for run in np.ma.clump_unmasked(np.ma.masked_invalid(side)):
            part, peaks = side[run], []
            padded = np.concatenate([[part[0] - prominence / 2], part, [part[-1] - prominence / 2]])
            candidates = find_peaks(padded, prominence=prominence - 10.0**-_DIGITS)[0] - 1
            for row in sorted(candidates, key=lambda row: (-round(part[row] / prominence, 2), row)):
                if all(abs(row - other) * STEP_S >= shortest_s for other in peaks):
                    peaks.append(row)
            ends = [0, *sorted(peaks), len(part) - 1]
            for before, peak, after in zip(ends, ends[1:], ends[2:], strict=False):
                rise, fall = part[before : peak + 1][::-1], part[peak : after + 1]
                start, end = (np.argmax(way <= way.min() + 0.1 * np.ptp(way)) for way in (rise, fall))
                height = part[peak] - (rise.min() + fall.min()) / 2
                seconds = grid[run][[peak - start, peak, peak + end]]
                one = Repetition(*map(float, (*seconds, height)), name)
                found.append((one, run.start + peak, part[peak] - height / 2))
    for one, row, half in sorted(found, key=lambda each: each[1]):
        last, last_row, last_half = merged[-1] if merged else (one, row, half)
        if {one.side, last.side} == set(_SIDES) and (
            sides[last_row, _SIDES.index(one.side)] >= half or sides[row, _SIDES.index(last.side)] >= last_half
        ):
            higher = one if one.height > last.height + 0.01 * prominence else last
            start, end = min(one.start_s, last.start_s), max(one.end_s, last.end_s)
            merged[-1] = higher._replace(start_s=start, end_s=end, side="both"), row, half
        else:
            merged.append((one, row, half))
    return [one for one, *_ in merged]


class Regularity(NamedTuple):
    """By which share period and height change from one repetition to the next, in the median."""

    period: float
    height: float


def regularity(found):
    """How regular repetitions are, from 0, a machine: it tells a set from movement at random, given a few repetitions.

    A change is the difference over the mean, as in the local variation of Shinomoto et al. (2003): so a set that gets
    slower and shallower is regular. The period is from middle to middle. Of the sets of `benchmarks.counting`, nine of
    ten stay below 0.11 and 0.05; smooth movements drawn at random have 0.4 and 0.2 in the median. NaN for fewer than
    three repetitions.
    """
    if len(found) < 3:
        return Regularity(np.nan, np.nan)
    period, height = np.diff([one.middle_s for one in found]), np.array([one.height for one in found])
    return Regularity(*(float(np.median(np.abs(np.diff(x)) / (x[1:] + x[:-1]) * 2)) for x in (period, height)))


def smoothed(columns, times, deviation_s, longest_gap_s=2.0):
    """A regular grid (G,), s, and columns (F, C) on it, smoothed by a Gaussian; NaN outside, and in longer gaps."""
    first, last = times[np.isfinite(columns).any(1)][[0, -1]]
    grid = first + STEP_S * np.arange(int((last - first) / STEP_S + 1e-6) + 1)
    result = np.full((len(grid), columns.shape[1]), np.nan)
    for column, smooth in zip(columns.T, result.T, strict=True):
        seen = np.isfinite(column)
        if seen.sum() > 1:
            known, on_grid = times[seen], np.interp(grid, times[seen], column[seen])
            after = np.searchsorted(known, grid).clip(1, len(known) - 1)
            inside = (
                (grid > known[0] - 1e-9)
                & (grid < known[-1] + 1e-9)
                & (np.diff(known)[after - 1] <= longest_gap_s + 1e-9)
            )
            smooth[inside] = gaussian_filter1d(on_grid, deviation_s / STEP_S, mode="nearest")[inside]
    return grid, result.round(_DIGITS)


def over_time(values, times):
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
