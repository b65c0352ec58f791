"""`helpers.avatars`: kinematics against closed forms, joints to rotations and back, and BVH files."""

import re

import bvhsdk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from helpers import media
from helpers.avatars import (
    LIMB_ROWS,
    NAMES,
    Skeleton,
    forward,
    picture,
    pose,
    read_bvh,
    rotations_of,
    skeleton_of,
    upright,
    write_bvh,
)
from helpers.bodies import COCO, LIMBS

pytestmark = pytest.mark.filterwarnings("error")
examples = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
# Standing, y up, left at x, facing z; arms and legs of unequal lengths.
STANDING = np.array(
    [
        *([0.18, 1.4, 0], [-0.18, 1.4, 0], [0.18, 1.12, 0], [-0.18, 1.11, 0], [0.18, 0.86, 0], [-0.18, 0.87, 0]),
        *([0.1, 0.9, 0], [-0.1, 0.9, 0], [0.1, 0.5, 0], [-0.1, 0.48, 0], [0.1, 0.09, 0], [-0.1, 0.08, 0]),
    ]
)
BODY = skeleton_of(STANDING[None])
HINGES = {"LeftForeArm": -1, "RightForeArm": -1, "LeftLeg": 1, "RightLeg": 1}


def row(name):
    return NAMES.index(name)


def recording(rng, count=60, bend=(40, 140)):
    """Rotations and root of someone who moves everything smoothly, elbows and knees bent by `bend` degrees."""

    def wave(low, high, columns=1):
        phase, speed = rng.uniform(0, 6, columns), rng.uniform(0.5, 2, columns)
        return (low + high) / 2 + (high - low) / 2 * np.sin(np.linspace(0, 6, count)[:, None] * speed + phase)

    turns = {"Hips": ("YXZ", wave(-60, 60, 3)), "Spine": ("XYZ", wave(-25, 25, 3))}
    turns |= {f"{side}{part}": ("XYZ", wave(-60, 60, 3)) for side in ("Left", "Right") for part in ("Arm", "UpLeg")}
    turns |= {name: ("x", sign * wave(*bend)[:, 0]) for name, sign in HINGES.items()}
    return pose(turns), wave(-1, 2, 3)


@pytest.fixture(scope="module")
def film():
    truth = media.clip("workout")[1]
    return truth, upright(truth["joints_3d"][:, COCO.limbs], truth["R"] @ [0, 1, 0])


# The skeleton and its rest pose


def test_the_skeleton_has_the_bodys_bones_and_stands_as_it_stood():
    joints = forward(BODY, pose({}), STANDING[[6, 7]].mean(0))
    np.testing.assert_allclose(joints[LIMB_ROWS], STANDING, atol=1e-12)
    assert [NAMES[r] for r in LIMB_ROWS[:4]] == ["LeftArm", "RightArm", "LeftForeArm", "RightForeArm"]
    assert LIMBS.names[:4] == ("left shoulder", "right shoulder", "left elbow", "right elbow")
    stature = joints[row("HeadEnd"), 1] - joints[[row("LeftFootEnd"), row("RightFootEnd")], 1].mean()
    assert stature == pytest.approx(1.7 * (0.5 + 0.815) / 1.324, rel=0.01)
    toes = joints[row("LeftFootEnd")] - joints[row("LeftFoot")]
    assert toes[2] > 0.1 and toes[1] < 0
    assert joints[row("LeftHandEnd"), 1] < joints[row("LeftHand"), 1] - 0.15


def test_bones_are_medians_of_what_was_seen():
    joints = np.tile(STANDING, (5, 1, 1))
    joints[3] *= 4
    joints[4, 2] = np.nan
    np.testing.assert_allclose(skeleton_of(joints).offsets, BODY.offsets)


def test_a_cameras_axes_are_turned_upright():
    np.testing.assert_allclose(upright([[1, 0, 0], [0, -1, 0], [0, 0, -1]]), np.eye(3), atol=1e-12)
    down = Rotation.from_euler("x", 20, degrees=True)  # a camera that looks down by 20 degrees sees up lean
    np.testing.assert_allclose(upright(down.apply([0, -3, 0]), down.apply([0, -1, 0])), [0, 3, 0], atol=1e-12)
    with pytest.raises(ValueError, match=r"up = \[0, 0, 1\] is the camera's axis or zero"):
        upright(STANDING, [0, 0, 1])


# Forward kinematics


@examples
@given(st.floats(-180, 180), st.floats(-180, 180), st.floats(-180, 180), seeds)
def test_forward_is_the_plane_arm_of_the_textbook(trunk, shoulder, elbow, seed):
    """All turns about z, as of an arm in a plane: angles add up, and sines and cosines give the place."""
    root = np.random.default_rng(seed).normal(0, 2, 3)
    joints = forward(
        BODY,
        pose({"Spine": ("z", trunk), "LeftArm": ("z", shoulder), "LeftForeArm": ("z", elbow)}),
        root,
    )
    place, total = root.copy(), 0
    for step, degrees in (((0.18, 0.5), trunk), ((0, -0.28), shoulder), ((0, -0.26), elbow)):
        total += np.deg2rad(degrees)
        (x, y), cos, sin = step, np.cos(total), np.sin(total)
        place += [cos * x - sin * y, sin * x + cos * y, 0]
    np.testing.assert_allclose(joints[row("LeftHand")], place, atol=1e-9)
    np.testing.assert_allclose(joints[row("RightFoot")], root - [0.1, 0.82, 0], atol=1e-9)


def test_signs_are_as_the_module_says():
    def at(name, end, axis, degrees):
        joints = forward(BODY, pose({name: (axis, degrees)}))
        return (joints[row(end)] - joints[row(name)]) / np.linalg.norm(BODY.offsets[row(end)])

    np.testing.assert_allclose(at("LeftLeg", "LeftFoot", "x", 90), [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(at("RightForeArm", "RightHand", "x", -90), [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(at("LeftUpLeg", "LeftLeg", "x", -90), [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(at("LeftArm", "LeftForeArm", "z", 90), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(at("RightArm", "RightForeArm", "z", -90), [-1, 0, 0], atol=1e-12)


def test_poses_of_one_and_of_many_frames_mix():
    turns = pose({"Hips": ("y", 30), "LeftLeg": ("x", [10, 20, 30])})
    assert turns.shape == (3, len(NAMES), 3, 3) and pose({}).shape == (len(NAMES), 3, 3)
    np.testing.assert_allclose(turns[:, 0], [Rotation.from_euler("y", 30, degrees=True).as_matrix()] * 3)
    assert forward(BODY, turns, np.zeros((3, 3))).shape == forward(BODY, turns).shape == (3, len(NAMES), 3)
    assert forward(BODY, pose({}), np.zeros((4, 3))).shape == (4, len(NAMES), 3)
    with pytest.raises(ValueError, match=r"no joint 'LeftKnee'; choose from: Hips, Spine"):
        pose({"LeftKnee": ("x", 9)})
    with pytest.raises(ValueError, match=rf"must be \(\.\.\., {len(NAMES)}, 3, 3\) here, not \(2, 5, 3, 3\)"):
        forward(BODY, np.zeros((2, 5, 3, 3)))


# From joints to rotations


@examples
@given(seeds, st.sampled_from([(0, 0), (0, 30), (0, 150), (40, 140)]))
def test_rotations_put_every_joint_of_a_constant_body_where_it_was(seed, bend):
    turns, root = recording(np.random.default_rng(seed), bend=bend)
    joints = forward(BODY, turns, root)[:, LIMB_ROWS]
    found, place = rotations_of(joints)
    np.testing.assert_allclose(found @ found.mT, np.broadcast_to(np.eye(3), found.shape), atol=1e-9)
    assert (np.linalg.det(found) > 0).all()
    np.testing.assert_allclose(forward(skeleton_of(joints), found, place)[:, LIMB_ROWS], joints, atol=1e-9)


@examples
@given(seeds)
def test_bones_of_a_body_whose_lengths_change_keep_their_directions(seed):
    joints = np.random.default_rng(seed).normal(0, 1, (6, 12, 3))
    turns, root = rotations_of(joints)
    found = forward(skeleton_of(joints), turns, root)[:, LIMB_ROWS]
    for a, b in (*LIMBS.edges[:8], (0, 1), (6, 7)):
        bones = [j[:, b] - j[:, a] for j in (found, joints)]
        first, second = (bone / np.linalg.norm(bone, axis=1, keepdims=True) for bone in bones)
        np.testing.assert_allclose(first, second, atol=1e-9)


@examples
@given(seeds)
def test_bent_elbows_and_knees_tell_how_the_limbs_are_twisted(seed):
    turns, root = recording(np.random.default_rng(seed))
    found, _ = rotations_of(forward(BODY, turns, root)[:, LIMB_ROWS])
    for side in ("Left", "Right"):
        for chain in (("Spine", "Chest", f"{side}Arm", f"{side}ForeArm"), (f"{side}UpLeg", f"{side}Leg")):
            both = [t[:, 0] for t in (found, turns)]
            for name in chain:
                both = [before @ t[:, row(name)] for before, t in zip(both, (found, turns), strict=True)]
                if name not in ("Spine", "Chest"):
                    np.testing.assert_allclose(*both, atol=1e-9)


def test_the_spine_is_twisted_half_as_far_as_the_chest():
    found, _ = rotations_of(forward(BODY, pose({"Chest": ("y", [60])}))[:, LIMB_ROWS])
    np.testing.assert_allclose(
        found[0, [row("Spine"), row("Chest")]], pose({"Spine": ("y", 30)})[[row("Spine")] * 2], atol=1e-12
    )


def test_the_twist_of_a_straight_limb_is_that_of_when_it_was_bent():
    bend = np.concatenate([np.zeros(20), np.linspace(0, 90, 20), np.linspace(90, 0, 20), np.zeros(20)])
    turns = pose({"LeftArm": ("y", 70), "LeftForeArm": ("x", -bend), "Hips": ("y", np.arange(80.0))})
    found, _ = rotations_of(forward(BODY, turns)[:, LIMB_ROWS])
    np.testing.assert_allclose(found, turns, atol=1e-9)  # from the first frame on


def step_deg(rotations):
    """The largest turn from one frame to the next, of any joint."""
    flat = rotations.reshape(len(rotations), -1, 3, 3)
    return np.degrees(Rotation.from_matrix((flat[:-1].mT @ flat[1:]).reshape(-1, 3, 3)).magnitude()).max()


def test_arms_straight_up_and_down_do_not_jump():
    up = 89.99 - 89.99 * np.cos(np.linspace(0, 4 * np.pi, 100))
    turns = pose({"LeftArm": ("z", up), "RightArm": ("z", -up)})
    found, _ = rotations_of(forward(BODY, turns)[:, LIMB_ROWS])
    assert step_deg(found) < 1.2 * step_deg(turns)


def test_the_films_avatar_moves_as_the_person_and_does_not_jump(film):
    truth, joints = film
    rotations, root = rotations_of(joints)
    made = forward(skeleton_of(joints), rotations, root)[:, LIMB_ROWS]
    assert np.linalg.norm(made - joints, axis=2).mean() < 0.02
    assert step_deg(rotations) < 45  # at 20 frames per second
    assert truth["frames"] == len(rotations)
    heights = root[:, 1] - joints[:, 10:, 1].mean(1)
    assert heights.min() > 0.2 and heights.max() < 1


@pytest.mark.parametrize("function", [skeleton_of, rotations_of])
def test_other_shapes_are_refused(function):
    with pytest.raises(ValueError, match=r"shape \(frames, 12, 3\), not \(12, 3\): rows as in LIMBS.names"):
        function(STANDING)
    with pytest.raises(ValueError, match=r"not \(3, 17, 3\)"):
        function(np.zeros((3, 17, 3)))


def test_frames_with_missing_joints_are_named_with_the_remedy():
    joints = np.tile(STANDING, (12, 1, 1))
    joints[[2, 3, 5, 7, 8, 9, 11], 4, 1] = np.nan
    message = r"The joints hold NaN in frames 2, 3, 5, 7, 8 and 2 more\. Fill them by `movement\.fill_gaps`"
    with pytest.raises(ValueError, match=message):
        rotations_of(joints)
    with pytest.raises(ValueError, match=r"No frame has all 12 joints"):
        skeleton_of(joints[2:4])
    joints = np.tile(STANDING, (3, 1, 1))
    joints[1, 2] = joints[1, 0]
    with pytest.raises(ValueError, match=r"in frames 1\. Two joints coincide there"):
        rotations_of(joints)


def test_no_frames_are_no_frames():
    rotations, root = rotations_of(np.zeros((0, 12, 3)))
    assert rotations.shape == (0, len(NAMES), 3, 3) and root.shape == (0, 3)


def test_a_picture_shows_bones_where_they_are_and_the_nearer_ones():
    def colour(image, x, y):  # at a place in metres
        return np.array(image)[round(0.93 * 340 - 100 * y), round(130 + 100 * x)].astype(int)

    def is_blue(image, x, y):
        red, _, blue = colour(image, x, y)
        return blue > red + 50

    joints = forward(BODY, pose({"LeftArm": ("z", 90)}), [0, 0.9, 0])  # the left arm to the side
    front, back, side = (picture(joints, turn_deg=turn, metre=100) for turn in (0, 180, 90))
    assert front.size == (260, 340) and tuple(colour(front, 1.1, 1.4)) == (255, 255, 255)
    assert is_blue(front, 0.6, 1.4) and is_blue(back, -0.6, 1.4) and not is_blue(back, 0.6, 1.4)
    assert not is_blue(front, -0.18, 1.1) and tuple(colour(front, -0.18, 1.1)) != (255, 255, 255)  # the right arm
    assert is_blue(picture(joints, turn_deg=-90, metre=100), 0, 1.4)  # it points to the viewer, before the chest
    assert not is_blue(side, 0, 1.4)  # and here away, behind chest and right arm


# BVH


@examples
@given(seeds, st.sampled_from([20, 25, 30, 29.97]))
def test_a_movement_is_the_same_once_written_and_read(tmp_path_factory, seed, fps):
    turns, root = recording(np.random.default_rng(seed), count=8, bend=(0, 90))
    path = tmp_path_factory.mktemp("bvh") / "walk.bvh"
    write_bvh(path, BODY, turns, root, fps)
    skeleton, again, there, rate = read_bvh(path)
    assert (skeleton.names, skeleton.parents) == (BODY.names, BODY.parents) and rate == pytest.approx(fps, rel=1e-6)
    np.testing.assert_allclose(skeleton.offsets, BODY.offsets, atol=1e-7)
    np.testing.assert_allclose(forward(skeleton, again, there), forward(BODY, turns, root), atol=1e-6)


def test_another_program_reads_the_same_movement(tmp_path, capsys):
    """bvhsdk parses the file and has forward kinematics of its own; it works in the file's centimetres."""
    turns, root = recording(np.random.default_rng(0), count=8, bend=(0, 90))
    write_bvh(tmp_path / "walk.bvh", BODY, turns, root, 25)
    read = bvhsdk.ReadFile(str(tmp_path / "walk.bvh"))
    assert read.frames == 8 and read.frametime == pytest.approx(0.04)
    places = {}
    for joint in read.getlistofjoints():
        places[joint.name] = [joint.getPosition(frame) for frame in range(8)]
        if len(joint.endsite):
            places[f"{joint.name}End"] = [joint.getEndSitePosition(frame) for frame in range(8)]
    there = np.stack([places[name] for name in NAMES], 1)
    np.testing.assert_allclose(there / 100, forward(BODY, turns, root), atol=1e-6)


def test_right_angles_are_written_without_loss(tmp_path):
    turns = pose({name: ("x", [90, -90]) for name in ("Hips", "LeftArm", "RightUpLeg")} | {"LeftLeg": ("y", [90, -90])})
    write_bvh(tmp_path / "a.bvh", BODY, turns, np.zeros((2, 3)), 30)
    np.testing.assert_allclose(read_bvh(tmp_path / "a.bvh")[1], turns, atol=1e-7)


def test_angles_do_not_leap_by_a_whole_turn(tmp_path):
    turns = pose({"Hips": ("y", np.arange(0, 720, 10.0))})
    write_bvh(tmp_path / "a.bvh", BODY, turns, np.zeros((72, 3)), 30)
    values = np.array([line.split() for line in (tmp_path / "a.bvh").read_text().splitlines()[-72:]], float)
    np.testing.assert_allclose(values[:, 3], np.arange(0, 720, 10), atol=1e-5)


NUMBER = r"-?\d+\.\d+"
JOINT = re.compile(
    rf"(?:(?:ROOT|JOINT) \w+\s*{{\s*OFFSET {NUMBER} {NUMBER} {NUMBER}"
    r"\s*CHANNELS (?:6 Xposition Yposition Zposition|3)( [XYZ]rotation){3}\s*(?:<>\s*)+}"
    rf"|End Site\s*{{\s*OFFSET {NUMBER} {NUMBER} {NUMBER}\s*}})"
)


def test_the_file_follows_the_grammar_and_is_in_centimetres(tmp_path):
    """Biovision's grammar, with innermost joints folded away until one is left; and what stands where, by hand."""
    turns = pose({"LeftUpLeg": ("x", [-30, 0, 0])})
    write_bvh(tmp_path / "a.bvh", BODY, turns, [[0.1, 0.9, -0.2]] * 3, 25)
    hierarchy, motion = (tmp_path / "a.bvh").read_text().split("MOTION\n")
    assert hierarchy.startswith("HIERARCHY\nROOT Hips\n{") and hierarchy.count("{") == len(NAMES)
    tree = hierarchy.removeprefix("HIERARCHY").strip()
    while tree != (folded := JOINT.sub("<>", tree)):
        tree = folded
    assert tree == "<>"
    assert "JOINT LeftLeg\n\t\t{\n\t\t\tOFFSET 0.000000 -40.000000 0.000000\n" in hierarchy
    lines = motion.splitlines()
    assert lines[:2] == ["Frames: 3", "Frame Time: 0.040000000"] and len(lines) == 5
    joints = re.findall(r"(?:ROOT|JOINT) (\w+)", hierarchy)
    values = [float(value) for value in lines[2].split()]
    assert len(values) == 3 + 3 * len(joints) and values[:3] == [10, 90, -20]
    start = 3 + 3 * joints.index("LeftUpLeg")
    assert values[start : start + 3] == pytest.approx([-30, 0, 0]) and sum(map(abs, values)) == pytest.approx(150)


def test_other_orders_of_angles_are_read(tmp_path):
    (tmp_path / "a.bvh").write_text(
        "HIERARCHY\nROOT a\n{\n OFFSET 0 0 0\n CHANNELS 6 Zposition Xposition Yposition Zrotation Xrotation Yrotation\n"
        " JOINT b\n {\n  OFFSET 0 10 0\n  CHANNELS 3 Yrotation Zrotation Xrotation\n"
        "  End Site\n  {\n   OFFSET 0 5 0\n  }\n }\n}\n"
        "MOTION\nFrames:\t1\nFrame Time: .05\n3 1 2 90 0 0 0 0 -90\n"
    )
    skeleton, turns, root, fps = read_bvh(tmp_path / "a.bvh")
    assert skeleton.names == ("a", "b", "bEnd") and skeleton.parents == (-1, 0, 1) and fps == pytest.approx(20)
    expected = [[[0.01, 0.02, 0.03], [-0.09, 0.02, 0.03], [-0.09, 0.02, -0.02]]]
    np.testing.assert_allclose(forward(skeleton, turns, root), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (r"(?s).*", "", r"its HIERARCHY is not one tree"),
        (r"(?s)MOTION.*", "", r"no MOTION"),
        (r"(?s)\}\s*MOTION", "MOTION", r"its HIERARCHY is not one tree"),
        (r"CHANNELS 3", "CHANNELS 4", r"'[\w{]+' stands where a joint should"),
        (r"(?m)^\tJOINT Spine$", "\tBONE Spine", r"'BONE' stands where a joint should"),
        (r"OFFSET 0\.0", "OFFSET x", r"could not convert string to float"),
        (r"(?s)\S+\n$", "", r"cannot reshape"),
        (r"Frames: 3", "Frames: three", r"invalid literal"),
        (r"(?s)\S+\n$", "nan", r"its motion holds NaN"),
        (r"Frame Time: \S+", "Frame Time: 0", r"division by zero"),
        (r"Yrotation Xrotation Zrotation", "Yrotation Yrotation Zrotation", r"consecutive axes"),
        (r"3 Xrotation Yrotation Zrotation", "3 Xposition Yposition Zposition", r"Spine moves, and only the root may"),
        (r"Xposition", "Wposition", r"'Xposition' is not in list"),
    ],
)
def test_broken_files_are_refused_in_words(tmp_path, old, new, message):
    path = tmp_path / "broken.bvh"
    write_bvh(path, BODY, pose({"Hips": ("y", [0, 1, 2])}), np.zeros((3, 3)), 25)
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"broken\.bvh is no BVH file that can be read: .*{message}.*Export it again"):
        read_bvh(path)


def test_bytes_that_are_no_text_are_refused_and_a_missing_file_is_missing(tmp_path):
    (tmp_path / "a.bvh").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ValueError, match=r"a\.bvh is no BVH file"):
        read_bvh(tmp_path / "a.bvh")
    with pytest.raises(FileNotFoundError):
        read_bvh(tmp_path / "b.bvh")


def test_what_can_not_be_written_is_refused(tmp_path):
    turns, root = pose({"Hips": ("y", [0, 1, 2])}), np.zeros((3, 3))
    for bad in ((turns[:2], root), (turns[:, :5], root), (turns, root[:, :2]), (turns[:0], root[:0])):
        with pytest.raises(ValueError, match=rf"must be \(F, {len(NAMES)}, 3, 3\) and \(F, 3\), of at least one frame"):
            write_bvh(tmp_path / "a.bvh", BODY, *bad, 25)
    for fps in (0, np.nan, np.inf, -1):
        with pytest.raises(ValueError, match=r"fps must be positive, not"):
            write_bvh(tmp_path / "a.bvh", BODY, turns, root, fps)
    with pytest.raises(ValueError, match=r"The root's places hold NaN in frames 0, 1, 2\. Fill gaps in the joints by"):
        write_bvh(tmp_path / "a.bvh", BODY, turns, root * np.nan, 25)
    assert not list(tmp_path.iterdir())
    assert isinstance(BODY, Skeleton)
