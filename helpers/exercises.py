"""Instant feedback on the notebooks' exercises: `check("name of the exercise", answer)`.

Each entry of `EXERCISES` takes the reader's answer, a value or a function, and returns None if it is right and a hint
otherwise. Answers are compared with tolerance; whatever an answer raises becomes part of the hint.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from helpers.bodies import Repetition, angle_deg
from helpers.faces import MIRROR, measures
from helpers.geometry import IDENTITY, camera_pose, project
from helpers.keypoints import mutual_matches
from helpers.metrics import nme, pck, reprojection_error, rotation_error_deg


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


def _mirrored_landmarks(function):
    points = np.random.default_rng(0).uniform(50, 150, (68, 2))
    answer, true = function(points.copy(), 320), (points * [-1, 1] + [319, 0])[MIRROR]
    if answer is None:
        return NOT_ATTEMPTED
    if np.shape(answer) != (68, 2):
        return f"the result must have shape (68, 2), not {np.shape(answer)}."
    if np.allclose(answer, true):
        return None
    if np.allclose(answer, true[MIRROR]):
        return "the places are right, but row 36 must be the right eye again: use faces.MIRROR."
    if np.allclose(np.subtract(answer, true)[:, 0], 1) and np.allclose(np.asarray(answer)[:, 1], true[:, 1]):
        return "one pixel too far to the right: pixel 0 goes to width - 1."
    return "x becomes width - 1 - x, y stays, and then the rows change places."


def _normalised_mean_error(function):
    rng = np.random.default_rng(0)
    true = rng.uniform(50, 150, (68, 2))
    found = true + rng.normal(0, 3, (68, 2))
    answer, expected = function(found, true), nme(found, true)
    if answer is None:
        return NOT_ATTEMPTED
    if np.ndim(answer):
        return f"one number is needed, not {np.size(answer)}: take the mean over the landmarks."
    hints = {
        expected * np.linalg.norm(true[36] - true[45]): "divide by the distance of the outer eye corners.",
        nme(found, true, (37, 46)): "300-W counts from 1: its 37 and 46 are rows 36 and 45.",
        expected * 100: "as a share, not in percent.",
        nme(found, true) * np.linalg.norm(true[36] - true[45]) / np.linalg.norm(found[36] - found[45]): (
            "the eyes' distance is that of the true landmarks."
        ),
    }
    for wrong, hint in hints.items():
        if np.isclose(answer, wrong, rtol=1e-4):
            return hint
    return (
        None
        if np.isclose(answer, expected, rtol=1e-4)
        else f"your function gives {answer:.4f}, and it is {expected:.4f}."
    )


def _angle_off_the_axis(function):
    for angles in ([0, 0, 0], [0, 25, 0], [-40, 10, 30], [120, 0, 5]):
        R = Rotation.from_euler("YXZ", angles, degrees=True).as_matrix()
        answer, true = function(R), np.degrees(np.arccos(np.clip(R[2, 2], -1, 1)))
        if answer is None:
            return NOT_ATTEMPTED
        if np.isclose(answer, np.radians(true)) and true:
            return "that is in radians: np.degrees."
        if not np.isclose(answer, true, atol=1e-3):
            return f"a head turned by yaw {-angles[0]}, pitch {-angles[1]}, roll {angles[2]} is {true:.1f} degrees off."
    return None


def _eye_aspect_ratio(function):
    landmarks = np.random.default_rng(0).uniform(50, 150, (68, 2))
    answer, true = function(landmarks[36:42].copy()), measures(landmarks)["right eye"]
    if answer is None:
        return NOT_ATTEMPTED
    if np.isclose(answer, 2 * true, rtol=1e-4):
        return "the 2 in the denominator is missing: there are two openings."
    return None if np.isclose(answer, true, rtol=1e-4) else f"your function gives {answer:.3f}, and it is {true:.3f}."


def _count_the_blinks(function):
    open_, shut = [0.3] * 5, [0.05] * 3
    trembling = [0.3, 0.14, 0.16, 0.14, 0.16, 0.1, 0.3]
    cases = {
        "two clear blinks": ([*open_, *shut, *open_, *shut, *open_], 2),
        "open eyes": (open_, 0),
        "a dip that trembles about 0.15": ([*open_, *trembling, *open_], 1),
        "an eye that is still closed at the end": ([*open_, *shut, *open_, *shut], 1),
        "an eye that narrows to 0.18": ([0.3, 0.18, 0.3], 0),
    }
    for name, (ratios, true) in cases.items():
        answer = function(np.array(ratios))
        if answer is None:
            return NOT_ATTEMPTED
        if answer != true:
            return f"{name}: your function counts {answer}, and it is {true}."
    return None


def _a_blink_in_time(function):
    for t, true in ((0.3, 0), (1.0, 0), (1.05, 0.5), (1.1, 1), (1.175, 0.25), (1.2, 0), (2.0, 0)):
        answer = function(t)
        if answer is None:
            return NOT_ATTEMPTED
        for eye in ("right eye closed", "left eye closed"):
            if not np.isclose(answer[eye], true, atol=1e-6):
                return f"at {t} s {eye!r} should be {true:.2f}, and is {answer[eye]:.2f}."
    return None


def _pck(function):
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 200, (40, 17, 2))
    found = true + rng.normal(0, 15, true.shape)
    for threshold in (0.1, 0.2):
        answer, right = function(found, true, threshold), pck(found, true, threshold)
        if answer is None:
            return NOT_ATTEMPTED
        if np.isclose(answer, 100 * right):
            return "a share is wanted, not a percentage."
        if np.isclose(answer, pck(found, true, threshold, torso=(4, 11))):
            return "rows are counted from 0: the left shoulder is row 5, the right hip row 12."
        if not np.isclose(answer, right, atol=1e-4):
            return f"at {threshold} your function gives {answer:.4f}, and it is {right:.4f}."
    return None


def _lag_of_the_moving_average(function):
    for frames, fps in ((5, 20), (9, 30), (1, 20)):
        answer, right = function(frames, fps), 1000 * (frames - 1) / 2 / fps
        if answer is None:
            return NOT_ATTEMPTED
        if np.isclose(answer, 1000 * frames / 2 / fps):
            return "the newest of the frames is 0 frames old: the mean age is that of 0, 1, ..., frames - 1."
        if not np.isclose(answer, right):
            return f"for {frames} frames at {fps} a second it is {right:.0f} ms, and your function gives {answer:.0f}."
    return None


def _angle_at_a_joint(function):
    rng = np.random.default_rng(0)
    for shape in ((2,), (3,), (6, 3), (4, 5, 2)):
        a, b, c = rng.normal(size=(3, *shape))
        answer, right = function(a, b, c), angle_deg(a, b, c)
        if answer is None:
            return NOT_ATTEMPTED
        if np.shape(answer) != np.shape(right):
            return f"points of shape {shape} have angles of shape {np.shape(right)}, not {np.shape(answer)}."
        if np.allclose(answer, np.radians(right)):
            return "that is in radians: np.degrees."
        if np.allclose(answer, 180 - right):
            return "both bones must begin at b: a - b and c - b."
        if not np.allclose(answer, right):
            return f"for points of shape {shape} your function is off by up to {np.abs(answer - right).max():.1f} deg."
    straight = function(np.array([0.1, 0.3]), np.array([0.2, 0.6]), np.array([0.3, 0.9]))
    return None if np.isclose(straight, 180, atol=1e-3) else "a straight joint gives NaN: clip the cosine to -1 and 1."


def _cadence(function):
    def made(*middles):
        return [Repetition(middle - 0.5, middle, middle + 0.6) for middle in middles]

    for repetitions, right in ((made(1, 2, 3), 60), (made(0.5, 2.5), 30), (made(1, 1.5, 2.5, 3), 90)):
        answer = function(repetitions)
        if answer is None:
            return NOT_ATTEMPTED
        if np.isclose(answer, right * len(repetitions) / (len(repetitions) - 1)):
            return "between the first and the last middle there is one repetition less than there are middles."
        if not np.isclose(answer, right):
            middles = [repetition.middle_s for repetition in repetitions]
            return f"middles at {middles} s are {right} a minute, and your function gives {answer:.1f}."
    for few in (made(), made(1)):
        if not np.isnan(float(function(few))):
            return f"with {len(few)} repetitions there is no cadence: return NaN."
    return None


def _asymmetry(function):
    for left, right, share in ((90, 90, 0), (90, 135, 0.5), (180, 60, 1), (60, 150, 0.75), (180, 180, 0)):
        answer = function(left, right)
        if answer is None:
            return NOT_ATTEMPTED
        if not np.isclose(answer, share):
            return f"knees at {left} and {right} degrees: it is {share:.2f}, and your function gives {answer:.2f}."
    return None


def _height_from_flight_time(function):
    for left, landed in ((0.0, 0.5), (1.2, 1.6), (2.0, 2.25)):
        answer, right = function(left, landed), 9.81 * (landed - left) ** 2 / 8
        if answer is None:
            return NOT_ATTEMPTED
        if np.isclose(answer, 4 * right, rtol=5e-3):
            return "that is how far one falls in the whole time: up and down take half of it each."
        if not np.isclose(answer, right, rtol=5e-3):
            return f"in the air from {left} to {landed} s: {right:.3f} m high, and your function gives {answer:.3f}."
    return None


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
    "mirrored landmarks": _mirrored_landmarks,
    "normalised mean error": _normalised_mean_error,
    "angle off the axis": _angle_off_the_axis,
    "eye aspect ratio": _eye_aspect_ratio,
    "count the blinks": _count_the_blinks,
    "a blink in time": _a_blink_in_time,
    "PCK": _pck,
    "lag of the moving average": _lag_of_the_moving_average,
    "angle at a joint": _angle_at_a_joint,
    "cadence": _cadence,
    "asymmetry": _asymmetry,
    "height from flight time": _height_from_flight_time,
}
