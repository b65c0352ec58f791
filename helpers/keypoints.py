"""SuperPoint's and SIFT's keypoints in exact pixels, and from descriptors to matches.

Keypoints are float arrays (N, 2) with columns (x, y) in pixels; (0, 0) is the centre of the top-left pixel.
"""

import copy
from typing import NamedTuple

import cv2
import numpy as np
import torch

from helpers.geometry import as_points, inside


class Keypoints(NamedTuple):
    """Points (N, 2) in pixels of the image, their scores (N,) and descriptors (N, D); the strongest first."""

    points: np.ndarray
    scores: np.ndarray
    descriptors: np.ndarray


@torch.inference_mode()
def detect(model, processor, image, count=None, threshold=0.0005, radius=4, size=None, subpixel=True):
    """SuperPoint's `Keypoints` of an RGB image. What differs from call to call is given here; the model isn't changed.

    Points too near to a border (`border_removal_distance`) go on all four sides, where transformers looks at two.

    Args:
        count: keep the strongest so many; None keeps all. Of scores equal to 6 decimals, the upper or left is first.
        threshold: lowest score, a probability. The default is low, so that `count` decides.
        radius: of the non-maximum suppression, in pixels of the network's input.
        size: of the network's input, (height, width); or one number, which the longer side shall not exceed, in
            proportion, to the nearest 8 pixels. None: as the image is.
        subpixel: `refine` the positions.
    """
    if isinstance(size, int):
        shrink = min(1, size / max(image.size))
        size = [max(8, round(side * shrink / 8) * 8) for side in (image.height, image.width)]
    resize = {"size": dict(zip(("height", "width"), size, strict=True))} if size else {"do_resize": False}
    pixels = processor(image, do_grayscale=True, return_tensors="pt", **resize).pixel_values
    features = model.encoder(pixels[:, :1].to(model.device, model.dtype)).last_hidden_state
    decoder = copy.copy(model.keypoint_decoder)  # shares the layers, not the knobs
    decoder.keypoint_threshold, decoder.nms_radius, decoder.max_keypoints = threshold, radius, -1
    points, scores = decoder(features)
    height, width = pixels.shape[-2:]
    kept = inside(points.float().cpu(), (height, width), decoder.border_removal_distance).nonzero()[0]
    kept = kept[np.argsort(-scores.float().cpu().numpy()[kept].round(6), kind="stable")[:count]]
    points, scores = points[kept], scores[kept]
    descriptors = model.descriptor_decoder(features, points.clone())
    points, scores, descriptors = (values.float().cpu().numpy() for values in (points, scores, descriptors))
    if subpixel:
        points = refine(points, score_map(model, features)[0].float().cpu(), min(4, radius))
    return Keypoints(to_pixels(points / [width, height], image, (height, width)), scores, descriptors)


def sift(image, count=None):
    """SIFT's `Keypoints` (Lowe 2004), by OpenCV; `count` as for `detect`, the score is the contrast.

    Without `enable_precise_upscale`, points lie .25 px too far left and up: on six photographs turned by 180 degrees
    matches are .71 px off in the median, with it .00; by 15 degrees .14 and .10. On the motorcycle 74.7 and 75.6 % of
    1000 points' matches are right to 3 px. The contrast threshold is low, so that `count` decides.
    """
    detector = cv2.SIFT_create(enable_precise_upscale=True, contrastThreshold=0.01)
    found, descriptors = detector.detectAndCompute(np.asarray(image.convert("L")), None)
    points = np.array([keypoint.pt for keypoint in found]).reshape(-1, 2)
    scores = np.array([keypoint.response for keypoint in found])
    order = np.lexsort([*points.T.round(2), -scores.round(6)])[:count]
    return Keypoints(points[order], scores[order], descriptors[order] if found else np.zeros((0, 128), np.float32))


def match_photos(detector, image1, image2, ratio=None):
    """Pixels (K, 2) of two photographs that show the same, row by row.

    `detector` makes Keypoints of an image: `sift`, or `partial(detect, model, processor, count=1000)`. `ratio` is that
    of `mutual_matches`.
    """
    first, second = detector(image1), detector(image2)
    rows1, rows2 = mutual_matches(first.descriptors, second.descriptors, ratio).T
    return first.points[rows1], second.points[rows2]


def to_pixels(relative, image, network_size):
    """Map SuperPoint's relative keypoints to pixels of the original image, exactly.

    The network divides integer pixel indices by the size of its input. A pixel's centre lies half a pixel inside it,
    so the way back is x = (relative_x * network_width + 0.5) * image.width / network_width - 0.5, and likewise for y.

    Args:
        relative: (N, 2), one image's `outputs.keypoints` without padding; array or tensor.
        image: the original image (anything with .width and .height).
        network_size: (height, width) of `pixel_values`.
    """
    height, width = network_size
    scale = np.array([image.width / width, image.height / height])
    return (as_points(relative, "relative") * [width, height] + 0.5) * scale - 0.5


@torch.no_grad()
def score_map(model, features):
    """The probability of a keypoint at each pixel (B, 8h, 8w), before thresholding and non-maximum suppression.

    Each cell's softmax over 65 classes, dustbin dropped (DeTone et al. 2018, section 3.2). `features` (B, C, h, w) are
    `outputs.hidden_states[-1]` of a SuperPointForKeypointDetection with `output_hidden_states=True`.
    """
    decoder = model.keypoint_decoder
    logits = decoder.conv_score_b(torch.relu(decoder.conv_score_a(features)))
    return torch.nn.functional.pixel_shuffle(logits.softmax(dim=1)[:, :-1], 8)[:, 0]


def refine(points, scores, radius=4):
    """Move integer keypoints (N, 2) of a score map (H, W) to the centre of mass of the scores around them.

    The window is 2 * radius + 1 pixels wide, and what lies outside the map counts as zero; with no more than the radius
    of the non-maximum suppression, no other keypoint lies in it. A point that has no score around it stays.
    """
    points, padded = np.rint(as_points(points)), np.pad(np.asarray(scores, dtype=float), radius)
    if not inside(points, scores.shape).all():
        raise ValueError(f"points must lie on the score map, (height, width) = {tuple(scores.shape)}.")
    x, y = points.astype(int).T + radius
    mass, moment = np.zeros(len(points)), np.zeros((len(points), 2))
    for dx in range(-radius, radius + 1):
        for dy in range(-radius, radius + 1):
            weight = padded[y + dy, x + dx]
            mass += weight
            moment += weight[:, None] * [dx, dy]
    return points + moment / np.maximum(mass, np.finfo(float).tiny)[:, None]


def mutual_matches(descriptors1, descriptors2, ratio=None):
    """Pairs of descriptors that are each other's nearest neighbour: int (K, 2), rows of the first and of the second.

    Squared distances are rounded to 1e-5 of the largest squared length, so that rounding errors decide nothing; of
    equally near ones, the first counts.

    Args:
        descriptors1, descriptors2: (N, D) and (M, D). Floats by Euclidean distance; uint8 are bits, as ORB's, by
            Hamming distance.
        ratio: keep a pair only if its distance is below `ratio` times the distance from the first descriptor to the
            second-best one (Lowe 2004). None keeps all.

    Raises ValueError for shapes or kinds that don't fit, and for NaN and infinity.
    """
    a, b = np.asarray(descriptors1), np.asarray(descriptors2)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"Descriptors must be (N, D) and (M, D) with one D, not {a.shape} and {b.shape}.")
    if not len(a) or not len(b):
        return np.zeros((0, 2), dtype=int)
    bits = a.dtype == np.uint8
    if bits != (b.dtype == np.uint8):
        raise ValueError(f"One kind of descriptors is bits (uint8), the other is not: {a.dtype} and {b.dtype}.")
    a, b = (np.float32(np.unpackbits(d, axis=1) if bits else d) for d in (a, b))
    for name, d in (("descriptors1", a), ("descriptors2", b)):
        if len(bad := np.flatnonzero(~np.isfinite(d).all(axis=1))):
            raise ValueError(f"{name} holds NaN or infinity in {len(bad)} rows, first in row {bad[0]}: drop them.")
    lengths1, lengths2 = (a**2).sum(1), (b**2).sum(1)
    unit = 1e-5 * max(lengths1.max(), lengths2.max(), 1e-30)
    limit = None if ratio is None else ratio if bits else ratio**2  # of squared distances, which Hamming's are
    forward, backward, nearest = np.zeros(len(a), int), np.zeros(len(b), int), np.full(len(b), np.inf)
    for rows in np.array_split(np.arange(len(a)), -(-len(a) * len(b) // 10_000_000)):  # blocks of 40 MB
        squared = np.rint((lengths1[rows, None] + lengths2 - 2 * a[rows] @ b.T) / unit)
        across, down = squared.argmin(1), squared.argmin(0)
        best, least = squared[np.arange(len(rows)), across], squared[down, np.arange(len(b))]
        forward[rows], closer = across, least < nearest
        backward[closer], nearest[closer] = rows[down[closer]], least[closer]
        if limit is not None:
            squared[np.arange(len(rows)), across] = np.inf
            forward[rows[best >= limit * squared.min(1)]] = -1
    first = np.flatnonzero((forward >= 0) & (backward[forward] == np.arange(len(a))))
    return np.column_stack([first, forward[first]])
