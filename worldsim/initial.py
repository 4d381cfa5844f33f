"""How a world begins: from a recorded context, from given frames, from a text, or from noise; and the keys of a reset.

InitialContext.recorded()              one of the contexts that the bundle keeps, drawn by the key
InitialContext.frames(obs, actions)    given frames
InitialContext.from_text("snow")       a recorded context that a text names, or a first frame that is generated from it
InitialContext.noise()                 a first frame that is generated from noise
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, UInt8

from worldsim.controls import ActionSpec
from worldsim.data.store import Footage
from worldsim.text.prompt import Prompt, PromptConfig
from worldsim.types import CONTEXT, ArrayLike, fold_keys
from worldsim.world import Card, check_same_game

CONTEXT_STREAM = 2**32 - 1  # of a reset's key: no world has that number


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialContext:
    """What worlds begin from; make one by its class methods."""

    obs: np.ndarray | None = None  # uint8 [t h w c] or [b t h w c]; `read_frames` checks it
    actions: Any = None
    text: str | Sequence[str] | None = None
    is_generated: bool = False
    may_recall: bool = False

    @classmethod
    def recorded(cls, *, text: str | Sequence[str] | None = None) -> InitialContext:
        """Begin from a context of the bundle, drawn by the key; `text` is a prompt for the frames to come."""
        return cls(text=text)

    @classmethod
    def frames(
        cls, obs: ArrayLike, actions: ArrayLike | None = None, *, text: str | Sequence[str] | None = None
    ) -> InitialContext:
        """Begin from frames.

        Args:
            obs: uint8 `[t h w c]` for all worlds, or `[b t h w c]`.
            actions: the action that led into each frame, rows `[.. t a]` or integers `[.. t]`; unknown by default.
            text: a prompt for the frames to come, one for all worlds or one per world.
        """
        return cls(obs=np.asarray(obs), actions=actions, text=text)

    @classmethod
    def from_text(cls, text: str | Sequence[str], *, generate: bool = False) -> InitialContext:
        """Begin from a text, one for all worlds or one per world, which stays the prompt of the frames to come.

        Where the bundle keeps contexts that show all that a text names, its world begins from one of them, drawn by
        the key; elsewhere, and everywhere with `generate`, from a first frame that is generated from the text.
        """
        return cls(text=text, is_generated=True, may_recall=not generate)

    @classmethod
    def noise(cls) -> InitialContext:
        """Begin from noise alone."""
        return cls(is_generated=True)

    def batch_size(self, asked: int | None) -> int:
        """Return the number of worlds: as asked, or that of the frames or texts, or 1.

        Raises:
            ValueError: none, or another number than the frames are for.
        """
        if asked is not None and asked < 1:
            raise ValueError(f"expected at least 1 for batch_size, got {asked}.")
        if self.obs is not None and self.obs.ndim == 5:
            if asked not in (None, len(self.obs)):
                raise ValueError(f"batch_size is {asked}, and the initial frames are of {len(self.obs)} worlds.")
            return len(self.obs)
        return asked or (1 if self.text is None or isinstance(self.text, str) else len(self.text))


class ResetKeys(NamedTuple):
    """The keys of a reset; no two of its uses share one."""

    worlds: Key[Array, " b"]  # of the noise of each world, and all that follows
    context: PRNGKeyArray  # of the draw of recorded contexts


def reset_keys(key: PRNGKeyArray | Key[Array, " b"], count: int) -> ResetKeys:
    """Derive the keys of a reset of `count` worlds from one key, or from the key of each world.

    Raises:
        ValueError: another number of keys.
        TypeError: what is no key.
    """
    kind = getattr(key, "dtype", np.dtype(object))
    if not jnp.issubdtype(kind, jax.dtypes.prng_key) and kind != np.uint32:
        raise TypeError(f"expected a key for a reset, such as jax.random.key(0), got {str(key)[:80]}.")
    if not (jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim):
        return ResetKeys(fold_keys(key, count), jax.random.fold_in(key, CONTEXT_STREAM))
    if key.shape != (count,):
        raise ValueError(f"expected one key, or one for each of {count} worlds, got {key.shape}.")
    return ResetKeys(key, jax.random.fold_in(key[0], CONTEXT_STREAM))


def find_named(contexts: Mapping[str, np.ndarray], prompt: Any, key: PRNGKeyArray) -> Int[np.ndarray, " b"]:
    """Draw a context of the bundle that shows all that a prompt names, for each row of a `Prompt`; -1 where none does.

    A prompt that names no attribute has none.
    """
    labels, asked = contexts.get("named_labels"), np.asarray(prompt.labels)[:, None]
    if labels is None:
        return np.full(len(asked), -1)
    shows = ((asked == 0) | (asked == labels)).all(-1) & (asked > 0).any(-1)  # [b s]
    drawn = np.where(shows, np.asarray(jax.random.uniform(key, shows.shape)), -1.0)
    return np.where(shows.any(-1), drawn.argmax(-1), -1)


def draw_contexts(
    contexts: Mapping[str, np.ndarray], key: PRNGKeyArray, batch: int
) -> tuple[UInt8[np.ndarray, "b t h w c"], Float[np.ndarray, "b t a"]]:
    """Draw a recorded context for each world: its frames, and the action that led into each."""
    index = np.asarray(jax.random.randint(key, (batch,), 0, len(contexts["obs"])))
    return contexts["obs"][index], contexts["prev_action"][index]


def read_frames(
    initial: InitialContext, size: tuple[int, int], spec: ActionSpec, batch: int
) -> tuple[UInt8[np.ndarray, "b t h w c"], Float[np.ndarray, "b t a"]]:
    """Check given frames, and the actions that led into them, and repeat them for every world.

    Raises:
        ValueError: frames of another size or dtype, or actions that do not fit them.
    """
    obs, expected = np.asarray(initial.obs), (*size, 3)
    if obs.dtype != np.uint8 or obs.ndim not in (4, 5) or obs.shape[-3:] != expected or 0 in obs.shape:
        raise ValueError(f"expected uint8 frames [t h w c] with h w c = {expected}, got {obs.dtype} {obs.shape}.")
    actions = initial.actions
    if actions is None:
        actions = np.full((*obs.shape[:-3], spec.size), np.nan, np.float32)
    actions = spec.rows(actions, batch_shape=obs.shape[:-3])
    if obs.ndim == 4:
        obs, actions = (np.repeat(x[None], batch, axis=0) for x in (obs, actions))
    return obs, actions


class Clip(NamedTuple):
    """Recorded frames, and the action that led to each; NaN where there was none."""

    obs: UInt8[np.ndarray, "t h w c"]
    prev_action: Float[np.ndarray, "t a"]


def held_out(footage: Footage, card: Card) -> list[int]:
    """Return the episodes that the world was not trained on."""
    if card.footage.digest == footage.digest():
        return [i for i, episode in enumerate(footage.episodes) if episode.name in card.held_out_episodes]
    return list(range(len(footage)))


def read_clip(path: str, card: Card, num_frames: int, rng: np.random.Generator) -> Clip:
    """Draw CONTEXT recorded frames and `num_frames` - 1 that follow them.

    Raises:
        ValueError: footage of another size or other controls, or no episode of that length.
    """
    footage = Footage.open(path)
    check_same_game(card, footage.meta, path, ("size", "action_spec"))
    ids = held_out(footage, card)
    length = CONTEXT + num_frames - 1
    fits = [i for i in ids if footage.episodes[i].length >= length]
    if not fits:
        longest = max((footage.episodes[i].length for i in ids), default=0)
        raise ValueError(
            f"expected a held-out episode of {CONTEXT} + {num_frames - 1} frames in {footage.path}, the longest "
            f"has {longest}; use fewer --frames."
        )
    episode = footage[int(rng.choice(fits))]
    first = int(rng.integers(len(episode.obs) - length + 1))
    unknown = np.full((1, episode.action.shape[1]), np.nan, np.float32)
    arrival = np.concatenate([unknown, episode.action])[first : first + length]
    return Clip(episode.obs[first : first + length], arrival)


def read_text(text: str | Sequence[str] | None, config: PromptConfig | None, batch: int) -> Prompt | tuple[()]:
    """Return the `Prompt` of texts, one for all worlds or one per world; () for a world that reads none.

    Raises:
        ValueError: a text for a world that reads none, words that it does not know, or another number of texts.
    """
    if config is None:
        if text is None:
            return ()
        raise ValueError("expected no text for a world that was trained without captions, got one; leave it out.")
    if text is None:
        return config.nothing(batch)
    texts = [text] * batch if isinstance(text, str) else list(text)
    if len(texts) != batch:
        raise ValueError(f"expected one text for all worlds or one for each of {batch}, got {len(texts)}.")
    return config.read_texts(texts)
