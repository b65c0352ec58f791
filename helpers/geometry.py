"""Homographies, cameras and poses, and which pixel a coordinate means.

Keypoints are float arrays (N, 2) with columns (x, y) in pixels of the original image. (0, 0) is the centre of the
top-left pixel, x points right, y down. An image that is `width` pixels wide therefore spans -0.5 to width - 0.5.

Cameras are OpenCV's: x right, y down, z forward; intrinsics `K` are (3, 3). A pose is a pair (R (3, 3), t (3,)) that
takes points of one frame to another, X_camera = R @ X_world + t; lengths are in metres.
"""

from math import comb, hypot, inf, log10, pi

import cv2
import numpy as np
import poselib
from PIL import ExifTags


class TooFewPoints(ValueError):
    """A solver was given fewer points than its problem needs."""


class NoPose(ValueError):
    """The points don't determine a pose; the message says why, as far as it can be told."""


def as_points(points, name="points", dimensions=2):
    """Return `points` as a float array (N, dimensions); ValueError for another shape, or for NaN and infinity."""
    points = np.asarray(points, dtype=float)
    if points.size == 0:
        return points.reshape(0, dimensions)
    if points.ndim != 2 or points.shape[1] != dimensions:
        columns = ", ".join("xyz"[:dimensions])
        raise ValueError(f"{name} must have shape (N, {dimensions}) with columns ({columns}), not {points.shape}.")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} holds NaN or infinite coordinates: drop those rows first (np.isfinite).")
    return points


def as_intrinsics(K):
    """Return `K` as a float array (3, 3); raises ValueError for another shape, NaN, or a K that can't be inverted."""
    K = np.asarray(K, dtype=float)
    if K.shape != (3, 3) or not np.isfinite(K).all():
        raise ValueError(f"K must be a finite (3, 3) matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], got {K.tolist()}.")
    if np.linalg.matrix_rank(K) < 3 or (K[2] != [0, 0, 1]).any():
        raise ValueError(f"K = {K.tolist()} is singular or no K: focal lengths are not 0, the last row is [0, 0, 1].")
    return K


def _enough(what, least, **points):
    """Raise unless both arrays have the same number of rows, at least `least`."""
    (name1, first), (name2, second) = points.items()
    if len(first) != len(second):
        raise ValueError(f"{name1} has {len(first)} points and {name2} {len(second)}: pass matched points, row by row.")
    if len(first) < least:
        raise TooFewPoints(
            f"{what} needs at least {least} matches, got {len(first)}: lower the keypoint threshold, or choose "
            "photographs that overlap more."
        )


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


def rescale(x, y):
    """The homography (3, 3) of resizing an image by factors x and y; `rescale(x, y) @ K` are its intrinsics then."""
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def fit_homography(source, target, threshold=3.0):
    """Robust homography (3, 3) between matched points (N, 2), and its inliers (N,), bool.

    By OpenCV's MAGSAC++ (Barath et al. 2020), which is more exact here than PoseLib (`benchmarks.poses`). An inlier's
    reprojection error is at most `threshold`, in the unit of `target`. (None, all False) where the matches fix no
    homography, or where wrong ones would agree as well by chance, as any four do.

    Raises TooFewPoints below four matches; ValueError where lengths differ, for wrong shapes and NaN.
    """
    source, target = as_points(source, "source"), as_points(target, "target")
    _enough("A homography", 4, source=source, target=target)
    homography, mask = cv2.findHomography(source, target, cv2.USAC_MAGSAC, threshold, maxIters=5000, confidence=0.9999)
    inliers = np.zeros(len(source), dtype=bool) if mask is None else mask.ravel().astype(bool)
    by_chance = pi * threshold**2 / np.prod(np.ptp(target, axis=0) + threshold)
    on_a_line = _on_a_line(source[inliers]) or _on_a_line(target[inliers])
    if homography is None or on_a_line or _by_chance(inliers, by_chance, 4, 1, source, target):
        return None, np.zeros(len(source), dtype=bool)
    return homography, inliers


def _by_chance(inliers, probability, sample, models, *points):
    """Whether wrong matches would agree so well more than once in ten sets of them (a contrario, Moisan & Stival 2004).

    Of n matches, C(n, k) groups of k hold C(k, sample) samples, each with some models, with which the other k - sample
    agree with a `probability` each. Matches that share a point count once.
    """
    n, k = (min(len(np.unique(p[rows], axis=0)) for p in points) for rows in (slice(None), inliers))
    if k < sample:
        return True
    return log10(models * comb(n, k) * comb(k, sample)) + (k - sample) * log10(min(probability, 1)) > -1


def _on_a_line(points):
    """Whether points (N, D) lie on a line, to a thousandth of its length, or in one place; True for none."""
    if len(points) < 2:
        return True
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return spread[1] <= 1e-3 * spread[0]


# Cameras and poses

IDENTITY = np.eye(3), np.zeros(3)


def invert(pose):
    """The way back: (R, t) becomes (R^T, -R^T t). Of a camera's pose, t is then its position in the world."""
    R, t = pose
    return R.T, -R.T @ t


def compose(second, first):
    """The pose that does what `first` does and then what `second` does."""
    return second[0] @ first[0], second[0] @ first[1] + second[1]


def transform(points, pose):
    """Take points (N, 3), in metres, to another frame: X -> R @ X + t."""
    return as_points(points, dimensions=3) @ np.transpose(pose[0]) + np.reshape(pose[1], 3)


def intrinsics_from_exif(image, otherwise=None):
    """The intrinsics (3, 3) of a photograph from its EXIF, with square pixels and the principal point in the middle.

    From the focal length in 35 mm terms, which compares diagonals (CIPA DCG-001) and is in whole millimetres, else from
    that in mm and the sensor's resolution; both hold for an image that is turned or resized. A crop is noticed where
    its proportions are not those in EXIF, so not if it keeps them, nor if the camera made it (16:9 of a 4:3 sensor).

    Raises ValueError for a crop, and where EXIF is damaged, or has neither and `otherwise`, in 35 mm terms, is None.
    """
    try:
        exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
    except (SyntaxError, OSError) as error:
        raise ValueError(f"The photograph's EXIF can't be read ({error}): calibrate, or pass the original.") from error
    tags = "FocalLengthIn35mmFilm", "FocalLength", "FocalPlaneXResolution", "ExifImageWidth", "ExifImageHeight"
    of_35mm, millimetres, resolution, *before = (_positive(exif.get(ExifTags.Base[tag])) for tag in tags)
    now, before = np.sort(image.size), np.sort(before if all(before) else image.size)
    if abs(now[1] / now[0] * before[0] / before[1] - 1) > 0.01:
        raise ValueError(
            f"{image.width} x {image.height} px, but {before[1]:.0f} x {before[0]:.0f} by EXIF: it was cropped. Pass "
            "it uncropped, then subtract from cx and cy what you cut off on the left and above."
        )
    per_mm = resolution / {3: 10, 4: 1, 5: 0.001}.get(exif.get(ExifTags.Base.FocalPlaneResolutionUnit), 25.4)
    film = hypot(*now) / hypot(36, 24)  # px per mm of it
    focal = of_35mm * film or millimetres * per_mm * now[1] / before[1] or (otherwise or 0) * film
    if not focal:
        raise ValueError(
            "There is no focal length that helps in EXIF, as messengers and editors remove it: pass the file as the "
            "camera saved it, or calibrate."
        )
    return np.array([[focal, 0, (image.width - 1) / 2], [0, focal, (image.height - 1) / 2], [0, 0, 1]])


def _positive(value):
    """An EXIF value as a positive, finite float, 0 for anything else; 0 is EXIF's own word for unknown."""
    try:
        return float(value) if 0 < float(value) < inf else 0.0
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0


def project(points, K, pose=IDENTITY):
    """Where a camera sees points (N, 3) of the world: (N, 2) in pixels, NaN for points that are not before the camera.

    Args:
        K: intrinsics (3, 3).
        pose: world to camera.
    """
    x, y, z = transform(points, pose).T
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(z > 0, z, np.nan)
        return (np.column_stack([x / depth, y / depth, np.ones_like(z)]) @ as_intrinsics(K).T)[:, :2]


def backproject(points, depth, K):
    """The points (N, 3) of the camera frame that a camera with intrinsics `K` sees at pixels (N, 2), at depths (N,)."""
    points = as_points(points)
    return (
        np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(as_intrinsics(K)).T * np.reshape(depth, (-1, 1))
    )


def triangulate(points1, points2, K1, K2, pose):
    """Where the rays of matched pixels (N, 2) meet: (N, 3) in the first camera's frame.

    Linear (Hartley & Zisserman 2004, section 12.2), by OpenCV, on normalised coordinates. Lengths are in the unit of
    the pose's t. Rays that do not meet give points far away, behind the cameras or at infinity: check z.

    Args:
        K1, K2: intrinsics (3, 3) of the first and the second camera.
        pose: first camera to second camera.
    """
    points1, points2 = as_points(points1, "points1"), as_points(points2, "points2")
    _enough("Triangulation", 0, points1=points1, points2=points2)
    if not len(points1):
        return np.zeros((0, 3))
    rays1, rays2 = (backproject(p, np.ones(len(p)), K)[:, :2] for p, K in ((points1, K1), (points2, K2)))
    homogeneous = cv2.triangulatePoints(np.eye(3, 4), np.column_stack(pose), rays1.T, rays2.T)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (homogeneous[:3] / homogeneous[3]).T


def _for_poselib(pixels, K):
    """Pixels (N, 2) and intrinsics as PoseLib takes them: without skew, which its cameras lack."""
    (fx, _, cx), (_, fy, cy), _ = K = as_intrinsics(K)
    pixels = backproject(pixels, np.ones(len(pixels)), K)[:, :2] * [fx, fy] + [cx, cy]
    return pixels, {"model": "PINHOLE", "width": 0, "height": 0, "params": [fx, fy, cx, cy]}


def _explained(inliers, probability, sample, models, *points):
    """Raise NoPose if wrong matches would agree as well by chance."""
    if _by_chance(inliers, probability, sample, models, *points):
        raise NoPose(
            f"{inliers.sum()} of {len(inliers)} matches agree on a pose, as many as would by chance if all were wrong. "
            "Is it the same scene? Then lower the keypoint threshold, for more matches."
        )


def relative_pose(points1, points2, K1, K2, threshold=1.0):
    """The pose of a second camera from matched pixels alone; its translation has no scale, so |t| is 1.

    By PoseLib: five points within RANSAC, then least squares of the Sampson distance over the inliers (Hartley &
    Zisserman 2004, section 11.4.3) with the Cauchy loss.

    Args:
        points1, points2: (N, 2), pixels of the first and the second image, matched row by row.
        K1, K2: intrinsics (3, 3).
        threshold: largest distance of an inlier from its epipolar line, in pixels.

    Returns:
        pose (first camera to second camera, |t| = 1), inliers (N,) bool.

    Raises:
        TooFewPoints: fewer than five matches.
        NoPose: wrong matches would agree as well by chance, or those that agree lie on a line of the image.
        ValueError: lengths differ, wrong shapes, NaN, singular K.
    """
    points1, points2 = as_points(points1, "points1"), as_points(points2, "points2")
    _enough("A relative pose", 5, points1=points1, points2=points2)
    (seen1, camera1), (seen2, camera2) = _for_poselib(points1, K1), _for_poselib(points2, K2)
    pose, found = poselib.estimate_relative_pose(seen1, seen2, camera1, camera2, {"max_epipolar_error": threshold}, {})
    inliers = np.array(found["inliers"], dtype=bool)
    width, height = np.ptp(points2, axis=0) + threshold
    band = 2 * threshold * hypot(width, height) / (width * height)  # along the longest line there is
    _explained(inliers, band, 5, 10, points1, points2)
    if _on_a_line(points1[inliers]) or _on_a_line(points2[inliers]):
        raise NoPose("All matches that agree lie on a line of the image: choose photographs that share more.")
    return (pose.R, pose.t / np.linalg.norm(pose.t)), inliers


def camera_pose(points, pixels, K, threshold=2.0):
    """The pose of a camera that sees known points at known pixels (PnP), some of which may be wrong.

    By PoseLib: P3P within RANSAC, then least squares of the reprojection error over the inliers with the Cauchy loss.

    Args:
        points: (N, 3) in the world, metres; map coordinates, far from the origin, are as good as any.
        pixels: (N, 2), matched row by row.
        K: intrinsics (3, 3).
        threshold: largest reprojection error of an inlier, in pixels.

    Returns:
        pose (world to camera), inliers (N,) bool.

    Raises:
        TooFewPoints: fewer than four matches.
        NoPose: wrong matches would agree as well by chance, or those that agree lie on a line.
        ValueError: lengths differ, wrong shapes, NaN, singular K.
    """
    points, pixels = as_points(points, "points", 3), as_points(pixels, "pixels")
    _enough("A camera's pose", 4, points=points, pixels=pixels)
    on_a_line = "All points that agree lie on a line, about which the camera may turn: add points away from it."
    if _on_a_line(points):
        raise NoPose(on_a_line)
    (seen, camera), centre = _for_poselib(pixels, K), points.mean(axis=0)
    options = {"max_reproj_error": threshold}, {"loss_scale": threshold / 4}  # as for matches of SuperPoint
    pose, found = poselib.estimate_absolute_pose(seen, points - centre, camera, *options)
    inliers = np.array(found["inliers"], dtype=bool)
    _explained(inliers, pi * threshold**2 / np.prod(np.ptp(pixels, axis=0) + threshold), 3, 4, points, pixels)
    if _on_a_line(points[inliers]):
        raise NoPose(on_a_line)
    return (pose.R, pose.t - pose.R @ centre), inliers


def refine_pose(points, pixels, K, pose, loss="linear"):
    """The pose near `pose` with the least reprojection error of points (N, 3) seen at pixels (N, 2), by PoseLib.

    `loss` is "linear" for least squares, or "cauchy" against outliers (its scale is half a pixel). Raises TooFewPoints
    below three, and ValueError for different lengths, wrong shapes, NaN and a singular K.
    """
    points, pixels = as_points(points, "points", 3), as_points(pixels, "pixels")
    _enough("A camera's pose", 3, points=points, pixels=pixels)
    (seen, camera), centre, start = _for_poselib(pixels, K), points.mean(axis=0), poselib.CameraPose()
    start.R, start.t = pose[0], np.reshape(pose[1], 3) + pose[0] @ centre
    options = {"loss_type": {"linear": "TRIVIAL", "cauchy": "CAUCHY"}[loss], "loss_scale": 0.5}
    refined, _ = poselib.refine_absolute_pose(seen, points - centre, start, camera, options)
    return refined.R, refined.t - refined.R @ centre
