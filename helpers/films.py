"""Frames of films, decoded by FFmpeg (PyAV): what `media.frames` yields, and why it ends.

PyAV is loaded with the first film only: photographs do without.
"""

import numpy as np
from PIL import Image

EARLY_S = 0.5  # a film may end this much before the time that its container states
LEAP_S = 10  # the times of a transport stream may leap this far; what leaps further was joined


class FilmError(ValueError):
    """What is wrong with a film, to be read after its name."""


def watch(stream, longest=None):
    """Yields None once the first frame is decoded, and then each frame; `media.frames` says how they look.

    Takes a binary stream, which is closed at the end. Raises FilmError in place of None if there is no frame, and after
    the last good frame if the film is damaged or cut short, or has no second one.
    """
    import av

    count, last, shift, total = 0, 0, None, None
    try:  # without protocols, or a playlist would open other files and addresses
        with stream, av.open(stream, options={"protocol_whitelist": "none"}, metadata_errors="replace") as container:
            film, kind, flags = _film(container), container.format, av.format.Flags
            joined = kind.flags & flags.ts_discont.value
            timeless = kind.flags & flags.no_timestamps.value or kind.name == "avi"
            total = container.duration and container.duration / av.time_base
            step = 1 / (film.guessed_rate or film.average_rate or 25)
            for frame in _decoded(container, film, joined):
                if frame.is_corrupt:
                    raise EOFError("a frame is damaged")
                if not count:
                    yield
                clock = None if timeless or frame.pts is None else frame.pts * film.time_base
                passed = step if None in (clock, shift) else clock - shift - last
                if passed < 0 and not joined:
                    raise EOFError("the times of its frames go back")
                if not 0 < passed <= (LEAP_S if joined else np.inf):
                    passed = step
                last += passed if count else 0
                shift = shift if clock is None else clock - last
                yield _shown(frame, film.sample_aspect_ratio or 1, longest, time_s=float(last))
                count += 1
            if not count:
                raise EOFError("there is no frame")
    except (av.FFmpegError, EOFError) as error:
        if not count:
            raise FilmError("is not a video that FFmpeg can read, or is damaged. Save it as MP4 (H.264).") from error
        at = f"{float(last):.1f} s" + (f" of {total:.1f} s" if total else "")
        cause = f"it is damaged or cut short ({getattr(error, 'strerror', error)})"
        raise FilmError(f"ends after {count} frames, at {at}: {cause}. Copy or download it again.") from error
    if count == 1:
        raise FilmError("is a single picture, not a film. A photograph opens with media.load.")


def _film(container):
    """The stream with the largest frames, as ffmpeg chooses."""
    from av.stream import Disposition

    pictures = container.streams.video
    covers = [one for one in pictures if one.disposition & Disposition.attached_pic]
    films = [one for one in pictures if one not in covers and one.codec_context]
    if not films or container.format.name == "tty":  # plain text
        only = ": only a cover picture" if covers else " that FFmpeg can read"
        raise FilmError(f"holds no film{only}. Give a video file, best an MP4 (H.264).")
    return max(films, key=lambda one: one.width * one.height)


def _decoded(container, film, joined):
    """Yields the decoded frames, and after the last good one raises FFmpegError or EOFError if that is not the end."""
    import av

    end, fault = None, None
    due = container.duration and (min(0, container.start_time or 0) + container.duration) / av.time_base - EARLY_S
    try:
        for packet in _packets(container):
            if packet.is_corrupt and not joined:  # where streams are joined, whole packets have this mark
                raise EOFError("a packet is cut")
            if packet.pts is not None and packet.stream.type in ("video", "audio"):
                end = max(end or 0, (packet.pts + (packet.duration or 0)) * packet.time_base)
            if packet.stream is film and packet.size:
                yield from packet.decode()
    except (av.FFmpegError, EOFError) as error:
        fault = error
    yield from film.decode(None)  # what waited for its turn
    if fault or (end is not None and due and end < due):
        raise fault or EOFError("the container says that there is more")


def _packets(container):
    """Yields the packets, of the sound too, which may last longer; raises EOFError where Matroska or WebM is damaged.

    FFmpeg then looks for the next place that makes sense, and only its log tells.
    """
    from av import logging

    packets, level, once = container.demux(), logging.get_level(), logging.get_skip_repeated()
    while True:
        with logging.Capture() as messages:
            logging.set_level(logging.ERROR)
            logging.set_skip_repeated(False)  # or the same message of the next film would be held back
            try:
                packet = next(packets, None)
            finally:
                logging.set_level(level)
                logging.set_skip_repeated(once)
        if any(name == "matroska,webm" for _, name, _ in messages):
            raise EOFError("the container is damaged")
        if packet is None:
            return
        yield packet


def _shown(frame, aspect, longest, **info):
    """The image that a player shows, of a frame whose pixels are `aspect` times as wide as high."""
    width, height = frame.width * max(aspect, 1), frame.height / min(aspect, 1)
    scale = min(1, longest / max(width, height)) if longest else 1
    size = (max(1, round(scale * side)) for side in (width, height))
    pixels = frame.reformat(*size, format="rgb24").to_ndarray()
    if matrix := frame.side_data.get("DISPLAYMATRIX"):
        # It maps rows: x' = a x + c y, y' = b x + d y. Phones turn by quarters only.
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
        if abs(b) + abs(c) > abs(a) + abs(d):
            pixels, a, d = pixels.swapaxes(0, 1), c, b
        pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    image = Image.fromarray(pixels)
    image.info |= info
    return image
