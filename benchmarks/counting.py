"""How well repetitions are counted when the exercise is not known: on recordings of exactly ten.

    python -m benchmarks.counting --data DIR

UI-PRMD (Vakanski et al. 2018): 10 rehabilitation exercises by 8 people, cut into single repetitions that follow one
another; joined again, each recording holds ten. There are 78: one was never published, and one lacks markers in nine
tenths of its frames. `helpers.movement` counts the peaks of the main movement of the joint angles, with its defaults,
which were chosen on the people of `TUNED`; the figures are those of `HELD_OUT`. Beside it stands what popular fitness
apps do: the angle that changes most, and two thresholds about the middle of its range.

MAE: mean of |counted - 10| / 10; OBO: share of recordings with |counted - 10| <= 1 (RepNet 2020, TransRAC 2022). Joints
are those of the markers; or with Gaussian noise of 3 cm on each coordinate in each frame; or lifted to 3D from what a
still camera 3 m away sees, with 1 % noise (see `benchmarks.lifter`). Lifted are only the recordings of the one person
whom the lifter was not trained on either. All draws are seeded.

DIR holds `motion.parquet` (see `training.lifter`).
"""

import argparse
from collections import defaultdict
from functools import cache
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet

from benchmarks.lifter import observed, seen_from
from helpers import checkpoints
from helpers.bodies import COCO, limb_angles_deg
from helpers.lifter import BodyLifter, lift
from helpers.movement import main_movement, repetitions

TRUE = 10
TUNED, HELD_OUT = ([f"uip{n:03d}" for n in range(*ends)] for ends in ((1, 5), (5, 9)))
MOVEMENTS = (
    *("deep squat", "hurdle step", "inline lunge", "side lunge", "sit to stand", "straight leg raise"),
    *("shoulder abduction", "shoulder extension", "shoulder rotation", "shoulder scaption"),
)


def recordings(folder, subjects):
    """Movement, joints (F, 12, 3) of `LIMBS` in metres, NaN where markers were lost, and times (F,) in seconds."""
    parts = defaultdict(list)
    columns = ["clip", "subject", "fps", "joints_mm", "ok"]
    table = pyarrow.parquet.read_table(
        Path(folder) / "motion.parquet", columns=columns, filters=[("subject", "in", list(subjects))]
    )
    for row in sorted(table.to_pylist(), key=lambda row: row["clip"]):  # mNN_sMM_eKK: movement, subject, repetition
        joints = np.array(row["joints_mm"], dtype=float).reshape(-1, 17, 3)[:, COCO.limbs] / 1000
        joints[~np.array(row["ok"], dtype=bool)] = np.nan
        parts[row["clip"].rsplit("_", 1)[0]].append((joints, row["fps"]))
    for name, clips in parts.items():
        if len(clips) != TRUE:
            raise ValueError(f"{name} has {len(clips)} repetitions instead of {TRUE}: build motion.parquet again.")
        joints = np.concatenate([joints for joints, _ in clips])
        if np.isnan(joints).any((1, 2)).mean() > 0.5:
            continue
        yield MOVEMENTS[int(name[1:3]) - 1], joints, np.arange(len(joints)) / clips[0][1]


def counted(angles, times):
    """How many repetitions `helpers.movement` finds in angles (F, A)."""
    return len(repetitions(main_movement(angles, times), times))


def by_thresholds(angles, times):
    """As popular apps count: the angle of the widest range has to get above 60 % of it, and then below 40 %."""
    signal = angles[:, np.argmax(np.nanmax(angles, axis=0) - np.nanmin(angles, axis=0))]
    share = (signal - np.nanmin(signal)) / (np.nanmax(signal) - np.nanmin(signal))
    sides = [value > 0.6 for value in share if value > 0.6 or value < 0.4]
    return sum(bool(before and not now) for before, now in pairwise(sides))


METHODS = {"helpers.movement": counted, "two thresholds": by_thresholds}


def exact(joints, times, rng):
    return joints


def noisy(joints, times, rng):
    return joints + rng.normal(0, 0.03, joints.shape)


@cache
def lifter():
    return BodyLifter.from_pretrained(checkpoints.find("body-lifter")).eval()


def lifted(joints, times, rng):
    views = seen_from(joints[None].astype(np.float32), rng)[0]
    return lift(lifter(), observed(views[:, None], rng)[:, 0], np.eye(3), times)


def counts(method, folder, subjects, see=exact, seed=0):
    """Movement -> how many repetitions the method counts in the recording of each of the subjects."""
    rng, results = np.random.default_rng(seed), defaultdict(list)
    for movement, joints, times in recordings(folder, subjects):
        results[movement].append(method(limb_angles_deg(see(joints, times, rng)), times))
    return dict(results)


def score(found):
    """MAE and OBO of counts, and how many there are."""
    errors = np.abs(np.subtract(found, TRUE))
    return {"MAE": float(errors.mean() / TRUE), "OBO": float((errors <= 1).mean()), "n": len(errors)}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with motion.parquet")
    options = parser.parse_args(arguments)
    lifter()  # which says so: before the table
    print("| joints | method | movement | recordings | MAE | OBO | counted |\n|---|---|---|---|---|---|---|")
    for see, subjects in ((exact, HELD_OUT), (noisy, HELD_OUT), (lifted, HELD_OUT[-1:])):
        for name, method in METHODS.items():
            found = counts(method, options.data, subjects, see)
            for movement, values in {"all": [*chain(*found.values())], **found}.items():
                s, detail = score(values), "" if movement == "all" else " ".join(map(str, values))
                row = (see.__name__, name, movement, s["n"], f"{s['MAE']:.3f}", f"{s['OBO']:.3f}", detail)
                print("|", " | ".join(map(str, row)), "|")


if __name__ == "__main__":
    main()
