"""The dynamics: `denoiser` predicts the next latent frame, given the `cache` of its past and a `prompt`."""

from worldsim.model.config import DynamicsConfig
from worldsim.model.dynamics.cache import NUM_BEFORE, Cache, WindowPast
from worldsim.model.dynamics.denoiser import Dynamics

__all__ = ["NUM_BEFORE", "Cache", "Dynamics", "DynamicsConfig", "WindowPast"]
