"""The exercises of part 3, facial landmarks."""

import numpy as np
from scipy.spatial.transform import Rotation

from helpers.exercises.answers import apart, as_array, as_number, exercise
from helpers.faces import MIRROR
from helpers.metrics import nme


@exercise("mirrored landmarks")
def mirrored_landmarks(function):
    points = np.random.default_rng(0).uniform(50, 150, (68, 2))
    true = (points * [-1, 1] + [319, 0])[MIRROR]
    answer = as_array(function(points, 320))
    if answer.shape != (68, 2):
        return f"the result must have shape (68, 2), not {answer.shape}."
    if np.allclose(answer, true, atol=0.01):
        return None
    if np.allclose(answer, true[MIRROR], atol=0.01):
        return "the places are right, but row 36 must be the right eye again: use faces.MIRROR."
    if np.allclose(answer, true + np.array([1, 0]), atol=0.01):
        return "one pixel too far to the right: pixel 0 goes to width - 1."
    if np.allclose(answer, true, atol=0.51):
        return "nearly, but up to half a pixel off: keep the fractions of pixels."
    return "x becomes width - 1 - x, y stays, and then the rows change places."


@exercise("normalised mean error")
def normalised_mean_error(function):
    rng = np.random.default_rng(0)
    true = rng.uniform(50, 150, (68, 2))
    found = true + rng.normal(0, 3, (68, 2))
    expected, between_eyes = nme(found, true), np.linalg.norm(true[36] - true[45])
    answer = as_array(function(found, true))
    if answer.size > 1:
        return f"one number is needed, not {answer.size}: take the mean over the landmarks."
    answer = as_number(answer)
    hints = {
        expected * between_eyes: "divide by the distance of the outer eye corners.",
        nme(found, true, (37, 46)): "300-W counts from 1: its 37 and 46 are rows 36 and 45.",
        expected * 100: "as a share, not in percent.",
        expected * between_eyes / np.linalg.norm(found[36] - found[45]): (
            "the eyes' distance is that of the true landmarks."
        ),
    }
    for wrong, hint in hints.items():
        if np.isclose(answer, wrong, rtol=1e-4):
            return hint
    if np.isclose(answer, expected, rtol=1e-4):
        return None
    return "your function gives {}, and it is {}.".format(*apart(answer, expected, 4))


@exercise("angle off the axis")
def angle_off_the_axis(function):
    for angles in ([0, 0, 0], [0, 25, 0], [-40, 10, 30], [120, 0, 5]):
        R = Rotation.from_euler("YXZ", angles, degrees=True).as_matrix()
        true = np.degrees(np.arccos(np.clip(R[2, 2], -1, 1)))
        answer = as_number(function(R))
        if true and np.isclose(answer, np.radians(true)):
            return "that is in radians: np.degrees."
        if not np.isclose(answer, true, atol=0.05):  # single precision loses that much near 0
            given, right = apart(answer, true, 1)
            turned = f"yaw {-angles[0]}, pitch {-angles[1]}, roll {angles[2]}"
            return f"a head turned by {turned} is {right} degrees off, and your function gives {given}."
    return None


@exercise("count the blinks")
def count_the_blinks(function):
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
        answer = as_number(function(np.array(ratios)))
        if answer != true:
            return "{}: your function counts {}, and it is {}.".format(name, *apart(answer, true, 0))
    return None


@exercise("a blink in time")
def a_blink_in_time(function):
    for t, true in ((0.3, 0), (1.0, 0), (1.05, 0.5), (1.1, 1), (1.175, 0.25), (1.2, 0), (2.0, 0)):
        answer = function(t)
        for eye in ("right eye closed", "left eye closed"):
            if not isinstance(answer, dict) or eye not in answer:
                return f"the result must be a dictionary with {eye!r} in it."
            closed = as_number(answer[eye])
            if not np.isclose(closed, true, atol=1e-4):
                given, right = apart(closed, true, 2)
                return f"at {t} s {eye!r} should be {right}, and is {given}."
    return None


@exercise("scaled orthographic camera")
def scaled_orthographic_camera(function):
    points = np.random.default_rng(0).uniform(-1, 1, (68, 3))
    R = Rotation.from_euler("YXZ", [-30, 10, 20], degrees=True).as_matrix()
    size, place = 120.0, np.array([320.0, 200.0])
    answer = as_array(function(points, R, size, place))
    if answer.shape != (68, 2):
        return f"the result must have shape (68, 2), not {answer.shape}: z is dropped after the turn."
    turned = points @ R.T
    seen = size * turned[:, :2]
    hints = [
        (seen + place, None),
        (size * (points @ R)[:, :2] + place, "that turns the other way: a point in a row is turned by points @ R.T."),
        (size * points[:, :2] + place, "nothing is turned: R comes before z is dropped."),
        (size * points[:, :2] @ R[:2, :2].T + place, "R comes before z is dropped: z counts in the turn."),
        (seen, "the place is missing."),
        (turned[:, :2] + place, "the size is missing: the pixels of one eye distance."),
        (seen + size * place, "the place is in pixels already: add it after the size."),
        (seen * [1, -1] + place, "y points down here and there: no sign changes."),
        (seen / turned[:, 2:] + place, "nothing is divided by z: that is a perspective camera, and this one drops z."),
    ]
    for wrong, hint in hints:
        if np.allclose(answer, wrong, atol=0.01):
            return hint
    off = np.linalg.norm(answer - seen - place, axis=1).max()
    return f"the points are up to {off:.1f} px off: turn, drop z, times the size, plus the place."
