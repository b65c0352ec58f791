"""Train the bundled SuperPoint: corners first, then real photographs, then what survives a change of view.

    python -m training.superpoint --data DIR --minutes 120

The way of SuperPoint (DeTone et al. 2018), made small. The architecture is the one in transformers; only in training is
each 3x3 convolution followed by a batch normalisation, which is folded into it on export.

1. `shapes`: drawn polygons, checkerboards and stars, whose corners are known.
2. `adapt`: homographic adaptation. The detector sees each photograph under many homographies; the mean of the score
   maps, warped back, gives the first keypoint labels of the photographs.
3. `joint`: detector and descriptors learn from pairs of views of one photograph.
4. `vote`: the network itself says which labels are worth keeping. Each candidate's weight is the share of views in
   which it was detected again and matched back to itself; its place is the mean over those views, to a fraction of a
   pixel.
5. `final`: as `joint`, on the weighted labels, and with a loss on the sub-pixel place.

DIR holds `photos.parquet` with columns `image`, `source`, `split`: the Berkeley Segmentation Data Set (BSDS500,
Arbelaez et al. 2011; non-commercial research and education; train + val as `train`, test as `validation`) and the 24
Kodak photographs (unrestricted).

Killed runs go on where they stopped when the same command is given again; the state lies in `--work`, and so do the
labels: copy `adapt-*.npz` to another run's folder to compare variations on the same ones. Several GPUs:
`accelerate launch -m training.superpoint ...`; several CPU cores, one process each:
`ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 -m training.superpoint ... --cpu`.
"""

import argparse
import io
import json
import math
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import DataLoader, IterableDataset
from tqdm.auto import tqdm
from transformers import SuperPointConfig, SuperPointForKeypointDetection
from transformers.models.superpoint.modeling_superpoint import SuperPointDescriptorDecoder, simple_nms

from benchmarks import keypoints as benchmark
from helpers.geometry import inside, warp_points
from helpers.keypoints import refine
from helpers.views import random_homography

CELL = 8
VIEW = (128, 160)  # height, width of a training view
POINTS = 192  # labels per photograph that the descriptor loss looks at
STAGES = {"shapes": 0.08, "joint": 0.30, "final": 0.62}  # their shares of --minutes


# --- the network ------------------------------------------------------------------------------------------------


class Network(nn.Module):
    """The transformers model with batch normalisation after each 3x3 convolution, and dense outputs."""

    def __init__(self, encoder, decoder, descriptor):
        super().__init__()
        config = SuperPointConfig(
            encoder_hidden_sizes=list(encoder), decoder_hidden_size=decoder, descriptor_decoder_dim=descriptor
        )
        self.superpoint = SuperPointForKeypointDetection(config)
        for name, conv in [(n, m) for n, m in self.superpoint.named_modules() if isinstance(m, nn.Conv2d)]:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu" if conv.kernel_size == (3, 3) else "linear")
            nn.init.zeros_(conv.bias)
            if conv.kernel_size == (3, 3):
                self.superpoint.set_submodule(name, nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels)))
        with torch.no_grad():  # nearly all cells are empty: start from there
            self.superpoint.keypoint_decoder.conv_score_b.bias[-1] = 3.5

    def forward(self, views):
        """views (B, 1, H, W) in [0, 1] -> logits (B, 65, H/8, W/8), unit descriptors (B, D, H/8, W/8)."""
        detector, describer = self.superpoint.keypoint_decoder, self.superpoint.descriptor_decoder
        features = self.superpoint.encoder(views).last_hidden_state
        logits = detector.conv_score_b(detector.relu(detector.conv_score_a(features)))
        descriptors = describer.conv_descriptor_b(describer.relu(describer.conv_descriptor_a(features)))
        return logits.float(), F.normalize(descriptors.float(), dim=1)

    def export(self):
        """The same function as a plain transformers model: every batch normalisation folded into its convolution."""
        state = {k: v.detach().cpu().float() for k, v in self.superpoint.state_dict().items()}
        config = self.superpoint.config
        twin = Network(config.encoder_hidden_sizes, config.decoder_hidden_size, config.descriptor_decoder_dim)
        twin.superpoint.load_state_dict(state)
        plain = twin.superpoint.eval()
        for name, pair in [(n, m) for n, m in plain.named_modules() if isinstance(m, nn.Sequential)]:
            plain.set_submodule(name, fuse_conv_bn_eval(*pair))
        return plain


def score_map(logits):
    """(B, 65, h, w) logits -> (B, 8h, 8w) probabilities: the dustbin dropped, each cell's 64 classes unfolded."""
    return F.pixel_shuffle(logits.softmax(1)[:, :-1], CELL)[:, 0]


def sample(descriptors, points):
    """Descriptors (B, D, h, w) at points (B, N, 2), by the very function that transformers uses."""
    return SuperPointDescriptorDecoder._sample_descriptors(points, descriptors, CELL).transpose(1, 2)


# --- losses -----------------------------------------------------------------------------------------------------


def target_cells(points, weights, size, sigma):
    """Labels as 65 class probabilities a cell: a Gaussian of `sigma` px and mass `weight` at each point's exact place.

    The mass that falls into a cell is spread over its 64 classes; what is left to 1 is the dustbin's.
    """
    height, width = size
    reach = math.ceil(3 * sigma)
    offsets = np.stack(np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1)), -1).reshape(-1, 2)
    pixels = np.round(points)[:, None] + offsets
    mass = np.exp(-((pixels - points[:, None]) ** 2).sum(-1) / (2 * sigma**2))
    mass *= weights[:, None] / mass.sum(1, keepdims=True)
    keep = inside(pixels.reshape(-1, 2), size)
    x, y = pixels.reshape(-1, 2)[keep].astype(int).T
    image = np.zeros(size, np.float32)
    np.add.at(image, (y, x), mass.ravel()[keep])
    cells = (
        image.reshape(height // CELL, CELL, width // CELL, CELL).transpose(1, 3, 0, 2).reshape(CELL**2, *_grid(size))
    )
    total = cells.sum(0, keepdims=True)
    return np.concatenate([cells / np.maximum(total, 1), np.maximum(1 - total, 0)]).astype(np.float32)


def _grid(size):
    return size[0] // CELL, size[1] // CELL


def detector_loss(logits, target, valid, corner_weight=1.0):
    """Cross-entropy over the 65 classes, mean over valid cells; cells with a corner count `corner_weight` times."""
    weight = valid * (1 + (corner_weight - 1) * (1 - target[:, -1]))
    return -((target * logits.log_softmax(1)).sum(1) * weight).sum() / weight.sum()


def place_loss(scores, points, seen, radius=2):
    """Mean distance in px from the labels to the centre of mass of the scores in a small window around them.

    The cross-entropy alone leaves whole-pixel errors; this term trains the sub-pixel place itself. Labels that the
    network does not see count little: each weighs as much as the scores in its window.
    """
    steps = torch.arange(-radius, radius + 1, device=points.device)
    whole = points.round()
    x, y = (whole[..., None, None] + torch.stack(torch.meshgrid(steps, steps, indexing="xy"))).long().unbind(2)
    image = torch.arange(len(scores), device=points.device)[:, None, None, None]
    on_map = (x >= 0) & (y >= 0) & (x < scores.shape[2]) & (y < scores.shape[1])
    window = scores[image, y.clamp(0, scores.shape[1] - 1), x.clamp(0, scores.shape[2] - 1)] * on_map
    mass = window.sum((2, 3)) + 1e-6
    offset = torch.stack([window.sum(2) @ steps.float(), window.sum(3) @ steps.float()], dim=-1) / mass[..., None]
    weight = mass.detach() * seen
    return ((offset - (points - whole)).norm(dim=-1) * weight).sum() / weight.sum().clamp(min=1e-6)


def descriptor_loss(first, second, seen_first, seen_second, temperature):
    """InfoNCE both ways: each label's descriptor picks its own among all labels of all photographs in the batch.

    Labels seen in one view only have no partner, but they stand among the candidates, as they will when it counts.
    """
    first, second = first.flatten(0, 1), second.flatten(0, 1)
    seen_first, seen_second = seen_first.flatten(), seen_second.flatten()
    similarity = first @ second.T / temperature
    partner = torch.arange(len(first), device=first.device)
    both = seen_first & seen_second
    if not both.any():
        return 0 * similarity.sum()
    ahead = similarity.masked_fill(~seen_second[None], -1e4)[both]
    back = similarity.T.masked_fill(~seen_first[None], -1e4)[both]
    return (F.cross_entropy(ahead, partner[both]) + F.cross_entropy(back, partner[both])) / 2


# --- data -------------------------------------------------------------------------------------------------------


def load_photos(data, split):
    """Grayscale photographs of one split as uint8 arrays."""
    rows = pyarrow.parquet.read_table(Path(data) / "photos.parquet", filters=[("split", "=", split)])
    images = rows["image"].combine_chunks().field("bytes").to_pylist()
    return [np.asarray(Image.open(io.BytesIO(image)).convert("L")) for image in images]


def photometric(image, rng):
    """Light, contrast, shade, blur and noise, as a hand-held camera would change them. float32 in, float32 out."""
    height, width = image.shape
    image = np.clip(image, 0, 1) ** np.exp(rng.uniform(-0.4, 0.4))
    image = (image - 0.5) * rng.uniform(0.6, 1.35) + 0.5 + rng.uniform(-0.12, 0.12)
    if rng.random() < 0.3:
        shade = np.zeros(image.shape, np.float32)
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(10, width // 2)), int(rng.integers(10, height // 2)))
        cv2.ellipse(shade, centre, axes, rng.uniform(0, 180), 0, 360, 1.0, -1)
        image = image + rng.uniform(-0.35, 0.35) * cv2.GaussianBlur(shade, (0, 0), rng.uniform(3, 25))
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.1, 1.3))
    elif rng.random() < 0.15:
        length = int(rng.integers(3, 7))
        streak = cv2.getRotationMatrix2D((length / 2 - 0.5,) * 2, rng.uniform(0, 180), 1)
        kernel = cv2.warpAffine(np.eye(length, dtype=np.float32), streak, (length, length))
        image = cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1e-3))
    image = image + rng.normal(0, rng.uniform(0, 0.05), image.shape)
    return np.clip(image, 0, 1).astype(np.float32)


def draw_shapes(rng, size=(96, 128)):
    """A drawn scene and its corners: image float32 in [0, 1], points (N, 2)."""
    height, width = size
    big = (height * 4, width * 4)  # drawn large and shrunk, so that corners lie between pixels too
    image = cv2.resize(rng.random((6, 8), np.float32), big[::-1], interpolation=cv2.INTER_CUBIC) * 0.5 + rng.uniform(
        0, 0.5
    )
    span = np.array(big[::-1])
    points = []

    def shade():
        return float(rng.uniform(0, 1))

    kind = rng.choice(["polygons", "board", "star", "lines", "cube", "ellipses", "stripes"])
    if kind == "polygons":
        for _ in range(rng.integers(1, 6)):
            centre, radius = rng.uniform(0.1, 0.9, 2) * span, rng.uniform(0.1, 0.35) * big[0]
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
            if np.diff(angles, append=angles[0] + 2 * np.pi).min() < 0.4:
                continue
            corners = centre + radius * rng.uniform(0.6, 1, (len(angles), 1)) * np.column_stack(
                [np.cos(angles), np.sin(angles)]
            )
            mask = np.zeros(big, np.uint8)
            cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 1)
            points = [p for p in points if not mask[tuple(np.clip(p[::-1], 0, np.array(big) - 1).astype(int))]]
            image[mask > 0] = shade()
            points += list(corners)
    elif kind in ("board", "stripes"):
        rows, columns = rng.integers(3, 7), rng.integers(3, 9)
        if kind == "stripes":
            rows = 1
        grid = np.stack(np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(0, 1, rows + 1)), -1)
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        placed = (corners * rng.uniform(0.5, 0.9) + rng.uniform(0, 0.2, 2) + rng.uniform(-0.1, 0.1, (4, 2))) * span
        place = cv2.getPerspectiveTransform(corners.astype(np.float32), placed.astype(np.float32))
        grid = warp_points(grid, place).reshape(rows + 1, columns + 1, 2)
        tones = rng.uniform(0, 1, 2)
        for i in range(rows):
            for j in range(columns):
                square = np.array([grid[i, j], grid[i, j + 1], grid[i + 1, j + 1], grid[i + 1, j]])
                tone = tones[(i + j) % 2] + rng.uniform(-0.08, 0.08)
                cv2.fillPoly(image, [np.round(square).astype(np.int32)], float(tone))
        points = list(grid.reshape(-1, 2))
    elif kind == "star":
        centre = rng.uniform(0.3, 0.7, 2) * span
        points = [centre]
        angles = np.arange(rng.integers(3, 7)) * 2 * np.pi / 6 + rng.uniform(0, 6)
        for angle in angles:
            end = centre + rng.uniform(0.2, 0.45) * big[0] * np.array([np.cos(angle), np.sin(angle)])
            cv2.line(
                image, *(tuple(int(v) for v in np.round(p)) for p in (centre, end)), shade(), int(rng.integers(4, 14))
            )
            points.append(end)
    elif kind == "lines":
        for _ in range(rng.integers(1, 6)):
            ends = rng.uniform(0.05, 0.95, (2, 2)) * span
            cv2.line(image, *(tuple(int(v) for v in np.round(p)) for p in ends), shade(), int(rng.integers(4, 14)))
            points += list(ends)
    elif kind == "cube":
        base, side, up = rng.uniform(0.3, 0.5, 2) * span, *(rng.uniform(-0.25, 0.25, (2, 2)) * span)
        depth = rng.uniform(0.1, 0.3, 2) * span
        for a, b, origin in ((side, up, base), (side, depth, base), (up, depth, base)):
            face = np.array([origin, origin + a, origin + a + b, origin + b])
            if abs(np.linalg.det(np.stack([a, b]))) > 0.005 * span.prod():
                cv2.fillPoly(image, [np.round(face).astype(np.int32)], shade())
                points += list(face)
    else:
        for _ in range(rng.integers(1, 5)):
            axes = tuple(int(v) for v in rng.uniform(0.05, 0.3, 2) * big[0])
            centre = tuple(int(v) for v in rng.uniform(0.1, 0.9, 2) * span)
            cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, shade(), -1)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    points = (np.array(points).reshape(-1, 2) + 0.5) / 4 - 0.5
    return image, points[inside(points, size)]


class Shapes(IterableDataset):
    """Endless drawn scenes; `start` is the sample to go on from."""

    def __init__(self, seed, start, sigma):
        self.seed, self.start, self.sigma = seed, start, sigma

    def __iter__(self):
        number = self.start
        while True:
            rng = np.random.default_rng([self.seed, 1, number])
            image, points = draw_shapes(rng)
            target = target_cells(points, np.ones(len(points)), image.shape, self.sigma)
            yield {
                "view": photometric(image, rng)[None],
                "target": target,
                "valid": np.ones(target.shape[1:], np.float32),
            }
            number += 1


class Pairs(IterableDataset):
    """Endless pairs of views of one photograph, with its labels carried into both."""

    def __init__(self, photos, labels, seed, start, sigma):
        self.labels, self.seed, self.start, self.sigma = labels, seed, start, sigma
        self.scales = (1.0, 0.75, 0.5)
        self.pyramids = [
            [cv2.resize(photo, None, fx=s, fy=s, interpolation=cv2.INTER_AREA) for s in self.scales] for photo in photos
        ]

    def __iter__(self):
        number = self.start
        while True:
            yield self.pair(np.random.default_rng([self.seed, 2, number]))
            number += 1

    def pair(self, rng):
        which, level = rng.integers(len(self.pyramids)), rng.choice(len(self.scales), p=[0.3, 0.4, 0.3])
        photo = self.pyramids[which][level]
        points, weights = self.labels[which]
        points = (points + 0.5) * self.scales[level] - 0.5
        size = np.array(VIEW)
        room = np.maximum(np.array(photo.shape) - size, 0)
        corner = rng.uniform(0, 1, 2) * room
        crop = np.array([[1, 0, -corner[1]], [0, 1, -corner[0]], [0, 0, 1.0]])
        mild = random_homography(VIEW, rng, rotation_deg=10, scale=(0.9, 1.1), perspective=0.03, shift=0.02)
        first = (mild if rng.random() < 0.6 else np.eye(3)) @ crop
        second = random_homography(VIEW, rng, rotation_deg=35, scale=(0.72, 1.35), perspective=0.12, shift=0.08) @ crop
        if rng.random() < 0.5:
            mirror = np.array([[-1, 0, photo.shape[1] - 1], [0, 1, 0], [0, 0, 1.0]])
            photo, points = cv2.flip(photo, 1), warp_points(points, mirror)
        chosen = rng.permutation(len(points))
        out = [self.view(photo, points, weights, homography, rng) for homography in (first, second)]
        # the descriptor loss looks at a fixed number of labels, those seen in both views before the others
        chosen = chosen[np.argsort(-sum(view["seen"][chosen].astype(int) for view in out), kind="stable")][:POINTS]
        pair = {key: np.stack([view[key] for view in out]) for key in ("view", "target", "valid")}
        places, seen = np.zeros((2, POINTS, 2), np.float32), np.zeros((2, POINTS), bool)
        for i, view in enumerate(out):
            places[i, : len(chosen)] = np.where(view["seen"], view["points"].T, 0).T[chosen]
            seen[i, : len(chosen)] = view["seen"][chosen]
        return pair | {"points": places, "seen": seen}

    def view(self, photo, points, weights, homography, rng):
        height, width = VIEW
        black = rng.random() < 0.5
        border = cv2.BORDER_CONSTANT if black else cv2.BORDER_REFLECT_101
        image = cv2.warpPerspective(photo, homography, (width, height), borderMode=border).astype(np.float32) / 255
        there = warp_points(points, homography)
        seen = inside(np.nan_to_num(there, nan=-1e6), VIEW)
        target = target_cells(there[seen], weights[seen], VIEW, self.sigma)
        valid = np.ones(_grid(VIEW), np.float32)
        if not black:  # mirrored surroundings have keypoints that no label knows: leave those cells out
            known = cv2.warpPerspective(np.ones(photo.shape, np.uint8), homography, (width, height))
            valid = known.reshape(height // CELL, CELL, width // CELL, CELL).min((1, 3)).astype(np.float32)
        return {"view": photometric(image, rng)[None], "target": target, "valid": valid, "points": there, "seen": seen}


# --- labels -----------------------------------------------------------------------------------------------------


def trim(photo):
    """Cut a photograph to whole cells."""
    return photo[: photo.shape[0] // CELL * CELL, : photo.shape[1] // CELL * CELL]


@torch.no_grad()
def dense(network, image, device):
    """Score map (H, W) and descriptors (1, D, h, w) of one float32 image."""
    logits, descriptors = network(torch.as_tensor(image, device=device)[None, None])
    return score_map(logits)[0], descriptors


def peaks(scores, count, threshold, border=4):
    """The strongest local maxima of a score map (H, W), refined: points (N, 2)."""
    suppressed = simple_nms(scores[None], 4)[0].cpu().numpy()
    suppressed[:border], suppressed[-border:], suppressed[:, :border], suppressed[:, -border:] = 0, 0, 0, 0
    y, x = np.nonzero(suppressed > threshold)
    best = np.argsort(-suppressed[y, x])[:count]
    return refine(np.column_stack([x, y])[best], scores.cpu().numpy(), radius=2)


def views_of(photo, count, rng):
    """The photograph itself, then `count` random views of it: image, homography."""
    height, width = photo.shape
    yield photo, np.eye(3)
    for _ in range(count):
        homography = random_homography(photo.shape, rng, rotation_deg=40, scale=(0.7, 1.4), perspective=0.12)
        view = cv2.warpPerspective(photo, homography, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        yield photometric(view, rng), homography


def adapt(network, photo, rng, device, views=12, density=0.2):
    """Homographic adaptation of one photograph: its labels, at most `density` a cell, all of weight 1."""
    total, seen = np.zeros(photo.shape, np.float32), np.full(photo.shape, 1e-3, np.float32)
    for view, homography in views_of(photo, views, rng):
        scores, _ = dense(network, view, device)
        back = {"dsize": photo.shape[::-1], "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP}
        total += cv2.warpPerspective(scores.cpu().numpy(), homography, **back)
        seen += cv2.warpPerspective(np.ones(photo.shape, np.float32), homography, **back)
    points = peaks(torch.as_tensor(total / seen), int(density * photo.size / CELL**2), threshold=0.004)
    return points, np.ones(len(points))


def vote(network, photo, rng, device, views=16, density=0.35):
    """Labels of one photograph by what the network finds and matches again. Weight: share of the views that agree."""
    count = int(density * photo.size / CELL**2)
    candidates = own = None
    for view, homography in views_of(photo, views, rng):
        scores, descriptors = dense(network, view, device)
        found = peaks(scores, count, threshold=1e-3)
        described = sample(descriptors, torch.as_tensor(found[None], dtype=torch.float32, device=device))[0]
        if candidates is None:
            candidates, own = found, described
            agreed, visible, place = np.ones(len(found)), np.ones(len(found)), found.copy()
            continue
        back = warp_points(found, np.linalg.inv(homography))
        similarity = own @ described.T
        best, again = similarity.argmax(1).cpu().numpy(), similarity.argmax(0).cpu().numpy()
        right = (again[best] == np.arange(len(own))) & (np.linalg.norm(back[best] - candidates, axis=1) <= 3)
        visible += inside(warp_points(candidates, homography), photo.shape, margin=4)
        agreed += right
        place[right] += back[best][right]
    return place / agreed[:, None], agreed / visible


# --- the run ----------------------------------------------------------------------------------------------------


class Run:
    """One training run, and its state on disk."""

    def __init__(self, options):
        self.options = options
        self.accelerator = Accelerator(mixed_precision=options.precision, cpu=options.cpu)
        self.work = Path(options.work)
        self.work.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        self.network = Network(options.encoder, options.decoder, options.descriptor)
        self.network = self.network.to(self.accelerator.device, memory_format=torch.channels_last)
        self.log = json.loads(self.file("log.json").read_text()) if self.file("log.json").exists() else {}

    def file(self, name):
        return self.work / name

    def note(self, stage, **facts):
        """Keep what a stage took, for the results beside the weights."""
        self.log[stage] = facts | {"processes": self.accelerator.num_processes}
        if self.accelerator.is_main_process:
            self.file("log.json").write_text(json.dumps(self.log))

    @property
    def plain(self):
        return self.accelerator.unwrap_model(self.network)

    def train(self, stage, dataset, step_loss):
        """Train for this stage's minutes, cosine schedule by the clock, state saved every two minutes."""
        options, accelerator = self.options, self.accelerator
        minutes = options.minutes * STAGES[stage]
        state_file = self.file(f"{stage}.pt")
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=options.lr, weight_decay=1e-4)
        state = {"step": 0, "minutes": 0.0}
        if state_file.exists():
            state = torch.load(state_file, map_location="cpu", weights_only=True)
            self.plain.load_state_dict(state["network"])
        if state["minutes"] >= minutes:
            return
        batch = options.batch * (2 if stage == "shapes" else 1)
        dataset.start = state["step"] * batch
        dataset.seed += 1000 * accelerator.process_index
        loader = DataLoader(dataset, batch_size=batch, num_workers=options.workers)
        self.network, optimizer = accelerator.prepare(self.plain, optimizer)
        if "optimizer" in state:
            optimizer.load_state_dict(state["optimizer"])
        self.network.train()
        step, spent, means = state["step"], state["minutes"], []
        clock = saved = time.monotonic()
        bar = tqdm(
            total=minutes,
            initial=spent,
            desc=stage,
            bar_format="{desc} {percentage:3.0f} % of {total:.1f} min |{bar}| {postfix}",
            disable=not accelerator.is_main_process,
        )
        for batch in loader:
            batch = {key: value.to(accelerator.device) for key, value in batch.items()}
            done = min(spent / minutes, 1)
            for group in optimizer.param_groups:
                group["lr"] = options.lr * min(1, (step + 1) / 200) * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
            with accelerator.autocast():
                losses = step_loss(batch, done)
            optimizer.zero_grad()
            accelerator.backward(sum(losses.values()))
            accelerator.clip_grad_norm_(self.network.parameters(), 5.0)
            optimizer.step()
            step += 1
            means.append([float(value.detach()) for value in losses.values()])
            if step % 100 == 0:
                bar.set_postfix(step=step, **dict(zip(losses, np.round(np.mean(means, 0), 3), strict=True)))
                means = []
            elapsed, clock = (time.monotonic() - clock) / 60, time.monotonic()
            elapsed = accelerator.reduce(torch.tensor(elapsed, device=accelerator.device), "mean").item()
            spent += elapsed
            bar.update(min(elapsed, minutes - bar.n))
            over = spent >= minutes
            if accelerator.is_main_process and (over or time.monotonic() - saved > 120):
                saved = time.monotonic()
                fresh = {
                    "step": step,
                    "minutes": spent,
                    "network": self.plain.state_dict(),
                    "optimizer": optimizer.state_dict(),
                }
                torch.save(fresh, state_file.with_suffix(".new"))
                state_file.with_suffix(".new").replace(state_file)
            if over:
                break
        bar.close()
        self.note(stage, minutes=round(spent, 1), steps=step)

    def shapes(self):
        """Stage 1. Corners are rare: their cells count six times at first, so that the dustbin does not win."""

        def loss(batch, done):
            logits, descriptors = self.network(batch["view"])
            weight = 6 - 5 * min(done / 0.7, 1)
            idle = 0 * descriptors.sum()  # several processes: every parameter must take part
            return {"detector": detector_loss(logits, batch["target"], batch["valid"], weight) + idle}

        self.train("shapes", Shapes(self.options.seed, 0, self.options.sigma), loss)

    def pairs(self, stage, labels):
        """Stages 3 and 5: detector and descriptors on pairs of views."""

        def loss(batch, _):
            logits, descriptors = self.network(batch["view"].flatten(0, 1))
            detector = detector_loss(logits, batch["target"].flatten(0, 1), batch["valid"].flatten(0, 1))
            described = sample(descriptors, batch["points"].flatten(0, 1)).unflatten(0, (-1, 2))
            seen = batch["seen"]
            matching = descriptor_loss(
                described[:, 0], described[:, 1], seen[:, 0], seen[:, 1], self.options.temperature
            )
            losses = {"detector": detector, "matching": self.options.matching * matching}
            if stage == "final":  # only now are the labels' places means over many views
                place = place_loss(score_map(logits), batch["points"].flatten(0, 1), seen.flatten(0, 1))
                losses["place"] = self.options.place * place
            return losses

        seed = self.options.seed + (1 if stage == "final" else 0)
        self.train(stage, Pairs(self.photos, labels, seed, 0, self.options.sigma), loss)

    def label(self, stage, method):
        """Stages 2 and 4: label every training photograph by `method`, once."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        file = self.file(f"{stage}-{rank}-of-{processes}.npz")
        if not file.exists():
            start = time.monotonic()
            network = self.plain.eval()
            arrays = {}
            for i in tqdm(range(rank, len(self.photos), processes), desc=stage, disable=rank > 0):
                rng = np.random.default_rng([self.options.seed, 3, i])
                image = trim(self.photos[i]).astype(np.float32) / 255
                arrays[f"points{i}"], arrays[f"weights{i}"] = method(network, image, rng, self.accelerator.device)
            np.savez_compressed(file, **arrays)
            self.note(stage, minutes=round((time.monotonic() - start) / 60, 1))
        self.accelerator.wait_for_everyone()
        stored = {}
        for part in range(processes):
            stored |= np.load(self.file(f"{stage}-{part}-of-{processes}.npz"))
        return [(stored[f"points{i}"], stored[f"weights{i}"]) for i in range(len(self.photos))]

    def __call__(self):
        wanted = [s for s in STAGES if s in self.options.stages or self.file(f"{s}.pt").exists()]
        self.photos = load_photos(self.options.data, "train")
        if "shapes" in wanted:
            self.shapes()
        if "joint" in wanted:
            self.pairs("joint", self.label("adapt", adapt))
        if "final" in wanted:
            self.pairs("final", self.label("vote", vote))
        if self.accelerator.is_main_process:
            self.save()

    def save(self):
        """Write the transformers checkpoint and what is known of its training; the model card is written by hand."""
        out = Path(self.options.out)
        model = self.plain.export()
        config = model.config
        config.keypoint_threshold, config.max_keypoints, config.nms_radius = self.options.threshold, -1, 4
        config.architectures = ["SuperPointForKeypointDetection"]
        model.half().save_pretrained(out)
        stored = json.loads((out / "config.json").read_text()) | {"dtype": "float32"}  # half on disk, single in memory
        (out / "config.json").write_text(json.dumps(stored, indent=2) + "\n")
        processor = {"do_grayscale": True, "do_rescale": True, "do_resize": True, "rescale_factor": 1 / 255}
        processor |= {"image_processor_type": "SuperPointImageProcessor", "size": {"height": 480, "width": 640}}
        (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
        detect = partial(benchmark.superpoint, *benchmark.load_superpoint(out))
        results = {
            "options": {k: v for k, v in vars(self.options).items() if k not in ("data", "work", "out", "cpu")},
            "stages": self.log,
            "validation": benchmark.accuracy(detect, benchmark.photographs(self.options.data, benchmark.VALIDATION)),
            "test": benchmark.accuracy(detect, benchmark.photographs(self.options.data)) | benchmark.motorcycle(detect),
        }
        (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        for split in ("validation", "test"):
            print(split, {key: round(value, 3) for key, value in results[split].items()})


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with photos.parquet")
    parser.add_argument("--minutes", type=float, default=120, help="minutes of training, labelling not counted")
    parser.add_argument("--work", default="build/superpoint", help="state and labels, to go on from")
    parser.add_argument("--out", default="build/superpoint/checkpoint", help="the finished checkpoint")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=list(STAGES), help="all, unless told")
    parser.add_argument("--encoder", type=int, nargs=4, default=[16, 32, 64, 128])
    parser.add_argument("--decoder", type=int, default=256)
    parser.add_argument("--descriptor", type=int, default=128)
    parser.add_argument("--sigma", type=float, default=1.0, help="px, how far a label spreads")
    parser.add_argument("--temperature", type=float, default=0.06)
    parser.add_argument("--matching", type=float, default=0.7, help="weight of the descriptor loss")
    parser.add_argument("--place", type=float, default=1.0, help="weight of the sub-pixel loss")
    parser.add_argument("--threshold", type=float, default=0.015, help="keypoint_threshold of the finished checkpoint")
    parser.add_argument("--batch", type=int, default=8, help="pairs a step and process")
    parser.add_argument("--lr", type=float, default=6e-3)
    parser.add_argument("--precision", default="bf16", choices=["no", "bf16"])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    Run(parser.parse_args(arguments))()


if __name__ == "__main__":
    main()
