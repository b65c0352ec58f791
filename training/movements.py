"""Exercises by forward kinematics: a person's joint angles over time, with repetitions and form known exactly.

    recording = perform(Person(), [("squat", "good", 3), ("jumping jack", "good", 4)], fps=20, seed=0)

Each exercise says where pelvis, feet and arms are when it has been done by a share (0 at its beginning and end, 1 at
its middle); inverse kinematics turns feet into leg angles. Tempo, depth and symmetry vary from one repetition to the
next, and people sway.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from training.people import PELVIS, TURNS, leg_angles, skeleton

# Exercise: its forms, and the seconds of a repetition.
FORMS = {
    "squat": (("good", "knees in", "too shallow", "leaning"), 1.75),
    "jumping jack": (("good",), 0.95),
    "lunge": (("good",), 1.8),
    "arm raise": (("good",), 1.5),
}


@dataclass
class Recording:
    """T frames of one person.

    `times` (T,), s; `angles_deg` (T, 13, 3) in the order of `TURNS`, Euler angles ZXY; `pelvis` (T, 3), m, the point
    between the hips; `joints` (T, 17, 3), m; `feet` (T, 2, 3, 3), orientations; all in the world frame. `repetitions`
    is a list of dictionaries: `exercise`, `form`, `side` (of a lunge, else None), the times `start_s`, `middle_s` (a
    squat's bottom, a jumping jack's arms at their highest) and `end_s`, and `depth`, a factor of the usual depth.
    """

    fps: float
    times: np.ndarray
    angles_deg: np.ndarray
    pelvis: np.ndarray
    joints: np.ndarray
    feet: np.ndarray
    repetitions: list


def smooth(x):
    """From 0 to 1 with the least jerk."""
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def standing(person, count):
    """The pose that all exercises begin and end with: what is where, for `count` frames."""
    h, length = person.height, person.lengths
    both = np.tile([1.0, -1.0], (count, 1))
    zero = np.zeros((count, 2))
    return {
        "pelvis": np.tile([0, 0.986 * (length["thigh"] + length["shin"]) + length["ankle"], 0.0], (count, 1)),
        "turn": np.zeros(count),  # the pelvis's, and below, degrees; to the left
        "tilt": np.zeros(count),  # forward
        "lean": np.full(count, 2.0),  # the trunk's, forward, on top of the pelvis's tilt
        "side": np.zeros(count),  # the trunk's, to the right
        "twist": np.zeros(count),
        "nod": np.full(count, 2.0),
        "look": np.zeros(count),
        "ankles": np.stack([both * 0.066 * h, zero + length["ankle"], zero - 0.01 * h], -1),
        "toes_out": zero + 8,
        "heel": zero + 0.0,  # how far a foot stands on its toes, degrees
        "knees_out": zero + 8,
        "flexion": zero + 4,  # of the shoulder: arm forward
        "abduction": zero + 11,
        "rotation": zero + 0.0,  # of the upper arm, inward
        "elbow": zero + 14,
    }


def squat(person, share, form, depth, side):
    pose, x = standing(person, len(share)), share[:, None]
    legs = person.lengths["thigh"] + person.lengths["shin"]
    drop = {"good": 0.52, "knees in": 0.46, "too shallow": 0.2, "leaning": 0.42}[form] * depth
    lean = {"good": 36, "knees in": 36, "too shallow": 20, "leaning": 68}[form]
    back = {"good": 0.14, "knees in": 0.13, "too shallow": 0.08, "leaning": 0.2}[form]
    pose["pelvis"] += share[:, None] * np.array([0, -drop * legs, -back * legs])
    pose["tilt"] += 0.75 * lean * share
    pose["lean"] += 0.25 * lean * share
    pose["nod"] -= 0.55 * lean * share
    pose["ankles"][..., 0] *= 1.6
    pose["toes_out"] += 10
    pose["knees_out"] += 10 + (-27 if form == "knees in" else 6) * x
    pose["flexion"] += (80 + 0.4 * lean) * x
    pose["abduction"] -= 6 * x
    pose["rotation"] += 15 * x
    pose["elbow"] += 6 * x
    return pose


def jumping_jack(person, share, form, depth, side):
    pose, h, x = standing(person, len(share)), person.height, share[:, None]
    hop = 0.055 * np.sin(np.pi * np.clip((share - 0.12) / 0.76, 0, 1)) ** 2
    wide = smooth((share - 0.12) / 0.76)
    length = person.lengths
    spread = np.array([1, -1]) * (0.066 + (0.15 * depth) * wide[:, None]) * h
    pose["ankles"][..., 0] = spread
    pose["ankles"][..., 1] += hop[:, None]
    pose["heel"] += 300 * hop[:, None]
    legs = 0.985 * (length["thigh"] + length["shin"])
    give = 0.035 * h * (np.exp(-((share / 0.08) ** 2)) * (share > 0.004) + 0.3 * np.exp(-(((share - 1) / 0.05) ** 2)))
    reach = np.sqrt(legs**2 - (spread[:, 0] - length["hip"]) ** 2)
    pose["pelvis"][:, 1] = reach + length["ankle"] + hop * 0.9 - give * smooth(share / 0.05)
    pose["abduction"] += (146 * depth) * x
    pose["elbow"] += 14 * np.sin(np.pi * x)
    pose["knees_out"] += 10 * x
    pose["toes_out"] += 10 * x
    return pose


def lunge(person, share, form, depth, side):
    pose, h = standing(person, len(share)), person.height
    other, legs = 1 - side, person.lengths["thigh"] + person.lengths["shin"]
    step = smooth(share / 0.62)
    stride = 0.78 * legs
    pose["ankles"][:, side, 2] += stride * step
    pose["ankles"][:, side, 1] += 0.09 * h * np.sin(np.pi * np.clip(share / 0.62, 0, 1)) ** 2
    low = smooth((share - 0.2) / 0.8)
    lift = np.deg2rad(58 * smooth((share - 0.1) / 0.8))
    pose["heel"][:, other] = np.rad2deg(lift)
    ball = 0.075 * h  # the rear foot turns about its ball
    pose["ankles"][:, other, 1] += ball * np.sin(lift)
    pose["ankles"][:, other, 2] += ball * (1 - np.cos(lift))
    pose["pelvis"][:, 2] += 0.47 * stride * smooth(share / 0.8)
    pose["pelvis"][:, 1] -= legs * (0.05 * smooth(share / 0.5) + 0.3 * depth * low)
    pose["lean"] += 5 * share
    pose["toes_out"] -= 6 * share[:, None]
    pose["knees_out"] -= 6 * share[:, None]
    pose["elbow"] += 60 * share[:, None]
    pose["abduction"] += 16 * share[:, None]
    pose["flexion"] -= 12 * share[:, None]
    return pose


def arm_raise(person, share, form, depth, side):
    pose, x = standing(person, len(share)), share[:, None]
    pose["flexion"] += 160 * depth * x
    pose["elbow"] -= 6 * x
    pose["abduction"] -= 4 * x
    pose["lean"] -= 3 * share
    return pose


DOING = {"squat": squat, "jumping jack": jumping_jack, "lunge": lunge, "arm raise": arm_raise}


def perform(person, sets, fps=20.0, seed=0, turns_deg=None, rest=0.35, tempo=0.12, depth=0.05):
    """Let a person do `sets`: a list of (exercise, form, repetitions), as in `FORMS`. Returns a Recording.

    Args:
        turns_deg: which way the person faces in each set, degrees to the left; the camera's side by default.
        rest: seconds of standing still before, between and after sets; between repetitions it is about a fifth.
        tempo, depth: how much repetitions vary, as standard deviations of the logarithm.
    """
    rng = np.random.default_rng(seed)
    turns_deg = [0.0] * len(sets) if turns_deg is None else list(turns_deg)
    spans, repetitions, clock = [], [], rest
    for (exercise, form, count), turn in zip(sets, turns_deg, strict=True):
        forms, seconds = FORMS[exercise]
        if form not in forms:
            raise ValueError(f"{exercise} has no form {form!r}; choose from: {', '.join(forms)}.")
        begin = clock
        for number in range(count):
            if number:
                clock += 0.2 * rest * rng.uniform(0.3, 1.5)
            duration = seconds * np.exp(tempo * np.clip(rng.normal(), -2, 2))
            down = duration * np.clip(rng.normal(0.52, 0.03), 0.44, 0.6)
            amount = float(np.exp(depth * np.clip(rng.normal(), -2, 1)))
            side = number % 2 if exercise == "lunge" else None
            repetitions.append(
                {
                    "exercise": exercise,
                    "form": form,
                    "side": None if side is None else ("left", "right")[side],
                    "start_s": clock,
                    "middle_s": clock + down,
                    "end_s": clock + duration,
                    "depth": amount,
                }
            )
            clock += duration
        spans.append((begin, clock, turn, exercise, form))
        clock += rest + (0.2 if turn != 0 or len(sets) > 1 else 0)
    times = np.arange(int(np.ceil((clock - 0.2) * fps))) / fps

    # Between sets, one stance and one direction go over into the next.
    pose = {key: value.copy() for key, value in standing(person, len(times)).items()}
    bounds = [-1.0] + [(a[1] + b[0]) / 2 for a, b in pairwise(spans)] + [clock + 1]
    for number, (_, _, turn, exercise, form) in enumerate(spans):
        inside = (times >= bounds[number]) & (times < bounds[number + 1])
        share = np.zeros(len(times))
        which, sides, depths = np.zeros(len(times), int), np.zeros(len(times), int), np.ones(len(times))
        for index, rep in enumerate(repetitions):
            during = (times >= rep["start_s"]) & (times <= rep["end_s"])
            t = times[during]
            share[during] = np.where(
                t <= rep["middle_s"],
                smooth((t - rep["start_s"]) / (rep["middle_s"] - rep["start_s"])),
                smooth((rep["end_s"] - t) / (rep["end_s"] - rep["middle_s"])),
            )
            which[during], depths[during] = index, rep["depth"]
            sides[during] = int(rep["side"] == "right")
        for side in (0, 1):
            for value in np.unique(depths[inside & (sides == side)]):
                rows = np.flatnonzero(inside & (sides == side) & (depths == value))
                for key, doing in DOING[exercise](person, share[rows], form, value, side).items():
                    pose[key][rows] = doing
        pose["turn"][inside] += turn
    for before, after in pairwise(spans):
        _blend(pose, times, before[1], after[0], person)

    # Nobody stands quite still, and no two sides do quite the same.
    for key, amount in (("tilt", 0.5), ("lean", 1.0), ("side", 1.2), ("twist", 1.5), ("nod", 2.5), ("look", 5.0)):
        pose[key] += amount * _wander(rng, times)
    for key, amount in (("flexion", 2.0), ("abduction", 2.0), ("rotation", 3.0), ("elbow", 3.0)):
        pose[key] += amount * np.stack([_wander(rng, times), _wander(rng, times)], 1)
    pose["pelvis"][:, [0, 2]] += 0.006 * np.stack([_wander(rng, times), _wander(rng, times)], 1)
    pose["elbow"] = np.maximum(pose["elbow"], 3)
    angles, feet = _solve(person, pose)
    joints, feet = skeleton(person, angles, _turned(pose["pelvis"], pose["turn"]))
    return Recording(fps, times, angles, _turned(pose["pelvis"], pose["turn"]), joints, feet, repetitions)


def _blend(pose, times, begin, end, person):
    """Go over from the stance at `begin` to that at `end`, with small steps."""
    rows = np.flatnonzero((times > begin) & (times < end))
    if not len(rows) or rows[0] == 0 or rows[-1] + 1 >= len(times):
        return
    share = smooth((times[rows] - begin) / (end - begin))
    for value in pose.values():
        first, last = value[rows[0] - 1].copy(), value[rows[-1] + 1].copy()
        weight = share.reshape(-1, *[1] * (value.ndim - 1))
        value[rows] = (1 - weight) * first + weight * last
    moved = np.abs(np.diff(pose["turn"][[rows[0] - 1, rows[-1] + 1]]))[0] > 1
    moved |= np.abs(pose["ankles"][rows[0] - 1] - pose["ankles"][rows[-1] + 1]).max() > 0.01
    if moved:
        for side, (low, high) in enumerate(((0.05, 0.6), (0.4, 0.95))):
            step = np.clip(((times[rows] - begin) / (end - begin) - low) / (high - low), 0, 1)
            pose["ankles"][rows, side, 1] += 0.02 * person.height * np.sin(np.pi * step) ** 2


def _wander(rng, times):
    """A slow random signal of about unit size."""
    frequencies = rng.uniform(0.12, 0.9, 5)
    waves = np.sin(2 * np.pi * (times[:, None] * frequencies + rng.uniform(0, 1, 5)))
    return waves @ (rng.normal(size=5) / 2.2)


def _turned(points, turn_deg):
    return np.einsum(
        "tij,t...j->t...i", Rotation.from_euler("Y", np.reshape(turn_deg, (-1, 1)), degrees=True).as_matrix(), points
    )


def _solve(person, pose):
    """Joint angles (T, 13, 3) for what is where."""
    count = len(pose["turn"])
    angles = np.zeros((count, len(TURNS), 3))
    facing = Rotation.from_euler("Y", np.reshape(pose["turn"], (-1, 1)), degrees=True)
    hips = facing * Rotation.from_euler("X", np.reshape(pose["tilt"], (-1, 1)), degrees=True)
    angles[:, PELVIS] = hips.as_euler("ZXY", degrees=True)
    angles[:, 1] = np.stack([pose["side"], pose["lean"], pose["twist"]], 1)
    angles[:, 2] = np.stack([0 * pose["nod"], pose["nod"], pose["look"]], 1)
    feet = np.empty((count, 2, 3, 3))
    for side, sign in enumerate((1, -1)):
        angles[:, 3 + side, 0] = sign * pose["abduction"][:, side]
        angles[:, 3 + side, 1] = -pose["flexion"][:, side]
        angles[:, 3 + side, 2] = -sign * pose["rotation"][:, side]
        angles[:, 5 + side, 1] = -pose["elbow"][:, side]
        turn = Rotation.from_euler("Y", np.reshape(sign * pose["toes_out"][:, side], (-1, 1)), degrees=True)
        feet[:, side] = (
            facing * turn * Rotation.from_euler("X", np.reshape(pose["heel"][:, side], (-1, 1)), degrees=True)
        ).as_matrix()
    ankles = _turned(pose["ankles"], pose["turn"])
    legs = leg_angles(person, hips.as_matrix(), _turned(pose["pelvis"], pose["turn"]), ankles, feet, pose["knees_out"])
    angles[:, 7:9], angles[:, 9:11], angles[:, 11:13] = legs[:, 0], legs[:, 1], legs[:, 2]
    return angles, feet
