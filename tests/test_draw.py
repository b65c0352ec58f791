"""`helpers.draw`: what stands on the axes, and what the notebook gets to see."""

import io
import tracemalloc
from base64 import b64decode
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb
from PIL import Image
from skimage import color, data

from helpers import draw
from helpers.bodies import Layout

pytestmark = pytest.mark.filterwarnings("error")

POINTS = np.array([[10.0, 5.0], [20.0, 15.0], [30.0, 25.0]])


@pytest.fixture(autouse=True)
def no_windows():
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture
def displayed(monkeypatch):
    """What is displayed, as (data by MIME type, metadata), in order."""
    outputs = []

    def display(thing, metadata=None):
        bundle, own = DisplayFormatter().format(thing)
        outputs.append((bundle, {**own, **(metadata or {})}))

    monkeypatch.setattr(draw.notebook, "display", display)
    return outputs


# Figures


def test_show_displays_a_png_with_alternative_text_and_then_the_caption(displayed):
    fig, _ = draw.photos({"An astronaut": data.astronaut()}, width=5)
    draw.show(fig, "The helmet holds most of the keypoints.")
    (picture, metadata), (text, _) = displayed
    assert metadata["image/png"]["alt"] == "The helmet holds most of the keypoints."
    assert text["text/markdown"] == "*The helmet holds most of the keypoints.*"
    png = b64decode(picture["image/png"])
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG" and image.width == 5 * draw.DPI
    assert len(png) < 200_000
    assert not plt.get_fignums()  # or the notebook would show it a second time


def test_show_keeps_the_colours_of_points_on_a_photograph(displayed):
    fig, (axes,) = draw.photos({"": data.astronaut()}, width=5)
    names = ("ORANGE", "SKY", "GREEN", "BLUE", "RED", "PINK")
    for i, name in enumerate(names):
        axes.scatter(80 * i + 40, 256, s=300, color=getattr(draw, name))
    draw.show(fig, "Six discs.")
    png = b64decode(displayed[0][0]["image/png"])
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(float)
    for name in names:
        wanted = 255 * np.array(to_rgb(getattr(draw, name)))
        assert (np.abs(pixels - wanted).max(axis=-1) <= 12).sum() > 50, name


def test_figure_makes_axes_that_pyplot_does_not_show_by_itself():
    was = plt.isinteractive()
    fig, axes = draw.figure(2, 3, width=6, height=3)
    assert axes.shape == (2, 3) and fig.get_size_inches().tolist() == [6, 3]
    assert plt.isinteractive() == was


def test_photos_stand_side_by_side_at_one_height():
    fig, axes = draw.photos({"wide": np.zeros((40, 80), np.uint8), "high": Image.new("RGB", (30, 60))}, width=6)
    fig.canvas.draw()
    assert [panel.get_title() for panel in axes] == ["wide", "high"]
    boxes = [panel.get_window_extent() for panel in axes]
    assert boxes[0].height == pytest.approx(boxes[1].height, rel=0.02)
    assert boxes[0].width == pytest.approx(4 * boxes[1].width, rel=0.02)
    assert boxes[0].x1 < boxes[1].x0
    assert not any(panel.axison for panel in axes)


@pytest.mark.parametrize("dtype", [np.uint8, float])
def test_photos_show_gray_with_its_full_range(dtype):
    _, (axes,) = draw.photos({"": np.full((4, 6), 127 if dtype is np.uint8 else 0.5, dtype)})
    image = axes.images[0]
    assert image.get_clim() == (0, 255 if dtype is np.uint8 else 1)
    np.testing.assert_allclose(image.cmap(image.norm(image.get_array()))[0, 0, :3], 0.5, atol=0.01)


@pytest.mark.parametrize("count", range(1, 7))
def test_a_film_strip_fills_its_rows_from_the_left_and_shows_no_axes(count):
    pictures = {f"frame {i}": np.full((40, 80), i, np.uint8) for i in range(count)}
    fig, axes = draw.photos(pictures, width=6, columns=3)
    fig.canvas.draw()
    assert len(axes) == count and [panel.get_title() for panel in axes] == list(pictures)
    assert [int(panel.images[0].get_array()[0, 0]) for panel in axes] == list(range(count))
    columns = min(count, 3)  # fewer share the whole width
    rows = -(-count // columns)
    assert len(fig.axes) == columns * rows and not any(panel.axison for panel in fig.axes)
    assert not any(panel.images for panel in fig.axes[count:])
    places = [panel.get_subplotspec() for panel in axes]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [divmod(i, 3) for i in range(count)]
    boxes = [panel.get_window_extent() for panel in axes]
    assert all(box.width == pytest.approx(2 * box.height, rel=0.02) for box in boxes)
    assert all(box.width > 0.9 * 6 * draw.DPI / columns for box in boxes)  # hardly any pixels are lost
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))


@pytest.mark.parametrize("kind", ["array", "photograph", "gray"])
def test_large_photos_keep_their_coordinates(kind):
    """A figure of 330 pixels across for pictures of 4001: a block of white pixels is seen where it stands."""
    picture = np.zeros((3003, 4001, 3), np.uint8)
    picture[1000:1200, 3000:3300] = 255
    if kind == "gray":
        picture = picture[..., 0] / 255
    fig, axes = draw.photos({"": Image.fromarray(picture) if kind == "photograph" else picture, "b": picture}, width=6)
    for panel in axes:
        assert panel.get_xlim() == (-0.5, 4000.5) and panel.get_ylim() == (3002.5, -0.5)
        assert panel.images[0].get_array().size < picture.size / 10
        panel.set_title("")
    fig.canvas.draw()
    pixels = np.asarray(fig.canvas.buffer_rgba())[..., :3].mean(axis=-1)
    for panel in axes:
        box = panel.get_window_extent()
        rows, columns = np.nonzero(pixels[::-1][round(box.y0) : round(box.y1), round(box.x0) : round(box.x1)] > 128)
        to_data = panel.transData.inverted()
        corners = to_data.transform(
            [[box.x0 + columns.min(), box.y0 + rows.max() + 1], [box.x0 + columns.max() + 1, box.y0 + rows.min()]]
        )
        np.testing.assert_allclose(corners, [[3000, 1000], [3300, 1200]], atol=2 * 4001 / box.width)


def test_many_large_photos_fit_into_memory():
    picture = np.zeros((3000, 4000, 3), np.uint8)
    tracemalloc.start()
    fig, _ = draw.photos({f"{i}": picture for i in range(20)}, columns=5)
    draw.rendered(fig)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # 36 MB are one of them, and 1350 MB were needed


# Keypoints


def test_marker_areas_are_proportional_to_the_scores():
    _, axes = draw.figure()
    draw.keypoints(axes, POINTS, scores=[0.1, 0.2, 0.4], size=40)
    (circles,) = axes.collections
    np.testing.assert_allclose(circles.get_sizes(), [10, 20, 40])
    np.testing.assert_array_equal(circles.get_offsets(), POINTS)


def test_without_scores_all_markers_are_alike_and_hollow():
    _, axes = draw.figure()
    draw.keypoints(axes, POINTS, color=draw.BLUE, label="SIFT")
    (circles,) = axes.collections
    assert set(circles.get_sizes()) == {30}
    assert len(circles.get_facecolors()) == 0
    assert circles.get_edgecolors()[0, :3].tolist() == list(to_rgb(draw.BLUE))
    assert circles.get_label() == "SIFT"


@pytest.mark.parametrize("scores", [None, []])
def test_no_keypoints_draw_nothing(scores):
    fig, axes = draw.figure()
    draw.keypoints(axes, np.zeros((0, 2)), scores)
    fig.canvas.draw()
    assert len(axes.collections[0].get_offsets()) == 0


def test_scores_of_zero_draw_markers_of_no_area():
    _, axes = draw.figure()
    draw.keypoints(axes, POINTS, scores=[0, 0, 0])
    assert axes.collections[0].get_sizes().tolist() == [0, 0, 0]


# Matches


def test_groups_of_landmarks_differ_in_marker_and_colour_and_have_their_names():
    _, axes = draw.figure()
    draw.landmarks(axes, [*POINTS, [np.nan, np.nan]], {"eyes": range(2), "mouth": [2, 3]})
    eyes, mouth = axes.collections
    np.testing.assert_array_equal(eyes.get_offsets(), POINTS[:2])
    assert np.ma.getmaskarray(mouth.get_offsets()).any(1).tolist() == [False, True]
    assert [group.get_label() for group in (eyes, mouth)] == ["eyes", "mouth"]
    assert not np.allclose(eyes.get_facecolor(), mouth.get_facecolor())
    assert not np.array_equal(*(group.get_paths()[0].vertices[:5] for group in (eyes, mouth)))


def test_marked_landmarks_lie_on_a_copy_of_the_image():
    image = Image.new("RGB", (300, 200), "white")
    points = [[20.0, 30.0], [250.0, 150.0], [np.nan, 3.0]]
    picture = draw.marked(image, points, {"eyes": [0], "mouth": [1, 2]})
    assert [picture.getpixel(place) for place in ((20, 30), (250, 150))] == [
        tuple(round(255 * channel) for channel in to_rgb(color)) for color in (draw.SKY, draw.YELLOW)
    ]
    changed = np.argwhere((np.asarray(picture) != 255).any(2))[:, ::-1]
    assert all(np.linalg.norm(np.subtract(points[:2], place), axis=1).min() < 4 for place in changed)
    assert image.getcolors() == [(300 * 200, (255, 255, 255))]


JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
LINE = Layout([f"{side} {joint}" for joint in JOINTS for side in ("left", "right")])


def body(width):
    """Joints (12, 2) of `LINE`, px, arms held out: the left side is left of a third of the picture."""
    out = [0, 0.1, 0.1, 0, 0, 0]
    places = [(x + sign * out[row], 0.1 + 0.12 * row) for row in range(6) for x, sign in ((0.25, -1), (0.45, 1))]
    return width * np.array(places)


def coloured(picture, name):
    """Where a picture has one of this module's colours, (H, W)."""
    return (np.asarray(picture) == np.round(255 * np.array(to_rgb(name)))).all(2)


def test_a_skeleton_tells_left_from_right_by_colour_and_by_line_and_grows_with_the_picture():
    shares = []
    for width in (400, 1600):
        image = Image.new("RGB", (width, width), "grey")
        picture = draw.skeleton(image, body(width), LINE)
        assert image.getcolors() == [(width**2, (128, 128, 128))]
        left, right = coloured(picture, draw.SKY), coloured(picture, draw.ORANGE)
        assert left[:, : width // 3].sum() == left.sum() > 0 and right[:, width // 3 :].sum() == right.sum() > 0
        thighs = slice(round(0.48 * width), round(0.56 * width))
        assert left[thighs].any(1).all() and 0.2 < right[thighs].any(1).mean() < 0.8  # solid, and dashed
        shares.append(left.mean())
    assert shares[0] == pytest.approx(shares[1], rel=0.4)


def test_doubtful_joints_and_their_bones_are_left_out():
    image, joints, scores = Image.new("RGB", (400, 400), "grey"), body(400), np.full(12, 0.9)
    scores[[4, 10]] = 0.1  # the left wrist and ankle
    joints[3] = np.nan  # the right elbow
    picture = draw.skeleton(image, joints, LINE, scores, least=0.3)
    for row, there in ((0, True), (4, False), (10, False), (8, True)):
        x, y = np.round(joints[row]).astype(int)
        assert (picture.getpixel((int(x), int(y))) == (255, 255, 255)) == there
    halfway = [tuple(int(v) for v in np.round((body(400)[a] + body(400)[b]) / 2)) for a, b in ((0, 2), (2, 4), (1, 3))]
    assert picture.getpixel(halfway[0]) != (128, 128, 128)
    assert picture.getpixel(halfway[1]) == picture.getpixel(halfway[2]) == (128, 128, 128)
    nobody = draw.skeleton(image, np.full((12, 2), np.nan), LINE)
    assert nobody.getcolors() == image.getcolors()


@pytest.mark.parametrize("size", [(384, 288), (1080, 1920)])
def test_labels_are_white_on_a_dark_box_and_inside_the_picture(size):
    image = Image.new("RGB", size, "white")
    picture = draw.labelled(image, ["squats: 3", "deeper"])
    assert image.getcolors() == [(size[0] * size[1], (255, 255, 255))]
    dark = (np.asarray(picture) < 60).all(2)
    rows, columns = np.nonzero(dark)
    box = np.asarray(picture)[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert rows.min() > 0 and columns.min() > 0
    assert 0.05 < box.shape[0] / max(size) < 0.2 and 0.1 < box.shape[1] / max(size) < 0.4
    assert 0.05 < (box > 200).all(2).mean() < 0.5  # letters
    assert (box[[0, -1]] < 60).all() and (box[:, [0, -1]] < 60).all()
    taller = draw.labelled(image, ["squats: 3", "deeper", "knees out"])
    assert (np.asarray(taller) < 60).all(2).sum() > dark.sum()


def character(**channels):
    names = ("right_closed", "left_closed", "mouth", "smile", "brows", "yaw", "pitch", "roll")
    return np.asarray(draw.character([channels.get(name, 0) for name in names], side=200)).astype(int)


def whites(picture):
    """Where the whites of the eyes are: rows (y, x)."""
    return np.argwhere((picture > 253).all(axis=2))


def test_the_character_closes_its_own_eyes():
    halves = slice(0, 100), slice(100, 200)
    for name, (shut, other) in (("right_closed", halves), ("left_closed", halves[::-1])):
        rest, half, closed = character(), character(**{name: 0.5}), character(**{name: 1})
        left_over = [len(whites(picture[:, shut])) for picture in (rest, half, closed)]
        assert left_over[0] > 1.5 * left_over[1] > 0 and left_over[2] < 0.05 * left_over[0]
        assert np.array_equal(rest[:, other], closed[:, other])
        for yaw in np.linspace(-4, 4, 9):
            inks = [(character(yaw=yaw, **{name: c})[:, shut] < 90).all(2).sum() for c in (0, 0.5, 0.9, 0.95, 0.99, 1)]
            assert max(inks) < 1.3 * inks[0]  # a lid has an edge of ink, and no more of it


def test_the_character_turns_and_leans():
    y, x = whites(character()).mean(axis=0)
    assert whites(character(yaw=10)).mean(axis=0)[1] > x + 5  # to the right
    assert whites(character(pitch=10)).mean(axis=0)[0] < y - 5  # up
    leaning = whites(character(roll=20))  # towards the right: the right one of the eyes is the lower one
    assert leaning[leaning[:, 1] > x][:, 0].mean() > leaning[leaning[:, 1] < x][:, 0].mean() + 10


def test_the_character_opens_its_mouth_and_lifts_its_brows_and_corners():
    dark = [(abs(character(mouth=m) - [90, 31, 27]).sum(axis=2) < 30).sum() for m in (0, 0.5, 1)]
    assert dark[2] > 1.5 * dark[1] > 0 and dark[0] < 0.1 * dark[2]

    def ink(picture, rows, columns):  # the highest row with ink there
        return np.argwhere((picture[rows, columns] < 100).all(axis=2))[:, 0].min()

    brow, corner = (slice(34, 100), slice(66, 74)), (slice(130, 170), slice(72, 78))
    assert ink(character(brows=1), *brow) < ink(character(), *brow) - 8
    assert ink(character(smile=1), *corner) < ink(character(), *corner) - 3
    assert np.array_equal(character(smile=1), character(smile=3)) and np.array_equal(character(brows=-1), character())


def test_correct_and_wrong_matches_differ_in_colour_and_in_line():
    first, second = Image.new("RGB", (40, 30)), Image.new("L", (50, 20))
    fig = draw.matches(first, second, POINTS, POINTS / 2, correct=[True, False, True], gap=10)
    fig.canvas.draw()
    (axes,) = fig.axes
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert styles == {(draw.BLUE, "-"), (draw.RED, "--")}
    drawn = {(line.get_linestyle(), *line.get_xydata().ravel().tolist()) for line in axes.lines}
    assert drawn == {("-", 10, 5, 55, 2.5), ("--", 20, 15, 60, 7.5), ("-", 30, 25, 65, 12.5)}


@pytest.mark.parametrize("none", [np.zeros((0, 2)), []])
def test_matches_put_images_of_two_sizes_side_by_side(none):
    first, second = Image.new("RGB", (40, 30), (50, 50, 50)), Image.new("L", (60, 20), 200)
    fig = draw.matches(first, second, none, none, gap=10)
    fig.canvas.draw()
    canvas = fig.axes[0].images[0].get_array()
    assert canvas.shape == (30, 110, 3)
    assert (canvas[:, :40] == 50).all() and (canvas[:20, 50:] == 200).all()
    assert (canvas[:, 40:50] == 255).all() and (canvas[20:, 50:] == 255).all()
    assert not any(len(line.get_xdata()) for line in fig.axes[0].lines)


def test_matches_without_a_verdict_are_all_alike():
    image = Image.new("RGB", (40, 30))
    (axes,) = draw.matches(image, image, POINTS, POINTS).axes
    assert {(line.get_color(), line.get_linestyle()) for line in axes.lines} == {(draw.BLUE, "-")}


# Frames


def test_a_frame_is_three_lines_from_the_origin_with_three_letters():
    fig, axes = draw.figure()
    tips = [[90.0, 60.0], [20.0, 80.0], [55.0, 10.0]]
    draw.frame(axes, np.array([[50.0, 50.0], *tips]))
    fig.canvas.draw()
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[50, 50], tip] for tip in tips]
    assert len({line.get_linestyle() for line in axes.lines}) == 3  # not by colour alone
    assert len({line.get_color() for line in axes.lines}) == 3
    assert [text.get_text() for text in axes.texts] == ["x", "y", "z"]
    for text, tip, line in zip(axes.texts, tips, axes.lines, strict=True):
        assert list(text.xy) == tip and text.get_fontsize() >= 10
        assert to_rgb(text.get_bbox_patch().get_facecolor()) == to_rgb(line.get_color())


@pytest.mark.parametrize("count", [3, 5])
def test_a_frame_has_an_origin_and_three_tips(count):
    _, axes = draw.figure()
    with pytest.raises(ValueError):
        draw.frame(axes, np.zeros((count, 2)))


# Animations


def film(count):
    """Pictures of a square in a colour of this module that moves over a photograph."""
    photo = Image.fromarray(data.astronaut()).resize((128, 96))
    for i in range(count):
        picture = photo.copy()
        picture.paste(Image.new("RGB", (20, 20), draw.OKABE_ITO[i % 8]), (12 * i, 30))
        yield picture


def animation(displayed):
    (picture, _), _ = displayed
    return Image.open(io.BytesIO(b64decode(picture["image/png"])))


def test_animate_displays_every_frame_in_its_time_and_without_end(displayed):
    draw.animate(film(6), "The square moves right.", seconds=0.2)
    png = animation(displayed)
    assert png.format == "PNG" and png.is_animated and png.n_frames == 6
    assert png.size == (128, 96)
    assert png.info["loop"] == 0
    for i, frame in enumerate(film(6)):
        png.seek(i)
        assert png.info["duration"] == 200
        seen, meant = (np.asarray(picture.convert("RGB")).astype(float) for picture in (png, frame))
        assert np.abs(seen - meant).mean() < 6  # of 255: a palette of 64 colours
        np.testing.assert_array_equal(seen[30:50, 12 * i : 12 * i + 20], meant[30:50, 12 * i : 12 * i + 20])


def test_animate_shows_its_caption_below_and_has_it_as_alternative_text(displayed):
    draw.animate(film(3), "The square moves right.")
    (picture, metadata), (text, _) = displayed
    assert set(picture) == {"image/png", "text/plain"}
    assert metadata["image/png"]["alt"] == "The square moves right."
    assert text["text/markdown"] == "*The square moves right.*"
    assert animation(displayed).info["duration"] == 150


def test_a_frame_that_is_held_takes_its_time_and_no_space(displayed):
    first, second = film(2)
    draw.animate([first, first, first, second], "It waits.", seconds=0.1)
    png = animation(displayed)
    durations = []
    for i in range(png.n_frames):
        png.seek(i)
        durations.append(png.info["duration"])
    assert sum(durations) == 400 and durations[-1] == 100


def test_what_does_not_move_takes_no_space(displayed):
    draw.animate(film(2), "Two.")  # animations both: a still picture has a larger palette
    draw.animate(film(8), "Eight.")
    two, eight = (len(b64decode(bundle["image/png"])) for bundle, _ in displayed[::2])
    assert two < eight < 1.5 * two  # 4 times, were every frame stored in full


def test_one_frame_is_a_still_picture(displayed):
    draw.animate(film(1), "It stands.")
    png = animation(displayed)
    assert not png.is_animated and png.n_frames == 1 and "duration" not in png.info
    assert displayed[0][1]["image/png"]["alt"] == "It stands."
    assert displayed[1][0]["text/markdown"] == "*It stands.*"


def test_the_palette_of_every_picture_holds_the_colours_of_this_module(displayed):
    draw.animate(film(3), "Three frames.")
    draw.show(draw.photos({"": data.astronaut()}, width=3)[0], "A photograph.")
    wanted = {tuple(round(255 * channel) for channel in to_rgb(name)) for name in (*draw.OKABE_ITO, "white")}
    for (picture, _), most in zip(displayed[::2], (64, 256), strict=True):
        png = Image.open(io.BytesIO(b64decode(picture["image/png"])))
        assert png.mode == "P"
        palette = np.reshape(png.getpalette(), (-1, 3))
        assert len(palette) <= most and wanted <= set(map(tuple, palette.tolist()))


def test_rendered_is_the_figure_in_pixels_and_closes_it():
    fig, axes = draw.figure(width=2, height=1)
    axes.set_axis_off()
    axes.axhspan(-1e6, 1e6, color=draw.BLUE)
    picture = draw.rendered(fig)
    assert picture.mode == "RGB" and picture.size == (2 * draw.DPI, draw.DPI)
    assert picture.getpixel((110, 55)) == (0, 114, 178) and picture.getpixel((0, 0)) == (255, 255, 255)
    assert not plt.get_fignums()


# Tables and colours


def test_table_is_markdown(displayed):
    draw.table(["method", "points"], [["SIFT", 300], ["ORB", 500]])
    assert displayed[0][0]["text/markdown"] == "| method | points |\n| --- | --- |\n| SIFT | 300 |\n| ORB | 500 |"


# Machado, Oliveira & Fernandes 2009, severity 1; they act on linear RGB
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart_for_every_sight(sight):
    names = ("ORANGE", "SKY", "GREEN", "YELLOW", "BLUE", "RED", "PINK", "BLACK")
    rgb = np.array([to_rgb(getattr(draw, name)) for name in names])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(SIGHT[sight]), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = dict(zip(names, color.rgb2lab(seen), strict=True))
    for first, second in combinations(names, 2):  # a difference of 2 is just visible, 10 at a glance
        assert color.deltaE_ciede2000(lab[first], lab[second]) > 10, (first, second)
    assert color.deltaE_ciede2000(lab["BLUE"], lab["RED"]) > 40  # correct and wrong
