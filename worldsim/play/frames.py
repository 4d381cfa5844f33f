"""A frame on the line: 48 bytes of what is known of it, then its picture or two (docs/play-protocol.md)."""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

HEADER = struct.Struct("<BBHIIIdffffff")
TERMINATED, TRUNCATED, BEGUN, HELD, REAL_ENDED, UNCERTAINTY_KNOWN, JUMPED = (1 << i for i in range(7))


class Frame(NamedTuple):
    """What a page gets to see."""

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
    head = HEADER.pack(
        1,
        flags,
        0,
        frame.number,
        frame.answered,
        len(frame.picture),
        frame.clock_ms,
        frame.reward,
        frame.total,
        math.nan if frame.uncertainty is None else frame.uncertainty,
        frame.real_reward,
        frame.real_total,
        frame.model_ms,
    )
    return head + frame.picture + frame.real_picture


def unpack(data: bytes) -> Frame:
    """The inverse of `pack`, as the page does it."""
    _, flags, _, number, answered, length, clock, reward, total, uncertainty, real_reward, real_total, model_ms = (
        HEADER.unpack_from(data)
    )
    picture = data[HEADER.size : HEADER.size + length]
    known = uncertainty if flags & UNCERTAINTY_KNOWN else None
    real = data[HEADER.size + length :]
    return Frame(number, answered, clock, flags, reward, total, known, model_ms, picture, real_reward, real_total, real)
