"""Sample photographs and a film, and images and videos from anywhere, always as 8-bit RGB `PIL.Image.Image`.

Whatever goes wrong is a `MediaError` that names the input and says what to do. FFmpeg (PyAV) reads films and finds the
damage in JPEG files: OpenCV calls many complete films cut short, and Pillow fills gaps with gray.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from importlib.util import find_spec
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from helpers import films

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

CLIPS = {"workout": "a rendered person doing squats, jumping jacks, lunges and arm raises; made for these notebooks"}


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

    JPEG, HEIC, AVIF, PNG, WebP, TIFF, GIF, BMP and PPM are known by their content. EXIF orientation is applied.
    Transparent parts become white. 16-bit grayscale keeps its full range (0..65535 to 0..255); deeper samples have no
    fixed white and are stretched from their minimum to their maximum.

    Raises MediaError if the source is missing, unreachable, not an image, damaged, or above `MAX_PIXELS` (64
    megapixels), which is read from the header, before anything is decoded.
    """
    if isinstance(source, str) and "://" in source:
        return _decode(*_open(_download(source), label=source))
    return _decode(*_open(source, "an image", "a path, a URL or bytes"))


def _open(source, what="", ways="", label=None) -> tuple[BinaryIO, str]:
    """A stream over a file or over bytes, and what errors call it."""
    if isinstance(source, bytes | bytearray | memoryview):
        stream, label = BytesIO(source), label or f"The {what.split()[-1]} of {len(bytes(source))} bytes"
    elif not isinstance(source, str | os.PathLike):
        raise MediaError(f"{what.capitalize()} comes from {ways}, not from {type(source).__name__}.")
    else:
        label = str(source)
        try:
            if (path := Path(source).expanduser()).is_dir():
                raise IsADirectoryError("it is a folder")
            stream = path.open("rb")
        except FileNotFoundError as error:
            raise MediaError(f"There is no file {Path(error.filename).absolute()}. Check the spelling.") from error
        except (OSError, ValueError, RuntimeError) as error:
            raise MediaError(f"{label} can't be opened ({error}). Give the path of {what} file.") from error
    if not stream.read(1):
        stream.close()
        raise MediaError(f"{label} is empty (0 bytes). Save or download it again.")
    stream.seek(0)
    return stream, label


def _decode(stream: BinaryIO, label: str) -> Image.Image:
    with stream, warnings.catch_warnings(action="ignore"):  # Pillow warns of oddities that it then copes with
        start = stream.read(512)
        stream.seek(0)
        if boxes := start[4:8] == b"ftyp":
            import pillow_heif  # takes a tenth of a second

            pillow_heif.register_heif_opener()
        try:
            image = Image.open(stream, formats=("HEIF", "AVIF") if boxes else FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
            if image.format in ("JPEG", "MPO"):
                stream.seek(0)
                _check_jpeg(stream.read())
            return _to_rgb(ImageOps.exif_transpose(image))
        except Image.DecompressionBombError as error:
            remedy = "Shrink it in any photo editor, for instance to 4000 pixels on its longer side."
            raise MediaError(f"{label} has more than {MAX_PIXELS // 1_000_000} megapixels. {remedy}") from error
        except UnidentifiedImageError as error:
            if b"<html" in start.lower() or b"<!doctype html" in start.lower():
                raise MediaError(f"{label} is a web page. Give the address or file of the image itself.") from error
            raise MediaError(f"{label} is not an image of a known kind. Save it as JPEG or PNG.") from error
        except Exception as error:  # on damaged files, Pillow's decoders raise almost anything
            cause = getattr(error, "strerror", None) or error
            raise MediaError(f"{label} is damaged or cut short ({cause}). Copy or download it again.") from error


def _check_jpeg(data: bytes) -> None:
    """Raises an error where the data break off or make no sense."""
    import av

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    with suppress(av.error.PatchWelcomeError):  # a kind of JPEG that FFmpeg lacks
        decoder.decode(av.Packet(data))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.nan_to_num(np.asarray(image)).astype(float)
        hidden = values == image.info.get("transparency")
        low, high = 0, 65535
        if image.mode == "F" or values.min() < low or values.max() > high:
            low, high = values.min(), values.max()
        values = np.where(hidden, 255, np.round((values - low) * 255 / ((high - low) or 1)))
        image = Image.fromarray(values.astype(np.uint8))
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


def frames(video: str | os.PathLike | bytes, longest: int | None = None) -> Iterator[Image.Image]:
    """Returns an iterator over the frames of a video file, or of its bytes, in RGB; one frame at a time is in memory.

    They come as a player shows them: turned, mirrored, with square pixels (the shorter way is stretched), without what
    an edit list hides. Where the longer side exceeds `longest`, px, it is shrunk to it before RGB, which is faster.

    `image.info["time_s"]` is when a frame is shown, in seconds from the first, and always increases. Where the
    container has no times (raw H.264, AVI) or gives two frames the same, or in a transport stream goes back or leaps
    ahead by more than 10 s (films were joined), a frame follows after 1 / rate, and later times count from there.

    Raises MediaError at once if the video is missing, empty, or not a video, and after the last good frame if it is
    damaged, goes back in time, ends more than half a second before the container says so, or has one frame only.
    """
    if isinstance(video, str) and "://" in video:
        raise MediaError(f"{video} is an address. Download the video and give its path.")
    stream, label = _open(video, "a video", "a path or bytes")
    images = _named(films.watch(stream, longest), label)
    next(images)  # opens the film, so that what can't be read is said at once
    return images


def _named(images, label):
    try:
        yield from images
    except films.FilmError as error:
        raise MediaError(f"{label} {error}") from error


def camera(seconds: float = 5, number: int = 0) -> Iterator[Image.Image]:
    """Yields for so many seconds the frames of a camera of the machine on which Python runs, in RGB.

    `image.info["time_s"]` is when it came. Raises MediaError if that machine has no such camera.
    """
    import cv2  # heavy, and only this needs it

    source, start = cv2.VideoCapture(number), time.monotonic()
    try:
        good, pixels = source.read() if source.isOpened() else (False, None)
        if not good:
            raise MediaError(f"The machine of this Python has no camera {number}. Record a film, and give its path.")
        while good and time.monotonic() < start + seconds:
            image = Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
            image.info["time_s"] = time.monotonic() - start
            yield image
            good, pixels = source.read()
    finally:
        source.release()


def write_film(path: str | os.PathLike, images: Iterable[Image.Image], fps: float) -> None:
    """Writes images of one size, asked for one by one, as H.264 in MP4, as browsers and phones play it; of even sides.

    Raises MediaError without images, and where PyAV was built without H.264; nothing is written then.
    """
    import av

    images = iter(images)
    if (first := next(images, None)) is None:
        raise MediaError(f"{path} was not written: a film needs one image at least.")
    try:
        av.Codec("libx264", "w")
    except ValueError as error:
        raise MediaError(f"PyAV lacks H.264 ({error}): pip install --force-reinstall --only-binary av av") from error
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        steady = {"crf": "20", "x264-params": "threads=1:mbtree=0"}  # else the same images give another film each time
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options=steady)
        stream.width, stream.height, stream.pix_fmt = *(side // 2 * 2 for side in first.size), "yuv420p"
        for image in chain([first], images):
            even = image.convert("RGB").crop((0, 0, stream.width, stream.height))
            container.mux(stream.encode(av.VideoFrame.from_image(even)))
        container.mux(stream.encode())
