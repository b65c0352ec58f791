"""`helpers.exercises`: every exercise knows the right answer, the usual mistake, and a cell that nobody has touched."""

import itertools
import re
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from helpers.exercises import PARTS, check
from helpers.exercises.answers import EXERCISES

for part in PARTS:
    import_module(f"helpers.exercises.{part}")


def project(points, K, pose):
    seen = (points @ pose[0].T + pose[1]) @ K.T
    return seen[:, :2] / seen[:, 2:]


def rms(points, pixels, K, pose):
    return np.sqrt((cdist(project(points, K, pose), pixels).diagonal() ** 2).mean())


def spoil_and_measure(points, pixels, K, pose):
    """Wrong, and right about what it leaves behind."""
    pixels[:] = project(points, K, pose)
    return 0.0


def forget_to_return(points, pixels, K, pose):
    pixels[0] = 0


def second_centre(K, pose):
    X = np.linalg.solve(*pose) * -1
    return (K @ X / X[2])[:2]


def nearer_by_rotation(poses, before):
    return int(np.argmin([Rotation.from_matrix(before[0].T @ R).magnitude() for R, _ in poses]))


def nearer_by_t(poses, before):
    return int(np.argmin([np.linalg.norm(t - before[1]) for _, t in poses]))


def without_the_sign(poses, before):
    return int(np.argmax([abs(np.trace(before[0].T @ R) - 1) for R, _ in poses]))


def flipped(points):
    """Landmarks mirrored in a photograph of 320 pixels, by iBUG's own order of the mirrored rows."""
    rows = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46]
    rows += [39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]
    return np.array([[319 - x, y] for x, y in points[rows]])


def renamed(corners, width):
    return np.array([[width - 1 - x, y] for x, y in corners])[[1, 0, 3, 2]]


def fallen(left, landed, g=9.81):
    return g / 2 * ((landed - left) / 2) ** 2


def share(found, true):
    return cdist(found, true).diagonal().mean() / cdist(true, true)[36, 45]


def off_axis(R):
    return np.degrees(np.arccos(-(R @ [0, 0, -1]) @ [0, 0, 1]))


def flattened(points, R, size, place):
    return np.array([[size * (R[0] @ x) + place[0], size * (R[1] @ x) + place[1]] for x in points])


def blinks(ratios):
    states = [0 if r < 0.15 else 1 for r in ratios if r < 0.15 or r > 0.2]
    return sum(a < b for a, b in itertools.pairwise(states))


def blink(t):
    closed = max(0, 1 - abs(t - 1.1) / 0.1)
    return {"right eye closed": closed, "left eye closed": closed}


def correct_share(found, true, threshold):
    torso = [cdist(pose, pose)[5, 12] for pose in true]
    return np.mean([np.diag(cdist(f, t)) <= threshold * d for f, t, d in zip(found, true, torso, strict=True)])


def lag(frames, fps):
    return 1000 * np.arange(frames).mean() / fps


def angle_at(a, b, c):
    u, v = a - b, c - b
    cosine = (u * v).sum(-1) / np.sqrt((u**2).sum(-1) * (v**2).sum(-1))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def overtakes(start_a, each_a, start_b, each_b):
    if each_b >= each_a:
        return 0 if start_b < start_a else np.inf
    return max(0, int((start_b - start_a) // (each_a - each_b)) + 1)


def a_minute(repetitions):
    middles = [repetition.middle_s for repetition in repetitions]
    return 60 / np.diff(middles).mean() if len(middles) > 1 else np.nan


def one_sided(left, right):
    low, high = sorted((180 - left, 180 - right))
    return 1 - low / high if high else 0


def wrist(place, shoulder, elbow, upper, lower):
    """By chained affine maps."""

    def joint(turn, offset):
        return np.block([[turn, np.reshape(offset, (3, 1))], [0, 0, 0, 1]])

    return (joint(shoulder, place) @ joint(elbow, upper) @ [*lower, 1])[:3]


RIGHT = {
    "mirrored corners": [
        renamed,
        lambda *given: torch.tensor(renamed(*given)),
        lambda *given: renamed(*given).tolist(),
    ],
    "PCK": [correct_share, lambda *arguments: torch.tensor(correct_share(*arguments))],
    "lag of the moving average": [lag, lambda *arguments: np.float32(lag(*arguments))],
    "angle at a joint": [angle_at, lambda *points: angle_at(*(point.astype(np.float32) for point in points))],
    "films to break even": [overtakes, lambda *given: np.float32(overtakes(*given))],
    "cadence": [a_minute, lambda repetitions: torch.tensor(a_minute(repetitions))],
    "asymmetry": [one_sided, lambda *angles: np.float32(one_sided(*angles))],
    "height from flight time": [fallen, lambda *times: np.float32(fallen(*times)), lambda a, b: fallen(a, b, 9.8)],
    "forward kinematics": [
        wrist,
        lambda *arm: torch.tensor(wrist(*arm), dtype=torch.float32),
        lambda *a: wrist(*a)[None],
    ],
    "mirrored landmarks": [lambda points, width: flipped(points), lambda points, _: torch.tensor(flipped(points))],
    "normalised mean error": [share, lambda *arguments: torch.tensor(share(*arguments))],
    "angle off the axis": [off_axis, lambda R: torch.tensor(off_axis(R))],
    "scaled orthographic camera": [flattened, lambda *given: torch.tensor(flattened(*given), dtype=torch.float32)],
    "count the blinks": [blinks, lambda ratios: np.int64(blinks(ratios))],
    "a blink in time": [blink, lambda t: {name: np.float32(closed) for name, closed in blink(t).items()}],
    "camera position": [[-2, 0, 1], np.array([[-2.0], [0.0], [1.0]]), (-2.001, 0, 1)],
    "reprojection error": [rms, lambda *arguments: torch.tensor(rms(*arguments))],
    "epipole": [second_centre, lambda *arguments: second_centre(*arguments)[None].astype(np.float32)],
    "nearer pose": [
        nearer_by_rotation,
        lambda poses, before: np.array([nearer_by_rotation(poses, before)]),
        lambda poses, before: np.argmin([np.linalg.norm(R - before[0]) for R, _ in poses]),  # grows with the angle
    ],
    "depth error": [0.32, 0.3203, np.float32(0.32), [0.32], torch.tensor([0.32], requires_grad=True)],
    "about 100 keypoints": [100, 90, 110, np.int64(97)],
    # the last: as if discs could not overlap
    "repeatability by chance": [1 - (1 - np.pi * 9 / 76800) ** 300, 0.1, 300 * np.pi * 9 / 76800],
    "draws of RANSAC": [
        lambda w: np.log(1 - 0.99) / np.log(1 - w**4),
        lambda w: int(np.ceil(np.log(0.01) / np.log(1 - w**4))),
    ],
}
shifted = np.r_[16, :16]  # as if rows were counted from 1
WRONG = {
    "mirrored corners": [
        (lambda corners, width: renamed(corners, width)[[1, 0, 3, 2]], "the names are not"),
        (lambda corners, width: renamed(corners, width + 1), "column 0 becomes"),
        (lambda corners, width: corners[[1, 0, 3, 2]], "did not move"),
        (lambda corners, width: renamed(corners, width)[::-1], "exchange their names"),
        (lambda corners, width: renamed(corners, width)[:, 0], "four corners"),
    ],
    "PCK": [
        (lambda *arguments: 100 * correct_share(*arguments), "not a percentage"),
        (lambda found, true, _: correct_share(found, true, 0.2), r"at 0\.1 your function gives"),
        (lambda found, true, a: correct_share(found[:, shifted], true[:, shifted], a), "counted from 0"),
    ],
    "lag of the moving average": [
        (lambda frames, fps: 500 * frames / fps, "0 frames old"),
        (lambda frames, fps: lag(frames, fps) / 1000, "it is 100.0 ms, and your function gives 0.1"),
        (lambda frames, fps: round(lag(frames, fps)), "it is 133.3 ms, and your function gives 133.0"),
    ],
    "angle at a joint": [
        (lambda *points: np.radians(angle_at(*points)), "radians"),
        (lambda a, b, c: angle_at(2 * b - a, b, c), "begin at b"),
        (lambda a, b, c: angle_at(b, a, c), "is off by up to"),
        (lambda a, b, c: angle_at(a, b, c) + 0.12, "is off by up to 0.12 deg"),
        (lambda a, b, c: angle_at(a, b, c).mean(), r"angles of shape \(6,\), not \(\)"),
        (lambda a, b, c: np.where(angle_at(a, b, c) > 179.99, np.nan, angle_at(a, b, c)), "clip the cosine"),
    ],
    "films to break even": [
        (lambda a, b, c, d: np.ceil((c - a) / (b - d)) if b > d else np.inf, "with 10 films B is not yet done"),
        (lambda a, b, c, d: max(0, (c - a) / (b - d)) if b > d else np.inf, "with 10 films B is not yet done"),
        (lambda a, b, c, d: max(0, (c - a) / (b - d) + 1) if b > d else np.inf, "films come whole"),
        (lambda a, b, c, d: (c - a) // (b - d) + 1 if b != d else np.inf, "no fewer than 0|never overtakes"),
        (lambda a, b, c, d: 10_000 if d >= b else overtakes(a, b, c, d), "it never overtakes A, so infinity"),
        (lambda a, b, c, d: overtakes(a, b, c, d) + 1, "it is 11 films, and your function gives 12"),
    ],
    "cadence": [
        (lambda r: 60 * len(r) / (r[-1].middle_s - r[0].middle_s), "one repetition less"),
        (lambda r: 60 * (len(r) - 1) / (r[-1].end_s - r[0].start_s), r"are 60\.0 a minute, and your function gives 38"),
        (lambda r: np.nan_to_num(a_minute(r)), "with 0 repetitions there is no cadence"),
        (lambda r: a_minute(r) if len(r) > 1 else None, "ends without a result: return it, in every case"),
        (lambda r: a_minute(r) + 0.01, r"are 60.00 a minute, and your function gives 60.01"),
    ],
    "asymmetry": [
        (lambda left, right: abs(left - right) / max(left, right), "knees at 90 and 135"),
        (lambda left, right: one_sided(left, right) + (left == right == 180), "knees at 180 and 180"),
    ],
    "height from flight time": [
        (lambda left, landed: 4 * fallen(left, landed), "half of it each"),
        (lambda left, landed: fallen(left, landed) + 0.0016, r"0\.307 m high, and your function gives 0\.308"),
        (lambda left, landed: 100 * fallen(left, landed), r"0\.307 m high"),
    ],
    "forward kinematics": [
        (lambda p, S, E, u, v: p + S @ u + E @ v, "goes along with the upper arm"),
        (lambda p, S, E, u, v: p + S @ u + E @ S @ v, "by the elbow first"),
        (lambda p, S, E, u, v: wrist(p, S.T, E.T, u, v), "matrices stand on the left"),
        (lambda p, S, E, u, v: S @ u + S @ E @ v, "begins at p_shoulder"),
        (lambda p, S, E, u, v: p + S @ u, "that is the elbow"),
        (lambda p, S, E, u, v: p + u + v, "from where it should be"),
        (lambda *arm: np.append(wrist(*arm), 1), r"shape \(3,\) is needed, not \(4,\)"),
    ],
    "mirrored landmarks": [
        (lambda points, width: points * [-1, 1] + [width - 1, 0], "row 36 must be the right eye again"),
        (lambda points, width: flipped(points) + np.array([1, 0]), "pixel 0 goes to width - 1"),
        (lambda points, width: points, "x becomes width - 1 - x"),
        (lambda points, width: flipped(points).round(), "keep the fractions"),
        (lambda points, width: points[:5], r"shape \(68, 2\), not \(5, 2\)"),
    ],
    "normalised mean error": [
        (lambda found, true: cdist(found, true).diagonal().mean(), "divide by the distance of the outer eye"),
        (lambda found, true: 100 * share(found, true), "not in percent"),
        (lambda found, true: cdist(found, true).diagonal().mean() / cdist(true, true)[37, 46], "counts from 1"),
        (lambda found, true: cdist(found, true).diagonal().mean() / cdist(found, found)[36, 45], "true landmarks"),
        (lambda found, true: cdist(found, true).diagonal(), "one number is needed, not 68"),
        (lambda found, true: 0.0, r"gives 0\.0000"),
        (lambda found, true: share(found, true) * 1.0002, r"gives 0\.08\d\d\d, and it is 0\.08\d\d\d\.$"),
    ],
    "angle off the axis": [
        (lambda R: np.radians(off_axis(R)), "radians"),
        (lambda R: off_axis(R) + 1, r"is 0\.0 degrees off, and your function gives 1\.0"),
        (lambda R: off_axis(R) * 1.003, r"is 25\.0 degrees off, and your function gives 25\.1"),
        (lambda R: R, "one number is needed, not 9"),
        (lambda R: np.degrees(np.arcsin(R[0, 2])), "yaw 0, pitch -25, roll 0 is 25.0"),
    ],
    "scaled orthographic camera": [
        (lambda points, R, size, place: flattened(points, R.T, size, place), "turns the other way"),
        (lambda points, R, size, place: size * points[:, :2] + place, "R comes before z is dropped"),
        (lambda points, R, size, place: size * points[:, :2] @ R[:2, :2].T + place, "R comes before z is dropped"),
        (lambda points, R, size, place: flattened(points, R, size, [0, 0]), "place is missing"),
        (lambda points, R, size, place: flattened(points, R, 1, place), "size is missing"),
        (lambda points, R, size, place: size * flattened(points, R, 1, place), "place is in pixels already"),
        (lambda points, R, size, place: flattened(points, np.diag([1, -1]) @ R[:2], size, place), "no sign changes"),
        (
            lambda points, R, size, place: size * flattened(points, R, 1, [0, 0]) / (points @ R[2])[:, None] + place,
            "by z",
        ),
        (lambda points, R, size, place: size * points @ R.T, r"shape \(68, 2\), not \(68, 3\)"),
        (lambda points, R, size, place: flattened(points, R, size, place) + np.array([3, 4]), "up to 5.0 px off"),
    ],
    "count the blinks": [
        (lambda ratios: sum(np.diff(ratios < 0.15) > 0), "two clear blinks: your function counts 4"),
        (lambda ratios: sum(np.diff((ratios < 0.15).astype(int)) < 0), "trembles about 0.15: your function counts 3"),
        (lambda ratios: sum(np.diff((ratios < 0.15).astype(int)) > 0), "trembles about 0.15: your function counts 3"),
        (lambda ratios: blinks(ratios) + 0.1, "your function counts 2.1, and it is 2.0"),
        (lambda ratios: [blinks(ratios)] * 2, "one number is needed, not 2"),
        (lambda ratios: str(blinks(ratios)), "real numbers are needed, not str '2'"),
        (lambda ratios: sum(np.diff((ratios < 0.2).astype(int)) < 0), "narrows to 0.18: your function counts 1"),
    ],
    "a blink in time": [
        (lambda t: (0, 0), "a dictionary with 'right eye closed'"),
        (lambda t: {"left eye closed": 0}, "a dictionary with 'right eye closed'"),
        (lambda t: {eye: 0.999 * closed for eye, closed in blink(t).items()}, r"should be 0\.500, and is 0\.499"),
        (lambda t: {"right eye closed": 0.0, "left eye closed": 0.0}, "at 1.05 s 'right eye closed' should be 0.50"),
        (lambda t: blink(t) | {"left eye closed": 0.0}, "'left eye closed' should be 0.50, and is 0.00"),
    ],
    "camera position": [
        ([1, 0, 2], "t itself"),
        ([2, 0, -1], "the sign"),
        ([0, 0, 0], "inverse of a rotation is its transpose"),
        ([1, 2], "three numbers are needed, not 2"),
        (lambda: 1, "numbers are needed, not a function"),
    ],
    "reprojection error": [
        (lambda *arguments: rms(*arguments) / np.sqrt(2), "mean over both coordinates"),
        (lambda *arguments: rms(*arguments) ** 2, "the root is missing"),
        (lambda points, pixels, *camera: cdist(project(points, *camera), pixels).diagonal().mean(), "mean distance"),
        (lambda points, pixels, *camera: project(points, *camera) - pixels, "one number is needed, not 100"),
        (lambda *arguments: 0.0, r"gives 0\.000 px"),
        (spoil_and_measure, r"gives 0\.000 px, and it is 3\.0"),
        (forget_to_return, "return it"),
    ],
    "epipole": [
        (lambda K, pose: (K @ pose[1] / pose[1][2])[:2], "the other epipole"),
        (lambda K, pose: -pose[0].T @ pose[1], "one pixel is needed, two numbers, not 3"),
        (lambda K, pose: np.full(2, np.nan), "not before the first camera"),
        (lambda K, pose: (K @ pose[0] @ pose[1])[:2], "solve for X"),
    ],
    "nearer pose": [
        (lambda poses, before: 0, "further from the one before"),
        (lambda poses, before: 1 - nearer_by_rotation(poses, before), "further from the one before"),
        (lambda poses, before: poses[0], "real numbers are needed"),
        (lambda poses, before: 2, "0 or 1, not 2"),
        (nearer_by_t, "compare the rotations"),
        (without_the_sign, "smaller one is nearer"),
    ],
    "depth error": [(0.04, "Z squared"), (320, "focal length times baseline")],
    "about 100 keypoints": [(30, "30 points are left: lower"), (300, "300 points are left: raise"), (np.nan, "lower")],
    "repeatability by chance": [
        (-0.1, "between 0 and 1"),
        ((1 - np.pi * 9 / 76800) ** 300, "chance that all 300 miss"),
        (10.5, "between 0 and 1"),
        (np.pi * 9 / 76800, "area is pi [*] 9; all 300"),
    ],
    "draws of RANSAC": [
        (lambda w: np.log(0.99) / np.log(1 - w**4), r"at w = 0.2 your function gives 6\.3"),
        (lambda w: np.log(0.01) / np.log(1 - (1 - w) ** 4), "at w = 0.2 .*set that to 0.01"),
        (lambda w: np.floor(np.log(0.01) / np.log(1 - w**4)), r"at w = 0\.8 .*gives 8, and 8\.7 are needed: round up"),
        (lambda w: 2876, "at w = 0.5 your function gives 2876.0"),
        (lambda w: np.nan, "at w = 0.2 your function gives nan"),
    ],
}
FUNCTIONS = (
    "nearer pose",
    "mirrored landmarks",
    "mirrored corners",
    "normalised mean error",
    "angle off the axis",
    "scaled orthographic camera",
    "count the blinks",
    "a blink in time",
    "PCK",
    "lag of the moving average",
    "angle at a joint",
    "cadence",
    "asymmetry",
    "height from flight time",
    "forward kinematics",
    "draws of RANSAC",
    "reprojection error",
    "films to break even",
    "epipole",
)


def test_every_exercise_is_tested():
    assert set(EXERCISES) == set(RIGHT) == set(WRONG)


@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_cell_is_not_attempted(name, capsys):
    check(name, None)
    assert capsys.readouterr().out == f"{name}: not attempted yet.\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_empty_function_is_not_attempted(name, capsys):
    check(name, lambda *arguments: None)
    assert capsys.readouterr().out == f"{name}: not attempted yet.\n"


@pytest.mark.parametrize(("name", "answer"), [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_right_answers_are_right(name, answer, capsys):
    check(name, answer)
    assert capsys.readouterr().out == f"{name}: right.\n"


def mapped(answer, change):
    """The answer, or what it returns if it is a function, changed."""
    if callable(answer):
        return lambda *arguments: mapped(answer(*arguments), change)
    if isinstance(answer, dict):
        return {key: change(np.asarray(value)) for key, value in answer.items()}
    return change(np.asarray(answer))


TYPES = {
    "float32": lambda answer: answer.astype(np.float32),
    "tensor": lambda answer: torch.tensor(answer, dtype=torch.float32, requires_grad=True),
    "list": lambda answer: answer.tolist(),
    "tuple": lambda answer: tuple(answer.tolist()) if answer.ndim else answer.item(),
}


@pytest.mark.parametrize("change", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("name", EXERCISES)
def test_right_answers_are_right_in_any_type(name, change, capsys):
    check(name, mapped(RIGHT[name][0], change))
    assert capsys.readouterr().out == f"{name}: right.\n"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_right_answer_may_change_what_it_is_given(name, capsys):
    def greedy(*arguments):
        answer = RIGHT[name][0](*arguments)
        answer = np.array(answer) if isinstance(answer, np.ndarray) else answer
        for array in (array for array in arguments if isinstance(array, np.ndarray)):
            array[:] = 0
        return answer

    check(name, greedy)
    assert capsys.readouterr().out == f"{name}: right.\n"


@pytest.mark.parametrize(("name", "answer", "hint"), [(name, *pair) for name in WRONG for pair in WRONG[name]])
def test_the_usual_mistake_gets_its_hint(name, answer, hint, capsys):
    check(name, answer)
    said = capsys.readouterr().out
    assert said.startswith(f"{name}: not yet. Hint: ") and said.count("\n") == 1
    assert re.search(hint, said)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_function_raises_becomes_the_hint(name, capsys):
    def broken(*arguments):
        raise KeyError("descriptors")

    check(name, broken)
    assert capsys.readouterr().out == f"{name}: not yet. Hint: your answer raises KeyError: 'descriptors'\n"


@pytest.mark.parametrize("name", EXERCISES)
def test_an_answer_of_the_wrong_type_is_a_hint_and_not_a_crash(name, capsys):
    check(name, "a word")
    assert capsys.readouterr().out.startswith(f"{name}: not yet. Hint: ")


def test_an_unknown_exercise_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no exercise 'corners'.*about 100 keypoints.*draws of RANSAC"):
        check("corners", 1)


def test_a_part_loads_no_part_after_it():
    code = "from helpers.exercises import check; check('depth error', 0.32); import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "helpers.geometry" in loaded
    assert not {"helpers.exercises.faces", "helpers.faces", "helpers.bodies"} & set(loaded)
