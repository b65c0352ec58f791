"""Train the bundled body lifter: 2D limb joints to 3D, on motion capture seen by simulated cameras.

    python -m training.lifter --data DIR --minutes 25

The network is `helpers.lifter.BodyLifter` from random weights, a residual network on a short window of frames.

1. Bodies. Each subject is scaled to one size, since a single view can't tell size from distance; the proportions of
   each window are then varied, as there are few subjects, and some windows take their arms from another recording, as
   there are few exercises. A quarter of the windows show generated people doing the exercises of `training.movements`,
   in good and in poor form, as hardly anyone in the recordings squats badly.
2. Cameras. Perspective ones at 2 to 8 m, all around, looking down by -10 to 25 degrees, rolled by up to 5, with the
   person up to 20 degrees off the axis. The network is told the intrinsics for two windows of three.
3. Detections. Noise of 0 to 2 % of the joints' box, part of which stays throughout the window; 2 % of the joints lie
   anywhere; joints are missing for a frame or for the window, and so are frames and limbs.

DIR holds `motion.parquet` with columns `clip`, `subject`, `split` (by subject), `fps`, `joints_mm` (frames, 51),
COCO-17 in 3D, y up, and `ok` per frame: CMU's motion capture database (mocap.cs.cmu.edu, free for research and
commercial use) and UI-PRMD (Vakanski et al. 2018, PDDL 1.0).

Killed runs go on where they stopped when the same command is given again; the state lies in `--work`.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from benchmarks.lifter import (
    BONES,
    OFF_AXIS,
    Motion,
    body_length,
    evaluate,
    load_motion,
    mean_pose,
    measure,
    observed,
    root_relative,
    seen_from,
)
from helpers.bodies import COCO, FEWEST, LIMBS
from helpers.lifter import BODY_M, BodyLifter, lifter_inputs
from training.movements import FORMS, perform
from training.people import Person

PAUSE = 5.0  # seconds: what a step takes beyond that, the process was suspended
SILENT = ("data", "work", "out", "cpu")  # options that are places on one machine
LIMB_ROWS = ((0, 2, 4), (1, 3, 5), (6, 8, 10), (7, 9, 11))  # each arm and leg


# --- bodies -----------------------------------------------------------------------------------------------------


def exercises(people, seed, fps=20.0):
    """Motion, as `load_motion` has it, of as many generated people: each does one exercise in one form twice."""
    rng, sets = np.random.default_rng(seed), [(name, form) for name, (forms, _) in FORMS.items() for form in forms]
    clips, size = [], {}
    for number in range(people):
        name, form = sets[rng.integers(len(sets))]
        movement = int(rng.integers(1 << 31))
        recording = perform(Person.random(rng), [(name, form, 2)], fps, movement, tempo=0.2, depth=0.12)
        joints = recording.joints[:, COCO.limbs]
        size[f"made {number}"] = length = float(np.median(body_length(joints)))
        clips.append(joints * BODY_M / length)
    lengths = np.array([len(clip) for clip in clips])
    last = np.cumsum(lengths) - 1
    ends = np.repeat(np.column_stack([last - lengths + 1, last]), lengths, axis=0)
    joints, subject = np.concatenate(clips).astype(np.float32), np.repeat(list(size), lengths)
    return Motion(joints, np.ones(len(joints), bool), np.full(len(joints), fps), ends, subject, size)


def together(first, second):
    """Both Motions as one."""
    ends = np.concatenate([first.ends, second.ends + len(first.ok)])
    arrays = (np.concatenate([getattr(m, key) for m in (first, second)]) for key in ("joints", "ok", "fps"))
    return Motion(*arrays, ends, np.concatenate([first.subject, second.subject]), first.size | second.size)


def proportioned(windows, factors):
    """Windows (N, T, 12, 3) with other proportions, scaled to the standard size again.

    factors (N, 7): of the widths of shoulders and hips, of trunk, upper arms, forearms, thighs and shins.
    """
    shoulders, hips, trunk, arm, forearm, thigh, shin = np.moveaxis(factors, 1, 0)[..., None, None, None]
    part = [windows[..., i : i + 2, :] for i in range(0, 12, 2)]
    chest, root = part[0].mean(-2, keepdims=True), part[3].mean(-2, keepdims=True)
    new = [None] * 6
    new[3] = root + hips * (part[3] - root)
    new[0] = root + trunk * (chest - root) + shoulders * (part[0] - chest)
    for child, parent, factor in ((1, 0, arm), (2, 1, forearm), (4, 3, thigh), (5, 4, shin)):
        new[child] = new[parent] + factor * (part[child] - part[parent])
    new = np.concatenate(new, -2)
    return new * (BODY_M / body_length(new).mean(1))[:, None, None, None].astype(np.float32)


def with_arms_of(windows, others):
    """Windows (N, T, 12, 3) whose arms are at each moment to the trunk as those of `others` are."""
    (here, mine), (there, theirs) = ((w[..., :2, :].mean(-2, keepdims=True), trunk_axes(w)) for w in (windows, others))
    arms = here + (others[..., :6, :] - there) @ theirs.mT @ mine
    return np.concatenate([arms, windows[..., 6:, :]], -2)


def trunk_axes(joints):
    """The trunk's axes as rows (..., 3, 3): to the left, up, forward."""
    across = joints[..., 0, :] - joints[..., 1, :] + 1e-6
    up = joints[..., :2, :].mean(-2) - joints[..., 6:8, :].mean(-2)
    forward = np.cross(across, up)
    axes = np.stack([np.cross(up, forward), up, forward], -2)
    return axes / np.linalg.norm(axes, axis=-1, keepdims=True)


# --- views ------------------------------------------------------------------------------------------------------


def batch_of(motion, chances, options, rng):
    """A batch of joints (N, T, 12, 3), size (N, 2) and the true joints (N, 12, 3), as tensors."""
    rows = rng.choice(len(chances), options.batch, p=chances)
    tempo = np.exp(rng.uniform(-0.3, 0.3, options.batch))
    windows, there = motion.windows(rows, options.frames, options.spacing, tempo)
    flip = rng.random(len(rows)) < 0.5
    windows[flip] = (windows[flip] * np.float32([-1, 1, 1]))[:, :, LIMBS.mirror]
    swap = np.flatnonzero(rng.random(len(rows)) < options.mix)
    windows[swap] = with_arms_of(windows[swap], windows[np.roll(swap, 1)])
    if options.shape:
        factors = np.exp(rng.normal(0, options.shape, (len(rows), 7))).astype(np.float32)
        windows = proportioned(windows, factors)
    windows = seen_from(windows, rng, (2, 8), off_axis=OFF_AXIS)
    noise, steady = rng.uniform(0, options.noise, len(rows)), rng.random(len(rows))
    missing = rng.uniform(0, 0.15, len(rows)) * (rng.random(len(rows)) < 0.5)
    points = observed(windows, rng, noise, steady, missing, 0.02)
    points[rng.random(points.shape[:3]) < 0.5 * missing[:, None, None]] = np.nan
    for rows_of_limb in LIMB_ROWS:
        gone = np.flatnonzero(rng.random(len(rows)) < 0.02)
        points[gone[:, None, None], np.arange(points.shape[1])[:, None], np.array(rows_of_limb)] = np.nan
    frames_gone = rng.random(points.shape[:2]) < rng.choice([0, 0.3], (len(rows), 1), p=[0.8, 0.2])
    frames_gone[rng.random(len(rows)) < 0.05] = True  # a photograph
    frames_gone[:, options.frames // 2] = False
    points[frames_gone | ~there] = np.nan
    enough = np.isfinite(points[:, options.frames // 2]).all(-1).sum(1) >= FEWEST
    points, true = points[enough], root_relative(windows[enough])
    known = len(points) * 2 // 3
    parts = [lifter_inputs(points[:known], np.eye(3)), lifter_inputs(points[known:])]
    joints, size, turns = (np.concatenate(pair) for pair in zip(*parts, strict=True))
    return [torch.from_numpy(np.asarray(a, np.float32)) for a in (joints, size, true @ turns.mT)]


def losses(found, true, weight):
    """The mean distance of the joints, and of the bones' lengths: both in metres."""
    a, b = torch.tensor(BONES).T
    lengths = [(joints[:, a] - joints[:, b]).norm(dim=-1) for joints in (found, true)]
    return {
        "distance": (found - true).norm(dim=-1).mean(),
        "bones": weight * (lengths[0] - lengths[1]).abs().mean(),
    }


# --- the run ----------------------------------------------------------------------------------------------------


class Run:
    """One training run, and its state on disk."""

    def __init__(self, options):
        self.options = options
        self.device = "cuda" if torch.cuda.is_available() and not options.cpu else "cpu"
        self.work = Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        self.model = BodyLifter(options.frames, options.spacing, options.width, options.blocks, options.dropout)
        self.state = {"step": 0, "minutes": 0.0}

    def motion(self):
        """What is trained on, and what is measured on."""
        data = self.options.data
        self.trained = load_motion(data, "train")
        if self.options.tune:  # every fifth subject: to choose on, so that validation stays unseen
            names = sorted(self.trained.size)
            self.judged = load_motion(data, "train", names[4::5])
            self.trained = load_motion(data, "train", set(names) - set(names[4::5]))
        else:
            self.judged = load_motion(data, "validation")
        _, person, count = np.unique(self.trained.subject, return_inverse=True, return_counts=True)
        recorded = self.trained.ok / np.sqrt(count[person])  # long recordings are seen more, but each frame less
        self.average = mean_pose(self.trained)
        made = exercises(self.options.people, [self.options.seed, 0])
        share, self.trained = self.options.made, together(self.trained, made)
        chances = (1 - share) * recorded / recorded.sum(), share * made.ok / made.ok.sum()
        self.chances = np.concatenate(chances)

    def train(self):
        """Train for `--minutes`, cosine schedule by the clock, state saved every minute."""
        options, file = self.options, self.work / "state.pt"
        model = self.model.to(self.device)
        optimizer = torch.optim.AdamW(model.parameters(), options.lr, weight_decay=0.01)
        if file.exists():
            self.state = torch.load(file, map_location=self.device, weights_only=True)
            model.load_state_dict(self.state["model"])
            optimizer.load_state_dict(self.state["optimizer"])
        if self.state["minutes"] >= options.minutes:
            return
        step, spent, means = self.state["step"], self.state["minutes"], []
        clock = saved = time.monotonic()
        bar = tqdm(
            total=options.minutes,
            initial=spent,
            bar_format="{percentage:3.0f} % of {total:.1f} min |{bar}| {postfix}",
            mininterval=20,
        )
        model.train()
        while spent < options.minutes:
            rng = np.random.default_rng([options.seed, step])
            torch.manual_seed(1_000_003 * options.seed + step)  # dropout, also when the run goes on
            joints, size, true = (a.to(self.device) for a in batch_of(self.trained, self.chances, options, rng))
            pace = min(1, (step + 1) / 200) * (0.005 + 0.995 * (1 + math.cos(math.pi * spent / options.minutes)) / 2)
            for group in optimizer.param_groups:
                group["lr"] = options.lr * pace
            optimizer.zero_grad()
            loss = losses(model(joints, size), true, options.bones)
            sum(loss.values()).backward()
            optimizer.step()
            step += 1
            means.append([float(value.detach()) for value in loss.values()])
            if step % 100 == 0:
                shown = dict(zip(loss, np.round(1000 * np.mean(means, 0), 1), strict=True))
                bar.set_postfix(step=step, **shown, refresh=False)
                means = []
            elapsed, clock = min(time.monotonic() - clock, PAUSE) / 60, time.monotonic()
            spent += elapsed
            bar.update(min(elapsed, options.minutes - bar.n))
            if spent >= options.minutes or time.monotonic() - saved > 60:
                saved = time.monotonic()
                kept = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                self.state = {"step": step, "minutes": spent, **kept}
                torch.save(self.state, file.with_suffix(".new"))
                file.with_suffix(".new").replace(file)
        bar.close()

    def __call__(self):
        self.motion()
        self.train()
        self.save()

    def save(self):
        """Write the checkpoint, half precision on disk, and the figures; the model card is written by hand."""
        out = Path(self.options.out)
        single = evaluate(self.model.cpu().eval(), self.judged, self.average, brief=True)
        card = (out / "README.md").read_bytes() if (out / "README.md").exists() else None
        self.model.half().save_pretrained(out)
        if card is None:
            (out / "README.md").unlink()  # the hub library's empty form
        results = {
            "options": {k: v for k, v in vars(self.options).items() if k not in SILENT},
            "minutes": round(self.state["minutes"], 1),
            "steps": self.state["step"],
            "judged on": "tuning part of train" if self.options.tune else "validation",
            "base in single precision": single["base"],
        }
        model = BodyLifter.from_pretrained(out).eval()
        results |= evaluate(model, self.judged, self.average, self.options.tune)
        made = exercises(140, [self.options.seed, 1])
        results["generated exercises of other people"] = measure(model, made, np.arange(len(made.ok)))
        (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        print({key: value for key, value in results.items() if "mpjpe" in str(value) or key.startswith("bones")})


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with motion.parquet")
    parser.add_argument("--minutes", type=float, default=25, help="minutes of training")
    parser.add_argument("--work", default="build/lifter", help="state, to go on from")
    parser.add_argument("--out", default="build/lifter/checkpoint", help="the finished checkpoint")
    parser.add_argument("--frames", type=int, default=5, help="of the window")
    parser.add_argument("--spacing", type=float, default=0.1, help="seconds between the window's frames")
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--noise", type=float, default=0.02, help="the most, over the joints' box")
    parser.add_argument("--shape", type=float, default=0.06, help="by how much proportions vary")
    parser.add_argument("--mix", type=float, default=0.3, help="share of windows with another's arms")
    parser.add_argument("--made", type=float, default=0.25, help="share of windows of generated exercises")
    parser.add_argument("--people", type=int, default=700, help="how many do generated exercises")
    parser.add_argument("--bones", type=float, default=0.2, help="weight of the bones' lengths")
    parser.add_argument("--batch", type=int, default=256, help="windows a step")
    parser.add_argument("--lr", type=float, default=3e-3, help="of AdamW, at its peak")
    parser.add_argument("--tune", action="store_true", help="hold out a fifth of the training subjects, measure on it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    return parser.parse_args(arguments)


def main(arguments=None):
    Run(parse(arguments))()


if __name__ == "__main__":
    main()
