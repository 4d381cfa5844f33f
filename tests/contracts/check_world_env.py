"""What any environment of ours keeps to, whether a game runs in it or a dream (docs/env-contract.md)."""

from collections.abc import Callable

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env


def check_world_env(
    make: Callable[[], gym.Env], *, num_steps: int = 24, horizon: int | None = None, latent: bool = False
) -> None:
    """Check one environment against the contract; `make` builds a fresh one with render_mode "rgb_array".

    Args:
        make: called twice.
        num_steps: steps played for each property.
        horizon: frames after which the environment must report `truncated`, if it has a limit of that size.
        latent: observations are latents, not pictures.
    """
    env, twin = make(), make()
    try:
        check_env(env.unwrapped, skip_render_check=True)
        check_spaces(env, latent)
        frames, ends = play(env, seed=3, num_steps=num_steps)
        again, ends_again = play(env, seed=3, num_steps=num_steps)
        other, ends_other = play(twin, seed=3, num_steps=num_steps)
        for run, run_ends in ((again, ends_again), (other, ends_other)):
            np.testing.assert_array_equal(frames, run, err_msg="the same seed and actions gave other frames")
            assert ends == run_ends, "the same seed and actions ended elsewhere"
        check_obs_are_the_callers_own(env)
        if horizon is not None:
            check_horizon(env, horizon)
    finally:
        env.close()
        twin.close()


def check_spaces(env: gym.Env, latent: bool) -> None:
    """Observations are uint8 pictures [h w c], or float32 latents [n d]; a frame rendered is a picture."""
    space = env.observation_space
    kind = (np.float32, 2) if latent else (np.uint8, 3)
    assert isinstance(space, gym.spaces.Box) and (space.dtype, len(space.shape)) == kind, space
    if not latent:
        assert (space.low == 0).all() and (space.high == 255).all(), "an observation wants the range 0..255"
    obs, info = env.reset(seed=0)
    assert space.contains(obs) and isinstance(info, dict)
    assert env.metadata["render_fps"] > 0 and "rgb_array" in env.metadata["render_modes"]
    if env.render_mode == "rgb_array":
        picture = env.render()
        assert isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3


def play(env: gym.Env, *, seed: int, num_steps: int) -> tuple[np.ndarray, list]:
    """Play seeded random actions; check the kinds of all that comes back; return frames and ends."""
    env.action_space.seed(seed)
    obs, _ = env.reset(seed=seed)
    frames, ends = [obs], []
    for i in range(num_steps):
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(obs)
        assert np.isfinite(float(reward)), f"reward of step {i} is {reward}"
        assert isinstance(terminated, bool) and isinstance(truncated, bool) and isinstance(info, dict)
        frames.append(obs)
        ends.append((float(reward), terminated, truncated))
        if terminated or truncated:
            frames.append(env.reset()[0])
    return np.stack(frames), ends


def check_obs_are_the_callers_own(env: gym.Env) -> None:
    """Neither does a later step write into an old observation, nor does the caller's pen reach the world."""
    first, _ = env.reset(seed=0)
    kept = first.copy()
    second = env.step(env.action_space.sample())[0]
    np.testing.assert_array_equal(first, kept, err_msg="a step wrote into an older observation")
    picture = env.render() if env.render_mode == "rgb_array" else None
    second[:] = 0
    if picture is not None:
        np.testing.assert_array_equal(env.render(), picture, err_msg="writing into an observation changed the world")


def check_horizon(env: gym.Env, horizon: int) -> None:
    """The end of time is `truncated`, at that very step, and never `terminated`."""
    env.reset(seed=0)
    for i in range(horizon):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated:
            assert not truncated
            return
        assert truncated == (i == horizon - 1), f"step {i + 1} of {horizon}: truncated is {truncated}"
