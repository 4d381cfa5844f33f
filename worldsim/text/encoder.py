"""A small text encoder, trained with the world: n-grams to words, words to tokens."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from worldsim.nn.attention import CrossAttention
from worldsim.nn.layers import SwiGLU, linear
from worldsim.text.prompt import Prompt, PromptConfig
from worldsim.text.sentence import SENTENCE_DIM


class _TextLayer(nnx.Module):
    """Words attend to each other."""

    def __init__(self, width: int, num_heads: int, *, rngs: nnx.Rngs):
        self.attention = CrossAttention(width, num_heads, num_heads, rngs=rngs)
        self.feed_forward = SwiGLU(width, expansion=2.0, rngs=rngs)

    def __call__(self, x: Float[Array, "b p d"], mask: Bool[Array, "b p"]) -> Float[Array, "b p d"]:
        x = x + self.attention(x, self.attention.read(x), mask)
        return x + self.feed_forward(x)


class TextEncoder(nnx.Module):
    """Prompt tokens: one that is always there, with the whole sentence or none, the words, and one an attribute."""

    def __init__(self, config: PromptConfig, width: int, num_heads: int, *, rngs: nnx.Rngs):
        self.grams = nnx.Embed(config.num_buckets, config.gram_width, rngs=rngs)
        self.in_proj = linear(config.gram_width, width, rngs=rngs)
        self.sentence = linear(SENTENCE_DIM, width, rngs=rngs) if config.sentence else None
        self.pos_embed = nnx.Param(0.02 * jax.random.normal(rngs.params(), (config.num_words, width)))
        self.layers = nnx.List([_TextLayer(width, num_heads, rngs=rngs) for _ in range(config.num_layers)])
        self.sizes = tuple(1 + len(values) for _, values in config.attributes)  # of each attribute, unknown first
        self.labels = nnx.Embed(max(sum(self.sizes), 1), width, rngs=rngs)
        self.always = nnx.Param(jax.random.normal(rngs.params(), (1, width)) * width**-0.5)

    def __call__(self, prompt: Prompt) -> tuple[Float[Array, "b p d"], Bool[Array, "b p"]]:
        """Return the tokens, and a mask of those that are not padding."""
        batch = prompt.words.shape[0]
        is_gram = prompt.words > 0
        grams = self.grams(jnp.asarray(prompt.words)) * is_gram[..., None]
        words = grams.sum(-2) / jnp.maximum(is_gram.sum(-1), 1)[..., None]
        is_word = is_gram.any(-1)
        words = self.in_proj(words)
        words = words + self.pos_embed[...].astype(words.dtype)[None]
        always = jnp.broadcast_to(self.always[...].astype(words.dtype)[None], (batch, 1, words.shape[-1]))
        if self.sentence is not None:
            always = always + self.sentence(jnp.asarray(prompt.sentence))[:, None]
        x, mask = jnp.concatenate([always, words], 1), jnp.pad(is_word, ((0, 0), (1, 0)), constant_values=True)
        for layer in self.layers:
            x = layer(x, mask)
        first = np.cumsum([0, *self.sizes])[:-1].astype(np.int32)
        labels = self.labels(jnp.asarray(prompt.labels) + jnp.asarray(first)[None]).astype(x.dtype)
        return jnp.concatenate([x, labels], 1), jnp.pad(mask, ((0, 0), (0, len(self.sizes))), constant_values=True)
