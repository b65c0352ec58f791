"""Bodies as joints: tables of COCO-17, LSP-14 and MediaPipe, lifting to 3D, angles, smoothing, counting repetitions.

All tables have the 12 limb joints of `LIMBS`. Left and right are the person's own. Joints that were not seen are NaN,
and so is what follows from them.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks
from torch import nn

from helpers.geometry import as_intrinsics

_OTHER = {"left": "right", "right": "left"}
_CHAINS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
_LIMBS = tuple(f"{side} {joint}" for chain in _CHAINS for joint in chain for side in _OTHER)
_EDGES = [(f"{side} {a}", f"{side} {b}") for chain in _CHAINS for a, b in pairwise(chain) for side in _OTHER]
_EDGES += [(f"left {joint}", f"right {joint}") for joint in ("shoulder", "hip")]
_EDGES += [(f"{side} shoulder", f"{side} hip") for side in _OTHER]


class Layout:
    """Which row is which joint: `names`, and `edges` (pairs of rows) to draw, the limbs' eight bones first.

    `mirror` (N,) is the row of each joint's counterpart on the other side, `limbs` (12,) the rows of `LIMBS.names`.
    """

    def __init__(self, names, *more):
        self.names = tuple(names)
        self.edges = tuple((self.names.index(a), self.names.index(b)) for a, b in [*_EDGES, *more])
        other = [" ".join(_OTHER.get(word, word) for word in name.split()) for name in names]
        self.mirror = np.array([self.names.index(name) for name in other])
        self.limbs = np.array([self.names.index(name) for name in _LIMBS])


_FACE = ("nose", "left eye", "right eye", "left ear", "right ear")
_LSP = [f"{side} {j}" for chain in _CHAINS[::-1] for side, k in (("right", -1), ("left", 1)) for j in chain[::k]]
LIMBS = Layout(_LIMBS)
COCO = Layout(_FACE + _LIMBS, *((_FACE[a], _FACE[b]) for a, b in ((0, 1), (0, 2), (1, 3), (2, 4))))
LSP = Layout([*_LSP, "neck", "head top"], *(("neck", end) for end in ("head top", "left shoulder", "right shoulder")))
_EYE = ("eye inner", "eye", "eye outer")
_HAND, _FOOT = ("wrist", "pinky", "index", "thumb"), ("ankle", "heel", "foot index")
_HANDS = [f"{side} {part}" for part in _HAND for side in _OTHER]
_FEET = [f"{side} {part}" for part in _FOOT for side in _OTHER]
MEDIAPIPE = Layout(
    [
        *("nose", *(f"{side} {part}" for side in _OTHER for part in _EYE), *_FACE[3:], "mouth left", "mouth right"),
        *(*_LIMBS[:4], *_HANDS, *_LIMBS[6:10], *_FEET),
    ],
    *((f"{side} {a}", f"{side} {b}") for side in _OTHER for a, b in pairwise([*_EYE, "ear"])),
    *(("nose", f"{side} eye inner") for side in _OTHER),
    *((f"{side} wrist", f"{side} {part}") for side in _OTHER for part in _HAND[1:]),
    *((f"{side} pinky", f"{side} index") for side in _OTHER),
    *((f"{side} {a}", f"{side} {b}") for side in _OTHER for a, b in pairwise([*_FOOT, "ankle"])),
    ("mouth left", "mouth right"),
)
HIPS = (6, 7)  # of LIMBS; their middle is the root
FEWEST = 6  # joints in a frame, to lift it
BODY_M = 1.324  # trunk, thigh and shin of the lifter's body together, as for a stature of 1.70 m (Winter 2009)


class BodyLifter(nn.Module, PyTorchModelHubMixin):
    """2D limb joints in a window of frames -> 3D limb joints of its middle frame (after Martinez et al. 2017).

    One view can't tell size from distance: every body's trunk, thigh and shin are taken to add up to `BODY_M`. Multiply
    the output by the true sum over that, where it is known.
    """

    def __init__(self, frames=5, spacing_s=0.1, width=256, blocks=2, dropout=0.1):
        super().__init__()
        self.frames, self.spacing_s = frames, spacing_s

        def layer(inputs):
            return [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]

        self.first = nn.Sequential(*layer(frames * 36 + 2))
        self.blocks = nn.ModuleList(nn.Sequential(*layer(width), *layer(width)) for _ in range(blocks))
        self.last = nn.Linear(width, 36)

    def forward(self, joints, size):
        """Joints (N, frames, 12, 3) and size (N, 2) from `lifter_inputs` -> (N, 12, 3), metres, root at the origin."""
        x = self.first(torch.cat([joints.flatten(1), size], 1))
        for block in self.blocks:
            x = x + block(x)
        x = self.last(x).unflatten(1, (12, 3))
        return x - x[:, HIPS].mean(1, keepdim=True)


def lifter_inputs(points, K=None):
    """What `BodyLifter` is given for points (N, frames, 12, 2), px, of `LIMBS`, NaN where not seen.

    With intrinsics `K` (3, 3) pixels become rays, turned so that the camera looks at the person: lifting is then the
    same all over the image, and the angle that the person fills tells the distance. Without (None) the person counts as
    on the axis.

    Returns joints (N, frames, 12, 3): x, y about the person's middle in the middle frame, over the person's size there,
    and seen (0 or 1); size (N, 2): its logarithm, and whether `K` is known; turns (N, 3, 3): from the camera's frame to
    the model's.
    """
    seen, middle = np.isfinite(points).all(-1, keepdims=True), points.shape[1] // 2
    points, weight = np.where(seen, points, 0), seen[:, middle] / seen[:, middle].sum(1, keepdims=True).clip(1)
    centre, count = (points[:, middle] * weight).sum(1), len(points)
    flat, turns = points - centre[:, None, None], np.broadcast_to(np.eye(3), (count, 3, 3))
    if K is not None:
        back = np.linalg.inv(as_intrinsics(K)).T.astype(points.dtype)
        z = centre @ back[:2] + back[2]
        x = np.cross(np.array([0, 1, 0], z.dtype), z)
        turns = np.stack([axis / np.linalg.norm(axis, axis=1, keepdims=True) for axis in (x, np.cross(z, x), z)], 1)
        rays = (points @ back[:2] + back[2]) @ turns.mT[:, None]
        flat = rays[..., :2] / rays[..., 2:].clip(0.1)
    scale = np.sqrt((flat[:, middle] ** 2 * weight).sum((1, 2))).clip(1e-9)
    joints = np.concatenate([flat / scale[:, None, None, None], np.ones_like(flat[..., :1])], -1) * seen
    size = np.zeros((count, 2)) if K is None else np.column_stack([np.log(scale / 0.15), np.ones(count)])
    return joints.astype(np.float32), size.astype(np.float32), turns


def lift_windows(model, points, K=None):
    """As `lift`, for windows (N, model.frames, 12, 2) that are cut already -> (N, 12, 3)."""
    joints, size, turns = lifter_inputs(points, K)
    flip, mirror, found = np.float32([-1, 1, 1]), LIMBS.mirror, 0
    with torch.no_grad():
        for sign, order in ((1, slice(None)), (flip, mirror)):  # the mirror image must lift to the mirror image
            view = torch.from_numpy(np.ascontiguousarray((joints * sign)[:, :, order]))
            found = found + (model(view, torch.from_numpy(size)).numpy() * sign)[:, order] / 2
    return found @ turns


def lift(model, joints, K=None, fps=25.0):
    """Lift a person's 2D joints to 3D, frame by frame, each with its neighbours in time.

    Args:
        model: `BodyLifter`, in eval mode.
        joints: (F, 12, 2), px, of `LIMBS`; NaN where not seen. A photograph is one frame.
        K: intrinsics (3, 3), or None if they are unknown: then less accurate, above all off the image's middle.
        fps: frames per second.

    Returns (F, 12, 3): metres of a body of average size (see `BodyLifter`), axes of OpenCV's camera (x right, y down, z
    away from it), origin in the middle of the hips; NaN for frames with fewer than `FEWEST` joints.

    Raises ValueError for another shape, a wrong frame rate or `K`, and if no frame has enough joints.
    """
    joints = np.asarray(joints, dtype=float)
    if joints.ndim != 3 or joints.shape[1:] != (12, 2):
        raise ValueError(f"joints must have shape (frames, 12, 2), not {joints.shape}: rows as in LIMBS.names.")
    if not fps > 0:
        raise ValueError(f"fps must be positive, not {fps}.")
    enough = np.isfinite(joints).all(-1).sum(1) >= FEWEST
    if not enough.any():
        raise ValueError(f"Lifting needs {FEWEST} of the 12 joints in a frame; none of {len(joints)} frames has them.")
    steps = max(1, round(model.spacing_s * fps)) * (np.arange(model.frames) - model.frames // 2)
    rows = np.flatnonzero(enough)[:, None] + steps
    inside = (rows >= 0) & (rows < len(joints))
    windows = np.where(inside[..., None, None], joints[rows.clip(0, len(joints) - 1)], np.nan)
    found = np.full((len(joints), 12, 3), np.nan)
    found[enough] = lift_windows(model, windows, K)
    return found


# Boxes and angles

# The angle at the middle one of three joints of LIMBS, as `limb_angles_deg` has them in its columns.
ANGLES = {
    f"{side} {name}": tuple(LIMBS.names.index(f"{side} {joint}") for joint in joints)
    for name, joints in {
        "elbow": ("shoulder", "elbow", "wrist"),
        "shoulder": ("elbow", "shoulder", "hip"),
        "hip": ("shoulder", "hip", "knee"),
        "knee": ("hip", "knee", "ankle"),
        "arm": ("wrist", "shoulder", "hip"),
    }.items()
    for side in _OTHER
}
PROMINENCE = 0.4  # of a signal's range, that a repetition has; chosen on half of the subjects of `benchmarks.counting`
_STEP_S = 0.01  # signals are resampled to this


class NoPerson(ValueError):
    """Too few joints of a person were seen; the message says how many are needed."""


def box_of(joints, margin=0.15):
    """The box (x, y, width, height), px, of a person's joints (N, 2), NaN where not seen.

    Grown on every side by `margin` times its longer side, as joints lie inside the body, and people move on.

    Raises NoPerson if fewer than `FEWEST` joints were seen.
    """
    joints = np.asarray(joints, dtype=float)
    seen = joints[np.isfinite(joints).all(-1)]
    if len(seen) < FEWEST:
        raise NoPerson(
            f"{len(seen)} of {len(joints)} joints were seen, and a person's box needs {FEWEST}: look for the person "
            "again in the whole image, or lower the threshold of the scores."
        )
    low, high = seen.min(0), seen.max(0)
    grow = margin * (high - low).max()
    return np.concatenate([low - grow, high - low + 2 * grow])


def angle_deg(a, b, c):
    """The angle at `b` between `a` and `c`, points (..., D) -> (...), degrees from 0 to 180; NaN where two coincide."""
    u, v = (np.subtract(end, b, dtype=float) for end in (a, c))
    u, v = u * np.linalg.norm(v, axis=-1, keepdims=True), v * np.linalg.norm(u, axis=-1, keepdims=True)
    # Kahan (2006): exact near 0 and 180 degrees too, where the arc cosine is not.
    difference, total = np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1)
    return np.where(difference + total > 0, np.degrees(2 * np.arctan2(difference, total)), np.nan)


def limb_angles_deg(joints):
    """The angles (..., 10) in degrees of `LIMBS` joints (..., 12, 2 or 3), in the order of `ANGLES`.

    180 is a straight elbow, hip or knee, and an arm straight up. Raises ValueError for another shape.
    """
    joints = np.asarray(joints, dtype=float)
    if joints.shape[-2:-1] != (12,):
        raise ValueError(f"joints must have shape (..., 12, 2 or 3), not {joints.shape}: pick them by `COCO.limbs`.")
    return np.stack([angle_deg(*(joints[..., row, :] for row in rows)) for rows in ANGLES.values()], -1)


# Over time


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
