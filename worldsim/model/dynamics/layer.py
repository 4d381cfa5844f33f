"""A layer of the transformer over the tokens of frames."""

from __future__ import annotations

from typing import Any

from flax import nnx

from worldsim.model.config import DynamicsConfig
from worldsim.nn.attention import SpaceAttention, TimeAttention
from worldsim.nn.layers import SwiGLU


class Layer(nnx.Module):
    """Attention over space or time, and feed-forward."""

    attention: Any  # SpaceAttention or TimeAttention, as `over_time` says

    def __init__(self, config: DynamicsConfig, *, over_time: bool, rngs: nnx.Rngs):
        heads = config.width // config.head_dim
        groups = heads // config.kv_groups
        if over_time:
            self.attention = TimeAttention(
                config.width, heads, groups, window=config.window, num_sinks=config.num_sinks, rngs=rngs
            )
        else:
            self.attention = SpaceAttention(config.width, heads, groups, rngs=rngs)
        self.over_time = over_time
        self.feed_forward = SwiGLU(config.width, expansion=8 / 3, rngs=rngs)
