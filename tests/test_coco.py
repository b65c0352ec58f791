"""`helpers.coco` against pycocotools, and with each fault that labels have."""

import contextlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from scipy import ndimage

from helpers import coco, media, pages

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return pages.labelled(tmp_path_factory.mktemp("pages"), count=12, seed=4, empty=0.3)


def test_keypoints_are_those_that_pycocotools_reads(labelled):
    with contextlib.redirect_stdout(io.StringIO()):
        other = COCO(str(labelled))
    samples, names = coco.read(labelled, labelled.parent)
    assert names == other.loadCats(other.getCatIds())[0]["keypoints"] == list(pages.CORNERS)
    assert len(samples) == len(other.getImgIds()) == 12
    for number, sample in enumerate(samples):
        theirs = other.loadAnns(other.getAnnIds(imgIds=number))
        assert (sample.keypoints is None) == (not theirs) == (sample.flags is None)
        if theirs:
            triples = np.reshape(theirs[0]["keypoints"], (4, 3))
            np.testing.assert_allclose(sample.keypoints, triples[:, :2], atol=1e-9)
            np.testing.assert_array_equal(sample.flags, triples[:, 2])
            assert theirs[0]["num_keypoints"] == (sample.flags > 0).sum()
    assert {sample.flags is None for sample in samples} == {True, False}


def dataset(folder, size=(60, 40), keypoints=(10, 12, 2, 30, 20, 1), **image):
    """A folder with one picture and its labels; `image` replaces parts of its entry. Returns both paths."""
    Image.new("RGB", size).save(folder / "a.png")
    entry = {"id": 7, "file_name": "a.png", "width": size[0], "height": size[1]} | image
    one = {"id": 1, "image_id": 7, "category_id": 1, "keypoints": list(keypoints), "num_keypoints": 2}
    data = {"images": [entry], "annotations": [one], "categories": [{"id": 1, "name": "tool", "keypoints": ["a", "b"]}]}
    (folder / "labels.json").write_text(json.dumps(data))
    return folder / "labels.json", folder


def test_a_large_picture_is_shrunk_and_its_keypoints_with_it(tmp_path):
    y, x = np.indices((900, 1300))
    values = 255 * np.exp(-((x - 700) ** 2 + (y - 301) ** 2) / 200)
    labels, images = dataset(tmp_path, (1300, 900), (700, 301, 2, 0, 0, 0))
    Image.fromarray(values.astype(np.uint8)).convert("RGB").save(images / "a.png")
    (sample,), _ = coco.read(labels, images)
    assert sample.image.size == (434, 300)  # by 3, as 2 leaves more than 512
    centre = ndimage.center_of_mass(np.asarray(sample.image.convert("L"), dtype=float))[::-1]
    np.testing.assert_allclose(sample.keypoints[0], centre, atol=0.02)


def test_a_crowd_is_not_a_labelled_thing(tmp_path):
    labels, images = dataset(tmp_path)
    data = json.loads(labels.read_text())
    data["annotations"].append(data["annotations"][0] | {"id": 2, "iscrowd": 1, "keypoints": []})
    labels.write_text(json.dumps(data))
    assert len(coco.read(labels, images)[0]) == 1


def alone(name, value):
    return lambda data: data.update({name: value})


def annotation(**changes):
    return lambda data: data["annotations"][0].update(changes)


def twice(data):
    data["annotations"].append(data["annotations"][0])


FAULTS = [
    (
        annotation(keypoints=[10, 12, 2, 61, 20, 1]),
        r"a\.png, annotation 1, has 'b' at \(61, 20\), outside of 60 x 40 px",
    ),
    (annotation(keypoints=[10, -3, 2, 30, 20, 1]), r"'a' at \(10, -3\), outside.*mark it as not labelled"),
    (annotation(keypoints=[float("nan"), 3, 2, 30, 20, 1]), r"'a' at \(nan, 3\), outside"),
    (annotation(keypoints=[10, 12, 2]), "has 1 keypoints instead of 2: label it again"),
    (annotation(keypoints=["x", 12, 2, 30, 20, 1]), "not numbers"),
    (annotation(keypoints=[0] * 6), "is empty.*delete the annotation"),
    (annotation(keypoints=None), "has 0 keypoints instead of 2"),
    (annotation(image_id=8), "picture 8, which is not among its images: export again"),
    (twice, r"a\.png has 2 annotations: cut it"),
    (alone("categories", []), "0 categories with keypoints"),
    (alone("categories", 2 * [{"keypoints": ["a", "b"]}]), "2 categories with keypoints"),
    (alone("images", [{"id": 7}]), "not COCO's JSON.*file_name"),
    (lambda data: data.pop("annotations"), "not COCO's JSON.*annotations"),
    (lambda data: data["images"][0].update(width=40, height=60), r"a\.png has 60 x 40 px.*for 40 x 60.*upright"),
]


@pytest.mark.parametrize(("spoil", "message"), FAULTS)
def test_a_fault_is_named_with_its_remedy(tmp_path, spoil, message):
    labels, images = dataset(tmp_path)
    assert len(coco.read(labels, images)[0]) == 1
    data = json.loads(labels.read_text())
    spoil(data)
    labels.write_text(json.dumps(data))
    with pytest.raises(coco.LabelError) as found:
        coco.read(labels, images)
    assert re.search(message, str(found.value), re.DOTALL)


def test_files_that_are_missing_or_something_else(tmp_path):
    labels, images = dataset(tmp_path)
    with pytest.raises(coco.LabelError, match=r"There is no file .*gone\.json"):
        coco.read(tmp_path / "gone.json", images)
    for text in ("[1, 2]", "{", "\xff", '"images"'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(coco.LabelError, match=r"other.json is not COCO's JSON.*export as COCO keypoints"):
            coco.read(tmp_path / "other.json", images)
    (images / "a.png").write_bytes((images / "a.png").read_bytes()[:50])
    with pytest.raises(media.MediaError, match="damaged"):
        coco.read(labels, images)
    (images / "a.png").unlink()
    with pytest.raises(media.MediaError, match=r"There is no file .*a\.png"):
        coco.read(labels, images)
