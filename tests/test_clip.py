"""The workout film and its truth agree, and `media.frames` copes with what videos come to."""

import gc
import itertools
import shutil
import struct
import weakref
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from helpers import films, media
from helpers.geometry import project
from training import render_workout
from training.mannequin import OCCLUDED, VISIBLE
from training.people import ANKLES, HIPS, WRISTS


@pytest.fixture(scope="module")
def workout():
    return media.clip("workout")


@pytest.fixture(scope="module")
def pictures(workout):
    return [np.asarray(image) for image in media.frames(workout[0])]


@pytest.fixture
def film(tmp_path):
    """Motion JPEG in AVI, which OpenCV writes everywhere: 20 frames of 64 x 48, brighter from one to the next."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for value in range(20):
        writer.write(np.full((48, 64, 3), 10 * value, np.uint8))
    writer.release()
    return path


# The film and its truth


def test_a_plain_capture_reads_as_many_frames_as_the_truth_has(workout, pictures):
    path, truth = workout
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == truth["fps"] == 20
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == truth["frames"] == len(pictures) == len(truth["times"])
    for key, shape in (("joints", (17, 2)), ("joints_3d", (17, 3)), ("visibility", (17,)), ("angles_deg", (13, 3))):
        assert truth[key].shape == (truth["frames"], *shape)
    assert {image.shape for image in pictures} == {(truth["height"], truth["width"], 3)}
    assert 18 < truth["frames"] / truth["fps"] < 26


def test_film_and_truth_are_small(workout):
    assert sum(file.stat().st_size for file in workout[0].parent.glob("workout.*")) <= 1_500_000


def test_frames_come_at_their_times(workout):
    times = [image.info["time_s"] for image in itertools.islice(media.frames(workout[0]), 30)]
    np.testing.assert_allclose(times, workout[1]["times"][:30], atol=1e-3)


def test_joints_are_the_projected_ones_and_inside_the_picture(workout):
    truth = workout[1]
    pixels = project(truth["joints_3d"].reshape(-1, 3), truth["K"]).reshape(-1, 17, 2)
    np.testing.assert_allclose(pixels, truth["joints"], atol=0.01)
    assert (truth["joints"] > 5).all() and (truth["joints"] < [truth["width"] - 5, truth["height"] - 5]).all()
    assert (truth["visibility"] > 0).all()
    for key in ("K", "R", "t"):
        np.testing.assert_allclose(truth[key], truth["camera"][key], atol=1e-9)


def test_the_person_is_where_the_joints_are(workout, pictures):
    """Her shirt is orange, and nothing else is."""
    truth = workout[1]
    right = []
    for image, joints, seen in zip(pictures, truth["joints"], truth["visibility"], strict=True):
        if (seen[[5, 6, 11, 12]] == VISIBLE).all():
            x, y = np.round(joints[[5, 6, 11, 12]].mean(0)).astype(int)
            red, green, blue = image[y, x].astype(int)
            right.append(red > green + 30 > blue + 50)
    assert len(right) > 200 and np.mean(right) > 0.95


def test_bones_keep_their_lengths(workout):
    joints = workout[1]["joints_3d"]
    for a, b in ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)):
        assert np.ptp(np.linalg.norm(joints[:, a] - joints[:, b], axis=1)) < 1e-5


def test_repetitions_are_when_hips_or_wrists_say(workout):
    truth = workout[1]
    world = (truth["joints_3d"] - truth["t"]) @ truth["R"]
    repetitions = truth["repetitions"]
    counts = {}
    for rep in repetitions:
        counts[rep["exercise"], rep["form"]] = counts.get((rep["exercise"], rep["form"]), 0) + 1
    expected = {}
    for exercise, form, count in render_workout.SETS:
        expected[exercise, form] = expected.get((exercise, form), 0) + count
    assert counts == expected
    assert {form for exercise, form in counts if exercise == "squat"} == {"good", "knees in", "too shallow", "leaning"}
    for rep in repetitions:
        part, sign = (HIPS, -1) if rep["exercise"] in ("squat", "lunge") else (WRISTS, 1)
        rows = np.flatnonzero((truth["times"] >= rep["start_s"]) & (truth["times"] <= rep["end_s"]))
        height = sign * world[rows][:, list(part), 1].mean(1)
        assert truth["times"][rows[height.argmax()]] == pytest.approx(rep["middle_s"], abs=2 / truth["fps"])


def test_for_two_seconds_the_ball_hides_joints(workout):
    truth = workout[1]
    begin, end = truth["occlusion_s"]
    assert end - begin == pytest.approx(2, abs=0.25)
    during = (truth["times"] >= begin) & (truth["times"] <= end)
    hidden = (truth["visibility"][:, list(ANKLES)] == OCCLUDED).any(1)
    assert hidden[during].mean() > 0.6 > 0.2 > hidden[~during].mean()


def test_the_camera_has_noise(pictures):
    """What compression leaves of it, in a corner where nothing moves."""
    still = np.diff(np.array(pictures[::7], float)[:, :40, :40], axis=0)
    assert 0.5 < still.std() < 6


def test_rendering_again_gives_the_same_joints_and_the_same_picture(workout, pictures):
    pytest.importorskip("pyvista", reason="rendering needs pyvista: pip install -r training/requirements.txt")
    film = render_workout.film(progress=False)
    image, shot, _ = next(film)
    film.close()
    np.testing.assert_allclose(shot.joints, workout[1]["joints"][0], atol=0.01)
    np.testing.assert_array_equal(shot.visibility, workout[1]["visibility"][0])
    assert np.abs(image.astype(int) - pictures[0]).mean() < 6  # what compression took


def test_the_recipe_writes_what_helpers_reads(tmp_path, monkeypatch):
    pytest.importorskip("pyvista", reason="rendering needs pyvista: pip install -r training/requirements.txt")
    monkeypatch.setattr(render_workout, "SETS", [("arm raise", "good", 1)])
    monkeypatch.setattr(render_workout, "FACING_DEG", [0])
    (tmp_path / "clips").mkdir()
    render_workout.main(["--out", str(tmp_path / "clips"), "--seed", "3"])
    monkeypatch.setattr(media, "__file__", str(tmp_path / "media.py"))
    path, truth = media.clip("workout")
    assert len(list(media.frames(path))) == truth["frames"] == len(truth["joints"])
    assert [rep["exercise"] for rep in truth["repetitions"]] == ["arm raise"]


def test_an_unknown_clip_lists_the_names_and_an_incomplete_one_says_so(tmp_path, monkeypatch, workout):
    with pytest.raises(media.MediaError, match=r"'marathon'.*workout"):
        media.clip("marathon")
    for missing in ("mp4", "json", "npz"):
        folder = tmp_path / missing / "clips"
        shutil.copytree(workout[0].parent, folder)
        (folder / f"workout.{missing}").unlink()
        monkeypatch.setattr(media, "__file__", str(tmp_path / missing / "media.py"))
        with pytest.raises(media.MediaError, match=f"not complete.*workout.{missing}.*Install"):
            media.clip("workout")


# Frames of any video


def test_frames_are_rgb_images_in_order(film):
    images = list(media.frames(film))
    assert [(image.size, image.mode) for image in images] == [((64, 48), "RGB")] * 20
    np.testing.assert_allclose([np.asarray(image).mean() for image in images], np.arange(20) * 10, atol=3)
    np.testing.assert_allclose([image.info["time_s"] for image in images], np.arange(20) / 10, atol=1e-6)


def test_path_string_and_bytes_give_the_same_frames(film):
    expected = [np.asarray(image) for image in media.frames(film)]
    for source in (str(film), film.read_bytes(), bytearray(film.read_bytes())):
        np.testing.assert_array_equal([np.asarray(image) for image in media.frames(source)], expected)


def test_red_is_red(tmp_path):
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))
    writer.release()
    image = next(media.frames(path))
    assert np.abs(np.asarray(image)[24, 32].astype(int) - [255, 0, 0]).max() < 8


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no-such.mp4", "no file .*no-such.mp4.*spelling"),
        (".", "is a folder"),
        ("https://example.org/a.mp4", "is an address. Download"),
        (7, "a path or bytes, not from int"),
        (b"", "empty"),
    ],
)
def test_what_is_not_there_is_said_at_once(source, message):
    with pytest.raises(media.MediaError, match=message):
        media.frames(source)


def test_an_empty_file_says_so(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(media.MediaError, match=r"empty.mp4 is empty \(0 bytes\)"):
        media.frames(path)


def test_what_is_no_video_is_said_and_nothing_else_is_printed(tmp_path, capfd, workout):
    text, noise, head = tmp_path / "notes.mp4", tmp_path / "noise.mp4", tmp_path / "head.mp4"
    text.write_text("Squats on Monday\n" * 200)
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    head.write_bytes(workout[0].read_bytes()[:900])
    for path in (text, noise, head):
        with pytest.raises(media.MediaError, match=f"{path.name} is not a video .*or is damaged.*MP4"):
            media.frames(path)
    assert capfd.readouterr() == ("", "")


def test_a_video_without_a_frame_is_refused(tmp_path):
    path = tmp_path / "header.avi"
    cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48)).release()
    with pytest.raises(media.MediaError, match=r"header.avi is (not a video|empty)"):
        media.frames(path)


def test_a_variable_frame_rate_shows_in_the_times(tmp_path):
    path, ticks = tmp_path / "variable.mp4", [0, 1, 2, 7, 8, 20]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for tick in ticks:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * tick, np.uint8), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    times = [image.info["time_s"] for image in media.frames(path)]
    np.testing.assert_allclose(times, np.array(ticks) / 10, atol=1e-3)


@pytest.mark.parametrize("share", [0.35, 0.7])
def test_a_video_that_ends_early_gives_its_good_frames_and_then_says_so(tmp_path, workout, share):
    path, data = tmp_path / "cut.mp4", workout[0].read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    images = media.frames(path)
    count = 0
    with pytest.raises(media.MediaError, match=r"cut.mp4 ends after \d+ frames.*of 23.9 s.*cut short") as error:
        for _ in images:
            count += 1
    assert f"after {count} frames" in str(error.value)
    assert 20 < count < 0.95 * workout[1]["frames"]


def test_a_film_turned_by_a_phone_comes_upright(tmp_path, workout):
    """Phones store frames as the sensor sees them, and beside them the matrix that turns them for display."""
    data = bytearray(workout[0].read_bytes())
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    track = data.index(b"tkhd")
    at = data.index(upright, track)
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path = tmp_path / "phone.mp4"
    path.write_bytes(data)
    turned, plain = next(media.frames(path)), next(media.frames(workout[0]))
    assert turned.size == (plain.height, plain.width)
    np.testing.assert_array_equal(np.asarray(turned), np.asarray(plain.transpose(Image.Transpose.ROTATE_270)))


def test_one_frame_is_in_memory_at_a_time_and_the_file_is_let_go(film, monkeypatch):
    made, alive, shown, stream = [], [], films._shown, film.open("rb")

    def counting(*arguments, **info):
        alive.append(sum(image() is not None for image in made))
        image = shown(*arguments, **info)
        made.append(weakref.ref(image))
        return image

    monkeypatch.setattr(films, "_shown", counting)
    monkeypatch.setattr(media, "_open", lambda *_: (stream, "film"))
    images = media.frames(film)
    for wanted in range(1, 6):
        next(images)  # and nobody keeps it
        assert len(made) == wanted
    assert alive == [0] * 5
    assert not stream.closed
    images.close()
    assert stream.closed


def test_a_film_that_nobody_watches_is_let_go(film, monkeypatch):
    stream = film.open("rb")
    monkeypatch.setattr(media, "_open", lambda *_: (stream, "film"))
    media.frames(film)
    gc.collect()
    assert stream.closed


# Cameras, and films that are written


@pytest.mark.parametrize("fps", [12, 29.97])
def test_a_written_film_has_its_frames_in_order_at_its_rate_and_even_sides(tmp_path, fps):
    images = [Image.new("RGB", (65, 48), (40 * number, 100, 200 - 40 * number)) for number in range(6)]
    media.write_film(tmp_path / "film.mp4", images, fps)
    shown = list(media.frames(tmp_path / "film.mp4"))
    assert {image.size for image in shown} == {(64, 48)}
    colours = [np.asarray(image).mean((0, 1)) for image in shown]
    np.testing.assert_allclose(colours, [image.getpixel((0, 0)) for image in images], atol=6)
    np.testing.assert_allclose([image.info["time_s"] for image in shown], np.arange(6) / fps, atol=2e-3)


def test_a_written_film_is_what_phones_play_and_opencv_reads_it(tmp_path):
    images = [Image.new("RGB", (64, 48), (40 * number, 100, 200 - 40 * number)) for number in range(6)]
    media.write_film(tmp_path / "film.mp4", images, 12)
    data = (tmp_path / "film.mp4").read_bytes()
    assert data[4:8] == b"ftyp" and data.index(b"moov") < data.index(b"mdat"), "the index comes first"
    with av.open(str(tmp_path / "film.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    player = cv2.VideoCapture(str(tmp_path / "film.mp4"))
    colours = [picture[..., ::-1].mean((0, 1)) for _, picture in iter(player.read, (False, None))]
    np.testing.assert_allclose(colours, [image.getpixel((0, 0)) for image in images], atol=6)


def test_a_film_is_written_image_by_image_so_that_few_are_in_memory(tmp_path):
    asked, most = [], []

    def images():
        for number in range(40):
            asked.append(weakref.ref(image := Image.new("RGB", (64, 48), (6 * number, 0, 0))))
            most.append(sum(one() is not None for one in asked))
            yield image

    media.write_film(tmp_path / "film.mp4", images(), 12)
    assert len(list(media.frames(tmp_path / "film.mp4"))) == len(asked) == 40 and max(most) <= 3


def test_a_film_does_not_hang_on_threads(tmp_path):
    media.write_film(tmp_path / "film.mp4", [Image.new("RGB", (64, 48))] * 3, 12)
    settings = (tmp_path / "film.mp4").read_bytes()  # x264 writes them into the film
    assert b" threads=1 " in settings and b" mbtree=0 " in settings  # or the same images give another film each time


def test_a_film_that_cannot_be_written_says_why_and_leaves_no_file(tmp_path, monkeypatch):
    with pytest.raises(media.MediaError, match=r"film\.mp4 was not written: a film needs one image"):
        media.write_film(tmp_path / "film.mp4", iter([]), 12)
    monkeypatch.setattr(av, "Codec", lambda name, mode: av.codec.Codec(f"no-{name}", mode))
    with pytest.raises(media.MediaError, match=r"lacks H\.264 .*no-libx264.* --only-binary av"):
        media.write_film(tmp_path / "film.mp4", [Image.new("RGB", (4, 4))], 12)
    assert not list(tmp_path.iterdir())


class Camera:
    """Gives blue frames, in OpenCV's order of colours, every tenth of a second of a clock that it moves."""

    def __init__(self, clock, open_=True):
        self.clock, self.open, self.released = clock, open_, False

    def isOpened(self):
        return self.open

    def read(self):
        self.clock[0] += 0.1
        return True, np.full((4, 6, 3), (255, 0, 0), np.uint8)

    def release(self):
        self.released = True


def test_a_camera_gives_rgb_frames_for_its_time_and_is_let_go(monkeypatch):
    clock = [0.0]
    device = Camera(clock)
    monkeypatch.setattr(media.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: device)
    images = list(media.camera(seconds=0.95))
    assert [image.getpixel((0, 0)) for image in images] == [(0, 0, 255)] * 9
    np.testing.assert_allclose([image.info["time_s"] for image in images], np.arange(1, 10) / 10)
    assert device.released


def test_a_camera_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Camera([0.0], open_=False))
    with pytest.raises(media.MediaError, match=r"no camera 3\. Record a film"):
        next(media.camera(number=3))
