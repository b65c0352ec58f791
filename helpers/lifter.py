"""From 2D joints to 3D: the network, what it is given, and lifting frame by frame."""

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn

from helpers.bodies import FEWEST, HIPS, LIMBS
from helpers.geometry import as_intrinsics

BODY_M = 1.324  # trunk, thigh and shin of the lifter's body together, as for a stature of 1.70 m (Winter 2009)
LONGEST_S = 0.5  # between frames, to interpolate


class BodyLifter(nn.Module, PyTorchModelHubMixin):
    """2D limb joints in a window of frames -> 3D limb joints of its middle frame (after Martinez et al. 2017).

    One view can't tell size from distance: every body's trunk, thigh and shin are taken to add up to `BODY_M`. Multiply
    the output by the true sum over that, where it is known.
    """

    def __init__(self, frames=5, spacing_s=0.1, width=256, blocks=2, dropout=0.1):
        super().__init__()
        self.frames, self.spacing_s = frames, spacing_s

        def layer(inputs):
            return [nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]

        self.first = nn.Sequential(*layer(frames * 36 + 2))
        self.blocks = nn.ModuleList(nn.Sequential(*layer(width), *layer(width)) for _ in range(blocks))
        self.last = nn.Linear(width, 36)

    def forward(self, joints, size):
        """Joints (N, frames, 12, 3) and size (N, 2) from `lifter_inputs` -> (N, 12, 3), metres, root at the origin."""
        x = self.first(torch.cat([joints.flatten(1), size], 1))
        for block in self.blocks:
            x = x + block(x)
        x = self.last(x).unflatten(1, (12, 3))
        return x - x[:, HIPS].mean(1, keepdim=True)


def lifter_inputs(points, K=None):
    """What `BodyLifter` is given for points (N, frames, 12, 2), px, of `LIMBS`, NaN where not seen.

    With intrinsics `K` (3, 3) pixels become rays, turned so that the camera looks at the person: lifting is then the
    same all over the image, and the angle that the person fills tells the distance. Without (None) the person counts as
    on the axis.

    Returns joints (N, frames, 12, 3): x, y about the person's middle in the middle frame, over the person's size there,
    and seen (0 or 1); size (N, 2): its logarithm, and whether `K` is known; turns (N, 3, 3): from the camera's frame to
    the model's.
    """
    seen, middle = np.isfinite(points).all(-1, keepdims=True), points.shape[1] // 2
    points, weight = np.where(seen, points, 0), seen[:, middle] / seen[:, middle].sum(1, keepdims=True).clip(1)
    centre, count = (points[:, middle] * weight).sum(1), len(points)
    flat, turns = points - centre[:, None, None], np.broadcast_to(np.eye(3), (count, 3, 3))
    if K is not None:
        back = np.linalg.inv(as_intrinsics(K)).T.astype(points.dtype)
        z = centre @ back[:2] + back[2]
        x = np.cross(np.array([0, 1, 0], z.dtype), z)
        turns = np.stack([axis / np.linalg.norm(axis, axis=1, keepdims=True) for axis in (x, np.cross(z, x), z)], 1)
        rays = (points @ back[:2] + back[2]) @ turns.mT[:, None]
        flat = rays[..., :2] / rays[..., 2:].clip(0.1)
    scale = np.sqrt((flat[:, middle] ** 2 * weight).sum((1, 2))).clip(1e-9)
    joints = np.concatenate([flat / scale[:, None, None, None], np.ones_like(flat[..., :1])], -1) * seen
    size = np.zeros((count, 2)) if K is None else np.column_stack([np.log(scale / 0.15), np.ones(count)])
    return joints.astype(np.float32), size.astype(np.float32), turns


def lift_windows(model, points, K=None):
    """As `lift`, for windows (N, model.frames, 12, 2) that are cut already -> (N, 12, 3)."""
    joints, size, turns = lifter_inputs(points, K)
    flip, mirror, found = np.float32([-1, 1, 1]), LIMBS.mirror, 0
    with torch.no_grad():
        for sign, order in ((1, slice(None)), (flip, mirror)):  # the mirror image must lift to the mirror image
            view = torch.from_numpy(np.ascontiguousarray((joints * sign)[:, :, order]))
            found = found + (model(view, torch.from_numpy(size)).numpy() * sign)[:, order] / 2
    return found @ turns


def lift(model, joints, K=None, times=None):
    """Lift a person's 2D joints to 3D, frame by frame, each with its neighbours in time.

    Args:
        model: `BodyLifter`, in eval mode.
        joints: (F, 12, 2), px, of `LIMBS`; NaN where not seen. A photograph is one frame.
        K: intrinsics (3, 3), or None if they are unknown: then less accurate, above all off the image's middle.
        times: (F,), s, increasing; they need not be regular. None for a photograph. Neighbours `spacing_s` apart are
            interpolated between two frames, unless these are more than `LONGEST_S` apart.

    Returns (F, 12, 3): metres of a body of average size (see `BodyLifter`), axes of OpenCV's camera (x right, y down, z
    away from it), origin in the middle of the hips; NaN for frames with fewer than `FEWEST` joints.

    Raises ValueError for other shapes, times that don't increase, a wrong `K`, and if no frame has enough joints.
    """
    joints = np.asarray(joints, dtype=float)
    joints = np.where(np.isfinite(joints), joints, np.nan)
    if joints.ndim != 3 or joints.shape[1:] != (12, 2):
        raise ValueError(f"joints must have shape (frames, 12, 2), not {joints.shape}: rows as in LIMBS.names.")
    times = np.zeros(1) if times is None and len(joints) == 1 else np.asarray(times, dtype=float)
    if times.shape != joints.shape[:1] or not (np.diff(times) > 0).all():
        raise ValueError(f"{len(joints)} frames need as many increasing times, s, not {times.shape}: one each.")
    enough = np.isfinite(joints).all(-1).sum(1) >= FEWEST
    if not enough.any():
        raise ValueError(f"Lifting needs {FEWEST} of the 12 joints in a frame; none of {len(joints)} frames has them.")
    moments = times[enough][:, None] + model.spacing_s * (np.arange(model.frames) - model.frames // 2)
    after = np.searchsorted(times, moments - 1e-6).clip(max=len(times) - 1)
    before = np.where(times[after] <= moments + 1e-6, after, after - 1).clip(0)  # the same, where a frame is there
    span = times[after] - times[before]
    share = ((moments - times[before]) / np.where(span > 0, span, np.inf))[..., None, None]
    windows = joints[before] + share * (joints[after] - joints[before])
    windows[(moments < times[0] - 1e-6) | (moments > times[-1] + 1e-6) | (span > LONGEST_S + 1e-6)] = np.nan
    found = np.full((len(joints), 12, 3), np.nan)
    found[enough] = lift_windows(model, windows, K)
    return found
