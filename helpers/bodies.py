"""Bodies as joints: tables of COCO-17, LSP-14 and MediaPipe, boxes, angles.

All tables have the 12 limb joints of `LIMBS`. Left and right are the person's own. Joints that were not seen are NaN,
and so is what follows from them.
"""

from itertools import pairwise

import numpy as np

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


class NoPerson(ValueError):
    """Too few joints of a person were seen; the message says how many are needed."""


def box_of(joints, margin=0.15):
    """The box (x, y, width, height), px, of a person's joints (N, 2), NaN where not seen.

    Grown on every side by `margin` times its longer side, as joints lie inside the body, and people move on.

    Raises ValueError for another shape, and NoPerson if fewer than `FEWEST` joints were seen.
    """
    joints = np.asarray(joints, dtype=float)
    if joints.ndim != 2 or joints.shape[1] != 2:
        raise ValueError(
            f"joints must have shape (N, 2), px, not {joints.shape}: one person's, x and y without scores."
        )
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
