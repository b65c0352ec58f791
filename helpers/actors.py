"""Actors: generated people whose movements are known exactly, and what a camera sees of them.

An actor moves in a room: metres, y up, the floor at y = 0. It begins at x = z = 0, its left at x, and faces z, where
the camera stands. Joints are those of `LIMBS`. All movements begin and end in the same stance, so that recordings can
follow one another. Actors neither sway nor tremble: what a network would add comes from `seen`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation

from helpers.avatars import LIMB_ROWS, forward, pose, skeleton_of
from helpers.bodies import HIPS
from helpers.geometry import project

G = 9.81  # m/s^2
ANKLE_M = 0.066  # of a standing person above the floor
# A stature of 1.70 m, with the lifter's trunk, thigh and shin: what is lifted has the size of the actor.
_SIDE = np.array([(0.18, 1.39), (0.18, 1.10), (0.18, 0.845), (0.084, 0.90), (0.084, 0.48), (0.084, ANKLE_M)])
BODY = skeleton_of(np.stack([(sign * x, y, 0) for x, y in _SIDE for sign in (1, -1)])[None])
_ANKLES = (10, 11)
_STANCE_DEG, _OUT_DEG = 7.0, 12.0  # legs apart, knees outward
# How far joints turn at the middle of a repetition, degrees: to the side, to the back.
_MOVES = {
    "arm raise": {"Arm": (0, -170)},
    "curl": {"ForeArm": (0, -130)},
    "jumping jack": {"Arm": (150, 0), "UpLeg": (18, 0)},
    "knee raise": {"UpLeg": (0, -90), "Leg": (0, 90)},  # left and right in turn
}
EXERCISES = ("squat", *_MOVES)


class Done(NamedTuple):
    """One repetition as it was done: when it begins, is at its middle, and ends, s; `side` of one done by one leg."""

    exercise: str
    start_s: float
    middle_s: float
    end_s: float
    side: str | None = None


@dataclass(frozen=True)
class Recording:
    """Joints (F, 12, 3) in the room, metres, at `fps` frames a second, and what was done. `a + b`: first a, then b."""

    joints: np.ndarray
    fps: float
    repetitions: list = field(default_factory=list)

    @property
    def times(self):
        """(F,), s, from 0."""
        return np.arange(len(self.joints)) / self.fps

    def __add__(self, other):
        if self.fps != other.fps:
            raise ValueError(f"{self.fps} and {other.fps} frames a second can't be joined: make both at the same rate.")
        late = len(self.joints) / self.fps
        later = [Done(n, a + late, b + late, c + late, side) for n, a, b, c, side in other.repetitions]
        return Recording(np.concatenate([self.joints, other.joints]), self.fps, [*self.repetitions, *later])


def _standing_on(turns):
    """Joints of the actor with these turns; its lower foot stands where it does in standing, seen from the side."""
    joints = forward(BODY, pose(turns))[..., LIMB_ROWS, :]
    ankles = joints[..., _ANKLES, :]
    foot = np.take_along_axis(ankles, ankles[..., 1].argmin(-1)[..., None, None], -2)
    return joints - foot * [0, 1, 1] + [0, ANKLE_M, 0]


def _turned(joints, turn_deg):
    """Joints (..., 12, 3) turned about the room's vertical by degrees, a number or (...)."""
    turns = Rotation.from_euler("y", np.ravel(turn_deg)[:, None], degrees=True).as_matrix()
    return joints @ turns.reshape(*np.shape(turn_deg), 3, 3).mT


def squat(bend_deg, lean_deg=None, knees_in_deg=-_OUT_DEG, uneven=0.0, stance_deg=_STANCE_DEG, thigh=0.66):
    """Joints (..., 12, 3) of a squatting actor; every argument is a number, or (...), one for each frame.

    Args:
        bend_deg: of the left knee, whose angle is 180 less that; 115 is deep.
        lean_deg: of the trunk, forward from the vertical; None for 0.35 times the bend.
        knees_in_deg: how far bent legs are turned inward; negative is outward.
        uneven: the share by which the right knee bends less. The lower foot is on the floor, the other one above it.
        stance_deg: how far each leg is spread.
        thigh: the thighs' share of the bend; the shins lean forward by the rest.
    """
    lean_deg = 0.35 * np.asarray(bend_deg) if lean_deg is None else lean_deg
    bend, lean, inward, less, apart = np.broadcast_arrays(bend_deg, lean_deg, knees_in_deg, uneven, stance_deg)
    turns = {"Spine": ("x", lean)}
    for side, sign, mine in (("Left", 1, bend), ("Right", -1, bend * (1 - less))):
        turns[f"{side}UpLeg"] = ("ZYX", np.stack([sign * apart, -sign * inward, -thigh * mine], -1))
        turns[f"{side}Leg"] = ("x", mine)
        turns[f"{side}Arm"] = ("x", -0.8 * bend)
    return _standing_on(turns)


def _exercise(name, left, right):
    """Joints (F, 12, 3) of an exercise of `_MOVES` that each side has done by a share (F,)."""
    turns = {}
    for side, sign, share in (("Left", 1, left), ("Right", -1, right)):
        for part, (aside, back) in ({"UpLeg": (0, 0)} | _MOVES[name]).items():
            apart, out = (_STANCE_DEG, _OUT_DEG) if part == "UpLeg" else (0, 0)
            angles = [sign * (apart + aside * share), np.full_like(share, sign * out), back * share]
            turns[f"{side}{part}"] = ("ZYX", np.stack(angles, -1))
    return _standing_on(turns)


def recording(exercise, seconds, depth=1.0, hold_s=0.0, rest_s=0.5, before_s=1.0, fps=20, bend_deg=115.0, **style):
    """A `Recording` of an exercise, with as many repetitions as `seconds` says; of none, it is standing still.

    Args:
        exercise: one of `EXERCISES`. Of knee raises, left and right are done in turn.
        seconds: a list, how long each repetition takes, there and back, without what it is held.
        depth: how far it goes, 1 is all the way; here and below a number, or one for each repetition.
        hold_s, rest_s: pause at the middle, and after the repetition.
        before_s: what the actor stands still before.
        bend_deg, style: of squats, of depth 1 and as `squat` takes them; a lean in proportion to the bend.

    Raises ValueError for an unknown exercise.
    """
    if exercise not in EXERCISES:
        raise ValueError(f"There is no exercise {exercise!r}; choose from: {', '.join(EXERCISES)}.")
    seconds, depth, hold_s, rest_s = (
        x.astype(float) for x in np.broadcast_arrays(np.atleast_1d(seconds), depth, hold_s, rest_s)
    )
    ends = before_s + np.cumsum(seconds + hold_s + rest_s) - rest_s
    times = np.arange(0, (ends[-1] + rest_s[-1] if len(ends) else before_s) - 1e-9, 1 / fps)
    shares, done = np.zeros((2, len(times))), []  # of left and right
    for row, (lasts, deep, hold, end) in enumerate(zip(seconds, depth, hold_s, ends, strict=True)):
        start, half = end - hold - lasts, lasts / 2
        moved = np.clip(times - start, 0, half) + np.clip(times - start - half - hold, 0, half)
        sides = (row % 2,) if exercise == "knee raise" else (0, 1)
        shares[list(sides)] += deep * np.sin(np.pi * moved / lasts) ** 2
        side = ("left", "right")[row % 2] if len(sides) == 1 else None
        done.append(Done(exercise, *map(float, (start, start + half + hold / 2, end)), side))
    if exercise == "squat":
        lean = style.pop("lean_deg", 0.35 * bend_deg)
        return Recording(squat(bend_deg * shares[0], lean * shares[0], **style), fps, done)
    return Recording(_exercise(exercise, *shares, **style), fps, done)


def walk(way_m=3.0, seconds=4.0, turn_deg=90.0, fps=20):
    """A `Recording` of the actor walking in, straight to where it stands, and then turning to z.

    It walks towards `turn_deg` (0 is z, 90 its own left, which a camera before it sees on the right) for three quarters
    of the time.
    """
    share = np.arange(round(seconds * fps)) / (seconds * fps)
    go, turn = np.clip(share / 0.75, 0, 1), np.clip(share * 4 - 3, 0, 1)
    gone, wide = way_m * (go**2 * (3 - 2 * go)), np.sin(np.pi * go)
    swing = wide * np.sin(2 * np.pi * gone / 1.4)  # two steps are 1.4 m
    turns = {}
    for side, sign in (("Left", 1), ("Right", -1)):
        leg = [np.full_like(go, sign * angle) for angle in (_STANCE_DEG, _OUT_DEG)]
        turns[f"{side}UpLeg"] = ("ZYX", np.stack([*leg, -28 * sign * swing], -1))
        turns[f"{side}Leg"] = ("x", 20 * wide + 20 * sign * swing)
        turns[f"{side}Arm"] = ("x", 20 * sign * swing)
    joints = _standing_on(turns)
    joints = joints + np.stack([0 * go, 0 * go, gone - way_m - joints[:, HIPS, 2].mean(1)], -1)[:, None]
    return Recording(_turned(joints, turn_deg * (1 - turn**2 * (3 - 2 * turn))), fps)


def jump(height_m, tiptoe_m=0.09, tuck_m=0.0, dip_m=0.30, fps=60):
    """A `Recording` of one jump, which begins where the feet leave the ground and ends where they touch it.

    The hips dip, speed up, and fly along a parabola of `height_m` from where they are on tiptoe, with straight legs and
    ankles `tiptoe_m` above standing. Where legs are bent at touchdown, so that the hips are `tuck_m` lower by then, the
    flight lasts longer than sqrt(8 height_m / G): it is sqrt(2 height_m / G) + sqrt(2 (height_m + tuck_m) / G). (The
    centre of mass flies along its own parabola only without tuck.)

    Raises ValueError if the legs are too short for the dip and the tuck.
    """
    up, down = np.sqrt(2 * G * height_m), np.sqrt(2 * G * (height_m + tuck_m))  # m/s
    push_s = 1.65 * (dip_m + tiptoe_m) / up  # about what it takes to reach that speed on that way
    phases = np.cumsum([0, 0.5, 0.5, push_s, (up + down) / G, 0.25, 0.7, 0.5])  # stand, crouch, push, fly, land, rise
    low = -max(0.6 * dip_m, tiptoe_m) - tuck_m
    places, speeds = [0, 0, -dip_m, tiptoe_m, tiptoe_m - tuck_m, low, 0, 0], [0, 0, 0, up, -down, 0, 0, 0]
    times = np.arange(0, phases[-1], 1 / fps)
    hips = CubicHermiteSpline(phases, places, speeds)(times)  # above standing; a cubic can be the parabola, and is
    crouched, left, landed, down_again = phases[2:6]
    bent = tuck_m * np.sin(np.pi / 2 * np.clip((times - left) / (landed - left), 0, 1)) ** 2
    rolled = np.clip(hips + bent + tiptoe_m, 0, 2 * tiptoe_m) ** 2 / (4 * tiptoe_m)  # heels, as legs get straight
    ankles = np.where((times > left) & (times < landed), hips + bent, rolled)
    ankles = np.where((times > crouched) & (times < down_again), ankles, 0)
    bends = np.linspace(0, 130, 1301)
    shorter = squat(0.0)[HIPS, 1].mean() - squat(bends)[:, HIPS, 1].mean(1)
    if not 0 < tiptoe_m <= dip_m or (ankles - hips).max() > shorter[-1]:
        raise ValueError(
            f"Legs can't do that: dip_m must be from tiptoe_m to about {shorter[-1]:.2f}, not {dip_m}, and tuck_m be "
            f"smaller the larger it is, not {tuck_m}."
        )
    joints = squat(np.interp(ankles - hips, shorter, bends)) + np.multiply.outer(ankles, [0, 1, 0])[:, None]
    return Recording(joints, fps, [Done("jump", *map(float, (left, left + up / G, landed)))])


def in_camera(joints, turn_deg=0.0, away_m=4.0, camera_m=0.9):
    """Joints (..., 12, 3) in the room -> in the frame of a level camera (x right, y down, z away from it), metres.

    The camera stands before the actor, `away_m` from the room's middle and `camera_m` above the floor; before that, the
    room is turned about the vertical by `turn_deg`, a number or (...), to the actor's left.
    """
    return _turned(joints, turn_deg) * [1, -1, -1] + [0, camera_m, away_m]


def seen(joints, K, rng, noise_px=1.0, lost=0.0, size=None, lost_frames=6):
    """What a pose network would make of joints (F, 12, 3) in a camera's frame, by intrinsics `K` (3, 3).

    Args:
        rng: a `numpy.random.Generator`, which draws all that follows.
        noise_px: standard deviation of each coordinate.
        lost: in this share of all stretches of `lost_frames` frames a leg's knee and ankle are lost, the left and the
            right one apart: they are off by another 30 px, with scores below 0.25.
        size: (width, height), px, of the image. Joints outside are lost: their scores are low, too, and their places
            anywhere in the image. None for an image without end.

    Returns pixels (F, 12, 2), and scores (F, 12), from 0.5 to 0.9 where nothing is lost.
    """
    pixels = project(joints.reshape(-1, 3), K).reshape(*joints.shape[:-1], 2)
    pixels = pixels + rng.normal(0, noise_px, pixels.shape)
    gone = np.zeros(pixels.shape[:2], dtype=bool)
    legs = rng.random((len(pixels) // lost_frames + 1, 2)) < lost
    gone[:, 8:] = np.tile(np.repeat(legs, lost_frames, axis=0)[: len(pixels)], 2)  # knees, ankles: left, right
    pixels += gone[..., None] * rng.normal(0, 30, pixels.shape)
    if size is not None:
        outside = ~((pixels >= 0) & (pixels <= np.subtract(size, 1))).all(-1)
        pixels = np.where(outside[..., None], rng.uniform(0, size, pixels.shape), pixels)
        gone |= outside
    return pixels, np.where(gone, rng.uniform(0.05, 0.25, gone.shape), rng.uniform(0.5, 0.9, gone.shape))


def crossing(people, K, rng, seconds=6.0, noise_px=2.0, missed=0.05, fps=20):
    """People who walk across a camera's view, as a detector would report them.

    Each walks 4 m, from the left or from the right, at 4.5 to 7.5 m from a level camera with intrinsics `K` (3, 3).
    Reported are all but those of whose box more than 70 % lies in that of someone nearer.

    Args:
        people: how many.
        rng: a `numpy.random.Generator`, which draws all that differs.
        noise_px: standard deviation of each coordinate.
        missed: the share of reports that fail for no reason.

    Returns a list of frames, each a list, in random order, of pairs: who it is, from 0, and the joints (12, 2), px.
    """
    walks = []
    for side in rng.choice([-1, 1], people):  # 1 goes to the image's right
        way = walk(4, seconds * 4 / 3, 90 * side, fps).joints[: round(seconds * fps)]  # without the turn at its end
        start = np.array([2 * side + rng.uniform(-0.5, 0.5), 0, rng.uniform(-1.5, 1.5)])
        walks.append(way + start)
    frames = []
    for joints in in_camera(np.stack(walks, 1), away_m=6):
        pixels, away = project(joints.reshape(-1, 3), K).reshape(-1, 12, 2), joints[..., 2].mean(1)
        low, high, reports = pixels.min(1), pixels.max(1), []
        for who in rng.permutation(people):
            shared = (np.minimum(high, high[who]) - np.maximum(low, low[who])).clip(0).prod(1)
            hidden = (shared[away < away[who]] > 0.7 * (high[who] - low[who]).prod()).any()
            if not hidden and rng.random() >= missed:
                reports.append((int(who), pixels[who] + rng.normal(0, noise_px, (12, 2))))
        frames.append(reports)
    return frames
