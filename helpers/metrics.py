"""How good keypoints, matches and poses are, each figure defined once, with its source.

Distances are in pixels where not said otherwise. A homography maps pixels of the first image to pixels of the second;
image sizes are (height, width). A pose is (R (3, 3), t (3,)).
"""

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from helpers.geometry import IDENTITY, as_points, inside, project, transform, warp_points


def _shared(points1, points2, homography, size1, size2):
    """The points of either image that lie in the other's view, and where they fall there."""
    points1, points2 = as_points(points1, "points1"), as_points(points2, "points2")
    there, back = warp_points(points1, homography), warp_points(points2, np.linalg.inv(homography))
    seen1, seen2 = inside(there, size2), inside(back, size1)
    return points1[seen1], points2[seen2], there[seen1], back[seen2]


def _found(predicted, detected, eps):
    """How many predicted points have a detected one within eps pixels."""
    if not len(predicted) or not len(detected):
        return 0
    distance, _ = cKDTree(detected).query(predicted)
    return int((distance <= eps).sum())


def repeatability(points1, points2, homography, size1, size2, eps=3.0):
    """Share of keypoints found again in the other view (Schmid, Mohr & Bauckhage 2000; SuperPoint 2018, appendix).

    Of the points of either image that fall in the other's view under the true homography, the share with a detected
    point within `eps` pixels after warping, both directions pooled. NaN where no point falls in the shared view.
    """
    shared1, shared2, there, back = _shared(points1, points2, homography, size1, size2)
    total = len(shared1) + len(shared2)
    return (_found(there, shared2, eps) + _found(back, shared1, eps)) / total if total else np.nan


def match_errors(points1, points2, matches, homography):
    """Distance in pixels (K,) between each matched point of image 2 and where its partner truly falls."""
    matches = np.asarray(matches, dtype=int).reshape(-1, 2)
    there = warp_points(as_points(points1)[matches[:, 0]], homography)
    return np.linalg.norm(there - as_points(points2)[matches[:, 1]], axis=1)


def mean_matching_accuracy(errors, threshold=3.0):
    """MMA: share of matches whose error is at most `threshold` pixels (D2-Net 2019). NaN without matches."""
    errors = np.asarray(errors, dtype=float)
    return float((errors <= threshold).mean()) if len(errors) else np.nan


def matching_score(points1, points2, matches, homography, size1, size2, eps=3.0):
    """Correct mutual matches over the points in the shared view, mean of both images (SuperPoint 2018)."""
    shared1, shared2, _, _ = _shared(points1, points2, homography, size1, size2)
    points = (len(shared1) + len(shared2)) / 2
    correct = (match_errors(points1, points2, matches, homography) <= eps).sum()
    return float(correct / points) if points else np.nan


def corner_error(estimated, true, image_size):
    """Mean distance in pixels of the four image corners under the estimated and the true homography (SuperPoint 2018).

    Infinite where there is no estimate (None).
    """
    if estimated is None:
        return np.inf
    height, width = image_size
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], dtype=float)
    return float(np.linalg.norm(warp_points(corners, estimated) - warp_points(corners, true), axis=1).mean())


def rotation_error_deg(estimated, true):
    """Angle in degrees of the turn between two rotations (3, 3): arccos((trace(true^T estimated) - 1) / 2)."""
    return float(np.degrees(Rotation.from_matrix(np.transpose(true) @ estimated).magnitude()))


def direction_error_deg(estimated, true):
    """Angle in degrees between two translations (3,), whatever their lengths (SuperGlue 2020, without its fold at 90).

    Raises ValueError if one of them is zero: it has no direction.
    """
    estimated, true = np.asarray(estimated, dtype=float), np.asarray(true, dtype=float)
    if not (np.any(estimated) and np.any(true)):
        raise ValueError(f"A translation of length zero has no direction: {estimated.tolist()}, {true.tolist()}.")
    across = np.linalg.norm(np.cross(estimated, true))  # arctan2 is exact for small angles, arccos is not
    return float(np.degrees(np.arctan2(across, estimated @ true)))


def reprojection_error(points, pixels, K, pose=IDENTITY):
    """Root mean square distance in pixels between points (N, 3) as `project` sees them and where they were seen.

    NaN without points, or if one of them lies behind the camera. Raises ValueError if the lengths differ.
    """
    expected, pixels = project(points, K, pose), as_points(pixels, "pixels")
    if len(expected) != len(pixels):
        raise ValueError(f"There are {len(expected)} points and {len(pixels)} pixels: pass them matched, row by row.")
    return float(np.sqrt(((expected - pixels) ** 2).sum(axis=1).mean())) if len(pixels) else np.nan


def add(points, estimated, true):
    """ADD: mean distance, in metres, of an object's points (N, 3) under two poses (Hinterstoisser et al. 2012).

    NaN without points.
    """
    distances = np.linalg.norm(transform(points, estimated) - transform(points, true), axis=1)
    return float(distances.mean()) if len(distances) else np.nan


def nme(found, true, corners=(36, 45)):
    """Normalised mean error: mean distance of landmarks over the true distance of the outer eye corners.

    300-W's, which counts the corners from 1, as 37 and 46 (Sagonas et al. 2013).

    Args:
        found, true: (..., N, 2), px, row by row.
        corners: rows of the outer eye corners.

    Returns:
        One number for each face, (...); times 100 it is in percent.

    Raises ValueError if the number of landmarks differs.
    """
    found, true = np.asarray(found, dtype=float), np.asarray(true, dtype=float)
    if found.shape[-2:] != true.shape[-2:]:
        raise ValueError(f"Found landmarks of shape {found.shape} and true ones {true.shape}: pass them row by row.")
    unit = np.linalg.norm(true[..., corners[0], :] - true[..., corners[1], :], axis=-1)
    return np.linalg.norm(found - true, axis=-1).mean(-1) / unit


def torso_errors(found, true, torso=(5, 12)):
    """Distance of each joint over the person's torso diameter, (..., N), what `pck` counts.

    NaN where the joint, or an end of the torso, has no true place. Raises ValueError if the shapes differ.
    """
    found, true = np.asarray(found, dtype=float), np.asarray(true, dtype=float)
    if found.shape != true.shape or found.shape[-1:] != (2,):
        raise ValueError(
            f"Found joints of shape {found.shape} and true ones {true.shape}: pass (..., N, 2), row by row."
        )
    diameter = np.linalg.norm(true[..., torso[0], :] - true[..., torso[1], :], axis=-1)
    return np.linalg.norm(found - true, axis=-1) / diameter[..., None]


def pck(found, true, alpha=0.2, torso=(5, 12), which=None):
    """PCK: share of joints found within `alpha` torso diameters of their true place.

    Yang & Ramanan (2013) measure in sides of the person's box, Sapp & Taskar (2013) in torso diameters, as here: from
    left shoulder to right hip.

    Args:
        found, true: (..., N, 2), px, row by row; a true joint that is NaN, or whose torso is, does not count, a found
            one that is NaN counts as missed.
        torso: rows of left shoulder and right hip; those of `helpers.bodies.COCO`.
        which: (..., N), the joints to count; all if None.

    Returns one number; NaN where nothing counts. Raises ValueError if the shapes differ.
    """
    true = np.asarray(true, dtype=float)
    errors = torso_errors(found, true, torso)
    counts = np.isfinite(true).all(-1) & np.isfinite(true[..., list(torso), :]).all((-2, -1))[..., None]
    if which is not None:
        counts = counts & which
    return float((errors[counts] <= alpha).mean()) if counts.any() else np.nan


def mpjpe_mm(found, true, root=(6, 7)):
    """MPJPE: mean distance of joints in millimetres, after the roots are laid upon each other (Human3.6M 2014).

    Args:
        found, true: (..., N, 3), metres, row by row.
        root: the rows whose middle is the root; the hips of `helpers.bodies.LIMBS`.

    Returns:
        One number for each pose, (...).

    Raises ValueError if the shapes differ.
    """
    found, true = _poses(found, true)
    found, true = (joints - joints[..., list(root), :].mean(-2, keepdims=True) for joints in (found, true))
    return 1000 * np.linalg.norm(found - true, axis=-1).mean(-1)


def pa_mpjpe_mm(found, true):
    """PA-MPJPE: as `mpjpe_mm`, after the shift, rotation and scale that bring found joints nearest (Human3.6M 2014).

    Procrustes by Umeyama (1991): least squares, and never a reflection. NaN where a joint is not finite.
    """
    found, true = _poses(found, true)
    found, true = (joints - joints.mean(-2, keepdims=True) for joints in (found, true))
    known = np.isfinite(found + true).all((-2, -1))[..., None, None]
    x = np.where(known, found, 0)
    u, lengths, v = np.linalg.svd(np.where(known, true, 0).mT @ x)
    proper = np.sign(np.linalg.det(u @ v))
    lengths[..., 2] *= proper
    v[..., 2, :] *= proper[..., None]
    with np.errstate(invalid="ignore"):
        scale = lengths.sum(-1) / (x**2).sum((-2, -1))
    nearest = scale[..., None, None] * found @ (u @ v).mT
    return 1000 * np.linalg.norm(nearest - true, axis=-1).mean(-1)


def _poses(found, true):
    """Both as float arrays, of one shape (..., N, 3)."""
    found, true = np.asarray(found, dtype=float), np.asarray(true, dtype=float)
    if found.shape != true.shape or found.ndim < 2 or found.shape[-1] != 3:
        raise ValueError(f"Found joints of shape {found.shape}, true ones {true.shape}: both are (..., N, 3).")
    return found, true


# Per joint of COCO-17: the spread of its annotations over the square root of the person's area (COCO 2016).
_HALF = (0.079, 0.072, 0.062, 0.107, 0.087, 0.089)  # shoulders, elbows, wrists, hips, knees, ankles
COCO_SIGMAS = np.array([0.026, 0.025, 0.025, 0.035, 0.035, *np.repeat(_HALF, 2)])


def oks(found, true, area, visible=None):
    """Object keypoint similarity: mean over the visible joints of exp(-d^2 / (2 area (2 sigma)^2)), 1 is best (COCO).

    Args:
        found, true: (..., 17, 2), px, in the order of COCO-17. A joint that was not found (NaN) counts as 0.
        area: of the person in the image, px^2, (...); COCO takes that of the segment, not of the box.
        visible: (..., 17), whether a joint counts; None for all that are finite in `true`.

    Returns:
        One number for each person, (...); NaN where no joint is visible.

    Raises ValueError for other shapes, and for an area that is not positive.
    """
    found, true, area = (np.asarray(values, dtype=float) for values in (found, true, area))
    if found.shape != true.shape or found.shape[-2:] != (17, 2):
        raise ValueError(f"Found joints of shape {found.shape}, true ones {true.shape}: both are (..., 17, 2).")
    if not (area > 0).all():
        raise ValueError(f"The area must be positive, not {area.min()}: give the person's pixels, or width x height.")
    visible = np.isfinite(true).all(-1) if visible is None else np.asarray(visible, dtype=bool)
    square = ((found - true) ** 2).sum(-1)
    similarity = np.exp(-square / (2 * area[..., None] * (2 * COCO_SIGMAS) ** 2))
    count = visible.sum(-1)
    return np.where(count > 0, np.where(visible, np.nan_to_num(similarity), 0).sum(-1) / count.clip(1), np.nan)[()]
