"""Many films at once: each gives a row, with its joints and repetitions, in a Parquet file of its own. As a command:

    python -m helpers.batch FILMS... --out DIR

FILMS are films, folders of films, or patterns such as "films/*.mp4". Stopped and started again, it goes on where it
was. A film is read again if its size or date changed, or other options were given. One that can't be read, or shows
nobody, gets a row whose `error` says so; `--retry` reads those again. More than one worker, or a cluster, need Ray.
"""

import argparse
import hashlib
import io
import os
import socket
import sys
import tempfile
import warnings
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from logging import getLogger
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoImageProcessor, VitPoseForPoseEstimation
from transformers.utils import logging

import helpers
from helpers import bodies, checkpoints, lifter, media, movement, session

KINDS = {".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
LONGEST = 960  # px of a frame's longer side; larger frames are shrunk as they are read
VERSION = 1  # of a row's content: with another one, every film is read again
INSTALL = 'Run: pip install "ray[data]" pyarrow'


class BatchError(ValueError):
    """The films can't be worked on; the message says why, and what to do."""


def find_films(sources):
    """The films at paths, in folders with all that is in them, and of patterns: absolute paths, each once, in order."""
    films = []
    for source in map(str, sources):
        path = Path(source).expanduser()
        if "://" in source:
            raise BatchError(f"{source} is an address. Download the film and give its path.")
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in KINDS)
        else:
            pattern = set("*?[") & set(source) and not path.exists()
            found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor)))) if pattern else [path]
        if not found:
            raise BatchError(f"There is no film in {path.absolute()}. Known are: {', '.join(sorted(KINDS))}.")
        films += [str(Path(file).resolve()) for file in found]
    return list(dict.fromkeys(films))


class Reader:
    """Turns films into rows; holds the networks, so a process needs one. `table` says what is in a row.

    Args:
        source: of the checkpoint, "bundled" or "hub".
        fps: of a film, at most so many frames a second are looked at.
        out: the folder for what `__call__` reads.
        device: "cpu" or "cuda".
    """

    def __init__(self, source="bundled", fps=30.0, out=None, device="cpu"):
        torch.set_num_threads(1)  # a process for each core, and so one thread for each process
        self.fps, self.out, self.settings = fps, out, settings(source, fps)
        folder, bar = checkpoints.find("body-pose", source=source), logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        with redirect_stdout(io.StringIO()):  # the hub's library says that it loads a folder
            self.processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
            self.model = VitPoseForPoseEstimation.from_pretrained(folder).eval().to(device)
            self.lifter = lifter.BodyLifter.from_pretrained(checkpoints.find("body-lifter")).eval()
        if bar:
            logging.enable_progress_bar()

    def row(self, film):
        """The row of a film; it has an `error`, and nothing else that was found, if anything goes wrong."""
        row = {"film": str(film), **stamp(film), "settings": self.settings, "error": None}
        try:
            joints, scores, times = self._joints(film)
            limbs = movement.fill_gaps(joints[:, bodies.COCO.limbs], times)
            angles = bodies.limb_angles_deg(lifter.lift(self.lifter, limbs, None, times))
            with warnings.catch_warnings(action="ignore"):  # a rhythm too fast to count
                sets = [found for _, found in session.sets(angles, times)]
        except Exception as error:  # whatever is wrong with a film, the others are still of use
            known = isinstance(error, media.MediaError | bodies.NoPerson)
            text = str(error) if known else f"{type(error).__name__}: {error}"
            return row | {"error": text, "times": [], "joints": [], "scores": [], "counts": [], "repetitions": []}
        repetitions = [{"set": number, **one._asdict()} for number, found in enumerate(sets) for one in found]
        counts = [len(found) for found in sets]
        return row | {
            "times": times,
            "joints": joints.astype(np.float32),
            "scores": scores.astype(np.float32),
            "counts": counts,
            "repetitions": repetitions,
        }

    def _joints(self, film):
        """As `bodies.joints_in_film`; the first look is at the frame's middle, and only then at all of it."""
        frames = thinned(media.frames(film, LONGEST), self.fps)
        first = next(frames)
        width, height = first.size
        box = ((width - 0.75 * height) / 2, 0, 0.75 * height, height)
        return bodies.joints_in_film(self.model, self.processor, chain([first], frames), box)

    def __call__(self, batch):
        """Reads and writes the films of a batch of Ray Data, which wants no more back than what is to be said."""
        rows = [self.row(film) for film in batch["film"]]
        for row in rows:
            write(row, self.out)
        return table(rows).select(["film", "counts", "error"])


@cache
def reader(**options):
    return Reader(**options)


def read(film, **options):
    """The row of a film, by the one `Reader` that a process has for these options; for `multiprocessing`."""
    return reader(**options).row(film)


def thinned(frames, fps):
    """Yields as many of the frames as make `fps` a second, one by one."""
    last_s = -np.inf
    for frame in frames:
        if frame.info["time_s"] > last_s + 0.95 / fps:
            last_s = frame.info["time_s"]
            yield frame


def settings(source, fps):
    return f"{source} checkpoint, up to {fps:g} frames a second, version {VERSION}"


def stamp(film):
    """By which a film that was changed is known; None where there is none."""
    try:
        found = Path(film).stat()
        return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
    except OSError:
        return {"size": None, "mtime_ns": None}


def table(rows):
    """Rows as an Arrow table: F frames, joints (F, 17, 2), px, NaN where doubtful; scores (F, 17); times (F,), s.

    `counts` are the repetitions of each set, and `repetitions` say the set, and what `movement.Repetition` says.
    """
    import pyarrow as pa

    number, joint = pa.float64(), pa.list_(pa.float32(), 2)
    repetition = {"set": pa.int32()} | dict.fromkeys(("start_s", "middle_s", "end_s", "height"), number)
    schema = {"film": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64(), "settings": pa.string()}
    schema |= {"error": pa.string(), "counts": pa.list_(pa.int32()), "times": pa.list_(number)}
    schema |= {"joints": pa.list_(pa.list_(joint, 17)), "scores": pa.list_(pa.list_(pa.float32(), 17))}
    schema |= {"repetitions": pa.list_(pa.struct(repetition | {"side": pa.string()}))}
    plain = [{name: getattr(value, "tolist", lambda v=value: v)() for name, value in row.items()} for row in rows]
    return pa.Table.from_pylist(plain, pa.schema(schema))


def file_of(film, out):
    """The file of a film's row: its name, and eight digits by which films of one name in two folders differ."""
    return Path(out) / f"{Path(film).stem}-{hashlib.sha256(str(film).encode()).hexdigest()[:8]}.parquet"


def write(row, out):
    """Writes a row's file, all of it or none."""
    from pyarrow import parquet

    file = file_of(row["film"], out)
    part = file.with_name(f".{file.name}.part")  # readers of the folder leave out what begins with a dot
    parquet.write_table(table([row]), part)
    part.replace(file)


def check_place(out):
    """Makes the folder `out` if need be. Raises BatchError if nothing can be written there, or not as Parquet."""
    if not find_spec("pyarrow"):
        raise BatchError(f"Parquet files need pyarrow. {INSTALL}")
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise BatchError(f"{out} can't be written to ({error}). Give --out another folder.") from error


def is_done(film, out, settings, retry=False):
    """Whether the film's file is there, by the same settings, and the film is as it was."""
    from pyarrow import parquet

    wanted = {**stamp(film), "settings": settings}
    try:
        (row,) = parquet.read_table(file_of(film, out), columns=[*wanted, "error"]).to_pylist()
    except (OSError, ValueError, KeyError):  # none, or not all of it
        return False
    return row == wanted | {"error": row["error"]} and not (retry and row["error"])


@contextmanager
def connected(address=None, workers=None):
    """Ray, started here with so many workers, or at the address of a cluster, without its log on the screen."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    import ray

    here = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": 200 * 2**20}
    there = {"runtime_env": {"py_modules": [str(Path(helpers.__file__).parent)]}}  # its nodes get this package from us
    screen, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # Ray's part in C++ says there that it will say nothing
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="error", **(there if address else here))
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)
    ray.data.DataContext.get_current().enable_progress_bars = False
    getLogger("ray.data").setLevel("ERROR")
    try:
        yield ray
    finally:
        ray.shutdown()


def run(films, out, workers=None, address=None, gpus=0, **options):
    """Reads and writes films; yields what is to be said of each, film, counts and error, as it is done.

    With one worker and no address in this process, else by Ray Data, each worker on a core, with `gpus` of a GPU.
    """
    workers = workers or (None if address else os.cpu_count())
    options |= {"out": str(Path(out).absolute()), "device": "cuda" if gpus else "cpu"}
    if workers == 1 and not address:
        here = Reader(**options)
        for film in films:
            yield from here({"film": [film]}).to_pylist()
        return
    if address and ":" in address:  # Ray itself tries for many minutes
        try:
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, ValueError) as error:
            raise BatchError(f"There is no Ray cluster at {address} ({error}). Start one: ray start --head") from error
    if not find_spec("ray"):
        raise BatchError(f"More than one worker needs Ray. {INSTALL}, or give --workers 1.")
    with connected(address, workers) as ray:
        workers = min(workers or len(films), int(ray.cluster_resources()["CPU"]), len(films))
        pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1)
        rows = ray.data.from_items([{"film": film} for film in films], override_num_blocks=len(films))
        rows = rows.map_batches(
            Reader, fn_constructor_kwargs=options, batch_size=1, compute=pool, num_cpus=1, num_gpus=gpus or None
        )
        yield from rows.iter_rows()  # in whatever order they are done


def main(arguments=None):
    parser = argparse.ArgumentParser("python -m helpers.batch", description=__doc__.split("\n\n")[2])
    parser.add_argument("films", nargs="+", metavar="FILMS")
    parser.add_argument("--out", required=True, type=Path, help="folder for the rows, a Parquet file for each film")
    parser.add_argument("--workers", type=int, help="processes; as many as there are cores")
    parser.add_argument("--address", help='of a Ray cluster, or "auto", in place of this machine')
    parser.add_argument("--gpus", type=float, default=0, help="share of a GPU for each worker, such as 0.25")
    parser.add_argument("--fps", type=float, default=30, help="look at no more frames a second than these (30)")
    parser.add_argument("--source", default="bundled", choices=("bundled", "hub"), help="of the body's checkpoint")
    parser.add_argument("--retry", action="store_true", help="read films again that gave an error")
    given, errors = parser.parse_args(arguments), 0
    try:
        films, same = find_films(given.films), settings(given.source, given.fps)
        check_place(given.out)
        checkpoints.find("body-pose", source=given.source)
        todo = [film for film in films if not is_done(film, given.out, same, given.retry)]
        todo.sort(key=lambda film: -(stamp(film)["size"] or 0))  # the longest first, or one worker ends alone
        print(f"{len(films)} films, {len(films) - len(todo)} done before: {len(todo)} to do.", flush=True)
        options = {name: getattr(given, name) for name in ("workers", "address", "gpus", "source", "fps")}
        with tqdm(total=len(todo), unit="film", disable=not todo) as bar:
            for row in run(todo, given.out, **options) if todo else ():
                bar.update()
                if text := row["error"]:
                    errors += 1
                    bar.write(text if row["film"] in text else f"{row['film']}: {text}")
    except (BatchError, checkpoints.CheckpointUnavailable, ConnectionError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    print(f"{len(todo)} rows written to {given.out}, {errors} of them with an error.")
    return 0


if __name__ == "__main__":  # by the module's own name, under which Ray's workers find `Reader`
    sys.exit(import_module(__spec__.name).main())
