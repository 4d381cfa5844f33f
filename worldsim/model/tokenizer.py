"""Frames <-> latents: a patch autoencoder, one frame at a time.

    frame [h w 3] - mean picture -> patches -> linear, encoder blocks -> latents -> packed -> normalised z [n c]
    z -> decoder blocks, convolution blocks -> residual to the mean picture -> frame

The encoder is linear where it has no blocks, and its blocks are residual and begin at nothing: what is far from the
mean is measured by the same few numbers wherever it is, things that lie side by side add up, and the decoder solves for
the picture. So the dynamics learn once, not once a place, what moving by a pixel does.

No adversary, no codebook, no KL. The loss is L1 + MSE with a weight for what is rare at its place: the squared
deviation from the mean picture in units of the pixel's own variance is, for a thing that is there with probability p,
just 1 / p. A ball weighs what a paddle weighs, however small it is; and so does a ball that is painted where there is
none, for else the surest ball is a smear.

Where a latent has as many channels as a patch has numbers, and there are no blocks, the latents are the pixels' own
deviations: nothing is lost, so nothing is learned.

Latents are normalised by the mean of their own place and one deviation for all, so that what never moves is zero and
what the decoder hardly reads stays small. (A deviation for each channel made every channel count alike: those with the
least to say change the most from frame to frame, and the dynamics learned them first.)

Where the tokens do not divide a frame, the deviation of its last row and column is repeated on the way in, and what is
painted past the frame is cut off: frames of any size, and nobody outside sees more than the frame.

Frames are coded alone, so that any frame can be decoded, forked and rewound by itself; time is the dynamics' part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Float

from worldsim.nn.attention import SpaceAttention, grid_angles
from worldsim.nn.embedding import GridEmbedding, patchify, unpatchify
from worldsim.nn.layers import RMSNorm, SwiGLU, like, linear
from worldsim.nn.local import ConvBlock
from worldsim.schema import Range, check


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """The shape of a tokenizer."""

    size: tuple[Annotated[int, Range(1, 4096)], Annotated[int, Range(1, 4096)]] = (64, 64)
    """Height and width of a frame in pixels. Training sets it from the footage."""
    width: Annotated[int, Range(1, 8192)] = 96
    """Channels of a token inside the transformer."""
    num_layers: tuple[Annotated[int, Range(0, 32)], Annotated[int, Range(0, 32)]] = (0, 2)
    """Blocks of the encoder and of the decoder; an encoder without any is linear."""
    num_local: Annotated[int, Range(0, 8)] = 0
    """Convolution blocks of the decoder, after its transformer blocks."""
    head_dim: Annotated[int, Range(1, 1024)] = 32
    """Channels of an attention head."""
    patch: Annotated[int, Range(1, 64)] = 8
    """Side of a patch in pixels."""
    latent_channels: Annotated[int, Range(1, 1024)] = 16
    """Channels of a patch's latent."""
    pack: Annotated[int, Range(1, 64)] = 2
    """Side of the square of latents that is packed into one token for the dynamics."""
    size_agnostic: bool = False
    """Whether the weights fit frames of any size: one mean colour and one mean latent for all places."""
    rarity_weight: Annotated[float, Range(0, 1e6)] = 1.0
    """Weight of rare pixels in the loss; 0 weighs all pixels alike."""

    def __post_init__(self):
        check(self)
        unit = self.patch * self.pack
        if min(self.size) < unit:
            raise ValueError(f"frame height and width must be at least patch * pack = {unit}, got {self.size}.")
        if any(self.num_layers) and self.width % self.head_dim:
            raise ValueError(f"width must be a multiple of head_dim={self.head_dim}, got {self.width}.")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of packed tokens; the last ones may reach past the frame."""
        unit = self.patch * self.pack
        return -(-self.size[0] // unit), -(-self.size[1] // unit)

    @property
    def margin(self) -> tuple[int, int]:
        """Rows and columns of pixels by which the tokens reach past the frame."""
        unit = self.patch * self.pack
        return -self.size[0] % unit, -self.size[1] % unit

    @property
    def is_exact(self) -> bool:
        """Whether the latents are the pixels themselves, so that there is nothing to learn."""
        numbers = 3 * self.patch**2
        has_blocks = any(self.num_layers) or self.num_local > 0
        return not has_blocks and self.width == self.latent_channels == numbers

    @property
    def token_dim(self) -> int:
        """Channels of a packed token."""
        return self.latent_channels * self.pack**2


class Block(nnx.Module):
    """Space attention and feed-forward, both residual."""

    def __init__(self, width: int, head_dim: int, *, rngs: nnx.Rngs):
        heads = width // head_dim
        self.attention = SpaceAttention(width, heads, heads, rngs=rngs)
        self.feed_forward = SwiGLU(width, expansion=8 / 3, rngs=rngs)

    def __call__(self, x: Float[Array, "... m d"], angles: Float[np.ndarray, "m f"]) -> Float[Array, "... m d"]:
        """Apply the block."""
        x = x + self.attention(x, angles)
        return x + self.feed_forward(x)


class Tokenizer(nnx.Module):
    """The autoencoder. Statistics of the footage live beside the weights and take no gradient."""

    def __init__(self, config: TokenizerConfig, *, rngs: nnx.Rngs):
        self.config = config
        d, channels = config.width, config.latent_channels
        pixels = config.patch**2 * 3
        self.in_proj = linear(pixels, d, rngs=rngs)
        self.encoder = nnx.List([Block(d, config.head_dim, rngs=rngs) for _ in range(config.num_layers[0])])
        self.to_latent = linear(d, channels, rngs=rngs)
        self.from_latent = linear(channels, d, rngs=rngs)
        self.pos_embed = GridEmbedding(d, rngs=rngs)
        self.decoder = nnx.List([Block(d, config.head_dim, rngs=rngs) for _ in range(config.num_layers[1])])
        self.local = nnx.List([ConvBlock(d, rngs=rngs) for _ in range(config.num_local)])
        self.norm = RMSNorm(d) if self.decoder else None
        self.out_proj = linear(d, pixels, rngs=rngs, zero=True)
        places = (1, 1, 1) if config.size_agnostic else (*config.size, config.grid[0] * config.grid[1])
        self.mean_picture = nnx.Param(jnp.zeros((*places[:2], 3)))
        self.latent_mean = nnx.Param(jnp.zeros((places[2], config.token_dim)))
        self.latent_std = nnx.Param(jnp.ones(()))
        if config.is_exact:
            for layer in (self.in_proj, self.to_latent, self.from_latent, self.out_proj):
                layer.kernel[...] = jnp.eye(pixels)
            self.pos_embed.map.kernel[...] = jnp.zeros_like(self.pos_embed.map.kernel[...])

    def encode(self, frame: Float[Array, "*b h w c"]) -> Float[Array, "*b n c2"]:
        """Code frames in [-1, 1] as normalised tokens."""
        raw = rearrange(patchify(self._raw(frame), self.config.pack), "... gh gw c -> ... (gh gw) c")
        mean, std = self._statistics(raw)
        return (raw - mean) / std

    def decode(self, z: Float[Array, "*b n c2"]) -> Float[Array, "*b h w c"]:
        """Paint normalised tokens as frames in about [-1, 1]."""
        mean, std = self._statistics(z)
        height, width = self.config.grid
        latent = unpatchify(rearrange(z * std + mean, "... (h w) c -> ... h w c", h=height, w=width), self.config.pack)
        x = self.from_latent(rearrange(latent, "... h w c -> ... (h w) c"))
        height, width = latent.shape[-3:-1]
        x = x + like(self.pos_embed(height, width), x)
        angles = grid_angles(height, width, 0, self.config.head_dim)
        for block in self.decoder:
            x = block(x, angles)
        cells = rearrange(x if self.norm is None else self.norm(x), "... (h w) c -> ... h w c", h=height, w=width)
        for block in self.local:
            cells = block(cells)
        patches = self.out_proj(cells)
        height, width = self.config.size
        picture = unpatchify(patches, self.config.patch)[..., :height, :width, :].astype(jnp.float32)
        return picture + like(self.mean_picture[...], picture)

    def _raw(self, frame: Float[Array, "*b h w c"]) -> Float[Array, "*b gh gw c2"]:
        mean = jax.lax.stop_gradient(self.mean_picture[...])
        deviation = frame - like(mean, frame)
        if any(self.config.margin):
            ends = [(0, margin) for margin in self.config.margin]
            deviation = jnp.pad(deviation, [(0, 0)] * (frame.ndim - 3) + ends + [(0, 0)], mode="edge")
        patches = patchify(deviation, self.config.patch)
        height, width = patches.shape[-3:-1]
        x = self.in_proj(rearrange(patches, "... h w c -> ... (h w) c"))
        angles = grid_angles(height, width, 0, self.config.head_dim)
        for block in self.encoder:
            x = block(x, angles)
        latent = self.to_latent(x).astype(jnp.float32)
        return rearrange(latent, "... (h w) c -> ... h w c", h=height, w=width)

    def _statistics(self, z):
        mean = jax.lax.stop_gradient(self.latent_mean[...])
        std = jax.lax.stop_gradient(self.latent_std[...])
        return like(mean, z), like(std, z)


def reconstruction_loss(
    frame: Float[Array, "*b h w c"], reconstruction: Float[Array, "*b h w c"], weight: Float[Array, "*b h w 1"]
) -> Float[Array, ""]:
    """Weighted L1 + MSE, with weights of mean one."""
    error = reconstruction - frame
    return (weight * (jnp.abs(error) + error**2)).sum() / (3 * weight.sum())


def balanced_weight(
    frame: Float[Array, "*b h w c"],
    reconstruction: Float[Array, "*b h w c"],
    mean: Float[Array | np.ndarray, "h w c"],
    variance: Float[Array | np.ndarray, "h w c"],
    *,
    weight: float,
) -> Float[Array, "*b h w 1"]:
    """Weigh each pixel by the rarer of what is there and what was painted; takes no gradient."""
    seen, painted = (rarity(x, mean, variance, weight=weight) for x in (frame, jax.lax.stop_gradient(reconstruction)))
    return jnp.maximum(seen, painted)


def rarity(
    frame: Float[Array, "*b h w c"],
    mean: Float[Array | np.ndarray, "h w c"],
    variance: Float[Array | np.ndarray, "h w c"],
    *,
    weight: float,
    limit: float = 1000.0,
) -> Float[Array, "*b h w 1"]:
    """Weigh each pixel 1 + weight * its squared deviation over its variance, at most `limit`.

    `mean` and `variance` are the footage's, pixel by pixel. The variance gets a floor of (8/255)^2 in frame units,
    so that a flicker of a grey level or two is no event.
    """
    floor = (2 * 8 / 255) ** 2
    deviation = (frame - like(mean, frame)) ** 2
    score = deviation.sum(-1, keepdims=True) / like(variance.sum(-1, keepdims=True) + floor, frame)
    return 1 + weight * jnp.minimum(score, limit)
