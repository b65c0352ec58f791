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
    """What `detect` and `sift` find: row k of each belongs to one point, the strongest first."""

    points: np.ndarray  # (N, 2), pixels of the image
    scores: np.ndarray  # (N,)
    descriptors: np.ndarray  # (N, D)


@torch.inference_mode()
def detect(model, processor, image, count=None, threshold=0.0005, radius=4, size=None, subpixel=True):
    """SuperPoint's keypoints of a photograph; what changes from call to call is given here, and `model` stays as it is.

    Args:
        model, processor: a SuperPointForKeypointDetection and its image processor.
        image: PIL image, RGB.
        count: keep the strongest so many; None keeps all. Scores that are equal to 6 decimals count as equal, and of
            equals come first the upper, then the left one.
        threshold: lowest score of a keypoint. The default is low, so that `count` decides.
        radius: of the non-maximum suppression, in pixels that the network sees.
        size: what the network sees, (height, width) in pixels; or one number, the largest that the longer side may be,
            in proportion and to the nearest 8 pixels. None: the photograph as it is.
        subpixel: refine positions by `refine`; False keeps the network's whole pixels.

    Returns:
        Keypoints; the scores are probabilities. Points nearer to a border than `border_removal_distance` are left out
        on all four sides (transformers does so at two).
    """
    if isinstance(size, int):
        shrink = min(1, size / max(image.size))
        size = [max(8, round(side * shrink / 8) * 8) for side in (image.height, image.width)]
    resize = {"size": dict(zip(("height", "width"), size, strict=True))} if size else {"do_resize": False}
    pixels = processor(image, do_grayscale=True, return_tensors="pt", **resize).pixel_values.to(
        model.device, model.dtype
    )
    features = model.encoder(pixels[:, :1]).last_hidden_state
    decoder = copy.copy(model.keypoint_decoder)  # the layers are shared, the knobs are not
    decoder.keypoint_threshold, decoder.nms_radius, decoder.max_keypoints = threshold, radius, -1
    points, scores = decoder(features)
    kept = inside(points.cpu(), pixels.shape[-2:], decoder.border_removal_distance)
    order = np.argsort(-np.where(kept, scores.float().cpu().numpy().round(6), -1), kind="stable")[: kept.sum()][:count]
    chosen = torch.from_numpy(order).to(points.device)
    points, scores = points[chosen], scores[chosen].float().cpu().numpy()
    descriptors = model.descriptor_decoder(features, points).float().cpu().numpy()
    points = points.float().cpu().numpy()
    if subpixel:
        points = refine(points, score_map(model, features)[0].float().cpu(), min(4, radius))
    return Keypoints(to_pixels(points / pixels.shape[:1:-1], image, pixels.shape[-2:]), scores, descriptors)


def sift(image, count=None):
    """SIFT's keypoints (Lowe 2004), by OpenCV, with `count` as for `detect`; the score is the contrast.

    With `enable_precise_upscale`: without it, points are .25 px too far left and up, which shows under rotation: on six
    photographs turned by 180 degrees, matches are .71 px off in the median instead of .00, turned by 15 degrees .14
    instead of .10; on the motorcycle, 75 and 76 % of 1000 points' matches are right to 3 px. The contrast threshold is
    low, so that `count` decides.
    """
    detector = cv2.SIFT_create(enable_precise_upscale=True, contrastThreshold=0.01)
    found, descriptors = detector.detectAndCompute(np.asarray(image.convert("L")), None)
    if not found:
        return Keypoints(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 128), np.float32))
    points, scores = np.array([k.pt for k in found]), np.array([k.response for k in found])
    order = np.lexsort([points[:, 0].round(2), points[:, 1].round(2), -scores.round(6)])[:count]
    return Keypoints(points[order], scores[order], descriptors[order])


def match_photos(detector, image1, image2, ratio=None):
    """Where two photographs show the same points: (K, 2) pixels of the first and of the second, row by row.

    Args:
        detector: a function that makes `Keypoints` of an image, such as `sift`, or `partial(detect, model, processor,
            count=1000)`.
        ratio: see `mutual_matches`.
    """
    first, second = detector(image1), detector(image2)
    pairs = mutual_matches(first.descriptors, second.descriptors, ratio)
    return first.points[pairs[:, 0]], second.points[pairs[:, 1]]


def to_pixels(relative, image, network_size):
    """Map SuperPoint's relative keypoints to pixels of the original image, exactly.

    The network divides integer pixel indices by the size of its input. A pixel's centre lies half a pixel inside it,
    so the way back is x = (relative_x * network_width + 0.5) * image.width / network_width - 0.5, and likewise for y.

    Args:
        relative: (N, 2), one image's `outputs.keypoints` without padding; array or tensor.
        image: the original image (anything with .width and .height).
        network_size: (height, width) of `pixel_values`.

    Returns:
        Float array (N, 2) in pixels of the original image.
    """
    height, width = network_size
    scale = np.array([image.width / width, image.height / height])
    return (as_points(relative, "relative") * [width, height] + 0.5) * scale - 0.5


@torch.no_grad()
def score_map(model, features):
    """The probability of a keypoint at each pixel, before thresholding and non-maximum suppression.

    Args:
        model: a SuperPointForKeypointDetection.
        features: (B, C, h, w), `outputs.hidden_states[-1]` of a call with `output_hidden_states=True`.

    Returns:
        Tensor (B, 8h, 8w). Each cell's softmax over 65 classes, dustbin dropped (DeTone et al. 2018, section 3.2).
    """
    decoder = model.keypoint_decoder
    logits = decoder.conv_score_b(torch.relu(decoder.conv_score_a(features)))
    return torch.nn.functional.pixel_shuffle(logits.softmax(dim=1)[:, :-1], 8)[:, 0]


def refine(points, scores, radius=4):
    """Move integer keypoints to the centre of mass of the scores around them.

    Args:
        points: (N, 2), integer peaks (x, y) in pixels of the score map.
        scores: (H, W) score map.
        radius: the window is 2 * radius + 1 pixels wide; what lies outside the map counts as zero. Not more than the
            radius of the non-maximum suppression, so that no other keypoint lies in it.

    Returns:
        Float array (N, 2). A point that has no score around it stays where it is.
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
    """Pairs of descriptors that are each other's nearest neighbour; of equally near ones, the first.

    Args:
        descriptors1, descriptors2: (N, D) and (M, D). Float: compared by Euclidean distance. uint8: rows of bits, as
            ORB's, compared by Hamming distance. Squared distances are rounded to a millionth of the largest squared
            length, so that rounding errors decide nothing.
        ratio: keep a pair only if its distance is below `ratio` times the distance from the first descriptor to the
            second-best one (Lowe 2004). None keeps all.

    Returns:
        Int array (K, 2): row numbers in descriptors1 and descriptors2.

    Raises ValueError for shapes or kinds that don't fit, and for NaN and infinity.
    """
    a, b = np.asarray(descriptors1), np.asarray(descriptors2)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"Descriptors must be (N, D) and (M, D) with one D, not {a.shape} and {b.shape}.")
    if not len(a) or not len(b):
        return np.zeros((0, 2), dtype=int)
    bits = a.dtype == np.uint8
    if bits != (b.dtype == np.uint8):
        raise ValueError(f"One kind of descriptors is bits, the other is not: {a.dtype} and {b.dtype}.")
    a, b = (np.unpackbits(d, axis=1).astype(np.float32) if bits else d.astype(np.float32) for d in (a, b))
    for name, d in (("descriptors1", a), ("descriptors2", b)):
        if not (finite := np.isfinite(d).all(axis=1)).all():
            rows = np.flatnonzero(~finite)
            raise ValueError(f"{name} holds NaN or infinity in {len(rows)} rows, the first is {rows[0]}: drop them.")
    lengths = (b**2).sum(1)
    unit = 1e-6 * max((a**2).sum(1).max(), lengths.max(), np.finfo(np.float32).tiny)
    factor = None if ratio is None else ratio if bits else ratio**2
    forward, keep = np.zeros(len(a), dtype=int), np.ones(len(a), dtype=bool)
    backward, nearest = np.zeros(len(b), dtype=int), np.full(len(b), np.inf)
    for start in range(0, len(a), step := max(1, 10_000_000 // len(b))):  # blocks of 40 MB
        part = a[start : start + step]
        squared = np.rint(((part**2).sum(1)[:, None] + lengths - 2 * part @ b.T) / unit)
        forward[start : start + step] = squared.argmin(1)
        closer = squared.min(0) < nearest
        backward[closer], nearest[closer] = start + squared.argmin(0)[closer], squared.min(0)[closer]
        if factor is not None and len(b) > 1:
            best, second = np.partition(squared, 1, axis=1)[:, :2].T
            keep[start : start + step] = best < factor * second
    first = np.flatnonzero(keep & (backward[forward] == np.arange(len(a))))
    return np.column_stack([first, forward[first]])
