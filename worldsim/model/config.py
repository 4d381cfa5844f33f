"""The shape of the dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from worldsim.controls.kinds import MAX_CONTROLS
from worldsim.diffusion.schedule import num_step_sizes
from worldsim.model.camera.geometry import CameraConfig
from worldsim.nn.embedding import Controls
from worldsim.schema import Range, check
from worldsim.text.prompt import PromptConfig

NUM_BEFORE = 2
"""Past frames that the local path reads: two, so that what moves has a velocity."""
MAX_LATENTS = 4096
"""Latent tokens of a frame: attention among them costs their square in memory."""


@dataclass(frozen=True, kw_only=True)
class ForecastConfig:
    """The shape of a ForecastNet."""

    width: Annotated[int, Range(1, 2048)] = 32
    """Channels of a cell."""
    inner_width: Annotated[int, Range(1, 2048)] = 64
    """Channels of a square of two by two cells."""
    num_blocks: Annotated[int, Range(1, 8)] = 2
    """Convolution blocks of the cells on the way in, of the squares, and of the cells on the way out."""
    num_frames: Annotated[int, Range(1, 16)] = 3
    """Past frames that it reads: three, so that what is accelerated shows."""
    num_actions: Annotated[int, Range(1, 16)] = 1
    """Actions that it reads, that into the frame and those before it: what is accelerated goes on by them."""
    overview_width: Annotated[int, Range(0, 2048)] = 0
    """Channels of the overview of the whole frame (`worldsim.model.overview`); 0 = there is none."""
    num_surprises: Annotated[int, Range(0, 16)] = 3
    """Cells of a frame, at most, in which something may enter by chance (`worldsim.model.surprise`)."""
    num_codes: Annotated[int, Range(1, 1024)] = 32
    """What such a cell may hold."""
    size: tuple[Annotated[int, Range(1, 4096)], Annotated[int, Range(1, 4096)]] | None = None
    """Rows and columns of cells that show the picture; tokens may reach past it. Training sets it; None = all."""

    def __post_init__(self):
        check(self)
        if self.num_actions > self.num_frames + 1:
            raise ValueError(
                f"expected num_actions of at most num_frames + 1 = {self.num_frames + 1}, got {self.num_actions}."
            )


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """The shape of the dynamics."""

    grid: tuple[Annotated[int, Range(1, 4096)], Annotated[int, Range(1, 4096)]] = (1, 1)
    """Rows and columns of latent tokens. Training sets this, `token_dim`, `pack` and the controls from the footage."""
    token_dim: Annotated[int, Range(1, 16384)] = 1
    """Channels of a latent token."""
    pack: Annotated[int, Range(1, 64)] = 1
    """Side of the square of cells that a token packs."""
    choice_sizes: tuple[Annotated[int, Range(1, 4096)], ...] = ()
    """Number of options of each choice of the action."""
    num_buttons: Annotated[int, Range(0, 1024)] = 0
    """Number of buttons of the action."""
    axis_bounds: tuple[tuple[float, float], ...] = ()
    """Low and high of each axis of the action."""
    columns: tuple[Annotated[int, Range(0, 1023)], ...] | None = None
    """Of one game of several: the place of each of its controls among those of all games; None = all, in order."""
    width: Annotated[int, Range(1, 8192)] = 96
    """Channels of a token inside the transformer."""
    local_width: Annotated[int, Range(1, 2048)] = 32
    """Channels of a cell on the local path."""
    num_local: Annotated[int, Range(0, 8)] = 1
    """Convolution blocks before the transformer; after it there is one more."""
    local_separable: bool | None = None
    """Whether they are separable, which on a processor takes a third of the time or less. None = no."""
    num_layers: Annotated[int, Range(0, 48)] = 4
    """Layers, each an attention and a feed-forward."""
    time_every: Annotated[int, Range(1, 128)] = 2
    """Every n-th layer attends over time."""
    head_dim: Annotated[int, Range(1, 1024)] = 32
    """Channels of an attention head."""
    kv_groups: Annotated[int, Range(1, 64)] = 1
    """Query heads that share one key head."""
    num_registers: Annotated[int, Range(0, 256)] = 2
    """Register tokens of a block (Darcet et al. 2023, arXiv 2309.16588)."""
    window: Annotated[int, Range(1, 1024)] = 12
    """Past frames that a frame attends to."""
    num_sinks: Annotated[int, Range(0, 256)] = 0
    """First frames that stay visible after they left the window."""
    has_memory: bool = False
    """Whether one gated recurrence carries what left the window."""
    num_levels: Annotated[int, Range(2, 1024)] = 16
    """Levels of the finest sampling, a power of two."""
    context_tau: Annotated[int, Range(1, 1023)] = 14
    """Level index of past frames: with a little noise, dynamics go on from frames that are not quite right."""
    predicts_variance: bool = False
    """Whether the network predicts, cell by cell, how much changes, and so the gain of the noisy view."""
    prompt: PromptConfig | None = None
    """The prompts that the world reads; None = it reads none."""
    camera: CameraConfig | None = None
    """The camera, where the last frames are warped to predict the next one."""
    forecast: ForecastConfig | None = None
    """The network that predicts the next frame where there is no camera; None copies the last frame."""

    def __post_init__(self):
        check(self)
        if self.width % (self.head_dim * self.kv_groups):
            raise ValueError(f"width must be a multiple of head_dim * kv_groups, got {self.width}.")
        if self.token_dim % self.pack**2:
            raise ValueError(f"token_dim must be a multiple of pack squared, {self.pack**2}, got {self.token_dim}.")
        if not 0 < self.context_tau < self.num_levels:
            raise ValueError(f"context_tau must be in 1..{self.num_levels - 1}, got {self.context_tau}.")
        if self.columns is not None and not set(self.columns) <= set(range(self.num_controls)):
            raise ValueError(f"columns must be within 0..{self.num_controls - 1}, got {self.columns}.")
        if self.num_controls > MAX_CONTROLS:
            raise ValueError(f"expected at most {MAX_CONTROLS} controls in a config, got {self.num_controls}.")
        if self.num_latents > MAX_LATENTS:
            raise ValueError(
                f"grid must be of at most {MAX_LATENTS} tokens, got {self.num_latents}; use smaller frames."
            )
        if self.camera is not None and max(self.camera.yaw or 0, self.camera.pitch or 0) > max(self.action_size - 1, 0):
            raise ValueError(f"yaw and pitch must be columns of {self.action_size} of an action, got {self.camera}.")
        if self.camera is not None and self.forecast is not None:
            raise ValueError("expected a camera or a forecast for the prior, got both; leave forecast out.")
        num_step_sizes(self.num_levels)

    @property
    def picture(self) -> tuple[int, int]:
        """Rows and columns of cells that show the picture."""
        size = None if self.forecast is None else self.forecast.size
        return size or (self.grid[0] * self.pack, self.grid[1] * self.pack)

    @property
    def num_before(self) -> int:
        """Past frames that are kept as they are: as many as the local path reads, or the forecast."""
        return NUM_BEFORE if self.forecast is None else max(NUM_BEFORE, self.forecast.num_frames)

    @property
    def controls(self) -> Controls:
        """The columns of an action row."""
        return Controls(self.choice_sizes, self.num_buttons, self.axis_bounds, self.columns)

    @property
    def action_size(self) -> int:
        """Columns of an action row."""
        return self.num_controls if self.columns is None else len(self.columns)

    @property
    def num_controls(self) -> int:
        """Choices, buttons and axes that the weights embed."""
        return len(self.choice_sizes) + self.num_buttons + len(self.axis_bounds)

    def cell_side(self, size: tuple[int, int]) -> int:
        """Return the side in pixels of a cell of frames of height and width `size`; the last ones may reach past it."""
        return max(-(-n // (m * self.pack)) for n, m in zip(size, self.grid, strict=True))

    @property
    def num_latents(self) -> int:
        """Latent tokens of a frame."""
        return self.grid[0] * self.grid[1]

    @property
    def num_tokens(self) -> int:
        """Tokens of a block."""
        return 2 + self.num_registers + self.num_latents
