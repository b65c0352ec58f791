"""Figures and animations in colours that colour-blind readers can tell apart, each with a caption."""

import io

import matplotlib.pyplot as plt
import numpy as np
from IPython import display as notebook
from PIL import Image, ImageColor, ImageDraw, ImageFont

# Okabe & Ito 2008; each method keeps its colour, marker and line through a whole notebook.
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000")
ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK, BLACK = OKABE_ITO
DPI = 110  # dots an inch of every figure
LANDMARKS = (("o", SKY), ("^", YELLOW), ("s", PINK), ("D", GREEN), ("v", ORANGE))


def figure(rows=1, columns=1, width=9.0, height=4.5, **options):
    """A matplotlib figure and its axes, for `show`; `width` and `height` in inches."""
    with plt.ioff():
        return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", dpi=DPI, **options)


def photos(pictures, width=9.0, columns=None):
    """A figure with pictures side by side, one axes each.

    Args:
        pictures: dict, title -> PIL image or array; gray arrays in [0, 255] (uint8) or [0, 1].
        width: of the figure, in inches.
        columns: pictures in a row, as in a film strip; the pictures of a column have one shape. None: all in one row.

    Returns:
        The figure and the list of its axes, in pixels of each picture. Of a picture with more than twice the pixels
        that the figure shows, means of blocks are kept, so that many large ones fit into memory.
    """
    sizes = [one.size if isinstance(one, Image.Image) else np.shape(one)[1::-1] for one in pictures.values()]
    columns = min(columns or len(sizes), len(sizes))
    rows = -(-len(sizes) // columns)
    shapes = [across / down for across, down in sizes[:columns]]
    inches = width / sum(shapes)
    above = 0.35 if any(pictures) else 0.05
    fig, axes = figure(rows, columns, width, rows * (inches + above), width_ratios=shapes, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for panel, (title, picture), (across, down) in zip(axes.flat, pictures.items(), sizes, strict=False):
        block = max(1, int(down / (2 * inches * fig.dpi)))
        array = _means(np.asarray(picture), block)
        extent = np.array([0, array.shape[1], array.shape[0], 0]) * block - 0.5
        panel.imshow(array, cmap="gray", vmin=0, vmax=255 if array.dtype == np.uint8 else 1, extent=extent)
        panel.set(title=title, xlim=(-0.5, across - 0.5), ylim=(down - 0.5, -0.5))
        panel.title.set_fontsize(11)
    return fig, list(axes.flat)[: len(sizes)]


def _means(array, block):
    """The means of an image's square blocks, `block` px wide; what is left over on the right and below falls off."""
    if block == 1:
        return array
    down, across = (side // block for side in array.shape[:2])
    blocks = array[: down * block, : across * block].reshape(down, block, across, block, *array.shape[2:])
    means = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means.round().astype(np.uint8) if array.dtype == np.uint8 else means


def keypoints(axes, points, scores=None, color=ORANGE, size=30.0, label=None):
    """Draw keypoints (N, 2), px, as circles; with `scores` (N,), the area is proportional to the score."""
    points = np.asarray(points).reshape(-1, 2)
    area = np.full(len(points), size)
    if scores is not None and len(points):
        scores = np.asarray(scores)
        area = size * scores / (scores.max() or 1)
    axes.scatter(*points.T, s=area, facecolors="none", edgecolors=color, linewidths=1.2, label=label)


def landmarks(axes, points, groups, size=14.0):
    """Draw points (N, 2), px, in up to five groups (name -> rows), each with its marker, colour and label; no NaN."""
    for (name, rows), (marker, color) in zip(groups.items(), LANDMARKS, strict=False):
        x, y = np.asarray(points)[list(rows)].T
        axes.scatter(x, y, s=size, marker=marker, color=color, edgecolors="black", linewidths=0.4, label=name)


def marked(image, points, groups):
    """A copy of a PIL image with landmarks as discs in the colours of `landmarks`: for films, as it takes no figure."""
    picture, radius = image.copy(), max(image.size) / 150
    pen = ImageDraw.Draw(picture)
    for rows, (_, color) in zip(groups.values(), LANDMARKS, strict=False):
        for x, y in np.asarray(points)[list(rows)]:
            if np.isfinite(x + y):
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color, outline="black")
    return picture


def skeleton(image, joints, layout, scores=None, least=0.0):
    """A copy of a PIL image with a person's skeleton: for films, as it takes no figure.

    The left side is blue and solid, the right one orange and dashed, what joins them white; each with a dark rim, in
    a width that goes with the image's size.

    Args:
        joints: (N, 2), px, of a `bodies.Layout`; those that are NaN are left out, with their bones.
        scores: (N,); joints below `least` are left out as well.
    """
    picture, width = image.convert("RGB"), max(2, round(max(image.size) / 160))  # `convert` always copies
    joints, pen = np.array(joints, dtype=float), ImageDraw.Draw(picture)
    if scores is not None:
        joints[np.asarray(scores) < least] = np.nan
    for a, b in layout.edges:
        way = joints[b] - joints[a]
        length = np.hypot(*way)
        if not np.isfinite(length):
            continue
        sides = {layout.names[row].split()[0] for row in (a, b)} & {"left", "right"}
        color = {("left",): SKY, ("right",): ORANGE}.get(tuple(sides), "white")
        ends = np.linspace(0, 1, 2 * max(1, round(length / (6 * width)))) if color == ORANGE else np.array([0, 1])
        for first, last in ends.reshape(-1, 2):
            line = [tuple(joints[a] + share * way) for share in (first, last)]
            pen.line(line, fill="black", width=width + 2)
            pen.line(line, fill=color, width=width)
    for x, y in joints[np.isfinite(joints).all(1)]:
        pen.ellipse((x - width, y - width, x + width, y + width), fill="white", outline="black")
    return picture


def labelled(image, lines):
    """A copy of a PIL image with lines of text on a dark box in its upper left corner; their size goes with its."""
    picture = image.convert("RGB")
    pen, size = ImageDraw.Draw(picture), max(12, round(max(image.size) / 24))
    font, text = ImageFont.load_default(size), "\n".join(lines)
    place = (size / 2, size / 2)
    left, top, right, bottom = pen.multiline_textbbox(place, text, font=font)
    pen.rectangle((left - size / 3, top - size / 3, right + size / 3, bottom + size / 3), fill="black")
    pen.multiline_text(place, text, font=font, fill="white")
    return picture


def character(channels, side=240):
    """A drawn face of `side` x `side` px that does what eight channels say; a PIL image.

    Args:
        channels: how far right eye and left eye are closed, the mouth is open, it smiles, and the brows are up (0 to 1,
            clipped); then yaw, pitch and roll in degrees, as in `face_model.head_angles_deg`. The right eye is the
            character's own, on the left of the picture.
    """
    right_closed, left_closed, mouth, smile, brows = np.clip(channels[:5], 0, 1)
    yaw, pitch, roll = channels[5:]
    skin, shade, ink, paper = "#8FD3C8", "#4FA396", "#22313F", "#FBF3E4"
    canvas = Image.new("RGB", (600, 600), paper)  # to be shrunk, which smooths the edges
    pen = ImageDraw.Draw(canvas)
    for ear in (78, 522):
        pen.circle((ear - 2 * yaw, 330), 45, skin, ink, 7)
    pen.ellipse((80, 60, 520, 555 + 30 * mouth), skin, ink, 8)
    x, y = 300 + 3 * yaw, 320 - 3 * pitch  # the features go where the nose points
    for eye, closed in ((x - 92, right_closed), (x + 92, left_closed)):
        up, look = y - 45, (eye + 1.5 * yaw, y - 45 - 1.5 * pitch)
        pen.circle((eye, up), 70, "white")
        pen.circle(look, 36, BLUE)
        pen.circle(look, 18, ink)
        edge = np.degrees(np.arcsin(1.8 * closed - 0.9))  # where the lid's edge meets the rim of the eye
        pen.chord((eye - 70, up - 70, eye + 70, up + 70), 180 - edge, 360 + edge, shade)
        half, low = 70 * np.cos(np.radians(edge)), up + 70 * np.sin(np.radians(edge))
        pen.line((eye - half, low, eye + half, low), ink, 7)
        pen.circle((eye, up), 70, None, ink, 7)
        pen.arc((eye - 62, up - 105 - 45 * brows, eye + 62, up + 25 - 45 * brows), 215, 325, ink, 15)
        pen.circle((x + 1.5 * (eye - x), y + 80), 28, "#F2A9A0")
    pen.circle((x + yaw, y + 40 - pitch), 15, shade)
    across = np.linspace(-1, 1, 25)
    upper = y + 120 - 50 * smile * (across**2 - 0.5)
    lower = upper + 110 * mouth * (1 - across**2)
    lips = [*zip(x + 85 * across, upper, strict=True), *zip(x + 85 * across[::-1], lower[::-1], strict=True)]
    pen.polygon(lips, "#5A1F1B")
    pen.line([*lips, lips[0]], ink, 9, "curve")
    return canvas.rotate(-roll, Image.Resampling.BICUBIC, fillcolor=paper).resize(
        (side, side), Image.Resampling.LANCZOS
    )


def matches(first, second, points1, points2, correct=None, width=9.0, gap=10):
    """A figure of two images side by side, with a line from each point to its match.

    Args:
        first, second: PIL images of any two sizes.
        points1, points2: (K, 2), px, matched row by row.
        correct: (K,) bool: correct matches are drawn solid and blue, wrong ones dashed and orange. None: all alike.
        width: of the figure, in inches.
    """
    offset = first.width + gap
    canvas = Image.new("RGB", (offset + second.width, max(first.height, second.height)), "white")
    canvas.paste(first)
    canvas.paste(second, (offset, 0))
    fig, (axes,) = photos({"": canvas}, width)
    points1, points2 = (np.asarray(points).reshape(-1, 2) for points in (points1, points2))
    correct = np.ones(len(points1), bool) if correct is None else np.asarray(correct, bool)
    for chosen, color, style in ((correct, BLUE, "-"), (~correct, RED, "--")):
        x, y = np.stack([points1[chosen], points2[chosen] + [offset, 0]], axis=-1).transpose(1, 2, 0)
        axes.plot(x, y, style, color=color, linewidth=0.7, marker="o", markersize=2)
    return fig


def frame(axes, points):
    """Draw the three axes of a frame: x solid, y dashed, z dotted, with their letters.

    `points` (4, 2), px, are the origin and the tips of x, y and z, as `geometry.project` sees them.
    """
    origin, *tips = points
    axes.autoscale(False)  # what juts out must not shrink the picture
    for tip, color, style, letter in zip(tips, (RED, GREEN, BLUE), ("-", "--", ":"), "xyz", strict=True):
        axes.plot(*np.transpose([origin, tip]), style, color=color, linewidth=2.5)
        box = {"facecolor": color, "edgecolor": "none", "pad": 1.5}
        axes.annotate(letter, tip, color="white", fontsize=10, bbox=box, ha="center", va="center", annotation_clip=True)


def show(fig, caption):
    """Display a figure, then its caption as text; the caption is the figure's alternative text as well.

    The picture has a palette of 256 colours, which keeps a notebook with many photographs small. Those of this module
    are among them, so that a small circle on a photograph keeps its colour.
    """
    _display([rendered(fig)], caption)


def animate(frames, caption, seconds=0.15):
    """Display pictures of one size as an animation without end, then its caption as `show` does.

    It is an animated PNG: where that can't be played, the first picture stands. The palette is that of all pictures
    together; what does not move from one to the next takes no space.
    """
    _display([frame.convert("RGB") for frame in frames], caption, round(1000 * seconds))


def rendered(fig):
    """The figure as an RGB image; closes it."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", facecolor="white")
    plt.close(fig)
    return Image.open(buffer).convert("RGB")


def _display(frames, caption, milliseconds=None):
    sample = Image.new("RGB", (frames[0].width, sum(frame.height for frame in frames)))
    for number, frame in enumerate(frames):
        sample.paste(frame, (0, number * frame.height))
    own = [channel for color in (*OKABE_ITO, "white") for channel in ImageColor.getrgb(color)]
    palette = Image.new("P", (1, 1))
    colours = 64 if len(frames) > 1 else 256
    palette.putpalette(own + sample.quantize(colours - len(own) // 3).getpalette()[: 3 * colours - len(own)])
    first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    motion = {"save_all": True, "append_images": rest, "duration": milliseconds, "loop": 0} if rest else {}
    buffer = io.BytesIO()
    first.save(buffer, format="png", optimize=True, **motion)
    notebook.display(notebook.Image(buffer.getvalue(), format="png"), metadata={"image/png": {"alt": caption}})
    notebook.display(notebook.Markdown(f"*{caption}*"))


def table(header, rows):
    """Display rows of cells as a small Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    text = "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
    notebook.display(notebook.Markdown(text))
