"""Train the bundled body pose: 17 joints, from rendered people and real photographs.

    python -m training.body_pictures --data DIR --out PICTURES --count 20000
    python -m training.bodies --data DIR --pictures PICTURES --minutes 92

The network is `VitPoseForPoseEstimation` from random weights, or from those of `--weights`: a small vision transformer
with COCO's 17 heatmaps.

1. Pictures. Rendered people (`training.body_pictures`) have exact joints, and there are as many as one likes. Real
   people come from Leeds Sports Pose Extended, whose 12 limb joints are COCO's, and from any number of files of people
   labelled by two networks where these agree. A label counts as much as it is likely to be right.
2. Views. Crops as the processor cuts them, from boxes that are sometimes loose; turned, mirrored, blurred along a
   direction, with things in front, in other light. A few show nobody.
3. Loss. The target is a Gaussian about the joint, whose height says how well it is seen: 1 where it is seen, 0.5 where
   something hides it, 0 outside the crop and where there is nobody. So the heatmaps look like those of the hub's
   ViTPose, and a peak's height is a score. The squared difference alone learns slowly; a cross-entropy, whose minimum
   is the same, learns where the joint is. A third term is for left and right, which are easily exchanged.

DIR holds `bodies.parquet` with columns `image`, `joints` (14, 3) and `split`: Leeds Sports Pose Extended (Johnson &
Everingham 2011, research use); `bodies_teacher.parquet` with `row` and `joints` (17, 3) = x, y, weight: the same
photographs labelled by MoveNet Thunder and BlazePose heavy (Google, Apache-2.0); and `people.parquet` with `image`,
`joints` (17, 3), `source`, `split`, labelled likewise: Vigneshraj15/SportsActivityDetection (published as CC0, images
from the web), yuhonas/free-exercise-db (Unlicense), bearpaw/clothing-co-parsing (Apache-2.0),
calimiro-ai/WorkoutTracker (MIT, the films' origin not stated). Its split "test", of a source that states no terms, is
for measuring alone. Optimisers, schedule, resuming and several processes are as in `training.faces`.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import IterableDataset

from benchmarks.bodies import (
    FEWEST,
    SURE_LABEL,
    decoded,
    load_people,
    load_renders,
    load_weighted,
    second_labels,
)
from helpers.bodies import COCO
from training import faces
from training.body_pictures import load_photos, part_of

SIZE = 128, 96  # px, of the crops: height, width
CELLS = np.float32([23 / 95, 31 / 127])  # heatmap cells per px of the crop (x, y): corner to corner, as it is decoded
SHARPNESS = 20.0
SEEN = np.float32([0, 0.5, 1])  # height of a heatmap's peak, by visibility
CONTRADICTED = 0.3  # torso diameters between a stored label and that of sure networks
CROP = 1.4  # a crop's height over that of the joints, where nothing varies it


# --- pictures ---------------------------------------------------------------------------------------------------


class People(NamedTuple):
    """Real people: JPEG bytes; joints (N, 17, 2), px; weights (N, 17), 0 where there is no label; and how likely each
    is drawn, (N,)."""

    images: list
    joints: np.ndarray
    weights: np.ndarray
    chances: np.ndarray


def load_photographed(data, files, labels="mended"):
    """`People` of Leeds Sports Pose Extended and of the `files` of people labelled by networks, split "train".

    Where two networks are sure (weight of `benchmarks.bodies.SURE_LABEL`) and contradict a label of Leeds Sports Pose
    by more than `CONTRADICTED`, theirs takes its place, "mended"; it is left out, "dropped"; or it stays, "stored".
    They also give the face's joints, but where labels stay as stored. People with fewer than `FEWEST` labels are left
    out. A source is drawn in proportion to the square root of its size.
    """
    images, joints, _ = load_people(data, "train")
    weights = np.isfinite(joints).all(2).astype(np.float32)
    if labels != "stored":
        other, sure = second_labels(data, "train")
        sure = np.where(sure >= SURE_LABEL, sure, 0)
        torso = np.linalg.norm(joints[:, 5] - joints[:, 12], axis=-1)[:, None]
        with np.errstate(invalid="ignore"):
            contradicted = (sure > 0) & (np.linalg.norm(joints - other, axis=-1) > CONTRADICTED * torso)
        weights[contradicted] = 0
        new = (weights == 0) & (sure > 0) & (~contradicted if labels == "dropped" else True)
        joints[new], weights[new] = other[new], sure[new]
    parts, sources = [(images, joints, weights)], [["lsp"] * len(images)]
    for file in files:
        *part, source = load_weighted(Path(data) / file, "train")
        parts.append(part)
        sources.append(source)
    images, joints, weights = zip(*parts, strict=True)
    images, weights = [image for part in images for image in part], np.concatenate(weights)
    rows = np.flatnonzero((weights > 0).sum(1) >= FEWEST)
    which, counts = np.unique(np.concatenate(sources)[rows], return_inverse=True, return_counts=True)[1:]
    chances = 1 / np.sqrt(counts)[which]
    joints = np.nan_to_num(np.concatenate(joints)[rows])
    return People([images[row] for row in rows], joints, weights[rows], chances / chances.sum())


class Bodies(IterableDataset):
    """Endless views. `real` is the share of real people, `empty` that of pictures of nobody."""

    def __init__(self, renders, people, photos, real, empty, seed, start=0):
        self.renders, self.people, self.photos = renders, people, photos
        self.real, self.empty, self.seed, self.start = real, empty, seed, start
        self.upto = np.cumsum(people.chances)

    def __iter__(self):
        number = self.start
        while True:
            yield self.view(np.random.default_rng([self.seed, number]))
            number += 1

    def view(self, rng):
        """A dictionary: `view` (3, height, width); `places` (17, 2), cells; `height` (17,) of the peaks; `known` (17,),
        how much the label counts, 0 where there is none."""
        chance = rng.random()
        if chance < self.empty:
            image = part_of(self.photos[rng.integers(len(self.photos))], rng)
            joints, seen, known = np.full((17, 2), -1e3, np.float32), np.zeros(17, int), np.ones(17)
        elif chance < self.empty + self.real:
            row = min(np.searchsorted(self.upto, rng.random()), len(self.upto) - 1)
            image, joints, known = (
                np.asarray(decoded(self.people.images[row])),
                self.people.joints[row],
                self.people.weights[row],
            )
            seen = np.full(17, 2)
        else:
            row = rng.integers(len(self.renders[0]))
            image, joints, seen = (
                np.asarray(decoded(self.renders[0][row])),
                self.renders[1][row],
                self.renders[2][row].astype(int),
            )
            known = np.ones(17)
        if rng.random() < 0.5:
            image, joints, seen, known = cv2.flip(image, 1), joints[COCO.mirror], seen[COCO.mirror], known[COCO.mirror]
            joints = np.float32([image.shape[1] - 1, 0]) + joints * np.float32([-1, 1])
        if chance < self.empty:
            affine = self.affine(np.array([[0, 0], [image.shape[1], image.shape[0]]]), rng)
        else:
            affine = self.affine(joints[known > 0], rng)
        height, width = SIZE
        border = rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE], p=[0.75, 0.25])
        view = cv2.warpAffine(image, affine, (width, height), flags=cv2.INTER_LINEAR, borderMode=int(border))
        places = joints @ affine[:, :2].T + affine[:, 2]
        inside = ((places > -0.5) & (places < [width - 0.5, height - 0.5])).all(1)
        view = faces.photometric(moving(covered(view, self.photos, rng), rng), rng)
        return {
            "view": view.transpose(2, 0, 1),
            "places": np.where(inside[:, None], places * CELLS, -1e3).astype(np.float32),
            "height": np.where(inside, SEEN[seen], 0).astype(np.float32),
            "known": known.astype(np.float32),
        }

    @staticmethod
    def affine(points, rng):
        """From picture to crop (2, 3), for a box about `points` that varies."""
        low, high = points.min(0), points.max(0)
        extent = max(high[1] - low[1], (high[0] - low[0]) * SIZE[0] / SIZE[1], 8)
        loose = rng.uniform(1.2, 1.8) if rng.random() < 0.15 else np.exp(rng.normal(0, 0.13))
        scale = SIZE[0] / (CROP * loose * extent)
        centre = (low + high) / 2 + rng.normal(0, 0.05, 2) * loose * extent
        angle = np.deg2rad(np.clip(rng.normal(0, 12 if rng.random() < 0.85 else 40), -90, 90))
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        linear = scale * turn @ np.diag(np.exp(rng.normal(0, 0.05) * np.array([1, -1])))
        return np.column_stack([linear, (np.array(SIZE[::-1]) - 1) / 2 - linear @ centre])


def covered(view, photos, rng):
    """The view with a piece of a photograph or a disc in front, sometimes."""
    if rng.random() > 0.25:
        return view
    view, (height, width) = np.ascontiguousarray(view), view.shape[:2]
    centre = rng.uniform(0, (width, height)).astype(int)
    if rng.random() < 0.5:
        cv2.circle(view, centre.tolist(), int(rng.uniform(5, 22)), rng.integers(0, 256, 3).tolist(), -1, cv2.LINE_AA)
        return view
    piece = part_of(photos[rng.integers(len(photos))], rng, int(rng.uniform(10, 45)))
    x, y = np.clip(centre - len(piece) // 2, 0, (width - len(piece), height - len(piece)))
    view[y : y + len(piece), x : x + len(piece)] = piece
    return view


def moving(view, rng):
    """Blurred along a direction, as by motion, sometimes."""
    if rng.random() > 0.2:
        return view
    kernel, angle, length = np.zeros((9, 9), np.float32), rng.uniform(0, np.pi), rng.uniform(1, 4)
    end = length * np.array([math.cos(angle), math.sin(angle)])
    start, stop = (np.round(16 * (4 + sign * end)).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, stop, 1.0, 1, cv2.LINE_AA, 4)
    return cv2.filter2D(view, -1, kernel / kernel.sum())


# --- the run ----------------------------------------------------------------------------------------------------


def losses(heatmaps, batch, sigma, weight, sides=0.0):
    """Cross-entropy and `weight` times squared difference of heatmaps (N, 17, rows, columns) to their targets, and
    `sides` times the loss of `exchanged`.

    A target is a Gaussian of `sigma` cells, as high as its joint is well seen. The cross-entropy is that of the softmax
    of `SHARPNESS` times the heatmap to the same of the target, so both are least where the heatmap is the target.
    """
    heatmaps, (rows, columns) = heatmaps.float(), heatmaps.shape[2:]
    y, x = (torch.arange(n, device=heatmaps.device, dtype=torch.float32) for n in (rows, columns))
    places, height, known = batch["places"], batch["height"], batch["known"]
    across, down = (
        torch.exp(-((cells - places[..., k, None]) ** 2) / (2 * sigma**2)) for k, cells in enumerate((x, y))
    )
    target = height[..., None, None] * down[..., None] * across[..., None, :]
    chance = (SHARPNESS * target).flatten(2).softmax(-1)
    entropy = -(chance * (SHARPNESS * heatmaps).flatten(2).log_softmax(-1)).sum(-1)
    there = known * (height > 0)
    square = ((heatmaps - target) ** 2).sum((2, 3))
    return {
        "entropy": (entropy * there).sum() / there.sum().clamp(min=1),
        "square": weight * (square * known).sum() / known.sum().clamp(min=1),
        "sides": sides * exchanged(heatmaps, places, there),
    }


def exchanged(heatmaps, places, there):
    """The mean cross-entropy of choosing between a joint's own place and its counterpart's on the other side.

    Of heatmaps (N, 17, rows, columns), over the pairs whose places (N, 17, 2) lie at least two cells apart; `there`
    (N, 17) weighs the joints.
    """
    mirror = torch.as_tensor(COCO.mirror, device=places.device)
    apart = ((places - places[:, mirror]).norm(dim=-1) > 2) * there * there[:, mirror]
    x, y = places.round().long().unbind(-1)
    cells = (y.clamp(0, heatmaps.shape[2] - 1) * heatmaps.shape[3] + x.clamp(0, heatmaps.shape[3] - 1))[..., None]
    own, other = (heatmaps.flatten(2).gather(2, at)[..., 0] for at in (cells, cells[:, mirror]))
    return (functional.softplus(SHARPNESS * (other - own)) * apart).sum() / apart.sum().clamp(min=1)


class Run(faces.Run):
    """One training run, and its state on disk."""

    def network(self):
        return faces.build(self.options, SIZE, COCO.names)

    def train(self):
        self.model.set_attn_implementation("eager")  # in bfloat16 on a CPU, faster than the fused one
        if self.options.precision == "auto":
            self.options.precision = self.faster()
        super().train()

    def faster(self):
        """The precision in which a step takes less time: processors without bfloat16 emulate it, ten times slower."""
        device, views = self.accelerator.device, self.views(self.options.seed, 0)
        batch = torch.stack([torch.from_numpy(view["view"]) for view, _ in zip(views, range(8), strict=False)])
        model, batch, seconds = self.model.to(device), batch.to(device), {"no": np.inf, "bf16": np.inf}
        for _ in range(3):
            for precision in seconds:
                start = time.perf_counter()
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    heatmaps = model(batch).heatmaps
                heatmaps.float().square().mean().backward()
                heatmaps.sum().item()  # waits for a GPU
                seconds[precision] = min(seconds[precision], time.perf_counter() - start)
        model.zero_grad()
        ratio = seconds["no"] / seconds["bf16"]
        choice = "bf16" if ratio > 1 else "no"
        print(f"A step in bfloat16 takes 1/{ratio:.2g} of the time of one in single precision: precision {choice}.")
        return choice

    def labels(self):
        options = self.options
        self.renders = load_renders(options.pictures, "train")
        self.people = load_photographed(options.data, options.people, options.labels)
        self.photos = load_photos(options.data, "train")

    def views(self, seed, start):
        options = self.options
        return Bodies(self.renders, self.people, self.photos, options.real, options.empty, seed, start)

    def losses(self, heatmaps, batch):
        return losses(heatmaps, batch, self.options.sigma, self.options.weight, self.options.sides)

    def save(self):
        """Write the transformers checkpoint; the figures come from `benchmarks.bodies`, the model card by hand."""
        out = Path(self.options.out)
        faces.export(self.model, out)
        (out / "results.json").write_text(json.dumps(self.history(), indent=2) + "\n")


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with bodies.parquet and photos.parquet")
    parser.add_argument("--pictures", required=True, help="folder of training.body_pictures")
    parser.add_argument("--people", nargs="*", default=["people.parquet"], help="files in DIR, labelled by networks")
    parser.add_argument("--labels", default="mended", choices=("stored", "mended", "dropped"), help="of bodies.parquet")
    parser.add_argument("--sides", type=float, default=0.5, help="weight of the loss on exchanged sides")
    parser.add_argument("--minutes", type=float, default=92, help="minutes of training")
    parser.add_argument("--work", default="build/bodies", help="state, to go on from")
    parser.add_argument("--out", default="build/bodies/checkpoint", help="the finished checkpoint")
    parser.add_argument("--weights", help="folder of a finished checkpoint, whose weights to begin with")
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--mlp", type=int, default=4)
    parser.add_argument("--upscale", type=int, default=2, help="heatmap cells per patch")
    parser.add_argument("--sigma", type=float, default=1.0, help="cells, how far a label spreads")
    parser.add_argument("--weight", type=float, default=3.0, help="of the squared difference")
    parser.add_argument("--real", type=float, default=0.6, help="share of real people among the views")
    parser.add_argument("--empty", type=float, default=0.04, help="share of views of nobody")
    parser.add_argument("--batch", type=int, default=16, help="views a step and process")
    parser.add_argument("--lr", type=float, default=0.015, help="of Muon; AdamW takes a twentieth")
    parser.add_argument("--precision", default="auto", choices=("auto", "no", "bf16"), help="bf16: mixed")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    return parser.parse_args(arguments)


def main(arguments=None):
    Run(parse(arguments))()


if __name__ == "__main__":
    main()
