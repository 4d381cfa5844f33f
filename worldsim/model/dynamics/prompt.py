"""Prompt conditioning: a prompt is encoded once to keys and values, which layers over space cross-attend to."""

from __future__ import annotations

from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array, Bool, Float

from worldsim.model.config import DynamicsConfig
from worldsim.nn.attention import CrossAttention
from worldsim.text.encoder import TextEncoder
from worldsim.text.prompt import Prompt


class PromptKV(NamedTuple):
    """An encoded prompt. Every leaf has the batch first."""

    keys: tuple[Any, ...]  # keys and values of each layer over space
    mask: Bool[Array, "b p"]


class PromptEncoder(nnx.Module):
    """The text encoder, and a cross-attention beside each attention over space.

    Every branch starts at zero, so that before training a prompt changes nothing.
    """

    def __init__(self, config: DynamicsConfig, over_time: tuple[bool, ...], *, rngs: nnx.Rngs):
        if config.prompt is None:
            raise ValueError("expected a prompt config for a PromptEncoder, got None.")
        self.config = config.prompt
        heads = config.width // config.head_dim
        self.encoder = TextEncoder(config.prompt, config.width, heads, rngs=rngs)
        self.over_time = over_time
        self.attentions = nnx.List(
            [CrossAttention(config.width, heads, heads // config.kv_groups, rngs=rngs) for o in over_time if not o]
        )

    def encode(self, prompt: Prompt) -> PromptKV:
        """Encode prompts, one a row."""
        tokens, mask = self.encoder(prompt)
        return PromptKV(tuple(attention.read(tokens) for attention in self.attentions), mask)

    def __call__(self, layer: int, x: Float[Array, "b *t m d"], prompt: PromptKV) -> Float[Array, "b *t m d"]:
        """Return the cross-attention branch of a layer over space, to be added to x."""
        index = self.over_time[:layer].count(False)
        return self.attentions[index](x, prompt.keys[index], prompt.mask)
