"""The dynamics: `denoiser` predicts the next latent frame, given the `cache` of its past and a `prompt`."""

from worldsim.model.config import NUM_BEFORE, DynamicsConfig, ForecastConfig
from worldsim.model.dynamics.cache import Cache, WindowPast
from worldsim.model.dynamics.denoiser import Dynamics

__all__ = ["NUM_BEFORE", "Cache", "Dynamics", "DynamicsConfig", "ForecastConfig", "WindowPast"]
