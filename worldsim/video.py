"""Pictures and videos in and out: mp4 and gif files, pictures as prompts, frames laid side by side.

Small frames are enlarged by whole pixels, so that a player shows what the model made and not its own smoothing.
A file appears under its name only when it is whole.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from worldsim.places import as_path

FORMATS = (".mp4", ".gif")
_READABLE = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".mp4")


def check_video_path(path: Path | str) -> Path:
    """The path of a video to write, before hours go into its frames.

    Raises:
        ValueError: it does not end in .mp4 or .gif, is a folder, or cannot be written there.
    """
    path = as_path(path)
    if path.suffix.lower() not in FORMATS or path.is_dir():
        raise ValueError(f"expected a name that ends in {' or '.join(FORMATS)} for a video file, got {str(path)!r}.")
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"cannot write {path}: {folder} is no folder that can be written to.")
    return path


def write_video(path: Path | str, obs: UInt8[np.ndarray, "t h w c"], *, fps: float | int, min_width: int = 384) -> Path:
    """Write frames as .mp4 (H.264) or .gif, whole or not at all.

    Args:
        path: the file; its folder is made where it is missing, an older file is replaced.
        obs: the frames.
        fps: frames a second; a gif rounds to hundredths of a second a frame.
        min_width: frames are enlarged by a whole factor up to about this width in pixels.

    Raises:
        ValueError: no frames, or neither .mp4 nor .gif.
    """
    path = check_video_path(path)
    if len(obs) < 1:
        raise ValueError("expected at least one frame for a video, got none.")
    obs = enlarge(obs, max(1, round(min_width / obs.shape[2])))
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{uuid.uuid4().hex}{path.suffix.lower()}")
    try:
        (_write_mp4 if temp.suffix == ".mp4" else _write_gif)(temp, obs, fps)
        os.replace(temp, path)
    finally:
        temp.unlink(missing_ok=True)
    return path


def read_prompt(path: Path | str) -> UInt8[np.ndarray, "t h w c"]:
    """Read a picture, or the frames of a short video, as uint8 RGB.

    Raises:
        ValueError: not a picture or video that can be read.
        OSError: there is no such file.
    """
    import imageio.v3 as iio

    path = as_path(path)
    if path.suffix.lower() not in _READABLE:
        raise ValueError(f"expected one of {', '.join(_READABLE)} for a prompt file, got {path.name!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"there is no prompt file {path}.")
    try:
        if path.suffix.lower() == ".mp4":
            frames = iio.imread(path, plugin="pyav", format="rgb24")
        else:
            frames = iio.imread(path, plugin="pillow", mode="RGB")
    except Exception as error:  # decoders raise errors of their own kinds
        raise ValueError(f"{path} cannot be read as a picture or video: {error}") from error
    return np.asarray(frames[None] if frames.ndim == 3 else frames, np.uint8)


def side_by_side(panels: Sequence[UInt8[np.ndarray, "t h w c"]], *, gap: int = 2) -> UInt8[np.ndarray, "t h w2 c"]:
    """Lay videos of one length and height side by side, with a dark gap of `gap` pixels between them."""
    t, h, _, c = panels[0].shape
    bar = np.full((t, h, gap, c), 24, np.uint8)
    pieces = [piece for panel in panels for piece in (bar, np.asarray(panel))][1:]
    return np.concatenate(pieces, axis=2)


def label_columns(
    obs: UInt8[np.ndarray, "t h w c"], labels: Sequence[str], *, zoom: int = 4
) -> UInt8[np.ndarray, "t h2 w2 c"]:
    """Enlarge a video of equal columns and write a word over each."""
    from PIL import Image, ImageDraw

    video = enlarge(obs, zoom)
    head = Image.new("RGB", (video.shape[2], 18), (24, 24, 24))
    draw = ImageDraw.Draw(head)
    for i, label in enumerate(labels):
        draw.text(((i + 0.5) * video.shape[2] / len(labels), 9), label, fill=(235, 235, 235), anchor="mm")
    return np.concatenate([np.broadcast_to(np.asarray(head), (len(video), 18, video.shape[2], 3)), video], axis=1)


def strip(
    rows: Sequence[UInt8[np.ndarray, "b t h w c"]], *, num_clips: int = 3, num_columns: int = 8, zoom: int = 2
) -> UInt8[np.ndarray, "y x c"]:
    """Lay clips out: time goes right, and under each clip's real frames come its other versions.

    Args:
        rows: versions of the same clips, real frames first, all of one shape.
        num_clips: how many of the b clips to show.
        num_columns: how many of the t frames to show, evenly spaced, first and last among them.
        zoom: whole factor of enlargement, by nearest neighbour.
    """
    shapes = {r.shape for r in rows}
    if len(shapes) != 1:
        raise ValueError(f"expected rows of one shape for a strip, got {sorted(shapes)}.")
    times = np.unique(np.linspace(0, rows[0].shape[1] - 1, num_columns).round().astype(int))
    lines = []
    for clip in range(min(num_clips, len(rows[0]))):
        lines += [np.concatenate(list(row[clip, times]), axis=1) for row in rows]
        lines.append(np.full((2, *lines[-1].shape[1:]), 255, np.uint8))
    return enlarge(np.concatenate(lines[:-1]), zoom)


def enlarge(picture: UInt8[np.ndarray, "*lead h w c"], zoom: int) -> UInt8[np.ndarray, "*lead y x c"]:
    """Enlarge by a whole factor, by nearest neighbour, so that pixels stay crisp."""
    return picture.repeat(zoom, axis=-3).repeat(zoom, axis=-2)


def _write_mp4(path: Path, obs: np.ndarray, fps: float | int) -> None:
    import av

    obs = np.pad(obs, ((0, 0), (0, obs.shape[1] % 2), (0, obs.shape[2] % 2), (0, 0)), mode="edge")
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"crf": "14", "preset": "veryfast"})
        stream.height, stream.width = obs.shape[1:3]
        stream.pix_fmt = "yuv420p"  # what every browser plays; whole-pixel enlargement keeps its colours apart
        for picture in obs:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _write_gif(path: Path, obs: np.ndarray, fps: float | int) -> None:
    from PIL import Image

    duration_ms = max(20, 10 * round(100 / fps))  # players slow down what is faster than 50 a second
    first, *others = (Image.fromarray(picture) for picture in obs)  # imageio would encode on where it is interrupted
    first.save(path, format="GIF", save_all=True, append_images=others, duration=duration_ms, loop=0)
