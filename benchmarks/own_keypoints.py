"""What fine-tuning the bundled body pose to four corners of a page brings, by the number of labelled pictures.

    python -m benchmarks.own_keypoints --out helpers/checkpoints/body-pose/fine-tuning.json

Runs the functions of `notebooks/5.1-your-own-keypoints.ipynb` (its cells tagged `own`), so that the notebook's curve
is that of its own code: 30, 100, 300 and 1,000 labelled pictures of `helpers.pages`, from the bundled weights with and
without augmentation and from random ones, each trained for the notebook's 80 steps with several seeds; then longer
training. Every figure is of 300 pictures whose pages and backgrounds no training saw: the median corner error in px of
the crop, and the share of pictures whose worst corner is less than 5 px off. Pictures of the smaller sets are the first
ones of the larger.
"""

import argparse
import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import AutoImageProcessor, VitPoseConfig, VitPoseForPoseEstimation, logging

from helpers import bodies, checkpoints, coco, pages

NOTEBOOK = Path(__file__).parents[1] / "notebooks/5.1-your-own-keypoints.ipynb"
COUNTS, STEPS, SEEDS = (30, 100, 300, 1000), 80, 4
WAYS = {  # from the bundled weights or random ones; with augmentation or without
    "bundled weights": (True, True),
    "bundled weights, no augmentation": (True, False),
    "random weights": (False, True),
}
MEASURED = 300  # pictures
LONGER = (800, 240)  # steps, with all pictures


def lesson():
    """The functions that the notebook defines in its cells tagged `own`, name -> function."""
    logging.set_verbosity_error()
    folder = checkpoints.find("body-pose")
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    names = {"cv2": cv2, "np": np, "torch": torch, "tqdm": tqdm, "bodies": bodies}
    names |= {"folder": folder, "processor": processor}
    names |= {"VitPoseConfig": VitPoseConfig, "VitPoseForPoseEstimation": VitPoseForPoseEstimation}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if "own" in cell["metadata"].get("tags", []):
            exec("".join(cell["source"]), names)
    return names


@cache
def pictures(folder):
    """The labelled pictures in a folder of `prepare`."""
    samples, _ = coco.read(Path(folder) / "labels.json", folder)
    return samples


def prepare(folder, to_learn, to_measure):
    pages.labelled(Path(folder) / "train", to_learn, seed=1)
    pages.labelled(Path(folder) / "test", to_measure, seed=2, held_out=True)


def measured(folder, count, steps, way, seed):
    """A dictionary: what was trained, and its figures."""
    torch.set_num_threads(1)
    notebook, (pretrained, augment) = lesson(), WAYS[way]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train_set, test_set = pictures(f"{folder}/train")[:count], pictures(f"{folder}/test")
    model = notebook["network"](checkpoints.find("body-pose"), list(pages.CORNERS), pretrained, seed).to(device)
    notebook["train"](model, train_set, steps, seed, augment)
    corners, _ = notebook["corners_in"](model, notebook["processor"], [sample.image for sample in test_set])
    errors = notebook["errors_px"](corners, test_set)
    figures = {"median px": np.nanmedian(errors), "worst below 5 px": np.mean(np.nanmax(errors, 1) < 5)}
    figures = {name: round(float(value), 3) for name, value in figures.items()}
    return {"pictures": count, "steps": steps, "way": way, "seed": seed} | figures


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="JSON file for the figures")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    options = parser.parse_args(arguments)
    sizes = [*((max(COUNTS), steps) for steps in LONGER), *((count, STEPS) for count in COUNTS)]
    jobs = [(*size, way, seed) for size in sizes for way in WAYS for seed in range(options.seeds)]
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder, max(COUNTS), MEASURED)
        with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
            runs = [pool.submit(measured, folder, *job) for job in jobs]
            rows = []
            for run in runs:
                rows.append(run.result())
                print(rows[-1], flush=True)
    Path(options.out).write_text(json.dumps({"pictures to measure": MEASURED, "runs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
