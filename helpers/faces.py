"""The 68 facial landmarks of iBUG 300-W: names, boxes, and from a photograph or the next frame of a film to points.

Left and right are the person's own; the person's right eye is on the left of the image.
"""

import json
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from scipy.special import softmax
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
RIGHT_EYE_CORNER, LEFT_EYE_CORNER = 36, 45  # the outer ones: their distance is the unit of the errors

# What the landmarks' box is to the box of scikit-image's frontal face cascade, in units of the latter's width: the
# offset of the centre (x, y) and the longer side. Medians over training photographs (`benchmarks.faces`).
CASCADE = (0.0, 0.14, 0.97)
MARGIN = 1.25  # the face box's side over the landmarks' longer one: room for a detector's errors
CLOSE = 0.55  # the eyes' box to the face's: both eyes, with room for the landmarks' errors
CROP = 1.25  # the processor's fixed ratio of crop to box
# Cells: 99 % of the held-out faces have a narrower `spread_of` their heatmaps (the checkpoint's `results.json`).
SPREAD_LIMIT = 1.59


def box_of(landmarks):
    """The square face box (x, y, side, side) of landmarks (68, 2): centred on them, a quarter longer than they are.

    Landmarks that are not known may be NaN."""
    low, high = np.nanmin(landmarks, axis=0), np.nanmax(landmarks, axis=0)
    side = MARGIN * np.max(high - low)
    return np.array([*((low + high) / 2 - side / 2), side, side])


def eyes_box(landmarks):
    """The square box (x, y, side, side) of the eyes of landmarks (68, 2), about half as long as `box_of`."""
    side = CLOSE * box_of(landmarks)[2]
    return np.array([*(landmarks[list(GROUPS["eyes"])].mean(axis=0) - side / 2), side, side])


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
    8: (77, 77), 27: (71, 71), 30: (178, 178), 33: (179, 179), 31: (183, 183), 35: (186, 186), 17: (80, 80),
    18: (83, 85), 19: (81, 82), 20: (84, 86), 21: (78, 79), 26: (89, 89), 25: (93, 95), 24: (90, 91), 23: (92, 94),
    22: (87, 88), 36: (121, 121), 37: (123, 126), 38: (127, 127), 39: (120, 120), 40: (165, 168), 41: (164, 167),
    45: (97, 97), 44: (99, 102), 43: (103, 103), 42: (96, 96), 47: (148, 151), 46: (147, 150), 48: (188, 188),
    49: (192, 196), 50: (197, 197), 51: (190, 190), 52: (198, 198), 53: (193, 199), 54: (189, 189), 55: (195, 203),
    56: (202, 202), 57: (191, 191), 58: (201, 201), 59: (194, 200), 60: (204, 204), 61: (213, 213), 62: (206, 206),
    63: (214, 214), 64: (205, 205), 65: (218, 218), 66: (207, 207), 67: (217, 217),
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
    """Heatmaps (N, 68, S, S) of the face boxes (N, 4) -> landmarks (N, 68, 2) in pixels: the mean place on each map.

    The heatmaps are logits: their softmax is the probability that the landmark lies in a cell.
    """
    place = np.stack([chance @ np.linspace(-0.5, 0.5, chance.shape[2]) for chance in _chances(heatmaps)], -1)
    corner, size = np.split(np.asarray(boxes, dtype=float)[:, None], 2, axis=2)
    return corner + size / 2 + CROP * size.max(-1, keepdims=True) * place


def spread_of(heatmaps):
    """The standard deviation of the place under each map's probabilities, in cells: the mean over the landmarks (N,).

    Heatmaps are (N, 68, S, S), as for `landmarks_of`. Above `SPREAD_LIMIT` there is hardly a face.
    """
    cells = np.arange(np.shape(heatmaps)[3])
    return np.sqrt(sum(chance @ cells**2 - (chance @ cells) ** 2 for chance in _chances(heatmaps))).mean(1)


def _chances(heatmaps):
    """The probabilities of the columns (N, 68, W) and of the rows (N, 68, H) of heatmaps that are logits."""
    probability = softmax(np.asarray(heatmaps, dtype=float), axis=(2, 3))
    return probability.sum(2), probability.sum(3)


def find_landmarks(photo, boxes, model, processor, looks=2, eyes=False):
    """The landmarks (N, 68, 2), px, of the faces in boxes (N, 4) of a photograph, and their `spread_of` (N,).

    Each look after the first is in the boxes of the landmarks that the one before found: slower, and more exact. With
    `eyes`, those of the eyes come from one more look, into `eyes_box`, which sees far more of how open they are.

    Through Sapiens2 (its 308 heatmaps are no logits) come the landmarks of `SAPIENS2`; the others are NaN, and so is
    the spread, for which no limit was measured. `eyes` changes nothing there.
    """
    landmarks, spreads = np.zeros((0, len(NAMES), 2)), np.zeros(0)
    for _ in range(looks if len(boxes) else 0):
        landmarks, spreads = _look(photo, boxes, model, processor)
        boxes = [box_of(points) for points in landmarks]
    if eyes and len(boxes) and np.isfinite(spreads).all():
        rows = list(GROUPS["eyes"])
        closer, _ = _look(photo, [eyes_box(points) for points in landmarks], model, processor)
        landmarks[:, rows] = closer[:, rows]
    return landmarks, spreads


def _look(photo, boxes, model, processor):
    """One look of `find_landmarks`."""
    rows = [tuple(map(float, box)) for box in boxes]
    inputs = processor([_rgb(photo)], boxes=[rows], return_tensors="pt").to(model.device)
    with torch.inference_mode():
        outputs = model(**inputs)
    outputs.heatmaps = outputs.heatmaps.float().cpu()
    if outputs.heatmaps.shape[1] == len(NAMES):
        return landmarks_of(outputs.heatmaps, rows), spread_of(outputs.heatmaps)
    found = processor.post_process_pose_estimation(outputs, boxes=[rows])[0]
    landmarks, points = np.full((len(rows), len(NAMES), 2), np.nan), np.array([f["keypoints"].numpy() for f in found])
    landmarks[:, list(SAPIENS2)] = points[:, list(SAPIENS2.values())].mean(2)
    return landmarks, np.full(len(rows), np.nan)


def find_faces(photo, model, processor, smallest=40):
    """The landmarks (N, 68, 2), px, of the faces in a photograph, the largest first; the eyes have a look of their own.

    Raises NoFace where the detector finds none (see `face_boxes`), and where no heatmaps are narrow enough for one.
    """
    boxes = face_boxes(photo, smallest)
    landmarks, spreads = find_landmarks(photo, boxes, model, processor, eyes=True)
    if (spreads > SPREAD_LIMIT).all():
        raise NoFace(
            f"Where the detector sees a face ({len(boxes)} found), the heatmaps are too wide for one. "
            "Is the photograph sharp, light and the right way up?"
        )
    return landmarks[~(spreads > SPREAD_LIMIT)]


def next_face(frame, before, model, processor, smallest=60):
    """The landmarks (68, 2), px, of a face in the next frame of a film, or None where none is sure.

    The box is that of the landmarks `before` in the frame before. Where they are None, or the face is lost (which
    Sapiens2 never says), the detector is asked for the largest face. The eyes have a look of their own.
    """
    if before is not None:
        box = np.round(box_of(before), 1)  # or rounding errors would go from frame to frame, and grow
        landmarks, spreads = find_landmarks(frame, [box], model, processor, looks=1, eyes=True)
        if not spreads[0] > SPREAD_LIMIT:
            return landmarks[0]
    boxes = [box_of_detection(*row) for row in detections(frame, smallest)]
    landmarks, spreads = find_landmarks(frame, boxes, model, processor, eyes=True)
    sure = landmarks[~(spreads > SPREAD_LIMIT)]
    return sure[0] if len(sure) else None


def hand_labels(portrait):
    """The landmarks (68, 2) of `media.photo(portrait)`, placed by eye, and how many pixels each may be off (68,)."""
    entry = json.loads((Path(__file__).parent / "portraits.json").read_text(encoding="utf-8"))[portrait]
    uncertainty = np.concatenate([np.full(len(rows), entry["uncertainty_px"][name]) for name, rows in GROUPS.items()])
    return np.array(entry["landmarks"]), uncertainty


def _rgb(photo):
    """A photograph as an array (H, W, 3)."""
    image = np.asarray(photo.convert("RGB") if isinstance(photo, Image.Image) else photo)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"A photograph is a PIL image or an RGB array (H, W, 3), not an array of shape {image.shape}.")
    return image
