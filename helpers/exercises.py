"""Instant feedback on the notebooks' exercises: `check("name of the exercise", answer)`.

Each entry of `EXERCISES` takes the reader's answer, a value or a function, and returns None if it is right and a hint
otherwise. Answers are compared with tolerance; whatever an answer raises becomes part of the hint.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from helpers.geometry import IDENTITY, camera_pose, project
from helpers.keypoints import mutual_matches
from helpers.metrics import reprojection_error, rotation_error_deg


def check(name, answer):
    """Print whether `answer` solves the exercise `name`: not attempted yet, right, or a hint.

    A value of None counts as not attempted, and so does a function that returns None.

    Raises:
        ValueError: there is no exercise of that name.
    """
    if name not in EXERCISES:
        raise ValueError(f"There is no exercise {name!r}; there are: {', '.join(EXERCISES)}.")
    try:
        hint = NOT_ATTEMPTED if answer is None else EXERCISES[name](answer)
    except Exception as error:
        hint = f"your answer raises {type(error).__name__}: {error}"
    if hint is NOT_ATTEMPTED:
        print(f"{name}: not attempted yet.")
    else:
        print(f"{name}: {'right.' if hint is None else f'not yet. Hint: {hint}'}")


NOT_ATTEMPTED = object()


def _about_100_keypoints(count):
    if count > 110:
        return f"{count} points are left: raise the threshold."
    if not count >= 90:  # NaN, too
        return f"{count} points are left: lower the threshold."
    return None


def _half_pixel_mapping(relative):
    if np.isclose(relative, (1000.5 * 640 / 4000 - 0.5) / 640, atol=1e-5):
        return None
    if np.isclose(relative, 0.25):
        return "0.25 is what you get without the half pixels: 1000 is the centre of a pixel that begins at 999.5."
    return "go to network pixels first, half a pixel in before scaling and half a pixel out after, then divide by 640."


def _repeatability_by_chance(share):
    if share > 1:
        return "a chance lies between 0 and 1."
    if np.isclose(share, (1 - np.pi * 9 / (320 * 240)) ** 300, atol=0.005):
        return "that is the chance that all 300 miss; you want the opposite."
    if np.isclose(share, 1 - (1 - np.pi * 9 / (320 * 240)) ** 300, atol=0.012):
        return None
    return "the disc has radius 3, so its area is pi * 9; all 300 points must miss it."


def _mutual_nearest_neighbours(function):
    rng = np.random.default_rng(0)
    for rows1, rows2 in ((60, 60), (40, 90), (90, 40)):
        first, second = rng.normal(size=(rows1, 16)), rng.normal(size=(rows2, 16))
        second[:20] = first[:20] + rng.normal(0, 0.2, (20, 16))
        first, second = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (first, second))
        answer = function(first, second)
        if answer is None:
            return NOT_ATTEMPTED
        answer = np.asarray(answer)
        if answer.ndim != 2 or answer.shape[1] != 2:
            return f"the result must have shape (K, 2), not {answer.shape}."
        mine, true = (set(map(tuple, pairs.tolist())) for pairs in (answer, mutual_matches(first, second)))
        if mine == {(j, i) for i, j in true} != true:
            return "the columns are swapped: first the row in descriptors1, then the row in descriptors2."
        if mine > true:
            return f"{len(mine - true)} of your pairs are not mutual: ask the second photograph as well."
        if mine != true:
            return f"{len(true - mine)} mutual pairs are missing, {len(mine - true)} are not mutual."
    return None


def _draws_of_ransac(function):
    for share in (0.2, 0.5, 0.8):
        answer, true = function(share), np.log(0.01) / np.log(1 - share**4)
        if answer is None:
            return NOT_ATTEMPTED
        if not true * 0.99 - 0.01 <= answer <= true * 1.01 + 1.01:  # rounded up is right, too
            return (
                f"at w = {share} your function gives {answer:.1f}. All k draws fail with probability (1 - w**4) ** k: "
                "set that to 0.01 and solve for k."
            )
    return None


def _camera_position(answer):
    answer = np.ravel(answer)
    if answer.shape != (3,):
        return f"three numbers are needed, not {answer.size}."
    if np.allclose(answer, [-2, 0, 1], atol=0.01):
        return None
    if np.allclose(answer, [1, 0, 2], atol=0.01):
        return "that is t itself: the world's origin, as the camera sees it."
    if np.allclose(answer, [2, 0, -1], atol=0.01):
        return "the sign: R X + t = 0 gives R X = -t."
    return "solve R X + t = 0; the inverse of a rotation is its transpose."


def _cropped_and_resized(cx):
    if np.isclose(cx, 374.5, atol=0.01):
        return None
    if np.isclose(cx, 1499.5 / 4, atol=0.01):
        return "that leaves out the half pixel: the image begins at -0.5."
    if np.isclose(cx, 2000 / 4 - 0.5 - 500, atol=0.01):
        return "you cut 500 columns of the large photograph, before it was shrunk."
    return "subtract the 500 columns first, then (x + 0.5) / 4 - 0.5."


def _reprojection_error(function):
    rng = np.random.default_rng(0)
    K = np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])
    pose = Rotation.from_euler("xyz", [10, -20, 5], degrees=True).as_matrix(), np.array([0.1, -0.2, 0.3])
    points = rng.uniform([-1, -1, 3], [1, 1, 5], (50, 3))
    pixels = project(points, K, pose) + rng.normal(0, 2, (50, 2))
    answer, true = function(points, pixels, K, pose), reprojection_error(points, pixels, K, pose)
    if answer is None:
        return NOT_ATTEMPTED
    if np.ndim(answer):
        return f"one number is needed, not {np.size(answer)}: take the mean over the points, then the root."
    distance = np.linalg.norm(project(points, K, pose) - pixels, axis=1)
    hints = {
        true / np.sqrt(2): "you took the mean over both coordinates: add x and y first, then the mean over the points.",
        distance.mean(): "that is the mean distance; take the root of the mean of the squares.",
        true**2: "the root is missing.",
    }
    for wrong, hint in hints.items():
        if np.isclose(answer, wrong, rtol=1e-4):
            return hint
    return (
        None if np.isclose(answer, true, rtol=1e-4) else f"your function gives {answer:.3f} px, and it is {true:.3f}."
    )


def _scale_from_a_known_length(function):
    points = np.random.default_rng(0).normal(size=(20, 3))
    for i, j, length in ((0, 1, 2.0), (7, 3, 0.5)):
        answer = function(points.copy(), i, j, length)
        if answer is None:
            return NOT_ATTEMPTED
        true = points * length / np.linalg.norm(points[i] - points[j])
        if np.shape(answer) != points.shape:
            return f"the result must have shape {points.shape}, not {np.shape(answer)}."
        if not np.allclose(answer, true):
            measured = np.linalg.norm(answer[i] - answer[j])
            return f"in your result, points i and j are {measured:.2f} m apart, and should be {length:.2f} m."
    return None


def _depth_error(metres):
    if np.isclose(metres, 0.32, atol=0.002):
        return None
    if np.isclose(metres, 0.04, atol=0.002):
        return "the depth counts twice: Z squared."
    return "Z squared, over focal length times baseline, times the error in pixels."


def _breaking_ransac(function):
    rng = np.random.default_rng(0)
    K = np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])
    points = rng.uniform([-1, -1, 3], [1, 1, 5], (100, 3))
    pixels = project(points, K)
    spoilt = pixels.copy()
    answer = function(points.copy(), spoilt, K)
    if answer is None:
        return NOT_ATTEMPTED if np.array_equal(spoilt, pixels) else "return the pixels."
    answer = np.asarray(answer)
    if answer.shape != pixels.shape:
        return f"the result must have shape {pixels.shape}, not {answer.shape}."
    changed = int((answer != pixels).any(axis=1).sum())
    if changed > 60:
        return f"you changed {changed} matches, and 60 are the most."
    (R, t), _ = camera_pose(points, answer, K)
    position, turn = np.linalg.norm(-R.T @ t), rotation_error_deg(R, IDENTITY[0])
    if position > 0.05 or turn > 1:
        return None
    return (
        f"RANSAC holds: after {changed} changes the pose is {1000 * position:.0f} mm and {turn:.1f} degrees off. "
        "Wrong matches win only if they agree on one possible pose: where would another camera see these points?"
    )


EXERCISES = {
    "about 100 keypoints": _about_100_keypoints,
    "half-pixel mapping": _half_pixel_mapping,
    "repeatability by chance": _repeatability_by_chance,
    "mutual nearest neighbours": _mutual_nearest_neighbours,
    "draws of RANSAC": _draws_of_ransac,
    "camera position": _camera_position,
    "cropped and resized": _cropped_and_resized,
    "reprojection error": _reprojection_error,
    "scale from a known length": _scale_from_a_known_length,
    "depth error": _depth_error,
    "breaking RANSAC": _breaking_ransac,
}
