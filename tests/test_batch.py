"""`helpers.batch`: rows, what is read again and what not, errors, and a run through Ray that is killed and goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from helpers import batch, checkpoints, media

ROOT = Path(__file__).parents[1]
FPS = 7
PIECES = {"monday/squat": (0, 1), "tuesday/squat": (2, 3), "jacks": (5, 7), "lunge": (9, 10)}  # of the repetitions


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Five films in a folder, two of them of one name, and one damaged."""
    folder = tmp_path_factory.mktemp("films")
    path, truth = media.clip("workout")
    workout = list(media.frames(path))
    for name, (first, last) in PIECES.items():
        start, end = truth["repetitions"][first]["start_s"] - 0.1, truth["repetitions"][last - 1]["end_s"] + 0.1
        film = folder / f"{name}.mp4"
        film.parent.mkdir(exist_ok=True)
        media.write_film(film, [one for one in workout if start <= one.info["time_s"] <= end], truth["fps"])
    whole = (folder / "jacks.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    return folder


@pytest.fixture(scope="module")
def loop(films, tmp_path_factory):
    """What a plain loop makes of them: the folder."""
    out, threads = tmp_path_factory.mktemp("loop"), torch.get_num_threads()
    assert batch.main([str(films), "--out", str(out), "--fps", str(FPS), "--workers", "1"]) == 0
    torch.set_num_threads(threads)
    return out


@pytest.fixture
def seen(monkeypatch):
    """The films that a stand-in for `Reader` is given: it finds nobody."""
    seen = []

    class Stub(batch.Reader):
        def __init__(self, source, fps, out, device):
            self.out, self.settings = out, batch.settings(source, fps)

        def _joints(self, film):
            seen.append(Path(film).name)
            raise batch.bodies.NoPerson("nobody")

    monkeypatch.setattr(batch, "Reader", Stub)
    return seen


def run(films, out, *options):
    return batch.main([*map(str, films), "--out", str(out), "--workers", "1", *options])


def content(folder):
    return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir()) if file.name[0] != "."}


def test_a_film_gives_a_row_and_a_damaged_one_its_error(films, loop):
    rows = {str(Path(row["film"]).relative_to(films))[:-4]: row for row in parquet.read_table(loop).to_pylist()}
    assert rows.keys() == {*PIECES, "cut"} and len(content(loop)) == 5
    for name, (first, last) in PIECES.items():
        row, film = rows[name], films / f"{name}.mp4"
        assert row["error"] is None and sum(row["counts"]) == len(row["repetitions"]) == last - first
        assert (row["size"], row["mtime_ns"]) == (film.stat().st_size, film.stat().st_mtime_ns)
        joints, scores, times = (np.array(row[part]) for part in ("joints", "scores", "times"))
        assert joints.shape == (len(times), 17, 2) and scores.shape == (len(times), 17)
        assert np.isfinite(joints).mean() > 0.8 and (np.diff(times) > 0.9 / FPS).all()
        times = [row["repetitions"][0][part] for part in ("start_s", "middle_s", "end_s")]
        assert times == sorted(times) and row["repetitions"][0]["set"] == 0
    assert "cut.mp4 ends after" in rows["cut"]["error"] and rows["cut"]["joints"] == rows["cut"]["counts"] == []


@pytest.mark.skipif(not find_spec("ray"), reason="ray is not installed")
@pytest.mark.once
def test_a_run_through_ray_that_is_killed_goes_on_and_gives_what_a_loop_gives(films, loop, tmp_path):
    command = [sys.executable, "-m", "helpers.batch", films, "--out", tmp_path, "--fps", FPS, "--workers", 2]
    command = [str(word) for word in command]
    with (tmp_path.parent / "said").open("w+") as said:
        first = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, start_new_session=True)
        try:
            late = time.monotonic() + 280
            while not content(tmp_path) and first.poll() is None and time.monotonic() < late:
                time.sleep(0.02)
            started = psutil.Process(first.pid).children(recursive=True)
        finally:
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
        said.seek(0)
        assert first.returncode == -signal.SIGKILL, said.read()
    _, left = psutil.wait_procs(started, timeout=30)
    assert len(started) > 3 and not left, "processes of Ray outlive the run"
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")}
    assert 0 < len(before) < 5

    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith(f"5 films, {len(before)} done before: {5 - len(before)} to do.\n")
    assert before.items() <= {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*.parquet")}.items()
    assert content(tmp_path) == content(loop)
    lines = [line for line in second.stderr.replace("\r", "\n").splitlines() if line.strip() and "film" not in line]
    assert not lines, "something besides the progress bar is said"


def test_what_is_done_is_not_done_again_but_for_a_film_that_changed_or_other_options(seen, films, tmp_path, capsys):
    mine = shutil.copytree(films, tmp_path / "films")
    out = tmp_path / "out"
    assert run([mine], out) == run([mine], out) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "5 films, 0 done before: 5 to do." and said[-2] == "5 films, 5 done before: 0 to do."
    assert len(seen) == 5
    os.utime(mine / "jacks.mp4", (0, 0))
    (mine / "lunge.mp4").write_bytes((mine / "cut.mp4").read_bytes())
    run([mine], out)
    assert sorted(seen[5:]) == ["jacks.mp4", "lunge.mp4"]
    run([mine], out, "--fps", "10")
    assert len(seen) == 12
    run([mine], out, "--fps", "10", "--retry")
    assert len(seen) == 17
    next(out.glob("cut-*")).write_bytes(b"PAR1")
    next(out.glob("lunge-*")).unlink()
    run([mine], out, "--fps", "10")
    assert sorted(seen[17:]) == ["cut.mp4", "lunge.mp4"]


def test_a_film_that_is_missing_costs_a_row_and_is_read_once_it_is_there(films, tmp_path):
    film, out = tmp_path / "late.mp4", tmp_path / "out"
    assert run([film], out) == 0
    assert "There is no file" in parquet.read_table(out).to_pylist()[0]["error"]
    shutil.copy(films / "jacks.mp4", film)
    assert run([film], out, "--fps", str(FPS)) == 0
    assert parquet.read_table(out).to_pylist()[0]["counts"] == [2]


def test_a_film_given_twice_is_one_and_two_of_one_name_are_two(films, monkeypatch):
    monkeypatch.chdir(films)
    found = batch.find_films(["monday/squat.mp4", ".", "*/*.mp4", films / "tuesday" / ".." / "cut.mp4"])
    assert found[0] == str(films / "monday/squat.mp4") and sorted(found) == sorted(map(str, films.rglob("*.mp4")))
    one, other = (batch.file_of(films / day / "squat.mp4", "out") for day in ("monday", "tuesday"))
    assert one != other and one.name.startswith("squat-")


def test_whatever_a_film_does_the_others_are_read(films, tmp_path, monkeypatch):
    monkeypatch.setattr(batch.session, "sets", lambda *_: 1 / 0)
    Image.new("RGB", (64, 48)).save(tmp_path / "picture.png")
    row = batch.read(str(films / "jacks.mp4"), fps=2)
    assert row["error"] == "ZeroDivisionError: division by zero" and row["joints"] == []
    assert "single picture" in batch.read(tmp_path / "picture.png", fps=2)["error"]


PROBLEMS = {  # what is given, what is spoilt, and what is said
    "no film": (["{}/empty"], None, r"There is no film in {}/empty. Known are: .3gp, "),
    "no match": (["{}/*.mp4"], None, "There is no film in {}/*.mp4"),
    "an address": (["https://a.org/b.mp4"], None, "https://a.org/b.mp4 is an address. Download the film"),
    "a file in place of the folder": (["{}/a.mp4", "--out", "{}/file"], None, "can't be written to ([Errno 17]"),
    "no pyarrow": (["{}/a.mp4"], "pyarrow", 'need pyarrow. Run: pip install "ray[data]" pyarrow'),
    "no ray": (
        ["{}/a.mp4", "--workers", "2"],
        "ray",
        'needs Ray. Run: pip install "ray[data]" pyarrow, or give --work',
    ),
    "no cluster": (["{}/a.mp4", "--address", "127.0.0.1:1"], "cluster", "There is no Ray cluster at 127.0.0.1:1"),
    "no checkpoint": (["{}/a.mp4", "--source", "hub"], "hub", "out of reach"),
}


@pytest.mark.once
@pytest.mark.parametrize("case", PROBLEMS)
def test_a_problem_is_one_line_with_its_remedy(case, monkeypatch, tmp_path, capsys):
    given, spoilt, says = PROBLEMS[case]
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(batch, "find_spec", lambda name: None if name == spoilt else find_spec(name))
    if spoilt == "hub":

        def find(*_, **__):
            raise checkpoints.CheckpointUnavailable("out of reach")

        monkeypatch.setattr(checkpoints, "find", find)
    out = ["--out", str(tmp_path / "out")]
    assert batch.main([*out, *(word.format(tmp_path) for word in given)]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert says.format(tmp_path) in said[-1]


def test_ctrl_c_says_how_to_go_on(films, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "run", interrupted)
    assert run([films], tmp_path) == 130
    assert "The same command goes on from here." in capsys.readouterr().err


MEMORY = """
import resource, sys
from helpers import batch
for film in sys.argv[1:]:
    assert batch.read(film, fps=10)["error"] is None
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak is in another unit")
def test_memory_does_not_grow_with_the_length_of_a_film(films, tmp_path):
    large = [frame.resize((960, 720)) for frame in media.frames(films / "monday/squat.mp4")][:10]  # 2 MB each
    for turns in (1, 9):
        media.write_film(tmp_path / f"{turns}.mp4", large * turns, fps=10)
    command = [sys.executable, "-c", MEMORY, *(tmp_path / f"{turns}.mp4" for turns in (1, 1, 9))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, short_mb, long_mb = map(int, done.stdout.split())
    assert long_mb - short_mb < 50  # the frames that the long film has more are 166 MB
