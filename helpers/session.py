"""A whole session: where somebody walks, exercises and pauses, the sets with their repetitions, and counting live."""

from bisect import bisect_left
from itertools import pairwise

import numpy as np
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d
from scipy.signal import find_peaks

from helpers.bodies import FEWEST, LIMBS, torso_length
from helpers.movement import STEP_S, Repetition, main_movement, over_time, repetitions, smoothed


def segments(angles, times, least=20.0, longest_pause_s=1.5, alike=0.75, shortest_s=1.2):
    """Temporal segmentation: cuts a film into exercises, without the pauses and changes of posture between them.

    A person moves while some angle changes by `least` within a second; how much each one does, the larger of left and
    right, is the movement's pattern. It is cut where the patterns of 1.5 s before and after are not alike. Neighbours
    that are alike are one exercise again if no longer pause is between them, or if a pose is held, however long: a stop
    away from where it began, from which it goes back. What goes one way only, as sitting down does, is left out.

    Args:
        angles: (F, 2 P), degrees, left and right in turn, as `bodies.limb_angles_deg` has them; NaN where not seen.
        times: (F,), s, increasing; they need not be regular.
        alike: least cosine between two patterns of one exercise; lower, if joints jump.

    Returns a list of (start_s, end_s). Raises ValueError for other shapes, and times that don't increase.
    """
    angles, times = over_time(angles, times)
    if angles.ndim != 2 or angles.shape[1] % 2:
        raise ValueError(f"angles of shape {angles.shape} must be (frames, angles), left and right in turn.")
    if not (np.isfinite(angles).sum(0) > 1).any():
        return []
    grid, smooth = smoothed(angles, times, 0.2)
    second, half = round(1 / STEP_S), round(0.75 / STEP_S)
    change = maximum_filter1d(smooth, second, axis=0) - minimum_filter1d(smooth, second, axis=0)
    change = np.nan_to_num(change).reshape(len(grid), -1, 2).max(2)
    moves = minimum_filter1d((change.max(1) > least).astype(int), second // 2)  # the window had made it longer
    pattern, other = (change - least / 2).clip(0), np.zeros(len(grid))
    mean = uniform_filter1d(pattern, 2 * half, axis=0)
    other[half : len(grid) - half] = 1 - _cosine(mean[: -2 * half], mean[2 * half :])
    cuts = find_peaks(np.where(moves, other.round(6), 0), height=1 - alike, distance=2 * half)[0]
    found = []
    for run in np.ma.clump_unmasked(np.ma.masked_equal(moves, 0)):
        for start, end in pairwise([run.start, *cuts[(cuts > run.start) & (cuts < run.stop - 1)], run.stop - 1]):
            if found and _cosine(*(pattern[a : b + 1].sum(0) for a, b in (found[-1], (start, end)))) > alike:
                first, last = found[-1]
                stop, *way = np.nan_to_num(np.abs(smooth[[last, *range(start, end + 1)]] - smooth[first])).max(1)
                if (start - last) * STEP_S < longest_pause_s or (stop > least and min(way) < stop / 2):
                    start, _ = found.pop()
            found.append((start, end))
    return [
        (float(grid[a]), float(grid[b]))
        for a, b in found
        if (b - a) * STEP_S >= shortest_s
        and any(len(find_peaks(way, prominence=least)[0]) for x in smooth[a : b + 1].T for way in (x, -x))
    ]


def _cosine(a, b):
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)).clip(1e-9)


def sets(angles, times, ended=True, margin_s=0.3, **options):
    """The `segments`, by `options`, each with the `repetitions` of its `main_movement`: pairs in a list.

    Of the film, `margin_s` before and after a segment belong to it as well. `ended` as for `main_movement`.
    """
    times, result = np.asarray(times, dtype=float), []
    for start, end in segments(angles, times, **options):
        part = (times >= start - margin_s) & (times <= end + margin_s)
        result.append(((start, end), repetitions(main_movement(angles[part], times[part], ended), times[part])))
    return result


def walking(joints, times):
    """In which frames (F,) a person walks through a still camera's picture: make the angles there NaN.

    Joints (F, 12, 2), px, of `LIMBS`. From a second before to a second after, the joints' median x moves by 0.8
    torsos, or the person's longest bones change by a factor of 1.65, or a mixture; so a lunge, a squat or a jump is
    no walk, and neither is a slow walk towards the camera.
    """
    joints, times = over_time(joints, times)
    bones = np.linalg.norm(np.subtract(*(joints[:, list(ends)] for ends in zip(*LIMBS.edges, strict=True))), axis=2)
    seen = np.isfinite(joints[..., 0]).sum(1) >= FEWEST
    place = np.full((len(times), 2), np.nan)
    place[seen, 0] = np.nanmedian(joints[seen, :, 0], axis=1) / torso_length(joints, LIMBS) / 0.8
    place[seen, 1] = np.log(np.nanpercentile(bones[seen], 90, axis=1)) / np.log(1.65)
    grid, smooth = smoothed(place, times, 0.3)
    second = round(1 / STEP_S)
    padded = np.pad(smooth, ((second, second), (0, 0)), mode="edge")
    away = np.linalg.norm(padded[2 * second :] - padded[: -2 * second], axis=1)
    return np.interp(times, grid, np.nan_to_num(away)) > 1


def count_live(frames, wait_s=0.3, every_s=0.2, memory_s=60.0):
    """Counts while a film runs: a generator of the `Repetition`s believed so far, a list that only grows.

    Every `every_s`, the `sets` of the last `memory_s` are counted again. A repetition is believed `wait_s` after its
    end, so that is by how much the count is late, and by half of `every_s`.

    `frames` are pairs (time, angles): s, and (2 P,), degrees, NaN where not seen. A list comes for each of them, and
    one more at the end, in which the last repetitions need not wait.
    """
    times, angles, believed, due = [], [], [], -np.inf

    def count(now):
        for _, found in sets(np.array(angles), np.array(times), ended=now == np.inf):
            for one in found:
                last = believed[-1] if believed else Repetition(*3 * [-np.inf])
                if one.end_s <= now and one.middle_s > (last.middle_s + last.end_s) / 2:
                    believed.append(one)
        return list(believed)

    for time, row in frames:
        times.append(time)
        angles.append(np.asarray(row, dtype=float))
        if times[0] < time - memory_s:  # what is left begins with a rest, which says what is low
            begin = next((one.end_s for one in believed if one.end_s > time - memory_s), time - memory_s)
            gone = bisect_left(times, begin)
            del times[:gone], angles[:gone]
        if time >= due:
            due = time + every_s
            count(time - wait_s)
        yield list(believed)
    yield count(np.inf) if times else []
