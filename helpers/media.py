"""Sample photographs and a film, and images and videos from anywhere, always as 8-bit RGB `PIL.Image.Image`.

Whatever goes wrong is a `MediaError` that names the input and says what to do.
"""

import http.client
import json
import os
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 64_000_000
MAX_DOWNLOAD_BYTES = 100_000_000
SILENCE_S, DOWNLOAD_S = 5, 30  # a server may be silent, and a download may last, this many seconds

# Photographs only: Pillow's other readers are for drawings, and one of them starts Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM")

PHOTOS = {
    "astronaut": "Eileen Collins, a space shuttle and a helmet; NASA, public domain",
    "brick": "a brick wall in perspective; CC0Textures, CC0",
    "camera": "a man behind a camera on a tripod; Lav Varshney, CC0",
    "chelsea": "the face of a cat; Stefan van der Walt, CC0",
    "coffee": "a cup of espresso on a wooden table; Rachel Michetti, CC0",
    "coins": "24 Greek coins from Pompeii; Brooklyn Museum, no known copyright restrictions",
    "grace_hopper": "portrait of Rear Admiral Grace Hopper; US Navy, public domain",
    "grass": "grass from above; linolafett, CC0",
    "gravel": "gravel from above; CC0Textures, CC0",
    "motorcycle_left": "a motorcycle in a workshop, left view; Middlebury 2014 stereo benchmark (Scharstein et al.)",
    "motorcycle_right": "the same motorcycle, right view, rectified; Middlebury 2014 stereo benchmark",
    "page": "a printed page, unevenly lit; distributed with scikit-image, credit not stated",
    "rocket": "a Falcon 9 on its pad at dusk; SpaceX, public domain",
    "text": "handwritten formulas at a slant; Wikipedia, public domain",
}

CLIPS = {
    "workout": "a rendered person doing squats, jumping jacks, lunges and arm raises; made for these notebooks",
}


class MediaError(ValueError):
    """An image or a video can't be had; the message names the input and says what to do."""


def photo(name: str) -> Image.Image:
    """Returns a sample photograph, one of `PHOTOS`, in RGB; it comes with scikit-image or matplotlib, so no download.

    Raises MediaError for an unknown name, and where the package that holds the photograph is not installed.
    """
    if name not in PHOTOS:
        raise MediaError(f"There is no photo {name!r}; choose from: {', '.join(PHOTOS)}.")
    package, folder = ("matplotlib", "mpl-data/sample_data") if name == "grace_hopper" else ("skimage", "data")
    spec = find_spec(package)  # finds the package without importing it
    files = sorted(Path(spec.origin).parent.joinpath(folder).glob(f"{name}.[jp][pn]g")) if spec else []
    if not files:
        project = package.replace("skimage", "scikit-image")
        raise MediaError(f"The photo {name!r} comes with {project}. Run: pip install --force-reinstall {project}")
    return load(files[0])


def load(source: str | os.PathLike | bytes) -> Image.Image:
    """Returns the image at a path or an http(s) address, or in bytes, as 8-bit RGB; the first frame if it has several.

    EXIF orientation is applied. Transparent parts become white. 16-bit grayscale keeps its full range (0..65535 to
    0..255); deeper samples have no fixed white and are stretched from their minimum to their maximum.

    Raises MediaError if the source is missing, unreachable, not an image, damaged, or above `MAX_PIXELS` (64
    megapixels), which is read from the header, before anything is decoded.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(BytesIO(source), f"The image of {len(bytes(source))} bytes")
    if isinstance(source, str) and "://" in source:
        return _decode(BytesIO(_download(source)), source)
    if not isinstance(source, str | os.PathLike):
        raise MediaError(f"An image comes from a path, a URL or bytes, not from {type(source).__name__}.")
    try:
        stream = Path(source).expanduser().open("rb")
    except FileNotFoundError as error:
        raise MediaError(f"There is no file {Path(error.filename).absolute()}. Check the spelling.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise MediaError(f"{source} can't be opened ({error}). Give the path of an image file.") from error
    with stream:
        return _decode(stream, str(source))


def _decode(stream: BinaryIO, label: str) -> Image.Image:
    start = stream.read(512)
    if not start:
        raise MediaError(f"{label} is empty (0 bytes). Save or download it again.")
    stream.seek(0)
    too_large = (
        f"{label} has more than {MAX_PIXELS // 1_000_000} megapixels. Shrink it in any photo editor, for instance to "
        "4000 pixels on its longer side."
    )
    try:
        with warnings.catch_warnings(action="ignore"):  # Pillow warns of oddities that it then copes with
            image = Image.open(stream, formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise MediaError(too_large)
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(too_large) from error
    except UnidentifiedImageError as error:
        if b"<html" in start.lower() or b"<!doctype html" in start.lower():
            raise MediaError(f"{label} is a web page. Give the address or file of the image itself.") from error
        raise MediaError(f"{label} is not an image of a known kind. Save it as JPEG or PNG.") from error
    except Exception as error:  # on damaged files, Pillow's decoders raise almost anything
        raise MediaError(f"{label} is damaged or cut short ({error}). Copy or download it again.") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.nan_to_num(np.asarray(image)).astype(float)
        low, high = 0, 65535
        if image.mode == "F" or values.min() < low or values.max() > high:
            low, high = values.min(), values.max()
        image = Image.fromarray(np.round((values - low) * 255 / ((high - low) or 1)).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _download(url: str) -> bytes:
    if not url.lower().startswith(("http://", "https://")):
        raise MediaError(f"{url} is neither http nor https. Download the image and give its path.")
    # Some servers turn away Python's default name; spaces and letters such as é must travel encoded.
    address = urllib.parse.quote(url, safe=":/?#[]@!$&'()*+,;=%~")
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (keypoint notebooks)"})
    deadline = time.monotonic() + DOWNLOAD_S
    data = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=SILENCE_S) as response:
            while chunk := response.read1(1 << 16):
                data += chunk
                if len(data) > MAX_DOWNLOAD_BYTES:
                    raise OSError(f"more than {MAX_DOWNLOAD_BYTES // 1_000_000} MB")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not finished after {DOWNLOAD_S} s")
    except urllib.error.HTTPError as error:
        error.close()
        raise MediaError(f"{url} answers {error.code} {error.reason}. Check the address in a browser.") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        remedy = "Check the address and the network, or save the image yourself and give its path."
        raise MediaError(f"{url} can't be downloaded ({getattr(error, 'reason', error)}). {remedy}") from error
    return bytes(data)


# Videos


def clip(name: str) -> tuple[Path, dict]:
    """Returns the path of a sample film, one of `CLIPS`, and its truth, a dictionary.

    For `workout` it holds, per frame: `joints` (T, 17, 2) px in COCO-17 order, `joints_3d` (T, 17, 3) m in the camera's
    frame, `visibility` (T, 17) (0 outside the image, 1 hidden, 2 visible), `angles_deg` (T, 13, 3), rotations of
    `angle_names` as Euler angles ZXY, and `times` (T,) s; for the whole film: `K`, `R`, `t` (world to camera), `fps`,
    `frames`, `width`, `height`, `joint_names`, `occlusion_s`, and `repetitions`, a list with `exercise`, `form`,
    `side`, `start_s`, `middle_s` (a squat's bottom, a jumping jack's arms at their highest) and `end_s` of each.

    Raises MediaError for an unknown name, and where the files are not installed.
    """
    if name not in CLIPS:
        raise MediaError(f"There is no clip {name!r}; choose from: {', '.join(CLIPS)}.")
    film = Path(__file__).parent / "clips" / f"{name}.mp4"
    try:
        truth = json.loads(film.with_suffix(".json").read_text(encoding="utf-8"))
        with np.load(film.with_suffix(".npz")) as arrays:
            truth |= dict(arrays)
        if not film.is_file():
            raise FileNotFoundError(film)
    except OSError as error:
        raise MediaError(f"The clip {name!r} is not complete ({error}). Install this package again.") from error
    return film, truth


def frames(video: str | os.PathLike | bytes) -> Iterator[Image.Image]:
    """Returns an iterator over the frames of a video file, or of its bytes, in RGB; one frame at a time is in memory.

    Videos that a phone marks as turned come upright. `image.info["time_s"]` is when a frame is shown, in seconds, which
    is right for a variable frame rate too.

    Raises MediaError at once if the video is missing, empty, or not a video, and after the last good frame if more than
    5 % of the frames that it should have are missing.
    """
    if isinstance(video, bytes | bytearray | memoryview):
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # OpenCV reads files only
        path, label = Path(folder.name) / "video", f"The video of {len(bytes(video))} bytes"
        path.write_bytes(video)
    elif isinstance(video, str | os.PathLike):
        folder, path, label = None, Path(video).expanduser(), str(video)
    else:
        raise MediaError(f"A video comes from a path or bytes, not from {type(video).__name__}.")
    if "://" in label:
        raise MediaError(f"{label} is an address. Download the video and give its path.")
    if not path.exists():
        raise MediaError(f"There is no file {path.absolute()}. Check the spelling.")
    if path.is_dir():
        raise MediaError(f"{label} is a folder. Give the path of a video file.")
    if path.stat().st_size == 0:
        raise MediaError(f"{label} is empty (0 bytes). Save or download it again.")
    # FFmpeg's complaints go past Python to the terminal, and the errors here say as much.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2  # heavy, and photographs do without

    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    finally:
        logging.setLogLevel(level)
    good, first = capture.read() if capture.isOpened() else (False, None)
    if not good:
        capture.release()
        raise MediaError(f"{label} is not a video that OpenCV can read, or is damaged. Save it as MP4 (H.264).")
    return _frames(capture, first, label, folder)


def _frames(capture, frame, label, folder):
    import cv2

    expected, count, good = capture.get(cv2.CAP_PROP_FRAME_COUNT), 0, True
    try:
        while good:
            image = Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            image.info["time_s"] = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            count += 1
            yield image
            good, frame = capture.read()
        if count < 0.95 * expected - 1:
            raise MediaError(
                f"{label} ends after {count} of its {expected:.0f} frames: it is cut short. Copy or download it again."
            )
    finally:
        capture.release()
        if folder:
            folder.cleanup()


class StereoPair(NamedTuple):
    """Two photographs of one scene, and what is known of them."""

    left: Image.Image
    right: Image.Image
    K_left: np.ndarray  # (3, 3)
    K_right: np.ndarray  # (3, 3)
    pose: tuple[np.ndarray, np.ndarray]  # left camera to right camera: R (3, 3), t (3,) in metres
    disparity: np.ndarray  # (h, w), px: a point at (x, y) on the left is at (x - disparity, y) on the right
    depth: np.ndarray  # (h, w), metres from the left camera; both NaN where not measured


def motorcycle() -> StereoPair:
    """Returns the motorcycle of the Middlebury 2014 stereo benchmark (Scharstein et al.), rectified, 741 x 500 pixels.

    K is the benchmark's of the full size, divided by four as it publishes it, without the half pixel: true principal
    points lie .375 px further left and up. Raises MediaError where scikit-image, which holds it, is not installed.
    """
    left, right = photo("motorcycle_left"), photo("motorcycle_right")
    with np.load(Path(find_spec("skimage").origin).parent / "data" / "motorcycle_disp.npz") as file:
        disparity = next(iter(file.values()))
    disparity = np.where(np.isfinite(disparity), disparity, np.nan).astype(float)
    K_left = np.array([[994.978, 0, 311.193], [0, 994.978, 254.877], [0, 0, 1]])
    K_right = np.array([[994.978, 0, 311.193 + 31.086], [0, 994.978, 254.877], [0, 0, 1]])
    baseline = 0.193001
    depth = K_left[0, 0] * baseline / (disparity + 31.086)
    return StereoPair(left, right, K_left, K_right, (np.eye(3), np.array([-baseline, 0, 0])), disparity, depth)
