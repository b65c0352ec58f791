"""How good the bundled `body-lifter` is: on held-out people, seen by simulated cameras.

    python -m benchmarks.lifter --data DIR

MPJPE: mean distance of the 12 limb joints once the middles of the hips are laid upon each other; PA-MPJPE: after
Procrustes. Millimetres, of a body scaled to the size that `helpers.lifter.BodyLifter` assumes. Where not said
otherwise: camera 3 m away with known `K`, from any side, looking down by -10 to 25 degrees (about 0.5 m below the hips
to 1.3 m above them) and rolled by up to 5; noise of 1 % of the longer side of the joints' box on each coordinate,
independent from joint to joint and frame to frame; no joint missing. All draws are seeded.

DIR holds `motion.parquet` (see `training.lifter`).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet

from helpers import checkpoints
from helpers.bodies import COCO, FEWEST, LIMBS
from helpers.lifter import BODY_M, BodyLifter, lift, lift_windows
from helpers.metrics import mpjpe_mm, pa_mpjpe_mm

PITCH_DEG, ROLL_DEG = (-10, 25), (-5, 5)
OFF_AXIS = 0.364  # 20 degrees, across and down
BONES = LIMBS.edges[:8]


@dataclass
class Motion:
    """Motion capture, frame by frame, clips one after the other."""

    joints: np.ndarray  # (F, 12, 3), metres of the standard body, y up
    ok: np.ndarray  # (F,), whether markers were seen
    fps: np.ndarray  # (F,)
    ends: np.ndarray  # (F, 2): first and last row of the frame's clip
    subject: np.ndarray  # (F,)
    size: dict  # subject -> length of trunk, thigh and shin, metres

    def windows(self, rows, frames, spacing_s, tempo=1.0):
        """Windows (N, frames, 12, 3) about frames `rows`, and which of their frames there are, (N, frames).

        In place of a frame that is not there, or not `ok`, stands the middle one.
        """
        step = np.maximum(1, np.rint(spacing_s * tempo * self.fps[rows])).astype(int)
        index = rows[:, None] + step[:, None] * (np.arange(frames) - frames // 2)
        low, high = self.ends[rows].T[..., None]
        there = (index >= low) & (index <= high) & self.ok[index.clip(low, high)]
        return self.joints[np.where(there, index, rows[:, None])], there


def load_motion(folder, split, subjects=None):
    """The clips of a split, of all subjects or of some, scaled by subject to the body's standard size."""
    table = pyarrow.parquet.read_table(Path(folder) / "motion.parquet", filters=[("split", "==", split)]).to_pylist()
    table = [row for row in table if subjects is None or row["subject"] in subjects]
    if not table:
        raise ValueError(f"No clips of split {split!r} in {folder}/motion.parquet.")
    lengths = np.array([len(row["ok"]) for row in table])
    last = np.cumsum(lengths) - 1
    joints = np.concatenate([np.array(row["joints_mm"]).reshape(-1, 17, 3) for row in table])[:, COCO.limbs] / 1000
    ok = np.concatenate([row["ok"] for row in table]).astype(bool)
    subject = np.repeat([row["subject"] for row in table], lengths)
    size = {}
    for name in np.unique(subject):
        rows = subject == name
        size[str(name)] = float(np.median(body_length(joints[rows & ok])))
        joints[rows] *= BODY_M / size[str(name)]
    fps = np.repeat([row["fps"] for row in table], lengths)
    ends = np.repeat(np.column_stack([last - lengths + 1, last]), lengths, axis=0)
    return Motion(joints.astype(np.float32), ok, fps, ends, subject, size)


def body_length(joints):
    """Trunk + thigh + shin of joints (..., 12, 3), both legs' mean."""
    trunk = np.linalg.norm(joints[..., :2, :].mean(-2) - joints[..., 6:8, :].mean(-2), axis=-1)
    legs = np.linalg.norm(joints[..., [6, 7, 8, 9], :] - joints[..., [8, 9, 10, 11], :], axis=-1)
    return trunk + legs.sum(-1) / 2


def cameras(yaw_deg, pitch_deg, roll_deg):
    """Rotations (N, 3, 3) from the world, y up, to OpenCV's camera frame; positive pitch looks down."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.deg2rad([yaw_deg, pitch_deg, roll_deg])) for f in (np.cos, np.sin))
    zero, one = np.zeros_like(cy), np.ones_like(cy)
    yaw = np.array([[cy, zero, sy], [zero, -one, zero], [sy, zero, -cy]])  # turned about y, then y and z reversed
    pitch = np.array([[one, zero, zero], [zero, cp, -sp], [zero, sp, cp]])
    roll = np.array([[cr, -sr, zero], [sr, cr, zero], [zero, zero, one]])
    return np.einsum("abn,bcn,cdn->nad", roll, pitch, yaw)


def facing_deg(joints):
    """The direction (N,) that bodies (N, 12, 3) face, about the world's y axis: 0 along z, 90 along x."""
    across = joints[:, [0, 6]].sum(1) - joints[:, [1, 7]].sum(1)
    forward = np.cross(across, joints[:, :2].mean(1) - joints[:, 6:8].mean(1))
    return np.degrees(np.arctan2(forward[:, 0], forward[:, 2]))


def seen_from(windows, rng, distance=3.0, view_deg=None, off_axis=0.0):
    """Windows (N, T, 12, 3) of the world in the frames of random cameras.

    Args:
        distance: of the hips along the optical axis, metres; a number, or a range.
        view_deg: where the person faces in the middle frame: 0 the camera, 90 the right of the image, 180 away from it;
            None for any.
        off_axis: how far the hips may be from the optical axis, over the distance.
    """
    count, middle = len(windows), windows.shape[1] // 2
    low, high = np.broadcast_to(distance, 2)
    depth = rng.uniform(low, high, count)
    yaw = (rng.uniform(-180, 180, count) if view_deg is None else view_deg) - facing_deg(windows[:, middle])
    turns = cameras(yaw, rng.uniform(*PITCH_DEG, count), rng.uniform(*ROLL_DEG, count))
    windows = windows - windows[:, middle, None, None, 6:8].mean(-2)
    shift = np.column_stack([rng.uniform(-off_axis, off_axis, (count, 2)), np.ones(count)]) * depth[:, None]
    return windows @ turns.mT[:, None].astype(np.float32) + shift[:, None, None].astype(np.float32)


def observed(windows, rng, noise=0.01, steady=0.0, missing=0.0, outliers=0.0):
    """Windows (N, T, 12, 3) of the camera's frame as (N, T, 12, 2) on the plane z = 1 (so that K is the identity).

    Args:
        noise: standard deviation over the longer side of the joints' box; a number, or (N,).
        steady: share of its variance that stays the same through the window; a number, or (N,).
        missing: share of joints that are NaN, as long as the window lasts; a number, or (N,).
        outliers: share of joints that lie anywhere in the box.
    """
    points = windows[..., :2] / np.maximum(windows[..., 2:], 0.2)
    middle = points[:, points.shape[1] // 2]
    low, high = middle.min(1), middle.max(1)
    side = (high - low).max(1)
    noise, steady, missing = (np.reshape(np.broadcast_to(v, len(points)), (-1, 1, 1)) for v in (noise, steady, missing))
    always = rng.standard_normal((len(points), 1, 12, 2), dtype=np.float32)
    moment = rng.standard_normal(points.shape, dtype=np.float32)
    steady = steady[..., None].astype(np.float32)
    error = np.sqrt(steady) * always + np.sqrt(1 - steady) * moment
    points = points + error * (noise[..., 0] * side[:, None]).astype(np.float32)[..., None, None]
    if outliers:
        wrong = rng.random(points.shape[:3]) < outliers
        row = np.nonzero(wrong)[0]
        points[wrong] = rng.uniform(low[row], high[row])
    points[np.broadcast_to((rng.random((len(points), 1, 12)) < missing), points.shape[:3])] = np.nan
    return points


def root_relative(windows):
    """The middle frame of windows (N, T, 12, 3) with the hips' middle at the origin."""
    middle = windows[:, windows.shape[1] // 2]
    return middle - middle[:, 6:8].mean(1, keepdims=True)


def score(found, true, group=None):
    """Mean MPJPE and PA-MPJPE in mm over the poses that were lifted, or of the groups' means, and how many poses."""
    lifted = np.isfinite(found).all((1, 2))
    found, true = found[lifted], true[lifted]
    weights = np.ones(len(found))
    if group is not None:
        _, which, count = np.unique(group[lifted], return_inverse=True, return_counts=True)
        weights = 1 / count[which]
    mean = [float(np.average(errors, weights=weights)) for errors in (mpjpe_mm(found, true), pa_mpjpe_mm(found, true))]
    return {"n": len(found), "mpjpe": round(mean[0], 1), "pa": round(mean[1], 1)}


def predict(model, points, known=True):
    """The lifter's joints (N, 12, 3) for windows (N, T, 12, 2) on the plane z = 1; NaN where too few are seen."""
    parts = np.array_split(points, len(points) // 1024 + 1)
    found = np.concatenate([lift_windows(model, part, np.eye(3) if known else None) for part in parts])
    found[np.isfinite(points[:, model.frames // 2]).all(-1).sum(1) < FEWEST] = np.nan
    return found


def measure(model, motion, rows, known=True, baseline=None, own_size=False, group=None, seed=0, view=None, **seen):
    """`score` on the frames `rows` of the model, or of a `baseline`: "z = 0", or a pose (12, 3).

    With `own_size` the truth has the people's own sizes, which the model can't know, instead of the standard one. With
    `group` (one entry a row) every group counts as much. `view` is passed to `seen_from`, the rest to `observed`.
    """
    rng, middle = np.random.default_rng(seed), model.frames // 2
    windows, there = motion.windows(rows, model.frames, model.spacing_s)
    windows = seen_from(windows, rng, **(view or {}))
    true, points = root_relative(windows), observed(windows, rng, **seen)
    if baseline is None:
        found = predict(model, np.where(there[..., None, None], points, np.nan), known)
    elif isinstance(baseline, str):  # where they are in the image, at the true distance of the hips
        points = points[:, middle] * windows[:, middle, 6:8, 2].mean(1)[:, None, None]
        found = np.concatenate([points - points[:, 6:8].mean(1, keepdims=True), np.zeros_like(points[..., :1])], -1)
    else:
        found = np.broadcast_to(baseline, true.shape)
    if own_size:
        true = true * np.array([motion.size[name] / BODY_M for name in motion.subject[rows]])[:, None, None]
    return score(found, true, group)


def bone_stability(model, motion, noise=0.01, seed=0):
    """How much bones change their lengths through a clip that one still camera sees, and how wrong they are.

    Means over the limbs' eight bones, and over the clips by their frames, percent: standard deviation over mean of the
    length, found and true; and by how much its mean in the clip is off. Clips in which the person comes nearer to the
    camera than 1 m are left out.
    """
    rng, results, weights = np.random.default_rng(seed), [], []
    for first, last in np.unique(motion.ends, axis=0):
        ok, clip = motion.ok[first : last + 1], motion.joints[first : last + 1]
        world = seen_from(clip[None], rng)[0]  # one window as long as the clip: one camera
        if world[..., 2].min() < 1 or not ok.any():
            continue
        points = observed(world[:, None], rng, noise)[:, 0]
        points[~ok] = np.nan
        both = lift(model, points, np.eye(3), np.arange(len(points)) / motion.fps[first])[ok], world[ok]
        lengths = np.array([[np.linalg.norm(j[:, a] - j[:, b], axis=1) for a, b in BONES] for j in both])
        mean = lengths.mean(2)
        results.append([*(lengths.std(2) / mean).mean(1), np.abs(mean[0] / mean[1] - 1).mean()])
        weights.append(ok.sum())
    values = 100 * np.average(results, axis=0, weights=weights)
    return dict(zip(("found", "true", "off"), values.round(1).tolist(), strict=True)) | {"clips": len(results)}


def evaluate(model, motion, average, brief=False):
    """The card's figures on the people of `motion`, or the first few; `average` (12, 3) is training's mean pose."""
    rows = np.flatnonzero(motion.ok)

    def at(**how):
        return measure(model, motion, rows, **how)

    if brief:
        bones = bone_stability(model, motion)
        return {"base": at(), "same noise throughout the window": at(steady=1.0), "bones, percent": bones}
    results = {
        "base": at(),
        "z = 0": at(baseline="z = 0"),
        "mean pose": at(baseline=average),
        "mean of the clips": at(group=motion.ends[rows, 0]),
        "mean of the subjects": at(group=motion.subject[rows]),
        "people in their own sizes": at(own_size=True),
        "K unknown": at(known=False),
        "K known, 20 degrees off the axis": at(view={"off_axis": OFF_AXIS}),
        "K unknown, 20 degrees off the axis": at(known=False, view={"off_axis": OFF_AXIS}),
        "same noise throughout the window": at(steady=1.0),
        "2 % of the joints anywhere in the box": at(outliers=0.02),
        "bones, percent": bone_stability(model, motion),
    }
    results |= {f"distance {d} m": at(view={"distance": float(d)}) for d in (2, 3, 4, 6, 8)}
    results |= {f"noise {n:g} %": at(noise=n / 100) for n in (0, 0.5, 1, 2, 3, 5)}
    results |= {f"missing {m} %": at(missing=m / 100) for m in (0, 5, 10, 20, 30)}
    results |= {f"facing {v} degrees": at(view={"view_deg": float(v)}) for v in range(0, 360, 45)}
    for name in np.unique(motion.subject):
        part = measure(model, motion, rows[motion.subject[rows] == name])
        results[f"subject {name}"] = part | {"trunk, thigh and shin, m": round(motion.size[str(name)], 3)}
    return results


def mean_pose(motion, seed=0):
    """The mean (12, 3) of all poses, as random cameras see them."""
    windows = motion.joints[motion.ok][:, None]
    return root_relative(seen_from(windows, np.random.default_rng(seed))).mean(0)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with motion.parquet")
    parser.add_argument("--checkpoint", default=None, help="instead of the bundled one")
    parser.add_argument("--split", default="validation", help='"train": how well the training subjects are fitted')
    options = parser.parse_args(arguments)
    model = BodyLifter.from_pretrained(options.checkpoint or checkpoints.find("body-lifter")).eval()
    average = mean_pose(load_motion(options.data, "train"))
    results = evaluate(model, load_motion(options.data, options.split), average)
    print("| | poses | MPJPE, mm | PA-MPJPE, mm |\n|---|---|---|---|")
    bones = results.pop("bones, percent")
    for name, r in results.items():
        print(f"| {name} | {r['n']} | {r['mpjpe']:.1f} | {r['pa']:.1f} |")
    print(
        f"\nBones over {bones['clips']} clips: lengths vary by {bones['found']} % (true: {bones['true']} %), ", end=""
    )
    print(f"their means are off by {bones['off']} %.")


if __name__ == "__main__":
    main()
