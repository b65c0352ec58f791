"""What the notebooks import, beside transformers.

    checkpoints   find(name, source): a bundled folder or a hub id, ready for `from_pretrained`
    media         sample photographs and a film; load(path, URL or bytes) and frames(video) as RGB, with clear errors
    films         how `media` reads the frames of a film
    keypoints     SuperPoint's and SIFT's keypoints in exact pixels, descriptors to matches
    geometry      pixel conventions, homographies, cameras and poses, and their robust estimation (PoseLib)
    views         views with known truth: warped, disturbed and pasted photographs, a cube, new views of a scene
    metrics       repeatability, matching accuracy, errors of homographies, poses, landmarks and joints
    faces         the 68 facial landmarks: names, boxes, from a photograph or the next frame of a film to points
    face_model    their 3D shape: fitting, frontal view, measures, expressions, head angles, moving portraits
    bodies        joints of COCO-17, LSP-14 and MediaPipe, boxes, angles
    lifter        joints in 2D to joints in 3D
    movement      smoothing, gaps, the main movement, counting repetitions
    session       walks, exercises and pauses, sets and their repetitions, counting live
    avatars       limb joints in 3D to rotations of an avatar's bones and back, its picture, and BVH files
    actors        generated people who squat, jump and walk, whose movements are known exactly, as a camera sees them
    coco          labelled keypoints as annotation tools export them, read and checked
    pages         photographs of pages whose corners are known, to learn from and to measure on
    batch         many films to rows in Parquet files, on one core, all of them or a cluster; as a command
    draw          figures with keypoints, matches and frames, and animations, each with a caption
    exercises     check(name, answer): instant, tolerant feedback; a file per part of the course
    preflight     does everything work here? also as a command

Importing this package loads none of them. It only compares the installed versions with the oldest ones supported.
"""

import re
from importlib import metadata

# The lower bounds of `pyproject.toml`; a test keeps the two equal.
MINIMUM = {
    "matplotlib": "3.10",
    "numpy": "2.1",
    "pillow": "11.3",
    "scikit-image": "0.25",
    "torch": "2.11",
    "transformers": "5.15",
}


# The first transformers whose `AutoImageProcessor` works without torchvision. Colab has an older one, and torchvision.
WITHOUT_TORCHVISION = "5.19"


def _check_versions() -> None:
    """Raises ImportError, with the command that mends it, if a package of `MINIMUM` is missing or too old."""
    oldest = MINIMUM | ({} if _version("torchvision") else {"transformers": WITHOUT_TORCHVISION})
    problems, remedies = [], []
    for package, minimum in oldest.items():
        found = _version(package)
        if found is None or _release(found) < _release(minimum):
            beside = "" if minimum == MINIMUM[package] else " where torchvision is missing"
            problems.append(f"{package} >= {minimum}{beside} ({f'found {found}' if found else 'not installed'})")
            remedies.append(f'"{package}>={minimum}"')
    if problems:
        raise ImportError(
            f"These notebooks need {', '.join(problems)}. "
            f"Run: pip install --upgrade {' '.join(remedies)} and then restart the kernel."
        )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str) -> list[int]:
    """The leading numbers of a version: "2.13.0+cpu" gives [2, 13, 0]."""
    return [int(number) for number in re.match(r"[\d.]*", version)[0].split(".") if number]


_check_versions()
