"""What the dynamics keep of the past: of a stream as it goes on, and of whole windows in training."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int

NUM_BEFORE = 2  # frames before the present one that the local path sees: two, so that what moves has a velocity


class Cache(NamedTuple):
    """What a stream keeps of its past. Every leaf has the batch first."""

    count: Int[Array, " b"]  # frames committed
    z: Float[Array, "b k n c"]  # the last NUM_BEFORE committed latents, latest first, at the level of the past
    time: tuple[Any, ...]  # one `Past` a time layer
    memory: Any  # [b m d], or () where there is no memory
    prompt: Any = ()  # `Heard`, or () where the world reads no prompts
    view: Any = ()  # `View`, or () where no camera is known


class Past(NamedTuple):
    """What windows of footage leave for their frames to be predicted. Every leaf has the batch first."""

    z: Float[Array, "b t k n c"]  # the NUM_BEFORE latents before each frame, latest first
    tau: Int[Array, "b t"]  # their level index, 0 where there is nothing before
    isolated: Bool[Array, " b"]
    times: tuple[Any, ...]  # keys and values of each time layer
    memories: tuple[Any, ...]  # the state before each frame, where there is a memory
    prompt: Any = ()  # `Heard`, where the world reads prompts
    glimpse: Any = ()  # `Glimpse` of each frame, where a camera is known


class Glimpse(NamedTuple):
    """Frames as far as the camera's way tells them (`worldsim.nn.camera.Sight`), coded."""

    z: Any  # latents [b *t n c]
    fresh: Any  # share of each cell that was in the frame before [b *t y x]
    old: Any  # trust in what each cell shows of earlier frames [b *t y x]
