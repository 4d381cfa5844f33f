"""What worlds begin from: moments that the bundle keeps, frames that somebody shows, words that somebody says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from worldsim.nn.words import PromptConfig
from worldsim.types import ActionSpec


def draw_moments(starts: Mapping[str, Any], key: PRNGKeyArray, batch: int) -> tuple[Any, Any]:
    """Choose for each world one of the moments of a bundle: frames `[b t h w c]` and what led into each `[b t a]`."""
    index = np.asarray(jax.random.randint(jax.random.fold_in(key, 1), (batch,), 0, len(starts["obs"])))
    return starts["obs"][index], starts["prev_action"][index]


def read_frames(
    prompt: Any, actions: Any, size: tuple[int, int], spec: ActionSpec, batch_size: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Check frames `[t h w c]`, shown to all worlds, or `[b t h w c]`, and what led into each.

    Raises:
        ValueError: frames of another size or dtype, or actions or a batch that do not fit them.
    """
    obs = np.asarray(prompt)
    wanted = (*size, 3)
    if obs.dtype != np.uint8 or obs.ndim not in (4, 5) or obs.shape[-3:] != wanted or 0 in obs.shape:
        raise ValueError(f"a prompt wants uint8 frames [t h w c] with h w c = {wanted}, got {obs.dtype} {obs.shape}.")
    if actions is None:
        actions = np.full((*obs.shape[:-3], spec.size), np.nan, np.float32)
    actions = spec.rows(actions, batch_shape=obs.shape[:-3])
    if obs.ndim == 4:
        obs, actions = (np.repeat(x[None], batch_size or 1, axis=0) for x in (obs, actions))
    if batch_size not in (None, len(obs)):
        raise ValueError(f"batch_size is {batch_size}, and the prompt has {len(obs)} worlds.")
    return obs, actions


def read_text(text: str | Sequence[str] | None, config: PromptConfig | None, batch_size: int) -> Any:
    """Read what somebody says of all worlds or of each: a `Prompt`, or () for a world that reads none.

    Raises:
        ValueError: words for a world that reads none, words that it does not know, or another number of texts.
    """
    if config is None:
        if text is None:
            return ()
        raise ValueError("text wants a world that reads prompts; this one was trained without captions.")
    if text is None:
        return config.nothing(batch_size)
    texts = [text] * batch_size if isinstance(text, str) else list(text)
    if len(texts) != batch_size:
        raise ValueError(f"text wants one for all worlds or one for each of {batch_size}, got {len(texts)}.")
    return config.read_strangers(texts)
