"""Homographies, and which pixel a coordinate means.

Keypoints are float arrays (N, 2) with columns (x, y) in pixels of the original image. (0, 0) is the centre of the
top-left pixel, x points right, y down. An image that is `width` pixels wide therefore spans -0.5 to width - 0.5.
"""

import cv2
import numpy as np


class TooFewPoints(ValueError):
    """A solver was given fewer points than its problem needs."""


def as_points(points, name="points"):
    """Return `points` as a float array (N, 2); raises ValueError for another shape, or for NaN and infinity."""
    points = np.asarray(points, dtype=float)
    if points.size == 0:
        return points.reshape(0, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name} must have shape (N, 2) with columns (x, y), not {points.shape}.")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} holds NaN or infinite coordinates: drop those rows first (np.isfinite).")
    return points


def warp_points(points, homography):
    """Apply a homography (3, 3) to points (N, 2), in pixels. Points on its horizon become infinite or NaN."""
    points = np.asarray(points, dtype=float)
    if points.size and points.shape[-1] != 2:
        raise ValueError(f"points must have shape (N, 2) with columns (x, y), not {points.shape}.")
    points = points.reshape(-1, 2)
    mapped = np.column_stack([points, np.ones(len(points))]) @ np.asarray(homography, dtype=float).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return mapped[:, :2] / mapped[:, 2:]


def inside(points, image_size, margin=0):
    """Which points (N, 2) lie on an image of `image_size` = (height, width), at least `margin` pixels from its edge."""
    height, width = image_size
    x, y = np.asarray(points, dtype=float).reshape(-1, 2).T
    return (x >= margin) & (y >= margin) & (x <= width - 1 - margin) & (y <= height - 1 - margin)


def random_homography(image_size, rng, rotation_deg=25.0, scale=(0.75, 1.3), perspective=0.1, shift=0.08):
    """Draw a homography that keeps most of an image of `image_size` = (height, width) in view.

    Args:
        rng: a numpy.random.Generator.
        rotation_deg: in-plane rotation, uniform in +- this many degrees.
        scale: range of the zoom, uniform in its logarithm.
        perspective: each corner moves by up to this share of the image's size.
        shift: the centre moves by up to this share of the image's size.

    Returns:
        (3, 3) array: pixels of the image -> pixels of its warped view.
    """
    height, width = image_size
    size = np.array([width, height], dtype=float)
    centre = (size - 1) / 2
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (size - 1)
    bent = corners + rng.uniform(-perspective, perspective, (4, 2)) * size
    angle = np.deg2rad(rng.uniform(-rotation_deg, rotation_deg))
    zoom = np.exp(rng.uniform(*np.log(scale)))
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = (bent - centre) @ turn.T + centre + rng.uniform(-shift, shift, 2) * size
    return cv2.getPerspectiveTransform(corners.astype(np.float32), target.astype(np.float32))


def fit_homography(source, target, threshold=3.0):
    """Robust homography between matched points (N, 2), by OpenCV's MAGSAC++ (Barath et al. 2020).

    Args:
        threshold: largest reprojection error of an inlier, in pixels.

    Returns:
        homography (3, 3), inliers (N,) bool. (None, all False) where no homography has four inliers.

    Raises:
        TooFewPoints: fewer than four matches.
        ValueError: lengths differ, wrong shapes, NaN.
    """
    source, target = as_points(source, "source"), as_points(target, "target")
    if len(source) != len(target):
        raise ValueError(f"source has {len(source)} points and target {len(target)}: pass matched points, row by row.")
    if len(source) < 4:
        raise TooFewPoints(
            f"A homography needs at least 4 matches, got {len(source)}: lower the keypoint threshold, or choose "
            "photographs that overlap more."
        )
    homography, mask = cv2.findHomography(source, target, cv2.USAC_MAGSAC, threshold, maxIters=5000, confidence=0.9999)
    inliers = np.zeros(len(source), dtype=bool) if mask is None else mask.ravel().astype(bool)
    return homography, inliers
