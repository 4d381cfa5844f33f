"""The picture in what a game observes or renders, as uint8 RGB."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from jaxtyping import UInt8
from PIL import Image

LEAST_SIDE = 16  # pixels: what is smaller is a board and no picture, where the game can render one
LONGEST_SIDE = 128  # pixels of a game's own pictures that are recorded as they are
PROPOSED_SIDE = 96  # pixels of the longer side of larger ones
_MULTIPLE = 8
_COLOURS = (1, 3, 4)  # channels of grey, RGB and RGBA


class PictureReader(NamedTuple):
    """How to make a picture of an observation."""

    key: str | None = None  # of a Dict observation
    is_channels_first: bool = False
    scale: float = 1.0  # 255 for pictures of floats within 0..1

    def read(self, obs: Any) -> UInt8[np.ndarray, "h w 3"]:
        """Return the observation as uint8 RGB: grey is repeated, alpha is left out.

        Raises:
            ValueError: it is no picture.
        """
        picture = np.asarray(obs if self.key is None else obs[self.key])
        picture = np.moveaxis(picture, 0, -1) if self.is_channels_first and picture.ndim == 3 else picture
        picture = picture[..., None] if picture.ndim == 2 else picture
        if picture.ndim != 3 or picture.shape[2] not in _COLOURS or picture.dtype.kind not in "uif" or not picture.size:
            raise ValueError(f"expected a picture [h w 3], got {picture.dtype} {picture.shape}")
        if picture.dtype != np.uint8:
            picture = np.clip(np.rint(np.nan_to_num(picture * self.scale)), 0, 255).astype(np.uint8)
        return np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture[..., :3]


def find_picture(
    space: gym.Space, key: str | None = None, channels: str | None = None, *, can_render: bool = False
) -> PictureReader | None:
    """Find the picture in an observation space; None where there is none, or where rendering shows more.

    Args:
        space: of the observations.
        key: of a Dict space, where several entries are pictures.
        channels: "first" or "last", where the shape leaves it open.
        can_render: whether the game can render a picture.

    Raises:
        ValueError: several entries are pictures, or the shape leaves the order of channels open.
    """
    if not isinstance(space, gym.spaces.Dict):
        if key is not None:
            raise ValueError(f"expected a Dict of observations for obs_key {key!r}, got {space}.")
        return _read(space, None, channels, can_render)
    if key is not None and key not in space.spaces:
        raise ValueError(f"expected one of {', '.join(map(str, space.spaces))} for obs_key, got {key!r}.")
    names = list(space.spaces) if key is None else [key]
    found = [x for name in names if (x := _read(space.spaces[name], name, channels, can_render)) is not None]
    if len(found) > 1:
        raise ValueError(f"expected one picture, got {', '.join(str(x.key) for x in found)}; choose one by --obs-key.")
    if key is not None and not found:
        raise ValueError(f"expected a picture at obs_key {key!r}, got {space.spaces[key]}.")
    return found[0] if found else None


def propose_size(height: int, width: int) -> tuple[int, int]:
    """Return the size at which pictures are recorded where none is asked for: smaller ones as they are."""
    longest = max(height, width)
    if longest <= LONGEST_SIDE:
        return height, width
    sides = (max(_MULTIPLE, round(n * PROPOSED_SIDE / longest / _MULTIPLE) * _MULTIPLE) for n in (height, width))
    return next(sides), next(sides)


def resize(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "y x 3"]:
    """Scale a picture to a height and width, by the mean over areas."""
    if picture.shape[:2] == size:
        return picture
    height, width = size
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))


def _read(space: gym.Space, key: str | None, channels: str | None, can_render: bool) -> PictureReader | None:
    if not isinstance(space, gym.spaces.Box) or space.dtype is None or not space.shape or len(space.shape) > 3:
        return None
    sides = space.shape
    is_byte, low, high = space.dtype == np.uint8, float(np.min(space.low)), float(np.max(space.high))
    if len(sides) < 2 or not (is_byte or (low, high) in ((0.0, 1.0), (0.0, 255.0))):
        return None
    first = len(sides) == 3 and sides[0] in (1, 3) and channels != "last"
    last = len(sides) == 2 or (sides[2] in _COLOURS and channels != "first")
    if first and last and len(sides) == 3:
        raise ValueError(f"expected pictures [h w c] or [c h w], got {sides}, which may be both: say --channels last.")
    least = min(sides[1:] if first else sides[:2])
    if not (first or last) or (can_render and least < LEAST_SIDE):
        return None
    if len(sides) == 2 and not (is_byte and least >= LEAST_SIDE):
        return None  # a table of numbers
    return PictureReader(key, first, 1.0 if is_byte or high > 1 else 255.0)
