"""Does everything work here? One line for each thing that the notebooks need, and what to do about those that fail.

    python -m helpers.preflight

takes a few seconds; the exit status is 1 if one of them fails. `check()` does the same in a notebook. Memory and disk
are judged by what the hungriest notebook takes; a hub out of reach is said and is no failure.
"""

import io
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stdout
from importlib import metadata

MEMORY_GB, DISK_GB = 2, 1
PROJECT = "keypoint-tutorials"
INSTALL = "Run `make lab` in the repository, or: pip install --requirement requirements.txt --editable ."

HAVE_REMEDIES = (__name__, "helpers.checkpoints", "helpers.media")  # whose errors say what to do


class Failed(Exception):
    """A check's failure; the message says what is wrong and how to mend it."""


class Unreachable(Exception):
    """Something is out of reach that most of the course can do without."""


def check() -> bool:
    """Prints a line for each of `CHECKS`, "ok", "--" (worth knowing) or "FAIL"; returns whether none failed."""
    failures = []
    for name, run in CHECKS.items():
        began = time.perf_counter()
        try:
            mark, text = "ok", run()
        except Unreachable as error:
            mark, text = "--", str(error)
        except Exception as error:  # whatever is broken, the other checks are still of use
            mark, text = "FAIL", str(error)
            if type(error).__module__ not in HAVE_REMEDIES:
                text = f"{type(error).__name__}: {error}. Clone the repository again. {INSTALL}"
            failures.append(name)
        print(f"{mark:4}  {name:15}  {time.perf_counter() - began:4.1f} s  {' '.join(text.split())}", flush=True)
    print(f"Not ready: {', '.join(failures)}." if failures else "Everything works here.")
    return not failures


# Imports stand inside the checks, so that one package that is broken costs its own line and no other.


def packages():
    from packaging.requirements import Requirement

    try:
        listed = map(Requirement, metadata.requires(PROJECT))
    except metadata.PackageNotFoundError:
        raise Failed(f"{PROJECT} is not installed. {INSTALL}") from None
    needed = [package for package in listed if not package.marker]  # those with one are for the recipes
    wrong = []
    for package in needed:
        try:
            if not package.specifier.contains(metadata.version(package.name), prereleases=True):
                wrong.append(f"{package} (found {metadata.version(package.name)})")
        except metadata.PackageNotFoundError:
            wrong.append(f"{package} (not installed)")
    if wrong:
        raise Failed(f"{', '.join(wrong)} needed. {INSTALL}")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "numpy"))
    return f"Python {sys.version.split()[0]}, {versions} and {len(needed) - 3} more"


def memory():
    import psutil  # Jupyter's kernel brings it

    free = psutil.virtual_memory().available / 1e9
    if free < MEMORY_GB:
        raise Failed(f"{free:.1f} GB are free, {MEMORY_GB} are needed. Close other programs and other kernels.")
    return f"{free:.0f} GB free"


def disk():
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free / 1e9
    if free < DISK_GB:
        raise Failed(f"{free:.1f} GB are free in {folder}, {DISK_GB} is needed. Delete what you can do without.")
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"can files be written here?")
    except OSError as error:
        raise Failed(f"{folder} can't be written to ({error}). Set TMPDIR to a folder that can.") from error
    return f"{free:.0f} GB free in {folder}"


def widgets():
    try:
        from ipywidgets import IntSlider

        IntSlider(value=3)
        version = metadata.version("ipywidgets")
        if "google.colab" not in sys.modules:
            metadata.version("jupyterlab_widgets")
    except (ImportError, metadata.PackageNotFoundError) as error:
        remedy = "Run: pip install --upgrade ipywidgets jupyterlab_widgets, restart Jupyter and reload the page."
        raise Failed(f"Sliders can't be shown ({error}). {remedy}") from error
    return f"ipywidgets {version}; the slider of notebook 0 shows whether the page draws them"


def photographs():
    from helpers import media

    return f"{len([media.photo(name) for name in media.PHOTOS])} sample photographs"


def film():
    from helpers import media

    path, _ = media.clip("workout")
    frame = next(media.frames(path))
    return f"{path.name}, {frame.width} x {frame.height} pixels"


def torch():
    import torch
    import transformers  # noqa: F401, whose import takes longest

    assert (torch.ones(2, 3) @ torch.ones(3, 4)).sum() == 24
    return "with a GPU" if torch.cuda.is_available() else "without a GPU, which is enough"


def superpoint():
    from transformers import AutoImageProcessor, SuperPointForKeypointDetection

    from helpers import keypoints, media

    model, processor = _load("superpoint", SuperPointForKeypointDetection, AutoImageProcessor)
    found = keypoints.detect(model, processor, media.photo("camera"), count=100)
    strong = (found.scores > 0.02).sum()  # where all pixels are alike, each scores 1/65
    return _expect(strong == 100, "100 keypoints in a photograph")


def face_landmarks():
    from transformers import AutoModelForPoseEstimation, VitPoseImageProcessorPil

    from helpers import faces, media

    model, processor = _load("face-landmarks", AutoModelForPoseEstimation, VitPoseImageProcessorPil)
    found = faces.find_faces(media.photo("grace_hopper"), model, processor, smallest=60)
    return _expect(len(found) == 1, "68 landmarks of a face in a portrait")


def body_pose():
    from transformers import VitPoseForPoseEstimation, VitPoseImageProcessorPil

    from helpers import bodies, media

    model, processor = _load("body-pose", VitPoseForPoseEstimation, VitPoseImageProcessorPil)
    sight = next(bodies.follow(model, processor, media.frames(media.clip("workout")[0])))
    return _expect(not sight.lost, "17 joints of a person in a film")


def body_lifter():
    import numpy as np

    from helpers import checkpoints, lifter

    with redirect_stdout(io.StringIO()):  # the hub's library says that it loads a folder
        model = lifter.BodyLifter.from_pretrained(checkpoints.find("body-lifter")).eval()
    standing = np.stack([np.tile([0.0, 30.0], 6), np.repeat(np.arange(6) * 40.0, 2)], axis=1)
    joints = lifter.lift(model, standing[None])
    return _expect(np.isfinite(joints).all(), "12 joints in 3D")


def hub():
    from helpers import checkpoints

    try:
        reached = checkpoints.find("superpoint", source="hub")
    except checkpoints.CheckpointUnavailable as error:
        raise Unreachable(f'only SOURCE = "hub" needs it: {error}') from error
    return f'reachable, or in the cache ({reached}): SOURCE = "hub" works'


def _load(name, model_class, processor_class):
    from transformers.utils import logging

    from helpers import checkpoints

    folder = checkpoints.find(name)
    logging.disable_progress_bar()
    try:
        return model_class.from_pretrained(folder).eval(), processor_class.from_pretrained(folder)
    except Exception as error:
        raise Failed(f"{folder} can't be loaded ({error}). Clone the repository again.") from error
    finally:
        logging.enable_progress_bar()


def _expect(right, what):
    if not right:
        raise Failed(f"The network doesn't find {what}. A file of it may be damaged: clone the repository again.")
    return what


CHECKS = {
    "packages": packages,
    "memory": memory,
    "disk": disk,
    "widgets": widgets,
    "photographs": photographs,
    "film": film,
    "torch": torch,
    "superpoint": superpoint,
    "face-landmarks": face_landmarks,
    "body-pose": body_pose,
    "body-lifter": body_lifter,
    "hub": hub,
}


if __name__ == "__main__":
    sys.exit(not check())
