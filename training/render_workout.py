"""Make the workout clip that comes with `helpers`: `python -m training.render_workout`.

A mannequin does squats in good and poor form, jumping jacks, lunges and arm raises before a wall and a floor of
photographed texture, from scikit-image; a gym ball rolls by in front and hides joints for two seconds. Beside the film
lies its truth: `workout.npz` with the joints, and `workout.json` with the camera, the repetitions and their form. The
same seed makes the same film, up to the last bit of a graphics driver's rounding.

The film is H.264 in MP4, written by PyAV. Browsers and phones play it, OpenCV reads it as well on every platform,
and it takes 0.8 MB where Motion JPEG, the other choice that all read everywhere, takes 13.5 MB (quality 50). PyVista,
which draws, comes with `pip install -r training/requirements.txt`.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from helpers import media
from training.mannequin import Camera, Light, Renderer, room
from training.movements import perform
from training.people import COCO, TURNS, Person

OUT = Path(media.__file__).parent / "clips"
SIZE, FPS = (384, 288), 20
SETS = [
    ("squat", "good", 2),
    ("squat", "too shallow", 1),
    ("squat", "knees in", 1),
    ("squat", "leaning", 1),
    ("jumping jack", "good", 4),
    ("lunge", "good", 2),
    ("arm raise", "good", 2),
]
FACING_DEG = [32, 32, 32, 32, -6, 48, 20]
PERSON = Person(
    height=1.72,
    girth=0.96,
    skin=(205, 148, 104),
    hair=(42, 28, 22),
    style="bun",
    shirt=(226, 120, 52),
    sleeves=0.55,
    trousers=(38, 44, 66),
    trousers2=(90, 160, 190),
    trouser_legs=1.88,
    loose=0.7,
    shoes=(238, 238, 236),
)
BALL = 3.0, 0.46, 1.15, 0.36  # when it passes the middle, s; its speed, m/s; how far before the person; its radius, m


def scene():
    """The camera, the light and the empty room."""
    camera = Camera.looking([0.15, 1.25, 4.3], [0, 1.0, 0], SIZE, 435)
    brick, gravel = (np.asarray(media.photo(name), np.float32) for name in ("brick", "gravel"))
    corners = np.float32([[0, 0], [511, 0], [0, 511], [511, 511]])
    slanted = corners + np.float32([[86, 0], [-86, 0], [0, 0], [0, 0]])  # the photograph looks along the bricks
    brick = cv2.warpPerspective(brick, cv2.getPerspectiveTransform(slanted, corners), (512, 512))
    wall = brick.transpose(1, 0, 2) * (1.05, 0.86, 0.76) + (26, 16, 12)
    floor = cv2.GaussianBlur(gravel, (0, 0), 2.5) * 0.45 + gravel.mean() * 0.62
    background = room(camera, wall.astype(np.float32), (floor * (0.98, 1.0, 1.04)).astype(np.float32), 1.5, (2.4, 1.2))
    return camera, Light(direction=(0.5, 0.8, 0.6)), cv2.GaussianBlur(background, (0, 0), 0.6)


def ball_at(time):
    """The gym ball at a time in seconds: (x, y, z, radius), m; None where it is out of sight."""
    passing, speed, near, radius = BALL
    x = speed * (time - passing)
    return (x, radius, near, radius) if abs(x) < 2.4 else None


def covers(ball, joints, camera):
    """Which of the joints (17, 3), world, the ball hides."""
    rays, centre = joints - camera.position, np.array(ball[:3]) - camera.position
    rays = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return np.linalg.norm(centre - (rays @ centre)[:, None] * rays, axis=1) < ball[3]


def exposed(image, rng, sigma=2.2):
    """What a small camera makes of it: a little blur, and noise that grows with the light."""
    image = cv2.GaussianBlur(image, (0, 0), 0.45).astype(np.float32)
    noise = rng.standard_normal(image.shape[:2], dtype=np.float32)[..., None]
    noise = 0.8 * noise + 0.4 * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + sigma * noise * (0.6 + image / 300), 0, 255).astype(np.uint8)


def film(seed=0, progress=True):
    """Yields of each frame: the picture (height, width, 3) uint8 RGB, the Shot, and the Recording it is from."""
    camera, light, background = scene()
    recording = perform(PERSON, SETS, FPS, seed, FACING_DEG)
    rng, renderer = np.random.default_rng([seed, 1]), Renderer(SIZE, sharp=3)
    try:
        for index, time in enumerate(tqdm(recording.times, disable=not progress)):
            joints, feet = recording.joints[index], recording.feet[index]
            shot = renderer.render(PERSON, joints, camera, background, light, feet, ball_at(time))
            yield exposed(shot.image, rng), shot, recording
    finally:
        renderer.close()


def write(path, images, fps, crf=19):
    """Write RGB images (height, width, 3) as H.264 in MP4, its index at the front."""
    import av  # only this needs it

    with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        stream = None
        for image in images:
            if stream is None:
                options = {"crf": str(crf), "preset": "veryslow", "threads": "1"}
                stream = container.add_stream("libx264", rate=fps, options=options)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.thread_count = 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--crf", type=int, default=19, help="quality: less is better and larger")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)

    shots = []

    def images():
        for image, shot, recording in film(options.seed):
            shots.append((shot, recording))
            yield image

    write(options.out / "workout.mp4", images(), FPS, options.crf)
    recording, camera = shots[0][1], shots[0][0].camera
    shots = [shot for shot, _ in shots]
    R, t = camera.pose
    np.savez_compressed(
        options.out / "workout.npz",
        joints=np.array([shot.joints for shot in shots], np.float32),
        joints_3d=np.array([shot.joints_3d for shot in shots], np.float32),
        visibility=np.array([shot.visibility for shot in shots], np.uint8),
        angles_deg=recording.angles_deg.astype(np.float32),
        times=recording.times,
        K=camera.K,
        R=R,
        t=t,
    )
    covered = [
        time
        for time, joints in zip(recording.times, recording.joints, strict=True)
        if (ball := ball_at(time)) and covers(ball, joints, camera).any()
    ]
    repetitions = [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in rep.items()}
        for rep in recording.repetitions
    ]
    labels = {
        "fps": FPS,
        "frames": len(shots),
        "width": SIZE[0],
        "height": SIZE[1],
        "seed": options.seed,
        "occlusion_s": [round(float(covered[0]), 4), round(float(covered[-1]), 4)],
        "person_height": PERSON.height,
        "camera": {"K": camera.K.tolist(), "R": R.round(12).tolist(), "t": (t.round(12) + 0).tolist()},
        "joint_names": list(COCO),
        "angle_names": list(TURNS),
        "repetitions": repetitions,
        "made_with": "python -m training.render_workout",
        "photographs": {name: media.PHOTOS[name] for name in ("brick", "gravel")},
    }
    (options.out / "workout.json").write_text(json.dumps(labels, indent=1) + "\n")
    for file in sorted(options.out.glob("workout.*")):
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
