"""A 3D shape of the face from 2D labels alone: non-rigid structure from motion with mirror symmetry.

Outer-eye distances, origin in the centroid, OpenCV's camera frame: x right, y down, z forward, away from the viewer.
"""

import numpy as np

from benchmarks.face_labels import eye_distance, mirrored
from benchmarks.faces import yaws_deg
from helpers.face_model import cameras_of, fit_shape
from helpers.faces import LEFT_EYE_CORNER, MIRROR, RIGHT_EYE_CORNER


def shape_model(landmarks, modes=12, rounds=60, noise=0.02):
    """Mean shape (68, 3) and modes (modes, 68, 3), each as long as its standard deviation, of many labels (N, 68, 2).

    Every label is a scaled orthographic view of the mean plus modes, whose coefficients are standard normal a priori
    (expectation maximisation, as Torresani et al. 2008). Depth from such views is known up to a bas-relief ambiguity;
    the start, a face on an ellipsoid, says which side is in front.
    """
    views = np.concatenate([landmarks, mirrored(landmarks)])
    views = views - views.mean(1, keepdims=True)
    views = views / np.sqrt((views**2).sum(2).mean(1))[:, None, None]  # by size, as profile views have no eye distance
    flat = views.mean(0)
    depth = 0.9 * flat[:, :1] ** 2 + 0.25 * flat[:, 1:] ** 2
    shapes = np.zeros((1 + modes, 68, 3))
    shapes[0] = np.column_stack([flat, depth - depth.mean()])
    weights, spread = np.eye(1, 1 + modes).repeat(len(views), 0), np.zeros((len(views), 1 + modes, 1 + modes))
    for number in range(rounds):
        cameras = cameras_of(np.tensordot(weights, shapes, 1), views)
        if number == rounds // 4:  # the mean first
            shapes[1:] = np.random.default_rng(0).normal(0, 0.03, (modes, 68, 3))
        if number >= rounds // 4:
            basis = (shapes[None, 1:] @ cameras[:, None].mT).reshape(len(views), modes, -1)
            rest = (views - shapes[0] @ cameras.mT).reshape(len(views), -1, 1)
            spread[:, 1:, 1:] = np.linalg.inv(basis @ basis.mT / noise**2 + np.eye(modes))
            weights[:, 1:] = (spread[:, 1:, 1:] @ (basis @ rest))[..., 0] / noise**2
        moments = weights[:, :, None] * weights[:, None] + spread
        size = 3 * (1 + modes)
        left = np.tensordot(moments, cameras.mT @ cameras, (0, 0)).transpose(0, 2, 1, 3).reshape(size, size)
        right = np.tensordot(weights, cameras.mT @ views.mT, (0, 0)).reshape(size, 68)
        shapes = np.linalg.solve(left + 1e-3 * np.eye(size), right).reshape(1 + modes, 3, 68).transpose(0, 2, 1)
        shapes[0] = (shapes[0] + _other_side(shapes[0])) / 2
    shapes -= shapes.mean(1, keepdims=True)
    both = np.concatenate([shapes[1:], _other_side(shapes[1:])]).reshape(2 * modes, -1) / 2**0.5
    _, lengths, directions = np.linalg.svd(both, full_matrices=False)
    shapes[1:] = (lengths[:modes, None] * directions[:modes]).reshape(modes, 68, 3)
    shapes = np.ascontiguousarray(shapes / eye_distance(shapes[0]))  # safetensors writes memory as it lies
    return shapes[0], shapes[1:]


def person_modes(mean, modes, landmarks, people, count=5):
    """What tells people apart, (count, 68, 3), each as long as its standard deviation: modes of the persons' averages.

    `people` (N,) says whose labels (N, 68, 2) are. The covariance of the averages over a person's labels, less what
    the changes within a person leave in it (one-way random effects). The symmetric part only: the rest are turns of the
    head that the camera did not explain. Persons with a single label are left out.
    """
    _, numbers, counts = np.unique(people, return_inverse=True, return_counts=True)
    landmarks, people = landmarks[counts[numbers] > 1], people[counts[numbers] > 1]
    weights = np.array([fit_shape(mean, modes, p - p.mean(0))[1] for p in landmarks])
    names, numbers, counts = np.unique(people, return_inverse=True, return_counts=True)
    averages = np.array([weights[numbers == i].mean(0) for i in range(len(names))])
    within = weights - averages[numbers]
    within = within.T @ within / (len(weights) - len(names))
    between = np.cov(averages.T) - within * (1 / counts).mean()
    lengths, directions = np.linalg.eigh(between)
    fields = np.tensordot(np.sqrt(lengths.clip(0))[:, None] * directions.T, modes, 1)
    fields = ((fields + _other_side(fields)) / 2).reshape(len(modes), -1)
    _, lengths, directions = np.linalg.svd(fields, full_matrices=False)
    return np.ascontiguousarray((lengths[:count, None] * directions[:count]).reshape(count, 68, 3))


def _other_side(shapes):
    return (shapes * [-1, 1, 1])[..., MIRROR, :]


def shape_report(mean, modes, landmarks):
    """What the model explains of labels that it did not learn from, in their outer-eye distances."""
    errors = {"mean shape": [], "with modes": []}
    for points in landmarks:
        points = points - points.mean(0)
        for name, basis in (("mean shape", modes[:0]), ("with modes", modes)):
            _, _, seen = fit_shape(mean, basis, points)
            errors[name].append(np.linalg.norm(seen - points, axis=1).mean() / eye_distance(points))
    eyes, tip, ends = mean[[RIGHT_EYE_CORNER, LEFT_EYE_CORNER], 2].mean(), mean[30, 2], mean[[0, 16], 2].mean()
    return {
        "residual": {name: round(float(np.mean(values)), 4) for name, values in errors.items()},
        "yaw_deg percentiles 1, 50, 99": np.percentile(yaws_deg(mean, modes, landmarks), [1, 50, 99]).round(1).tolist(),
        "nose tip before the outer eye corners": round(float(eyes - tip), 3),
        "jaw's ends behind the outer eye corners": round(float(ends - eyes), 3),
        "standard deviation of each mode": np.sqrt((modes**2).sum((1, 2)) / 68).round(4).tolist(),
        "faces": len(landmarks),
    }
