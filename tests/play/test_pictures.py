"""Frames over the line and strangers' pictures."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from tests.play.conftest import unpack
from worldsim.play.frames import HEADER, MAX_PICTURE_BYTES, Frame, decode_picture, encode_picture, pack

OBS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def test_webp_keeps_every_pixel_and_jpeg_is_near():
    back = {
        kind: np.asarray(Image.open(io.BytesIO(encode_picture(OBS, kind))).convert("RGB")) for kind in ("webp", "jpeg")
    }
    assert (back["webp"] == OBS).all()
    assert np.abs(back["jpeg"].astype(int) - OBS).mean() < 20


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1e12),
    st.none() | st.floats(0, 8, width=32),
    st.binary(max_size=40),
    st.binary(max_size=40),
)
def test_a_frame_survives_pack_and_unpack(number, answered, clock, uncertainty, picture, real):
    frame = Frame(number, answered, clock, 5, 1.0, -2.5, uncertainty, 4.0, picture, 0.5, 1.5, real)
    back = unpack(pack(frame))
    known = 32 if uncertainty is not None else 0
    assert back == frame._replace(flags=5 | known) and len(pack(frame)) == HEADER.size + len(picture) + len(real)
    assert HEADER.size == 48


def saved(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_picture_of_any_kind_and_shape_becomes_a_frame(kind):
    frame = decode_picture(saved(Image.new("RGB", (90, 30), (40, 80, 120)), kind), (16, 24))
    assert frame.shape == (16, 24, 3) and frame.dtype == np.uint8
    assert np.abs(frame.astype(int) - (40, 80, 120)).max() < 8


def test_the_middle_of_a_picture_is_kept_with_its_shape():
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 10:20] = 255
    assert (decode_picture(saved(Image.fromarray(picture), "PNG"), (8, 8)) == 255).all()


def test_what_is_transparent_is_black():
    frame = decode_picture(saved(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"), (8, 8))
    assert (frame == 0).all()


def bomb() -> bytes:
    """A picture of 400 million pixels in a few kilobytes."""
    return saved(Image.new("1", (20_000, 20_000)), "PNG")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        saved(Image.new("RGB", (9, 9)), "PNG")[:-30],
        b"x" * (MAX_PICTURE_BYTES + 1),
        bomb(),
        saved(Image.new("RGB", (4, 4)), "TIFF"),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["empty", "header", "cut", "heavy", "bomb", "tiff", "svg"],
)
def test_a_bad_picture_is_a_clear_error(raw):
    with pytest.raises(ValueError, match="for a picture"):
        decode_picture(raw, (16, 16))


def test_pixels_are_counted_before_they_are_decoded(monkeypatch):
    raw = saved(Image.new("RGB", (4000, 2000)), "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda picture: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="million pixels"):
        decode_picture(raw, (16, 16))
