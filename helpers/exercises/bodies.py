"""The exercises of part 4, fitness tracking."""

import numpy as np
from scipy.spatial.transform import Rotation

from helpers.bodies import angle_deg
from helpers.exercises.answers import apart, as_array, as_number, exercise
from helpers.metrics import pck
from helpers.movement import Repetition


@exercise("PCK")
def percentage_of_correct_keypoints(function):
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 200, (40, 17, 2))
    found = true + rng.normal(0, 15, true.shape)
    for threshold in (0.1, 0.2):
        right, misread = pck(found, true, threshold), pck(found, true, threshold, torso=(4, 11))
        answer = as_number(function(found, true, threshold))
        if np.isclose(answer, 100 * right):
            return "a share is wanted, not a percentage."
        if np.isclose(answer, misread):
            return "rows are counted from 0: the left shoulder is row 5, the right hip row 12."
        if not np.isclose(answer, right, atol=1e-4):
            return "at {} your function gives {}, and it is {}.".format(threshold, *apart(answer, right, 4))
    return None


@exercise("lag of the moving average")
def lag_of_the_moving_average(function):
    for frames, fps in ((5, 20), (9, 30), (1, 20)):
        right, answer = 1000 * (frames - 1) / 2 / fps, as_number(function(frames, fps))
        if np.isclose(answer, 1000 * frames / 2 / fps):
            return "the newest of the frames is 0 frames old: the mean age is that of 0, 1, ..., frames - 1."
        if not np.isclose(answer, right, atol=0.1):
            given, right = apart(answer, right, 1)
            return f"for {frames} frames at {fps} a second it is {right} ms, and your function gives {given}."
    return None


@exercise("angle at a joint")
def angle_at_a_joint(function):
    rng = np.random.default_rng(0)
    for shape in ((2,), (3,), (6, 3), (4, 5, 2)):
        a, b, c = rng.normal(size=(3, *shape))
        right, answer = angle_deg(a, b, c), as_array(function(a, b, c))
        if answer.shape != np.shape(right):
            return f"points of shape {shape} have angles of shape {np.shape(right)}, not {answer.shape}."
        if np.allclose(answer, np.radians(right)):
            return "that is in radians: np.degrees."
        if np.allclose(answer, 180 - right, atol=0.05):
            return "both bones must begin at b: a - b and c - b."
        if not np.allclose(answer, right, atol=0.05):  # single precision loses that much near 0 and 180
            return f"for points of shape {shape} your function is off by up to {np.abs(answer - right).max():.2g} deg."
    straight = as_number(function(np.array([0.1, 0.3]), np.array([0.2, 0.6]), np.array([0.3, 0.9])))
    if np.isnan(straight):
        return "a straight joint gives NaN: clip the cosine to -1 and 1."
    if not np.isclose(straight, 180, atol=0.1):
        return "a straight joint has {1} degrees, and your function gives {0}.".format(*apart(straight, 180, 1))
    return None


@exercise("cadence")
def cadence(function):
    def made(*middles):
        return [Repetition(middle - 0.5, middle, middle + 0.6) for middle in middles]

    for repetitions, right in ((made(1, 2, 3), 60), (made(0.5, 2.5), 30), (made(1, 1.5, 2.5, 3), 90)):
        answer = as_number(function(repetitions))
        if np.isclose(answer, right * len(repetitions) / (len(repetitions) - 1)):
            return "between the first and the last middle there is one repetition less than there are middles."
        if not np.isclose(answer, right):
            middles = [repetition.middle_s for repetition in repetitions]
            given, right = apart(answer, right, 1)
            return f"middles at {middles} s are {right} a minute, and your function gives {given}."
    for few in (made(), made(1)):
        if not np.isnan(as_number(function(few))):
            return f"with {len(few)} repetitions there is no cadence: return NaN."
    return None


@exercise("asymmetry")
def asymmetry(function):
    for left, right, share in ((90, 90, 0), (90, 135, 0.5), (180, 60, 1), (60, 150, 0.75), (180, 180, 0)):
        answer = as_number(function(left, right))
        if not np.isclose(answer, share, atol=1e-4):
            given, share = apart(answer, share, 2)
            return f"knees at {left} and {right} degrees: it is {share}, and your function gives {given}."
    return None


@exercise("height from flight time")
def height_from_flight_time(function):
    for left, landed in ((0.0, 0.5), (1.2, 1.6), (2.0, 2.25)):
        right, answer = 9.81 * (landed - left) ** 2 / 8, as_number(function(left, landed))
        if np.isclose(answer, 4 * right, rtol=5e-3):
            return "that is how far one falls in the whole time: up and down take half of it each."
        if not np.isclose(answer, right, rtol=5e-3):
            given, right = apart(answer, right, 3)
            return f"in the air from {left} to {landed} s: {right} m high, and your function gives {given}."
    return None


@exercise("forward kinematics")
def forward_kinematics(function):
    rng = np.random.default_rng(0)
    for _ in range(3):
        place, upper, lower = rng.normal(0, 0.3, (3, 3))
        shoulder, elbow = Rotation.from_rotvec(rng.normal(size=(2, 3))).as_matrix()
        right = place + shoulder @ (upper + elbow @ lower)
        answer = as_array(function(place, shoulder, elbow, upper, lower)).squeeze()
        if answer.shape != (3,):
            return f"one place of shape (3,) is needed, not {answer.shape}."
        for wrong, hint in (
            (place + shoulder @ upper + elbow @ lower, "the forearm goes along with the upper arm: turn it by both."),
            (place + shoulder @ upper + elbow @ shoulder @ lower, "turn it by the elbow first: R_shoulder @ R_elbow."),
            (place + upper @ shoulder + lower @ elbow @ shoulder, "matrices stand on the left: R @ o, not o @ R."),
            (right - place, "the arm begins at p_shoulder: add it."),
            (place + shoulder @ upper, "that is the elbow: go on to the wrist."),
        ):
            if np.allclose(answer, wrong, atol=1e-4):
                return hint
        if not np.allclose(answer, right, atol=1e-4):
            return f"your wrist is {np.linalg.norm(answer - right):.2g} m from where it should be."
    return None
