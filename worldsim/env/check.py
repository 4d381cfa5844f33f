"""A check of the environment contract (docs/env-contract.md), for people who add a game or an environment."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env
from jaxtyping import Shaped


def check_world_env(
    make: Callable[[], gym.Env], *, num_steps: int = 24, horizon: int | None = None, latent: bool = False
) -> None:
    """Check one environment against the contract, Gymnasium's own `check_env` included.

    Args:
        make: builds a fresh environment with render_mode "rgb_array"; called twice.
        num_steps: steps played for each property.
        horizon: frames after which the environment must report `truncated`, if it has a limit of that size.
        latent: observations are latents, not pictures.

    Raises:
        AssertionError: names the part of the contract that is broken.

    Example:
        >>> check_world_env(lambda: gymnasium.make("Catch-v0", render_mode="rgb_array"))
    """
    env, twin = make(), make()
    try:
        check_env(env.unwrapped, skip_render_check=True)
        _check_spaces(env, latent)
        frames, ends = _play(env, seed=3, num_steps=num_steps)
        for played in (env, twin):
            again, ends_again = _play(played, seed=3, num_steps=num_steps)
            np.testing.assert_array_equal(frames, again, err_msg="the same seed and actions gave other frames")
            assert ends == ends_again, "the same seed and actions ended elsewhere"
        _check_obs_are_the_callers_own(env)
        if horizon is not None:
            _check_horizon(env, horizon)
    finally:
        env.close()
        twin.close()


def _check_spaces(env: gym.Env, latent: bool) -> None:
    """Observations are uint8 pictures [h w c], or float32 latents [n d]; a frame rendered is a picture."""
    space = env.observation_space
    kind = (np.float32, 2) if latent else (np.uint8, 3)
    assert isinstance(space, gym.spaces.Box), f"expected a Box of observations, got {space}"
    assert (space.dtype, len(space.shape)) == kind, f"expected observations of dtype and rank {kind}, got {space}"
    if not latent:
        assert (space.low == 0).all() and (space.high == 255).all(), f"expected observations in 0..255, got {space}"
    obs, info = env.reset(seed=0)
    assert space.contains(obs) and isinstance(info, dict), "expected (observation of the space, dict) from reset"
    assert env.metadata["render_fps"] > 0, "expected the frame rate in metadata['render_fps']"
    assert "rgb_array" in env.metadata["render_modes"], "expected 'rgb_array' in metadata['render_modes']"
    if env.render_mode == "rgb_array":
        picture = env.render()
        assert isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3, (
            "expected a uint8 picture [h w c] from render()"
        )


def _play(env: gym.Env, *, seed: int, num_steps: int) -> tuple[Shaped[np.ndarray, "..."], list]:
    """Play seeded random actions; check the kinds of all that comes back; return frames and ends."""
    env.action_space.seed(seed)
    obs, _ = env.reset(seed=seed)
    frames, ends = [obs], []
    for i in range(num_steps):
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(obs), f"observation {i + 1} is not in the observation space"
        assert np.isfinite(float(reward)), f"reward of step {i} is {reward}"
        assert isinstance(terminated, bool) and isinstance(truncated, bool), "expected terminated and truncated as bool"
        assert isinstance(info, dict), f"expected a dict for info, got {info!r}"
        frames.append(obs)
        ends.append((float(reward), terminated, truncated))
        if terminated or truncated:
            frames.append(env.reset()[0])
    return np.stack(frames), ends


def _check_obs_are_the_callers_own(env: gym.Env) -> None:
    """A later step does not write into an old observation, and writing into one does not change the world."""
    first, _ = env.reset(seed=0)
    kept = first.copy()
    second = env.step(env.action_space.sample())[0]
    np.testing.assert_array_equal(first, kept, err_msg="a step wrote into an older observation")
    picture = env.render() if env.render_mode == "rgb_array" else None
    second[:] = 0
    if picture is not None:
        np.testing.assert_array_equal(env.render(), picture, err_msg="writing into an observation changed the world")


def _check_horizon(env: gym.Env, horizon: int) -> None:
    """The end of time is `truncated`, at that very step, and never `terminated`."""
    env.reset(seed=0)
    for i in range(horizon):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated:
            assert not truncated, "expected terminated or truncated, got both"
            return
        assert truncated == (i == horizon - 1), f"step {i + 1} of {horizon}: truncated is {truncated}"
