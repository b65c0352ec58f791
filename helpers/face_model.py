"""The 68 landmarks in 3D: a shape model and its fit, expressions and their measures, head angles, moving portraits.

Outer-eye distances, OpenCV's frame: x to the right of the image, y down, z away from the viewer.
"""

from pathlib import Path

import cv2
import numpy as np
from matplotlib.tri import LinearTriInterpolator, Triangulation
from safetensors.numpy import load_file
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation

from helpers import checkpoints
from helpers.faces import LEFT_EYE_CORNER, MIRROR, NAMES, RIGHT_EYE_CORNER

# The action units of FACS that the designed expressions stand for.
ACTION_UNITS = {
    "right eye closed": "AU 43, 45 or 46",
    "left eye closed": "AU 43, 45 or 46",
    "eyes wide": "AU 5",
    "brows up": "AU 1 + 2",
    "smile": "AU 12",
    "mouth open": "AU 25 + 26",
}


def load():
    """The bundled shape model: the mean face (68, 3), and five modes (5, 68, 3) of one standard deviation of people."""
    shape = load_file(Path(checkpoints.find("face-landmarks")) / "shape.safetensors")
    return shape["mean"].astype(float), shape["people"].astype(float)


def cameras_of(shapes, views):
    """The scaled orthographic cameras (N, 2, 3) that show shapes (N, 68, 3) most nearly at views (N, 68, 2)."""
    free = views.mT @ shapes @ np.linalg.inv(shapes.mT @ shapes + 1e-6 * np.eye(3))  # flat shapes have no depth
    u, scales, v = np.linalg.svd(free, full_matrices=False)
    return scales.mean(1)[:, None, None] * u @ v


def fit_shape(mean, modes, points, noise=0.02, rounds=10):
    """The camera (2, 3), coefficients and reprojected points of the shape model for centred labels (68, 2)."""
    weights = np.zeros(len(modes))
    modes = modes - modes.mean(1, keepdims=True)  # the labels are centred, whatever moves
    for _ in range(rounds):
        shape = mean + np.tensordot(weights, modes, 1)
        camera = cameras_of(shape[None], points[None])[0]
        basis = (modes @ camera.T).reshape(len(modes), 2 * len(points)).T
        rest = (points - mean @ camera.T).ravel()
        scale = noise * np.linalg.norm(camera) / 2**0.5
        weights = np.linalg.solve(basis.T @ basis + scale**2 * np.eye(len(modes)), basis.T @ rest)
    return camera, weights, (mean + np.tensordot(weights, modes, 1)) @ camera.T


def expression_modes(mean):
    """What six expressions move, name -> displacements (68, 3) of the mean shape (68, 3) at full strength.

    Designed, not learned, after the action units of FACS (Ekman & Friesen 1978) and the animation units of Candide-3
    (Ahlberg 2001). Outer-eye distances, OpenCV's frame.
    """
    modes = {name: np.zeros((68, 3)) for name in ACTION_UNITS}
    for side, pairs in (("right", ((37, 41), (38, 40))), ("left", ((43, 47), (44, 46)))):
        for upper, lower in pairs:
            gap = mean[lower] - mean[upper]
            modes[f"{side} eye closed"][upper], modes[f"{side} eye closed"][lower] = 0.85 * gap, -0.15 * gap
    modes["eyes wide"][[37, 38, 43, 44], 1] = -0.025
    modes["brows up"][17:27, 1] = -0.12
    for rows, share in (((48, 60), 1), ((49, 59), 0.6), ((61, 67), 0.5), ((50, 58), 0.25)):
        for row in rows:
            modes["smile"][row] = share * np.array([-0.08, -0.09, 0.06])
            modes["smile"][MIRROR[row]] = share * np.array([0.08, -0.09, 0.06])
    jaw = np.zeros(68)
    jaw[:17] = np.clip(1.5 * np.sin(np.linspace(0, np.pi, 17)) - 0.5, 0, 1)
    jaw[[*range(55, 60), *range(65, 68)]] = 1
    jaw[[48, 54, 60, 64]] = 0.4
    modes["mouth open"] = jaw[:, None] * np.array([0, 0.22, 0.08])
    return modes


def warp(image, source, target):
    """`image` (H, W, 3), bent piecewise-affinely: what was at points `source` (N, 2) is then at `target` (N, 2).

    Outside of the target's convex hull the picture takes the colour of its first pixel: include its corners.
    """
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    mesh = Triangulation(*np.transpose(target), Delaunay(target).simplices)
    came_from = [LinearTriInterpolator(mesh, c)(x, y).filled(0).astype(np.float32) for c in np.transpose(source)]
    return cv2.remap(image, *came_from, cv2.INTER_LINEAR)


def surface(landmarks, mean, modes):
    """Landmarks (68, 2) in 3D, their head's rotation R (3, 3) to the camera, and its size (px of the model's unit).

    The points (68, 3) lie as if the head faced the camera upright, in the model's unit and frame. The shape model
    (mean (68, 3), modes (M, 68, 3)) is fitted under a scaled orthographic camera (`fit_shape`); each landmark keeps
    its place in the image, takes its depth from the model, and is turned back. The modes should hold those of the
    persons and of the expressions: what the model can't do, it takes for a turn of the head.

    Raises ValueError if a landmark is not finite.
    """
    landmarks = _finite(landmarks)
    centred = landmarks - landmarks.mean(0)
    camera, weights, _ = fit_shape(mean, modes, centred)
    size = np.linalg.norm(camera, axis=1).mean()
    x, y = camera / size
    R = np.array([x, y, np.cross(x, y)])
    depth = (mean + np.tensordot(weights, modes, 1)) @ R[2]
    return np.column_stack([centred / size, depth]) @ R, R, size


def frontal(landmarks, mean, modes):
    """Landmarks (68, 2) as they would lie if the head faced the camera upright: the first two columns of `surface`."""
    return surface(landmarks, mean, modes)[0][:, :2]


def measures(landmarks):
    """Five measures of a frontal, upright face from its landmarks (68, 2), y down; each without a unit.

    The aspect ratio of either eye (Soukupova & Cech 2016): opening over width. The opening between the lips, the height
    of the corners above the middle of the mouth, and the height of the brows above the eyes' corners: over the distance
    of the outer eye corners.

    Raises ValueError if a landmark is not finite.
    """
    p = _finite(landmarks)

    def distance(i, j):
        return float(np.linalg.norm(p[i] - p[j]))

    unit = distance(RIGHT_EYE_CORNER, LEFT_EYE_CORNER)
    down = np.array([-1, 1]) * (p[LEFT_EYE_CORNER] - p[RIGHT_EYE_CORNER])[::-1] / unit
    height = -(p @ down) / unit
    return {
        "right eye": (distance(37, 41) + distance(38, 40)) / (2 * distance(36, 39)),
        "left eye": (distance(43, 47) + distance(44, 46)) / (2 * distance(42, 45)),
        "mouth": distance(62, 66) / unit,
        "smile": float(height[[48, 54]].mean() - height[[51, 57, 62, 66]].mean()),
        "brows": float(height[17:27].mean() - height[[36, 39, 42, 45]].mean()),
    }


def head_angles_deg(R):
    """Yaw, pitch and roll in degrees of a head's rotation (3, 3) to OpenCV's camera frame; the identity is frontal.

    Yaw is positive where the nose points to the right of the image, pitch where it points up, roll where the head leans
    to the right of the image. R = Ry(-yaw) Rx(-pitch) Rz(roll). Raises ValueError for NaN and another shape.
    """
    R = np.asarray(R, dtype=float)
    if R.shape != (3, 3) or not np.isfinite(R).all():
        raise ValueError(f"R must be a rotation (3, 3) without NaN, not {R.tolist()}: was a face found in this frame?")
    yaw, pitch, roll = Rotation.from_matrix(R).as_euler("YXZ", degrees=True)
    return {"yaw": -float(yaw), "pitch": -float(pitch), "roll": float(roll)}


def head_rotation(yaw=0.0, pitch=0.0, roll=0.0):
    """The rotation (3, 3) of a head with these angles in degrees; `head_angles_deg` is the way back."""
    return Rotation.from_euler("YXZ", [-yaw, -pitch, roll], degrees=True).as_matrix()


def posed(points, moves, strengths=None, **angles):
    """Points (68, 3) of a face with expressions (name -> strength) of its `expression_modes`, turned by angles."""
    for name, strength in (strengths or {}).items():
        points = points + strength * moves[name]
    return points @ head_rotation(**angles).T


def fill_in(landmarks, mean, modes):
    """All 68 of landmarks (68, 2) of which some are NaN: those from the shape model, fitted to the others."""
    known = np.isfinite(landmarks).all(axis=1)
    centre, shift = landmarks[known].mean(axis=0), mean[known].mean(axis=0)
    camera, weights, _ = fit_shape(mean[known] - shift, modes[:, known], landmarks[known] - centre)
    fitted = (mean - shift + np.tensordot(weights, modes, 1)) @ camera.T + centre
    return np.where(known[:, None], landmarks, fitted)


class Portrait:
    """A photograph (H, W, 3) whose face, with landmarks (68, 2), moves as its `surface` does; the border stays."""

    def __init__(self, image, landmarks, mean, modes):
        self.image, self.landmarks = np.asarray(image), np.asarray(landmarks)
        self.points, self.R, self.size = surface(landmarks, mean, modes)
        self.moves = expression_modes(self.points)
        across, down = (np.linspace(0, side - 1, 6) for side in self.image.shape[1::-1])
        self.ring = [(x, y) for x in across for y in down if x in across[[0, -1]] or y in down[[0, -1]]]

    def landmarks_at(self, strengths, **angles):
        """Where the landmarks (68, 2) are with these expressions and after this turn of the head, in degrees."""
        moved = posed(self.points, self.moves, strengths, **angles) - self.points
        return self.landmarks + self.size * (moved @ self.R.T)[:, :2]

    def picture(self, strengths, **angles):
        """The photograph (H, W, 3) so. What is inside of a mouth stretches with it: its opening is not painted."""
        target = self.landmarks_at(strengths, **angles)
        return warp(self.image, [*self.landmarks, *self.ring], [*target, *self.ring])


def _finite(landmarks):
    landmarks = np.asarray(landmarks, dtype=float)
    if landmarks.shape != (68, 2):
        raise ValueError(f"Landmarks have shape (68, 2), not {landmarks.shape}.")
    bad = np.flatnonzero(~np.isfinite(landmarks).all(axis=1))
    if len(bad):
        raise ValueError(f"Landmark {bad[0]} ({NAMES[bad[0]]}) is not finite. Leave this face out, or find it again.")
    return landmarks
