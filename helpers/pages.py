"""Photographs of pages whose corners are known: drawn pages on sample photographs, as a phone's camera sees them.

Corners are those of the page as it is read: top left, top right, bottom right, bottom left.
"""

import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.transform import Rotation

from helpers import media
from helpers.geometry import inside, project
from helpers.views import disturb, place

CORNERS = ("top left", "top right", "bottom right", "bottom left")
SIZE = 240, 320  # px, width and height of a photograph
# What is held out serves to measure: three backgrounds, and pages that were really printed or written.
TRAIN = ("astronaut", "camera", "chelsea", "coins", "grass", "motorcycle_left", "rocket")
HELD_OUT = ("brick", "coffee", "gravel")
HELD_OUT_PAGES = ("page", "text")
LETTERS = list("aaeeiioutnrsldhcmpg    ")
photo = cache(media.photo)


def drawn(rng, photos=TRAIN, width=420):
    """A printed page, a PIL image: lines of words in one size, a heading, now and then a photograph, on whitish paper.

    Args:
        rng: a numpy.random.Generator.
        photos: names of `media.PHOTOS` for the illustrations.
        width: px; the page is 0.4 to 1.6 times as high.
    """
    height = round(width * rng.choice([1.414, rng.uniform(1.2, 1.6), rng.uniform(0.4, 1.2)]))
    paper = np.clip(rng.normal(235, 12) + rng.normal(0, 5, 3), 190, 255).astype(int)
    page = Image.new("RGB", (width, height), tuple(paper.tolist()))
    pen, ink = ImageDraw.Draw(page), tuple(rng.integers(0, 90, 3).tolist())
    margin, size = round(width * rng.uniform(0.05, 0.14)), rng.integers(9, 22)
    heading, text = ImageFont.load_default(int(1.8 * size)), ImageFont.load_default(int(size))
    y, end = margin, height - margin * rng.uniform(0.8, 4)
    while y < end - size:
        if (kind := rng.random()) < 0.06 and y + 0.4 * width < end:
            picture = photo(str(rng.choice(photos))).resize((width - 2 * margin, round(0.35 * width)))
            page.paste(picture, (margin, round(y)))
            y += picture.height + size
        font = heading if kind > 0.93 or y == margin else text
        room = (width - 2 * margin) * (0.5 if font is heading else rng.choice([1, 1, 1, 0.6]))
        letters = "".join(rng.choice(LETTERS, int(room / (0.48 * font.size))))
        pen.text((margin, y), letters, fill=ink, font=font)
        y += font.size * rng.choice([1.3, 1.3, 1.3, 2.2])
    return page


def as_paper(picture):
    """A photographed page (PIL image) as white as paper: its values stretched from the darkest to the 90th percent."""
    values = np.asarray(picture, dtype=float)
    low, high = np.percentile(values, [0, 90])
    return Image.fromarray(((values - low) / (high - low) * 235).clip(0, 255).astype(np.uint8))


def background(rng, photos, size=SIZE, plain=0.2):
    """A part of a sample photograph, one of `photos`, or with the chance `plain` a surface of one colour.

    A PIL image of `size` (width, height), px.
    """
    if rng.random() < plain:
        gray = rng.integers(30, 220)
        return Image.new("RGB", size, tuple((gray + rng.integers(-30, 31, 3)).tolist()))
    picture = photo(str(rng.choice(photos)))
    most = min(picture.width / size[0], picture.height / size[1])
    scale = rng.uniform(min(0.75, most), min(2.5, most))  # px of the photograph over px of the part
    part = scale * np.array(size)
    corner = rng.uniform(0, 1, 2) * (picture.size - part)
    part = picture.resize(size, box=(*corner, *(corner + part).clip(max=picture.size)))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def photograph(page, behind, rng):
    """A page on a background, tilted and turned by up to 30 degrees, lit from a side, in focus or not; a PIL image.

    Args:
        page, behind: PIL images; without a page (None) the background alone is lit.
        rng: a numpy.random.Generator.

    Returns the image, the page's corners (4, 2), px, and flags (4,) as in COCO: 2 in sight, 1 hidden by something, 0
    outside the image or, without a page, not there.
    """
    width, height = behind.size
    corners, flags = np.zeros((4, 2)), np.zeros(4, dtype=int)
    if page is not None:
        K = np.array([[1.2 * height, 0, (width - 1) / 2], [0, 1.2 * height, (height - 1) / 2], [0, 0, 1]])
        shape = np.array([page.width, page.height]) / page.width
        tilt, turn = rng.uniform(0, 30), rng.uniform(-30, 30)
        direction = rng.uniform(0, 2 * np.pi)
        R = Rotation.from_rotvec(tilt * np.array([np.cos(direction), np.sin(direction), 0]), degrees=True)
        R = (R * Rotation.from_euler("z", turn, degrees=True)).as_matrix()
        across = np.abs(R[:2, :2]) @ shape  # about the page's extent, metres, as the camera sees it
        distance = 1.2 * height * max(across / [width, height]) / rng.uniform(0.55, 1.02)
        centre = rng.uniform(-0.5, 0.5, 2) * np.maximum(np.array([width, height]) * distance / K[0, 0] - across, 0.05)
        pose = R, np.array([*centre, distance])
        plane = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * shape
        corners = project(np.column_stack([plane, np.zeros(4)]), K, pose)
        flags = np.where(inside(corners, (height, width)), 2, 0)
        shadow = cv2.fillConvexPoly(np.zeros((height, width), np.float32), np.int32(corners + rng.uniform(-3, 3, 2)), 1)
        shadow = 1 - rng.uniform(0, 0.6) * cv2.GaussianBlur(shadow, (0, 0), rng.uniform(1, 5))
        behind = Image.fromarray((np.asarray(behind) * shadow[..., None]).astype(np.uint8))
        behind = place(behind, page, 1.0, K, pose)
        if rng.random() < 0.15 and flags.any():
            row = rng.choice(np.flatnonzero(flags))
            spot, radius = corners[row] + rng.uniform(-6, 6, 2), rng.uniform(9, 22)
            ImageDraw.Draw(behind).circle(tuple(spot), radius, tuple(rng.integers(0, 256, 3).tolist()))
            flags[(flags > 0) & (np.linalg.norm(corners - spot, axis=1) < radius)] = 1
    y, x = np.indices((height, width)) / [[[height]], [[width]]] - 0.5
    light = 1 + rng.uniform(-0.4, 0.4) * x + rng.uniform(-0.4, 0.4) * y
    lit = Image.fromarray((np.asarray(behind) * light[..., None]).clip(0, 255).astype(np.uint8))
    return disturb(lit, rng, rng.uniform(0.6, 1.1), rng.uniform(0, 1.2), rng.uniform(0, 0.03)), corners, flags


def sample(name, seed, size=(600, 800)):
    """A drawn page on a held-out background, one of `HELD_OUT`, larger than those of `labelled`; a PIL image."""
    rng = np.random.default_rng(seed)
    behind = background(rng, [name], size, plain=0)
    return photograph(drawn(rng, HELD_OUT, width=size[0]), behind, rng)[0]


def labelled(folder, count, seed, held_out=False, empty=0.1):
    """Writes photographs of pages, JPEG, and `labels.json` as annotation tools export COCO's keypoints.

    Args:
        folder: a path; made where it is not there.
        held_out: with the pages and the backgrounds that are kept for measuring.
        empty: share of photographs without a page, and so without an annotation.

    Returns the path of `labels.json`; an annotation's attribute `page` is "drawn", or the photograph it comes from.
    """
    rng, folder = np.random.default_rng(seed), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number in range(count):
        photos = HELD_OUT if held_out else TRAIN
        page, kind = None if rng.random() < empty else drawn(rng, photos), "drawn"
        if page and held_out and rng.random() < 0.5:
            kind = str(rng.choice(HELD_OUT_PAGES))
            page = as_paper(photo(kind))
        image, corners, flags = photograph(page, background(rng, photos), rng)
        image.save(folder / f"{number:04}.jpg", quality=90)
        images.append({"id": number, "file_name": f"{number:04}.jpg", "width": image.width, "height": image.height})
        if page:
            keypoints = np.column_stack([corners * (flags > 0)[:, None], flags]).round(2).ravel().tolist()
            (left, top), (right, bottom) = corners.min(0), corners.max(0)
            box = np.round([left, top, right - left, bottom - top], 2).tolist()
            one = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": box}
            one |= {"area": round(box[2] * box[3], 2), "attributes": {"page": kind}}
            annotations.append(one | {"keypoints": keypoints, "num_keypoints": int((flags > 0).sum())})
    edges = [[1, 2], [2, 3], [3, 4], [4, 1]]
    categories = [{"id": 1, "name": "page", "keypoints": CORNERS, "skeleton": edges}]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (folder / "labels.json").write_text(text, encoding="utf-8")
    return folder / "labels.json"
