"""From a body's joints to an avatar's: bones of constant length, rotations, forward kinematics, and BVH files.

Metres, y up; `upright` turns a camera's axes into these. At rest, where all rotations are the identity, the avatar
stands upright with hanging arms, faces along z and has its left at x. About x, a positive angle bends a knee and a
negative one an elbow, or lifts a leg or an arm to the front; about z, a positive angle lifts the left arm or leg to the
side, and a negative one the right.
"""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from helpers.lifter import BODY_M


@dataclass(frozen=True)
class Skeleton:
    """Joints, each with its row's `parents` (-1 for the root, which is the first) and its place at rest.

    `names` (B,), `parents` (B,), and `offsets` (B, 3): where a joint is, seen from its parent, metres. Parents stand
    before their children. Joints without children only mark the end of a bone.
    """

    names: tuple
    parents: tuple
    offsets: np.ndarray


# The avatar's joints, by the names that animation programs know: each one's parent, and which way it lies from there at
# rest. Lengths are the body's; where it has no such joint, they are shares of its stature (Winter 2009).
_ARM, _LEG = ("Arm", "ForeArm", "Hand"), ("UpLeg", "Leg", "Foot")  # from shoulder to wrist, from hip to ankle
_JOINTS = {
    "Hips": (None, (0, 0, 0)),
    "Spine": ("Hips", (0, 0, 0)),
    "Chest": ("Spine", (0, 1, 0)),
    "Head": ("Chest", (0, 0.052, 0)),
    "HeadEnd": ("Head", (0, 0.130, 0)),
}
for _parts, _root, _end in ((_ARM, "Chest", (0, -0.108, 0)), (_LEG, "Hips", (0, -0.039, 0.11))):
    for _side, _x in (("Left", 1), ("Right", -1)):
        _names = [f"{_side}{part}" for part in _parts]
        _JOINTS[_names[0]] = (_root, (_x, 0, 0))
        _JOINTS |= {name: (parent, (0, -1, 0)) for parent, name in pairwise(_names)}
        _JOINTS[f"{_names[-1]}End"] = (_names[-1], _end)
NAMES = tuple(_JOINTS)
LIMB_ROWS = [NAMES.index(f"{side}{part}") for part in _ARM + _LEG for side in ("Left", "Right")]  # as LIMBS has them


def upright(joints, up=(0, -1, 0)):
    """Joints (..., 3) in a camera's axes (x right, y down, z away from it), as `helpers.lifter.lift` gives them, y up.

    x still points to the camera's right, z towards it. `up` (3,) is where the room's up is for the camera.

    Raises ValueError if the camera looks straight up or down.
    """
    x = np.cross(up, [0, 0, -1])
    if not np.linalg.norm(x) > 0:
        raise ValueError(f"up = {list(up)} is the camera's axis or zero: turn the joints by a rotation of your own.")
    return np.asarray(joints, dtype=float) @ _axes(x, np.asarray(up, dtype=float))


def skeleton_of(joints):
    """The `Skeleton` of a body: medians of its bones' lengths over joints (F, 12, 3) of `LIMBS`, metres.

    Its rest pose is the module's. `Spine` is where the hips' middle is, as the whole trunk turns there, `Chest` between
    the shoulders. Head, hands and feet, which are not among the joints, have usual proportions.

    Raises ValueError for another shape, and if no frame has all joints.
    """
    joints = _as_joints(joints)
    joints = joints[np.isfinite(joints).all((1, 2))]
    if not len(joints):
        raise ValueError("No frame has all 12 joints: lift the person first, from frames in which all are seen.")
    place = dict(zip((NAMES[row] for row in LIMB_ROWS), joints.swapaxes(0, 1), strict=True))
    place["Hips"] = place["Spine"] = joints[:, 6:8].mean(1)
    place["Chest"] = joints[:, :2].mean(1)
    length = {
        name: float(np.median(np.linalg.norm(place[name] - place[parent], axis=1)))
        for name, (parent, _) in _JOINTS.items()
        if name in place and parent
    }
    legs = sum(length[f"{side}{part}"] for side in ("Left", "Right") for part in _LEG[1:]) / 2
    stature = 1.70 / BODY_M * (length["Chest"] + legs)
    offsets = [np.multiply(way, length.get(name, stature)) for name, (_, way) in _JOINTS.items()]
    parents = tuple(NAMES.index(parent) if parent else -1 for parent, _ in _JOINTS.values())
    return Skeleton(NAMES, parents, np.array(offsets))


def pose(turns):
    """Rotations (F, B, 3, 3) of the avatar's joints, each relative to its parent; joints not named stay at rest.

    `turns` maps names to axes and degrees, as SciPy's `Rotation.from_euler` has them: `{"LeftLeg": ("x", 90)}`, with
    degrees (F,) for F frames, or (F, 3) for three axes such as "XYZ". Without frames the result is (B, 3, 3).

    Raises ValueError for an unknown name.
    """
    matrices = {}
    for name, (axes, degrees) in turns.items():
        if name not in NAMES:
            raise ValueError(f"The avatar has no joint {name!r}; choose from: {', '.join(NAMES)}.")
        degrees = np.asarray(degrees, dtype=float)
        frames = degrees.shape if len(axes) == 1 else degrees.shape[:-1]
        turn = Rotation.from_euler(axes, degrees.reshape(-1, len(axes)), degrees=True)
        matrices[name] = turn.as_matrix().reshape(*frames, 3, 3)
    shape = np.broadcast_shapes(*(matrix.shape[:-2] for matrix in matrices.values()))
    rotations = np.tile(np.eye(3), (*shape, len(NAMES), 1, 1))
    for name, matrix in matrices.items():
        rotations[..., NAMES.index(name), :, :] = matrix
    return rotations


def rotations_of(joints):
    """The rotations that turn the avatar's bones along those of a body, and where its hips are.

    Hips and chest follow the lines across hips and shoulders, and lean as the trunk does. Elbows and knees are hinges:
    where they bend by more than 35 degrees, the hinge's axis says how the upper arm or the thigh is twisted; below 15
    degrees, where it can't be told, the twist against the trunk stays as it was. Head, hands and feet are at rest.

    Args:
        joints: (F, 12, 3) of `LIMBS`, metres, y up, without NaN.

    Returns rotations (F, B, 3, 3), each relative to the joint's parent, and the hips' middle (F, 3), as `forward` takes
    them. With the body's `skeleton_of` every bone has its direction, and every joint its place if lengths are constant.

    Raises ValueError for another shape, and names the frames in which joints miss or coincide.
    """
    joints = _as_joints(joints)
    _finite(joints, "The joints", "Fill them by `movement.fill_gaps`, or leave these frames out.")
    left, right = joints[:, ::2], joints[:, 1::2]
    across, middle = left - right, (left + right) / 2
    trunk = middle[:, 0] - middle[:, 3]
    with np.errstate(invalid="ignore"):
        hips, chest = _axes(across[:, 3], trunk), _axes(across[:, 0], trunk)
        spine = _axes(np.cross(trunk, np.cross(hips[..., 0] + chest[..., 0], trunk)), trunk)
        base = np.stack([chest, chest, hips, hips], 1)  # the parents of left arm, right arm, left leg, right leg
        chains = np.stack([left[:, :3], right[:, :3], left[:, 3:], right[:, 3:]], 1)
        bones = _unit(np.diff(chains, axis=2)) @ base
        for directions in (hips, chest, spine, bones):
            _finite(directions, "The bones' directions", "Two joints coincide there: leave these frames out.")
        upper, lower = bones[:, :, 0], bones[:, :, 1]
        first = _axes(_hinges(upper, lower, np.array([-1, -1, 1, 1])), -upper)
        lower = np.einsum("...ji,...j->...i", first, lower)  # as the upper bone sees it
        second = _axes(_carried(np.array([1.0, 0, 0]), np.array([0, -1.0, 0]), lower), -lower)
    rotations = np.tile(np.eye(3), (len(joints), len(NAMES), 1, 1))
    rotations[:, :3] = np.stack([hips, hips.mT @ spine, spine.mT @ chest], 1)  # Hips, Spine, Chest
    for parts, turns in (((_ARM[0], _LEG[0]), first), ((_ARM[1], _LEG[1]), second)):
        rotations[:, [NAMES.index(f"{side}{part}") for part in parts for side in ("Left", "Right")]] = turns
    return rotations, middle[:, 3]


def _hinges(upper, lower, sign):
    """The axes (F, 4, 3) of elbows and knees for the directions (F, 4, 3) of the bones that they join."""
    bend = np.cross(upper, lower) * sign[:, None]
    sure = np.clip((np.linalg.norm(bend, axis=-1) - 0.26) / (0.57 - 0.26), 0, 1)[..., None]  # sines of 15, 35 degrees
    axes, axis, before = np.empty_like(upper), np.array([1.0, 0, 0]), np.array([0, -1.0, 0])
    for row in [*reversed(range(len(upper))), *range(len(upper))]:  # first backwards, to learn how it begins
        now = upper[row]
        axis = _carried(axis, before, now)
        turn = np.arctan2((np.cross(axis, bend[row]) * now).sum(-1), (axis * bend[row]).sum(-1))[:, None] * sure[row]
        axis = _unit(np.cos(turn) * axis + np.sin(turn) * np.cross(now, axis))
        axes[row], before = axis, now
    return axes


def _carried(vectors, before, now):
    """Vectors that are square to `before`, turned with it to `now` by the shortest way."""
    along = (vectors * now).sum(-1, keepdims=True) / (1 + (before * now).sum(-1, keepdims=True)).clip(1e-9)
    vectors = vectors - along * (before + now)
    return vectors - (vectors * now).sum(-1, keepdims=True) * now


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _axes(x, y):
    """Rotations (..., 3, 3) whose columns are `x`, what of `y` is square to it, and their cross product."""
    x, z = _unit(x), _unit(np.cross(x, y))
    return np.stack([x, np.cross(z, x), z], -1)


def forward(skeleton, rotations, root=(0, 0, 0)):
    """Forward kinematics: where the joints are, (..., B, 3), metres.

    `rotations` (..., B, 3, 3) are relative to the parents', `root` (..., 3) is where the first joint is. Rows
    `LIMB_ROWS` of the avatar's joints are those of `LIMBS`.

    Raises ValueError for another number of joints.
    """
    rotations = np.asarray(rotations, dtype=float)
    if rotations.shape[-3:] != (len(skeleton.names), 3, 3):
        raise ValueError(f"rotations must be (..., {len(skeleton.names)}, 3, 3) here, not {rotations.shape}.")
    shape = np.broadcast_shapes(rotations.shape[:-3], np.shape(root)[:-1])
    places, turns = [np.broadcast_to(np.asarray(root, dtype=float), (*shape, 3))], [rotations[..., 0, :, :]]
    for row, parent in enumerate(skeleton.parents[1:], 1):
        places.append(places[parent] + turns[parent] @ skeleton.offsets[row])
        turns.append(turns[parent] @ rotations[..., row, :, :])
    return np.stack(places, -2)


# How thick an avatar is drawn at its joints, cm; left sky blue, right orange, as skeletons are drawn.
_RADII_CM = {"Hips": 11, "Spine": 11, "Chest": 13, "Head": 5, "HeadEnd": 9, "Arm": 6, "ForeArm": 4.5, "Hand": 3.5}
_RADII_CM |= {"HandEnd": 4, "UpLeg": 9, "Leg": 6, "Foot": 4, "FootEnd": 4}
_TINTS = {"Left": (86, 180, 233), "Right": (230, 159, 0), "": (225, 225, 225)}
_SIDES = [next(side for side in _TINTS if name.startswith(side)) for name in NAMES]


def picture(joints, turn_deg=0, size=(260, 340), metre=132):
    """An avatar as a PIL image, seen from the front without perspective, its floor near the lower edge.

    Each bone is a row of balls, each ball a cloud of points, painted from the back to the front.

    Args:
        joints: (21, 3) of `NAMES`, metres, y up, the floor at y = 0, as `forward` gives them.
        turn_deg: how far it is turned before, about the vertical through x = z = 0, to its left.
        size: (width, height), px.
        metre: pixels a metre.
    """
    joints = joints @ Rotation.from_euler("y", turn_deg, degrees=True).as_matrix().T
    parents = [NAMES.index(parent) for parent, _ in _JOINTS.values() if parent]
    radii = np.array([[_RADII_CM[name.removeprefix(side)] / 100] for name, side in zip(NAMES, _SIDES, strict=True)])
    spiral = np.arange(0.5, 500)  # as a sunflower's seeds: evenly over the ball's front half
    out, angle = np.sqrt(spiral / 500), spiral * np.pi * (3 - np.sqrt(5))
    ball = np.stack([out * np.cos(angle), out * np.sin(angle), np.sqrt(1 - out**2)], -1)
    light = 0.45 + 0.55 * np.clip(ball @ [-0.4, 0.6, 0.7], 0, 1)
    share = np.linspace(0, 1, 16)[:, None, None, None]  # of the way from a joint's parent to it
    centres, radii = (share * ends[1:, None] + (1 - share) * ends[parents, None] for ends in (joints, radii))
    right, high, near = np.moveaxis((centres + radii * ball) * metre, -1, 0)
    tints = light[:, None] * np.array([_TINTS[side] for side in _SIDES[1:]])[:, None]
    order = np.argsort(near, axis=None, kind="stable")
    places = np.rint([0.93 * size[1] - high, size[0] / 2 + right]).astype(int).reshape(2, -1)[:, order]
    seen = ((places >= 0) & (places < np.array(size[::-1])[:, None])).all(0)
    canvas = np.full((size[1], size[0], 3), 255, np.uint8)
    canvas[tuple(places[:, seen])] = np.broadcast_to(tints, (*near.shape, 3)).reshape(-1, 3)[order[seen]]
    return Image.fromarray(canvas)


# BVH (Biovision Hierarchy)

_CM = 100  # what animation programs expect
_ORDERS = ("YXZ", "XYZ")  # of root and other joints: both stay clear of gimbal lock in turns, squats and arms raised


def write_bvh(path, skeleton, rotations, root, fps):
    """Write a movement as a BVH file, in centimetres, for Blender and other animation programs.

    Args:
        rotations: (F, B, 3, 3), each relative to the joint's parent.
        root: (F, 3), where the first joint is, metres.
        fps: frames per second.

    Raises ValueError for other shapes, a wrong frame rate, and names the frames with NaN.
    """
    rotations, root = np.asarray(rotations, dtype=float), np.asarray(root, dtype=float)
    right = f"(F, {len(skeleton.names)}, 3, 3) and (F, 3), of at least one frame"
    if rotations.shape != (len(root), len(skeleton.names), 3, 3) or root.shape[1:] != (3,) or not len(root):
        raise ValueError(f"rotations {rotations.shape} and root {root.shape} must be {right}.")
    if not 0 < fps < np.inf:
        raise ValueError(f"fps must be positive, not {fps}.")
    for values, name in ((rotations, "The rotations"), (root, "The root's places")):
        _finite(values, name, "Fill gaps in the joints by `movement.fill_gaps`, or leave these frames out.")
    lines, columns = ["HIERARCHY"], [_CM * root]

    def add(row, indent):
        children = [child for child, parent in enumerate(skeleton.parents) if parent == row]
        name = f"{'JOINT' if row else 'ROOT'} {skeleton.names[row]}" if children else "End Site"
        offset = " ".join(f"{_CM * value:.6f}" for value in skeleton.offsets[row])
        lines.extend([indent + name, indent + "{", f"{indent}\tOFFSET {offset}"])
        if children:
            order, position = _ORDERS[row > 0], "" if row else "Xposition Yposition Zposition "
            channels = position + " ".join(f"{axis}rotation" for axis in order)
            lines.append(f"{indent}\tCHANNELS {len(channels.split())} {channels}")
            with warnings.catch_warnings(action="ignore"):  # in gimbal lock other angles would do as well
                angles = Rotation.from_matrix(rotations[:, row]).as_euler(order, degrees=True)
            columns.append(np.unwrap(angles, axis=0, period=360))
            for child in children:
                add(child, indent + "\t")
        lines.append(indent + "}")

    add(0, "")
    lines += ["MOTION", f"Frames: {len(root)}", f"Frame Time: {1 / fps:.9f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.hstack(columns)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_bvh(path):
    """Read a BVH file, its lengths in centimetres: returns skeleton, rotations (F, B, 3, 3), root (F, 3) m, and fps.

    Ends have no names in BVH; they get their parent's with "End".

    Raises ValueError, which says what is wrong, for a damaged file, and one in which other joints than the root move.
    """
    try:
        hierarchy, _, motion = Path(path).read_text(encoding="utf-8").partition("MOTION")
        names, parents, offsets, channels = _read_hierarchy(hierarchy)
        if len(motion.split()) < 5:
            raise ValueError("it has no MOTION")
        _, count, _, _, seconds, *values = motion.split()
        values = np.array(values, dtype=float).reshape(int(count), sum(map(len, channels)))
        if not np.isfinite(values).all():
            raise ValueError("its motion holds NaN")
        fps, rotations = 1 / float(seconds), np.tile(np.eye(3), (len(values), len(names), 1, 1))
        columns = np.split(values, np.cumsum([len(kinds) for kinds in channels])[:-1], axis=1)
        root = columns[0][:, [channels[0].index(f"{axis}position") for axis in "XYZ"]] / _CM
        for row, (kinds, column) in enumerate(zip(channels, columns, strict=True)):
            turns = [i for i, kind in enumerate(kinds) if kind.endswith("rotation")]
            if row and len(turns) < len(kinds):
                raise ValueError(f"{names[row]} moves, and only the root may")
            if turns:
                order = "".join(kinds[i][0] for i in turns)
                rotations[:, row] = Rotation.from_euler(order, column[:, turns], degrees=True).as_matrix()
    except (ValueError, IndexError, RuntimeError, ZeroDivisionError) as error:
        raise ValueError(f"{path} is no BVH file that can be read: {error}. Export it again.") from error
    return Skeleton(tuple(names), tuple(parents), np.array(offsets)), rotations, root, fps


def _read_hierarchy(text):
    """Names, parents, offsets and channels, a list each."""
    names, parents, offsets, channels, inside = [], [], [], [], []
    words = iter(text.split())
    for word in words:
        if word in ("ROOT", "JOINT", "End"):
            parents.append(inside[-1] if inside else -1)
            name = next(words, "")
            names.append(f"{names[parents[-1]]}End" if word == "End" else name)
            channels.append([])
        elif word == "{":
            inside.append(len(names) - 1)
        elif word == "}":
            inside.pop()
        elif word == "OFFSET":
            offsets.append([float(next(words, "")) / _CM for _ in range(3)])
        elif word == "CHANNELS":
            channels[-1] = [next(words, "") for _ in range(int(next(words, "")))]
        elif word != "HIERARCHY":
            raise ValueError(f"{word!r} stands where a joint should")
    if inside or parents.count(-1) != 1 or len(offsets) != len(names):
        raise ValueError("its HIERARCHY is not one tree of joints that each have an OFFSET")
    return names, parents, offsets, channels


def _as_joints(joints):
    joints = np.asarray(joints, dtype=float)
    if joints.ndim != 3 or joints.shape[1:] != (12, 3):
        raise ValueError(f"joints must have shape (frames, 12, 3), not {joints.shape}: rows as in LIMBS.names.")
    return joints


def _finite(values, name, remedy):
    bad = np.flatnonzero(~np.isfinite(values).all(tuple(range(1, values.ndim))))
    if len(bad):
        frames = ", ".join(map(str, bad[:5])) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise ValueError(f"{name} hold NaN in frames {frames}. {remedy}")
