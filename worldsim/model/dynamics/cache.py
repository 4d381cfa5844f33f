"""What the dynamics keep of the past: the cache of a stream, and the past of whole windows in training."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int


class Cache(NamedTuple):
    """The past of a stream. Every leaf has the batch first."""

    count: Int[Array, " b"]  # frames committed
    z: Float[Array, "b k n c"]  # the last `num_before` committed latents, latest first, at level `context_tau`
    time: tuple[Any, ...]  # one `KVCache` a time layer
    memory: Any  # [b m d], or () where there is no memory
    prompt: Any = ()  # `PromptKV`, or () where the world reads no prompts
    prior: Any = ()  # the state of the prior (`worldsim.model.prior`)


class WindowPast(NamedTuple):
    """The past of every frame of windows. Every leaf has the batch first."""

    z: Float[Array, "b t k n c"]  # the `num_before` latents before each frame, latest first
    tau: Int[Array, "b t"]  # their level index, 0 where there is nothing before
    isolated: Bool[Array, " b"]
    times: tuple[Any, ...]  # keys and values of each time layer
    memories: tuple[Any, ...]  # the state before each frame, where there is a memory
    prompt: Any = ()  # `PromptKV`, or () where the world reads no prompts
    prior: Any = ()  # the prior's inputs for each frame
