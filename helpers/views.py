"""Views of which the truth is known: warped, disturbed and pasted photographs, a cube, and new views of a scene.

Pictures are RGB `PIL.Image.Image`, homographies map pixels to pixels, poses are world to camera, as in `geometry`.
"""

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from helpers.geometry import IDENTITY, backproject, compose, inside, invert, project, rescale, transform, warp_points


def random_homography(image_size, rng, rotation_deg=25.0, scale=(0.75, 1.3), perspective=0.1, shift=0.08):
    """Draw a homography that keeps most of an image of `image_size` = (height, width) in view.

    Args:
        rng: a numpy.random.Generator.
        rotation_deg: in-plane rotation, uniform in +- this many degrees.
        scale: range of the zoom, uniform in its logarithm.
        perspective: each corner moves by up to this share of the image's size.
        shift: the centre moves by up to this share of the image's size.

    Returns:
        (3, 3) array: pixels of the image -> pixels of its warped view.
    """
    height, width = image_size
    size = np.array([width, height], dtype=float)
    centre = (size - 1) / 2
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (size - 1)
    bent = corners + rng.uniform(-perspective, perspective, (4, 2)) * size
    angle = np.deg2rad(rng.uniform(-rotation_deg, rotation_deg))
    zoom = np.exp(rng.uniform(*np.log(scale)))
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = (bent - centre) @ turn.T + centre + rng.uniform(-shift, shift, 2) * size
    return cv2.getPerspectiveTransform(corners.astype(np.float32), target.astype(np.float32))


def rotation(image, degrees, zoom=1.0):
    """The homography (3, 3) that turns an image by `degrees`, anticlockwise, about its centre, and enlarges it."""
    return np.vstack(
        [cv2.getRotationMatrix2D(((image.width - 1) / 2, (image.height - 1) / 2), degrees, zoom), [0, 0, 1]]
    )


def warp(image, homography, size=None):
    """An image moved by a homography (3, 3), black where nothing falls; `size` is (height, width), None for its own."""
    height, width = size or (image.height, image.width)
    return Image.fromarray(cv2.warpPerspective(np.asarray(image), np.asarray(homography, dtype=float), (width, height)))


def disturb(image, rng, light=1.0, blur=0.0, noise=0.0):
    """An image as a lesser camera takes it: blurred (Gaussian, sigma in px), darker or brighter, then with noise.

    Args:
        rng: a numpy.random.Generator, for the noise.
        light: factor of all values.
        noise: standard deviation, as a share of white.
    """
    pixels = np.asarray(image, dtype=np.float32) / 255
    if blur:
        pixels = cv2.GaussianBlur(pixels, (0, 0), blur)
    pixels = pixels * light + rng.normal(0, noise, pixels.shape)
    return Image.fromarray((255 * pixels.clip(0, 1)).round().astype(np.uint8))


def paste(background, picture, homography, fine=3):
    """A picture laid over a background by a homography (picture to background), smooth: drawn `fine` times finer."""
    canvas, picture = np.array(background), np.asarray(picture)
    height, width = picture.shape[:2]
    outline = warp_points(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [width, height] - 0.5, homography)
    left, top = np.maximum(np.floor(outline.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)) + 1, canvas.shape[1::-1]).astype(int)
    if left < right and top < bottom:
        window = rescale(fine, fine) @ [[1, 0, -left], [0, 1, -top], [0, 0, 1]] @ homography
        layers = np.dstack([picture, np.ones((height, width))]).astype(np.float32)
        layers = cv2.warpPerspective(layers, window, (fine * (right - left), fine * (bottom - top)))
        layers = cv2.resize(layers, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        part = canvas[top:bottom, left:right]
        canvas[top:bottom, left:right] = (part * (1 - layers[..., 3:]) + layers[..., :3]).round()
    return Image.fromarray(canvas)


def straightened(image, corners):
    """A flat, rectangular thing in a picture as a scanner would see it.

    Args:
        corners: (4, 2), px: top left, top right, bottom right, bottom left, of its outermost pixels' outer edges.

    Returns a PIL image whose sides are as long as the thing's in the picture, the mean of each opposite two; true
    proportions would need the camera's focal length (Zhang & He 2007).
    """
    corners = np.asarray(corners, dtype=float)
    top, right, bottom, left = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    width, height = (max(1, round(sides / 2)) for sides in (top + bottom, left + right))
    sheet = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    homography = cv2.getPerspectiveTransform(corners.astype(np.float32), sheet.astype(np.float32))
    return Image.fromarray(cv2.warpPerspective(np.asarray(image), homography, (width, height), flags=cv2.INTER_CUBIC))


def place(background, picture, width, K, pose):
    """A picture in space, as a camera sees it before a background; if a corner is behind the camera, it is left out.

    Args:
        picture: lies in the plane z = 0 about the origin, its x to the right, its y down, z away from who looks at it.
        width: of the picture, metres.
        K, pose: of the camera, intrinsics (3, 3) and world to camera.
    """
    picture = np.asarray(picture)
    size, metres = np.array(picture.shape[1::-1]), width / picture.shape[1]
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2 * metres
    if (transform(np.column_stack([corners, np.zeros(4)]), pose)[:, 2] <= 0).any():
        return Image.fromarray(np.array(background))
    x, y = -metres * (size - 1) / 2
    to_metres = np.array([[metres, 0, x], [0, metres, y], [0, 0, 1]])
    return paste(background, picture, K @ np.column_stack([*pose[0].T[:2], pose[1]]) @ to_metres)


# Outward and rightward direction of a cube's front, right, back, left, top and bottom.
_SIDES = [
    ([0, 0, -1], [1, 0, 0]),
    ([1, 0, 0], [0, 0, 1]),
    ([0, 0, 1], [-1, 0, 0]),
    ([-1, 0, 0], [0, 0, -1]),
    ([0, -1, 0], [1, 0, 0]),
    ([0, 1, 0], [1, 0, 0]),
]


def cube(background, sides, width, K, pose):
    """A cube about the origin, as a camera sees it before a background.

    Args:
        sides: six square pictures: front (towards -z), right (x), back, left, top (-y), bottom.
        width: of the cube, metres.
        K, pose: of the camera, intrinsics (3, 3) and cube to camera.
    """
    for (outward, right), picture in zip(np.array(_SIDES), sides, strict=True):
        side = compose(pose, (np.column_stack([right, np.cross(right, outward), -outward]), outward * width / 2))
        if invert(side)[1][2] < 0:  # the camera is on the outer side
            background = place(background, picture, width, K, side)
    return background


def look_at(position, target=(0, 0, 0)):
    """The pose (world to camera) of a camera at `position` that looks at `target`, upright: y is the world's down.

    Raises ValueError where it would look straight up or down: then upright means nothing.
    """
    position = np.asarray(position, dtype=float)
    forward = target - position
    right = np.cross([0, 1, 0], forward)
    if not right.any():
        raise ValueError(f"From {position.tolist()} to {list(target)} is straight along y: move the camera aside.")
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    return R, -R @ position


def view_from(image, depth, K, pose):
    """What a photograph's camera would see from another place, by forward warping of the photograph and its depth.

    Each pixel becomes four points in space, and the nearest wins where several fall on a pixel of the new view. What
    the photograph never showed is filled with the nearest colours, in patches.

    Args:
        depth: (h, w), metres, NaN or infinite where not known; of the photograph, or of it at another size.
        K: intrinsics (3, 3) of both views.
        pose: first camera to new camera.
    """
    depth = cv2.resize(_fill(depth, np.isfinite(depth)), image.size, interpolation=cv2.INTER_NEAREST_EXACT)
    rows, columns = np.mgrid[0 : image.height : 0.5, 0 : image.width : 0.5] - 0.25
    finer = depth.repeat(2, axis=0).repeat(2, axis=1)
    surface = backproject(np.column_stack([columns.ravel(), rows.ravel()]), finer.ravel(), K)
    pixels = np.rint(project(surface, K, pose))
    seen = inside(pixels, depth.shape)
    x, y = pixels[seen].astype(int).T
    nearest = np.full(depth.shape, np.inf)
    np.minimum.at(nearest, (y, x), transform(surface[seen], pose)[:, 2])
    behind = cv2.dilate(np.where(np.isinf(nearest), 0, nearest), np.ones((5, 5)))  # closes thin cracks
    nearest = np.where(np.isinf(nearest), behind, nearest)
    # Then each pixel of the new view looks up its colour where the photograph shows its point.
    y, x = np.indices(depth.shape)
    world = transform(backproject(np.column_stack([x.ravel(), y.ravel()]), nearest.ravel(), K), invert(pose))
    source = project(world, K, IDENTITY).reshape(*depth.shape, 2).astype(np.float32)
    colours, shown = (cv2.remap(values, source, None, cv2.INTER_LINEAR) for values in (np.asarray(image), depth))
    hidden = shown < world[:, 2].reshape(depth.shape) - 0.1
    return Image.fromarray(_fill(colours, ~hidden & (nearest > 0)))


def _fill(values, valid):
    """Values (h, w, ...) with the nearest valid one in place of each that is not."""
    return values[tuple(distance_transform_edt(~valid, return_distances=False, return_indices=True))]
