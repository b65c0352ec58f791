"""From what SuperPoint returns to exact keypoints, and from descriptors to matches.

Keypoints are float arrays (N, 2) with columns (x, y) in pixels; (0, 0) is the centre of the top-left pixel.
"""

import numpy as np
import torch

from helpers.geometry import as_points, inside


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
    """Pairs of descriptors that are each other's nearest neighbour.

    Args:
        descriptors1, descriptors2: (N, D) and (M, D) float arrays. Compared by Euclidean distance.
        ratio: keep a pair only if its distance is below `ratio` times the distance from the first descriptor to the
            second-best one (Lowe 2004). None keeps all.

    Returns:
        Int array (K, 2): row numbers in descriptors1 and descriptors2.
    """
    a, b = (np.asarray(d, dtype=np.float32) for d in (descriptors1, descriptors2))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"Descriptors must be (N, D) and (M, D) with one D, not {a.shape} and {b.shape}.")
    if not len(a) or not len(b):
        return np.zeros((0, 2), dtype=int)
    squared = np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0)
    forward, backward = squared.argmin(1), squared.argmin(0)
    keep = backward[forward] == np.arange(len(a))
    if ratio is not None and len(b) > 1:
        best, second = np.sqrt(np.partition(squared, 1, axis=1)[:, :2].T)
        keep &= best < ratio * second
    first = np.flatnonzero(keep)
    return np.column_stack([first, forward[first]])
