"""People as skeletons: their build and looks, joint angles to joints, and feet back to joint angles.

World frame: x to the left of a person who faces along z, y up, metres, the floor at y = 0. Joints are in COCO-17 order.
Angles are in degrees, as Euler angles ZXY (the axes as above): the rest pose stands upright with the arms hanging,
every angle is 0 there, and each joint's rotation takes its own segment along.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from helpers import bodies

SIDES = ("left", "right")
COCO = tuple(name.replace(" ", "_") for name in bodies.COCO.names)
NOSE, EYES, EARS = 0, (1, 2), (3, 4)
SHOULDERS, ELBOWS, WRISTS, HIPS, KNEES, ANKLES = ((i, i + 1) for i in range(5, 17, 2))

# What turns: the pelvis in the world, and each of the others in the one that carries it.
TURNS = (
    *("pelvis", "trunk", "neck"),
    *(f"{side}_{part}" for part in ("shoulder", "elbow", "hip", "knee", "ankle") for side in SIDES),
)
PELVIS, TRUNK, NECK = range(3)

# Where the points of the head lie about the middle between the ears, m, at a head scale of 1.
HEAD = np.array([[0, -0.03, 0.108], [0.032, 0.008, 0.083], [-0.032, 0.008, 0.083], [0.073, 0, 0], [-0.073, 0, 0]])


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
