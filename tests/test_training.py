"""`training.superpoint`: losses and labels in closed form, and a short run from photographs to a checkpoint."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import skimage.data
import torch
from PIL import Image
from scipy.ndimage import center_of_mass
from transformers import AutoImageProcessor, SuperPointForKeypointDetection
from transformers.models.superpoint.modeling_superpoint import SuperPointInterestPointDecoder

from helpers.geometry import fit_homography, inside, warp_points
from helpers.keypoints import score_map as score_map_of_checkpoint
from training import superpoint

TINY = {"encoder": [4, 4, 8, 8], "decoder": 8, "descriptor": 8}


def rng_of(seed):
    return np.random.default_rng(seed)


def as_the_model_unfolds(logits):
    """Logits (B, 65, h, w) -> probabilities (B, 8h, 8w), by transformers' own code."""
    nothing = torch.nn.Identity()
    decoder = SimpleNamespace(relu=nothing, conv_score_a=nothing, conv_score_b=nothing, nms_radius=0)
    return SuperPointInterestPointDecoder._get_pixel_scores(decoder, logits)


# Labels


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.0])
def test_each_cell_of_a_target_is_a_probability(sigma):
    rng = rng_of(0)
    points = np.concatenate([rng.uniform(0, [39, 31], (20, 2)), rng.uniform(8, 12, (9, 2)), [[0, 0], [39, 31]]])
    target = superpoint.target_cells(points, rng.uniform(0, 1, len(points)), (32, 40), sigma)
    assert target.shape == (65, 4, 5) and target.dtype == np.float32 and target.min() >= 0
    np.testing.assert_allclose(target.sum(0), 1, atol=1e-5)


def test_without_points_every_cell_is_dustbin():
    target = superpoint.target_cells(np.zeros((0, 2)), np.zeros(0), (16, 24), 1.0)
    assert (target[64] == 1).all() and (target[:64] == 0).all()


def test_a_point_in_the_middle_of_a_cell_keeps_its_weight_there():
    target = superpoint.target_cells(np.array([[12.0, 4.0]]), np.array([0.75]), (16, 24), 0.6)
    np.testing.assert_allclose(target[64], [[1, 0.25, 1], [1, 1, 1]], atol=1e-3)
    row, column = np.mgrid[:8, :8]
    gaussian = np.exp(-((row - 4) ** 2 + (column - 4) ** 2) / (2 * 0.6**2))
    np.testing.assert_allclose(target[:64, 0, 1].reshape(8, 8), 0.75 * gaussian / gaussian.sum(), atol=1e-3)


def test_the_64_classes_stand_in_the_order_that_the_model_unfolds():
    rng = rng_of(1)
    for x, y in np.column_stack([rng.integers(0, 24, 40), rng.integers(0, 16, 40)]):
        target = superpoint.target_cells(np.array([[x, y]], float), np.ones(1), (16, 24), 0.5)
        logits = torch.as_tensor(target)[None].add(1e-9).log()
        for unfold in (as_the_model_unfolds, superpoint.score_map):
            scores = unfold(logits)[0]
            assert divmod(int(scores.argmax()), 24) == (y, x)


def test_drawn_corners_lie_on_their_image():
    kinds = set()
    for seed in range(60):
        image, points = superpoint.draw_shapes(rng_of(seed), size=(96, 128))
        assert image.shape == (96, 128) and image.dtype == np.float32 and np.isfinite(image).all()
        assert points.ndim == 2 and inside(points, (96, 128)).all()
        kinds.add(len(points))
    assert 0 in kinds and max(kinds) > 20  # ellipses have none, checkerboards many


def test_photometric_changes_stay_within_the_range_of_an_image():
    for seed in range(40):
        image = superpoint.photometric(rng_of(seed).random((48, 64), np.float32), rng_of(seed))
        assert image.shape == (48, 64) and image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 1


def test_labels_go_with_their_pixels_into_both_views():
    rng = rng_of(0)
    places = np.stack(np.meshgrid(np.arange(20, 400, 40), np.arange(20, 320, 40)), -1).reshape(-1, 2)
    points = places + rng.uniform(-12, 12, places.shape)
    y, x = np.indices((320, 400))
    photo = np.zeros((320, 400), np.uint8)
    for point in points:
        photo[np.hypot(x - point[0], y - point[1]) < 4] = 255
    pairs = superpoint.Pairs([photo], [(points, np.ones(len(points)))], 0, 0, 1.0)
    for seed in range(20):
        pair = pairs.pair(rng_of(seed))
        assert pair["view"].shape == (2, 1, *superpoint.VIEW) and pair["target"].shape[:2] == (2, 65)
        for image, labels, seen in zip(pair["view"][:, 0], pair["points"], pair["seen"], strict=True):
            column, row = np.rint(labels[seen]).astype(int).T
            assert np.mean(image[row, column]) > np.median(image) + 0.2
        both = pair["seen"].all(0)
        assert both[: both.sum()].all()  # those seen twice come first
        first, second = pair["points"][:, both]
        homography, _ = fit_homography(first, second)
        np.testing.assert_allclose(warp_points(first, homography), second, atol=0.05)


# Losses


def cell_logits(probability, which):
    """65 logits of which number `which` has this probability, and the others share the rest."""
    share = torch.full((65,), (1 - probability) / 64)
    share[which] = probability
    return share.log()


def test_detector_loss_by_hand():
    logits = torch.stack([cell_logits(0.5, 3), cell_logits(0.8, 64), cell_logits(0.9, 0)], -1)[None, :, None]
    target = torch.zeros(1, 65, 1, 3)
    target[0, 3, 0, 0] = target[0, 64, 0, 1] = target[0, 64, 0, 2] = 1  # a corner, and twice nothing
    valid = torch.tensor([[[1.0, 1.0, 0.0]]])  # the third cell would cost most
    for weight in (1.0, 6.0):
        expected = (weight * -np.log(0.5) - np.log(0.8)) / (weight + 1)
        loss = superpoint.detector_loss(logits, target, valid, weight)
        assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_detector_loss_of_no_idea_is_the_logarithm_of_65():
    target = torch.as_tensor(superpoint.target_cells(rng_of(0).uniform(0, 31, (9, 2)), np.ones(9), (32, 32), 1.0))[None]
    loss = superpoint.detector_loss(torch.zeros(1, 65, 4, 4), target, torch.ones(1, 4, 4))
    assert loss.item() == pytest.approx(np.log(65), abs=1e-5)


def test_descriptor_loss_of_orthogonal_descriptors_in_closed_form():
    # 2 photographs with 3 labels each, all different: 5 wrong candidates of similarity 0 beside the right one of 1
    descriptors = torch.eye(6).reshape(2, 3, 6)
    seen = torch.ones(2, 3, dtype=torch.bool)
    for temperature in (0.5, 1.0):
        loss = superpoint.descriptor_loss(descriptors, descriptors, seen, seen, temperature)
        assert loss.item() == pytest.approx(np.log(1 + 5 * np.exp(-1 / temperature)), abs=1e-5)


def test_labels_seen_in_one_view_are_candidates_without_a_partner():
    descriptors = torch.eye(6).reshape(2, 3, 6)
    seen = torch.ones(2, 3, dtype=torch.bool)
    one_hidden = seen.clone()
    one_hidden[1, 2] = False  # in the second view: 4 wrong candidates are left there, 5 in the first
    loss = superpoint.descriptor_loss(descriptors, descriptors, seen, one_hidden, 1.0)
    expected = (np.log(1 + 4 * np.exp(-1)) + np.log(1 + 5 * np.exp(-1))) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_descriptor_loss_tells_right_partners_from_swapped_ones():
    descriptors = torch.eye(4)[None]
    seen = torch.ones(1, 4, dtype=torch.bool)
    right = superpoint.descriptor_loss(descriptors, descriptors, seen, seen, 0.06)
    swapped = superpoint.descriptor_loss(descriptors, descriptors.flip(1), seen, seen, 0.06)
    assert right < 1e-4 and swapped > 10


def test_place_loss_by_hand():
    scores = torch.zeros(1, 20, 30)
    scores[0, 7, 5], scores[0, 12, 20] = 0.6, 0.2  # all the score in one pixel: its centre of mass is its centre
    points = torch.tensor([[[5.3, 6.6], [20.0, 12.1], [11.2, 16.4]]])
    seen = torch.ones(1, 3, dtype=torch.bool)
    far, near = np.hypot(0.3, 0.4), 0.1  # the third label has no score around it, and no say
    assert superpoint.place_loss(scores, points, seen).item() == pytest.approx((0.6 * far + 0.2 * near) / 0.8, abs=1e-4)
    seen[0, 0] = False
    assert superpoint.place_loss(scores, points, seen).item() == pytest.approx(near, abs=1e-4)


def test_place_loss_moves_the_centre_of_mass_to_the_label():
    logits = torch.zeros(1, 20, 30, requires_grad=True)
    points, seen = torch.tensor([[[5.3, 6.6], [20.0, 12.1]]]), torch.ones(1, 2, dtype=torch.bool)
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        superpoint.place_loss(logits.sigmoid(), points, seen).backward()
        optimizer.step()
    scores = logits.detach().sigmoid()[0].numpy()
    for point in points[0].numpy():
        column, row = np.rint(point).astype(int)
        y, x = center_of_mass(scores[row - 2 : row + 3, column - 2 : column + 3])
        np.testing.assert_allclose([column - 2 + x, row - 2 + y], point, atol=0.05)


# Export


def test_the_exported_checkpoint_computes_what_the_training_network_does():
    torch.manual_seed(0)
    network = superpoint.Network(TINY["encoder"], TINY["decoder"], TINY["descriptor"])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        for _ in range(5):
            network(torch.rand(4, 1, 32, 40))  # running means and variances of their own
    views = torch.rand(2, 1, 64, 80)
    plain, network = network.export(), network.eval()
    assert plain.state_dict().keys() == SuperPointForKeypointDetection(plain.config).state_dict().keys()
    with torch.no_grad():
        logits, descriptors = network(views)
        features = plain(views.expand(-1, 3, -1, -1), output_hidden_states=True).hidden_states[-1]
        decoder, describer = plain.keypoint_decoder, plain.descriptor_decoder
        plain_logits = decoder.conv_score_b(torch.relu(decoder.conv_score_a(features)))
        plain_descriptors = describer.conv_descriptor_b(torch.relu(describer.conv_descriptor_a(features)))
    torch.testing.assert_close(plain_logits, logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(torch.nn.functional.normalize(plain_descriptors), descriptors, rtol=0, atol=1e-4)
    scores = score_map_of_checkpoint(plain, features)
    torch.testing.assert_close(scores, superpoint.score_map(logits), rtol=0, atol=1e-5)
    torch.testing.assert_close(scores, as_the_model_unfolds(logits), rtol=0, atol=1e-5)


# The whole recipe


@pytest.fixture
def photos(tmp_path):
    """A folder with `photos.parquet`: crops of scikit-image's photographs, three to train on, four to measure with."""

    def jpeg(array):
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, "JPEG", quality=90)
        return {"bytes": stream.getvalue(), "path": "photo.jpg"}

    camera, coffee, brick = skimage.data.camera(), skimage.data.coffee(), skimage.data.brick()
    train = [camera[100:300, 150:400], coffee[50:271, 100:381], brick[:180, :240]]
    validation = [camera[:240, :320], coffee[:240, :320], coffee[100:340, 200:520], camera[200:440, 190:510]]
    rows = [(jpeg(array), "train") for array in train] + [(jpeg(array), "validation") for array in validation]
    columns = {"image": [row[0] for row in rows], "source": ["scikit-image"] * 7, "split": [row[1] for row in rows]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "photos.parquet")
    return tmp_path


def test_photographs_are_read_as_grayscale_of_one_split(photos):
    arrays = superpoint.load_photos(photos, "train")
    assert [array.shape for array in arrays] == [(200, 250), (221, 281), (180, 240)]
    assert {array.dtype.name for array in arrays} == {"uint8"}
    truth = skimage.data.camera()[100:300, 150:400]
    assert np.abs(arrays[0].astype(int) - truth).mean() < 5  # JPEG
    assert len(superpoint.load_photos(photos, "validation")) == 4


def test_a_run_of_a_few_steps_ends_in_a_checkpoint_and_goes_on_where_it_was_stopped(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(superpoint.benchmark, "VALIDATION", slice(2, 4))
    monkeypatch.setattr(superpoint, "VIEW", (64, 80))
    work, out = tmp_path / "work", tmp_path / "checkpoint"
    options = ["--data", photos, "--work", work, "--out", out, "--minutes", 0.01, "--batch", 2, "--cpu"]
    options += ["--precision", "no", "--encoder", *TINY["encoder"], "--decoder", 8, "--descriptor", 8]

    def train(*more):
        superpoint.main([str(option) for option in (*options, *more)])
        return json.loads((work / "log.json").read_text()), (out / "model.safetensors").read_bytes()

    class Stopped(Exception):
        pass

    def stop(*_, **__):
        raise Stopped

    with monkeypatch.context() as patch:  # stopped between the third and the fourth stage
        patch.setattr(superpoint, "vote", stop)
        with pytest.raises(Stopped):
            train()
    before = json.loads((work / "log.json").read_text())
    assert before.keys() == {"shapes", "adapt", "joint"} and not out.exists()

    with monkeypatch.context() as patch:  # what is done is not done again
        patch.setattr(superpoint, "draw_shapes", stop)
        patch.setattr(superpoint, "adapt", stop)
        log, weights = train()
    assert log.keys() == {"shapes", "adapt", "joint", "vote", "final"}
    assert {stage: log[stage] for stage in before} == before
    assert min(log[stage]["steps"] for stage in ("shapes", "joint", "final")) >= 1

    assert train() == (log, weights)  # the same command once more adds nothing

    model, report = SuperPointForKeypointDetection.from_pretrained(out, output_loading_info=True)
    assert not any(report.values()), report
    assert model.dtype == torch.float32 and model.config.encoder_hidden_sizes == TINY["encoder"]
    inputs = AutoImageProcessor.from_pretrained(out, backend="pil")(Image.new("RGB", (80, 64)), return_tensors="pt")
    assert torch.isfinite(model(**inputs).scores).all()

    results = json.loads((out / "results.json").read_text())
    assert results["stages"] == log
    assert results["options"]["seed"] == 0 and "data" not in results["options"]
    assert set(results["test"]) > set(results["validation"]) > {"repeatability@3", "MMA@3"}

    starts = []

    class Recorded(superpoint.Pairs):
        def __iter__(self):
            starts.append(self.start)
            return super().__iter__()

    monkeypatch.setattr(superpoint, "Pairs", Recorded)
    longer, other_weights = train("--minutes", 0.06)  # goes on with fresh samples, on the same labels
    assert starts[-1] == 2 * log["final"]["steps"]
    assert longer["final"]["steps"] > log["final"]["steps"] and longer["vote"] == log["vote"]
    assert other_weights != weights
