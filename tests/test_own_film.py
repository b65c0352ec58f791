"""Notebook 4.5's cells for one's own film, as they stand there, on real people, on nobody, and on no movement."""

from pathlib import Path

import nbformat
import numpy as np
import pytest

from helpers import media

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[1]
CLIPS = ROOT.parent / "shared" / "data" / "clips"
# How often the exercise is done, counted by eye; the circles are small, and their number good to one.
DONE = {"squat_side_3": 3, "star_jump_front_2": 2, "squat_oblique_1": 1, "arm_circles_front": 10}


@pytest.fixture(scope="module")
def notebook():
    """The names that the cells tagged `own film` define."""
    names = {}
    for cell in nbformat.read(ROOT / "notebooks/4.5-form.ipynb", as_version=4).cells:
        if "own film" in cell.metadata.get("tags", []):
            exec(cell.source, names)
    return names


@pytest.fixture(scope="module")
def judged(notebook, tmp_path_factory):
    """Sessions of the real films, and the films that were written of them."""
    if not all((CLIPS / f"{name}.mp4").exists() for name in DONE):
        pytest.skip(f"the films of real people are not in {CLIPS}, and may not be shipped")
    out = tmp_path_factory.mktemp("judged")
    return {
        name: (notebook["own_film"](CLIPS / f"{name}.mp4", out / f"{name}.mp4"), out / f"{name}.mp4") for name in DONE
    }


def test_real_people_are_counted_in_three_films_of_four(judged):
    counts = {name: sum(one["count"] for one in session["sets"]) for name, (session, _) in judged.items()}
    assert sum(counts[name] == DONE[name] for name in DONE) >= 3, counts


def test_real_squats_are_called_squats_and_other_exercises_are_not_judged(judged):
    for name, (session, _) in judged.items():
        for one in session["sets"]:
            assert one["exercise"] == ("squats" if name.startswith("squat") else "other"), name
            assert all((r["verdict"] == ["not judged"]) == (r["exercise"] == "other") for r in one["repetitions"])


def test_what_compares_left_and_right_is_not_judged_from_the_side(judged):
    session, _ = judged["squat_side_3"]
    for one in session["sets"][0]["repetitions"]:
        assert one["turned_deg"] > 45
        assert {"knees in", "uneven"} <= set(one["not_seen"])
        assert not {"knees in", "uneven"} & set(one["verdict"])


def test_the_films_written_play_and_last_as_long(judged):
    for name, (_, written) in judged.items():
        before, after = (list(media.frames(path, longest=640)) for path in (CLIPS / f"{name}.mp4", written))
        assert after[-1].info["time_s"] == pytest.approx(before[-1].info["time_s"], abs=0.15)
        assert np.abs(np.subtract(after[0].size, before[0].size)).max() <= 1  # sides are even
        later = 0.7 * after[-1].info["time_s"]  # in the first of the star jumps nobody is found yet
        drawn, frame = (min(film, key=lambda one: abs(one.info["time_s"] - later)) for film in (after, before))
        change = np.asarray(drawn, dtype=int) - np.asarray(frame.crop((0, 0, *drawn.size)), dtype=int)
        assert 0.001 < (np.abs(change).max(2) > 60).mean() < 0.3  # a skeleton, and the picture is still there


def test_without_a_person_or_a_repetition_there_is_a_note(notebook, tmp_path):
    first = next(media.frames(media.clip("workout")[0]))
    wall = media.photo("brick").resize((320, 240))
    for name, image, words in (("wall", wall, "joints of a person"), ("still", first, "No repetition")):
        media.write_film(tmp_path / f"{name}.mp4", [image] * 6, 10)
        session = notebook["own_film"](tmp_path / f"{name}.mp4", tmp_path / "judged.mp4")
        assert session["sets"] == [] and words in session["note"]


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_the_frontal_angle_is_that_of_a_knee_pushed_inward(notebook, side):
    """Legs of 0.9 m, straight but for knees pushed inward by 5 cm: closed form, whatever way the person is turned."""
    rows = notebook["LIMBS"].names.index
    pose = np.zeros((12, 3))
    for name, sign in (("left", 1), ("right", -1)):
        for joint, x, y in (("shoulder", 0.2, 1.4), ("elbow", 0.2, 1.1), ("wrist", 0.2, 0.9), ("hip", 0.1, 0.9)):
            pose[rows(f"{name} {joint}")] = sign * x, -y, 0
        pose[rows(f"{name} knee")] = sign * (0.05 if side in (name, "both") else 0.1), -0.45, 0
        pose[rows(f"{name} ankle")] = sign * 0.1, 0, 0
    for turn in np.radians([0, 50, 140, 270]):
        c, s = np.cos(turn), np.sin(turn)
        m = notebook["form_measures"](pose @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]))
        assert m["knees in"] == pytest.approx(2 * np.degrees(np.arctan(0.05 / 0.45)))
        assert m["asymmetry"] == pytest.approx(0 if side == "both" else 1)
    for x in (0.15, 0.1):  # outward, and straight
        for name, sign in (("left", 1), ("right", -1)):
            pose[rows(f"{name} knee"), 0] = sign * x
        expected = -2 * np.degrees(np.arctan((x - 0.1) / 0.45))
        assert notebook["form_measures"](pose)["knees in"] == pytest.approx(expected, abs=1e-6)


def test_a_verdict_needs_joints_that_were_seen(notebook):
    rows = notebook["LIMBS"].names.index
    pose = np.random.default_rng(0).normal(size=(12, 3))
    whole = notebook["form_measures"](pose)
    pose[rows("left knee")] = np.nan
    m = notebook["form_measures"](pose)
    assert np.isnan(m["asymmetry"]) and np.isfinite([m["bend"], m["knees in"], m["lean"]]).all()
    assert m["bend"] <= whole["bend"]
    pose[rows("right hip")] = np.nan
    assert np.isnan(list(notebook["form_measures"](pose).values())[:4]).sum() >= 3
