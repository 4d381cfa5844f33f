"""Frames to bytes for the line, and a stranger's picture to a frame."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

MAX_PICTURE_BYTES = 4 << 20
_MAX_SIDE, _MAX_PIXELS = 8192, 32_000_000
_READABLE = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def encode(obs: UInt8[np.ndarray, "h w c"], kind: str) -> bytes:
    """Pack a frame: "webp" keeps every pixel as the model made it, "jpeg" is for slow lines."""
    out = io.BytesIO()
    if kind == "webp":
        Image.fromarray(obs).save(out, "WEBP", lossless=True, method=0, quality=0)
    else:
        Image.fromarray(obs).save(out, "JPEG", quality=90, subsampling=0)
    return out.getvalue()


def decode(raw: bytes, size: tuple[int, int], max_bytes: int = MAX_PICTURE_BYTES) -> UInt8[np.ndarray, "h w c"]:
    """Read a picture and fit it to a world's size: the middle of it is kept, and its shape.

    Raises:
        ValueError: too many bytes or pixels, or no picture. Its size is checked before a pixel is decoded.
    """
    if len(raw) > max_bytes:
        raise ValueError(f"a picture wants at most {max_bytes >> 20} MiB, got {len(raw) / 2**20:.1f}.")
    try:
        picture = Image.open(io.BytesIO(raw), formats=_READABLE)
        width, height = picture.size
        if max(width, height) > _MAX_SIDE or width * height > _MAX_PIXELS:
            raise ValueError(f"a picture wants at most {_MAX_SIDE} pixels a side, got {width}x{height}.")
        picture = ImageOps.exif_transpose(picture).convert("RGBA")
    except ValueError:
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(f"a picture wants at most {_MAX_SIDE} pixels a side, got far more.") from error
    except Exception as error:  # decoders raise errors of their own kinds, SyntaxError and DecompressionBomb among them
        raise ValueError(f"a picture wants to be {', '.join(_READABLE)}; this cannot be read.") from error
    black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
    opaque = Image.alpha_composite(black, picture).convert("RGB")
    return np.asarray(ImageOps.fit(opaque, (size[1], size[0]), Image.Resampling.BOX))
