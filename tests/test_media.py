"""`helpers.media`: pixels against NumPy and closed forms, addresses against a server on loopback, errors that help.

Films are made here, and what is shown of them is compared with how they were made and with the ffmpeg program.
"""

import contextlib
import io
import itertools
import shutil
import struct
import subprocess
import threading
import time
import zlib
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pillow_heif
import pytest
import skimage.data
from PIL import Image, ImageFile

from helpers import media

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encode(image, kind="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def loaded(source):
    image = media.load(source)
    assert image.mode == "RGB"
    return np.asarray(image)


def gray(values):
    return np.repeat(np.asarray(values, dtype=np.uint8)[..., None], 3, axis=-1)


# Sample photographs


@pytest.mark.parametrize("name", media.PHOTOS)
def test_every_photo_is_there_and_credited(name):
    image = media.photo(name)
    assert image.mode == "RGB" and min(image.size) >= 170
    assert np.asarray(image).std() > 20
    what, credit = media.PHOTOS[name].split(";")
    assert what and credit and "\n" not in credit


def test_photos_are_the_ones_of_scikit_image():
    left, right, _ = skimage.data.stereo_motorcycle()
    truth = {
        "astronaut": skimage.data.astronaut(),
        "camera": gray(skimage.data.camera()),
        "rocket": skimage.data.rocket(),
        "motorcycle_left": left,
        "motorcycle_right": right,
    }
    for name, array in truth.items():
        np.testing.assert_array_equal(np.asarray(media.photo(name)), array)


def test_unknown_photo_lists_the_names():
    with pytest.raises(ValueError, match=r"'lena'.*astronaut.*text"):
        media.photo("lena")


def test_photo_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(media, "find_spec", lambda package: None)
    with pytest.raises(media.MediaError, match=r"'chelsea'.*pip install.*scikit-image"):
        media.photo("chelsea")


# Pixels


def test_path_string_and_bytes_give_the_same_pixels(tmp_path, pixels):
    path = tmp_path / "photo.png"
    path.write_bytes(encode(pixels))
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes())):
        np.testing.assert_array_equal(loaded(source), pixels)


def test_home_is_expanded(tmp_path, pixels, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "photo.png").write_bytes(encode(pixels))
    np.testing.assert_array_equal(loaded("~/photo.png"), pixels)


def test_one_pixel():
    np.testing.assert_array_equal(loaded(encode(np.full((1, 1, 3), 7, np.uint8))), [[[7, 7, 7]]])


def test_grayscale_and_bilevel(pixels):
    np.testing.assert_array_equal(loaded(encode(pixels[..., 0])), gray(pixels[..., 0]))
    bilevel = pixels[..., 0] > 127
    np.testing.assert_array_equal(loaded(encode(bilevel)), gray(bilevel * 255))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_their_full_range(kind):
    gradient = np.linspace(0, 65535, 1200).astype(np.uint16).reshape(1, -1).repeat(2, axis=0)
    result = loaded(encode(gradient, kind))
    np.testing.assert_array_equal(result, gray(np.round(gradient / 257)))
    assert (np.diff(result[0, :, 0].astype(int)) >= 0).all()
    assert len(np.unique(result)) == 256


def test_transparent_sixteen_bits_become_white():
    values = np.linspace(0, 65535, 8).astype(">u2").reshape(1, 8)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 8, 1, 16, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tRNS", struct.pack(">H", values[0, 3]))
    png += chunk(b"IDAT", zlib.compress(b"\0" + values.tobytes())) + chunk(b"IEND", b"")
    truth = np.round(values / 257)
    truth[0, 3] = 255
    np.testing.assert_array_equal(loaded(png), gray(truth))


def test_dark_sixteen_bits_stay_dark():
    np.testing.assert_array_equal(loaded(encode(np.full((2, 2), 257, np.uint16))), np.full((2, 2, 3), 1))


def test_deeper_samples_are_stretched():
    ramp = np.linspace(-2, 3, 256, dtype=np.float32).reshape(16, 16)
    np.testing.assert_array_equal(loaded(encode(ramp, "TIFF")), gray(np.arange(256).reshape(16, 16)))
    ramp = (np.arange(256, dtype=np.int32) * 8_000_000).reshape(16, 16)
    np.testing.assert_array_equal(loaded(encode(ramp, "TIFF")), gray(np.arange(256).reshape(16, 16)))
    np.testing.assert_array_equal(loaded(encode(np.full((2, 2), np.nan, np.float32), "TIFF")), np.zeros((2, 2, 3)))


def test_transparency_becomes_white(pixels):
    alpha = np.linspace(0, 255, 54).astype(np.uint8).reshape(6, 9, 1)
    over_white = pixels * (alpha / 255) + 255 * (1 - alpha / 255)
    rgba = Image.fromarray(np.concatenate([pixels, alpha], axis=-1))
    np.testing.assert_allclose(loaded(encode(rgba)), over_white, atol=1)
    la = Image.fromarray(np.concatenate([pixels[..., :1], alpha], axis=-1))
    np.testing.assert_allclose(loaded(encode(la)), gray(over_white[..., 0]), atol=1)


def test_palette_with_and_without_transparency():
    indices = np.arange(4, dtype=np.uint8).reshape(2, 2)
    colours = np.array([[200, 10, 20], [30, 200, 40], [50, 60, 200], [70, 80, 90]], dtype=np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colours.tobytes())
    np.testing.assert_array_equal(loaded(encode(image)), colours[indices])
    colours[2] = 255
    np.testing.assert_array_equal(loaded(encode(image, transparency=2)), colours[indices])
    np.testing.assert_array_equal(loaded(encode(image, transparency=bytes([255, 255, 0]))), colours[indices])


def test_cmyk():
    cmyk = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255]]], dtype=np.uint8)
    rgb = [[[255, 255, 255], [0, 255, 255], [255, 0, 0], [0, 0, 0]]]
    np.testing.assert_array_equal(loaded(encode(Image.fromarray(cmyk, "CMYK"), "TIFF")), rgb)


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_exif_orientation_is_applied(pixels, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = pixels.repeat(16, axis=0).repeat(16, axis=1)  # large flat patches survive JPEG
    truth = UPRIGHT[orientation](stored)
    result = loaded(encode(stored, kind, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {})))
    assert result.shape == truth.shape
    np.testing.assert_allclose(result, truth, atol=4 if kind == "JPEG" else 0)


def test_sixteen_bits_and_orientation_together():
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = (np.arange(12, dtype=np.uint16) * 257 * 20).reshape(3, 4)
    np.testing.assert_array_equal(loaded(encode(ramp, "TIFF", exif=exif)), gray(np.rot90(ramp // 257, -1)))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_phones_newer_formats_open_upright_whatever_the_name(tmp_path, pixels, kind, orientation):
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = pixels.repeat(32, axis=0).repeat(32, axis=1)
    path = tmp_path / "photo.jpg"
    path.write_bytes(encode(stored, kind, quality=95, exif=exif.tobytes()))
    truth, result = UPRIGHT[orientation](stored), loaded(path)
    assert result.shape == truth.shape
    centres = np.s_[16::32, 16::32]
    np.testing.assert_allclose(
        result[centres], truth[centres].astype(int), atol=25
    )  # their colours have half the pixels
    with pytest.raises(media.MediaError, match=r"photo\.jpg is (damaged|not an image)"):
        path.write_bytes(path.read_bytes()[:400])
        media.load(path)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 16}, {"mode": "L"}], ids=str)
@pytest.mark.parametrize("damage", ["ended", "ended in the middle", "zeros", "lost", "noise"])
def test_a_jpeg_damaged_in_the_middle_is_reported(options, damage):
    """Pillow loads half of these with up to half of the rows wrong: libjpeg warns and fills in, and nobody hears it.

    Tried on 240 files with damage of 1, 8 or 64 bytes, of which 118 came out visibly wrong: FFmpeg's decoder with
    `err_detect=explode` found 45 %, libjpeg's own warnings (through simplejpeg) 73 %; from 1 KB on, and where data are
    lost or the file ends, both find nearly all of them. FFmpeg's was chosen: it is here for the films, and it does not
    mind the few bytes too many that some cameras write before the end, which libjpeg warns of as well. Counting
    restart markers helps in the few files that have them, and OpenCV and imageio keep libjpeg's warnings to themselves.
    """
    photo = Image.fromarray(skimage.data.astronaut()).convert(options.get("mode", "RGB"))
    data = encode(photo, "JPEG", quality=90, **{name: value for name, value in options.items() if name != "mode"})
    assert media.load(data).size == (512, 512)
    middle = len(data) // 2
    after = {
        "ended": b"\xff\xd9",
        "ended in the middle": b"\xff\xd9" + data[middle + 2 :],
        "zeros": bytes(2000) + data[middle + 2000 :],
        "lost": data[middle + 5000 :],
        "noise": np.random.default_rng(0).bytes(2000) + data[middle + 2000 :],
    }[damage]
    with pytest.raises(media.MediaError, match=r"is damaged or cut short.*again"):
        media.load(data[:middle] + after)


def test_whole_jpegs_of_every_kind_load():
    photo = Image.fromarray(skimage.data.astronaut()).resize((75, 50))
    plain = encode(photo, "JPEG")
    kinds = {
        "CMYK": encode(photo.convert("CMYK"), "JPEG"),
        "two pictures": encode(photo, "MPO", save_all=True, append_images=[photo]),
        "stored as RGB": encode(photo, "JPEG", keep_rgb=True),
        "bytes before the end": plain[:-2] + b"\x12" * 9 + plain[-2:],
        "a film behind it": plain + b"\0\0\0\x18ftypmp42" * 99,
        "a thumbnail": plain[:2] + b"\xff\xe1" + struct.pack(">H", len(plain) + 2) + plain + plain[2:],
        **{f"subsampling {value}": encode(photo, "JPEG", subsampling=value) for value in (0, 1, 2)},
    }
    for name, data in kinds.items():
        assert np.abs(loaded(data).astype(int) - np.asarray(photo)).mean() < 8, name


def test_first_frame_of_an_animation():
    first, second = Image.new("RGB", (4, 3), "red"), Image.new("RGB", (4, 3), "blue")
    animation = encode(first, "GIF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(loaded(animation), np.asarray(first))


# Errors


def header_bomb(side):
    """A PNG of a few dozen bytes whose header announces side x side pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def bad_files():
    photo = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    jpeg, png = encode(photo, "JPEG"), encode(photo)
    return {
        "cut-short.jpg": (jpeg[: len(jpeg) // 2], r"damaged or cut short.*again"),
        "cut-short.png": (png[: len(png) // 2], r"damaged or cut short.*again"),
        "cut-in-header.jpg": (jpeg[:30], r"Save it as JPEG or PNG|again"),
        "text.png": (b"This is a text file.\n" * 20, r"not an image.*Save it as JPEG or PNG"),
        "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"not an image.*Save it as JPEG or PNG"),
        "saved-page.jpg": (b"\n<!DOCTYPE html><html><body>Hello</body></html>", r"web page.*image itself"),
        "empty.jpg": (b"", r"empty \(0 bytes\).*again"),
        "bomb-81-megapixels.png": (header_bomb(9_000), r"more than 64 megapixels.*Shrink"),
        "bomb-169-megapixels.png": (header_bomb(13_000), r"more than 64 megapixels.*Shrink"),
        "bomb-400-megapixels.png": (header_bomb(20_000), r"more than 64 megapixels.*Shrink"),
    }


@pytest.mark.parametrize("name", bad_files())
def test_bad_file_is_named_with_a_remedy(tmp_path, name):
    data, message = bad_files()[name]
    path = tmp_path / name
    path.write_bytes(data)
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    with pytest.raises(media.MediaError, match=message) as error:
        media.load(path)
    assert str(path) in str(error.value)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before == (before[0], False)
    with pytest.raises(media.MediaError, match=f"The image of {len(data)} bytes"):
        media.load(data)


def test_missing_file_folder_and_impossible_path(tmp_path):
    with pytest.raises(media.MediaError, match=r"no file .*none\.png.*[Cc]heck"):
        media.load(tmp_path / "none.png")
    with pytest.raises(media.MediaError, match=rf"{tmp_path.name}.*path of an image"):
        media.load(tmp_path)
    for impossible in ("nul\0byte.png", "~nobody-of-that-name/photo.png"):
        with pytest.raises(media.MediaError, match="path of an image"):
            media.load(impossible)


def test_other_types_are_refused():
    for source in (None, 3, np.zeros((2, 2)), ["a.png"]):
        with pytest.raises(media.MediaError, match=rf"path, a URL or bytes.*{type(source).__name__}"):
            media.load(source)


def test_random_damage_gives_an_image_or_a_media_error():
    generator = np.random.default_rng(1)
    photo = generator.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM"):
        intact = np.frombuffer(encode(photo, kind), dtype=np.uint8)
        for _ in range(60):
            damaged = intact.copy()
            damaged[generator.integers(0, len(damaged), 4)] = generator.integers(0, 256, 4)
            with contextlib.suppress(media.MediaError):
                assert media.load(damaged.tobytes()).mode == "RGB"


# Addresses


@pytest.fixture(scope="module")
def server():
    photo = encode(np.arange(60, dtype=np.uint8).reshape(4, 5, 3))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/moved.png":
                self.send_response(302)
                self.send_header("Location", "/photo.png")
                self.end_headers()
            elif self.path == "/silent.png":
                time.sleep(2)
            elif self.path in ("/photo.png", "/my%20caf%C3%A9.png?size=4", "/picky.png"):
                robot = self.path == "/picky.png" and self.headers["User-Agent"].startswith("Python")
                self.answer(403 if robot else 200, photo)
            elif self.path == "/cut.png":
                self.answer(200, photo[:-30], length=len(photo))
            elif self.path == "/page.png":
                self.answer(200, b"<!doctype html><html></html>")
            elif self.path == "/drip.png":
                self.send_response(200)
                self.end_headers()
                for byte in photo * 3:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.02)
            else:
                self.answer(404, b"nothing here")

        def answer(self, status, body, length=None):
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle(self):
            with contextlib.suppress(ConnectionError):  # of clients that gave up
                super().handle()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize(
    "page", ["photo.png", "moved.png", "my café.png?size=4", "my%20caf%C3%A9.png?size=4", "picky.png"]
)
def test_address_of_an_image(server, page):
    np.testing.assert_array_equal(loaded(f"{server}/{page}"), np.arange(60).reshape(4, 5, 3))


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("none.png", r"answers 404.*Check the address"),
        ("page.png", r"web page.*image itself"),
        ("cut.png", r"damaged or cut short.*again"),
    ],
)
def test_bad_answers_are_named_with_a_remedy(server, page, message):
    with pytest.raises(media.MediaError, match=message) as error:
        media.load(f"{server}/{page}")
    assert f"{server}/{page}" in str(error.value)


@pytest.mark.parametrize("page", ["silent.png", "drip.png"])
def test_slow_servers_are_given_up(server, page, monkeypatch):
    monkeypatch.setattr(media, "SILENCE_S", 0.3)
    monkeypatch.setattr(media, "DOWNLOAD_S", 0.5)
    start = time.monotonic()
    with pytest.raises(media.MediaError, match=r"can't be downloaded.*(timed out|not finished).*give its path"):
        media.load(f"{server}/{page}")
    assert time.monotonic() - start < 1.8


def test_large_downloads_are_refused(server, monkeypatch):
    monkeypatch.setattr(media, "MAX_DOWNLOAD_BYTES", 50)
    with pytest.raises(media.MediaError, match=r"can't be downloaded \(more than .* MB\).*give its path"):
        media.load(f"{server}/photo.png")


def test_unreachable_and_malformed_addresses():
    for address in ("http://127.0.0.1:9/photo.png", "http://127.0.0.1:port/photo.png", "http:///photo.png"):
        with pytest.raises(media.MediaError, match=r"can't be downloaded.*Check the address and the network"):
            media.load(address)
    for address in ("ftp://127.0.0.1/photo.png", "file:///etc/hostname"):
        with pytest.raises(media.MediaError, match=r"neither http nor https.*give its path"):
            media.load(address)


# Films


RATE = 10
LEVELS = range(20, 240, 4)  # the gray of each frame of a film, so that a frame is known by its look


def write_film(path, levels=LEVELS, ticks=None, codec="libx264", size=(160, 120), sound_s=0, **options):
    """A film of frames of one gray each under grain, at `ticks` / 10 s."""
    generator = np.random.default_rng(0)
    setting = {
        "libx264": {"x264-params": "keyint=10:scenecut=0:bframes=3:b-adapt=0"},
        "libvpx-vp9": {"speed": "8"},
    }.get(codec, {})
    with av.open(str(path), "w", options=options) as container:
        picture = container.add_stream(codec, rate=RATE, options=setting)
        picture.width, picture.height = size
        picture.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        sound = (
            container.add_stream("aac" if path.suffix in (".mp4", ".ts") else "libopus", rate=48000)
            if sound_s
            else None
        )
        if sound:
            sound.layout = "mono"
        coded = []
        for tick, level in zip(ticks or itertools.count(), levels, strict=False):
            frame = av.VideoFrame.from_ndarray(gray(level + generator.integers(-9, 10, size[::-1])), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, RATE)
            coded += picture.encode(frame)
        coded += picture.encode()
        for i in range(round(sound_s * 48000 / 960)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 960 * i, Fraction(1, 48000)
            coded += sound.encode(frame)
        coded += sound.encode() if sound else []
        for packet in sorted(coded, key=lambda one: one.dts * one.time_base):
            container.mux(packet)
    return path


def copied(source, path, change=lambda packet: packet, keep=lambda packet: True, **options):
    """The same packets in another container, as `ffmpeg -c copy` writes them."""
    with av.open(str(source)) as old, av.open(str(path), "w", options=options) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.dts is not None and keep(packet):
                packet.stream = streams[packet.stream.index]
                new.mux(change(packet))
    return path


def watched(film, **options):
    """The gray levels and the times of the frames that come, and the error at the end or None."""
    levels, times = [], []
    try:
        for image in media.frames(film, **options):
            levels.append(np.asarray(image).mean())
            times.append(image.info["time_s"])
    except media.MediaError as error:
        return levels, times, str(error)
    return levels, times, None


def assert_shown(film, levels=LEVELS, times=None):
    """The film is complete and has these frames at these times."""
    seen, when, error = watched(film)
    assert error is None
    np.testing.assert_allclose(seen, list(levels), atol=3)
    np.testing.assert_allclose(when, np.arange(len(seen)) / RATE if times is None else times, atol=1.1e-3)


def ffmpeg(*arguments):
    if not shutil.which("ffmpeg"):
        pytest.skip("the ffmpeg program is not installed: apt-get install ffmpeg")
    return subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, capture_output=True).stdout


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts", "12:30.mp4", "no ending", "a.txt"])
def test_a_film_is_known_by_its_content(tmp_path, name):
    path = write_film(tmp_path / (name if "." in name and name != "a.txt" else "a.mp4"))
    path = path.rename(tmp_path / name)
    assert_shown(path)
    assert_shown(path.read_bytes())


def test_a_film_trimmed_without_encoding_is_complete(tmp_path):
    """What the edit list hides, from the key frame before the cut on, is not shown.

    OpenCV counts the hidden frames as well, and called such films cut short, as it did those whose sound is longer and
    those with a variable rate, where its count is duration times rate. PyAV was chosen after trying both on films cut,
    damaged, trimmed, joined, turned, and of varying rate in MP4, Matroska, WebM, AVI and transport streams: none that
    is complete is refused, and a frame of 1920 x 1440 in 10 bits takes 18 ms instead of
    169 (and 12 ms at a `longest` of 640 px). What says that a film goes on: packets that are cut, frames that the
    decoder marks as damaged, errors, what the reader of Matroska logs as errors (it tells in no other way that it
    skipped some), and the container's duration against the last packet of picture or sound. Tried and left: the
    number of frames that a container states, which counts hidden ones and is missing in Matroska, and a strict decoder
    (`err_detect=explode`), which refuses whole films cut at an open group of pictures and found no more.
    """
    whole = write_film(tmp_path / "whole.mp4", sound_s=5.5)
    cut = Fraction(137, 100)

    def earlier(packet):
        shift = round(cut / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        return packet

    path = copied(whole, tmp_path / "trimmed.mp4", earlier, lambda packet: packet.pts * packet.time_base >= 1)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == len(LEVELS) - 10  # of which 4 are hidden
    assert_shown(path, LEVELS[14:])


def test_a_film_that_ffmpeg_trims_is_complete(tmp_path):
    whole = write_film(tmp_path / "whole.mp4", sound_s=5.5)
    for name in ("trimmed.mp4", "trimmed.mov", "trimmed.mkv"):
        ffmpeg("-ss", 1.37, "-i", whole, "-t", 2.5, "-c", "copy", tmp_path / name)
        seen, times, error = watched(tmp_path / name)
        assert error is None and 20 <= len(seen) <= 40
        np.testing.assert_allclose(np.diff(seen)[:20], 4, atol=2)
        assert times[0] == 0 and (np.diff(times) > 0).all()


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.webm", "long.ts"])
def test_sound_may_be_longer_than_the_picture(tmp_path, name):
    assert_shown(write_film(tmp_path / name, codec="libvpx-vp9" if "webm" in name else "libx264", sound_s=12))


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.webm"])
def test_a_variable_rate_is_complete(tmp_path, name):
    ticks = [0, 1, 2, 3, 9, 10, 30, 31, 32, 70, 71, 100]
    codec = "libvpx-vp9" if "webm" in name else "libx264"
    path = write_film(tmp_path / name, LEVELS[: len(ticks)], ticks, codec)
    assert_shown(path, LEVELS[: len(ticks)], np.array(ticks) / RATE)


@pytest.mark.parametrize("share", [0.4, 0.73, 0.86])
@pytest.mark.parametrize("name", ["c.mp4", "c.mkv", "c.webm", "c.avi", "fragments.mp4"])
def test_a_film_cut_short_says_so_after_its_last_good_frame(tmp_path, name, share):
    """A transport stream does not say how long it is: cut, it is a shorter one."""
    flags = {"movflags": "frag_keyframe+empty_moov" if "frag" in name else "faststart"} if "mp4" in name else {}
    codec = {".webm": "libvpx-vp9", ".avi": "mjpeg"}.get(name[-5:].removeprefix("c"), "libx264")
    path, levels = tmp_path / name, np.random.default_rng(0).permutation(LEVELS)
    data = write_film(path, levels, codec=codec, **flags).read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    seen, times, error = watched(path)
    assert f"{name} ends after {len(seen)} frames" in error and "cut short" in error and "again" in error
    assert 0.1 * share * len(levels) < len(seen) < len(levels)
    shown = np.round(np.array(times) * RATE).astype(int)
    np.testing.assert_allclose(seen, levels[shown], atol=4)


@pytest.mark.parametrize("name", ["d.mp4", "d.mkv"])
def test_damage_in_the_middle_is_said_after_the_last_good_frame(tmp_path, name):
    """Transport streams are made for losses on the way: there, frames that are missing as a whole leave a gap in time.

    FFmpeg marks the packet before the gap, but the last one before a joint as well.
    """
    path = write_film(tmp_path / name)
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(20_000) + data[middle + 20_000 :])
    seen, times, error = watched(path)
    assert f"{name} ends after {len(seen)} frames" in error and "damaged" in error
    assert 10 < len(seen) < 0.7 * len(LEVELS)
    np.testing.assert_allclose(seen[:20], list(LEVELS[:20]), atol=3)
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize("name", ["e.mp4", "e.mkv"])
def test_a_film_without_its_last_packets_says_so(tmp_path, name):
    path = write_film(tmp_path / name, **({"movflags": "faststart"} if "mp4" in name else {}))
    with av.open(str(path)) as container:
        packets = sorted((packet.pos, packet.size) for packet in container.demux() if packet.size)
    whole = path.read_bytes()
    path.write_bytes(whole[: sum(packets[-11])])  # no packet is cut
    messages = set()
    for _ in range(3):  # FFmpeg repeats itself, which must not be lost
        seen, _, error = watched(path)
        assert "cut short" in error and len(LEVELS) - 11 <= len(seen) <= len(LEVELS) - 10
        messages.add(error)
        assert watched(whole)[2] is None
    assert len(messages) == 1


def test_a_damaged_index_is_said(tmp_path):
    path = write_film(tmp_path / "moov.mp4")
    data = bytearray(path.read_bytes())
    sizes = data.index(b"stsz") + 40
    data[sizes : sizes + 60] = bytes(60)
    path.write_bytes(data)
    seen, _, error = watched(path)
    assert "damaged" in error and len(seen) < len(LEVELS)


def test_containers_without_times_count_by_their_rate(tmp_path):
    whole = write_film(tmp_path / "whole.mp4")
    with av.open(str(whole)) as container:
        order = [packet.pts for packet in container.demux() if packet.size]
    assert order != sorted(order)  # frames are stored in another order than shown
    assert_shown(write_film(tmp_path / "h264.avi"))
    levels, times, error = watched(write_film(tmp_path / "raw.h264"))
    assert error is None
    np.testing.assert_allclose(levels, list(LEVELS), atol=3)
    np.testing.assert_allclose(np.diff(times), times[1], atol=1e-9)
    assert times[1] in (1 / RATE, 1 / 25)  # what the stream says, or FFmpeg's 25 where it says nothing


def test_times_begin_with_the_first_frame(tmp_path):
    for name, shift in (("late.mp4", 7), ("late.mkv", 7), ("late.ts", 7)):
        assert_shown(write_film(tmp_path / name, ticks=range(shift, shift + len(LEVELS))))

    def earlier(packet):
        shift = round(2 / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        return packet

    whole = write_film(tmp_path / "whole.mp4")
    for name in ("negative.mkv", "negative.ts"):
        path = copied(whole, tmp_path / name, earlier, avoid_negative_ts="disabled")
        with av.open(str(path)) as container:
            assert next(container.decode(video=0)).pts in (None, -180000)
        assert_shown(path)


@pytest.mark.parametrize("leap_s", [0, 3, 3600])
def test_joined_transport_streams_go_on(tmp_path, leap_s):
    """One after the other, as `cat` joins them: times go back, or leap ahead by an hour; 3 s may be a pause."""
    first = write_film(tmp_path / "1.ts", LEVELS[:20], range(10, 30))
    start = 30 + leap_s * RATE if leap_s else 10
    second = write_film(tmp_path / "2.ts", LEVELS[20:], range(start, start + 35))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    times = np.arange(len(LEVELS)) / RATE
    if leap_s == 3:
        times[20:] += 3
    assert_shown(joined, times=times)


def test_times_that_go_back_are_found_at_that_frame(tmp_path):
    def unordered(packet):
        packet.pts = packet.dts
        return packet

    seen, times, error = watched(copied(write_film(tmp_path / "whole.mp4"), tmp_path / "back.mkv", unordered))
    assert "times of its frames go back" in error
    assert 0 < len(seen) < len(LEVELS) and (np.diff(times) > 0).all()


ONE = 1 << 16
MATRICES = {  # a, b, c, d of the display matrix, and what they do to an array
    "as it is": ((1, 0, 0, 1), lambda a: a),
    "quarter turn": ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
    "half turn": ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
    "three quarters": ((0, -1, 1, 0), np.rot90),
    "mirror": ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda a: a[::-1]),
    "selfie upright": ((0, 1, 1, 0), lambda a: a.swapaxes(0, 1)),
    "other diagonal": ((0, -1, -1, 0), lambda a: np.rot90(a, 2).swapaxes(0, 1)),
}


def write_tiles(path, aspect=1, matrix=(1, 0, 0, 1), count=3):
    """A film of tiles of 16 px, without loss; returns the picture."""
    tiles = np.random.default_rng(0).integers(0, 256, (3, 5), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv444p"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        a, b, c, d = (ONE * value for value in matrix)
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for _ in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gray(tiles), format="rgb24")))
        container.mux(stream.encode())
    return gray(tiles)


@pytest.mark.parametrize("name", MATRICES)
def test_a_film_is_turned_and_mirrored_as_ffmpeg_does(tmp_path, name):
    matrix, turn = MATRICES[name]
    path = tmp_path / "turned.mp4"
    tiles = write_tiles(path, matrix=matrix)
    shown = np.asarray(next(media.frames(path))).astype(int)
    np.testing.assert_allclose(shown, turn(tiles), atol=2)
    picture = Image.open(io.BytesIO(ffmpeg("-i", path, "-frames:v", 1, "-f", "image2pipe", "-c:v", "png", "-")))
    np.testing.assert_allclose(shown, np.asarray(picture.convert("RGB")), atol=2)


@pytest.mark.parametrize(("aspect", "size"), [("2", (160, 48)), ("1/2", (80, 96)), ("4/3", (107, 48))])
@pytest.mark.parametrize("turned", [False, True])
def test_pixels_become_square(tmp_path, aspect, size, turned):
    path = tmp_path / "wide.mp4"
    tiles = write_tiles(path, aspect, (0, 1, -1, 0) if turned else (1, 0, 0, 1))
    image = next(media.frames(path))
    truth = Image.fromarray(tiles).resize(size, Image.Resampling.BILINEAR)
    truth = truth.transpose(Image.Transpose.ROTATE_270) if turned else truth
    assert image.size == truth.size
    assert np.abs(np.asarray(image).astype(int) - np.asarray(truth)).mean() < 3


def test_a_film_can_be_decoded_smaller(tmp_path):
    path = tmp_path / "turned.mp4"
    tiles = write_tiles(path, matrix=(0, 1, -1, 0))
    for longest, size in ((40, (24, 40)), (None, (48, 80)), (500, (48, 80)), (1, (1, 1))):
        assert {image.size for image in media.frames(path, longest=longest)} == {size}
    small = np.asarray(next(media.frames(path, longest=40))).astype(int)
    means = np.rot90(tiles, -1).reshape(40, 2, 24, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - means)[::8, ::8].mean() < 30 and np.abs(small - means).mean() < 6
    assert watched(path, longest=40)[1] == pytest.approx([0, 0.1, 0.2])


def test_films_of_ten_bits_keep_their_range(tmp_path):
    path, ramp = tmp_path / "hlg.mkv", np.linspace(64, 940, 64).astype(np.uint16)  # video levels of black to white
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=RATE, options={"x265-params": "lossless=1:log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        for _ in range(2):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            for plane, values in zip(frame.planes, (ramp, np.full(32, 512), np.full(32, 512)), strict=True):
                rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
                rows[:, : plane.width] = values
                plane.update(rows)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    image = np.asarray(next(media.frames(path))).astype(int)
    np.testing.assert_allclose(image, gray(np.round((ramp - 64.0) * 255 / 876)[None].repeat(48, axis=0)), atol=2)


def test_what_holds_no_film_is_said(tmp_path):
    cover, sound, text, playlist = (tmp_path / name for name in ("cover.mp3", "sound.mka", "notes.txt", "list.m3u8"))
    with av.open(str(cover), "w") as container:
        voice, picture = container.add_stream("libmp3lame", rate=48000), container.add_stream("mjpeg")
        voice.layout, picture.width, picture.height, picture.pix_fmt = "mono", 64, 48, "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(voice.encode(frame) + voice.encode())
    with av.open(str(cover)) as whole, av.open(str(sound), "w") as container:
        stream = container.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(audio=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    text.write_text("Squats on Monday\n" * 200)
    write_film(tmp_path / "a.ts")
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n")
    unknown = write_film(tmp_path / "unknown.mp4")
    unknown.write_bytes(unknown.read_bytes().replace(b"avc1", b"zzzz"))
    for path, message in {
        cover: "holds no film: only a cover picture",
        sound: "holds no film that",
        text: "holds no film that",
        playlist: "is not a video that",
        unknown: "holds no film that",
    }.items():
        with pytest.raises(media.MediaError, match=f"{path.name} {message}.*MP4"):
            media.frames(path)


def test_one_frame_is_no_film(tmp_path, pixels):
    levels, times, error = watched(write_film(tmp_path / "one.mp4", LEVELS[:1]))
    assert len(levels) == 1 and times == [0]
    assert "one.mp4 is a single picture" in error and "media.load" in error
    assert "media.load" in watched(encode(pixels.repeat(9, axis=0).repeat(9, axis=1), "JPEG"))[2]
