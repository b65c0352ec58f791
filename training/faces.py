"""Train the bundled face landmarks: mend the labels, train, and learn a 3D shape from the same labels.

    python -m training.faces --data DIR --minutes 150

The network is `VitPoseForPoseEstimation` from random weights: a small vision transformer with 68 heatmaps.

1. Labels. Those of `youtube-faces` sit beside the features, all to the same side, so a mirrored photograph contradicts
   its original. `benchmarks.face_labels` finds by how much, from the mean face's mirror symmetry, and takes it out.
2. Network. Cross-entropy of each heatmap's softmax to a Gaussian about the landmark, and the distance from the
   landmark to the mean place on the map (which is how `helpers.faces.landmarks_of` reads it). Muon (Jordan 2024) for
   the transformer's matrices, AdamW for the rest. Boxes jitter as those of a face detector do. Some faces are made to
   act, by a piecewise-affine warp: the data hold few closed eyes, and a network that has hardly seen any draws all
   eyes half open. For the same reason the openings of eyes and mouth have a loss of their own, narrow eyes are shown
   more often, and a part of the views are close crops of the eyes, for a look of their own
   (`helpers.faces.find_landmarks`). Lids act and have that loss in HELEN alone: in `youtube-faces` they are labelled
   in whole pixels of small pictures, and the labels of the two eyes hardly agree.
3. Shape. `training.face_shape`: a mean and a few modes in 3D, from the 2D labels.

DIR holds `faces.parquet` with columns `image`, `landmarks` (68, 2), `identity`, `source`, `split` (by identity):
`youtube-faces`, 4,232 frames of the YouTube Faces DB (Wolf et al. 2011, research use) as labelled and distributed in
udacity/P1_Facial_Keypoints, and `helen`, 870 training photographs of HELEN (Le et al. 2012, research use) with the
labels of 300-W (Sagonas et al. 2013).

Killed runs go on where they stopped when the same command is given again; the state lies in `--work`. `--weights DIR`
begins with a checkpoint's weights, for instance the bundled one's, to train it further. Several GPUs:
`accelerate launch -m training.faces ...`; several CPU cores, one process each:
`ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 -m training.faces ... --cpu`.
"""

import argparse
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch.utils.data import DataLoader, IterableDataset
from tqdm.auto import tqdm
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

from benchmarks.face_labels import choose, load_faces, mend, mirrored, shifts_of
from benchmarks.faces import average_place, cascade_relation, evaluate, eye_ratios, jittered, portraits
from helpers.face_model import cameras_of, expression_modes, warp
from helpers.faces import CROP, NAMES, box_of, eyes_box
from training.face_shape import person_modes, shape_model, shape_report

LIDS, LIPS = ((37, 41), (38, 40), (43, 47), (44, 46)), ((61, 67), (62, 66), (63, 65))  # upper and lower
EXACT, NARROW = "helen", 0.2  # the source whose lids are labelled well; the aspect ratio of a narrow eye
NEAR = 0.4  # how far the boxes of the eyes scatter, which come from landmarks, to the detector's
PAUSE = 5.0  # seconds: what a step takes beyond that, the process was suspended
SILENT = ("data", "work", "out", "weights", "pictures", "cpu")  # options that are places on one machine
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # the processor's


# --- views ------------------------------------------------------------------------------------------------------


def photometric(image, rng):
    """Light, colour, sharpness and noise, as other cameras would have them. uint8 in, normalised float32 out."""
    height, width = image.shape[:2]
    chance = rng.random(6)
    if chance[0] < 0.25:
        share = rng.uniform(0.35, 0.9)
        small = int(width * share), int(height * share)
        image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))
    elif chance[0] < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.4))
    if chance[1] < 0.2:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chance[2] < 0.3:  # something in front
        corner, other = rng.integers(0, (width, height)), rng.integers(width // 10, width // 2, 2)
        cv2.rectangle(image, corner.tolist(), (corner + other).tolist(), rng.integers(0, 256, 3).tolist(), -1)
    tone = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.08, 3))
    tone = np.clip((tone - 0.5) * rng.uniform(0.6, 1.4) + 0.5 + rng.uniform(-0.15, 0.15), 0, 1)
    image = cv2.LUT(image, ((tone - MEAN) / STD).astype(np.float32)[:, None])
    if chance[3] < 0.3:  # light from one side
        direction = rng.normal(0, 0.5, 2).astype(np.float32)
        down, right = (np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width))
        image += (direction[0] * down[:, None] + direction[1] * right)[..., None]
    if chance[4] < 0.3:
        image += np.float32(rng.uniform(0, 0.25)) * rng.standard_normal(image.shape, dtype=np.float32)
    return image


def acting(points, mean, rng, eyes=True):
    """Landmarks (68, 2) as a random expression would move them, lids only if `eyes`; `mean` is the mean shape (68, 3).

    Lids close by a share of their gap, some altogether, and others open further.
    """
    camera = cameras_of(mean[None], points[None] - points.mean(0))[0]
    unit = np.linalg.norm(camera, axis=1).mean()
    strengths = {
        "brows up": rng.uniform(-0.5, 1.0) * (rng.random() < 0.4),
        "smile": rng.uniform(-0.7, 0.7) * (rng.random() < 0.4),
        "mouth open": rng.uniform(-0.5, 1.0) * (rng.random() < 0.4),
        "eyes wide": rng.uniform(0, 1) * (rng.random() < 0.2),
    }
    closed = max(-(points[66] - points[62]) @ camera[:, 1] / (0.22 * unit**2), -1)  # as far as the lips can go
    strengths["mouth open"] = max(strengths["mouth open"], min(closed, 0))
    modes = expression_modes(mean)
    moved = points + sum(strength * modes[name] @ camera.T for name, strength in strengths.items())
    both = rng.random() < 0.5
    for eye in (LIDS[:2], LIDS[2:]) if eyes else ():
        if both or rng.random() < 0.5:
            upper, lower = np.transpose(eye)
            share = rng.uniform(0.85, 1.05) if rng.random() < 0.3 else rng.uniform(-0.6, 1)
            gap = (moved[lower] - moved[upper]) * share * (rng.random() < 0.8)
            moved[upper], moved[lower] = moved[upper] + 0.85 * gap, moved[lower] - 0.15 * gap
    return moved


def acted(image, source, target, rng):
    """The photograph bent from landmarks `source` to `target`, px; a mouth that opens is dark inside."""
    across, down = (np.linspace(0, side - 1, 5) for side in image.shape[1::-1])
    ring = np.array([(x, y) for x in across for y in down if x in across[[0, -1]] or y in down[[0, -1]]])
    bent = warp(image, np.vstack([source, ring]), np.vstack([target, ring]))
    before, after = (np.linalg.norm(p[66] - p[62]) for p in (source, target))
    if after > before + 2:
        inside = bent.copy()
        cv2.fillPoly(inside, [np.round(target[60:68]).astype(np.int32)], rng.integers(10, [90, 50, 50]).tolist())
        bent = cv2.addWeighted(inside, share := rng.uniform(0.5, 1), bent, 1 - share, 0)
    return bent


class Faces(IterableDataset):
    """Endless views of faces. `helen` is the share of views of that source, `act` that of the faces that are made to
    act, `close` that of views of the eyes; `mean` is the mean shape (68, 3), `start` is the view to go on from.

    A narrow eye is rare and is shown more often, where the labels of its lids are `exact`."""

    def __init__(self, faces, size, helen, seed, start=0, act=0.0, mean=None, close=0.0):
        self.faces, self.size, self.helen, self.seed, self.start = faces, size, helen, seed, start
        self.act, self.mean, self.close = act, mean, close
        self.exact = faces["source"] == EXACT
        narrow = eye_ratios(faces["landmarks"]).min(1) < NARROW
        self.chances = np.where(self.exact & narrow, 4.0, 1.0)

    def __iter__(self):
        number = self.start
        while True:
            yield self.view(np.random.default_rng([self.seed, number]))
            number += 1

    def view(self, rng):
        chances = self.chances * (self.exact == (rng.random() < self.helen))
        chances = chances if chances.any() else self.chances
        row = rng.choice(len(chances), p=chances / chances.sum())
        image, points = self.faces["image"][row], self.faces["landmarks"][row]
        if rng.random() < 0.5:
            image, points = cv2.flip(image, 1), mirrored(points, image.shape[1])
        height, width = image.shape[:2]
        if rng.random() < self.act and (points > 1).all() and (points < [width - 2, height - 2]).all():
            target = acting(points, self.mean, rng, self.exact[row])
            image, points = acted(image, points, target, rng), target
        box, amount = (eyes_box(points), NEAR) if rng.random() < self.close else (box_of(points), 1)
        x, y, side, _ = jittered(box, rng, amount)
        centre, angle = np.array([x + side / 2, y + side / 2]), np.deg2rad(np.clip(rng.normal(0, 15), -45, 45))
        stretch = np.diag(np.exp(rng.normal(0, 0.05) * np.array([1, -1])))
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        linear = (self.size - 1) / (CROP * side) * turn @ stretch @ np.array([[1, rng.normal(0, 0.06)], [0, 1]])
        affine = np.column_stack([linear, (self.size - 1) / 2 - linear @ centre])
        border = rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE])
        view = cv2.warpAffine(image, affine, (self.size, self.size), flags=cv2.INTER_LINEAR, borderMode=int(border))
        places = points @ affine[:, :2].T + affine[:, 2]
        places = places / (self.size - 1)  # 0 and 1: first and last pixel's centre
        return {
            "view": photometric(view, rng).transpose(2, 0, 1),
            "places": places.astype(np.float32),
            "exact": np.float32(self.exact[row]),
        }


# --- the network ------------------------------------------------------------------------------------------------


def build(options, size, names):
    """A `VitPoseForPoseEstimation` for crops of `size` (height, width), px, with a heatmap a name.

    Its weights are random, or those of the checkpoint `options.weights`, which has its own architecture.
    """
    if options.weights:
        return resized(options.weights, size)
    backbone = VitPoseBackboneConfig(
        image_size=list(size),
        patch_size=[options.patch] * 2,
        hidden_size=options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        mlp_ratio=options.mlp,
    )
    config = VitPoseConfig(
        backbone_config=backbone,
        scale_factor=options.upscale,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    model = VitPoseForPoseEstimation(config)
    (rows, columns), quarter = (side // options.patch for side in size), options.hidden // 4
    angles = np.arange(max(rows, columns))[:, None] / 30.0 ** (np.arange(quarter) / quarter)
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    waves = np.concatenate([np.repeat(waves[:rows], columns, axis=0), np.tile(waves[:columns], (rows, 1))], axis=1)
    with torch.no_grad():
        model.backbone.embeddings.position_embeddings[0, 1:] = torch.as_tensor(waves, dtype=torch.float32) * 0.3
    return model


def resized(folder, size):
    """A checkpoint's network for crops of `size` (height, width), px: its position embeddings are interpolated."""
    config = VitPoseConfig.from_pretrained(folder)
    backbone = config.backbone_config
    grid = [side // patch for side, patch in zip(backbone.image_size, backbone.patch_size, strict=True)]
    backbone.image_size = list(size)
    model, weights = VitPoseForPoseEstimation(config), load_file(Path(folder) / "model.safetensors")
    name = "backbone.embeddings.position_embeddings"
    first, places = weights[name].float().split([1, math.prod(grid)], dim=1)
    places = places.mT.unflatten(2, grid)
    new = [side // patch for side, patch in zip(size, backbone.patch_size, strict=True)]
    if new != grid:
        places = torch.nn.functional.interpolate(places, new, mode="bicubic")
    model.load_state_dict(weights | {name: torch.cat([first, places.flatten(2).mT], dim=1)})
    return model


class Muon(torch.optim.Optimizer):
    """Momentum whose update of each matrix is made orthogonal (Jordan 2024). torch's own works in bfloat16, which most
    CPUs only emulate."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                shapes.setdefault(p.shape, []).append(p)
            for shape, params in shapes.items():  # matrices of one shape together: fewer, larger products
                for p in params:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                update = torch.stack([p.grad.lerp(self.state[p]["momentum"], group["momentum"]) for p in params])
                update = orthogonal(update) * max(1, shape[0] / shape[1]) ** 0.5
                for p, change in zip(params, update, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change, alpha=group["lr"])


def orthogonal(matrices, rounds=4):
    """Matrices (N, a, b) with all singular values brought near 1, by Newton and Schulz's iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def losses(heatmaps, places, exact, sigma):
    """Cross-entropy to a Gaussian of `sigma` cells about each place, the distance in cells to the mean place, and that
    of the openings between lids, on the faces that are `exact` (N,), and between lips."""
    size = heatmaps.shape[-1]
    cells = torch.arange(size, device=heatmaps.device, dtype=torch.float32)
    goal = places * (size - 1)
    inside = ((places >= 0) & (places <= 1)).all(-1).float()
    x, y = (torch.exp(-((cells - axis[..., None]) ** 2) / (2 * sigma**2)) for axis in goal.unbind(-1))
    x, y = (axis / axis.sum(-1, keepdim=True).clamp(min=1e-6) for axis in (x, y))
    logarithm = heatmaps.float().flatten(2).log_softmax(-1).unflatten(2, (size, size))
    entropy = -(logarithm * y[..., None] * x[..., None, :]).sum((2, 3))
    probability = logarithm.exp()
    mean = torch.stack([probability.sum(2) @ cells, probability.sum(3) @ cells], -1)
    off = mean - goal
    upper, lower = torch.tensor(LIDS + LIPS).T
    opening = (off[:, upper] - off[:, lower]).norm(dim=-1) * inside[:, upper] * inside[:, lower]
    return {
        "entropy": (entropy * inside).sum() / inside.sum(),
        "distance": (off.norm(dim=-1) * inside).sum() / inside.sum(),
        "lids": 6 * (opening[:, : len(LIDS)].mean(1) * exact).mean(),
        "lips": opening[:, len(LIDS) :].mean(),
    }


# --- the run ----------------------------------------------------------------------------------------------------


class Run:
    """One training run, and its state on disk."""

    def __init__(self, options):
        self.options = options
        self.accelerator = Accelerator(cpu=options.cpu)
        self.work = Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        self.model = self.network()
        self.state = {"step": 0, "minutes": 0.0}

    def network(self):
        return build(self.options, [self.options.size] * 2, NAMES)

    def views(self, seed, start):
        options = self.options
        return Faces(self.faces, options.size, options.helen, seed, start, options.act, self.mean, options.close)

    def losses(self, heatmaps, batch):
        return losses(heatmaps, batch["places"], batch["exact"], self.options.sigma)

    def labels(self):
        """The training faces, and those to measure on, with their labels' shifts taken out."""
        self.stored = load_faces(self.options.data, "train")
        if self.options.tune:  # every tenth person: to choose on, so that validation stays unseen
            people = np.unique(self.stored["identity"], return_inverse=True)[1]
            self.stored, self.judged = (choose(self.stored, people % 10 != 0), choose(self.stored, people % 10 == 0))
        else:
            self.judged = load_faces(self.options.data, "validation")
        self.shifts = shifts_of(self.stored)
        self.faces = mend(self.stored, self.shifts)
        self.mean, self.modes = shape_model(self.faces["landmarks"])

    def train(self):
        """Train for `--minutes`, cosine schedule by the clock, state saved every two minutes."""
        options, accelerator = self.options, self.accelerator
        file = self.work / "state.pt"
        matrices = [p for p in self.model.backbone.encoder.parameters() if p.ndim == 2]
        known = {id(p) for p in matrices}
        optimizers = [
            Muon(matrices, options.lr),
            torch.optim.AdamW([p for p in self.model.parameters() if id(p) not in known], options.lr / 20),
        ]
        peaks = [options.lr, options.lr / 20]
        if file.exists():
            self.state = torch.load(file, map_location="cpu", weights_only=True)
            self.model.load_state_dict(self.state["model"])
        if self.state["minutes"] >= options.minutes:
            return
        seed = options.seed + 1000 * accelerator.process_index
        start = self.state["step"] * options.batch
        loader = DataLoader(self.views(seed, start), batch_size=options.batch, num_workers=options.workers)
        model, *optimizers = accelerator.prepare(self.model, *optimizers)
        for optimizer, kept in zip(optimizers, self.state.get("optimizers", []), strict=False):
            optimizer.load_state_dict(kept)
        step, spent, means = self.state["step"], self.state["minutes"], []
        clock = saved = time.monotonic()
        bar = tqdm(
            total=options.minutes,
            initial=spent,
            bar_format="{percentage:3.0f} % of {total:.1f} min |{bar}| {postfix}",
            mininterval=20,
            disable=not accelerator.is_main_process,
        )
        mixed = torch.autocast(accelerator.device.type, torch.bfloat16, enabled=options.precision == "bf16")
        model.train()
        for batch in loader:
            batch = {key: value.to(accelerator.device) for key, value in batch.items()}
            done = min(spent / options.minutes, 1)
            pace = min(1, (step + 1) / 150) * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
            for optimizer, top in zip(optimizers, peaks, strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = top * pace
                optimizer.zero_grad()
            with mixed:
                heatmaps = model(batch["view"]).heatmaps
            loss = self.losses(heatmaps, batch)
            accelerator.backward(sum(loss.values()))
            with mixed:
                for optimizer in optimizers:  # Muon multiplies matrices
                    optimizer.step()
            step += 1
            means.append([float(value.detach()) for value in loss.values()])
            if step % 50 == 0:
                bar.set_postfix(
                    step=step, **dict(zip(loss, np.round(np.mean(means, 0), 3), strict=True)), refresh=False
                )
                means = []
            elapsed, clock = min(time.monotonic() - clock, PAUSE) / 60, time.monotonic()
            spent += accelerator.reduce(torch.tensor(elapsed, device=accelerator.device), "mean").item()
            bar.update(min(elapsed, options.minutes - bar.n))
            over = spent >= options.minutes
            if over or time.monotonic() - saved > 120:
                saved = time.monotonic()
                self.state = {
                    "step": step,
                    "minutes": spent,
                    "model": self.model.state_dict(),
                    "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                }
                if accelerator.is_main_process:
                    torch.save(self.state, file.with_suffix(".new"))
                    file.with_suffix(".new").replace(file)
            if over:
                break
        bar.close()

    def __call__(self):
        self.labels()
        self.train()
        if self.accelerator.is_main_process:
            self.save()

    def history(self):
        return {
            "options": {k: v for k, v in vars(self.options).items() if k not in SILENT},
            "minutes": round(self.state["minutes"], 1),
            "steps": self.state["step"],
            "processes": self.accelerator.num_processes,
            "began with": "a finished checkpoint" if self.options.weights else "random weights",
        }

    def save(self):
        """Write the transformers checkpoint, the shape model and the figures; the model card is written by hand."""
        out = Path(self.options.out)
        export(self.model, out)
        mean, modes = self.mean, self.modes
        shape = {"mean": mean, "modes": modes}
        shape["people"] = person_modes(mean, modes, self.faces["landmarks"], self.faces["identity"])
        save_file({key: value.astype(np.float32) for key, value in shape.items()}, out / "shape.safetensors")
        results = self.history() | {
            "label shift in outer-eye distances": {k: v.round(4).tolist() for k, v in self.shifts.items()},
            "judged on": "tuning part of train" if self.options.tune else "validation",
        }
        results |= evaluate(out, self.judged, self.shifts, average_place(self.faces["landmarks"]))
        results["shape"] = shape_report(mean, modes, mend(self.judged, self.shifts)["landmarks"])
        if not self.options.tune:
            results["portraits"] = portraits(out)
            results["cascade"] = cascade_relation(self.faces)
        (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        for source in ("youtube-faces", "helen"):
            print(source, {key: results[source][key] for key in ("n", "nme", "median", "failures_over_10", "groups")})


def export(model, out):
    """Write model and processor as transformers loads them: in half precision on disk, single in memory."""
    height, width = model.config.backbone_config.image_size
    model.cpu().half().save_pretrained(out)
    stored = json.loads((out / "config.json").read_text()) | {"dtype": "float32"}
    stored["backbone_config"]["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(stored, indent=2) + "\n")
    processor = {"image_processor_type": "VitPoseImageProcessor", "size": {"height": height, "width": width}}
    processor |= {"image_mean": MEAN, "image_std": STD}
    (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with faces.parquet")
    parser.add_argument("--minutes", type=float, default=150, help="minutes of training")
    parser.add_argument("--work", default="build/faces", help="state, to go on from")
    parser.add_argument("--out", default="build/faces/checkpoint", help="the finished checkpoint")
    parser.add_argument("--weights", help="folder of a finished checkpoint, whose weights to begin with")
    parser.add_argument("--size", type=int, default=160, help="px, side of the crop")
    parser.add_argument("--patch", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--mlp", type=int, default=4)
    parser.add_argument("--upscale", type=int, default=2, help="heatmap cells per patch")
    parser.add_argument("--sigma", type=float, default=1.0, help="cells, how far a label spreads")
    parser.add_argument("--helen", type=float, default=0.5, help="share of HELEN among the views")
    parser.add_argument("--act", type=float, default=0.6, help="share of views that are made to act")
    parser.add_argument("--close", type=float, default=0.4, help="share of views of the eyes alone")
    parser.add_argument("--batch", type=int, default=16, help="views a step and process")
    parser.add_argument("--lr", type=float, default=0.012, help="of Muon; AdamW takes a twentieth")
    parser.add_argument("--precision", default="no", choices=("no", "bf16"), help="bf16 is mixed, and faster")
    parser.add_argument("--tune", action="store_true", help="hold out a tenth of the training people and measure on it")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    return parser.parse_args(arguments)


def main(arguments=None):
    Run(parse(arguments))()


if __name__ == "__main__":
    main()
