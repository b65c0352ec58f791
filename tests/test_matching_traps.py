"""What goes wrong, without an error, when transformers' keypoint matchers are used as documented; and the way round it.

Each test judges two ways by one check under a known homography: the notebooks' way must pass it, and the trap must fail
it. Where a trap passes, a newer transformers has mended it: then its warning in the notebook on matching goes.
"""

from pathlib import Path
from types import SimpleNamespace

import cv2
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from transformers import (
    AutoImageProcessor,
    AutoModelForKeypointDetection,
    AutoModelForKeypointMatching,
    EfficientLoFTRConfig,
    EfficientLoFTRForKeypointMatching,
    KeypointMatchingPipeline,
    LightGlueConfig,
    LightGlueForKeypointMatching,
)
from transformers.models.efficientloftr.image_processing_pil_efficientloftr import EfficientLoFTRImageProcessorPil
from transformers.models.lightglue.image_processing_pil_lightglue import LightGlueImageProcessorPil
from transformers.models.lightglue.modeling_lightglue import LightGlueKeypointMatchingOutput
from transformers.models.superglue.image_processing_pil_superglue import SuperGlueImageProcessorPil

from helpers import checkpoints
from helpers.geometry import warp_points
from helpers.keypoints import to_pixels

MENDED = "transformers seems to have mended this: remove the warning from the notebook on matching ({})"
NETWORK = (160, 216)  # small, for speed
NOTEBOOK = Path(__file__).parents[1] / "notebooks/1.2-match-photographs.ipynb"


def check(points1, points2, homography):
    """Share of matches that are at most 3 px from where the homography puts them."""
    points1, points2 = np.asarray(points1, dtype=float), np.asarray(points2, dtype=float)
    assert len(points1) == len(points2) > 20
    return (np.linalg.norm(warp_points(points1, homography) - points2, axis=1) <= 3).mean()


def turn(degrees, image_size):
    height, width = image_size
    angle, centre = np.deg2rad(degrees), np.array([width - 1, height - 1]) / 2
    homography = np.eye(3)
    homography[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    homography[:2, 2] = centre - homography[:2, :2] @ centre
    return homography


def views(photo, homography, image_size):
    """A photograph and what the homography makes of it."""
    size = image_size[::-1]
    first = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return [Image.fromarray(first), Image.fromarray(cv2.warpPerspective(first, homography, size))]


# LightGlue


@pytest.fixture(scope="module")
def matcher():
    """A LightGlue that matches without training: its layers pass the bundled SuperPoint's descriptors on unchanged."""
    detector = AutoModelForKeypointDetection.from_pretrained(checkpoints.find("superpoint"))
    detector.config.max_keypoints = 100
    width = detector.config.descriptor_decoder_dim
    network = LightGlueForKeypointMatching(
        LightGlueConfig(
            keypoint_detector_config=detector.config, descriptor_dim=width, num_hidden_layers=3, num_attention_heads=2
        )
    )
    network.keypoint_detector.load_state_dict(detector.state_dict())
    for layer in network.transformer_layers:
        for mlp in (layer.self_mlp, layer.cross_mlp):
            torch.nn.init.zeros_(mlp.fc2.weight)
            torch.nn.init.zeros_(mlp.fc2.bias)
    for layer in network.match_assignment_layers:
        layer.final_projection.weight.data = 8 * width**0.25 * torch.eye(width)  # similarity = 64 x cosine
        torch.nn.init.zeros_(layer.final_projection.bias)
        torch.nn.init.zeros_(layer.matchability.weight)
        torch.nn.init.constant_(layer.matchability.bias, 10.0)  # every keypoint may have a match
    return network.eval()


@pytest.fixture
def prepare():
    return LightGlueImageProcessorPil(size={"height": NETWORK[0], "width": NETWORK[1]})


@pytest.fixture
def stop(matcher, monkeypatch):
    """Choose the layer after which each pair of the batch stops; all that follows from it is transformers' own."""

    def choose(*layers):
        def decide(_confidences, layer_index, _mask, **_):
            return torch.tensor([layer == layer_index for layer in layers if layer >= layer_index])

        monkeypatch.setattr(matcher, "_get_early_stopped_image_pairs", decide)

    return choose


def exact(outputs, pair, images, network_size=NETWORK):
    """The notebooks' way: real keypoints only, indices from `matches`, coordinates by `to_pixels`."""
    matches, real = outputs.matches[pair, 0].numpy(), outputs.mask[pair, 0].numpy() > 0
    first = np.flatnonzero((matches > -1) & real)
    points1, points2 = (
        to_pixels(k, i, network_size) for k, i in zip(outputs.keypoints[pair].numpy(), images, strict=True)
    )
    return points1[first], points2[matches[first]]


@torch.no_grad()
def batch_of(pairs, matcher, prepare):
    return matcher(**prepare(pairs, return_tensors="pt"))


@pytest.fixture(scope="module")
def pairs():
    size = NETWORK
    photos = (data.astronaut(), data.coffee(), data.chelsea())
    return [views(photo, turn(5, size), size) for photo in photos], turn(5, size)


def judged(outputs, pairs):
    images, homography = pairs
    return np.array([check(*exact(outputs, b, images[b]), homography) for b in range(len(outputs.matches))])


def test_pipeline_swaps_height_and_width(matcher, prepare):
    pipeline = KeypointMatchingPipeline(model=matcher, image_processor=prepare)

    def by_pipeline(images):
        ends = [(m["keypoint_image_0"], m["keypoint_image_1"]) for m in pipeline(images)]
        return np.array([[(end["x"], end["y"]) for end in pair] for pair in ends]).transpose(1, 0, 2)

    for size in [(160, 270), (200, 200)]:
        homography = turn(5, size)
        images = views(data.astronaut(), homography, size)
        outputs = batch_of([images], matcher, prepare)
        result = prepare.post_process_keypoint_matching(outputs, [[size, size]])[0]
        assert check(*exact(outputs, 0, images), homography) > 0.7
        assert check(result["keypoints0"], result["keypoints1"], homography) > 0.7
        share = check(*by_pipeline(images), homography)
        if size[0] == size[1]:
            assert share > 0.7
        else:
            assert share < 0.3, MENDED.format("the pipeline swaps height and width")


@pytest.mark.parametrize("layers", [(1, 1), (2, 2), (0, 1, 1)])
def test_lightglue_batches_are_right_where_pairs_stop_in_their_order(matcher, prepare, pairs, stop, layers):
    stop(*layers)
    assert judged(batch_of(pairs[0][: len(layers)], matcher, prepare), pairs).min() > 0.7


@pytest.mark.parametrize("layers", [(1, 0), (0, 1, 0)])
def test_lightglue_swaps_the_pairs_of_a_batch_where_a_later_one_stops_first(matcher, prepare, pairs, stop, layers):
    for pair, layer in enumerate(layers):
        stop(layer)
        alone = [pairs[0][pair]], pairs[1]
        assert judged(batch_of(alone[0], matcher, prepare), alone).min() > 0.7

    stop(*layers)
    together = judged(batch_of(pairs[0][: len(layers)], matcher, prepare), pairs)
    assert (together < 0.3).sum() == 2, MENDED.format("LightGlue swaps pairs that stop early")


def test_lightglue_puts_three_pairs_right_by_luck(matcher, prepare, pairs, stop):
    # It applies the order of stopping twice, where its inverse is due: after a cycle of three these are the same.
    stop(1, 1, 0)
    assert judged(batch_of(pairs[0], matcher, prepare), pairs).min() > 0.7


def test_lightglue_crashes_where_one_pair_stops_early_and_another_runs_to_the_last_layer(matcher, prepare, pairs, stop):
    for layer in (0, 2):
        stop(layer)
        alone = [pairs[0][0]], pairs[1]
        assert judged(batch_of(alone[0], matcher, prepare), alone).min() > 0.7

    stop(0, 2)
    try:
        batch_of(pairs[0][:2], matcher, prepare)
    except IndexError:
        return
    pytest.fail(MENDED.format("LightGlue crashes where only some pairs stop early"))


@pytest.mark.parametrize("size", [(160, 270), (200, 150)])
def test_the_notebooks_cell_matches_with_a_lightglue_as_on_the_hub(matcher, prepare, tmp_path, monkeypatch, size):
    matcher.save_pretrained(tmp_path)
    prepare.save_pretrained(tmp_path)
    monkeypatch.setattr(checkpoints, "find", lambda name, source: {("lightglue", "hub"): tmp_path}[name, source])
    cell = next(cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if 'find("lightglue"' in cell.source)
    homography = turn(5, size)
    left, right = views(data.astronaut(), homography, size)
    known = {"SOURCE": "hub", "DEVICE": "cpu", "left": left, "right": right, "left_to_right": homography}
    known |= {"np": np, "torch": torch, "checkpoints": checkpoints, "to_pixels": to_pixels, "warp_points": warp_points}
    known |= {kind.__name__: kind for kind in (AutoImageProcessor, AutoModelForKeypointMatching)}
    exec(cell.source, known)
    (points1, points2), rows = known["glued"], known["rows"]
    assert check(points1[rows], points2[known["partner"][rows]], homography) > 0.7
    assert (known["glued_off"] <= 3).mean() > 0.7


# EfficientLoFTR, on cells of 8 x 8 pixels

GRID = (240, 320)


@pytest.fixture(scope="module")
def loftr():
    torch.manual_seed(0)
    config = EfficientLoFTRConfig(
        stage_num_blocks=[1, 1, 1, 1],
        out_features=[8, 8, 16, 64],
        hidden_size=64,
        num_attention_layers=1,
        fine_matching_slice_dim=2,
    )
    return EfficientLoFTRForKeypointMatching(config).eval()


def cell_codes(homography, seed):
    """Features (2, 64, h, w) that are equal in two cells only if these correspond within 2.5 px; 0 where none does."""
    height, width = GRID[0] // 8, GRID[1] // 8
    cells = np.argwhere(np.ones((height, width)))[:, ::-1]
    there = warp_points(8 * cells, homography)
    nearest = np.rint(there / 8).astype(int)
    meets = np.linalg.norm(there - 8 * nearest, axis=1) <= 2.5
    meets &= ((nearest >= 0) & (nearest < [width, height])).all(axis=1)
    codes = np.random.default_rng(seed).choice([-3.0, 3.0], (meets.sum(), 64))
    features = np.zeros((2, height, width, 64), dtype=np.float32)
    features[0, cells[meets, 1], cells[meets, 0]] = codes
    features[1, nearest[meets, 1], nearest[meets, 0]] = codes
    return torch.from_numpy(features).permute(0, 3, 1, 2)


@pytest.fixture
def coarse_matches(loftr, monkeypatch):
    """Outputs for ideal features. The fine stage, whose weights are random here, is left out: coordinates are cells."""

    @torch.no_grad()
    def run(*homographies):
        codes = torch.stack([cell_codes(homography, seed) for seed, homography in enumerate(homographies)])
        transformer = loftr.efficientloftr.local_feature_transformer
        monkeypatch.setattr(transformer, "forward", lambda *_, **__: codes)
        monkeypatch.setattr(loftr, "_fine_matching", lambda _first, _second, coarse, _scale: coarse.float())
        return loftr(torch.zeros(len(homographies), 2, 3, *GRID))

    return run


def aligned(outputs, pair):
    """The matched points. Row k of `keypoints[1]` is the partner of cell k of image 1, and the other way round."""
    matches, keypoints = outputs.matches[pair], outputs.keypoints[pair].numpy() * GRID[::-1]
    cells1 = torch.where(matches[1] > -1)[0]
    cells2 = matches[1][cells1]
    return keypoints[0][cells2], keypoints[1][cells1]


def raster_order(outputs, pair):
    sizes = [[GRID, GRID]] * len(outputs.matches)
    result = EfficientLoFTRImageProcessorPil().post_process_keypoint_matching(outputs, sizes)[pair]
    return result["keypoints0"], result["keypoints1"]


@pytest.mark.parametrize("homography", [np.eye(3), np.diag([1.25, 1.25, 1]), np.eye(3) + np.diag([16.0], 2)])
def test_efficientloftr_raster_order_is_right_without_rotation(coarse_matches, homography):
    outputs = coarse_matches(homography)
    assert check(*aligned(outputs, 0), homography) == 1
    assert check(*raster_order(outputs, 0), homography) == 1


def test_efficientloftr_pairs_points_by_raster_order(coarse_matches):
    homography = turn(10, GRID)
    outputs = coarse_matches(homography)
    assert check(*aligned(outputs, 0), homography) == 1
    assert check(*raster_order(outputs, 0), homography) < 0.1, MENDED.format("raster order")


def test_efficientloftr_mixes_the_pairs_of_a_batch(coarse_matches):
    homographies = [turn(10, GRID), turn(-25, GRID)]
    alone = [check(*aligned(coarse_matches(homography), 0), homography) for homography in homographies]
    assert alone == [1, 1]
    outputs = coarse_matches(*homographies)
    together = [check(*aligned(outputs, pair), homography) for pair, homography in enumerate(homographies)]
    assert max(together) < 0.5, MENDED.format("EfficientLoFTR mixes the pairs of a batch")


# Coordinates


@pytest.mark.parametrize(("size", "bias"), [((480, 640), 0), ((750, 1000), -0.78), ((3024, 4032), -3.15)])
@pytest.mark.parametrize("processor", [LightGlueImageProcessorPil, SuperGlueImageProcessorPil])
def test_post_processing_truncates_and_lacks_the_half_pixel(processor, size, bias):
    """A photograph of 640 x 480 beside a larger copy of itself, with a perfect match at each of 200 network pixels."""
    network_size, scale = (480, 640), size[0] / 480
    pixels = np.random.default_rng(0).integers(0, network_size[::-1], (200, 2))
    relative = torch.tensor(pixels / [640, 480], dtype=torch.float32).expand(1, 2, -1, -1)
    outputs = LightGlueKeypointMatchingOutput(
        keypoints=relative,
        matches=torch.arange(200).expand(1, 2, -1),
        matching_scores=torch.ones(1, 2, 200),
        mask=torch.ones(1, 2, 200),
    )
    homography = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])  # centres to centres
    images = [SimpleNamespace(width=640, height=480), SimpleNamespace(width=size[1], height=size[0])]
    points1, points2 = exact(outputs, 0, images, network_size)
    result = processor().post_process_keypoint_matching(outputs, [[network_size, size]])[0]

    assert check(points1, points2, homography) == 1
    np.testing.assert_allclose(points2, warp_points(points1, homography), atol=1e-3)
    assert result["keypoints1"].dtype == torch.int32, MENDED.format("coordinates are truncated")
    error = result["keypoints1"].numpy() - points2
    assert abs(error.mean() - bias) < 0.15, MENDED.format("the half pixel is lacking")
    if scale > 6:
        share = check(result["keypoints0"], result["keypoints1"], homography)
        assert share < 0.1, MENDED.format("the half pixel is lacking")
