"""How an agent learns."""

from __future__ import annotations

from dataclasses import dataclass

from worldsim.agent.objective import Kind

RECENT = 0.2  # of the footage, by its episodes' order


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """How an agent learns."""

    context: int = 8
    """Recorded frames that fill the states of world and policy before every imagined rollout."""
    horizon: int = 16
    """Frames of an imagined rollout."""
    batch_size: int = 32
    """Imagined rollouts of a step."""
    objective: Kind = "reinforce"
    """reinforce: advantages scaled by the range of returns; pmpo: their sign alone."""
    clone_fraction: float = 0.15
    """Fraction of the updates that clone the recording's actions."""
    gamma: float = 0.985
    """Discount of each frame."""
    lam: float = 0.95
    """Of the lambda-returns."""
    entropy: float = 3e-3
    """Weight of the policy's entropy."""
    learning_rate: float = 5e-4
    """Of Adam, after its warmup."""
    ema_decay: float = 0.98
    """Decay of the moving average of the weights, which is the slow critic too."""
    num_denoise_steps: int | None = None
    """Denoising steps of a dreamed frame; the world's own by default."""
    noise_scale: float = 1.0
    """Deviation of the dreams' noise: above 1 they vary more, so that an overconfident world is not exploited."""
    max_uncertainty: float | None = None
    """Dreamed frames above this uncertainty are masked; needs two denoising steps or more."""
    axis_bins: int = 9
    """Even values that the policy chooses from on an axis."""
    width: int = 192
    """Width of the policy's recurrent state."""
    recent_fraction: float = 0.0
    """Fraction of imagined rollouts that begin in the latest RECENT of the footage; the others begin anywhere."""

    def __post_init__(self):
        for name in ("context", "horizon", "batch_size", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected at least 1 for {name}, got {getattr(self, name)}.")
        if self.axis_bins < 2:
            raise ValueError(f"expected at least 2 for axis_bins, got {self.axis_bins}.")
        for name in ("learning_rate", "entropy"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"expected a number of at least 0 for {name}, got {getattr(self, name)}.")
        if self.objective not in ("reinforce", "pmpo"):
            raise ValueError(f"expected reinforce or pmpo for objective, got {self.objective!r}.")
        if not 0 <= self.recent_fraction <= 1:
            raise ValueError(f"expected 0..1 for recent_fraction, got {self.recent_fraction}.")
        if not 0 <= self.clone_fraction < 1:
            raise ValueError(f"expected 0 up to less than 1 for clone_fraction, got {self.clone_fraction}.")
        if not 0 < self.gamma < 1 or not 0 <= self.lam <= 1:
            raise ValueError(f"expected gamma and lam within 0..1, got {self.gamma} and {self.lam}.")


AGENT = AgentConfig()
"""The settings of `fit_agent` where none are given."""
