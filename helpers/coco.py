"""Labelled keypoints as annotation tools export them, COCO's JSON, checked before anything is trained on them.

A wrong label stops no training; it spoils it quietly. So whatever is wrong is a `LabelError` that names the picture and
says what to do. The format: https://cocodataset.org/#format-data, "Keypoint Detection".
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from helpers import media


class LabelError(ValueError):
    """Labels that can't be used; the message names the file or the picture, and the remedy."""


class Sample(NamedTuple):
    """A picture and its keypoints (N, 2), px, with flags (N,): 2 seen, 1 hidden but known, 0 unknown; None and None
    where nothing is labelled."""

    image: Image.Image
    keypoints: np.ndarray | None
    flags: np.ndarray | None


def read(labels: str | os.PathLike, images: str | os.PathLike, longest: int = 512) -> tuple[list[Sample], list[str]]:
    """Returns a `Sample` for each picture, in the file's order, and the names of the keypoints.

    Args:
        labels: the JSON file, with one kind of labelled thing, and one of it in a picture at most.
        images: the folder of the pictures.
        longest: px; larger pictures are shrunk by a whole number, and the keypoints with them.

    Raises LabelError for a file that is not COCO's JSON, for a picture without entry, with several annotations, or with
    another size than the entry's, and for an annotation with another number of keypoints, with none marked, or with one
    outside of the picture; media.MediaError for a picture that is missing or damaged.
    """
    names, entries, annotations = _parts(Path(labels))
    samples = []
    for key, entry in entries.items():
        image = media.load(Path(images) / entry["file_name"])
        if image.size != (entry["width"], entry["height"]):
            raise LabelError(
                f"{entry['file_name']} has {image.width} x {image.height} px, and its labels are for {entry['width']} "
                f"x {entry['height']}: label the very file that you train on; if it is turned, save it upright first."
            )
        keypoints, flags = _checked(annotations[key], entry, names) if key in annotations else (None, None)
        block = -(-max(image.size) // longest)
        if keypoints is not None:
            keypoints = (keypoints + 0.5) / block - 0.5
        samples.append(Sample(image.reduce(block), keypoints, flags))
    return samples, names


def _parts(path):
    """The names of the keypoints; the pictures' entries and the annotations, by the picture's number."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        categories = [one for one in data["categories"] if one.get("keypoints")]
        entries = {one["id"]: one for one in data["images"]}
        found = [one for one in data["annotations"] if not one.get("iscrowd")]
        numbers = [one["image_id"] for one in found]
        _ = [(one["file_name"], one["width"], one["height"]) for one in entries.values()]
    except FileNotFoundError as error:
        raise LabelError(f"There is no file {path.absolute()}. Check the spelling.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelError(
            f"{path} is not COCO's JSON ({type(error).__name__}: {error}): export as COCO keypoints, and give the file "
            "that holds images, annotations and categories."
        ) from error
    if len(categories) != 1:
        raise LabelError(
            f"{path} has {len(categories)} categories with keypoints: keep one, with the keypoints' names."
        )
    for number, count in Counter(numbers).items():
        if number not in entries:
            raise LabelError(
                f"{path} has an annotation of picture {number}, which is not among its images: export again."
            )
        if count > 1:
            name = entries[number]["file_name"]
            raise LabelError(f"{name} has {count} annotations: cut it into one picture for each of them.")
    return list(categories[0]["keypoints"]), entries, dict(zip(numbers, found, strict=True))


def _checked(one, entry, names):
    """Keypoints (N, 2), px, and flags (N,) of an annotation."""
    where = f"{entry['file_name']}, annotation {one.get('id')}"
    values = one.get("keypoints") or []
    if len(values) != 3 * len(names):
        raise LabelError(f"{where}, has {len(values) / 3:g} keypoints instead of {len(names)}: label it again.")
    try:
        keypoints = np.array(values, dtype=float).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{where}, has keypoints that are not numbers ({error}): label it again.") from error
    flags = keypoints[:, 2].astype(int)
    if not flags.any():
        raise LabelError(f"{where}, is empty: no keypoint is marked. Mark some, or delete the annotation.")
    inside = (keypoints[:, :2] >= -0.5) & (keypoints[:, :2] <= [entry["width"], entry["height"]])
    for name, good, (x, y, _) in zip(names, inside.all(1) | (flags == 0), keypoints, strict=True):
        if not good:
            raise LabelError(
                f"{where}, has {name!r} at ({x:g}, {y:g}), outside of {entry['width']} x {entry['height']} px: move "
                "it, or mark it as not labelled."
            )
    return keypoints[:, :2], flags
