"""Render the pictures that `training.bodies` learns from: `python -m training.body_pictures --data DIR --out PICTURES`.

Each has one random person in a random pose, light and place, with the 17 joints and which of them can be seen. Poses
come from motion capture and from `training.movements`, half each; backgrounds are photographs, or rooms papered with
them. The build, looks, wall and floor of the workout film stay out.

DIR holds `motion.parquet` (see `training.lifter`) and `photos.parquet` with columns `image`, `source` and `split`:
BSDS500 (Martin et al. 2001; Arbelaez et al. 2011, non-commercial research and education) and Kodak's 24 photographs.
Pictures for measuring (`--split validation`) show motion of other subjects on other photographs.

Pictures are written in shards of 250; one that exists is not rendered again. Several processes may share the work:
`--part 0 2` and `--part 1 2`. PyVista comes with `pip install -r training/requirements.txt`.
"""

import argparse
import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
from PIL import Image
from tqdm.auto import tqdm

from training.mannequin import Camera, Light, Renderer, room
from training.movements import FORMS, perform
from training.people import HIPS, Person, feet_of, pose_of

SIZE = 176  # px, of the square pictures
SHARD = 250
BUILD = ("height", "legs", "arms", "shoulders", "hips", "girth", "waist", "head")


def load_photos(data, split):
    rows = pyarrow.parquet.read_table(Path(data) / "photos.parquet", filters=[("split", "=", split)])
    images = rows["image"].combine_chunks().field("bytes").to_pylist()
    return [np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in images]


def load_poses(data, split):
    """A list of clips: joints (frames, 17, 3), mm, of motion capture, ten whole frames a second."""
    rows = pyarrow.parquet.read_table(Path(data) / "motion.parquet", filters=[("split", "=", split)]).to_pylist()
    poses = []
    for row in rows:
        ok = np.array(row["ok"], bool)
        joints = np.array(row["joints_mm"]).reshape(-1, 17, 3)[ok]
        poses.append(joints[:: max(1, round(row["fps"] / 10))])
    return [clip for clip in poses if len(clip)]


def part_of(photo, rng, size=SIZE):
    """A random square of a photograph, resized."""
    side = int(min(photo.shape[:2]) * rng.uniform(0.35, 1))
    y, x = (rng.integers(0, length - side + 1) for length in photo.shape[:2])
    part = cv2.resize(photo[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_AREA)
    return cv2.flip(part, 1) if rng.random() < 0.5 else part


def camera_for(joints, rng):
    """A camera that has the person about in the middle, more often from the front than from behind."""
    left = joints[HIPS[0]] - joints[HIPS[1]]
    facing = np.arctan2(-left[2], left[0])
    away = rng.normal(0, np.deg2rad(45)) if rng.random() < 0.65 else rng.uniform(-np.pi, np.pi)
    distance, rise = rng.uniform(2, 7), rng.uniform(0.3, 2.1)
    low, high = joints.min(0), joints.max(0)
    target = (low + high) / 2 + rng.normal(0, 0.05, 3)
    position = target + distance * np.array([np.sin(facing + away), 0, np.cos(facing + away)])
    position[1] = rise
    extent = max(1.1, np.linalg.norm(high - low))
    focal = SIZE * rng.uniform(0.5, 0.72) / extent * np.linalg.norm(position - target)
    return Camera.looking(position, target, (SIZE, SIZE), focal, roll_deg=rng.normal(0, 4))


def background(camera, photos, rng):
    first, second = (photos[i] for i in rng.integers(len(photos), size=2))
    if rng.random() < 0.6:
        return part_of(first, rng)
    wall, floor = (part_of(photo, rng, 256).astype(np.float32) for photo in (first, second))
    return room(camera, wall, floor, rng.uniform(1, 3), tuple(rng.uniform(0.8, 3, 2)), rng.uniform(0.7, 1.2))


def ball_before(joints, camera, rng):
    """A gym ball somewhere between camera and person."""
    share, radius = rng.uniform(0.55, 0.85), rng.uniform(0.2, 0.4)
    spot = share * joints.mean(0) + (1 - share) * camera.position + rng.normal(0, 0.25, 3)
    return spot[0], radius, spot[2], radius


def poses_of(poses, rng):
    """Yields Person, joints (17, 3) and feet of ten pictures or so: of one exercise, or from motion capture."""
    person = Person.random(rng)
    if rng.random() < 0.5:
        names = list(FORMS)
        exercise = names[rng.integers(len(names))]
        form = FORMS[exercise][0][rng.integers(len(FORMS[exercise][0]))]
        recording = perform(person, [(exercise, form, 2)], 10, int(rng.integers(1 << 31)), tempo=0.2, depth=0.12)
        rows = rng.choice(len(recording.times), size=min(10, len(recording.times)), replace=False)
        pairs = [(recording.joints[row], recording.feet[row]) for row in rows]
    else:
        chosen = [
            pose_of(clip[rng.integers(len(clip))]) for clip in (poses[i] for i in rng.integers(len(poses), size=10))
        ]
        pairs = [(joints, feet_of(joints)) for joints in chosen]
    for joints, feet in pairs:
        looks = Person.random(rng)
        yield replace(looks, **{key: getattr(person, key) for key in BUILD}), joints, feet


def pictures(poses, photos, seed, renderer):
    """Yields Shots without end."""
    rng = np.random.default_rng(seed)
    while True:
        for person, joints, feet in poses_of(poses, rng):
            camera = camera_for(joints, rng)
            ball = ball_before(joints, camera, rng) if rng.random() < 0.12 else None
            yield renderer.render(
                person,
                joints,
                camera,
                background(camera, photos, rng),
                Light.random(rng),
                feet,
                ball,
                shadow=rng.random() < 0.8,
            )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with motion.parquet and photos.parquet")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--split", default="train", choices=("train", "validation"))
    parser.add_argument(
        "--part", type=int, nargs=2, default=(0, 1), help="this process's number, and how many there are"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    poses, photos = load_poses(options.data, options.split), load_photos(options.data, options.split)
    renderer = Renderer((SIZE, SIZE))
    for shard in tqdm(range(options.part[0], -(-options.count // SHARD), options.part[1])):
        file = options.out / f"{options.split}-{shard:04d}.npz"
        if file.exists():
            continue
        stream = pictures(poses, photos, [options.seed, options.split == "validation", shard], renderer)
        shots = [next(stream) for _ in range(SHARD)]
        jpegs = [cv2.imencode(".jpg", s.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].ravel() for s in shots]
        new = file.with_suffix(".new.npz")
        np.savez(
            new,
            jpeg=np.concatenate(jpegs),
            ends=np.cumsum([len(jpeg) for jpeg in jpegs]),
            joints=np.array([shot.joints for shot in shots], np.float32),
            visibility=np.array([shot.visibility for shot in shots], np.uint8),
        )
        new.replace(file)
    renderer.close()


if __name__ == "__main__":
    main()
