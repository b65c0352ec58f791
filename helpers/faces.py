"""The 68 facial landmarks of iBUG 300-W: names, boxes, from heatmaps to points, and the 3D shape.

Left and right are the person's own; the person's right eye is on the left of the image.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from matplotlib.tri import LinearTriInterpolator, Triangulation
from PIL import Image
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation
from skimage.feature import Cascade

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
# The action units of FACS that the designed expressions stand for.
ACTION_UNITS = {
    "right eye closed": "AU 43, 45 or 46",
    "left eye closed": "AU 43, 45 or 46",
    "eyes wide": "AU 5",
    "brows up": "AU 1 + 2",
    "smile": "AU 12",
    "mouth open": "AU 25 + 26",
}
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


# Which of the 308 points of Sapiens2 enclose each of the 48 landmarks that it has, too: the landmark is their middle
# (one point stands twice). Same named points: corners of eyes and mouth, middles of lips, ends of brows, nose; along
# lids, lips and brows the place is approximate. Names and order: facebookresearch/sapiens, goliath.py.
# fmt: off
SAPIENS2 = {
    8: (77, 77), 27: (71, 71), 30: (178, 178), 33: (179, 179), 31: (183, 183), 35: (186, 186),
    17: (80, 80), 18: (83, 85), 19: (81, 82), 20: (84, 86), 21: (78, 79),
    26: (89, 89), 25: (93, 95), 24: (90, 91), 23: (92, 94), 22: (87, 88),
    36: (121, 121), 37: (123, 126), 38: (127, 127), 39: (120, 120), 40: (165, 168), 41: (164, 167),
    45: (97, 97), 44: (99, 102), 43: (103, 103), 42: (96, 96), 47: (148, 151), 46: (147, 150),
    48: (188, 188), 49: (192, 196), 50: (197, 197), 51: (190, 190), 52: (198, 198), 53: (193, 199), 54: (189, 189),
    55: (195, 203), 56: (202, 202), 57: (191, 191), 58: (201, 201), 59: (194, 200),
    60: (204, 204), 61: (213, 213), 62: (206, 206), 63: (214, 214), 64: (205, 205),
    65: (218, 218), 66: (207, 207), 67: (217, 217),
}
# fmt: on


class NoFace(ValueError):
    """No face was found in a photograph; the message says what to try."""


def detections(photo, smallest=40):
    """The face boxes (N, 4) as scikit-image's frontal face cascade (local binary patterns) finds them, largest first.

    Args:
        photo: PIL image or array (H, W, 3), RGB.
        smallest: px, width of the smallest face to look for; the cascade itself needs 24.

    Returns:
        Rows x, y, width, height in whole pixels; none at all is an array (0, 4).

    Raises ValueError if `photo` is something else.
    """
    image, smallest = _rgb(photo), max(smallest, 24)
    if min(image.shape[:2]) < smallest:
        return np.zeros((0, 4))
    cascade = Cascade(skimage.data.lbp_frontal_face_cascade_filename())
    largest = (max(image.shape[:2]),) * 2
    found = cascade.detect_multi_scale(
        img=image, scale_factor=1.1, step_ratio=1, min_size=(smallest, smallest), max_size=largest
    )
    rows = sorted(([f["c"], f["r"], f["width"], f["height"]] for f in found), key=lambda row: -row[2])
    return np.array(rows, float).reshape(-1, 4)


def face_boxes(photo, smallest=40):
    """The face boxes (N, 4), `box_of` its landmarks as well as `detections` tell, of at least one face, largest first.

    Raises NoFace where none is found, and says so if there is one in the photograph turned by a quarter or a half.
    """
    image = _rgb(photo)
    found = detections(image, smallest)
    if len(found):
        middle, corner = found[:, None, :2] + found[:, None, 2:] / 2, found[:, :2]
        within = ((middle > corner) & (middle < corner + found[:, 2:])).all(2)  # the cascade may find a face twice
        return np.array([box_of_detection(*row) for row in found[~np.tril(within, -1).any(1)]])
    widths = [detections(np.rot90(image, turns), smallest)[:, 2].max(initial=0) for turns in (1, 2, 3)]
    if any(widths):  # the largest, as the cascade takes some things for small faces
        angle = 90 * (1 + int(np.argmax(widths)))
        raise NoFace(
            f"No upright face, but what looks like one if the photograph is turned by {angle} degrees: "
            f"use photo.rotate({angle}, expand=True)."
        )
    height, width = image.shape[:2]
    raise NoFace(
        f"No face was found in {width}x{height} pixels. The detector knows upright, frontal faces of at least "
        f"{max(smallest, 24)} pixels, with a little room around them. Crop, enlarge or turn the photograph, pass a "
        "smaller `smallest` (24 is the least), or give the box yourself."
    )


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
    modes = modes - modes.mean(1, keepdims=True)  # the labels are centred, whatever moves
    for _ in range(rounds):
        shape = mean + np.tensordot(weights, modes, 1)
        camera = cameras_of(shape[None], points[None])[0]
        basis = (modes @ camera.T).reshape(len(modes), 2 * len(points)).T
        rest = (points - mean @ camera.T).ravel()
        scale = noise * np.linalg.norm(camera) / 2**0.5
        weights = np.linalg.solve(basis.T @ basis + scale**2 * np.eye(len(modes)), basis.T @ rest)
    return camera, weights, (mean + np.tensordot(weights, modes, 1)) @ camera.T


def yaws_deg(mean, modes, landmarks):
    """The heads' yaw angles (N,), positive where the nose points to the right of the image."""
    cameras = np.array([fit_shape(mean, modes, points - points.mean(0))[0] for points in landmarks])
    x, y = np.moveaxis(cameras / np.linalg.norm(cameras, axis=2, keepdims=True), 1, 0)
    return np.degrees(np.arcsin(np.clip(np.cross(x, y)[:, 0], -1, 1)))


def expression_modes(mean):
    """What six expressions move, name -> displacements (68, 3) of the mean shape (68, 3) at full strength.

    Designed, not learned, after the action units of FACS (Ekman & Friesen 1978) and the animation units of Candide-3
    (Ahlberg 2001). Outer-eye distances, OpenCV's frame.
    """
    modes = {name: np.zeros((68, 3)) for name in ACTION_UNITS}
    for side, pairs in (("right", ((37, 41), (38, 40))), ("left", ((43, 47), (44, 46)))):
        for upper, lower in pairs:
            gap = mean[lower] - mean[upper]
            modes[f"{side} eye closed"][upper], modes[f"{side} eye closed"][lower] = 0.85 * gap, -0.15 * gap
    modes["eyes wide"][[37, 38, 43, 44], 1] = -0.025
    modes["brows up"][17:27, 1] = -0.12
    for rows, share in (((48, 60), 1), ((49, 59), 0.6), ((61, 67), 0.5), ((50, 58), 0.25)):
        for row in rows:
            modes["smile"][row] = share * np.array([-0.08, -0.09, 0.06])
            modes["smile"][MIRROR[row]] = share * np.array([0.08, -0.09, 0.06])
    jaw = np.zeros(68)
    jaw[:17] = np.clip(1.5 * np.sin(np.linspace(0, np.pi, 17)) - 0.5, 0, 1)
    jaw[[*range(55, 60), *range(65, 68)]] = 1
    jaw[[48, 54, 60, 64]] = 0.4
    modes["mouth open"] = jaw[:, None] * np.array([0, 0.22, 0.08])
    return modes


def warp(image, source, target):
    """`image` (H, W, 3), bent piecewise-affinely: what was at points `source` (N, 2) is then at `target` (N, 2).

    Outside of the target's convex hull the picture takes the colour of its first pixel: include its corners.
    """
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    mesh = Triangulation(*np.transpose(target), Delaunay(target).simplices)
    came_from = [LinearTriInterpolator(mesh, c)(x, y).filled(0).astype(np.float32) for c in np.transpose(source)]
    return cv2.remap(image, *came_from, cv2.INTER_LINEAR)


def frontal(landmarks, mean, modes):
    """Landmarks (68, 2) as they would lie if the head faced the camera upright, in outer-eye distances of the model.

    The shape model (mean (68, 3), modes (M, 68, 3)) is fitted under a scaled orthographic camera (`fit_shape`); each
    landmark keeps its place in the image, takes its depth from the model, and is turned back. The modes should hold
    those of the persons and of the expressions: what the model can't do, it takes for a turn of the head.

    Raises ValueError if a landmark is not finite.
    """
    landmarks = _finite(landmarks)
    centred = landmarks - landmarks.mean(0)
    camera, weights, _ = fit_shape(mean, modes, centred)
    scale = np.linalg.norm(camera, axis=1).mean()
    x, y = camera / scale
    R = np.array([x, y, np.cross(x, y)])
    depth = (mean + np.tensordot(weights, modes, 1)) @ R[2]
    return (np.column_stack([centred / scale, depth]) @ R)[:, :2]


def measures(landmarks):
    """Five measures of a frontal, upright face from its landmarks (68, 2), y down; each without a unit.

    The aspect ratio of either eye (Soukupova & Cech 2016): opening over width. The opening between the lips, the height
    of the corners above the middle of the mouth, and the height of the brows above the eyes' corners: over the distance
    of the outer eye corners.

    Raises ValueError if a landmark is not finite.
    """
    p = _finite(landmarks)

    def distance(i, j):
        return float(np.linalg.norm(p[i] - p[j]))

    unit = distance(RIGHT_EYE_CORNER, LEFT_EYE_CORNER)
    down = np.array([-1, 1]) * (p[LEFT_EYE_CORNER] - p[RIGHT_EYE_CORNER])[::-1] / unit
    height = -(p @ down) / unit
    return {
        "right eye": (distance(37, 41) + distance(38, 40)) / (2 * distance(36, 39)),
        "left eye": (distance(43, 47) + distance(44, 46)) / (2 * distance(42, 45)),
        "mouth": distance(62, 66) / unit,
        "smile": float(height[[48, 54]].mean() - height[[51, 57, 62, 66]].mean()),
        "brows": float(height[17:27].mean() - height[[36, 39, 42, 45]].mean()),
    }


def head_angles_deg(R):
    """Yaw, pitch and roll in degrees of a head's rotation (3, 3) to OpenCV's camera frame; the identity is frontal.

    Yaw is positive where the nose points to the right of the image, pitch where it points up, roll where the head leans
    to the right of the image. R = Ry(-yaw) Rx(-pitch) Rz(roll). Raises ValueError for NaN and another shape.
    """
    R = np.asarray(R, dtype=float)
    if R.shape != (3, 3) or not np.isfinite(R).all():
        raise ValueError(f"R must be a rotation (3, 3) without NaN, not {R.tolist()}: was a face found in this frame?")
    yaw, pitch, roll = Rotation.from_matrix(R).as_euler("YXZ", degrees=True)
    return {"yaw": -float(yaw), "pitch": -float(pitch), "roll": float(roll)}


def _rgb(photo):
    """A photograph as an array (H, W, 3)."""
    image = np.asarray(photo.convert("RGB") if isinstance(photo, Image.Image) else photo)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"A photograph is a PIL image or an RGB array (H, W, 3), not an array of shape {image.shape}.")
    return image


def _finite(landmarks):
    landmarks = np.asarray(landmarks, dtype=float)
    if landmarks.shape != (68, 2):
        raise ValueError(f"Landmarks have shape (68, 2), not {landmarks.shape}.")
    bad = np.flatnonzero(~np.isfinite(landmarks).all(axis=1))
    if len(bad):
        raise ValueError(f"Landmark {bad[0]} ({NAMES[bad[0]]}) is not finite. Leave this face out, or find it again.")
    return landmarks
