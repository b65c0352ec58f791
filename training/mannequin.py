"""A rendered person whose joints are known exactly: skeleton, body, clothes, light, and the camera that sees it.

World frame: x to the left of a person who faces along z, y up, metres, the floor at y = 0. Camera frame: OpenCV's.
Joints are in COCO-17 order. Angles are in degrees, as Euler angles ZXY (the axes as above): the rest pose stands
upright with the arms hanging, every angle is 0 there, and each joint's rotation takes its own segment along.

The body is made of tubes round the bones, all in one mesh whose topology never changes, so that one plotter draws any
person in any pose. Light is worked out here, per vertex: a soft key light with the shadows that limbs cast on each
other, the sky and the floor. PyVista draws the triangles. It comes with `pip install -e ".[training]"`.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from helpers.geometry import project

SIDES = ("left", "right")
COCO = ("nose", "left_eye", "right_eye", "left_ear", "right_ear") + tuple(
    f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in SIDES
)
NOSE, EYES, EARS = 0, (1, 2), (3, 4)
SHOULDERS, ELBOWS, WRISTS, HIPS, KNEES, ANKLES = ((i, i + 1) for i in range(5, 17, 2))

# What turns: the pelvis in the world, and each of the others in the one that carries it.
TURNS = ("pelvis", "trunk", "neck") + tuple(
    f"{side}_{part}" for part in ("shoulder", "elbow", "hip", "knee", "ankle") for side in SIDES
)
PELVIS, TRUNK, NECK = range(3)

# Where the points of the head lie about the middle between the ears, m, at a head scale of 1.
HEAD = np.array([[0, -0.03, 0.108], [0.032, 0.008, 0.083], [-0.032, 0.008, 0.083], [0.073, 0, 0], [-0.073, 0, 0]])

SEGMENTS = 16  # vertices round a tube
OCCLUDED, VISIBLE = 1, 2  # as in COCO; 0 is outside the image


# --- people -----------------------------------------------------------------------------------------------------

SKINS = ((255, 224, 198), (241, 194, 160), (224, 172, 120), (198, 134, 88), (141, 85, 48), (92, 56, 36), (60, 38, 28))
HAIRS = ((28, 22, 20), (60, 40, 26), (104, 68, 38), (170, 126, 70), (150, 60, 30), (150, 148, 144), (225, 222, 215))
STYLES = ("bald", "short", "long", "bun", "hat")
PATTERNS = ("plain", "stripes", "sides", "block", "speckled")


@dataclass(frozen=True)
class Person:
    """Build and looks. Lengths in metres; girths and scales are factors; colours are sRGB, 0 to 255."""

    height: float = 1.74
    legs: float = 1.0  # longer or shorter than the height has it; the trunk makes up for it
    arms: float = 1.0
    shoulders: float = 1.0
    hips: float = 1.0
    girth: float = 1.0
    waist: float = 1.0
    head: float = 1.0
    skin: tuple = SKINS[2]
    hair: tuple = HAIRS[1]
    style: str = "short"
    shirt: tuple = (40, 92, 150)
    shirt2: tuple = (230, 230, 225)
    pattern: str = "plain"
    sleeves: float = 0.6  # 0: none; 1: to the elbow; 2: to the wrist
    trousers: tuple = (52, 54, 62)
    trousers2: tuple = (52, 54, 62)
    trouser_legs: float = 1.9  # 1: to the knee; 2: to the ankle
    loose: float = 1.0  # how wide the clothes are
    shoes: tuple = (235, 235, 235)
    seed: int = 0  # of the speckles

    @classmethod
    def random(cls, rng):
        """A person drawn with a numpy.random.Generator."""

        def near(sigma, low=-2.0, high=2.0):
            return float(np.exp(sigma * np.clip(rng.normal(), low, high)))

        def colour():
            hue, saturation, value = rng.uniform(0, 180), rng.beta(1.5, 1.5) * 255, rng.uniform(25, 250)
            hsv = np.array([[[hue, saturation, value]]], np.uint8)
            return tuple(int(c) for c in cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])

        shape, place = rng.normal(), rng.uniform(0, len(SKINS) - 1)
        low, share = int(place), place - int(place)
        skin = (1 - share) * np.array(SKINS[low]) + share * np.array(SKINS[min(low + 1, len(SKINS) - 1)])
        hair = np.array(HAIRS[rng.choice(3 if place > 3.5 else len(HAIRS))]) * rng.uniform(0.8, 1.1)
        style = str(rng.choice(STYLES, p=[0.1, 0.42, 0.22, 0.14, 0.12]))
        trousers = colour()
        return cls(
            height=float(np.clip(rng.normal(1.71, 0.09), 1.45, 2.0)),
            legs=near(0.03),
            arms=near(0.04),
            shoulders=near(0.05) * (1 + 0.04 * np.clip(shape, -2, 2)),
            hips=near(0.06) * (1 - 0.04 * np.clip(shape, -2, 2)),
            girth=near(0.13, high=2.6),
            waist=near(0.1) * (1 + 0.05 * np.clip(shape, -2, 2)),
            head=near(0.03),
            skin=tuple(skin),
            hair=colour() if style == "hat" else tuple(np.clip(hair, 0, 255)),
            style=style,
            shirt=colour(),
            shirt2=colour(),
            pattern=str(rng.choice(PATTERNS, p=[0.4, 0.2, 0.12, 0.12, 0.16])),
            sleeves=float(rng.choice([0.0, rng.uniform(0.4, 0.8), rng.uniform(1.8, 1.95)], p=[0.12, 0.53, 0.35])),
            trousers=trousers,
            trousers2=trousers if rng.random() < 0.7 else colour(),
            trouser_legs=float(rng.choice([rng.uniform(0.45, 0.95), rng.uniform(1.8, 1.97)], p=[0.4, 0.6])),
            loose=float(rng.uniform(0.3, 1.8)),
            shoes=colour() if rng.random() < 0.6 else tuple(np.full(3, rng.choice([25, 235]))),
            seed=int(rng.integers(1 << 31)),
        )

    @property
    def lengths(self):
        """The skeleton's lengths in metres."""
        h, legs = self.height, self.legs
        thigh, shin, ankle = 0.245 * h * legs, 0.24 * h * legs, 0.044 * h
        return {
            "thigh": thigh,
            "shin": shin,
            "ankle": ankle,  # the ankle's height above the sole
            "trunk": 0.815 * h - thigh - shin - ankle,  # from between the hips to between the shoulders
            "upper_arm": 0.17 * h * self.arms,
            "forearm": 0.148 * h * self.arms,
            "hip": 0.049 * h * self.hips,  # half the distance of the hips
            "shoulder": 0.106 * h * self.shoulders * self.girth**0.25,
            "neck": 0.11 * h,  # from between the shoulders to between the ears
        }


# --- forward kinematics -----------------------------------------------------------------------------------------


def skeleton(person, angles_deg, pelvis):
    """Forward kinematics: joint angles to joints.

    `angles_deg` (..., 13, 3): rotations in the order of `TURNS`, Euler angles ZXY in degrees; `pelvis` (..., 3): the
    point between the hips, world, m. Returns joints (..., 17, 3) in the world frame, m, and the feet's orientations
    (..., 2, 3, 3), whose columns are the foot's left, up and forward.
    """
    angles_deg, pelvis = np.asarray(angles_deg, float), np.asarray(pelvis, float)
    shape, length = angles_deg.shape[:-2], person.lengths
    turns = Rotation.from_euler("ZXY", angles_deg.reshape(-1, 3), degrees=True).as_matrix()
    turns = turns.reshape(*shape, len(TURNS), 3, 3)
    joints, feet = np.empty((*shape, 17, 3)), np.empty((*shape, 2, 3, 3))

    def along(turn, *vector):
        return turn @ np.array(vector)

    hips = turns[..., PELVIS, :, :]
    chest = hips @ turns[..., TRUNK, :, :]
    loin = pelvis + along(hips, 0, 0.3 * length["trunk"], 0)  # the trunk bends in the small of the back
    neck = loin + along(chest, 0, 0.7 * length["trunk"], 0)
    head = chest @ turns[..., NECK, :, :]
    ears = neck + along(head, 0, length["neck"], 0.012 * person.height)
    joints[..., :5, :] = ears[..., None, :] + person.head * HEAD @ np.swapaxes(head, -1, -2)
    for side, sign in enumerate((1, -1)):
        shoulder, elbow, hip, knee, ankle = (turns[..., 3 + 2 * i + side, :, :] for i in range(5))
        upper = chest @ shoulder
        lower = upper @ elbow
        joints[..., SHOULDERS[side], :] = a = neck + along(chest, sign * length["shoulder"], 0, 0)
        joints[..., ELBOWS[side], :] = a = a + along(upper, 0, -length["upper_arm"], 0)
        joints[..., WRISTS[side], :] = a + along(lower, 0, -length["forearm"], 0)
        thigh = hips @ hip
        shin = thigh @ knee
        joints[..., HIPS[side], :] = a = pelvis + along(hips, sign * length["hip"], 0, 0)
        joints[..., KNEES[side], :] = a = a + along(thigh, 0, -length["thigh"], 0)
        joints[..., ANKLES[side], :] = a + along(shin, 0, -length["shin"], 0)
        feet[..., side, :, :] = shin @ ankle
    return joints, feet


def leg_angles(person, hips, pelvis, ankles, feet, knees_out_deg):
    """Inverse kinematics of both legs: angles that put the ankles where they should be.

    `hips` (T, 3, 3): the pelvis's orientation; `pelvis` (T, 3): its place; `ankles` (T, 2, 3) and `feet` (T, 2, 3, 3):
    where the ankles should be and how the feet should stand; `knees_out_deg` (T, 2): how far outward the knees point.
    Returns angles (T, 3, 2, 3) of hip, knee and ankle for left and right. What is out of reach is reached for.
    """
    length, result = person.lengths, np.empty((len(pelvis), 3, 2, 3))
    thigh, shin = length["thigh"], length["shin"]
    for side, sign in enumerate((1, -1)):
        leg = ankles[:, side] - pelvis - hips @ [sign * length["hip"], 0, 0]
        reach = np.clip(np.linalg.norm(leg, axis=1), abs(thigh - shin) + 1e-3, (thigh + shin) * 0.9995)
        bend = np.pi - np.arccos((thigh**2 + shin**2 - reach**2) / (2 * thigh * shin))
        out = np.deg2rad(sign * knees_out_deg[:, side])
        forward = hips @ [0, 0, 1.0]
        heading = np.arctan2(forward[:, 0], forward[:, 2]) + out
        ahead = np.stack([np.sin(heading), np.zeros(len(out)), np.cos(heading)], 1)
        down = leg / np.linalg.norm(leg, axis=1, keepdims=True)
        world = frame_of(cross(ahead, down), down)
        local = np.stack([0 * bend, -thigh - shin * np.cos(bend), -shin * np.sin(bend)], 1)
        local = frame_of(np.broadcast_to([1.0, 0, 0], local.shape), local)
        upper = world @ np.swapaxes(local, 1, 2)
        knee = Rotation.from_euler("X", bend[:, None]).as_matrix()
        ankle = np.swapaxes(upper @ knee, 1, 2) @ feet[:, side]
        for i, turn in enumerate((np.swapaxes(hips, 1, 2) @ upper, knee, ankle)):
            result[:, i, side] = Rotation.from_matrix(turn).as_euler("ZXY", degrees=True)
    return result


def frame_of(x, y):
    """Right-handed frames (..., 3, 3) whose columns are: y's direction second, x (made perpendicular to it) first."""
    y = unit(y)
    x = unit(x - np.einsum("...k,...k->...", x, y)[..., None] * y)
    x, y = np.broadcast_arrays(x, y)
    return np.stack([x, y, cross(x, y)], -1)


def unit(vectors):
    """Vectors (..., 3) at length 1."""
    return vectors / (np.sqrt(np.einsum("...k,...k->...", vectors, vectors))[..., None] + 1e-9)


def cross(a, b):
    """The cross product of (..., 3), without the time that numpy's takes over small arrays."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def pose_of(joints_mm):
    """Joints (17, 3) of motion capture, mm, y up, as world joints in m, the lowest ankle at ankle height."""
    joints = np.asarray(joints_mm, float).reshape(17, 3) / 1000
    middle = joints[list(HIPS)].mean(0)
    floor = joints[list(ANKLES), 1].min() - 0.075
    return joints - [middle[0], floor, middle[2]]


def feet_of(joints):
    """Likely orientations of the feet (2, 3, 3) for joints (17, 3): square to the shin, flat where near the floor."""
    across = joints[HIPS[0]] - joints[HIPS[1]]
    feet = []
    for side in range(2):
        hip, knee, ankle = (joints[part[side]] for part in (HIPS, KNEES, ANKLES))
        thigh, shin = knee - hip, ankle - knee
        hinge = 4 * np.cross(thigh, shin) / (np.linalg.norm(thigh) * np.linalg.norm(shin) + 1e-9)
        hinge = hinge + across / (np.linalg.norm(across) + 1e-9)
        low = np.clip(1.6 - (ankle[1] - 0.06) / 0.1, 0, 1)
        up = -(1 - low) * shin / (np.linalg.norm(shin) + 1e-9) + low * np.array([0, 1.0, 0])
        feet.append(frame_of(hinge, up))
    return np.array(feet)


# --- camera and light -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Camera:
    """A perspective camera. `size` is (width, height) in pixels; `pose` is (R, t), world to camera."""

    K: np.ndarray
    pose: tuple
    size: tuple

    @classmethod
    def looking(cls, position, target, size, focal, roll_deg=0.0):
        """A camera at `position` that looks at `target` (world, m), with the focal length `focal` in pixels."""
        z = np.subtract(target, position).astype(float)
        z /= np.linalg.norm(z)
        x = np.cross(z, [0, 1.0, 0])
        x /= np.linalg.norm(x)
        roll = Rotation.from_euler("Z", roll_deg, degrees=True).as_matrix()
        R = roll @ np.stack([x, cross(z, x), z])
        K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1.0]])
        return cls(K, (R, -R @ np.asarray(position, float)), tuple(size))

    @property
    def position(self):
        return -self.pose[0].T @ self.pose[1]


@dataclass(frozen=True)
class Light:
    """A soft key light from `direction` (world, from the scene to the light), and the sky and floor all round."""

    direction: tuple = (0.45, 0.8, 0.55)
    key: tuple = (0.72, 0.69, 0.64)
    sky: tuple = (0.42, 0.45, 0.5)
    floor: tuple = (0.2, 0.19, 0.17)
    shadow: float = 0.55  # how dark the shadow on the floor is

    @classmethod
    def random(cls, rng):
        """A light drawn with a numpy.random.Generator."""
        azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(30, 75))
        warm = rng.normal(0, 0.06)
        tint, level = np.array([1 + warm, 1, 1 - warm]), rng.uniform(0.75, 1.2)
        direction = np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)
        key = rng.uniform(0.3, 0.85)
        return cls(
            direction=tuple(direction),
            key=tuple(level * key * tint),
            sky=tuple(level * (0.95 - key * 0.65) / tint),
            floor=tuple(level * rng.uniform(0.1, 0.3) * tint),
            shadow=rng.uniform(0.2, 0.7),
        )


# --- the body's surface -----------------------------------------------------------------------------------------


class Tubes:
    """Rings of vertices, gathered tube by tube."""

    def __init__(self):
        self.names, self.groups, self.centres, self.axes, self.radii, self.shapes = ([] for _ in range(6))

    def add(self, name, centres, axes, a, b, shape=None):
        """A tube through `centres` (n, 3). `axes` (n, 3, 3) or (3, 3): its columns are the directions of the half-axes
        `a` and `b` (n,), and of the tube; `shape` (n, SEGMENTS): factors of the radii."""
        n = len(centres)
        self.names.append((name, n))
        self.groups.append(self.group)
        self.centres.append(centres)
        self.axes.append(np.broadcast_to(axes, (n, 3, 3)))
        self.radii.append(np.stack([np.broadcast_to(a, n), np.broadcast_to(b, n)], 1))
        self.shapes.append(np.ones((n, SEGMENTS)) if shape is None else shape)

    def vertices(self):
        """(rings, SEGMENTS, 3)"""
        axes, radii = np.concatenate(self.axes), np.concatenate(self.radii)
        around = np.concatenate(self.shapes)[..., None] * ROUND * radii[:, None]
        return np.concatenate(self.centres)[:, None] + around @ np.swapaxes(axes[..., :2], 1, 2)


ANGLES = np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS
ROUND = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
FRONT = np.clip(np.sin(ANGLES), 0, 1)  # 1 where a ring's vertex lies along its second axis, forward


def limb_path(a, b, c, at, reference):
    """Points (n, 3) and axes (n, 3, 3) of a tube from `a` by `b` to `c` at the parameters `at`: 0 at a, 1 at b, 2 at c.

    The bend at `b` is rounded. The first axis is `reference` made square to the tube.
    """
    width = 0.2
    first, second = b - a, c - b
    x = (at - 1)[:, None]
    soft = np.where(np.abs(x) < width, (x + width) ** 2 / (4 * width), np.maximum(x, 0))  # max(x, 0), rounded
    slope = np.where(np.abs(x) < width, (x + width) / (2 * width), x > 0)
    points = b + (x - soft) * first + soft * second
    # Rounding cuts the corner; a knee does not shrink when it bends.
    points = points + (0.45 * width / 2) * np.clip(1 - np.abs(x) / width, 0, 1) ** 2 * (first - second) / 2
    along = unit((1 - slope) * first + slope * second)
    side = unit(reference - (along @ reference)[:, None] * along)
    return points, np.stack([side, cross(side, along), along], -1)


LEG_AT = np.array([0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.87, 0.94, 1, 1.06, 1.13, 1.2, 1.3, 1.45, 1.6, 1.75, 1.88, 2.02])
LEG_GIRTH = (
    [0, 0.2, 0.6, 0.85, 1, 1.1, 1.3, 1.6, 1.88, 2.02],
    [*(0.044, 0.049, 0.045, 0.038, 0.0345, 0.033, 0.0345, 0.029, 0.0205, 0.021)],
)
ARM_AT = np.array(
    [
        -0.115,
        -0.105,
        -0.08,
        -0.04,
        0.02,
        0.1,
        0.2,
        0.35,
        0.5,
        0.65,
        0.78,
        0.88,
        0.95,
        1,
        1.05,
        1.12,
        1.25,
        1.45,
        1.65,
        1.85,
        2,
    ]
)
ARM_GIRTH = (
    [-0.115, -0.105, -0.08, -0.04, 0.02, 0.12, 0.25, 0.5, 0.85, 1, 1.25, 1.6, 1.9, 2],
    [*(0.003, 0.012, 0.021, 0.028, 0.0315, 0.0325, 0.031, 0.0275, 0.0235, 0.0225, 0.0245, 0.0195, 0.0155, 0.0155)],
)
SLEEVE_AT = np.concatenate([[0, 0.01, 0.035, 0.075, 0.135], np.linspace(0.2, 1, 11)])
CUFF_AT = np.linspace(0, 1, 18)  # from the limb's beginning to the hem

# Rows: place from the hips (0) to the shoulders (1), half the width, half the depth, how far forward.
PELVIS_RINGS = np.array(
    [
        (-0.23, 0.02, 0.03, 0),
        (-0.2, 0.055, 0.05, 0),
        (-0.13, 0.09, 0.063, -0.004),
        (-0.05, 0.1, 0.068, -0.006),
        (0.04, 0.1, 0.067, -0.004),
        (0.14, 0.094, 0.06, 0),
        (0.26, 0.083, 0.053, 0.002),
        (0.36, 0.077, 0.05, 0.003),
    ]
)
CHEST_RINGS = np.array(
    [
        (-0.1, 0.101, 0.07, -0.005),
        (-0.095, 0.104, 0.073, -0.005),
        (-0.02, 0.105, 0.073, -0.005),
        (0.06, 0.101, 0.069, -0.003),
        (0.14, 0.096, 0.064, 0),
        (0.22, 0.09, 0.06, 0.002),
        (0.3, 0.085, 0.057, 0.003),
        (0.38, 0.082, 0.055, 0.004),
        (0.46, 0.083, 0.055, 0.004),
        (0.54, 0.086, 0.058, 0.004),
        (0.62, 0.09, 0.061, 0.004),
        (0.7, 0.094, 0.064, 0.004),
        (0.78, 0.098, 0.065, 0.003),
        (0.86, 0.1, 0.063, 0),
        (0.93, 0.1, 0.058, -0.003),
        (1.0, 0.11, 0.048, -0.005),
        (1.05, 0.108, 0.042, -0.006),
        (1.085, 0.095, 0.039, -0.006),
        (1.115, 0.074, 0.036, -0.005),
        (1.145, 0.05, 0.034, -0.003),
        (1.165, 0.037, 0.033, -0.002),
    ]
)

# Of a head: height above the ears' middle, how far forward, half the width, half the depth, in m.
HEAD_RINGS = np.array(
    [
        (-0.122, 0.046, 0.006, 0.006),
        (-0.118, 0.048, 0.022, 0.024),
        (-0.105, 0.043, 0.037, 0.042),
        (-0.085, 0.03, 0.05, 0.063),
        (-0.06, 0.017, 0.06, 0.079),
        (-0.03, 0.008, 0.067, 0.088),
        (0.0, 0.002, 0.071, 0.092),
        (0.03, -0.002, 0.073, 0.095),
        (0.055, -0.004, 0.071, 0.093),
        (0.08, -0.006, 0.063, 0.083),
        (0.1, -0.007, 0.05, 0.065),
        (0.113, -0.008, 0.032, 0.042),
        (0.12, -0.008, 0.006, 0.008),
    ]
)
HAIR_AT = np.array([-0.1, -0.07, -0.04, -0.01, 0.02, 0.04, 0.05, 0.058, 0.075, 0.095, 0.112, 0.124, 0.131])
FOOT_RINGS = np.array(  # forward of the ankle, height of the middle, half the width, half the height; of the stature
    [
        (-0.037, -0.024, 0.004, 0.004),
        (-0.035, -0.024, 0.014, 0.014),
        (-0.026, -0.021, 0.021, 0.021),
        (-0.01, -0.018, 0.0235, 0.027),
        (0.01, -0.02, 0.024, 0.026),
        (0.03, -0.025, 0.025, 0.022),
        (0.055, -0.03, 0.027, 0.0175),
        (0.08, -0.033, 0.027, 0.014),
        (0.098, -0.034, 0.023, 0.012),
        (0.109, -0.035, 0.014, 0.009),
        (0.112, -0.035, 0.004, 0.004),
    ]
)
HAND_RINGS = np.array(  # along the hand, half the width, half the thickness; of the stature
    [
        (-0.004, 0.014, 0.012),
        (0.012, 0.017, 0.0115),
        (0.03, 0.0225, 0.011),
        (0.05, 0.0235, 0.0105),
        (0.068, 0.021, 0.009),
        (0.084, 0.0165, 0.0075),
        (0.096, 0.01, 0.0055),
        (0.1, 0.002, 0.002),
    ]
)
BLOB = np.array([(-1, 0.02), (-0.87, 0.5), (-0.5, 0.87), (0, 1), (0.5, 0.87), (0.87, 0.5), (1, 0.02)])
BALL = np.array([(-np.cos(t), max(np.sin(t), 0.01)) for t in np.linspace(0, np.pi, 21)])


def blob(tubes, name, centre, axes, a, b, c, rings=BLOB):
    """An ellipsoid with half-axes `a`, `b` and, from pole to pole, `c` along the columns of `axes`."""
    tubes.add(name, centre + rings[:, :1] * c * axes[:, 2], axes, a * rings[:, 1], b * rings[:, 1])


def surface(person, joints, feet=None, ball=None):
    """The body's vertices (rings, SEGMENTS, 3) for joints (17, 3), in metres, and the capsules that cast its shadows.

    `feet` (2, 3, 3) are their orientations, guessed where None; `ball` (x, y, z, radius), a gym ball. The capsules are
    (begin (C, 3), end (C, 3), radius (C,), name).
    """
    feet = feet_of(joints) if feet is None else feet
    tubes, h, girth = Tubes(), person.height, person.girth
    loose = 0.0035 * h * person.loose
    tubes.group = "trunk"
    mid = [(joints[a] + joints[b]) / 2 for a, b in (HIPS, SHOULDERS)]
    up = mid[1] - mid[0]
    across = joints[HIPS[0]] - joints[HIPS[1]], joints[SHOULDERS[0]] - joints[SHOULDERS[1]]
    widths = [np.linalg.norm(v) / (2 * nominal * h) for v, nominal in zip(across, (0.049, 0.106), strict=True)]
    capsules = []

    # Trunk: trousers, shirt, neck. Its axes turn from the hips' to the shoulders'.
    for name, rings, more in (("pelvis", PELVIS_RINGS, 0.0015 * h), ("chest", CHEST_RINGS, loose)):
        at = rings[:, :1]
        share = np.clip(at, 0, 1)
        axes = frame_of((1 - share) * unit(across[0]) + share * unit(across[1]), np.broadcast_to(up, (len(rings), 3)))
        axes = axes[..., [0, 2, 1]]
        belly = np.exp(-(((rings[:, 0] - 0.35) / 0.3) ** 2))
        broad = (1 - share[:, 0]) * min(widths[0], 1.25) + share[:, 0] * np.clip(widths[1], 0.8, 1.15)
        fat = girth * (1 + (person.waist - 1) * belly)
        end = np.clip((1.17 - rings[:, 0]) / 0.12, 0, 1) if name == "chest" else 1
        a, b = (rings[:, i] * h * broad**power * fat for i, power in ((1, 1), (2, 0.3)))
        centres = mid[0] + at * up + (rings[:, 3] * h + 0.25 * (b - rings[:, 2] * h) * belly)[:, None] * axes[..., 1]
        tubes.add(name, centres, axes, a + more * end, b + more * end)
    trunk = axes[len(axes) // 2]
    for x in (-0.045, 0, 0.045):
        lift = 0.15 if x else 0
        side = x * h * widths[1] * unit(across[1]), x * h * widths[0] * unit(across[0])
        capsules.append((mid[1] - lift * up + side[0], mid[0] + side[1], 0.052 * h * girth, "trunk"))

    # Head
    tubes.group = "head"
    ears = (joints[EARS[0]] + joints[EARS[1]]) / 2
    across_head = joints[EARS[0]] - joints[EARS[1]]
    ahead = (joints[EYES[0]] + joints[EYES[1]]) / 2 - ears
    x = unit(across_head)
    head = np.stack([x, y := unit(ahead - (ahead @ x) * x), cross(x, y)], 1)  # left, forward, down
    head[:, 2] *= -1  # left, forward, up
    scale = float(np.clip(np.linalg.norm(across_head) / 0.146, 0.75, 1.35))

    def place(*offset):  # left, up, forward
        return ears + scale * (head @ np.array([offset[0], offset[2], offset[1]]))

    nape = place(0, -0.05, -0.012)
    base = mid[1] + 0.02 * up + 0.0 * head[:, 1]
    at = np.linspace(0, 1, 6)[:, None]
    neck = frame_of(np.broadcast_to(head[:, 0], (6, 3)), np.broadcast_to(nape - base, (6, 3)))[..., [0, 2, 1]]
    radius = 0.0305 * h * girth**0.5 * np.array([1.25, 1.12, 1.02, 1, 1, 0.98])
    tubes.add("neck", base + at * (nape - base), neck, radius, radius * 1.02)
    rings = HEAD_RINGS * scale
    chubby = girth**0.25
    tubes.add(
        "head", ears + rings[:, :1] * head[:, 2] + rings[:, 1:2] * head[:, 1], head, rings[:, 2] * chubby, rings[:, 3]
    )
    capsules.append((place(0, 0.03, 0), place(0, -0.05, 0.02), 0.085 * scale, "head"))
    blob(
        tubes,
        "nose",
        place(0, -0.012, 0.094),
        head @ np.array([[1, 0, 0], [0, 0.93, 0.37], [0, -0.37, 0.93]]).T,
        0.0125 * scale,
        0.013 * scale,
        0.028 * scale,
    )
    for sign in (1, -1):
        blob(tubes, "eye", place(0.032 * sign, 0.008, 0.082), head, 0.0145 * scale, 0.008 * scale, 0.0085 * scale)
        blob(tubes, "iris", place(0.0315 * sign, 0.008, 0.0865), head, 0.0075 * scale, 0.006 * scale, 0.0075 * scale)
        blob(tubes, "brow", place(0.033 * sign, 0.029, 0.085), head, 0.021 * scale, 0.008 * scale, 0.0045 * scale)
        blob(tubes, "ear", place(0.075 * sign, -0.004, -0.008), head, 0.011 * scale, 0.019 * scale, 0.031 * scale)
    blob(tubes, "mouth", place(0, -0.071, 0.0885), head, 0.024 * scale, 0.0095 * scale, 0.0075 * scale)

    # Hair: a larger head, sunk into the head where the face is.
    low = {"bald": 0.2, "short": -0.05, "long": -0.16, "bun": -0.04, "hat": 0.0}[person.style]
    brow = {"hat": 0.044}.get(person.style, 0.062)
    at = HAIR_AT if person.style != "long" else np.concatenate([np.linspace(low, -0.07, 3), HAIR_AT[3:]])
    skull = [np.interp(at / 1.09, HEAD_RINGS[:, 0], HEAD_RINGS[:, i]) for i in (1, 2, 3)]
    hang = np.clip((-0.02 - at) / 0.1, 0, 1) * (person.style == "long")
    skull[0], skull[1], skull[2] = (v + hang * (to - v) for v, to in zip(skull, (-0.045, 0.078, 0.06), strict=True))
    thick = 0.011 if person.style != "bald" else -0.01
    face = np.clip((brow - at) / 0.012, 0, 1)[:, None] * np.clip((FRONT + 0.12) / 0.35, 0, 1)
    nape_cut = np.clip((low - at) / 0.02, 0, 1)[:, None] * (person.style != "long")
    inside = 1 - 0.3 * np.maximum(face, nape_cut)
    if person.style == "bald":
        inside = inside * 0.85
    centres = ears + scale * (at[:, None] * head[:, 2] + (skull[0][:, None] - 0.003) * head[:, 1])
    tubes.add("hair", centres, head, scale * (skull[1] + thick), scale * (skull[2] + thick), inside)
    bun = 0.036 * scale if person.style == "bun" else 1e-4
    blob(tubes, "hair", place(0, 0.045, -0.118), head, bun, bun, bun)

    # Arms and legs
    for side in range(2):
        tubes.group = f"arm{side}"
        shoulder, elbow, wrist = (joints[part[side]] for part in (SHOULDERS, ELBOWS, WRISTS))
        upper, lower = elbow - shoulder, wrist - elbow
        bend = cross(lower, upper) / (np.linalg.norm(lower) * np.linalg.norm(upper) + 1e-9)
        reference = 3 * bend + unit(across[1]) + 0.3 * trunk[:, 1]
        size = h * girth**0.9
        points, axes = limb_path(shoulder, elbow, wrist, ARM_AT, reference)
        radius = np.interp(ARM_AT, *ARM_GIRTH) * size
        radius = np.where(ARM_AT < person.sleeves - 0.06, 0.75, 1) * radius  # nothing pokes through the clothes
        tubes.add("arm", points, axes, radius, radius)
        hem = max(person.sleeves, 0.1)
        at = np.where(SLEEVE_AT < 0.14, -0.115 + SLEEVE_AT, 0.02 + (SLEEVE_AT - 0.135) / 0.865 * (hem - 0.02))
        points, axes = limb_path(shoulder, elbow, wrist, at, reference)
        radius = np.interp(at, *ARM_GIRTH) * size + loose * (0.7 + 0.9 * SLEEVE_AT * (hem < 1))
        radius[-1] -= 1.7 * loose
        tubes.add("sleeve" if person.sleeves else "arm", points, axes, radius, radius)
        hand = frame_of(cross(lower, trunk[:, 0] * (1, -1)[side] + 0.6 * trunk[:, 1]), lower)
        hand = hand[..., [0, 2, 1]]
        rings = HAND_RINGS * h
        curl = 0.9 * (np.clip(rings[:, :1], 0, None) ** 2) / h / 0.1 * 0.35
        inward = -unit(trunk[:, 0] * (1, -1)[side] - (trunk[:, 0] * (1, -1)[side] @ hand[:, 2]) * hand[:, 2])
        centres = wrist + rings[:, :1] * hand[:, 2] + curl * inward
        tubes.add("hand", centres, hand, rings[:, 1] * girth**0.5, rings[:, 2] * girth**0.5)
        front = hand[:, 0] * (1 if hand[:, 0] @ trunk[:, 1] + 0.2 * hand[1, 0] > 0 else -1)
        thumb = unit(hand[:, 2] + 0.75 * front)
        root = wrist + 0.02 * h * hand[:, 2] + 0.012 * h * front
        at = np.array([-0.1, 0.15, 0.55, 0.85, 1])[:, None]
        thumb_axes = frame_of(hand[:, 1], thumb)[:, [0, 2, 1]]
        radius = np.array([0.007, 0.0085, 0.0075, 0.006, 0.001]) * h
        tubes.add("hand", root + at * 0.04 * h * thumb, thumb_axes, radius, radius)
        capsules.append((shoulder, elbow, 0.026 * size, f"arm{side}"))
        capsules.append((elbow, wrist + 0.05 * h * hand[:, 2], 0.02 * size, f"arm{side}"))
    for side in range(2):
        tubes.group = f"leg{side}"
        hip, knee, ankle = (joints[part[side]] for part in (HIPS, KNEES, ANKLES))
        thigh, shin = knee - hip, ankle - knee
        bend = cross(thigh, shin) / (np.linalg.norm(thigh) * np.linalg.norm(shin) + 1e-9)
        reference = 4 * bend + unit(across[0])
        size = h * girth
        points, axes = limb_path(hip, knee, ankle, LEG_AT, reference)
        radius = np.interp(LEG_AT, *LEG_GIRTH) * size
        radius = np.where(LEG_AT < person.trouser_legs - 0.06, 0.75, 1) * radius
        calf = np.exp(-(((LEG_AT - 1.3) / 0.25) ** 2))[:, None] * 0.006 * h
        tubes.add("leg", points + calf * axes[..., 1], axes, radius, radius)
        at = -0.02 + CUFF_AT * (person.trouser_legs + 0.02)
        points, axes = limb_path(hip, knee, ankle, at, reference)
        short = person.trouser_legs < 1.2
        radius = np.maximum(np.interp(at, *LEG_GIRTH), 0.024) * size + loose * np.minimum(
            at / 0.4 + 0.2, 1 + 1.5 * CUFF_AT * short
        )
        calf = np.exp(-(((at - 1.3) / 0.25) ** 2))[:, None] * 0.006 * h
        radius[-1] -= 2.5 * loose
        tubes.add("trousers", points + calf * axes[..., 1], axes, radius, radius)
        rings = FOOT_RINGS * h
        foot = feet[side][:, [0, 1, 2]]
        centres = ankle + rings[:, 1:2] * foot[:, 1] + rings[:, :1] * foot[:, 2]
        tubes.add("shoe", centres, foot, rings[:, 2], rings[:, 3])
        capsules.append((hip, knee, 0.042 * size, f"leg{side}"))
        capsules.append((knee, ankle, 0.028 * size, f"leg{side}"))
        capsules.append(
            (
                ankle - 0.02 * h * foot[:, 1],
                ankle + 0.08 * h * foot[:, 2] - 0.03 * h * foot[:, 1],
                0.02 * h,
                f"leg{side}",
            )
        )

    tubes.group = "ball"
    x, y, z, radius = (0, -9, 0, 1e-3) if ball is None else ball
    rolled = -x / radius  # it rolls along x
    axes = np.array([[-np.sin(rolled), 0, np.cos(rolled)], [np.cos(rolled), 0, np.sin(rolled)], [0, 1, 0]])
    blob(tubes, "ball", np.array([x, y, z]), axes, radius, radius, radius, BALL)
    if ball is not None:
        capsules.append((np.array([x, y, z]), np.array([x, y, z]), radius, "ball"))
    vertices = tubes.vertices()
    rings = TEMPLATE.rings["shoe"] if TEMPLATE else slice(0, 0)
    for side, ring in enumerate(np.split(rings, 2) if TEMPLATE else ()):  # soles are flat
        local = (vertices[ring] - joints[ANKLES[side]]) @ feet[side][:, 1]
        flat = np.maximum(local, -0.044 * h)
        vertices[ring] += (flat - local)[..., None] * feet[side][:, 1]
    return vertices, capsules, tubes


class Template:
    """What all bodies share: triangles, neighbours, and which ring belongs to what."""

    def __init__(self, tubes):
        names, groups = tubes.names, tubes.groups
        lengths = np.array([n for _, n in names])
        begins = np.cumsum(lengths) - lengths
        total = lengths.sum()
        self.part = np.repeat(np.arange(len(names)), lengths)
        self.names = [name for name, _ in names]
        self.ring_names = np.repeat(self.names, lengths)
        self.rings = {name: np.flatnonzero(self.ring_names == name) for name in set(self.names)}
        self.local = np.concatenate([np.arange(n) for n in lengths])  # a ring's number in its tube
        self.gloss = np.isin(self.ring_names, ("ball", "iris", "eye", "shoe")) * np.float32(2.5) + np.float32(0.5)
        self.group = np.repeat([GROUPS.index(group) for group in groups], lengths)
        self.chunks = [
            (i, min(i + 6, b + n))
            for b, (name, n) in zip(begins.tolist(), names, strict=True)
            if name in CASTS
            for i in range(b, b + n - 1, 5)
        ]
        index = np.arange(total)
        self.before = np.maximum(index - 1, np.repeat(begins, lengths))
        self.after = np.minimum(index + 1, np.repeat(begins + lengths - 1, lengths))
        first = np.setdiff1d(index, begins + lengths - 1)
        j = np.arange(SEGMENTS)
        k = (j + 1) % SEGMENTS
        a, b = first[:, None] * SEGMENTS, (first[:, None] + 1) * SEGMENTS
        lower, upper = np.stack([a + j, a + k, b + j], -1), np.stack([a + k, b + k, b + j], -1)
        self.triangles = np.concatenate([lower.reshape(-1, 3), upper.reshape(-1, 3)])


GROUPS = ["trunk", "head", "arm0", "arm1", "leg0", "leg1", "ball"]  # what does not shade itself

CASTS = {
    "chest",
    "pelvis",
    "neck",
    "head",
    "hair",
    "arm",
    "sleeve",
    "hand",
    "leg",
    "trousers",
    "shoe",
    "ball",
}  # on the floor

TEMPLATE = None
TEMPLATE = Template(surface(Person(), skeleton(Person(), np.zeros((13, 3)), [0, 0.9, 0])[0])[2])


def colours(person):
    """The body's own colours, (rings, SEGMENTS, 3) from 0 to 1, linear."""
    skin, hair = np.array(person.skin, float), np.array(person.hair, float)
    paint = {
        "pelvis": person.trousers,
        "chest": person.shirt,
        "sleeve": person.shirt,
        "trousers": person.trousers,
        "shoe": person.shoes,
        "hair": hair,
        "brow": np.minimum(hair, skin * 0.5) if person.style == "hat" else np.minimum(hair, 0.7 * skin),
        "iris": (38, 28, 24),
        "eye": (238, 234, 228),
        "mouth": skin * (0.78, 0.55, 0.55),
        "ball": (214, 60, 52),
    }
    result = np.empty((len(TEMPLATE.part), SEGMENTS, 3))
    for name, rings in TEMPLATE.rings.items():
        result[rings] = paint.get(name, skin)
    clothes = np.concatenate([TEMPLATE.rings[name] for name in ("chest", "sleeve")])
    rng, second = np.random.default_rng(person.seed), np.array(person.shirt2, float)
    if person.pattern == "stripes":
        result[clothes[TEMPLATE.local[clothes] % 4 < 2]] = second
    elif person.pattern == "sides":
        result[np.ix_(TEMPLATE.rings["chest"], np.abs(ROUND[:, 0]) > 0.8)] = second
        result[np.ix_(TEMPLATE.rings["sleeve"], np.abs(ROUND[:, 0]) > 0.8)] = second
    elif person.pattern == "block":
        result[TEMPLATE.rings["chest"][9:]] = second
        result[TEMPLATE.rings["sleeve"]] = second
    elif person.pattern == "speckled":
        result[clothes] = np.where(rng.random((len(clothes), SEGMENTS, 1)) < 0.3, second, result[clothes])
    result[np.ix_(TEMPLATE.rings["trousers"], np.abs(ROUND[:, 0]) > 0.9)] = person.trousers2
    shoes = TEMPLATE.rings["shoe"]
    sole = np.array((245, 245, 240)) if sum(person.shoes) < 500 else np.array((90, 90, 95))
    result[np.ix_(shoes[(TEMPLATE.local[shoes] > 1) & (TEMPLATE.local[shoes] < 9)], ROUND[:, 1] < -0.75)] = sole
    ball = TEMPLATE.rings["ball"]
    result[ball[np.isin(TEMPLATE.local[ball], (9, 10, 11))]] = (240, 236, 225)
    return ((np.clip(result, 0, 255) / 255) ** 2.2).astype(np.float32)


def normals_of(vertices, centres):
    around = np.roll(vertices, -1, axis=1) - np.roll(vertices, 1, axis=1)
    along = vertices[TEMPLATE.after] - vertices[TEMPLATE.before]
    normals = unit(cross(around, along))
    flip = np.einsum("rsk,rsk->r", normals, vertices - centres) < 0
    normals[flip] *= -1
    return normals


def lit(vertices, albedo, light, capsules, camera):
    """Colours (rings, SEGMENTS, 3), sRGB from 0 to 255, of a surface under `light`."""
    vertices = vertices.astype(np.float32)
    normals = normals_of(vertices, vertices.mean(1, keepdims=True))
    direction = unit(np.array(light.direction, float)).astype(np.float32)
    open_ = openness(vertices, normals, direction, capsules)
    facing = normals @ direction
    key = np.clip((facing + 0.18) / 1.18, 0, 1) * open_[0]
    up = (normals[..., 1] + 1) / 2
    ambient = up[..., None] * np.float32(light.sky) + (1 - up)[..., None] * np.float32(light.floor)
    view = unit(camera.position - vertices.mean((0, 1)))
    shine = np.clip(normals @ unit(view + direction).astype(np.float32), 0, 1) ** 24 * 0.07 * open_[0]
    rim = (1 - np.clip(normals @ view.astype(np.float32), 0, 1)) ** 3 * 0.06
    colour = albedo * (key[..., None] * np.float32(light.key) + ambient * open_[1][..., None] + rim[..., None]) * 1.35
    colour += (shine * TEMPLATE.gloss[:, None])[..., None] * np.float32(light.key)
    return np.clip(255 * np.clip(colour, 0, 1) ** (1 / 2.2), 2, 255)


def openness(vertices, normals, direction, capsules):
    """How far light from `direction`, and light from all round, reaches each vertex past the body's other parts."""
    begins, ends, radii = (np.array([c[i] for c in capsules], np.float32) for i in range(3))
    own = TEMPLATE.group[:, None] == np.array([GROUPS.index(c[3]) for c in capsules])
    # Each capsule as three balls; every second vertex of a ring, the others lie between.
    balls = np.concatenate([begins, (begins + ends) / 2, ends])
    radii, own = np.tile(radii, 3) * 1.15, np.tile(own, (1, 3))
    near = vertices[:, ::2].reshape(-1, 3)
    across = near @ balls.T
    square = (near**2).sum(1)[:, None] + (balls**2).sum(1) - 2 * across
    ahead = balls @ direction - (near @ direction)[:, None]
    miss = np.sqrt(np.maximum(square - ahead**2, 0))
    own = np.repeat(own, SEGMENTS // 2, axis=0)
    shade = np.clip((miss - radii) / (0.35 * np.abs(ahead) + 0.02) + 0.5, 0, 1)
    shade[(ahead < 0.02) | own] = 1
    distance = np.sqrt(np.maximum(square, 1e-6))
    side = balls @ normals[:, ::2].reshape(-1, 3).T
    side = (side.T - (near * normals[:, ::2].reshape(-1, 3)).sum(1)[:, None]) / distance
    block = np.clip(side + 0.3, 0, 1) * np.minimum((radii / distance) ** 2, 0.6) * 0.8
    block[own] = 0
    result = np.stack([shade.min(1), 1 - np.clip(block.sum(1), 0, 0.75)])
    below = near[:, 1]
    result[1] *= 0.75 + 0.25 * np.clip(below / 0.4, 0, 1)  # less light near the floor
    result = result.reshape(2, len(vertices), SEGMENTS // 2)
    between = (result + np.roll(result, -1, axis=2)) / 2
    return np.stack([result, between], -1).reshape(2, len(vertices), SEGMENTS)


# --- pictures ---------------------------------------------------------------------------------------------------


@dataclass
class Shot:
    """What a render returns: `image` (height, width, 3) uint8 RGB; `joints` (17, 2), px; `visibility` (17,), 0 outside
    the image, 1 hidden, 2 visible; `joints_3d` (17, 3), m, camera frame; `mask` (height, width) from 0 to 1."""

    image: np.ndarray
    joints: np.ndarray
    visibility: np.ndarray
    joints_3d: np.ndarray
    mask: np.ndarray
    camera: Camera = field(repr=False, default=None)


class Renderer:
    """Draws people. One plotter for all of a size; `sharp` renders that many times as large, against jagged edges."""

    def __init__(self, size=(192, 192), sharp=2):
        try:
            import pyvista  # only this needs it: kinematics and cameras work without
        except ImportError as error:
            raise ImportError('Rendering needs pyvista. Run: pip install -e ".[training]"') from error
        self.size, self.sharp = tuple(size), sharp
        triangles = TEMPLATE.triangles
        self.mesh = pyvista.PolyData.from_regular_faces(
            np.zeros((len(TEMPLATE.part) * SEGMENTS, 3), np.float32), triangles
        )
        self.mesh.point_data["colour"] = np.zeros((self.mesh.n_points, 3), np.uint8)
        self.plotter = pyvista.Plotter(off_screen=True, window_size=[sharp * side for side in self.size])
        self.plotter.disable_anti_aliasing()
        self.plotter.render_window.SetMultiSamples(0)
        self.plotter.background_color = "black"
        self.plotter.add_mesh(self.mesh, scalars="colour", rgb=True, lighting=False, copy_mesh=False)
        self.plotter.show(auto_close=False)

    def close(self):
        self.plotter.close()

    def render(self, person, joints, camera, background, light=None, feet=None, ball=None, shadow=True):
        """Draw `person` with world joints (17, 3) over `background` (height, width, 3) uint8. Returns a Shot."""
        light = light or Light()
        vertices, capsules, _ = surface(person, joints, feet, ball)
        colour = lit(vertices, colours(person), light, capsules, camera)
        flat = vertices.reshape(-1, 3)
        drawn, mask = self._draw(flat, colour.reshape(-1, 3), camera)
        image = background.astype(np.float32)
        if shadow:
            image = image * self._shadow(vertices, light, camera)
        image = image * (1 - mask[..., None]) + drawn
        pixels = project(joints, camera.K, camera.pose)
        in_camera = joints @ camera.pose[0].T + camera.pose[1]
        seen = self._visible(flat, pixels, in_camera, camera)
        return Shot(np.clip(image + 0.5, 0, 255).astype(np.uint8), pixels, seen, in_camera, mask, camera)

    def _draw(self, vertices, colour, camera):
        """The body on black, and how much of each pixel it covers."""
        # VTK's camera sits at the origin and looks along -z, so the mesh goes to the camera, not the other way.
        points = vertices @ camera.pose[0].T + camera.pose[1]
        self.mesh.points = (points * [1, -1, -1]).astype(np.float32)
        self.mesh.point_data["colour"] = colour.astype(np.uint8)
        width, height = self.size
        view, K = self.plotter.camera, camera.K
        view.position, view.focal_point, view.up = (0, 0, 0), (0, 0, -1), (0, 1, 0)
        view.view_angle = float(np.rad2deg(2 * np.arctan(height / 2 / K[1, 1])))
        view.SetWindowCenter(-2 * (K[0, 2] - (width - 1) / 2) / width, 2 * (K[1, 2] - (height - 1) / 2) / height)
        view.clipping_range = (0.05, 60)
        self.plotter.render()
        large = self.plotter.screenshot(return_img=True)
        covered = (large[..., 0] > 0).astype(np.float32)  # no colour of the body is as dark as 0
        return (cv2.resize(a.astype(np.float32), self.size, interpolation=cv2.INTER_AREA) for a in (large, covered))

    def _shadow(self, vertices, light, camera):
        """Factors (height, width, 3) by which the body's shadow darkens the floor."""
        direction = unit(np.array(light.direction, float))
        width, height = self.size
        masks = np.zeros((2, height, width), np.uint8)
        points = vertices[:, ::2]
        rise = np.maximum(points[..., 1:2], 0)
        fallen = points - rise * direction / max(direction[1], 0.2)
        fallen[..., 1] = 0
        spot = fallen.reshape(-1, 3) @ camera.pose[0].T + camera.pose[1]
        spot = spot @ camera.K.T
        valid = (spot[:, 2] > 0.1).reshape(points.shape[:2]).all(1)
        pixels = (spot[:, :2] / np.maximum(spot[:, 2:], 0.1)).clip(-4000, 4000).astype(np.float32)
        pixels = pixels.reshape(*points.shape[:2], 2)
        low, valid, pixels = vertices[:, 0, 1] < 0.25, valid.tolist(), pixels.reshape(len(valid), -1, 2)
        low = low.tolist()
        for begin, end in TEMPLATE.chunks:
            if all(valid[begin:end]):
                hull = (16 * cv2.convexHull(pixels[begin:end].reshape(-1, 1, 2)) + 0.5).astype(np.int32)
                cv2.fillConvexPoly(masks[0], hull, 255, cv2.LINE_AA, 4)
                if any(low[begin:end]):
                    cv2.fillConvexPoly(masks[1], hull, 255, cv2.LINE_AA, 4)
        metre = camera.K[1, 1] / max(spot[:, 2].mean(), 0.3)  # px
        soft = [
            cv2.GaussianBlur(mask, (0, 0), max(s * metre, 0.4)) for mask, s in zip(masks, (0.06, 0.018), strict=True)
        ]
        both = np.maximum(soft[0] * np.float32(0.85 / 255), soft[1] * np.float32(1 / 255))
        return 1 - light.shadow * both[..., None] * np.float32([1, 0.97, 0.92])

    def _visible(self, vertices, pixels, in_camera, camera):
        points = vertices @ camera.pose[0].T + camera.pose[1]
        spots = (points @ camera.K.T).astype(np.float32)
        spots = spots[:, :2] / np.maximum(spots[:, 2:], 1e-3)
        i, j, k = TEMPLATE.triangles.T
        low, high = ([op(op(axis[i], axis[j]), axis[k]) for axis in spots.T.copy()] for op in (np.minimum, np.maximum))
        depths = points[:, 2]
        result = np.zeros(17, np.uint8)
        for joint, (pixel, place) in enumerate(zip(pixels, in_camera, strict=True)):
            if not (place[2] > 0 and (pixel > -0.5).all() and (pixel < np.array(self.size) - 0.5).all()):
                continue
            x, y = pixel.astype(np.float32)
            near = np.flatnonzero((low[0] <= x) & (high[0] >= x) & (low[1] <= y) & (high[1] >= y))
            corners = TEMPLATE.triangles[near]
            a, b, c = (spots[corners[:, n]].astype(float) for n in range(3))
            area = cross2(b - a, c - a)
            area = np.where(np.abs(area) < 1e-9, 1e-9, area)
            u, v = cross2(b - pixel, c - pixel) / area, cross2(c - pixel, a - pixel) / area
            hit = (u >= 0) & (v >= 0) & (u + v <= 1)
            front = (depths[corners[hit]] * np.stack([u, v, 1 - u - v], 1)[hit]).sum(1)
            hidden = len(front) and front.min() < place[2] - THICKNESS[joint]
            result[joint] = OCCLUDED if hidden else VISIBLE
        return result


def cross2(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


# How far behind the surface a joint may lie and still count as visible, m.
THICKNESS = np.array(
    [0.04, 0.03, 0.03, 0.045, 0.045, 0.14, 0.14, 0.1, 0.1, 0.075, 0.075, 0.2, 0.2, 0.14, 0.14, 0.11, 0.11]
)


def room(camera, wall, floor, distance=2.2, tile=(1.8, 1.5), light=1.0):
    """A backdrop of two photographs: `floor` lies at y = 0, `wall` stands at z = -distance; `tile`, their sizes in m."""
    width, height = camera.size
    scale = 3
    x, y = np.meshgrid(*((np.arange(scale * side) + 0.5) / scale - 0.5 for side in (width, height)))
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.K).T @ camera.pose[0]
    eye = camera.position
    on_floor = -eye[1] / np.minimum(rays[..., 1], -1e-6)
    ground = eye + on_floor[..., None] * rays
    on_wall = (-distance - eye[2]) / np.minimum(rays[..., 2], -1e-6)
    upright = eye + on_wall[..., None] * rays
    is_floor = (rays[..., 1] < -1e-6) & (ground[..., 2] > -distance)
    images = []
    for texture, size, u, v in (
        (wall, tile[0], upright[..., 0], -upright[..., 1]),
        (floor, tile[1], ground[..., 0], ground[..., 2]),
    ):
        texture = np.concatenate([texture, texture[:, ::-1]], 1)  # mirrored, so that its edges meet
        texture = np.concatenate([texture, texture[::-1]], 0)
        pixels = texture.shape[0] / 2 / size
        u, v = (np.clip(a, -50, 50) * pixels for a in (u, v))
        images.append(
            cv2.remap(texture, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        )
    shade_wall = (
        light
        * (0.8 + 0.2 * np.exp(-((upright[..., 1] - 1.5) ** 2) / 2))
        * (0.6 + 0.4 * np.clip(upright[..., 1] / 0.5, 0, 1))
    )
    shade_floor = light * (0.7 + 0.3 * np.clip((ground[..., 2] + distance) / 0.8, 0, 1))
    image = np.where(is_floor[..., None], images[1] * shade_floor[..., None], images[0] * shade_wall[..., None])
    return np.clip(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), 0, 255).astype(np.uint8)
