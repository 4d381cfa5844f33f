"""How the dynamics read a prompt: once, to keys and values for each layer over space, then by cross-attention."""

from __future__ import annotations

from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array, Bool, Float

from worldsim.dynamics.config import DynamicsConfig
from worldsim.nn.attention import CrossAttention
from worldsim.nn.text import TextEncoder
from worldsim.nn.words import Prompt


class Heard(NamedTuple):
    """A prompt as the layers see it. Every leaf has the batch first."""

    keys: tuple[Any, ...]  # keys and values of each layer over space
    mask: Bool[Array, "b p"]


class PromptReader(nnx.Module):
    """The text encoder, and a cross-attention beside each attention over space.

    Every branch starts at nothing, so that an untrained reader changes nothing.
    """

    def __init__(self, config: DynamicsConfig, over_time: tuple[bool, ...], *, rngs: nnx.Rngs):
        if config.prompt is None:
            raise ValueError("a PromptReader must have a prompt in its config.")
        self.config = config.prompt
        heads = config.width // config.head_dim
        self.encoder = TextEncoder(config.prompt, config.width, heads, rngs=rngs)
        self.over_time = over_time
        self.attentions = nnx.List(
            [CrossAttention(config.width, heads, heads // config.kv_groups, rngs=rngs) for o in over_time if not o]
        )

    def read(self, prompt: Prompt) -> Heard:
        """Read prompts, one a row."""
        tokens, mask = self.encoder(prompt)
        return Heard(tuple(attention.read(tokens) for attention in self.attentions), mask)

    def __call__(self, layer: int, x: Float[Array, "b *t m d"], heard: Heard) -> Float[Array, "b *t m d"]:
        """Return what a layer over space makes of a prompt, to be added to x."""
        index = self.over_time[:layer].count(False)
        return self.attentions[index](x, heard.keys[index], heard.mask)
