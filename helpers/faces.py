"""The 68 facial landmarks of iBUG 300-W: names, boxes, from heatmaps to points, and the 3D shape.

Left and right are the person's own; the person's right eye is on the left of the image.
"""

import json
from pathlib import Path

import numpy as np

GROUPS = {
    "jaw": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}


_EYE = ("outer corner", "upper lid outer", "upper lid inner", "inner corner", "lower lid inner", "lower lid outer")
NAMES = (
    *(f"right jaw {i}" for i in range(1, 9)),
    "chin",
    *(f"left jaw {i}" for i in range(8, 0, -1)),
    *(f"right brow {i}" for i in range(1, 6)),
    *(f"left brow {i}" for i in range(5, 0, -1)),
    *("nose bridge 1", "nose bridge 2", "nose bridge 3", "nose tip"),
    *("right nostril 1", "right nostril 2", "nose base", "left nostril 2", "left nostril 1"),
    *(f"right eye {_EYE[i]}" for i in (0, 1, 2, 3, 4, 5)),
    *(f"left eye {_EYE[i]}" for i in (3, 2, 1, 0, 5, 4)),
    *("right mouth corner", "right upper lip 1", "right upper lip 2", "upper lip middle"),
    *("left upper lip 2", "left upper lip 1", "left mouth corner"),
    *("left lower lip 1", "left lower lip 2", "lower lip middle", "right lower lip 2", "right lower lip 1"),
    *("right mouth inner corner", "right upper lip inner", "upper lip middle inner"),
    *("left upper lip inner", "left mouth inner corner", "left lower lip inner"),
    *("lower lip middle inner", "right lower lip inner"),
)
_SWAP = {"right": "left", "left": "right"}
MIRROR = np.array([NAMES.index(" ".join(_SWAP.get(word, word) for word in name.split())) for name in NAMES])
RIGHT_EYE_CORNER, LEFT_EYE_CORNER = 36, 45  # the outer ones: their distance is the unit of the errors

# What the landmarks' box is to the box of scikit-image's frontal face cascade, in units of the latter's width: the
# offset of the centre (x, y) and the longer side. Medians over training photographs (`benchmarks.faces`).
CASCADE = (0.0, 0.14, 0.97)
MARGIN = 1.25  # the face box's side over the landmarks' longer one: room for a detector's errors
CROP = 1.25  # the processor's fixed ratio of crop to box


def box_of(landmarks):
    """The square face box (x, y, side, side) of landmarks (68, 2): centred on them, a quarter longer than they are."""
    low, high = np.min(landmarks, axis=0), np.max(landmarks, axis=0)
    side = MARGIN * np.max(high - low)
    return np.array([*((low + high) / 2 - side / 2), side, side])


def box_of_detection(x, y, width, height):
    """The face box that `box_of` would give, as well as a box of scikit-image's frontal face cascade tells."""
    right, down, longer = (part * width for part in CASCADE)
    side = MARGIN * longer
    centre = np.array([x + (width - 1) / 2 + right, y + (height - 1) / 2 + down])  # a detection counts whole pixels
    return np.array([*(centre - side / 2), side, side])


def landmarks_of(heatmaps, boxes):
    """Heatmaps (N, 68, H, W) of the face boxes (N, 4) -> landmarks (N, 68, 2) in pixels: the mean place on each map.

    The heatmaps are logits: their softmax is the probability that the landmark lies in a cell.
    """
    heatmaps = np.asarray(heatmaps, dtype=float)
    height, width = heatmaps.shape[2:]
    probability = np.exp(heatmaps - heatmaps.max((2, 3), keepdims=True))
    probability /= probability.sum((2, 3), keepdims=True)
    x = probability.sum(2) @ np.arange(width) / (width - 1)
    y = probability.sum(3) @ np.arange(height) / (height - 1)
    corner, size = np.split(np.asarray(boxes, dtype=float)[:, None], 2, axis=2)
    side = CROP * size.max(-1, keepdims=True)
    return corner + size / 2 + side * (np.stack([x, y], -1) - 0.5)


def hand_labels(portrait):
    """The landmarks (68, 2) of `media.photo(portrait)`, placed by eye, and how many pixels each may be off (68,)."""
    entry = json.loads((Path(__file__).parent / "portraits.json").read_text(encoding="utf-8"))[portrait]
    uncertainty = np.concatenate([np.full(len(rows), entry["uncertainty_px"][name]) for name, rows in GROUPS.items()])
    return np.array(entry["landmarks"]), uncertainty


def cameras_of(shapes, views):
    """The scaled orthographic cameras (N, 2, 3) that show shapes (N, 68, 3) most nearly at views (N, 68, 2)."""
    free = views.mT @ shapes @ np.linalg.inv(shapes.mT @ shapes + 1e-6 * np.eye(3))  # flat shapes have no depth
    u, scales, v = np.linalg.svd(free, full_matrices=False)
    return scales.mean(1)[:, None, None] * u @ v


def fit_shape(mean, modes, points, noise=0.02, rounds=10):
    """The camera (2, 3), coefficients and reprojected points of the shape model for centred labels (68, 2)."""
    weights = np.zeros(len(modes))
    for _ in range(rounds):
        shape = mean + np.tensordot(weights, modes, 1)
        camera = cameras_of(shape[None], points[None])[0]
        basis = (modes @ camera.T).reshape(len(modes), 68 * 2).T
        rest = (points - mean @ camera.T).ravel()
        scale = noise * np.linalg.norm(camera) / 2**0.5
        weights = np.linalg.solve(basis.T @ basis + scale**2 * np.eye(len(modes)), basis.T @ rest)
    return camera, weights, (mean + np.tensordot(weights, modes, 1)) @ camera.T


def yaws_deg(mean, modes, landmarks):
    """The heads' yaw angles (N,), positive where the nose points to the right of the image."""
    cameras = np.array([fit_shape(mean, modes, points - points.mean(0))[0] for points in landmarks])
    x, y = np.moveaxis(cameras / np.linalg.norm(cameras, axis=2, keepdims=True), 1, 0)
    return np.degrees(np.arcsin(np.clip(np.cross(x, y)[:, 0], -1, 1)))
