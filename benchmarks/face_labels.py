"""Faces with their 68 labels, and the labels' constant shift: found by symmetry, and taken out.

In `youtube-faces` the labels sit beside the features, all to the same side, so a mirrored photograph contradicts its
original. By how much needs no model: the photographs, aligned by their labels, are averaged into one mean face. Over
many faces light and pose average out, so what is left should be mirror-symmetric about the axis of the labels; half of
the displacement between the mean face and its mirror image is the shift. Up and down have no such symmetry: there the
mean face is laid over that of `helen`, whose labels were made on large photographs. Its own shift, a third as large, is
taken to be the same down as across, as it is where pixels are counted from another origin. (For the difference of the
two sources, where both can be measured, this holds: 2.2 % of the outer-eye distance across, 2.3 % down.)
"""

import io
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
from PIL import Image

from helpers.faces import LEFT_EYE_CORNER, MIRROR, RIGHT_EYE_CORNER

SHEET, UNIT = 256, 100.0  # pixels: side of the sheet of a mean face, outer-eye distance on it
REFERENCE = "helen"


def load_faces(data, split):
    """Photographs (uint8 RGB) and labels of one split, as columns."""
    rows = pyarrow.parquet.read_table(Path(data) / "faces.parquet", filters=[("split", "=", split)])
    images = rows["image"].combine_chunks().field("bytes").to_pylist()
    return {
        "image": [np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in images],
        "landmarks": np.array(rows["landmarks"].to_pylist(), float),
        "source": np.array(rows["source"].to_pylist()),
        "identity": np.array(rows["identity"].to_pylist()),
    }


def choose(faces, keep):
    """The rows of `faces` where `keep` is true."""
    rows = np.flatnonzero(keep)
    return {key: [v[i] for i in rows] if isinstance(v, list) else v[rows] for key, v in faces.items()}


def mirrored(landmarks, width=1):
    """The labels of the mirror image of a photograph of this width."""
    return (landmarks * [-1, 1] + [width - 1, 0])[..., MIRROR, :]


def eye_distance(landmarks):
    return np.linalg.norm(landmarks[..., RIGHT_EYE_CORNER, :] - landmarks[..., LEFT_EYE_CORNER, :], axis=-1)


def align(points, target):
    """The 2x3 similarity that lays points (N, 2) over target (N, 2), least squares."""
    source, goal = points - points.mean(0), target - target.mean(0)
    cosine, sine = (source * goal).sum(), (source[:, 0] * goal[:, 1] - source[:, 1] * goal[:, 0]).sum()
    turn = np.array([[cosine, -sine], [sine, cosine]]) / (source**2).sum()
    return np.column_stack([turn, target.mean(0) - turn @ points.mean(0)])


def template(landmarks, rounds=5):
    """The mean shape of all labels and their mirror images on the sheet: mirror-symmetric about its middle."""
    shape = landmarks[0]
    for _ in range(rounds):
        aligned = []
        for points in landmarks:
            a = align(points, shape)
            aligned.append(points @ a[:, :2].T + a[:, 2])
        shape = np.mean(aligned, axis=0)
        shape = shape - shape.mean(0)
        shape = (shape + mirrored(shape)) / 2
        shape *= UNIT / eye_distance(shape)
    return shape + (SHEET - 1) / 2


def mean_face(images, landmarks, shape):
    """The mean of gray photographs, each laid with its labels over `shape` and brought to the same contrast."""
    (left, top), (right, bottom) = shape[17:].min(0).astype(int), shape[17:].max(0).astype(int)
    total = np.zeros((SHEET, SHEET))
    for image, points in zip(images, landmarks, strict=True):
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        laid = cv2.warpAffine(gray, align(points, shape), (SHEET, SHEET), borderMode=cv2.BORDER_REPLICATE)
        part = laid[top:bottom, left:right]
        total += (laid - part.mean()) / (part.std() + 5)
    return (total / len(images)).astype(np.float32)


def displacement(first, second, shape, reach=16):
    """By how much (x, y) in px the inner face lies further right and down on the sheet `second` than on `first`."""
    (left, top), (right, bottom) = shape[17:].min(0).astype(int) - 12, shape[17:].max(0).astype(int) + 12
    patch = first[top:bottom, left:right]
    around = second[top - reach : bottom + reach, left - reach : right + reach]
    match = cv2.matchTemplate(around, patch, cv2.TM_CCOEFF_NORMED)
    y, x = np.clip(np.unravel_index(match.argmax(), match.shape), 1, 2 * reach - 1)
    vertex = [(a - c) / (2 * (a - 2 * b + c)) for a, b, c in (match[y, x - 1 : x + 2], match[y - 1 : y + 2, x])]
    return np.array([x, y]) + vertex - reach


def label_shift(images, landmarks, reference=None):
    """How far right of and below the features the labels sit, (x, y) in outer-eye distances.

    y is relative to the mean face of the photographs and labels `reference`, and 0 without.
    """
    shape = template(landmarks)
    face = mean_face(images, landmarks, shape)
    right = displacement(face, face[:, ::-1], shape)[0] / 2
    down = -displacement(mean_face(*reference, shape), face, shape)[1] if reference else 0.0
    return np.array([right, down]) / UNIT


def shifts_of(faces):
    """The labels' shift of each source."""
    parts = {source: choose(faces, faces["source"] == source) for source in np.unique(faces["source"])}
    reference = (parts[REFERENCE]["image"], parts[REFERENCE]["landmarks"])
    own = label_shift(*reference)[[0, 0]]
    further = np.array([0, own[1]])
    shifts = {s: further + label_shift(p["image"], p["landmarks"], reference) for s, p in parts.items()}
    return shifts | {REFERENCE: own}


def mend(faces, shifts):
    """Takes each source's shift out of its labels."""
    shift = np.array([shifts[source] for source in faces["source"]]).reshape(-1, 1, 2)
    return faces | {"landmarks": faces["landmarks"] - shift * eye_distance(faces["landmarks"])[:, None, None]}
