"""How good the bundled `body-pose` is: on rendered people, on the workout film, and on real photographs.

    python -m benchmarks.bodies --data DIR --renders PICTURES

PCK@a: the share of joints found within `a` torso diameters (left shoulder to right hip) of where they are. Boxes are
those of the true joints, a margin wider, scattered in place and size (seeded, the same at every call), or, in the film,
those of `helpers.bodies.follow`.

1. Renders of people, movements and backgrounds that training never saw: PICTURES holds those of
   `python -m training.body_pictures --split validation`; without `--renders` they are left out.
2. The workout film, every fourth frame.
3. Photographs of the split "validation" of Leeds Sports Pose Extended, 12 joints. Upright: the top of the head is
   higher in the picture than both hips, where all three are labelled. Its crowd-sourced labels are partly wrong, so
   also: those of its joints that two good networks confirm.
4. Real people whose joints two good networks agree about: the split "validation", of the sources that training learns
   from, and the split "test", of a source that it never saw.

A joint is exchanged if it is wrong at 0.2 and lies within 0.2 of the same joint on the other side.

DIR holds `bodies.parquet`, `bodies_teacher.parquet` and `people.parquet` (see `training.bodies`).
"""

import argparse
import io
import json
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
from PIL import Image, ImageFilter, ImageOps
from transformers import AutoImageProcessor, VitPoseForPoseEstimation

from helpers import bodies, checkpoints, media, movement
from helpers.bodies import COCO, LSP
from helpers.lifter import BodyLifter, lift
from helpers.metrics import pck, torso_errors

MARGIN = 1.12  # a box's sides over those of its joints; the processor widens it by another quarter
JITTER = 0.05, 0.1  # how a detector's boxes scatter: centre over the longer side, logarithm of the size
EMPTY = ("chelsea", "coffee", "coins", "grass", "motorcycle_left", "page", "rocket", "text")  # nobody is on these
FEWEST = 4  # labels that a photograph needs
RIGHT = 0.9  # of the joints above the score that is chosen
SURE_LABEL = 0.7  # weight from which a label made by networks counts
CONFIRMED = 0.3  # torso diameters within which such a label confirms a person's own


# --- pictures ---------------------------------------------------------------------------------------------------


def load_people(data, split):
    """Real people: JPEG bytes; joints (N, 17, 2), px, NaN where not labelled; upright (N,), of `bodies.parquet`."""
    rows = pyarrow.parquet.read_table(Path(data) / "bodies.parquet", filters=[("split", "=", split)])
    labels = np.array(rows["joints"].to_pylist(), float).reshape(-1, 14, 3)
    labels[labels[..., 2] == 0] = np.nan
    joints = np.full((len(labels), 17, 2), np.nan, np.float32)
    joints[:, COCO.limbs] = labels[:, LSP.limbs, :2]
    head, hips = (labels[:, [LSP.names.index(name) for name in names], 1] for names in (("head top",), LSP.names[2:4]))
    return rows["image"].combine_chunks().field("bytes").to_pylist(), joints, (head < hips).all(1)


def load_weighted(file, split):
    """People labelled by networks: JPEG bytes; joints (N, 17, 2), px; weights (N, 17), 0 for unknown; sources."""
    rows = pyarrow.parquet.read_table(file, filters=[("split", "=", split)])
    labels = np.array(rows["joints"].to_pylist(), np.float32).reshape(-1, 17, 3)
    images = rows["image"].combine_chunks().field("bytes").to_pylist()
    return images, labels[..., :2], labels[..., 2], rows["source"].to_pylist()


def second_labels(data, split):
    """Joints (N, 17, 2) and weights (N, 17) by two networks for the people of `load_people`, in the same order."""
    folder = Path(data)
    rows = np.array(pyarrow.parquet.read_table(folder / "bodies.parquet", columns=["split"])["split"].to_pylist())
    table = pyarrow.parquet.read_table(folder / "bodies_teacher.parquet").sort_by("row")
    labels = np.array(table["joints"].to_pylist(), np.float32).reshape(-1, 17, 3)[rows == split]
    return labels[..., :2], labels[..., 2]


def load_renders(folder, split):
    """Rendered people: JPEG bytes, joints (N, 17, 2), px, and visibility (N, 17) as in COCO."""
    images, joints, visibility = [], [], []
    for file in sorted(Path(folder).glob(f"{split}-????.npz")):
        with np.load(file) as shard:
            images += [part.tobytes() for part in np.split(shard["jpeg"], shard["ends"][:-1])]
            joints.append(shard["joints"])
            visibility.append(shard["visibility"])
    if not images:
        raise FileNotFoundError(f"No pictures of split {split!r} in {folder}. Make them: training.body_pictures.")
    return images, np.concatenate(joints), np.concatenate(visibility)


def decoded(jpeg):
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def box_of(joints, margin=MARGIN):
    """The box (x, y, width, height) of a label (N, 2), NaN where unknown. A found person's takes more joints."""
    low, high = np.nanmin(joints, axis=0), np.nanmax(joints, axis=0)
    side = np.maximum(high - low, 8) * margin
    return np.concatenate([(low + high - side) / 2, side])


def scattered(joints, seed=0):
    """Boxes (N, 4) of people (N, 17, 2), as a detector might have given them."""
    boxes = []
    for number, points in enumerate(joints):
        box, rng = box_of(points), np.random.default_rng([seed, number])
        size = box[2:] * np.exp(rng.normal(0, JITTER[1]))
        centre = box[:2] + box[2:] / 2 + rng.normal(0, JITTER[0], 2) * box[2:].max()
        boxes.append(np.concatenate([centre - size / 2, size]))
    return np.array(boxes)


# --- the model --------------------------------------------------------------------------------------------------


class Detector:
    """The checkpoint in a folder with its processor. `mirror`: also look at the mirror image, and take the mean."""

    def __init__(self, folder, mirror=False):
        self.processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.model = VitPoseForPoseEstimation.from_pretrained(folder).eval()
        self.mirror = mirror

    def __call__(self, images, boxes, batch=32):
        """Joints (N, 17, 2), px of each image, and scores (N, 17), one person and box (4,) an image."""
        parts = [slice(start, start + batch) for start in range(0, len(images), batch)]
        found = [bodies.find_joints(self.model, self.processor, images[p], boxes[p], self.mirror) for p in parts]
        return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def ms_a_frame(detector, image, box, count=60):
    """Milliseconds for processor, model and decoding of one crop on one thread, median."""
    threads, times = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for _ in range(count):
        start = time.perf_counter()
        detector([image], [box])
        times.append(1000 * (time.perf_counter() - start))
    torch.set_num_threads(threads)
    return round(float(np.median(times)), 1)


# --- figures ----------------------------------------------------------------------------------------------------


def mean_pose(joints):
    """The mean (17, 2) of joints (N, 17, 2) in their boxes, from 0 to 1; NaN for joints that are never labelled."""
    boxes = np.array([box_of(points) for points in joints])[:, None]
    inside = (joints - boxes[..., :2]) / boxes[..., 2:]
    known = np.isfinite(inside)
    return np.where(known, inside, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)


def posed(average, boxes):
    """The mean pose in each of the boxes (N, 4): joints (N, 17, 2)."""
    return boxes[:, None, :2] + average * boxes[:, None, 2:]


def shares(found, true, which=None):
    return {f"PCK@{a}": round(float(pck(found, true, a, which=which)), 4) for a in (0.2, 0.1)}


def auc(scores, right):
    """The chance that a joint that is right has a higher score than one that is not (Hanley & McNeil 1982)."""
    if right.all() or not right.any():
        return np.nan
    order = np.argsort(np.argsort(scores))  # ties are rare among floats
    ranks, count = order[right].sum() + right.sum(), right.sum()
    return float((ranks - count * (count + 1) / 2) / (count * (~right).sum()))


def exchanged(found, true):
    """The share of limb joints that are wrong at 0.2 and lie within 0.2 of the same joint on the other side."""
    torso = np.linalg.norm(true[:, 5] - true[:, 12], axis=-1)[:, None]
    own, other = (np.linalg.norm(found - t, axis=-1)[:, 5:] / torso for t in (true, true[:, COCO.mirror]))
    both = np.isfinite(own) & np.isfinite(other)
    return round(float(((own > 0.2) & (other <= 0.2))[both].mean()), 4)


def threshold(scores, right, share=RIGHT):
    """The lowest score from which on `share` of the joints are right, and what part of all joints that leaves.

    Rounded up to a hundredth; NaN and 0 where no threshold will do.
    """
    levels = np.arange(0, 1.5, 0.01)
    good = [right[scores >= level].mean() >= share if (scores >= level).any() else False for level in levels]
    if not any(good):
        return np.nan, 0.0
    level = levels[int(np.argmax(good))]
    return round(float(level), 2), round(float((scores >= level).mean()), 4)


def summary(found, true, scores, visibility=None):
    """PCK of all joints, of the visible and the hidden ones, by joint, exchanged sides, and what the scores tell."""
    errors = torso_errors(found, true)
    known = np.isfinite(errors)
    result = {"people": int(known.any(1).sum()), "all": shares(found, true), "exchanged": exchanged(found, true)}
    if visibility is not None:
        result |= {name: shares(found, true, visibility == v) for name, v in (("visible", 2), ("hidden", 1))}
        result["share hidden"] = round(float((visibility[known] == 1).mean()), 3)
    result["median error, torso diameters"] = round(float(np.median(errors[known])), 4)
    result["PCK@0.2 by joint"] = {
        name: round(float((errors[known[:, i], i] <= 0.2).mean()), 3)
        for i, name in enumerate(COCO.names)
        if known[:, i].any()
    }
    right, scores = errors[known] <= 0.2, scores[known]
    upper = scores >= np.median(scores)
    result["scores"] = {
        "median": round(float(np.median(scores)), 3),
        "median of the wrong": round(float(np.median(scores[~right])), 3) if (~right).any() else None,
        "right in the upper half": round(float(right[upper].mean()), 4),
        "right in the lower half": round(float(right[~upper].mean()), 4),
        "AUC": round(auc(scores, right), 3),
    }
    return result


def measure(detectors, images, joints, visibility=None, average=None):
    """`summary` with scattered boxes, by the plain detector; then the other detectors' and the mean pose's PCK."""
    boxes = scattered(joints)
    plain, *others = detectors.values()
    found, scores = plain(images, boxes)
    result = summary(found, joints, scores, visibility)
    for name, other in zip(list(detectors)[1:], others, strict=True):
        result[name] = shares(other(images, boxes)[0], joints)
    if average is not None:
        result["mean pose"] = shares(posed(average, boxes), joints)
    return result


def film(every=4):
    """The workout film's frames, all of them, and of every fourth: its row, joints and visibility."""
    path, truth = media.clip("workout")
    images = list(media.frames(path))
    rows = np.arange(0, len(images), every)
    return images, rows, truth["joints"][rows].astype(float), truth["visibility"][rows]


def nobody(detector):
    """Scores where there is nobody: 8 boxes on each of the photographs `EMPTY`; quantiles, what share is believed."""
    images, boxes, rng = [], [], np.random.default_rng(0)
    for name in EMPTY:
        image = media.photo(name)
        image.thumbnail((320, 320), Image.Resampling.BOX)
        for _ in range(8):
            height = rng.uniform(0.4, 0.8) * min(image.height, image.width / 0.75)
            corner = rng.uniform(0, 1, 2) * (image.width - 0.75 * height, image.height - height)
            images.append(image)
            boxes.append([*corner, 0.75 * height, height])
    scores, sure = detector(images, np.array(boxes))[1], bodies.sure_score(detector.model)
    return {
        "median score": round(float(np.median(scores)), 3),
        "95 % below": round(float(np.quantile(scores, 0.95)), 3),
        "median of a person's mean": round(float(np.median(scores.mean(1))), 3),
        "95 % of a person's mean below": round(float(np.quantile(scores.mean(1), 0.95)), 3),
        f"share from {sure} on": round(float((scores >= sure).mean()), 4),
    }


def real_films(detector, folder, lifter):
    """The films in a folder, followed as they are, mirrored, in less light and blurred, and their repetitions counted.

    Of each: the share of limb joints believed, of frames in which the person was lost, the jumps, the count, and by
    which share period and height change from one repetition to the next.
    """
    changes = {
        "as it is": lambda image: image,
        "mirrored": ImageOps.mirror,
        "darker": lambda image: image.point(lambda value: 0.6 * value),
        "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(image.height / 300)),
    }
    results = {}
    for path in sorted(Path(folder).glob("*.mp4")):
        frames = list(media.frames(path))
        times = np.array([frame.info["time_s"] for frame in frames])
        every = max(1, round(0.06 / np.median(np.diff(times))))  # about 16 a second are enough
        frames, times, found = frames[::every], times[::every], {}
        for name, change in changes.items():
            sights = list(
                bodies.follow(detector.model, detector.processor, map(change, frames), mirror=detector.mirror)
            )
            joints, scores, lost, jumped = (np.array(part) for part in zip(*sights, strict=True))
            seen = scores >= bodies.sure_score(detector.model)
            limbs = np.where(seen[..., None], joints, np.nan)[:, COCO.limbs]
            found[name] = {
                "limb joints believed": round(float(seen[:, COCO.limbs].mean()), 3),
                "lost": round(float(lost.mean()), 3),
                "jumps": int(jumped.sum()),
                **counted(limbs, times, lifter),
            }
        results[path.stem] = found
    return results


def counted(limbs, times, lifter):
    """Repetitions in limb joints (F, 12, 2), counted as in the notebooks, and how irregular they are."""
    calm = movement.one_euro(movement.fill_gaps(limbs, times), times)
    try:
        angles = bodies.limb_angles_deg(lift(lifter, calm, None, times))
        found = movement.repetitions(movement.main_movement(angles, times), times)
    except ValueError:
        return {}
    return {"counted": len(found), "changes": [round(change, 2) for change in movement.regularity(found)]}


def evaluate(folder, data=None, renders=None, every=4):
    """All figures of the checkpoint in a folder, as a dictionary. Without `data` and `renders`: the film's."""
    plain = Detector(folder)
    detectors = {"plain": plain, "with the mirror image": Detector(folder, mirror=True)}
    results, average = on_sure_labels(data, detectors) if data else {}, None
    if "score to believe" in results:
        for detector in detectors.values():
            detector.model.config.sure_score = results["score to believe"]["threshold"]
    if renders:
        average = mean_pose(load_renders(renders, "train")[1])
        jpegs, joints, visibility = load_renders(renders, "validation")
        joints, inside = joints.astype(float), visibility > 0
        joints[~inside] = np.nan
        results["renders"] = measure(detectors, [decoded(jpeg) for jpeg in jpegs], joints, visibility, average)
    images, rows, joints, visibility = film(every)
    results["film"] = measure(detectors, [images[row] for row in rows], joints, visibility, average)
    sights = list(bodies.follow(plain.model, plain.processor, images))
    found, scores = (np.array([getattr(sights[row], key) for row in rows]) for key in ("joints", "scores"))
    results["film, followed"] = summary(found, joints, scores, visibility)
    if data:
        _, known, standing = _labelled(load_people(data, "train"))
        jpegs, joints, upright = _labelled(load_people(data, "validation"))
        for name, rows, average in (
            ("photographs", np.arange(len(jpegs)), mean_pose(known)),
            ("photographs, upright", np.flatnonzero(upright), mean_pose(known[standing])),
        ):
            photos = [decoded(jpegs[row]) for row in rows]
            results[name] = measure(detectors, photos, joints[rows], average=average)
    if data and (Path(data) / "clips").is_dir():
        lifter = BodyLifter.from_pretrained(checkpoints.find("body-lifter")).eval()
        results["real films"] = real_films(plain, Path(data) / "clips", lifter)
    results["nobody"] = nobody(plain)
    results["ms a frame, one thread"] = ms_a_frame(plain, images[0], scattered(film()[2][:1])[0])
    return results


def on_sure_labels(data, detectors):
    """Figures of real people by labels that two networks agree about, and the score that is to be believed.

    That score is chosen on the split "validation" and measured on "test". Of Leeds Sports Pose, upright people: the
    joints that such labels confirm.
    """
    results, plain = {}, next(iter(detectors.values()))
    for split in ("validation", "test"):
        jpegs, joints, weights, _ = load_weighted(Path(data) / "people.parquet", split)
        joints = np.where(weights[..., None] >= SURE_LABEL, joints, np.nan).astype(float)
        rows = np.flatnonzero(np.isfinite(joints).all(2).sum(1) >= FEWEST)
        if not len(rows):
            continue
        photos, joints = [decoded(jpegs[row]) for row in rows], joints[rows]
        results[f"people, {split}"] = measure(detectors, photos, joints)
        found, scores = plain(photos, scattered(joints))
        errors = torso_errors(found, joints)
        right, scores = errors[np.isfinite(errors)] <= 0.2, scores[np.isfinite(errors)]
        if split == "validation":
            level, share = threshold(scores, right)
            results["score to believe"] = {"threshold": level, "right": RIGHT, "share of joints": share}
        elif "score to believe" in results:
            above = scores >= level
            results["score to believe"][f"on {split}"] = {
                "right": round(float(right[above].mean()), 4) if above.any() else None,
                "share of joints": round(float(above.mean()), 4),
            }
    jpegs, joints, upright = load_people(data, "validation")
    second, sure = second_labels(data, "validation")
    torso = np.linalg.norm(joints[:, 5] - joints[:, 12], axis=-1)[:, None]
    with np.errstate(invalid="ignore"):
        confirmed = (sure >= SURE_LABEL) & (np.linalg.norm(joints - second, axis=-1) <= CONFIRMED * torso)
    rows = np.flatnonzero((np.isfinite(joints).all(2).sum(1) >= FEWEST) & upright)
    photos, joints = [decoded(jpegs[row]) for row in rows], joints[rows].astype(float)
    found, _ = plain(photos, scattered(joints))
    results["photographs, upright, confirmed joints"] = shares(found, joints, confirmed[rows])
    return results


def _labelled(people):
    """Those of whom enough is labelled for a box."""
    jpegs, joints, upright = people
    rows = np.flatnonzero(np.isfinite(joints).all(2).sum(1) >= FEWEST)
    return [jpegs[row] for row in rows], joints[rows].astype(float), upright[rows]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with bodies.parquet; without it, no photographs")
    parser.add_argument("--renders", help="folder of training.body_pictures; without it, no renders")
    parser.add_argument("--checkpoint", default=None, help="instead of the bundled one")
    parser.add_argument("--write", action="store_true", help="put figures and score into the checkpoint's files")
    options = parser.parse_args(arguments)
    folder = Path(options.checkpoint or checkpoints.find("body-pose"))
    results = evaluate(folder, options.data, options.renders)
    print(json.dumps(results, indent=2))
    if options.write:
        added = {"results": {"figures": results}}
        if "score to believe" in results:  # `helpers.bodies.sure_score` reads it there
            added["config"] = {"sure_score": results["score to believe"]["threshold"]}
        for name, values in added.items():
            file = folder / f"{name}.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | values, indent=2) + "\n")


if __name__ == "__main__":
    main()
