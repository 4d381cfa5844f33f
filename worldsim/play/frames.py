"""Frames as bytes: a header of 48 bytes, then a picture or two (docs/play-protocol.md); and a stranger's picture as a
frame."""

from __future__ import annotations

import io
import math
import struct
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

HEADER = struct.Struct("<BBHIIIdffffff")
TERMINATED, TRUNCATED, BEGUN, HELD, REAL_ENDED, UNCERTAINTY_KNOWN, JUMPED = (1 << i for i in range(7))
MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS = 1 << 20, 1 << 22
_MAX_SIDE = 8192
_READABLE = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


class Frame(NamedTuple):
    """What a page shows."""

    number: int
    answered: int  # the input that this frame answers
    clock_ms: float
    flags: int
    reward: float
    total: float
    uncertainty: float | None
    model_ms: float
    picture: bytes
    real_reward: float = 0.0
    real_total: float = 0.0
    real_picture: bytes = b""


def pack(frame: Frame) -> bytes:
    """Lay a frame out."""
    flags = frame.flags | (UNCERTAINTY_KNOWN if frame.uncertainty is not None else 0)
    uncertainty = math.nan if frame.uncertainty is None else frame.uncertainty
    counts = frame.number, frame.answered, len(frame.picture)
    values = frame.clock_ms, frame.reward, frame.total, uncertainty, frame.real_reward, frame.real_total, frame.model_ms
    return HEADER.pack(1, flags, 0, *counts, *values) + frame.picture + frame.real_picture


def encode_picture(obs: UInt8[np.ndarray, "h w c"], kind: str) -> bytes:
    """Pack a frame: "webp" keeps every pixel as the model made it, "jpeg" is for slow connections."""
    out = io.BytesIO()
    if kind == "webp":
        Image.fromarray(obs).save(out, "WEBP", lossless=True, method=0, quality=0)
    else:
        Image.fromarray(obs).save(out, "JPEG", quality=90, subsampling=0)
    return out.getvalue()


def decode_picture(
    raw: bytes, size: tuple[int, int], max_bytes: int = MAX_PICTURE_BYTES, max_pixels: int = MAX_PICTURE_PIXELS
) -> UInt8[np.ndarray, "h w c"]:
    """Read a picture and fit it to a world's size: the middle of it is kept, and its shape.

    Raises:
        ValueError: too many bytes or pixels, or no picture. Its size is checked before a pixel is decoded.
    """
    if len(raw) > max_bytes:
        raise ValueError(f"expected at most {max_bytes >> 20} MiB for a picture, got {len(raw) / 2**20:.1f}.")
    try:
        picture = Image.open(io.BytesIO(raw), formats=_READABLE)
        width, height = picture.size
        if max(width, height) > _MAX_SIDE or width * height > max_pixels:
            most = f"{max_pixels / 1e6:.1f} million pixels and {_MAX_SIDE} a side"
            raise ValueError(f"expected at most {most} for a picture, got {width}x{height}.")
        picture = ImageOps.exif_transpose(picture).convert("RGBA")
    except ValueError:
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(f"expected at most {_MAX_SIDE} pixels a side for a picture, got far more.") from error
    except Exception as error:  # decoders raise errors of their own kinds, SyntaxError and DecompressionBomb among them
        raise ValueError(f"expected {', '.join(_READABLE)} for a picture; this cannot be read.") from error
    black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
    opaque = Image.alpha_composite(black, picture).convert("RGB")
    return np.asarray(ImageOps.fit(opaque, (size[1], size[0]), Image.Resampling.BOX))
