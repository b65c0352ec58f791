"""Robust relative poses, absolute poses and homographies: our own refinement of before, PoseLib, and plain OpenCV.

    python -m benchmarks.poses [--scenes 60] [--json FILE]

A scene is drawn by `numpy.random.default_rng([seed, share in %, noise in tenths of a pixel])`: two cameras of 640x480
pixels, f = 600 px, the second turned by 15 degrees and moved by 0.5 m in random directions, 200 points 2 to 8 m away
(on one plane for the homography), Gaussian noise on all pixels, and a share of wrong matches anywhere in the image.
Every method has the same threshold, the default of `helpers.geometry`.

Errors: relative pose, the larger of rotation and direction of the translation, in degrees (SuperGlue 2020); absolute
pose, the camera's position, in mm, and its rotation for the failures; homography, mean error of the corners in px
(infinite where there is none). A failure is more than 5 degrees, or 5 px. Time: of the process, one thread, over that
of PoseLib.

Before: MAGSAC++ in OpenCV, refined by SciPy's least squares with the Cauchy loss over the inliers. For homographies
`helpers.geometry` keeps MAGSAC++, whose errors are smaller than those of PoseLib with no refinement of ours.
OpenCV: its own RANSAC, with as high a confidence and without refinement of ours.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import poselib
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from benchmarks.keypoints import markdown
from helpers.geometry import (
    IDENTITY,
    NoPose,
    backproject,
    camera_pose,
    fit_homography,
    invert,
    project,
    relative_pose,
    transform,
)
from helpers.metrics import corner_error, direction_error_deg, rotation_error_deg

SIZE = (480, 640)
K = np.array([[600, 0, 319.5], [0, 600, 239.5], [0, 0, 1]])
SHARES, NOISES = (0.2, 0.5, 0.7), (0.5, 1.0)


def scene(seed, wrong, noise, count=200, flat=False):
    """Matched pixels of both cameras, the points in the first one's frame, the pose; the first matches are wrong."""
    rng = np.random.default_rng([seed, round(100 * wrong), round(10 * noise)])
    seen = rng.uniform([20, 20], [620, 460], (count, 2))
    depth = rng.uniform(2, 8, count)
    if flat:  # a plane 4 m away, whose normal is up to 40 degrees from the axis
        normal = Rotation.from_euler("xy", rng.uniform(-28, 28, 2), degrees=True).as_matrix()[2]
        depth = 4 * normal[2] / (backproject(seen, np.ones(count), K) @ normal)
    points = backproject(seen, depth, K)
    axis, step = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    pose = Rotation.from_rotvec(15 * axis, degrees=True).as_matrix(), 0.5 * step
    points[transform(points, pose)[:, 2] < 0.1] = [0, 0, 4]
    pixels1, pixels2 = (project(points, K, p) + rng.normal(0, noise, (count, 2)) for p in (IDENTITY, pose))
    some = round(wrong * count)
    pixels2[:some] = rng.uniform(0, SIZE[::-1], (some, 2))
    return pixels1, pixels2, points, pose


# What stood in `helpers.geometry` before.


def moved(step, pose):
    return Rotation.from_rotvec(step[:3]).as_matrix() @ pose[0], pose[1] + step[3:]


def relative_before(pixels1, pixels2, threshold=1.0):
    rays1, rays2 = (backproject(p, np.ones(len(p)), K) for p in (pixels1, pixels2))
    essential, mask = cv2.findEssentialMat(
        rays1[:, :2], rays2[:, :2], np.eye(3), cv2.USAC_MAGSAC, 0.9999, threshold / K[0, 0], 10_000
    )
    rays1, rays2 = (rays[mask.ravel().astype(bool)] for rays in (rays1, rays2))
    _, R, t, *_ = cv2.recoverPose(essential, rays1[:, :2], rays2[:, :2], np.eye(3), distanceThresh=1e9)

    def sampson(step):
        turned, t_moved = moved(step, (R, t.ravel()))
        E = np.cross(np.eye(3), t_moved / np.linalg.norm(t_moved)) @ turned
        lines2, lines1 = rays1 @ E.T, rays2 @ E
        size = (lines1[:, :2] ** 2).sum(axis=1) + (lines2[:, :2] ** 2).sum(axis=1)
        return K[0, 0] * (rays2 * lines2).sum(axis=1) / np.sqrt(size)

    return moved(least_squares(sampson, np.zeros(6), loss="cauchy", f_scale=threshold / 2).x, (R, t.ravel()))


def absolute_before(points, pixels, threshold=2.0):
    options = cv2.UsacParams()
    options.threshold, options.maxIterations, options.confidence = threshold, 5000, 0.9999
    options.score, options.loMethod = cv2.SCORE_METHOD_MAGSAC, cv2.LOCAL_OPTIM_SIGMA
    _, _, turn, shift, _ = cv2.solvePnPRansac(points, pixels, K.copy(), np.zeros(4), params=options)
    pose = cv2.Rodrigues(turn)[0], shift.ravel()
    inliers = np.linalg.norm(project(points, K, pose) - pixels, axis=1) <= threshold

    def residuals(step):
        x, y, z = (points[inliers] @ (Rotation.from_rotvec(step[:3]).as_matrix() @ pose[0]).T + moved(step, pose)[1]).T
        return ((np.column_stack([x / z, y / z, np.ones_like(z)]) @ K.T)[:, :2] - pixels[inliers]).ravel()

    return moved(least_squares(residuals, np.zeros(6), loss="cauchy", f_scale=0.5).x, pose)


def relative_opencv(pixels1, pixels2):
    essential, mask = cv2.findEssentialMat(pixels1, pixels2, K, cv2.RANSAC, 0.9999, 1.0)
    _, R, t, _ = cv2.recoverPose(essential, pixels1, pixels2, K, mask=mask)
    return R, t.ravel()


def absolute_opencv(points, pixels):
    _, turn, shift, _ = cv2.solvePnPRansac(
        points, pixels, K, None, reprojectionError=2.0, iterationsCount=5000, confidence=0.9999
    )
    return cv2.Rodrigues(turn)[0], shift.ravel()


def homography_opencv(source, target):
    return cv2.findHomography(source, target, cv2.RANSAC, 3.0, maxIters=5000, confidence=0.9999)[0]


# Each task: method -> (pixels1, pixels2, points) -> estimate; and estimate, truth -> error, failed.


def relative_error(pose, true, _points, _pixels):
    error = max(rotation_error_deg(pose[0], true[0]), direction_error_deg(pose[1], true[1]))
    return error, error > 5


def absolute_error(pose, true, _points, _pixels):
    error = 1000 * np.linalg.norm(invert(pose)[1] - invert(true)[1])
    return error, rotation_error_deg(pose[0], true[0]) > 5


def homography_error(homography, true, points, _pixels):
    exact = cv2.findHomography(project(points, K), project(points, K, true))[0]
    error = corner_error(homography, exact, SIZE)
    return error, error > 5


TASKS = {
    "relative pose, deg": (
        relative_error,
        {
            "before": lambda one, two, _: relative_before(one, two),
            "PoseLib": lambda one, two, _: relative_pose(one, two, K, K)[0],
            "OpenCV": lambda one, two, _: relative_opencv(one, two),
        },
    ),
    "absolute pose, mm": (
        absolute_error,
        {
            "before": lambda _, two, points: absolute_before(points, two),
            "PoseLib": lambda _, two, points: camera_pose(points, two, K)[0],
            "OpenCV": lambda _, two, points: absolute_opencv(points, two),
        },
    ),
    "homography, px": (
        homography_error,
        {
            "before": lambda one, two, _: fit_homography(one, two)[0],
            "PoseLib": lambda one, two, _: poselib.estimate_homography(one, two, {"max_reproj_error": 3.0}, {})[0],
            "OpenCV": lambda one, two, _: homography_opencv(one, two),
        },
    ),
}


def measure(task, wrong, noise, scenes):
    """For each method: median error, number of failures, process time in seconds, over the same scenes."""
    judge, methods = TASKS[task]
    drawn = [scene(seed, wrong, noise, flat=task.startswith("homography")) for seed in range(scenes)]
    rows = {}
    for name, method in methods.items():
        cv2.setRNGSeed(0)
        judged, seconds = [], 0.0
        for pixels1, pixels2, points, true in drawn:
            start = time.process_time()
            try:
                estimate = method(pixels1, pixels2, points)
            except (NoPose, cv2.error):
                estimate = None
            seconds += time.process_time() - start
            refused = estimate is None and not task.startswith("homography")
            judged.append((np.inf, True) if refused else judge(estimate, true, points, pixels2))
        errors, failed = zip(*judged, strict=True)
        rows[name] = {"median": float(np.median(errors)), "failures": int(np.sum(failed)), "seconds": seconds}
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=60, help="random scenes of each kind")
    parser.add_argument("--json", type=Path, help="write the table here, too")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    table = {}
    for task in TASKS:
        for noise in NOISES:
            for wrong in SHARES:
                rows = measure(task, wrong, noise, options.scenes)
                table[f"{task}; noise {noise} px; {wrong:.0%} wrong"] = {
                    **{f"{name}, median": row["median"] for name, row in rows.items()},
                    **{f"{name}, failures": row["failures"] for name, row in rows.items()},
                    **{f"{name}, time": row["seconds"] / rows["PoseLib"]["seconds"] for name, row in rows.items()},
                }
    print(markdown(table))
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
