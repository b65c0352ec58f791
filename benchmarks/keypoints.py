"""Keypoint detectors beside one another: accuracy under known warps and a known disparity, and time.

    python -m benchmarks.keypoints --data DIR [--json FILE]

Accuracy, photographs: the first 40 test photographs of BSDS500 (DIR/photos.parquet, rows with split `validation`, in
file order), each cut to 4:3 about its centre and shrunk to 240x320. Warp v = 0, 1 of photograph k is drawn by
`numpy.random.default_rng([7, k, v])`: rotation +-25 deg, scale 0.75-1.3, perspective 10 %, then gamma, contrast,
brightness, blur up to 1 px and noise up to 5 %. The 300 strongest points, mutual nearest neighbours without a ratio
test, homography by MAGSAC++ at 3 px.

Accuracy, stereo pair: scikit-image's motorcycle at full size (500x741), the 1000 strongest points, the share of mutual
matches within 3 px of the true disparity.

Time: one 480x640 photograph, 1000 points, median of 15 runs, torch and OpenCV on one thread each. Machines are noisy:
read the ratios, within one run.
"""

import argparse
import io
import json
import statistics
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import skimage.data
import torch
from PIL import Image
from transformers import AutoImageProcessor, SuperPointConfig, SuperPointForKeypointDetection

from helpers import checkpoints
from helpers.geometry import TooFewPoints, fit_homography
from helpers.keypoints import mutual_matches, refine, score_map
from helpers.metrics import corner_error, match_errors, matching_score, mean_matching_accuracy, repeatability
from helpers.views import random_homography

SIZE = (240, 320)  # height, width
TEST = slice(0, 40)  # of the validation split: what the tables report
VALIDATION = slice(40, 100)  # of the validation split: what variations of the recipe are chosen by


# --- detectors: RGB uint8 image, number of points -> points (N, 2), descriptors (N, D) -----------------------------


def superpoint(model, processor, image, count, subpixel=True):
    model.keypoint_decoder.max_keypoints = count
    inputs = processor(Image.fromarray(image), return_tensors="pt", do_resize=False)
    with torch.inference_mode():
        outputs = model(**inputs, output_hidden_states=True)
    points = outputs.keypoints[0].numpy() * [image.shape[1], image.shape[0]]
    if subpixel:
        points = refine(points, score_map(model, outputs.hidden_states[-1])[0])
    return points, outputs.descriptors[0].numpy()


def opencv(detector, image, count):
    keypoints, descriptors = detector.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    if not keypoints:
        binary = detector.descriptorType() == cv2.CV_8U
        descriptors = np.zeros((0, detector.descriptorSize()), np.uint8 if binary else float)
    best = np.argsort([-k.response for k in keypoints], kind="stable")[:count]
    if descriptors.dtype == np.uint8:  # ORB: on bits, Euclidean distance orders as Hamming distance does
        descriptors = np.unpackbits(descriptors, axis=1)
    return np.array([keypoints[i].pt for i in best]).reshape(-1, 2), descriptors[best]


def sift(image, count):
    return opencv(cv2.SIFT_create(), image, count)


def orb(image, count):
    return opencv(cv2.ORB_create(count, fastThreshold=5), image, count)


def load_superpoint(folder):
    model = SuperPointForKeypointDetection.from_pretrained(folder, dtype=torch.float32).eval()
    model.keypoint_decoder.keypoint_threshold = 0.0005  # low enough that `count` decides
    return model, AutoImageProcessor.from_pretrained(folder, backend="pil")


def random_superpoint(config):
    model = SuperPointForKeypointDetection(config).eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):  # transformers' own start is so small that all scores are equal
            torch.nn.init.kaiming_normal_(layer.weight)
    return model


# --- photographs under known warps -----------------------------------------------------------------------------------


def photographs(data, which=TEST):
    """RGB arrays (240, 320, 3) of the validation split."""
    rows = pyarrow.parquet.read_table(Path(data) / "photos.parquet", filters=[("split", "=", "validation")])
    for encoded in rows["image"].combine_chunks().field("bytes").to_pylist()[which]:
        photo = Image.open(io.BytesIO(encoded)).convert("RGB")
        height = min(photo.height, photo.width * 3 / 4)
        width = height * 4 / 3
        left, top = (photo.width - width) / 2, (photo.height - height) / 2
        box = (left, top, left + width, top + height)
        yield np.asarray(photo.resize(SIZE[::-1], Image.Resampling.LANCZOS, box=box))


def disturb(image, rng):
    """Gamma, contrast, brightness, blur, noise."""
    image = (image.astype(np.float32) / 255) ** np.exp(rng.uniform(-0.3, 0.3))
    image = (image - 0.5) * rng.uniform(0.7, 1.3) + 0.5 + rng.uniform(-0.1, 0.1)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.1, 1.0))
    image = image + rng.normal(0, rng.uniform(0, 0.05), image.shape)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def pairs(photos):
    """Yield (image, warped image, homography), two warps a photograph."""
    for k, photo in enumerate(photos):
        for v in range(2):
            rng = np.random.default_rng([7, k, v])
            homography = random_homography(SIZE, rng, rotation_deg=25, scale=(0.75, 1.3), perspective=0.1)
            yield photo, disturb(cv2.warpPerspective(photo, homography, SIZE[::-1]), rng), homography


def accuracy(detect, photos, count=300):
    """Mean figures of one detector over all pairs."""
    rows = []
    for first, second, homography in pairs(photos):
        (points1, descriptors1), (points2, descriptors2) = detect(first, count), detect(second, count)
        matches = mutual_matches(descriptors1, descriptors2)
        try:
            estimate, _ = fit_homography(points1[matches[:, 0]], points2[matches[:, 1]])
        except TooFewPoints:
            estimate = None
        error = corner_error(estimate, homography, SIZE)
        rows.append(
            {
                "points": (len(points1) + len(points2)) / 2,
                "repeatability@3": repeatability(points1, points2, homography, SIZE, SIZE),
                "matching score": matching_score(points1, points2, matches, homography, SIZE, SIZE),
                "MMA@3": mean_matching_accuracy(match_errors(points1, points2, matches, homography)),
                **{f"corner error <= {limit} px": float(error <= limit) for limit in (1, 3, 5)},
            }
        )
    if not rows:
        raise ValueError("There are no photographs to measure with.")
    return {key: float(np.nanmean([row[key] for row in rows])) for key in rows[0]}


# --- the stereo pair -------------------------------------------------------------------------------------------------


def motorcycle(detect, count=1000):
    """Share of mutual matches within 3 px of the true disparity, and the number of matches with a known truth."""
    left, right, disparity = skimage.data.stereo_motorcycle()
    (points1, descriptors1), (points2, descriptors2) = detect(left, count), detect(right, count)
    matches = mutual_matches(descriptors1, descriptors2)
    points1, points2 = points1[matches[:, 0]], points2[matches[:, 1]]
    x, y = np.rint(points1).astype(int).T
    true = points1 - np.column_stack([disparity[y, x], np.zeros(len(x))])
    known = np.isfinite(true).all(1)
    right_ones = np.linalg.norm(true[known] - points2[known], axis=1) <= 3
    return {"motorcycle <= 3 px": float(right_ones.mean()), "motorcycle matches": int(known.sum())}


# --- time ------------------------------------------------------------------------------------------------------------


def milliseconds(detect, count=1000, runs=15):
    """Median time of one 480x640 photograph."""
    image = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((640, 480)))
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        detect(image, count)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def markdown(table):
    """The table as Markdown, a line a detector."""
    columns = list(next(iter(table.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in table.items():
        cells = ["" if row.get(c) is None else f"{row[c]:.0f}" if row[c] >= 5 else f"{row[c]:.3f}" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with photos.parquet")
    parser.add_argument("--checkpoint", help="folder of a SuperPoint checkpoint; the bundled one unless told")
    parser.add_argument("--validation", action="store_true", help="the photographs that recipes are chosen by, instead")
    parser.add_argument("--json", type=Path, help="write the table here, too")
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model, processor = load_superpoint(options.checkpoint or checkpoints.find("superpoint"))
    torch.manual_seed(0)
    detectors = {
        "ours": partial(superpoint, model, processor),
        "ours, whole pixels": partial(superpoint, model, processor, subpixel=False),
        "SIFT": sift,
        "ORB": orb,
        "ours before training": partial(superpoint, random_superpoint(model.config), processor),
    }
    photos = list(photographs(options.data, VALIDATION if options.validation else TEST))
    table = {}
    for name, detect in detectors.items():
        cv2.setRNGSeed(0)
        table[name] = accuracy(detect, photos) | motorcycle(detect) | {"ms at 480x640": milliseconds(detect)}
    default_size = partial(superpoint, random_superpoint(SuperPointConfig()), processor)
    table["default-size SuperPoint, time only"] = {"ms at 480x640": milliseconds(default_size)}
    print(markdown(table))
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
