"""`helpers.media`: pixels against NumPy and closed forms, addresses against a server on loopback, errors that help."""

import contextlib
import io
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
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
