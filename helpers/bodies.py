"""Bodies as joints: tables of COCO-17, LSP-14 and MediaPipe, boxes, a person's joints in a film, angles.

All tables have the 12 limb joints of `LIMBS`. Left and right are the person's own. Joints that were not seen are NaN,
and so is what follows from them.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

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


MARGIN = 0.06  # of a followed person's box, on every side, over its longer side


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


@torch.inference_mode()
def find_joints(model, processor, images, boxes, mirror=False):
    """The joints of one person in each of N images.

    Each image is first reduced to about the resolution of the network's crop, because the processor only interpolates.
    Peaks of the heatmaps are refined by DARK (Zhang et al. 2020), whose blur fits the heatmaps' size.

    Args:
        model, processor: a `VitPoseForPoseEstimation` and its image processor; neither is changed.
        images: N PIL images, RGB.
        boxes: (N, 4), x, y, width, height, px of the image; they may reach beyond it.
        mirror: also look at the mirror images, and take the mean of both heatmaps: twice the time.

    Returns joints (N, K, 2), px of the image, and scores (N, K), the heights of the peaks.
    """
    boxes = np.asarray(boxes, dtype=float)
    most = [max(min(image.size) // 8, 1) for image in images]  # of fewer pixels, sides are taken for colour channels
    factors = np.clip(1.25 * boxes[:, 3] // processor.size["height"], 1, most).astype(int)
    small = [image.reduce(int(factor)) for image, factor in zip(images, factors, strict=True)]
    corners = (boxes[:, :2] + 0.5) / factors[:, None] - 0.5
    nested = [[tuple(box)] for box in np.column_stack([corners, boxes[:, 2:] / factors[:, None]])]
    inputs = processor(small, boxes=nested, return_tensors="pt").to(model.device)
    outputs = model(**inputs)
    if mirror:
        other = model(inputs["pixel_values"].flip(-1)).heatmaps.flip(-1)[:, COCO.mirror.tolist()]
        outputs.heatmaps = (outputs.heatmaps + other) / 2
    outputs.heatmaps = outputs.heatmaps.float().cpu()
    kernel = 3 if outputs.heatmaps.shape[2] <= 32 else 11  # cells
    found = processor.post_process_pose_estimation(outputs, boxes=nested, kernel_size=kernel)
    joints, scores = (np.array([person[key].numpy() for (person,) in found]) for key in ("keypoints", "scores"))
    return (joints + 0.5) * factors[:, None, None] - 0.5, scores


def sure_score(model):
    """The score from which a joint is to be believed: the one that the checkpoint was measured to need, or 0.3."""
    return getattr(model.config, "sure_score", 0.3)


class Sight(NamedTuple):
    """A followed person in one frame: joints (K, 2), px, and scores (K,); whether the person was lost; whether this may
    be another person, because the box has nothing in common with the last good one."""

    joints: np.ndarray
    scores: np.ndarray
    lost: bool
    jumped: bool


def follow(model, processor, frames, box=None, sure=None, mirror=False):
    """One person through a film: a generator of a `Sight` for each of the frames, which it asks for one by one.

    The box of a frame comes from the joints of the last good one, in which at least `FEWEST` scored `sure` or more.
    Where that finds too few, a dozen boxes all over the frame are tried (a dozen times the time), and the best one is
    looked at again. Boxes are rounded to whole pixels, so that the last bits of a computer's arithmetic don't grow.

    Args:
        model, processor, mirror: as `find_joints` takes them.
        frames: PIL images, RGB, of any number.
        box: where the person is in the first frame; None to search.
        sure: None for `sure_score(model)`.
    """
    sure, last = sure_score(model) if sure is None else sure, box

    def look(image, boxes):
        """Joints and scores in the best of the boxes, and how many are sure."""
        joints, scores = find_joints(model, processor, [image] * len(boxes), boxes, mirror)
        count = (scores >= sure).sum(1)
        best = np.argmax(count + np.round(scores.mean(1), 3))
        return joints[best], scores[best], count[best]

    for image in frames:
        joints, scores, count = look(image, [last]) if last is not None else (None, None, 0)
        if count < FEWEST:
            other = look(image, _search_boxes(image))
            other = look(image, [_box_about(other[0], other[1], sure)])
            if other[2] >= FEWEST or joints is None:
                joints, scores, count = other
        lost, jumped = bool(count < FEWEST), False
        if not lost:
            now = _box_about(joints, scores, sure)
            jumped = last is not None and not _overlap(now, last)
            last = now
        yield Sight(joints, scores, lost, jumped)


def joints_in_film(model, processor, frames, box=None, sure=None, mirror=False):
    """All that `follow` finds in a film, frame by frame, so that only one is in memory.

    Args:
        model, processor, box, sure, mirror: as `follow` takes them.
        frames: PIL images that know their times, as `media.frames` yields them.

    Returns joints (F, K, 2), px, NaN where they score less than `sure`; scores (F, K); times (F,), s.

    Raises NoPerson if in no frame enough of a person was seen.
    """
    times, sure = [], sure_score(model) if sure is None else sure

    def timed():
        for frame in frames:
            times.append(frame.info["time_s"])
            yield frame

    sights = list(follow(model, processor, timed(), box, sure, mirror))
    if all(sight.lost for sight in sights):
        raise NoPerson(
            f"None of {len(sights)} frames shows {FEWEST} joints of a person well enough. Is all of the body in view, "
            "and the light good?"
        )
    joints, scores = (np.array([getattr(sight, part) for sight in sights]) for part in ("joints", "scores"))
    return np.where(scores[..., None] >= sure, joints, np.nan), scores, np.array(times)


def _box_about(joints, scores, sure):
    """The box of what is sure, or at least half so; of all joints, where that is too little."""
    seen = scores >= sure / 2
    return np.round(box_of(joints[seen] if seen.sum() >= FEWEST else joints, MARGIN))


def _search_boxes(image):
    """Boxes (N, 4) three quarters as wide as high, over the whole of an image: as high as it, and smaller ones."""
    boxes = []
    for height in (image.height, 0.6 * image.height):
        spare = np.array([image.width - 0.75 * height, image.height - height])
        steps = np.ceil(np.maximum(spare, 0) / (0.4 * height)).astype(int)
        for x in np.linspace(0, 1, steps[0] + 1) if spare[0] > 0 else [0.5]:
            for y in np.linspace(0, 1, steps[1] + 1):
                boxes.append([x * spare[0], y * spare[1], 0.75 * height, height])
    return np.round(boxes)


def _overlap(first, second):
    """Whether two boxes (x, y, width, height) have a point in common."""
    return bool((np.abs(2 * (first[:2] - second[:2]) + first[2:] - second[2:]) < first[2:] + second[2:]).all())


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


def torso_length(joints, layout=COCO):
    """A person's torso in joints (F, N, 2 or 3) of a layout: shoulder to opposite hip, as in PCK, in the joints' unit.

    The median over the frames and both diagonals; NaN where none was seen. The measure for what must not depend on the
    film's resolution, as `movement.one_euro`'s `scale`.
    """
    limbs = np.asarray(joints, dtype=float)[:, layout.limbs]
    lengths = np.linalg.norm(limbs[:, [0, 1]] - limbs[:, [7, 6]], axis=-1)
    lengths = lengths[np.isfinite(lengths)]
    return float(np.median(lengths)) if len(lengths) else np.nan
