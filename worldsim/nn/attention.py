"""Attention over space within a frame, over time within a token, to a text, and what of the past a stream has to keep.

Space: every token of a frame sees every other; rotary positions on two axes (Heo et al. 2024, arXiv 2403.13298), so the
grid may have any size. Time: a token sees itself in earlier frames, up to `window` frames back, and the `num_sinks`
first frames (Xiao et al. 2023, arXiv 2309.17453). Positions in time are a learned bias by age, a table of
`window + 2` entries a head: keys go into the ring cache as they are and never need to be rotated again.

Queries and keys are RMS-normed (Henry et al. 2020) and logits softly capped (Gemma 2, arXiv 2408.00118).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from worldsim.nn.layers import RMSNorm, linear, rms_norm

SOFT_CAP = 30.0


def attend(
    q: Float[Array, "*n q h d"],
    k: Float[Array, "*n k g d"],
    v: Float[Array, "*n k g d"],
    bias: Float[Array, "..."] | None = None,
) -> Float[Array, "*n q h d"]:
    """Grouped-query attention: h query heads share g key heads. `bias` broadcasts to `[*n h q k]`."""
    groups = k.shape[-2]
    q = rearrange(q, "... q (g r) d -> ... q g r d", g=groups)
    logits = jnp.einsum("...qgrd,...kgd->...grqk", q, k).astype(jnp.float32) * q.shape[-1] ** -0.5
    logits = SOFT_CAP * jnp.tanh(logits / SOFT_CAP)
    if bias is not None:
        logits += rearrange(bias, "... (g r) q k -> ... g r q k", g=groups)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return rearrange(jnp.einsum("...grqk,...kgd->...qgrd", weights, v), "... q g r d -> ... q (g r) d")


class _QueryKeyValue(nnx.Module):
    """Pre-norm projections to normed queries and keys, and values; and the way back."""

    def __init__(self, width: int, num_heads: int, num_kv_heads: int, *, rngs: nnx.Rngs):
        self.num_heads, self.num_kv_heads, self.head_dim = num_heads, num_kv_heads, width // num_heads
        self.norm = RMSNorm(width)
        self.qkv = linear(width, (num_heads + 2 * num_kv_heads) * self.head_dim, rngs=rngs)
        self.q_scale = nnx.Param(jnp.ones((num_heads, 1)))
        self.out = linear(width, width, rngs=rngs, zero=True)

    def project(self, x: Float[Array, "... d"]):
        h, g = self.num_heads, self.num_kv_heads
        qkv = self.qkv(self.norm(x)).reshape(*x.shape[:-1], h + 2 * g, self.head_dim)
        q, k, v = jnp.split(qkv, [h, h + g], axis=-2)
        scale = self.q_scale[...].astype(x.dtype).reshape((1,) * (x.ndim - 1) + (h, 1))
        return rms_norm(q) * scale, rms_norm(k), v

    def merge(self, x: Float[Array, "... h d"]) -> Float[Array, "... w"]:
        return self.out(rearrange(x, "... h d -> ... (h d)"))


def grid_angles(height: int, width: int, num_extra: int, head_dim: int) -> Float[np.ndarray, "m f"]:
    """Return the rotary angles of `num_extra` tokens at the origin and then of a grid of tokens, row by row.

    Half of the head's pairs turn with y and half with x; distances are counted in tokens. Made on the host, so that
    sines and cosines are constants: fused into the attention they cost more than the rest of a block on a CPU.
    """
    pairs = head_dim // 4
    frequency = 30.0 ** (-np.arange(pairs) / max(pairs, 1))
    y, x = np.meshgrid(np.arange(1, height + 1), np.arange(1, width + 1), indexing="ij")
    place = np.stack([y.ravel(), x.ravel()], -1)
    angles = (place[:, :, None] * frequency).reshape(height * width, 2 * pairs)
    return np.concatenate([np.zeros((num_extra, 2 * pairs)), angles]).astype(np.float32)


def rotate(x: Float[Array, "... m h d"], angles: Float[np.ndarray, "m f"]) -> Float[Array, "... m h d"]:
    """Turn the first 2f entries of each head by its token's angles."""
    lead = (1,) * (x.ndim - 3)
    cos, sin = (jnp.asarray(f(angles), x.dtype).reshape(*lead, angles.shape[0], 1, -1) for f in (np.cos, np.sin))
    f = angles.shape[-1]
    a, b, rest = x[..., :f], x[..., f : 2 * f], x[..., 2 * f :]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos, rest], -1)


class SpaceAttention(_QueryKeyValue):
    """Tokens of one frame attend to each other."""

    def __call__(self, x: Float[Array, "... m d"], angles: Float[np.ndarray, "m f"]) -> Float[Array, "... m d"]:
        """Return the branch, to be added to x."""
        q, k, v = self.project(x)
        return self.merge(attend(rotate(q, angles), rotate(k, angles), v))


class CrossAttention(nnx.Module):
    """Tokens attend to the tokens of a text."""

    def __init__(self, width: int, num_heads: int, num_kv_heads: int, *, rngs: nnx.Rngs):
        self.num_heads, self.num_kv_heads, self.head_dim = num_heads, num_kv_heads, width // num_heads
        self.norm, self.text_norm = RMSNorm(width), RMSNorm(width)
        self.q = linear(width, width, rngs=rngs)
        self.kv = linear(width, 2 * num_kv_heads * self.head_dim, rngs=rngs)
        self.q_scale = nnx.Param(jnp.ones((num_heads, 1)))
        self.out = linear(width, width, rngs=rngs, zero=True)

    def read(self, text: Float[Array, "b p d"]) -> tuple[Float[Array, "b p g e"], Float[Array, "b p g e"]]:
        """Return the keys and values of a text."""
        kv = self.kv(self.text_norm(text))
        k, v = jnp.split(rearrange(kv, "b p (g e) -> b p g e", e=self.head_dim), 2, axis=2)
        return rms_norm(k), v

    def __call__(self, x: Float[Array, "b *t m d"], text, mask: Bool[Array, "b p"]) -> Float[Array, "b *t m d"]:
        """Return the branch, to be added to x; `text` is what `read` gave and `mask` which of it is there."""
        q = self.q(self.norm(x)).reshape(x.shape[0], -1, self.num_heads, self.head_dim)
        q = rms_norm(q) * self.q_scale[...].astype(x.dtype)[None, None]
        bias = jnp.where(mask, 0.0, -1e9)[:, None, None, :]
        out = attend(q, text[0], text[1], jnp.broadcast_to(bias, (x.shape[0], self.num_heads, 1, mask.shape[1])))
        return self.out(out.reshape(x.shape))


class KVCache(NamedTuple):
    """Keys and values of one time layer: a ring of the last frames, and the first frames of all."""

    k: Float[Array, "b m w g d"]
    v: Float[Array, "b m w g d"]
    sink_k: Float[Array, "b m s g d"]
    sink_v: Float[Array, "b m s g d"]


class TimeAttention(_QueryKeyValue):
    """A token attends to itself in this frame, the `window` frames before it and the `num_sinks` first frames."""

    def __init__(self, width: int, num_heads: int, num_kv_heads: int, *, window: int, num_sinks: int, rngs: nnx.Rngs):
        super().__init__(width, num_heads, num_kv_heads, rngs=rngs)
        self.window, self.num_sinks = window, num_sinks
        self.age_bias = nnx.Param(jnp.zeros((num_heads, window + 2)))

    def __call__(self, x: Float[Array, "b t m d"], isolated: Bool[Array, " b"]):
        """Return the branch for whole windows of footage, and the keys and values by which `beside` sees them.

        Rows that are `isolated` see no other frame.
        """
        q, k, v = (rearrange(a, "b t m h d -> b m t h d") for a in self.project(x))
        age, before = self._before(x.shape[1], isolated)
        bias = self._bias(age, before | (age == 0)[None])
        return self._merge_frames(attend(q, k, v, bias[:, None])), (k, v)

    def beside(self, x: Float[Array, "b t m d"], past, isolated: Bool[Array, " b"]) -> Float[Array, "b t m d"]:
        """Return the branch for other versions of the same frames, each of which sees itself and the past.

        `past` are the keys and values that calling the layer on the past's versions of the frames gave.
        """
        q, *own = (rearrange(a, "b t m h d -> b m t h d") for a in self.project(x))
        k, v = (jnp.concatenate(pair, axis=2) for pair in zip(past, own, strict=True))
        age, before = self._before(x.shape[1], isolated)
        itself = jnp.broadcast_to(age == 0, before.shape)
        bias = jnp.concatenate([self._bias(age, before), self._bias(age, itself)], axis=-1)
        return self._merge_frames(attend(q, k, v, bias[:, None]))

    def step(self, x: Float[Array, "b m d"], past: KVCache, count: Int[Array, " b"]):
        """Return the branch for the one present frame, and its key and value `[b m g d]`, which are not kept yet.

        `count` is how many frames each stream has committed.
        """
        q, k, v = self.project(x)
        keys = jnp.concatenate([past.sink_k, past.k, k[:, :, None]], axis=2)
        values = jnp.concatenate([past.sink_v, past.v, v[:, :, None]], axis=2)
        sink_age = count[:, None] - jnp.arange(self.num_sinks)[None]
        ring_age = (count[:, None] - 1 - jnp.arange(self.window)[None]) % self.window + 1
        age = jnp.concatenate([sink_age, ring_age, jnp.zeros_like(count[:, None])], axis=1)
        visible = jnp.concatenate([sink_age > self.window, ring_age <= count[:, None]], axis=1)
        visible = jnp.pad(visible, ((0, 0), (0, 1)), constant_values=True)
        bias = self._bias(age[:, None], visible[:, None])
        out = attend(q[:, :, None], keys, values, bias[:, None])
        return self.merge(out[:, :, 0]), (k, v)

    def empty(self, batch: int, num_tokens: int) -> KVCache:
        """Make a past of nothing."""
        shape = (batch, num_tokens, self.window, self.num_kv_heads, self.head_dim)
        sinks = (batch, num_tokens, self.num_sinks, self.num_kv_heads, self.head_dim)
        dtype = self.qkv.dtype
        return KVCache(
            jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), jnp.zeros(sinks, dtype), jnp.zeros(sinks, dtype)
        )

    def keep(self, past: KVCache, fresh, count: Int[Array, " b"]) -> KVCache:
        """Put the present frame's key and value into the past, over the oldest one."""
        k, v = fresh
        ring = (jnp.arange(self.window)[None] == (count % self.window)[:, None])[:, None, :, None, None]
        sink = (jnp.arange(self.num_sinks)[None] == count[:, None])[:, None, :, None, None]
        return KVCache(
            jnp.where(ring, k[:, :, None], past.k),
            jnp.where(ring, v[:, :, None], past.v),
            jnp.where(sink, k[:, :, None], past.sink_k),
            jnp.where(sink, v[:, :, None], past.sink_v),
        )

    def _before(self, num_frames: int, isolated: Bool[Array, " b"]):
        """Return the age of each frame relative to each other one, and which earlier ones it attends to, `[b t t]`."""
        frame = jnp.arange(num_frames)
        age = frame[:, None] - frame[None, :]
        is_sink = (age > self.window) & (frame[None, :] < self.num_sinks)
        visible = (age > 0) & ((age <= self.window) | is_sink)
        return age, visible[None] & ~isolated[:, None, None]

    def _merge_frames(self, x: Float[Array, "b m t h d"]) -> Float[Array, "b t m w"]:
        return self.merge(rearrange(x, "b m t h d -> b t m h d"))

    def _bias(self, age: Int[Array, "..."], visible: Bool[Array, "b q k"]) -> Float[Array, "b h q k"]:
        index = jnp.clip(age, 0, self.window + 1)
        bias = self.age_bias[...][:, index].astype(jnp.float32)
        bias = jnp.moveaxis(bias, 0, 1) if age.ndim == 3 else bias[None]
        return jnp.where(visible[:, None], bias, -1e9)
