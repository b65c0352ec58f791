"""How good the bundled `face-landmarks` is: on validation people, and on two portraits.

    python -m benchmarks.faces --data DIR

NME: mean distance of the 68 landmarks over the distance of the outer eye corners, in percent. Boxes are those of the
labels, scattered as the boxes of scikit-image's frontal face cascade do (seeded, the same at every call). DIR holds
`faces.parquet` (see `training.faces`).
"""

import argparse
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoImageProcessor, VitPoseForPoseEstimation

from benchmarks.face_labels import choose, eye_distance, load_faces, mend, shifts_of
from helpers import checkpoints, media
from helpers.face_model import Portrait, fit_shape, load, measures
from helpers.faces import (
    CASCADE,
    GROUPS,
    MARGIN,
    box_of,
    box_of_detection,
    detections,
    eyes_box,
    hand_labels,
    landmarks_of,
    spread_of,
)

EYES = "right eye", "left eye"  # of `measures`
JITTER = (0.11, 0.05, 0.15)  # how a detection's box scatters: centre (x, y) over its width, logarithm of its width


def jittered(box, rng, amount=1.0):
    """A face box as a detector might have given it."""
    right, down, larger = rng.normal(0, JITTER) * amount
    width, side = box[2] / (MARGIN * CASCADE[2]), box[2] * math.exp(larger)
    return np.array([*(box[:2] + box[2] / 2 + width * np.array([right, down]) - side / 2), side, side])


def predict(folder, images, boxes, decode=landmarks_of, batch=64):
    """Landmarks (N, 68, 2) in pixels of each image, through the checkpoint's own processor."""
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = VitPoseForPoseEstimation.from_pretrained(folder).eval()
    found = []
    for start in range(0, len(images), batch):
        part, frames = boxes[start : start + batch], images[start : start + batch]
        inputs = processor(frames, boxes=[[box] for box in part], return_tensors="pt")
        with torch.no_grad():
            heatmaps = model(**inputs).heatmaps
        found.append(decode(heatmaps.numpy(), part))
    return np.concatenate(found)


def dark(processor, kernel_size=3):
    """The decoding in transformers' `post_process_pose_estimation`, on probabilities."""

    def decode(heatmaps, boxes):
        chance = torch.as_tensor(heatmaps).flatten(2).softmax(-1).reshape(heatmaps.shape)
        output = type("Output", (), {"heatmaps": chance * 20})  # its logarithm is clipped below at 0.001
        found = processor.post_process_pose_estimation(output, boxes=[[box] for box in boxes], kernel_size=kernel_size)
        return np.array([face[0]["keypoints"].numpy() for face in found])

    return decode


def peak(heatmaps, boxes):
    """The cell with the highest value."""
    sharp = np.where(heatmaps == heatmaps.max((2, 3), keepdims=True), 0, -np.inf)
    return landmarks_of(sharp, boxes)


def boxes_of(landmarks, amount, seed=0):
    """Jittered face boxes, the same at every call."""
    return np.array([jittered(box_of(p), np.random.default_rng([seed, i]), amount) for i, p in enumerate(landmarks)])


def summary(found, true):
    """Normalised mean error in percent of the outer-eye distance, as a whole and by group, and what fails."""
    errors = 100 * np.linalg.norm(found - true, axis=2) / eye_distance(true)[:, None]
    faces = errors.mean(1)
    return {
        "n": len(faces),
        "nme": round(float(faces.mean()), 3),
        "median": round(float(np.median(faces)), 3),
        "failures_over_10": round(float((faces > 10).mean()), 4),
        "failures_over_8": round(float((faces > 8).mean()), 4),
        "groups": {name: round(float(errors[:, list(rows)].mean()), 3) for name, rows in GROUPS.items()},
        "share_below_1_to_12": [round(float((faces <= limit).mean()), 3) for limit in range(1, 13)],
        "landmarks": errors.mean(0).round(2).tolist(),
    }


def cascade_relation(faces, count=300):
    """`helpers.faces.CASCADE` and `JITTER` anew: what the landmarks' box is to that of scikit-image's cascade.

    The medians, and the robust standard deviations, over `count` photographs of each source; where the cascade finds
    several faces, the nearest; where none, nothing. Pose is in the spread too, so it is a generous one.
    """
    rows = []
    for source in np.unique(faces["source"]):
        for row in np.random.default_rng(0).permutation(np.flatnonzero(faces["source"] == source))[:count]:
            x, y, width, _ = detections(faces["image"][row], 24).T
            box = box_of(faces["landmarks"][row])
            right, down = box[:2, None] + box[2] / 2 - [x + (width - 1) / 2, y + (width - 1) / 2]
            away = np.hypot(right, down)
            if len(away) and away.min() < box[2] / 2:
                i = away.argmin()
                rows.append([right[i] / width[i], down[i] / width[i], np.log(box[2] / MARGIN / width[i])])
    median = np.median(rows, axis=0)
    spread = 1.4826 * np.median(np.abs(rows - median), axis=0)
    relation = [*median[:2].round(3).tolist(), round(math.exp(median[2]), 3)]
    return {"faces": len(rows), "offset and side": relation, "spread": spread.round(3).tolist()}


def portraits(folder):
    """Errors in percent on the two portraits against labels placed by eye, boxes by the cascade and from the labels."""
    results = {}
    for name in ("astronaut", "grace_hopper"):
        image, (true, uncertainty) = np.asarray(media.photo(name)), hand_labels(name)
        boxes = [box_of_detection(*detections(image, 60)[0]), box_of(true)]
        by_cascade, by_labels = (summary(p[None], true[None]) for p in predict(folder, [image, image], boxes))
        results[name] = {key: by_cascade[key] for key in ("nme", "groups", "landmarks")}
        results[name] |= {"nme with the labels' box": by_labels["nme"]}
        results[name] |= {"labels' uncertainty": round(float(100 * uncertainty.mean() / eye_distance(true)), 2)}
    return results


def yaws_deg(mean, modes, landmarks):
    """The heads' yaw angles (N,), positive where the nose points to the right of the image."""
    cameras = np.array([fit_shape(mean, modes, points - points.mean(0))[0] for points in landmarks])
    x, y = np.moveaxis(cameras / np.linalg.norm(cameras, axis=2, keepdims=True), 1, 0)
    return np.degrees(np.arcsin(np.clip(np.cross(x, y)[:, 0], -1, 1)))


def evaluate(folder, stored, shifts, average):
    """Errors on faces with labels `stored`, whose shifts are taken out; `average` is from `average_place`."""
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    shape = load_file(Path(folder) / "shape.safetensors")
    mended, results = mend(stored, shifts), {}
    yaws = np.abs(yaws_deg(shape["mean"], shape["modes"], mended["landmarks"]))
    for source in np.unique(stored["source"]):
        part, raw = (choose(faces, stored["source"] == source) for faces in (mended, stored))
        true, images = part["landmarks"], part["image"]

        def nme(amount, decode=landmarks_of, true=true, images=images):
            return summary(predict(folder, images, boxes_of(true, amount), decode), true)["nme"]

        boxes = boxes_of(true, 1.0)
        found, second, closer = looks(folder, images, boxes)
        boxes_again = np.array([box_of(points) for points in found])
        widths = predict(folder, images, boxes_again, lambda heatmaps, _: spread_of(heatmaps))
        again = summary(second, true)
        across = mend(raw, {source: shifts[source] * [1, 0]})["landmarks"]
        results[source] = summary(found, true) | {
            "nme on labels as stored": summary(found, raw["landmarks"])["nme"],
            "nme on labels shifted sideways only": summary(found, across)["nme"],
            "second look": {k: again[k] for k in ("nme", "median", "failures_over_10")},
            "measures": response(second, true),
            "eyes": eyes_response(folder, images, true, second, closer),
            "spread in cells": {f"percentile {q}": round(float(np.percentile(widths, q)), 3) for q in (1, 50, 99)},
            "nme of the mean face": summary(boxes[:, None, :2] + average * boxes[:, None, 2:], true)["nme"],
            "nme by jitter": {"0": nme(0), "0.5": nme(0.5), "1": summary(found, true)["nme"], "2": nme(2)},
            "nme by decoding": {"peak": nme(1.0, peak), "DARK": nme(1.0, dark(processor))},
            "nme by outer-eye distance in px": by_part(found, true, eye_distance(true), (0, 30, 45, 60, 999)),
            "nme by yaw in degrees": by_part(found, true, yaws[stored["source"] == source], (0, 15, 30, 90)),
        }
    return results


def looks(folder, images, boxes):
    """Landmarks (N, 68, 2) after one look, after two, and after two and one at the eyes."""
    first = predict(folder, images, boxes)
    second = predict(folder, images, np.array([box_of(points) for points in first]))
    eyes = predict(folder, images, np.array([eyes_box(points) for points in second]))
    return first, second, np.where(np.isin(np.arange(68), GROUPS["eyes"])[:, None], eyes, second)


def eyes_response(folder, images, true, second, closer):
    """What two looks, and one more at the eyes, tell of how open they are: errors, slopes, and where labels end.

    `blinks` is the slope for a known change on one and the same face: a warp closes the eyes by 0.7 of their opening.
    `labels of both eyes` is the correlation of the labels' left with their right. Eyes mostly open alike, so where the
    labels' noise is the eyes' own, a reader without error would have about that slope on these labels; a little more,
    as a turned head changes the two ratios against each other.
    """
    shape, shut = load(), {"right eye closed": 0.7, "left eye closed": 0.7}
    actors = [Portrait(image, points, *shape) for image, points in zip(images, true, strict=True)]
    pictures, targets = [actor.picture(shut) for actor in actors], np.array([a.landmarks_at(shut) for a in actors])
    change = eye_ratios(targets) - eye_ratios(true)
    results = {"labels of both eyes": round(float(np.corrcoef(eye_ratios(true).T)[0, 1]), 3)}
    before, after = (looks(folder, some, boxes_of(true, 0)) for some in (images, pictures))
    for name, found, row in (("two looks", second, 1), ("and one at the eyes", closer, 2)):
        error, slopes = summary(found, true), response(found, true)
        found_change = eye_ratios(after[row]) - eye_ratios(before[row])
        results[name] = {
            "nme": error["nme"],
            "nme of the eyes": error["groups"]["eyes"],
            "slope": round(float(np.mean([slopes[eye]["slope"] for eye in EYES])), 3),
            "correlation": round(float(np.mean([slopes[eye]["correlation"] for eye in EYES])), 3),
            "blinks": round(float((found_change * change).sum() / (change**2).sum()), 3),
        }
    return results


def eye_ratios(landmarks):
    """The aspect ratios (N, 2) of the right and the left eye."""
    return np.array([[measures(points)[eye] for eye in EYES] for points in landmarks])


def response(found, true):
    """How measures of the found landmarks answer to those of the true ones: slope of the line, and correlation.

    Both are NaN where the true ones don't differ.
    """
    values = [[list(measures(points).values()) for points in faces] for faces in (true, found)]
    answers = {}
    for name, x, y in zip(measures(true[0]), *np.moveaxis(values, 2, 1), strict=True):
        differ = np.ptp(x) > 1e-9
        slope, correlation = (np.polyfit(x, y, 1)[0], np.corrcoef(x, y)[0, 1]) if differ else (np.nan, np.nan)
        answers[name] = {"slope": round(float(slope), 3), "correlation": round(float(correlation), 3)}
    return answers


def by_part(found, true, values, limits):
    """NME and number of the faces with a value between one limit and the next."""
    parts = {}
    for low, high in pairwise(limits):
        rows = (values >= low) & (values < high)
        if rows.any():
            parts[f"{low}-{high}"] = {"n": int(rows.sum()), "nme": summary(found[rows], true[rows])["nme"]}
    return parts


def average_place(landmarks):
    """The mean place (68, 2) of each landmark in the face box, from 0 to 1."""
    boxes = np.array([box_of(points) for points in landmarks])[:, None]
    return ((landmarks - boxes[..., :2]) / boxes[..., 2:]).mean(0)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with faces.parquet")
    parser.add_argument("--checkpoint", default=checkpoints.find("face-landmarks"))
    options = parser.parse_args(arguments)
    train = load_faces(options.data, "train")
    shifts = shifts_of(train)
    average = average_place(mend(train, shifts)["landmarks"])
    results = evaluate(options.checkpoint, load_faces(options.data, "validation"), shifts, average)
    print("| | n | NME | median | > 10 % | " + " | ".join(GROUPS) + " |\n" + "|---" * (5 + len(GROUPS)) + "|")
    for source, r in results.items():
        cells = [r["nme"], r["median"], 100 * r["failures_over_10"], *r["groups"].values()]
        print(f"| {source} | {r['n']} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    for name, r in portraits(options.checkpoint).items():
        cells = [f"{cell:.2f}" for cell in r["groups"].values()]
        print(f"| {name}, by eye | 1 | {r['nme']:.2f} | | | " + " | ".join(cells) + " |")
    for source, r in results.items():
        more = {
            key: value for key, value in r.items() if key.startswith(("nme ", "second", "measures", "eyes", "spread"))
        }
        print(f"\n{source}:", json.dumps(more, indent=1))


if __name__ == "__main__":
    main()
