"""`helpers.draw`: what stands on the axes, and what the notebook gets to see."""

import io
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
    assert image.format == "PNG" and image.width == 450
    assert len(png) < 150_000
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
