"""Homographies, cameras and poses, and which pixel a coordinate means.

Keypoints are float arrays (N, 2) with columns (x, y) in pixels of the original image. (0, 0) is the centre of the
top-left pixel, x points right, y down. An image that is `width` pixels wide therefore spans -0.5 to width - 0.5.

Cameras are OpenCV's: x right, y down, z forward; intrinsics `K` are (3, 3). A pose is a pair (R (3, 3), t (3,)) that
takes points of one frame to another, X_camera = R @ X_world + t; lengths are in metres.
"""

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation


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
    _enough("A homography", 4, source=source, target=target)
    homography, mask = cv2.findHomography(source, target, cv2.USAC_MAGSAC, threshold, maxIters=5000, confidence=0.9999)
    inliers = np.zeros(len(source), dtype=bool) if mask is None else mask.ravel().astype(bool)
    return homography, inliers


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


def relative_pose(points1, points2, K1, K2, threshold=1.0):
    """The pose of a second camera from matched pixels alone; its translation has no scale, so |t| is 1.

    Essential matrix by MAGSAC++ (Barath et al. 2020) in OpenCV, decomposed with both depths positive; then rotation and
    direction are refined on the inliers by least squares of the Sampson distance (Hartley & Zisserman 2004, section
    11.4.3) with the Cauchy loss.

    Args:
        points1, points2: (N, 2), pixels of the first and the second image, matched row by row.
        K1, K2: intrinsics (3, 3).
        threshold: largest distance of an inlier from its epipolar line, in pixels.

    Returns:
        pose (first camera to second camera, |t| = 1), inliers (N,) bool.

    Raises:
        TooFewPoints: fewer than five matches.
        NoPose: no essential matrix has five inliers, or they lie on a line of the image.
        ValueError: lengths differ, wrong shapes, NaN, singular K.
    """
    points1, points2 = as_points(points1, "points1"), as_points(points2, "points2")
    _enough("A relative pose", 5, points1=points1, points2=points2)
    focal = np.mean([as_intrinsics(K)[[0, 1], [0, 1]] for K in (K1, K2)])
    rays1, rays2 = (backproject(p, np.ones(len(p)), K) for p, K in ((points1, K1), (points2, K2)))
    essential, mask = cv2.findEssentialMat(
        rays1[:, :2], rays2[:, :2], np.eye(3), cv2.USAC_MAGSAC, 0.9999, threshold / focal, 10_000
    )
    inliers = np.zeros(len(points1), bool) if mask is None else mask.ravel().astype(bool)
    if essential is None or essential.shape != (3, 3) or inliers.sum() < 5:
        raise NoPose("No camera pose explains five of the matches. Are these photographs of the same scene?")
    rays1, rays2 = rays1[inliers], rays2[inliers]
    for rays in (rays1, rays2):
        _not_on_a_line(rays, "All matches that agree lie on a line of the image: choose photographs that share more.")
    # Unless told otherwise, OpenCV leaves out points that are more than 50 baselines away.
    _, R, t, *_ = cv2.recoverPose(essential, rays1[:, :2], rays2[:, :2], np.eye(3), distanceThresh=1e9)

    def moved(step):  # by a rotation vector, and by a change of direction
        direction = t.ravel() + step[3:]
        return Rotation.from_rotvec(step[:3]).as_matrix() @ R, direction / np.linalg.norm(direction)

    def sampson(step):
        turned, direction = moved(step)
        E = np.cross(np.eye(3), direction) @ turned
        lines2, lines1 = rays1 @ E.T, rays2 @ E
        size = (lines1[:, :2] ** 2).sum(axis=1) + (lines2[:, :2] ** 2).sum(axis=1)
        return focal * (rays2 * lines2).sum(axis=1) / np.sqrt(size)

    return moved(least_squares(sampson, np.zeros(6), loss="cauchy", f_scale=threshold / 2).x), inliers


def camera_pose(points, pixels, K, threshold=2.0):
    """The pose of a camera that sees known points at known pixels (PnP), some of which may be wrong.

    P3P within MAGSAC++ (Barath et al. 2020), by OpenCV; then least squares of the reprojection error over the inliers
    with the Cauchy loss.

    Args:
        points: (N, 3) in the world, metres.
        pixels: (N, 2), matched row by row.
        K: intrinsics (3, 3).
        threshold: largest reprojection error of an inlier, in pixels.

    Returns:
        pose (world to camera), inliers (N,) bool.

    Raises:
        TooFewPoints: fewer than four matches.
        NoPose: the points lie on a line, or no pose has four inliers.
        ValueError: lengths differ, wrong shapes, NaN, singular K.
    """
    points, pixels, K = as_points(points, "points", 3), as_points(pixels, "pixels"), as_intrinsics(K)
    _enough("A camera's pose", 4, points=points, pixels=pixels)
    on_a_line = "All points lie on a line, about which the camera may turn: add points away from it."
    _not_on_a_line(points, on_a_line)
    options = cv2.UsacParams()
    options.threshold, options.maxIterations, options.confidence = threshold, 5000, 0.9999
    options.score, options.loMethod = cv2.SCORE_METHOD_MAGSAC, cv2.LOCAL_OPTIM_SIGMA
    found, _, turn, shift, _ = cv2.solvePnPRansac(points, pixels, K.copy(), np.zeros(4), params=options)
    inliers = np.zeros(len(points), bool)
    if found:
        pose = cv2.Rodrigues(turn)[0], shift.ravel()
        inliers = np.linalg.norm(project(points, K, pose) - pixels, axis=1) <= threshold
    if min(len(np.unique(seen[inliers], axis=0)) for seen in (points, pixels)) < 4:
        raise NoPose("No pose explains four of the matches. Does the photograph show these points?")
    _not_on_a_line(points[inliers], on_a_line)
    return refine_pose(points[inliers], pixels[inliers], K, pose, loss="cauchy"), inliers


def refine_pose(points, pixels, K, pose, loss="linear"):
    """The pose near `pose` with the least reprojection error of points (N, 3) seen at pixels (N, 2).

    `loss` is SciPy's: "linear" for least squares, "cauchy" against outliers (its scale is half a pixel). Raises
    ValueError for different lengths, wrong shapes, NaN and a singular K.
    """
    points, pixels, K = as_points(points, "points", 3), as_points(pixels, "pixels"), as_intrinsics(K)
    _enough("A camera's pose", 3, points=points, pixels=pixels)

    def residuals(step):
        x, y, z = (points @ (Rotation.from_rotvec(step[:3]).as_matrix() @ pose[0]).T + pose[1] + step[3:]).T
        seen = np.column_stack([x / z, y / z, np.ones_like(z)]) @ K.T
        return (seen[:, :2] - pixels).ravel()

    step = least_squares(residuals, np.zeros(6), loss=loss, f_scale=0.5).x
    return Rotation.from_rotvec(step[:3]).as_matrix() @ pose[0], pose[1] + step[3:]


def _not_on_a_line(points, message):
    """Raise NoPose(message) if points (N, 3) lie on a line, to a thousandth of its length, or in one place."""
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if spread[1] <= 1e-3 * spread[0]:
        raise NoPose(message)
