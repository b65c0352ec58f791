"""The exercises of part 2, pose estimation."""

import numpy as np
from scipy.spatial.transform import Rotation

from helpers.exercises.answers import apart, as_array, as_number, exercise
from helpers.geometry import project
from helpers.metrics import reprojection_error

K = np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])


@exercise("camera position")
def camera_position(answer):
    position = as_array(answer).ravel()
    if position.shape != (3,):
        return f"three numbers are needed, not {position.size}."
    if np.allclose(position, [-2, 0, 1], atol=0.01):
        return None
    if np.allclose(position, [1, 0, 2], atol=0.01):
        return "that is t itself: the world's origin, as the camera sees it."
    if np.allclose(position, [2, 0, -1], atol=0.01):
        return "the sign: R X + t = 0 gives R X = -t."
    return "solve R X + t = 0; the inverse of a rotation is its transpose."


@exercise("reprojection error")
def root_mean_square(function):
    rng = np.random.default_rng(0)
    pose = Rotation.from_euler("xyz", [10, -20, 5], degrees=True).as_matrix(), np.array([0.1, -0.2, 0.3])
    points = rng.uniform([-1, -1, 3], [1, 1, 5], (50, 3))
    exact = project(points, K, pose)
    pixels = exact + rng.normal(0, 2, (50, 2))
    true, distance = reprojection_error(points, pixels, K, pose), np.linalg.norm(exact - pixels, axis=1)
    answer = as_array(function(points, pixels, K, pose))
    if answer.size > 1:
        return f"one number is needed, not {answer.size}: take the mean over the points, then the root."
    answer = as_number(answer)
    hints = {
        true / np.sqrt(2): "you took the mean over both coordinates: add x and y first, then the mean over the points.",
        distance.mean(): "that is the mean distance; take the root of the mean of the squares.",
        true**2: "the root is missing.",
    }
    for wrong, hint in hints.items():
        if np.isclose(answer, wrong, rtol=1e-4):
            return hint
    if np.isclose(answer, true, rtol=1e-4):
        return None
    return "your function gives {} px, and it is {}.".format(*apart(answer, true, 3))


@exercise("epipole")
def epipole(function):
    R, t = Rotation.from_euler("xyz", [4, -15, 8], degrees=True).as_matrix(), np.array([-0.4, 0.3, -0.9])
    true = project((-R.T @ t)[None], K)[0]
    answer = as_array(function(K, (R, t))).ravel()
    if answer.shape != (2,):
        return f"one pixel is needed, two numbers, not {answer.size}."
    if np.allclose(answer, true, atol=0.1):
        return None
    x, y, z = K @ t
    if np.allclose(answer, [x / z, y / z], atol=0.1):
        return "that is the other epipole: t is the first camera's centre, as the second photograph shows it."
    if np.isnan(answer).any():
        return "your point is not before the first camera; its centre fulfils R X + t = 0."
    return "the second camera's centre fulfils R X + t = 0; solve for X, then project it with K1."


@exercise("depth error")
def depth_error(answer):
    metres = as_number(answer)
    if np.isclose(metres, 0.32, atol=0.002):
        return None
    if np.isclose(metres, 0.04, atol=0.002):
        return "the depth counts twice: Z squared."
    return "Z squared, over focal length times baseline, times the error in pixels."


@exercise("nearer pose")
def nearer_pose(function):
    def turned(degrees, t=(0, 0, 1)):
        return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), np.array(t, dtype=float)

    before = turned([20, 15, 0])
    near, far = turned([24, 12, 3], (0, 0, 1.01)), turned([-22, -14, 0], (0, 0, 1.1))
    misleading = turned([-20, -15, 0]), turned([25, 15, 0], (0.2, 0, 1))  # the first has exactly the t of before
    opposite = turned([20, 15, 150]), turned([20, 15, -40])
    cases = ([near, far], 0), ([far, near], 1), (misleading, 1), (opposite, 1)
    hints = {
        3: "t tells little, as both poses have nearly the same: compare the rotations.",
        4: "two rotations differ by R_before^T R, whose angle is arccos((trace - 1) / 2); the smaller one is nearer.",
    }
    for number, (poses, right) in enumerate(cases, 1):
        answer = as_number(function(poses, before))
        if answer not in (0, 1):
            return f"the answer is the number of one of the two poses, 0 or 1, not {answer:g}."
        if answer != right:
            return hints.get(number, "that is the pose that is further from the one before.")
    return None
